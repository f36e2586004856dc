//! What is to be drawn, before anything has a place.

use crate::layout::Direction;

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
    /// For how many tasks it stands: from 2 on, it is drawn as a stack of cards. None for the
    /// result of a task.
    pub tasks: usize,
}

impl Shape {
    /// Whether it stands for many.
    pub fn is_stack(&self) -> bool {
        self.tasks > 1
    }
}

/// One arrow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrow {
    /// Index of the shape it leaves.
    pub source: u32,
    /// Index of the shape it points to.
    pub target: u32,
    /// For how many dependencies it stands; from 2 on, this is written on it.
    pub count: usize,
}

/// What a scale of colours means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Legend {
    /// The fills, from first to last.
    pub fills: Vec<String>,
    /// What stands before the first and after the last.
    pub ends: [String; 2],
    /// What the colours tell.
    pub meaning: String,
}

/// What the user wants drawn otherwise.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Style {
    /// The colour of borders, `#RRGGBB`.
    pub border: Option<String>,
    /// The width of borders in pixels.
    pub border_width: Option<f64>,
    /// The colour of arrows, `#RRGGBB`.
    pub line: Option<String>,
    /// The width of arrows in pixels.
    pub line_width: Option<f64>,
}

/// A drawing before it is laid out.
#[derive(Clone, Debug, PartialEq)]
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
    /// Stands above the caption, if colours form a scale.
    pub legend: Option<Legend>,
    /// What the user wants drawn otherwise.
    pub style: Style,
}
