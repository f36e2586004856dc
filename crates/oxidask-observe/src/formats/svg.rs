//! One self-contained SVG.
//!
//! No script, no font, nothing from outside. Attributes give the colours of a light page; one style
//! sheet inside changes those that differ on a dark one. Nothing has an id, so several drawings can
//! stand in one HTML page.

use std::fmt::Write as _;

use crate::drawing::{Anchor, Card, Drawing, Ink, Mark, Step, Text};
use crate::layout::Point;
use crate::text::push_escaped;

const STYLE: &str = "\
.oxg-t{font-family:system-ui,-apple-system,\"Segoe UI\",Roboto,\"Helvetica Neue\",Arial,\"Noto Sans\",sans-serif}\
@media (prefers-color-scheme:dark){\
.oxg-bg{fill:#15171C}.oxg-c{fill:#D5D8DE}.oxg-e{stroke:#7F8896}.oxg-a{fill:#A4ACB8}\
.oxg-n{stroke:#E8EAEE}.oxg-p{fill:#23262D}.oxg-pt{fill:#E8EAEE}.oxg-l{fill:#D5D8DE;stroke:#15171C}}";

/// Writes a drawing as SVG.
pub fn write(drawing: &Drawing) -> String {
    let mut out = String::with_capacity(2000 + 500 * drawing.sizes.len());
    let (width, height) = (Number(drawing.size.width), Number(drawing.size.height));
    let _ = writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" role=\"img\">"
    );
    push_element("title", &drawing.scene.title, &mut out);
    push_element("desc", &drawing.scene.caption.join(" "), &mut out);
    let _ = writeln!(out, "<style>{STYLE}</style>");
    let _ = writeln!(
        out,
        "<rect class=\"oxg-bg\" width=\"{width}\" height=\"{height}\" fill=\"{}\"/>",
        Ink::Background.light()
    );
    for mark in &drawing.marks {
        push_mark(mark, &mut out);
    }
    out.push_str("</svg>\n");
    out
}

fn push_element(name: &str, content: &str, out: &mut String) {
    let _ = write!(out, "<{name}>");
    push_escaped(content, out);
    let _ = writeln!(out, "</{name}>");
}

fn push_mark(mark: &Mark, out: &mut String) {
    match mark {
        Mark::Lines { path, width, ink } => {
            let class = if *ink == Ink::Line { "class=\"oxg-e\" " } else { "" };
            let _ = writeln!(
                out,
                "<path {class}fill=\"none\" stroke=\"{}\" stroke-width=\"{width}\" \
                 stroke-linejoin=\"round\" d=\"{}\"/>",
                ink.light(),
                Path(path),
            );
        }
        Mark::Heads { path, ink } => {
            let class = if *ink == Ink::Head { "class=\"oxg-a\" " } else { "" };
            let _ = writeln!(out, "<path {class}fill=\"{}\" d=\"{}\"/>", ink.light(), Path(path));
        }
        Mark::Node { title, cards, texts } => {
            out.push_str("<g>");
            if !title.is_empty() {
                out.push_str("<title>");
                push_escaped(title, out);
                out.push_str("</title>");
            }
            for card in cards {
                push_card(card, out);
            }
            for text in texts {
                push_text(text, out);
            }
            out.push_str("</g>\n");
        }
        Mark::Swatch(card) => {
            push_card(card, out);
            out.push('\n');
        }
        Mark::Text(text) => {
            push_text(text, out);
            out.push('\n');
        }
    }
}

fn push_card(card: &Card, out: &mut String) {
    out.push_str("<rect");
    let border = if card.border == Some(Ink::Border) { "oxg-n" } else { "" };
    let fill = if card.fill == Ink::Plain { "oxg-p" } else { "" };
    match (border, fill) {
        ("", "") => {}
        (one, "") | ("", one) => _ = write!(out, " class=\"{one}\""),
        (one, other) => _ = write!(out, " class=\"{one} {other}\""),
    }
    let _ = write!(
        out,
        " x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" rx=\"{}\" fill=\"{}\"",
        Number(card.corner.x),
        Number(card.corner.y),
        Number(card.size.width),
        Number(card.size.height),
        Number(card.radius),
        card.fill.light(),
    );
    if let Some(border) = &card.border {
        let _ =
            write!(out, " stroke=\"{}\" stroke-width=\"{}\"", border.light(), card.border_width);
    }
    if card.is_dashed {
        out.push_str(" stroke-dasharray=\"4 2\"");
    }
    out.push_str("/>");
}

fn push_text(text: &Text, out: &mut String) {
    let class = match text.ink {
        Ink::PlainText => " oxg-pt",
        Ink::Caption => " oxg-c",
        Ink::Count => " oxg-l",
        _ => "",
    };
    let _ = write!(
        out,
        "<text class=\"oxg-t{class}\" x=\"{}\" y=\"{}\" font-family=\"sans-serif\" font-size=\"{}\"",
        Number(text.place.x),
        Number(text.place.y),
        text.size,
    );
    if text.anchor == Anchor::Middle {
        out.push_str(" text-anchor=\"middle\"");
    }
    let _ = write!(out, " fill=\"{}\"", text.ink.light());
    if text.has_rim {
        let _ = write!(
            out,
            " stroke=\"{}\" stroke-width=\"3\" stroke-linejoin=\"round\" paint-order=\"stroke\"",
            Ink::Background.light()
        );
    }
    out.push('>');
    push_escaped(&text.content, out);
    out.push_str("</text>");
}

/// A path in the language of SVG.
struct Path<'a>(&'a [Step]);

impl std::fmt::Display for Path<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let pair = |point: Point| (Number(point.x), Number(point.y));
        for step in self.0 {
            match *step {
                Step::Move(to) => write!(out, "M{} {}", pair(to).0, pair(to).1)?,
                Step::Line(to) => write!(out, "L{} {}", pair(to).0, pair(to).1)?,
                Step::Curve(control, back, to) => {
                    let (control, back, to) = (pair(control), pair(back), pair(to));
                    write!(
                        out,
                        "C{} {} {} {} {} {}",
                        control.0, control.1, back.0, back.1, to.0, to.1
                    )?;
                }
                Step::Close => out.write_str("Z")?,
            }
        }
        Ok(())
    }
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
