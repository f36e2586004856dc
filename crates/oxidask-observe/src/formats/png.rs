//! PNG: painted in memory, with texts from the embedded font.

use std::fmt;

use tiny_skia::{
    Color, FillRule, LineCap, LineJoin, Paint, Path, PathBuilder, Pixmap, Stroke, StrokeDash,
    Transform,
};
use ttf_parser::OutlineBuilder;

use crate::drawing::{Anchor, Card, Drawing, Ink, Mark, Step, Text};
use crate::font::Font;
use crate::layout::{Point, Size};
use crate::palette::rgb;

/// Pixels of the image for each of the drawing: sharp on fine screens and in print.
const SCALE: f64 = 2.0;
/// Below this, labels cannot be read.
const LEAST_SCALE: f64 = 0.75;
/// The most pixels of an image; it bounds memory to four bytes for each.
const MOST_PIXELS: f64 = 64e6;
/// The longest side that viewers take.
const MOST_SIDE: f64 = 32_000.0;

/// A drawing that has more pixels than an image should.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TooLarge {
    size: Size,
}

impl fmt::Display for TooLarge {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Size { width, height } = self.size;
        write!(
            formatter,
            "the drawing of {width} by {height} pixels is too large for a PNG that can be read; \
             write svg, html or pdf, or give a lower limit so that tasks are drawn as groups"
        )
    }
}

impl std::error::Error for TooLarge {}

/// Writes a drawing as PNG, on white.
///
/// # Errors
/// If the image would be too large.
pub fn write(drawing: &Drawing) -> Result<Vec<u8>, TooLarge> {
    let too_large = TooLarge { size: drawing.size };
    let scale = scale_for(drawing.size).ok_or(too_large)?;
    let side = |length: f64| (length * scale).ceil() as u32;
    let mut pixels =
        Pixmap::new(side(drawing.size.width), side(drawing.size.height)).ok_or(too_large)?;
    pixels.fill(colour(&Ink::Background));
    let mut painter = Painter {
        pixels,
        transform: Transform::from_scale(scale as f32, scale as f32),
        font: Font::embedded(),
    };
    for mark in &drawing.marks {
        painter.mark(mark);
    }
    Ok(encode(&painter.pixels, scale))
}

/// How many pixels of the image there are for each of the drawing.
fn scale_for(size: Size) -> Option<f64> {
    let by_area = (MOST_PIXELS / (size.width * size.height)).sqrt();
    let by_side = MOST_SIDE / size.width.max(size.height);
    let scale = SCALE.min(by_area).min(by_side);
    (scale >= LEAST_SCALE).then_some(scale)
}

fn encode(pixels: &Pixmap, scale: f64) -> Vec<u8> {
    // The paper is opaque, and so is all that is on it.
    let colours: Vec<u8> = pixels
        .pixels()
        .iter()
        .flat_map(|pixel| [pixel.red(), pixel.green(), pixel.blue()])
        .collect();
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, pixels.width(), pixels.height());
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let per_meter = (96.0 * scale / 0.0254).round() as u32;
    encoder.set_pixel_dims(Some(png::PixelDimensions {
        xppu: per_meter,
        yppu: per_meter,
        unit: png::Unit::Meter,
    }));
    let mut writer = encoder.write_header().expect("a vector takes all that is written");
    writer.write_image_data(&colours).expect("there are as many bytes as the size says");
    writer.finish().expect("a vector takes all that is written");
    out
}

struct Painter {
    pixels: Pixmap,
    transform: Transform,
    font: Font,
}

impl Painter {
    fn mark(&mut self, mark: &Mark) {
        match mark {
            Mark::Lines { path, width, ink } => self.stroke(to_path(path), ink, *width, false),
            Mark::Heads { path, ink } => self.fill(to_path(path), ink),
            Mark::Node { cards, texts, .. } => {
                for card in cards {
                    self.card(card);
                }
                for text in texts {
                    self.text(text);
                }
            }
            Mark::Swatch(card) => self.card(card),
            Mark::Text(text) => self.text(text),
        }
    }

    fn card(&mut self, card: &Card) {
        self.fill(to_path(&card.outline()), &card.fill);
        if let Some(border) = &card.border {
            self.stroke(to_path(&card.outline()), border, card.border_width, card.is_dashed);
        }
    }

    fn text(&mut self, text: &Text) {
        let mut x = text.place.x;
        if text.anchor == Anchor::Middle {
            x -= self.font.width(&text.content, text.size) / 2.0;
        }
        let face = self.font.face();
        let scale = text.size / f64::from(face.units_per_em());
        let mut path = PathBuilder::new();
        for character in text.content.chars() {
            let glyph = self.font.glyph(character);
            face.outline_glyph(glyph, &mut Glyph { x, y: text.place.y, scale, path: &mut path });
            x += self.font.advance(glyph) * text.size / 1000.0;
        }
        let path = path.finish();
        if text.has_rim {
            self.stroke(path.clone(), &Ink::Background, 3.0, false);
        }
        self.fill(path, &text.ink);
    }

    fn fill(&mut self, path: Option<Path>, ink: &Ink) {
        // A path without extent, such as that of a space, leaves no trace.
        if let Some(path) = path {
            self.pixels.fill_path(&path, &paint(ink), FillRule::Winding, self.transform, None);
        }
    }

    fn stroke(&mut self, path: Option<Path>, ink: &Ink, width: f64, is_dashed: bool) {
        let stroke = Stroke {
            width: width as f32,
            line_cap: LineCap::Butt,
            line_join: LineJoin::Round,
            dash: if is_dashed { StrokeDash::new(vec![4.0, 2.0], 0.0) } else { None },
            ..Stroke::default()
        };
        if let Some(path) = path {
            self.pixels.stroke_path(&path, &paint(ink), &stroke, self.transform, None);
        }
    }
}

fn colour(ink: &Ink) -> Color {
    let [red, green, blue] = rgb(ink.light());
    Color::from_rgba8(red, green, blue, 255)
}

fn paint(ink: &Ink) -> Paint<'static> {
    let mut paint = Paint { anti_alias: true, ..Paint::default() };
    paint.set_color(colour(ink));
    paint
}

fn to_path(steps: &[Step]) -> Option<Path> {
    let mut path = PathBuilder::new();
    let pair = |point: Point| (point.x as f32, point.y as f32);
    for step in steps {
        match *step {
            Step::Move(to) => path.move_to(pair(to).0, pair(to).1),
            Step::Line(to) => path.line_to(pair(to).0, pair(to).1),
            Step::Curve(control, back, to) => {
                let (control, back, to) = (pair(control), pair(back), pair(to));
                path.cubic_to(control.0, control.1, back.0, back.1, to.0, to.1);
            }
            Step::Close => path.close(),
        }
    }
    path.finish()
}

/// Puts the outline of a glyph, in units of the font and with y up, at its place.
struct Glyph<'a> {
    x: f64,
    y: f64,
    scale: f64,
    path: &'a mut PathBuilder,
}

impl Glyph<'_> {
    fn place(&self, x: f32, y: f32) -> (f32, f32) {
        let (x, y) = (self.x + f64::from(x) * self.scale, self.y - f64::from(y) * self.scale);
        (x as f32, y as f32)
    }
}

impl OutlineBuilder for Glyph<'_> {
    fn move_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.place(x, y);
        self.path.move_to(x, y);
    }

    fn line_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.place(x, y);
        self.path.line_to(x, y);
    }

    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        let ((x1, y1), (x, y)) = (self.place(x1, y1), self.place(x, y));
        self.path.quad_to(x1, y1, x, y);
    }

    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        let (one, two, end) = (self.place(x1, y1), self.place(x2, y2), self.place(x, y));
        self.path.cubic_to(one.0, one.1, two.0, two.1, end.0, end.1);
    }

    fn close(&mut self) {
        self.path.close();
    }
}
