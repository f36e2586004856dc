//! A scene with a place for everything: marks to be painted one after the other.
//!
//! The formats ([`crate::formats`]) only write marks down; what is where is decided here.

use std::collections::BTreeSet;

use crate::layout::{Direction, Layout, LayoutError, Point, Size, layout};
use crate::palette::text_on;
use crate::scene::{Arrow, Fill, Legend, Outline, Scene, Shape, Style};
use crate::text::{self, thousands};

const LABEL_SIZE: f64 = 12.0;
const DETAIL_SIZE: f64 = 9.5;
const CAPTION_SIZE: f64 = 12.0;
const CAPTION_LINE: f64 = 17.0;
/// The widest a label may be before it is cut.
const LABEL_ROOM: f64 = 190.0;
const DETAIL_ROOM: f64 = 190.0;
const HEIGHT: f64 = 24.0;
const HEIGHT_WITH_DETAIL: f64 = 35.0;
const LEAST_WIDTH: f64 = 26.0;
/// Shapes stand far enough apart for the counts on the arrows between them.
const LEAST_WIDTH_WITH_COUNTS: f64 = 72.0;
/// How far the cards behind the first of a stack stick out.
const CARD_OFFSET: f64 = 3.5;
const MARGIN: f64 = 14.0;
/// Room for the caption below a narrow drawing.
const LEAST_PICTURE_WIDTH: f64 = 400.0;
const ARROW_LENGTH: f64 = 6.5;
const ARROW_HALF_WIDTH: f64 = 3.2;
/// Control points of a quarter circle lie so far along its corner's sides.
const ROUND: f64 = 0.552_284_75;
/// So many arrows to one shape are thin, so that they stay lines where they come together.
const CROWD: usize = 24;
const LEGEND_HEIGHT: f64 = 9.0;
const LEGEND_WIDTH: f64 = 132.0;

/// A colour by what it is for, so that a theme can change it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ink {
    /// The paper.
    Background,
    /// Lines of arrows.
    Line,
    /// Heads of arrows.
    Head,
    /// Borders of shapes.
    Border,
    /// Shapes without a colour.
    Plain,
    /// Texts in them.
    PlainText,
    /// The caption.
    Caption,
    /// Counts on arrows.
    Count,
    /// `#RRGGBB`, in every theme.
    Fixed(String),
}

impl Ink {
    /// `#RRGGBB` on a light page.
    pub fn light(&self) -> &str {
        match self {
            Self::Background | Self::Plain => "#FFFFFF",
            Self::Line => "#8A93A0",
            Self::Head => "#5C6673",
            Self::Border | Self::PlainText => "#1B1F24",
            Self::Caption | Self::Count => "#3B434D",
            Self::Fixed(colour) => colour,
        }
    }
}

/// A piece of a path.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Step {
    /// Begins a line here.
    Move(Point),
    /// Goes straight.
    Line(Point),
    /// Goes along a cubic curve: two control points and the end.
    Curve(Point, Point, Point),
    /// Goes back to where it began.
    Close,
}

/// A rectangle with round corners.
#[derive(Clone, Debug, PartialEq)]
pub struct Card {
    /// Its upper left corner.
    pub corner: Point,
    /// Its extent, without the outer half of its border.
    pub size: Size,
    /// Radius of its corners.
    pub radius: f64,
    /// What fills it.
    pub fill: Ink,
    /// The colour of its border.
    pub border: Option<Ink>,
    /// The width of its border in pixels.
    pub border_width: f64,
    /// Whether the border is dashed.
    pub is_dashed: bool,
}

impl Card {
    /// Its border as a path.
    pub(crate) fn outline(&self) -> Vec<Step> {
        let (left, top) = (self.corner.x, self.corner.y);
        let (right, bottom) = (left + self.size.width, top + self.size.height);
        let at = |x: f64, y: f64| Point { x, y };
        let radius = self.radius.min(self.size.width / 2.0).min(self.size.height / 2.0);
        if radius <= 0.0 {
            return vec![
                Step::Move(at(left, top)),
                Step::Line(at(right, top)),
                Step::Line(at(right, bottom)),
                Step::Line(at(left, bottom)),
                Step::Close,
            ];
        }
        let rest = radius * (1.0 - ROUND);
        vec![
            Step::Move(at(left + radius, top)),
            Step::Line(at(right - radius, top)),
            Step::Curve(at(right - rest, top), at(right, top + rest), at(right, top + radius)),
            Step::Line(at(right, bottom - radius)),
            Step::Curve(
                at(right, bottom - rest),
                at(right - rest, bottom),
                at(right - radius, bottom),
            ),
            Step::Line(at(left + radius, bottom)),
            Step::Curve(
                at(left + rest, bottom),
                at(left, bottom - rest),
                at(left, bottom - radius),
            ),
            Step::Line(at(left, top + radius)),
            Step::Curve(at(left, top + rest), at(left + rest, top), at(left + radius, top)),
            Step::Close,
        ]
    }
}

/// Where a text stands in relation to its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// It begins there.
    Start,
    /// It is centred there.
    Middle,
}

/// One line of text.
#[derive(Clone, Debug, PartialEq)]
pub struct Text {
    /// What it says.
    pub content: String,
    /// Its place, on the base line.
    pub place: Point,
    /// Font size in pixels.
    pub size: f64,
    /// How it stands there.
    pub anchor: Anchor,
    /// Its colour.
    pub ink: Ink,
    /// Whether it has a rim in the colour of the paper.
    pub has_rim: bool,
}

/// Something to be painted.
#[derive(Clone, Debug, PartialEq)]
pub enum Mark {
    /// Lines; all lines of one width are one path, so that where they meet they do not darken.
    Lines {
        /// The path.
        path: Vec<Step>,
        /// Its width in pixels.
        width: f64,
        /// Its colour.
        ink: Ink,
    },
    /// Heads of arrows.
    Heads {
        /// The path.
        path: Vec<Step>,
        /// Its colour.
        ink: Ink,
    },
    /// A shape.
    Node {
        /// The text shown while the pointer rests on it.
        title: String,
        /// The cards of a stack from the last to the first, or one.
        cards: Vec<Card>,
        /// One or two lines, or none.
        texts: Vec<Text>,
    },
    /// A part of the legend.
    Swatch(Card),
    /// A count, or a line of the caption.
    Text(Text),
}

/// A scene that is laid out.
#[derive(Clone, Debug, PartialEq)]
pub struct Drawing {
    /// What is drawn.
    pub scene: Scene,
    /// The centre of each shape.
    pub centres: Vec<Point>,
    /// The extent of each shape.
    pub sizes: Vec<Size>,
    /// What is to be painted, on [`Ink::Background`].
    pub marks: Vec<Mark>,
    /// The extent of the whole.
    pub size: Size,
}

impl Drawing {
    /// Lays out a scene.
    ///
    /// # Errors
    /// If an arrow names no shape, or the arrows form a cycle.
    pub fn new(scene: Scene) -> Result<Self, LayoutError> {
        let has_counts = scene.arrows.iter().any(|arrow| arrow.count > 1);
        let least_width = if has_counts { LEAST_WIDTH_WITH_COUNTS } else { LEAST_WIDTH };
        let faces: Vec<Face> =
            scene.shapes.iter().map(|shape| Face::of(shape, least_width)).collect();
        let sizes: Vec<Size> = faces.iter().map(|face| face.size).collect();
        let edges: Vec<(u32, u32)> =
            scene.arrows.iter().map(|arrow| (arrow.source, arrow.target)).collect();
        let mut layout = layout(&sizes, &edges, scene.direction)?;

        let inner = layout.size.width.max(LEAST_PICTURE_WIDTH);
        let origin = Point { x: MARGIN + (inner - layout.size.width) / 2.0, y: MARGIN };
        shift(&mut layout, origin);
        let mut marks = lines(&scene, &layout);
        for ((shape, face), &centre) in scene.shapes.iter().zip(faces).zip(&layout.nodes) {
            marks.push(node(shape, face, centre, &scene.style));
        }
        counts(&scene, &layout, &mut marks);
        let mut bottom = origin.y + layout.size.height + MARGIN;
        if let Some(legend) = &scene.legend {
            bottom = add_legend(legend, inner, bottom, &mut marks);
        }
        let caption = wrapped(&scene.caption, inner);
        bottom = add_lines(&caption, bottom, &mut marks);
        let size = Size { width: (inner + 2.0 * MARGIN).ceil(), height: (bottom + 6.0).ceil() };
        Ok(Self { scene, centres: layout.nodes, sizes, marks, size })
    }
}

fn shift(layout: &mut Layout, by: Point) {
    for point in layout.nodes.iter_mut().chain(layout.edges.iter_mut().flatten()) {
        point.x += by.x;
        point.y += by.y;
    }
}

/// A shape's texts as they fit, and its size with the cards behind it.
struct Face {
    label: String,
    detail: String,
    size: Size,
}

impl Face {
    fn of(shape: &Shape, least_width: f64) -> Self {
        let label = text::fit(&shape.label, LABEL_SIZE, LABEL_ROOM);
        let detail = text::fit(&shape.detail, DETAIL_SIZE, DETAIL_ROOM);
        let text_width = text::width(&label, LABEL_SIZE).max(text::width(&detail, DETAIL_SIZE));
        let padding = match shape.outline {
            Outline::Pill => 9.0,
            Outline::Box => 7.0,
        };
        let mut size = Size {
            width: (text_width + 2.0 * padding).max(least_width).ceil(),
            height: if detail.is_empty() { HEIGHT } else { HEIGHT_WITH_DETAIL },
        };
        if shape.is_stack() {
            size.width += 2.0 * CARD_OFFSET;
            size.height += 2.0 * CARD_OFFSET;
        }
        Self { label, detail, size }
    }
}

fn node(shape: &Shape, face: Face, centre: Point, style: &Style) -> Mark {
    let (fill, ink) = match &shape.fill {
        Fill::Plain => (Ink::Plain, Ink::PlainText),
        Fill::Colour(fill) => (Ink::Fixed(fill.clone()), Ink::Fixed(text_on(fill).to_owned())),
    };
    let mut size = face.size;
    let mut offsets = vec![0.0];
    if shape.is_stack() {
        size.width -= 2.0 * CARD_OFFSET;
        size.height -= 2.0 * CARD_OFFSET;
        offsets = vec![CARD_OFFSET, 0.0, -CARD_OFFSET];
    }
    let cards = offsets
        .iter()
        .map(|offset| {
            let middle = Point { x: centre.x + offset, y: centre.y + offset };
            card(shape, size, middle, fill.clone(), style)
        })
        .collect();
    let front = offsets[offsets.len() - 1];
    let label_y = if face.detail.is_empty() { 4.2 } else { -1.5 };
    let line = |content: String, size: f64, y: f64| Text {
        content,
        place: Point { x: centre.x + front, y: centre.y + front + y },
        size,
        anchor: Anchor::Middle,
        ink: ink.clone(),
        has_rim: false,
    };
    let mut texts =
        vec![line(face.label, LABEL_SIZE, label_y), line(face.detail, DETAIL_SIZE, 10.8)];
    texts.retain(|text| !text.content.is_empty());
    Mark::Node { title: shape.title.clone(), cards, texts }
}

fn card(shape: &Shape, size: Size, centre: Point, fill: Ink, style: &Style) -> Card {
    let radius = match shape.outline {
        Outline::Pill => size.height / 2.0,
        Outline::Box => 3.0,
    };
    // Half a pixel inside, so that the border stays within the size.
    Card {
        corner: Point {
            x: centre.x - size.width / 2.0 + 0.5,
            y: centre.y - size.height / 2.0 + 0.5,
        },
        size: Size { width: size.width - 1.0, height: size.height - 1.0 },
        radius: radius - 0.5,
        fill,
        border: Some(style.border.clone().map_or(Ink::Border, Ink::Fixed)),
        border_width: style.border_width.unwrap_or(1.0),
        is_dashed: shape.is_dashed,
    }
}

/// Breaks the caption where it is wider than the picture: between its parts, or between words.
fn wrapped(caption: &[String], room: f64) -> Vec<String> {
    let mut lines = Vec::new();
    for line in caption {
        let separator = if line.contains(" · ") { " · " } else { " " };
        let mut current = String::new();
        for part in line.split(separator) {
            let longer = if current.is_empty() {
                part.to_owned()
            } else {
                format!("{current}{separator}{part}")
            };
            if current.is_empty() || text::width(&longer, CAPTION_SIZE) <= room {
                current = longer;
            } else {
                lines.push(std::mem::replace(&mut current, part.to_owned()));
            }
        }
        lines.push(current);
    }
    lines
}

fn caption_text(content: String, x: f64, top: f64) -> Mark {
    Mark::Text(Text {
        content,
        place: Point { x, y: top + CAPTION_SIZE },
        size: CAPTION_SIZE,
        anchor: Anchor::Start,
        ink: Ink::Caption,
        has_rim: false,
    })
}

/// Writes lines below each other; gives where they end.
fn add_lines(lines: &[String], top: f64, marks: &mut Vec<Mark>) -> f64 {
    let mut bottom = top;
    for line in lines {
        marks.push(caption_text(line.clone(), MARGIN, bottom));
        bottom += CAPTION_LINE;
    }
    bottom
}

/// A bar of colours between its ends, and what it means beside or below it; gives where it ends.
fn add_legend(legend: &Legend, room: f64, top: f64, marks: &mut Vec<Mark>) -> f64 {
    const GAP: f64 = 6.0;
    let [first, last] = &legend.ends;
    let mut x = MARGIN;
    marks.push(caption_text(first.clone(), x, top));
    x += text::width(first, CAPTION_SIZE) + GAP;
    let step = LEGEND_WIDTH / legend.fills.len().max(1) as f64;
    for (index, fill) in legend.fills.iter().enumerate() {
        // Each reaches to the end, below those that follow: no seams.
        let start = index as f64 * step;
        marks.push(Mark::Swatch(Card {
            corner: Point { x: x + start, y: top + CAPTION_SIZE - LEGEND_HEIGHT },
            size: Size { width: LEGEND_WIDTH - start, height: LEGEND_HEIGHT },
            radius: 0.0,
            fill: Ink::Fixed(fill.clone()),
            border: None,
            border_width: 0.0,
            is_dashed: false,
        }));
    }
    x += LEGEND_WIDTH;
    x += GAP;
    marks.push(caption_text(last.clone(), x, top));
    x += text::width(last, CAPTION_SIZE) + 2.0 * GAP;
    let beside = MARGIN + room - x;
    if text::width(&legend.meaning, CAPTION_SIZE) <= beside {
        marks.push(caption_text(legend.meaning.clone(), x, top));
        return top + CAPTION_LINE + 2.0;
    }
    let below = wrapped(std::slice::from_ref(&legend.meaning), room);
    add_lines(&below, top + CAPTION_LINE + 2.0, marks)
}

fn lines(scene: &Scene, layout: &Layout) -> Vec<Mark> {
    let ink = |usual: Ink| scene.style.line.clone().map_or(usual, Ink::Fixed);
    let mut arriving = vec![0_usize; scene.shapes.len()];
    for arrow in &scene.arrows {
        arriving[arrow.target as usize] += 1;
    }
    let weight_of = |arrow: &Arrow| match (arrow.count, arriving[arrow.target as usize]) {
        (0..=1, CROWD..) => 0,
        (0..=1, _) => 1,
        (2..=99, _) => 2,
        _ => 3,
    };
    let mut marks = Vec::new();
    for (weight, width) in [0.6, 1.1, 1.8, 2.6].into_iter().enumerate() {
        let mut path = Vec::new();
        for (arrow, points) in scene.arrows.iter().zip(&layout.edges) {
            if weight_of(arrow) == weight {
                push_line(points, scene.direction, &mut path);
            }
        }
        if !path.is_empty() {
            let width = scene.style.line_width.unwrap_or(width);
            marks.push(Mark::Lines { path, width, ink: ink(Ink::Line) });
        }
    }
    let mut has_head = vec![false; scene.shapes.len()];
    let mut heads = Vec::new();
    for (arrow, points) in scene.arrows.iter().zip(&layout.edges) {
        if let Some(&tip) = points.last()
            && !std::mem::replace(&mut has_head[arrow.target as usize], true)
        {
            push_head(tip, scene.direction, &mut heads);
        }
    }
    if !heads.is_empty() {
        marks.push(Mark::Heads { path: heads, ink: ink(Ink::Head) });
    }
    marks
}

/// The direction of the drawing as a vector.
fn forward(direction: Direction) -> Point {
    match direction {
        Direction::TopToBottom => Point { x: 0.0, y: 1.0 },
        Direction::BottomToTop => Point { x: 0.0, y: -1.0 },
        Direction::LeftToRight => Point { x: 1.0, y: 0.0 },
        Direction::RightToLeft => Point { x: -1.0, y: 0.0 },
    }
}

/// Straight along the direction, curved where it moves sideways; ends where the arrow head begins.
fn push_line(points: &[Point], direction: Direction, path: &mut Vec<Step>) {
    let Some(&first) = points.first() else { return };
    path.push(Step::Move(first));
    for curve in curves(points, direction) {
        let [_, control, back, end] = curve;
        path.push(if is_straight(&curve) {
            Step::Line(end)
        } else {
            Step::Curve(control, back, end)
        });
    }
}

/// A cubic curve: start, two control points, end.
type Curve = [Point; 4];

/// The pieces of a line, the last one shortened to where its arrow head begins.
fn curves(points: &[Point], direction: Direction) -> impl DoubleEndedIterator<Item = Curve> + '_ {
    let ahead = forward(direction);
    let last = points.len().saturating_sub(2);
    points.windows(2).enumerate().map(move |(index, pair)| {
        let (from, mut to) = (pair[0], pair[1]);
        if index == last {
            to.x -= ahead.x * ARROW_LENGTH;
            to.y -= ahead.y * ARROW_LENGTH;
        }
        let (dx, dy) = (to.x - from.x, to.y - from.y);
        let along = dx * ahead.x + dy * ahead.y;
        let across = (dx * ahead.y).abs() + (dy * ahead.x).abs();
        // Lines that run far sideways are nearly straight: bent ones would run together.
        let bend = MOST_BEND * (2.0 * along / across.max(1.0)).clamp(0.1, 1.0) * along;
        let (x, y) = (ahead.x * bend, ahead.y * bend);
        [from, Point { x: from.x + x, y: from.y + y }, Point { x: to.x - x, y: to.y - y }, to]
    })
}

/// How far the control points of a curve lie along it, at most.
const MOST_BEND: f64 = 0.45;

fn is_straight(curve: &Curve) -> bool {
    let spread = |values: [f64; 4]| {
        let least = values.into_iter().fold(f64::INFINITY, f64::min);
        values.into_iter().fold(f64::NEG_INFINITY, f64::max) - least
    };
    spread(curve.map(|point| point.x)) < 0.05 || spread(curve.map(|point| point.y)) < 0.05
}

fn point_on(curve: &Curve, share: f64) -> Point {
    let rest = 1.0 - share;
    let weights =
        [rest.powi(3), 3.0 * rest.powi(2) * share, 3.0 * rest * share.powi(2), share.powi(3)];
    curve.iter().zip(weights).fold(Point::default(), |sum, (point, weight)| Point {
        x: sum.x + weight * point.x,
        y: sum.y + weight * point.y,
    })
}

fn push_head(tip: Point, direction: Direction, path: &mut Vec<Step>) {
    let ahead = forward(direction);
    let base = Point { x: tip.x - ahead.x * ARROW_LENGTH, y: tip.y - ahead.y * ARROW_LENGTH };
    let side = Point { x: ahead.y * ARROW_HALF_WIDTH, y: ahead.x * ARROW_HALF_WIDTH };
    path.extend([
        Step::Move(tip),
        Step::Line(Point { x: base.x + side.x, y: base.y + side.y }),
        Step::Line(Point { x: base.x - side.x, y: base.y - side.y }),
        Step::Close,
    ]);
}

/// Writes how many dependencies an arrow stands for on its last bend, where there is room for it.
fn counts(scene: &Scene, layout: &Layout, marks: &mut Vec<Mark>) {
    let mut leaving = vec![0; scene.shapes.len()];
    let mut arriving = vec![0; scene.shapes.len()];
    for arrow in &scene.arrows {
        leaving[arrow.source as usize] += 1;
        arriving[arrow.target as usize] += 1;
    }
    let mut taken = BTreeSet::new();
    for (arrow, points) in scene.arrows.iter().zip(&layout.edges) {
        if arrow.count < 2 {
            continue;
        }
        let Some((is_first, curve)) = last_bend(points, scene.direction) else {
            continue;
        };
        // Where lines part or meet, a count stands at the other end, where it is clear whose it is.
        let parts = is_first && leaving[arrow.source as usize] > 1;
        let shares = match (parts, arriving[arrow.target as usize] > 1) {
            (true, false) => [0.66, 0.5, 0.78, 0.35, 0.25],
            (false, true) => [0.34, 0.5, 0.22, 0.65, 0.75],
            _ => [0.5, 0.36, 0.64, 0.25, 0.75],
        };
        let content = count_of(arrow);
        let width = text::width(&content, DETAIL_SIZE);
        if let Some(place) = free_place(&curve, shares, width, &mut taken) {
            marks.push(Mark::Text(Text {
                content,
                place: Point { x: place.x, y: place.y + 3.3 },
                size: DETAIL_SIZE,
                anchor: Anchor::Middle,
                ink: Ink::Count,
                has_rim: true,
            }));
        }
    }
}

/// What stands on an arrow: `×12,345`.
pub(crate) fn count_of(arrow: &Arrow) -> String {
    format!("×{}", thousands(arrow.count))
}

/// The last piece of a line in the gap between two layers, and whether it leaves the source.
fn last_bend(points: &[Point], direction: Direction) -> Option<(bool, Curve)> {
    const GAP: f64 = 30.0;
    let ahead = forward(direction);
    let length =
        |curve: &Curve| (curve[3].x - curve[0].x) * ahead.x + (curve[3].y - curve[0].y) * ahead.y;
    let pieces: Vec<Curve> = curves(points, direction).collect();
    let index = pieces.iter().rposition(|piece| length(piece) > 15.0)?;
    let mut piece = pieces[index];
    let is_long = length(&piece) > GAP && is_straight(&piece);
    if is_long {
        // It passes layers; only its end is in a gap.
        let end = piece[3];
        piece = [GAP, 0.66 * GAP, 0.33 * GAP, 0.0]
            .map(|back| Point { x: end.x - ahead.x * back, y: end.y - ahead.y * back });
    }
    Some((pieces[..index].iter().all(is_straight), piece))
}

/// The first of some places on a curve where no other label is; marks it as taken.
fn free_place(
    curve: &Curve,
    shares: [f64; 5],
    width: f64,
    taken: &mut BTreeSet<(i64, i64)>,
) -> Option<Point> {
    const CELL: f64 = 5.0;
    let cells = |place: Point| {
        let cell = |position: f64| (position / CELL).floor() as i64;
        let columns = cell(place.x - width / 2.0 - 1.0)..=cell(place.x + width / 2.0 + 1.0);
        let rows = cell(place.y - 5.0)..=cell(place.y + 5.0);
        columns.flat_map(move |x| rows.clone().map(move |y| (x, y)))
    };
    let place = shares
        .map(|share| point_on(curve, share))
        .into_iter()
        .find(|&place| cells(place).all(|cell| !taken.contains(&cell)))?;
    taken.extend(cells(place));
    Some(place)
}
