//! The language of graphviz.

use std::fmt::Write as _;

use crate::drawing::{Drawing, Ink, count_of};
use crate::layout::Direction;
use crate::palette::text_on;
use crate::scene::{Fill, Outline};

/// Writes what is drawn, without places: graphviz finds its own.
///
/// `statements` stand before the nodes, as they are: `graph`, `node` and `edge` with attributes.
pub fn write(drawing: &Drawing, statements: &str) -> String {
    let scene = &drawing.scene;
    let mut out = String::from("digraph {\n");
    let _ = writeln!(
        out,
        "  graph [rankdir={}, label={}, labeljust=l, fontname=\"Helvetica\", fontsize=12]",
        rank_direction(scene.direction),
        Quoted(&scene.caption.join("\n")),
    );
    out.push_str("  node [style=filled, fontname=\"Helvetica\", fontsize=12]\n");
    let _ = writeln!(
        out,
        "  edge [color=\"{}\", arrowsize=0.7, fontname=\"Helvetica\", fontsize=10]",
        Ink::Line.light()
    );
    if !statements.is_empty() {
        let _ = writeln!(out, "  {statements}");
    }
    for (index, shape) in scene.shapes.iter().enumerate() {
        let label = if shape.detail.is_empty() {
            shape.label.clone()
        } else {
            format!("{}\n{}", shape.label, shape.detail)
        };
        let (fill, ink) = match &shape.fill {
            Fill::Plain => (Ink::Plain.light(), Ink::PlainText.light()),
            Fill::Colour(fill) => (fill.as_str(), text_on(fill)),
        };
        let form = match shape.outline {
            Outline::Pill => "ellipse",
            Outline::Box => "box",
        };
        let _ = write!(
            out,
            "  n{index} [label={}, tooltip={}, shape={form}, fillcolor=\"{fill}\", fontcolor=\"{ink}\"",
            Quoted(&label),
            Quoted(&shape.title),
        );
        if shape.is_dashed {
            out.push_str(", style=\"filled,dashed\"");
        }
        if shape.is_stack() {
            out.push_str(", peripheries=2");
        }
        out.push_str("]\n");
    }
    for arrow in &scene.arrows {
        let _ = write!(out, "  n{} -> n{}", arrow.source, arrow.target);
        if arrow.count > 1 {
            let _ = write!(out, " [label={}]", Quoted(&count_of(arrow)));
        }
        out.push('\n');
    }
    out.push_str("}\n");
    out
}

fn rank_direction(direction: Direction) -> &'static str {
    match direction {
        Direction::TopToBottom => "TB",
        Direction::BottomToTop => "BT",
        Direction::LeftToRight => "LR",
        Direction::RightToLeft => "RL",
    }
}

/// A string in quotes. Backslashes are doubled, so that graphviz reads no escape (`\N`) in a name.
struct Quoted<'a>(&'a str);

impl std::fmt::Display for Quoted<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("\"")?;
        for character in self.0.chars() {
            match character {
                '"' => out.write_str("\\\"")?,
                '\\' => out.write_str("\\\\")?,
                '\n' => out.write_str("\\n")?,
                other if other.is_control() => out.write_str("\u{FFFD}")?,
                other => out.write_char(other)?,
            }
        }
        out.write_str("\"")
    }
}
