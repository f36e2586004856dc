//! Texts in drawings: how wide they are, and what may stand in XML.
//!
//! Nothing here asks for a font. Widths are those of a wide sans-serif face, so a label that fits by
//! this table fits in whatever narrower face the viewer picks.

/// Advance widths of the printable ASCII characters, from the space on, in thousandths of the size.
const ASCII_WIDTHS: [u16; 95] = [
    318, 401, 460, 838, 636, 950, 780, 275, 390, 390, 500, 838, 318, 361, 318, 337, 636, 636, 636,
    636, 636, 636, 636, 636, 636, 636, 337, 337, 838, 838, 838, 531, 1000, 684, 686, 698, 770, 632,
    575, 775, 752, 295, 295, 656, 557, 863, 748, 787, 603, 787, 695, 635, 611, 732, 684, 989, 685,
    611, 685, 390, 337, 390, 838, 500, 500, 613, 635, 550, 635, 615, 352, 635, 634, 278, 278, 579,
    278, 974, 634, 612, 635, 635, 411, 521, 392, 634, 592, 818, 592, 592, 525, 636, 337, 636, 838,
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
        0x7F..=0x10FF => 780.0,
        0x1_0000.. => 1370.0,
        _ => 1050.0,
    }
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
