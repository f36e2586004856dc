//! The font of pictures that cannot ask the viewer for one: a subset of Inter (`fonts/README.md`).
//!
//! Without kerning and ligatures: each character is one glyph.

use ttf_parser::{Face, GlyphId};

/// The file.
pub(crate) const BYTES: &[u8] = include_bytes!("../fonts/Inter-subset.ttf");

/// What stands in for a character that the font has no glyph for: an empty box.
const MISSING: GlyphId = GlyphId(0);

/// The font, ready to be asked.
pub(crate) struct Font(Face<'static>);

impl Font {
    pub(crate) fn embedded() -> Self {
        Self(Face::parse(BYTES, 0).expect("the embedded font is a font"))
    }

    pub(crate) fn face(&self) -> &Face<'static> {
        &self.0
    }

    /// The glyph of a character, if there is one.
    pub(crate) fn find(&self, character: char) -> Option<GlyphId> {
        self.0.glyph_index(character)
    }

    /// The glyph of a character, or what stands in for it.
    pub(crate) fn glyph(&self, character: char) -> GlyphId {
        self.find(character).unwrap_or(MISSING)
    }

    /// How far a glyph moves the pen, in thousandths of the font size.
    pub(crate) fn advance(&self, glyph: GlyphId) -> f64 {
        let units = self.0.glyph_hor_advance(glyph).unwrap_or(0);
        f64::from(units) * 1000.0 / f64::from(self.0.units_per_em())
    }

    /// The width of a text in pixels, at a font size in pixels.
    pub(crate) fn width(&self, text: &str, size: f64) -> f64 {
        let advances = text.chars().map(|character| self.advance(self.glyph(character)));
        advances.sum::<f64>() * size / 1000.0
    }
}
