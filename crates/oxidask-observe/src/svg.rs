//! Writes shapes joined by arrows as one self-contained SVG.
//!
//! No script, no font, nothing from outside. Attributes give the colours of a light page; one style
//! sheet inside changes those that differ on a dark one. Nothing has an id, so several drawings can
//! stand in one HTML page.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::layout::{Direction, Layout, LayoutError, Point, Size, layout};
use crate::palette::text_on;
use crate::text;

const LABEL_SIZE: f64 = 12.0;
const DETAIL_SIZE: f64 = 9.5;
const CAPTION_SIZE: f64 = 12.0;
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

const STYLE: &str = "\
.oxg-t{font-family:system-ui,-apple-system,\"Segoe UI\",Roboto,\"Helvetica Neue\",Arial,\"Noto Sans\",sans-serif}\
@media (prefers-color-scheme:dark){\
.oxg-bg{fill:#15171C}.oxg-c{fill:#D5D8DE}.oxg-e{stroke:#7F8896}.oxg-a{fill:#A4ACB8}\
.oxg-n{stroke:#E8EAEE}.oxg-p{fill:#23262D}.oxg-pt{fill:#E8EAEE}.oxg-l{fill:#D5D8DE;stroke:#15171C}}";

/// The form of a shape, which tells calls from data without colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outline {
    /// Half circles at both ends: a function call.
    Pill,
    /// A box with slightly rounded corners: data.
    Box,
}

/// What fills a shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fill {
    /// The background of the theme.
    Plain,
    /// `#RRGGBB`, in every theme.
    Colour(String),
}

/// One node of the drawing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The text in it.
    pub label: String,
    /// A second, smaller line; may be empty.
    pub detail: String,
    /// The text shown while the pointer rests on it.
    pub title: String,
    /// Its form.
    pub outline: Outline,
    /// Its colour.
    pub fill: Fill,
    /// A dashed border, for a fill that is used twice.
    pub is_dashed: bool,
    /// Drawn as a stack of cards: it stands for many.
    pub is_stack: bool,
}

/// One arrow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrow {
    /// Index of the shape it leaves.
    pub source: u32,
    /// Index of the shape it points to.
    pub target: u32,
    /// For how many dependencies it stands; from 2 on, this is written on it.
    pub count: usize,
}

/// A drawing before it is laid out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scene {
    /// Nodes.
    pub shapes: Vec<Shape>,
    /// Edges; they must form no cycle.
    pub arrows: Vec<Arrow>,
    /// Which way arrows point.
    pub direction: Direction,
    /// The name of the drawing, for screen readers and as a tooltip.
    pub title: String,
    /// Lines below the drawing, also its description for screen readers.
    pub caption: Vec<String>,
}

/// Lays out a scene and writes it.
///
/// # Errors
/// If an arrow names no shape, or the arrows form a cycle.
pub fn write(scene: &Scene) -> Result<String, LayoutError> {
    let has_counts = scene.arrows.iter().any(|arrow| arrow.count > 1);
    let least_width = if has_counts { LEAST_WIDTH_WITH_COUNTS } else { LEAST_WIDTH };
    let faces: Vec<Face> = scene.shapes.iter().map(|shape| Face::of(shape, least_width)).collect();
    let sizes: Vec<Size> = faces.iter().map(|face| face.size).collect();
    let edges: Vec<(u32, u32)> =
        scene.arrows.iter().map(|arrow| (arrow.source, arrow.target)).collect();
    let layout = layout(&sizes, &edges, scene.direction)?;

    let mut out = String::with_capacity(2000 + 400 * sizes.len() + 100 * edges.len());
    let caption = wrapped_caption(&scene.caption, layout.size.width.max(LEAST_PICTURE_WIDTH));
    let origin = open(scene, &layout, &caption, &mut out);
    let _ = writeln!(out, "<g transform=\"translate({} {})\">", Number(origin.x), Number(origin.y));
    write_arrows(scene, &layout, &mut out);
    for ((shape, face), &centre) in scene.shapes.iter().zip(&faces).zip(&layout.nodes) {
        write_shape(shape, face, centre, &mut out);
    }
    write_counts(scene, &layout, &mut out);
    out.push_str("</g>\n");
    write_caption(&caption, origin.y + layout.size.height + MARGIN, &mut out);
    out.push_str("</svg>\n");
    Ok(out)
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
        if shape.is_stack {
            size.width += 2.0 * CARD_OFFSET;
            size.height += 2.0 * CARD_OFFSET;
        }
        Self { label, detail, size }
    }
}

/// Breaks the caption where it is wider than the picture, between its parts (`·`) first.
fn wrapped_caption(caption: &[String], room: f64) -> Vec<String> {
    let mut lines = Vec::new();
    for line in caption {
        let mut current = String::new();
        for word in line.split(' ') {
            let longer =
                if current.is_empty() { word.to_owned() } else { format!("{current} {word}") };
            if current.is_empty() || text::width(&longer, CAPTION_SIZE) <= room {
                current = longer;
            } else {
                lines.push(std::mem::replace(&mut current, word.to_owned()));
            }
        }
        lines.push(current);
    }
    lines
}

const CAPTION_LINE: f64 = 17.0;

/// Writes the head; gives where the drawing starts.
fn open(scene: &Scene, layout: &Layout, caption: &[String], out: &mut String) -> Point {
    let inner = layout.size.width.max(LEAST_PICTURE_WIDTH);
    let width = inner + 2.0 * MARGIN;
    let height = layout.size.height + 2.0 * MARGIN + CAPTION_LINE * caption.len() as f64 + 6.0;
    let (width, height) = (Number(width.ceil()), Number(height.ceil()));
    let _ = writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" role=\"img\">"
    );
    push_element("title", &scene.title, out);
    push_element("desc", &scene.caption.join(" "), out);
    let _ = writeln!(out, "<style>{STYLE}</style>");
    let _ = writeln!(
        out,
        "<rect class=\"oxg-bg\" width=\"{width}\" height=\"{height}\" fill=\"#FFFFFF\"/>"
    );
    Point { x: MARGIN + (inner - layout.size.width) / 2.0, y: MARGIN }
}

fn push_element(name: &str, content: &str, out: &mut String) {
    let _ = write!(out, "<{name}>");
    text::push_escaped(content, out);
    let _ = writeln!(out, "</{name}>");
}

/// All lines of one weight are one path, so that where they meet they do not darken.
fn write_arrows(scene: &Scene, layout: &Layout, out: &mut String) {
    for (weight, width) in [(0, 1.1), (1, 1.8), (2, 2.6)] {
        let mut path = String::new();
        for (arrow, points) in scene.arrows.iter().zip(&layout.edges) {
            if weight_class(arrow.count) == weight {
                push_line(points, scene.direction, &mut path);
            }
        }
        if !path.is_empty() {
            let _ = writeln!(
                out,
                "<path class=\"oxg-e\" fill=\"none\" stroke=\"#8A93A0\" stroke-width=\"{width}\" \
                 stroke-linejoin=\"round\" d=\"{path}\"/>"
            );
        }
    }
    let mut has_head = vec![false; scene.shapes.len()];
    let mut heads = String::new();
    for (arrow, points) in scene.arrows.iter().zip(&layout.edges) {
        if let Some(&tip) = points.last()
            && !std::mem::replace(&mut has_head[arrow.target as usize], true)
        {
            push_head(tip, scene.direction, &mut heads);
        }
    }
    if !heads.is_empty() {
        let _ = writeln!(out, "<path class=\"oxg-a\" fill=\"#5C6673\" d=\"{heads}\"/>");
    }
}

fn weight_class(count: usize) -> usize {
    match count {
        0..=1 => 0,
        2..=99 => 1,
        _ => 2,
    }
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
fn push_line(points: &[Point], direction: Direction, path: &mut String) {
    let Some(&first) = points.first() else { return };
    let _ = write!(path, "M{} {}", Number(first.x), Number(first.y));
    for step in steps(points, direction) {
        let [_, control, back, end] = step;
        if is_straight(&step) {
            let _ = write!(path, "L{} {}", Number(end.x), Number(end.y));
        } else {
            let _ = write!(
                path,
                "C{} {} {} {} {} {}",
                Number(control.x),
                Number(control.y),
                Number(back.x),
                Number(back.y),
                Number(end.x),
                Number(end.y),
            );
        }
    }
}

/// A cubic curve: start, two control points, end.
type Curve = [Point; 4];

/// The pieces of a line, the last one shortened to where its arrow head begins.
fn steps(points: &[Point], direction: Direction) -> impl DoubleEndedIterator<Item = Curve> + '_ {
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

fn push_head(tip: Point, direction: Direction, path: &mut String) {
    let ahead = forward(direction);
    let base = Point { x: tip.x - ahead.x * ARROW_LENGTH, y: tip.y - ahead.y * ARROW_LENGTH };
    let side = Point { x: ahead.y * ARROW_HALF_WIDTH, y: ahead.x * ARROW_HALF_WIDTH };
    let _ = write!(
        path,
        "M{} {}L{} {}L{} {}Z",
        Number(tip.x),
        Number(tip.y),
        Number(base.x + side.x),
        Number(base.y + side.y),
        Number(base.x - side.x),
        Number(base.y - side.y),
    );
}

fn write_shape(shape: &Shape, face: &Face, centre: Point, out: &mut String) {
    let (fill, ink, classes) = match &shape.fill {
        Fill::Plain => ("#FFFFFF", "#1B1F24", ("oxg-n oxg-p", "oxg-t oxg-pt")),
        Fill::Colour(fill) => (fill.as_str(), text_on(fill), ("oxg-n", "oxg-t")),
    };
    out.push_str("<g>");
    if !shape.title.is_empty() {
        out.push_str("<title>");
        text::push_escaped(&shape.title, out);
        out.push_str("</title>");
    }
    let mut size = face.size;
    let mut middle = centre;
    if shape.is_stack {
        size.width -= 2.0 * CARD_OFFSET;
        size.height -= 2.0 * CARD_OFFSET;
        for offset in [CARD_OFFSET, 0.0] {
            let card = Point { x: centre.x + offset, y: centre.y + offset };
            write_outline(shape, size, card, fill, classes.0, out);
        }
        middle.x -= CARD_OFFSET;
        middle.y -= CARD_OFFSET;
    }
    write_outline(shape, size, middle, fill, classes.0, out);
    let label_y = if face.detail.is_empty() { 4.2 } else { -1.5 };
    let lines = [(&face.label, LABEL_SIZE, label_y), (&face.detail, DETAIL_SIZE, 10.8)];
    for (line, size, y) in lines {
        if !line.is_empty() {
            let _ = write!(
                out,
                "<text class=\"{}\" x=\"{}\" y=\"{}\" font-family=\"sans-serif\" \
                 font-size=\"{size}\" text-anchor=\"middle\" fill=\"{ink}\">",
                classes.1,
                Number(middle.x),
                Number(middle.y + y),
            );
            text::push_escaped(line, out);
            out.push_str("</text>");
        }
    }
    out.push_str("</g>\n");
}

fn write_outline(
    shape: &Shape,
    size: Size,
    centre: Point,
    fill: &str,
    class: &str,
    out: &mut String,
) {
    let radius = match shape.outline {
        Outline::Pill => size.height / 2.0,
        Outline::Box => 3.0,
    };
    // Half a pixel inside, so that the border stays within the size.
    let _ = write!(
        out,
        "<rect class=\"{class}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" rx=\"{}\" \
         fill=\"{fill}\" stroke=\"#1B1F24\" stroke-width=\"1\"{}/>",
        Number(centre.x - size.width / 2.0 + 0.5),
        Number(centre.y - size.height / 2.0 + 0.5),
        Number(size.width - 1.0),
        Number(size.height - 1.0),
        Number(radius - 0.5),
        if shape.is_dashed { " stroke-dasharray=\"4 2\"" } else { "" },
    );
}

/// Writes how many dependencies an arrow stands for on its last bend, where there is room for it.
fn write_counts(scene: &Scene, layout: &Layout, out: &mut String) {
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
        let label = format!("×{}", thousands(arrow.count));
        let width = text::width(&label, DETAIL_SIZE);
        let Some(place) = free_place(&curve, shares, width, &mut taken) else {
            continue;
        };
        let _ = writeln!(
            out,
            "<text class=\"oxg-t oxg-l\" x=\"{}\" y=\"{}\" font-family=\"sans-serif\" \
             font-size=\"{DETAIL_SIZE}\" text-anchor=\"middle\" fill=\"#3B434D\" stroke=\"#FFFFFF\" \
             stroke-width=\"3\" stroke-linejoin=\"round\" paint-order=\"stroke\">{label}</text>",
            Number(place.x),
            Number(place.y + 3.3),
        );
    }
}

/// The last piece of a line in the gap between two layers, and whether it leaves the source.
fn last_bend(points: &[Point], direction: Direction) -> Option<(bool, Curve)> {
    const GAP: f64 = 30.0;
    let ahead = forward(direction);
    let length =
        |curve: &Curve| (curve[3].x - curve[0].x) * ahead.x + (curve[3].y - curve[0].y) * ahead.y;
    let pieces: Vec<Curve> = steps(points, direction).collect();
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

fn write_caption(caption: &[String], top: f64, out: &mut String) {
    for (index, line) in caption.iter().enumerate() {
        let _ = write!(
            out,
            "<text class=\"oxg-t oxg-c\" x=\"{}\" y=\"{}\" font-family=\"sans-serif\" \
             font-size=\"{CAPTION_SIZE}\" fill=\"#3B434D\">",
            Number(MARGIN),
            Number(top + CAPTION_LINE * index as f64 + CAPTION_SIZE),
        );
        text::push_escaped(line, out);
        out.push_str("</text>\n");
    }
}

/// A count with commas: `12,345`.
pub fn thousands(count: usize) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A coordinate with at most one decimal.
struct Number(f64);

impl std::fmt::Display for Number {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let tenths = (self.0 * 10.0).round() as i64;
        if tenths % 10 == 0 {
            write!(formatter, "{}", tenths / 10)
        } else {
            write!(formatter, "{}", tenths as f64 / 10.0)
        }
    }
}
