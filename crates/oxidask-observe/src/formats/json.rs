//! What is drawn and where, for other programs.

use std::fmt::{self, Write as _};

use crate::drawing::Drawing;
use crate::scene::{Fill, Outline};

/// Writes a drawing as JSON, one node or edge a line: sizes and places in pixels, `x` and `y` of
/// the centre.
pub fn write(drawing: &Drawing) -> String {
    let scene = &drawing.scene;
    let mut out = String::new();
    let _ = write!(
        out,
        "{{\"schema\": \"oxidask.picture/1\",\n\"title\": {},\n\"caption\": {},\n\"width\": {}, \"height\": {},\n\"nodes\": [",
        Quoted(&scene.title),
        Quoted(&scene.caption.join("\n")),
        drawing.size.width,
        drawing.size.height,
    );
    let places = drawing.centres.iter().zip(&drawing.sizes);
    for (index, (shape, (centre, size))) in scene.shapes.iter().zip(places).enumerate() {
        let _ = write!(
            out,
            "{}\n{{\"id\": {index}, \"key\": {}, \"label\": {}, \"detail\": {}, \"kind\": \"{}\", \
             \"tasks\": {}, \"fill\": {}, \"x\": {:.1}, \"y\": {:.1}, \"width\": {}, \"height\": {}}}",
            if index == 0 { "" } else { "," },
            Quoted(&shape.title),
            Quoted(&shape.label),
            Quoted(&shape.detail),
            match shape.outline {
                Outline::Pill => "call",
                Outline::Box => "data",
            },
            shape.tasks,
            Colour(&shape.fill),
            centre.x,
            centre.y,
            size.width,
            size.height,
        );
    }
    out.push_str("],\n\"edges\": [");
    for (index, arrow) in scene.arrows.iter().enumerate() {
        let _ = write!(
            out,
            "{}\n{{\"source\": {}, \"target\": {}, \"count\": {}}}",
            if index == 0 { "" } else { "," },
            arrow.source,
            arrow.target,
            arrow.count,
        );
    }
    out.push_str("]}\n");
    out
}

struct Colour<'a>(&'a Fill);

impl fmt::Display for Colour<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Fill::Plain => out.write_str("null"),
            Fill::Colour(colour) => Quoted(colour).fmt(out),
        }
    }
}

/// A JSON string.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("\"")?;
        for character in self.0.chars() {
            match character {
                '"' => out.write_str("\\\"")?,
                '\\' => out.write_str("\\\\")?,
                '\n' => out.write_str("\\n")?,
                other if other.is_control() => write!(out, "\\u{:04x}", other as u32)?,
                other => out.write_char(other)?,
            }
        }
        out.write_str("\"")
    }
}
