//! PDF: one page of the size of the drawing, its texts in the embedded font, so that they can be
//! searched and copied.

use miniz_oxide::deflate::compress_to_vec_zlib;
use pdf_writer::types::{
    CidFontType, FontFlags, LineCapStyle, LineJoinStyle, SystemInfo, TextRenderingMode, UnicodeCmap,
};
use pdf_writer::{Content, Filter, Finish, Name, Pdf, Rect, Ref, Str, TextStr};

use crate::drawing::{Anchor, Card, Drawing, Ink, Mark, Step, Text};
use crate::font::{self, Font};
use crate::palette::rgb;

/// Points of paper for each pixel of the drawing.
const SCALE: f64 = 0.75;
/// The longest side of a page that viewers take, in points.
const MOST_SIDE: f64 = 14_400.0;
const FONT: Name = Name(b"F");
const FONT_NAME: Name = Name(b"OXIDAS+Inter-Regular");
const COMPRESSION: u8 = 6;

/// The objects of the file.
const CATALOG: Ref = Ref::new(1);
const PAGES: Ref = Ref::new(2);
const PAGE: Ref = Ref::new(3);
const CONTENT: Ref = Ref::new(4);
const TYPE0_FONT: Ref = Ref::new(5);
const CID_FONT: Ref = Ref::new(6);
const DESCRIPTOR: Ref = Ref::new(7);
const FONT_FILE: Ref = Ref::new(8);
const CHARACTERS: Ref = Ref::new(9);
const INFORMATION: Ref = Ref::new(10);

/// Writes a drawing as PDF. A drawing larger than any page is made smaller.
pub fn write(drawing: &Drawing) -> Vec<u8> {
    let scale = SCALE.min(MOST_SIDE / drawing.size.width.max(drawing.size.height)) as f32;
    let (width, height) = (drawing.size.width as f32 * scale, drawing.size.height as f32 * scale);
    let mut pdf = Pdf::new();
    pdf.catalog(CATALOG).pages(PAGES).viewer_preferences().display_doc_title(true);
    pdf.pages(PAGES).kids([PAGE]).count(1);
    let mut page = pdf.page(PAGE);
    page.parent(PAGES).media_box(Rect::new(0.0, 0.0, width, height)).contents(CONTENT);
    page.resources().fonts().pair(FONT, TYPE0_FONT);
    page.finish();
    pdf.document_info(INFORMATION)
        .title(TextStr(&drawing.scene.title))
        .subject(TextStr(&drawing.scene.caption.join(" ")))
        .producer(TextStr("Oxidask"));

    let mut page = Page { content: Content::new(), font: Font::embedded(), is_used: Vec::new() };
    // y grows downwards in a drawing, upwards on paper.
    page.content.transform([scale, 0.0, 0.0, -scale, 0.0, height]);
    for mark in &drawing.marks {
        page.mark(mark);
    }
    let Page { content, font, is_used } = page;
    let content = compress_to_vec_zlib(&content.finish(), COMPRESSION);
    pdf.stream(CONTENT, &content).filter(Filter::FlateDecode);
    write_font(&font, &is_used, &mut pdf);
    pdf.finish()
}

/// The content of the page, and which characters stand on it.
struct Page {
    content: Content,
    font: Font,
    is_used: Vec<char>,
}

impl Page {
    fn mark(&mut self, mark: &Mark) {
        match mark {
            Mark::Lines { path, width, ink } => {
                self.stroke_with(ink, *width, false);
                self.path(path);
                self.content.stroke();
            }
            Mark::Heads { path, ink } => {
                self.fill_with(ink);
                self.path(path);
                self.content.fill_nonzero();
            }
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
        self.fill_with(&card.fill);
        if let Some(border) = &card.border {
            self.stroke_with(border, card.border_width, card.is_dashed);
        }
        self.path(&card.outline());
        if card.border.is_some() {
            self.content.fill_nonzero_and_stroke();
        } else {
            self.content.fill_nonzero();
        }
    }

    fn text(&mut self, text: &Text) {
        let mut glyphs = Vec::new();
        for character in text.content.chars() {
            glyphs.extend(self.font.glyph(character).0.to_be_bytes());
        }
        self.is_used.extend(text.content.chars());
        let mut x = text.place.x;
        if text.anchor == Anchor::Middle {
            x -= self.font.width(&text.content, text.size) / 2.0;
        }
        if text.has_rim {
            self.stroke_with(&Ink::Background, 3.0, false);
            self.show(&glyphs, text, x, TextRenderingMode::Stroke);
        }
        self.fill_with(&text.ink);
        self.show(&glyphs, text, x, TextRenderingMode::Fill);
    }

    fn show(&mut self, glyphs: &[u8], text: &Text, x: f64, mode: TextRenderingMode) {
        self.content
            .begin_text()
            .set_font(FONT, text.size as f32)
            .set_text_rendering_mode(mode)
            .set_text_matrix([1.0, 0.0, 0.0, -1.0, x as f32, text.place.y as f32])
            .show(Str(glyphs))
            .end_text();
    }

    fn fill_with(&mut self, ink: &Ink) {
        let [red, green, blue] = channels(ink);
        self.content.set_fill_rgb(red, green, blue);
    }

    fn stroke_with(&mut self, ink: &Ink, width: f64, is_dashed: bool) {
        let [red, green, blue] = channels(ink);
        self.content
            .set_stroke_rgb(red, green, blue)
            .set_line_width(width as f32)
            .set_line_cap(LineCapStyle::ButtCap)
            .set_line_join(LineJoinStyle::RoundJoin)
            .set_dash_pattern(if is_dashed { [4.0, 2.0].as_slice() } else { &[] }.to_vec(), 0.0);
    }

    fn path(&mut self, steps: &[Step]) {
        for step in steps {
            match *step {
                Step::Move(to) => self.content.move_to(to.x as f32, to.y as f32),
                Step::Line(to) => self.content.line_to(to.x as f32, to.y as f32),
                Step::Curve(control, back, to) => self.content.cubic_to(
                    control.x as f32,
                    control.y as f32,
                    back.x as f32,
                    back.y as f32,
                    to.x as f32,
                    to.y as f32,
                ),
                Step::Close => self.content.close_path(),
            };
        }
    }
}

fn channels(ink: &Ink) -> [f32; 3] {
    rgb(ink.light()).map(|channel| f32::from(channel) / 255.0)
}

/// Writes the font with the widths and meanings of its glyphs.
fn write_font(font: &Font, characters: &[char], pdf: &mut Pdf) {
    let identity =
        SystemInfo { registry: Str(b"Adobe"), ordering: Str(b"Identity"), supplement: 0 };
    pdf.type0_font(TYPE0_FONT)
        .base_font(FONT_NAME)
        .encoding_predefined(Name(b"Identity-H"))
        .descendant_font(CID_FONT)
        .to_unicode(CHARACTERS);
    let face = font.face();
    let glyphs = (0..face.number_of_glyphs()).map(ttf_parser::GlyphId);
    let mut cid_font = pdf.cid_font(CID_FONT);
    cid_font
        .subtype(CidFontType::Type2)
        .base_font(FONT_NAME)
        .system_info(identity)
        .font_descriptor(DESCRIPTOR)
        .default_width(0.0)
        .cid_to_gid_map_predefined(Name(b"Identity"));
    cid_font.widths().consecutive(0, glyphs.map(|glyph| font.advance(glyph) as f32));
    cid_font.finish();

    let units = |value: i16| f32::from(value) * 1000.0 / f32::from(face.units_per_em());
    let bounds = face.global_bounding_box();
    pdf.font_descriptor(DESCRIPTOR)
        .name(FONT_NAME)
        .flags(FontFlags::NON_SYMBOLIC)
        .bbox(Rect::new(
            units(bounds.x_min),
            units(bounds.y_min),
            units(bounds.x_max),
            units(bounds.y_max),
        ))
        .italic_angle(0.0)
        .ascent(units(face.ascender()))
        .descent(units(face.descender()))
        .cap_height(face.capital_height().map_or(0.0, units))
        .stem_v(80.0)
        .font_file2(FONT_FILE);
    let file = compress_to_vec_zlib(font::BYTES, COMPRESSION);
    let mut stream = pdf.stream(FONT_FILE, &file);
    stream.pair(Name(b"Length1"), font::BYTES.len() as i32);
    stream.filter(Filter::FlateDecode);
    stream.finish();

    let mut used = characters.to_vec();
    used.sort_unstable();
    used.dedup();
    let mut meanings = UnicodeCmap::new(Name(b"Characters"), identity);
    for character in used {
        if let Some(glyph) = font.find(character) {
            meanings.pair(glyph.0, character);
        }
    }
    let meanings = compress_to_vec_zlib(&meanings.finish(), COMPRESSION);
    pdf.cmap(CHARACTERS, &meanings).filter(Filter::FlateDecode);
}
