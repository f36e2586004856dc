//! Texts in drawings: how wide they are, and what may stand in XML.
//!
//! Nothing here asks the viewer for a font. Widths are those of wide sans-serif faces, so a label that
//! fits by this table fits in whatever narrower face the viewer picks, and in the embedded one.

use crate::font::Font;

/// Advance widths of the printable ASCII characters, from the space on, in thousandths of the size:
/// the greater of `DejaVu` Sans, the widest usual face, and the embedded font.
const ASCII_WIDTHS: [u16; 95] = [
    318, 401, 466, 838, 642, 982, 780, 300, 390, 390, 501, 838, 318, 460, 318, 361, 636, 636, 636,
    636, 646, 636, 636, 636, 636, 636, 337, 337, 838, 838, 838, 531, 1000, 690, 686, 731, 770, 632,
    591, 775, 752, 295, 571, 672, 566, 904, 754, 787, 639, 787, 695, 642, 646, 745, 690, 989, 685,
    679, 685, 390, 361, 390, 838, 500, 500, 613, 635, 572, 635, 615, 371, 635, 634, 278, 278, 579,
    278, 974, 634, 612, 635, 635, 411, 528, 392, 634, 592, 819, 592, 592, 553, 636, 337, 636, 838,
];

/// What stands for a character that XML or a reader cannot take.
const REPLACEMENT: char = '\u{FFFD}';

/// The width of a text in pixels, at a font size in pixels.
pub fn width(text: &str, font_size: f64) -> f64 {
    text.chars().map(advance).sum::<f64>() * font_size / 1000.0
}

/// The text if it fits in `room` pixels, else its beginning with an ellipsis.
pub fn fit(text: &str, font_size: f64, room: f64) -> String {
    if width(text, font_size) <= room {
        return text.to_owned();
    }
    let room = room - width("…", font_size);
    let mut used = 0.0;
    let kept = text.chars().take_while(|&character| {
        used += advance(character) * font_size / 1000.0;
        used <= room
    });
    let mut shortened: String = kept.collect();
    shortened.push('…');
    shortened
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

/// Appends a text as XML character data that is also safe in a quoted attribute.
pub fn push_escaped(text: &str, out: &mut String) {
    for character in text.chars() {
        match readable(character) {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
}

/// The character, or what stands for it: XML has no control characters, and those that turn the
/// direction of writing would make a label read as another one.
fn readable(character: char) -> char {
    match character {
        '\t' | '\n' | '\r' | '\u{2028}' | '\u{2029}' => ' ',
        '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FFFE}' | '\u{FFFF}' => REPLACEMENT,
        other if other.is_control() => REPLACEMENT,
        other => other,
    }
}

fn advance(character: char) -> f64 {
    let code = character as u32;
    match code {
        0x20..=0x7E => f64::from(ASCII_WIDTHS[code as usize - 0x20]),
        0x300..=0x36F | 0x200B..=0x200F | 0xFE00..=0xFE0F => 0.0,
        0x2026 | 0..0x20 => 1000.0,
        0xB7 => 318.0,
        0x2013 => 500.0,
        0x7F..=0x10FF => embedded_advance(character).max(780.0),
        0x1_0000.. => 1370.0,
        _ => 1050.0,
    }
}

fn embedded_advance(character: char) -> f64 {
    let font = Font::embedded();
    font.find(character).map_or(0.0, |glyph| font.advance(glyph))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(text: &str) -> String {
        let mut out = String::new();
        push_escaped(text, &mut out);
        out
    }

    #[test]
    fn markup_is_only_text() {
        assert_eq!(
            escaped("</title><script>alert('1' & \"2\")</script>"),
            "&lt;/title&gt;&lt;script&gt;alert(&#39;1&#39; &amp; &quot;2&quot;)&lt;/script&gt;",
        );
    }

    #[test]
    fn control_characters_are_replaced() {
        assert_eq!(escaped("a\0b\u{1b}[31m\u{7f}\u{85}"), "a\u{FFFD}b\u{FFFD}[31m\u{FFFD}\u{FFFD}");
        assert_eq!(escaped("a\tb\r\nc\u{2028}d"), "a b  c d");
        assert_eq!(escaped("\u{202e}cod.exe\u{2066}\u{ffff}"), "\u{FFFD}cod.exe\u{FFFD}\u{FFFD}");
    }

    #[test]
    fn other_scripts_stay() {
        assert_eq!(escaped("größe 平均 😀"), "größe 平均 😀");
    }

    #[test]
    fn a_text_that_fits_stays_whole() {
        assert_eq!(fit("mean", 12.0, 100.0), "mean");
    }

    #[test]
    fn a_long_text_ends_in_an_ellipsis_and_fits() {
        let long = "read_parquet_with_a_long_name".repeat(20);
        let short = fit(&long, 12.0, 150.0);
        assert!(short.ends_with('…') && long.starts_with(short.trim_end_matches('…')));
        assert!(width(&short, 12.0) <= 150.0);
        assert!(width(&short, 12.0) > 130.0);
    }

    #[test]
    fn wide_scripts_take_more_room() {
        assert!(width("平均", 12.0) > width("ab", 12.0));
        assert!(width("mmm", 12.0) > width("iii", 12.0));
    }
}
