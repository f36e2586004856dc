//! The picture of a task graph: what `.visualize()` shows.
//!
//! Up to a limit each task is drawn; beyond, groups of tasks with counts ([`crate::collapse`]).

use std::fmt::{self, Write as _};

use crate::collapse::{Collapsed, Rule, collapse};
use crate::drawing::Drawing;
use crate::layout::{Direction, LayoutError, layers};
use crate::palette::{GROUP_FILLS, blend, group_fill, order_fill};
use crate::scene::{Arrow, Fill, Legend, Outline, Scene, Shape, Style};
use crate::text::thousands;

/// What a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A value that is given; drawn as a box.
    Data,
    /// A function call; drawn as a pill.
    Call,
}

/// One task.
#[derive(Clone, Debug, PartialEq)]
pub struct Task {
    /// What is written in it, normally the name of the function.
    pub label: String,
    /// A second, smaller line, such as the index of the result; may be empty.
    pub detail: String,
    /// The whole key, shown while the pointer rests on the task.
    pub key: String,
    /// Its prefix, as an index into [`TaskGraph::prefixes`].
    pub prefix: u32,
    /// Value or call.
    pub kind: Kind,
    /// Its place in the order of execution, if known.
    pub order: Option<u32>,
    /// How long it takes in seconds, if known.
    pub seconds: Option<f64>,
    /// Its colour, if it is not the one that others of its kind have: `#RRGGBB`.
    pub fill: Option<String>,
}

/// What is to be drawn.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TaskGraph {
    /// The tasks.
    pub tasks: Vec<Task>,
    /// The names of prefixes, in the order of their first tasks; colours follow this order.
    pub prefixes: Vec<String>,
    /// Dependency and dependent, as indices into `tasks`.
    pub edges: Vec<(u32, u32)>,
}

/// What colours mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Colouring {
    /// Each prefix has its colour.
    Prefix,
    /// Dark runs first, light last; `last` is the place that is lightest (else the last there is).
    Order {
        /// The place in the order that gets the lightest colour.
        last: Option<u32>,
        /// The colours from first to last, `#RRGGBB`; none for the usual ones.
        fills: Vec<String>,
    },
}

/// How to draw.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Which way dependencies point.
    pub direction: Direction,
    /// What colours mean.
    pub colouring: Colouring,
    /// The most tasks that are drawn one by one.
    pub limit: usize,
    /// Draw the result of each call as a box of its own.
    pub has_results: bool,
    /// What is to be drawn otherwise.
    pub style: Style,
}

/// Why a graph cannot be drawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PictureError {
    /// The edges are no graph of the tasks.
    Layout(LayoutError),
    /// A task names a prefix that does not exist.
    NoSuchPrefix {
        /// Index of the task.
        task: usize,
        /// What it names.
        prefix: u32,
        /// How many prefixes there are.
        prefixes: usize,
    },
}

impl fmt::Display for PictureError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Layout(error) => error.fmt(formatter),
            Self::NoSuchPrefix { task, prefix, prefixes } => write!(
                formatter,
                "task {task} has prefix {prefix}, but there are {prefixes} prefixes, counted from 0",
            ),
        }
    }
}

impl std::error::Error for PictureError {}

impl From<LayoutError> for PictureError {
    fn from(error: LayoutError) -> Self {
        Self::Layout(error)
    }
}

/// Draws a task graph; [`crate::formats`] write it down.
///
/// # Errors
/// If an edge names no task, a task names no prefix, or tasks depend on each other in a circle.
pub fn draw(graph: &TaskGraph, options: &Options) -> Result<Drawing, PictureError> {
    let prefixes = graph.prefixes.len();
    for (task, &Task { prefix, .. }) in graph.tasks.iter().enumerate() {
        if prefix as usize >= prefixes {
            return Err(PictureError::NoSuchPrefix { task, prefix, prefixes });
        }
    }
    let facts = Facts::of(graph)?;
    let scale = Scale::of(graph, &options.colouring);
    let mut scene = Scene {
        shapes: Vec::new(),
        arrows: Vec::new(),
        direction: options.direction,
        title: format!("Task graph: {}", facts.names),
        caption: vec![facts.caption],
        legend: scale.legend(),
        style: options.style.clone(),
    };
    if graph.tasks.len() > options.limit {
        let prefix_of: Vec<u32> = graph.tasks.iter().map(|task| task.prefix).collect();
        let collapsed = collapse(&prefix_of, &graph.prefixes, &graph.edges, options.limit)?;
        scene.caption.push(note(&collapsed, options.limit));
        add_groups(graph, &collapsed, &scale, &mut scene);
    } else {
        add_tasks(graph, &scale, &mut scene);
        if options.has_results {
            add_results(graph, &mut scene);
        }
    }
    Ok(Drawing::new(scene)?)
}

/// What the caption says.
struct Facts {
    names: String,
    caption: String,
}

impl Facts {
    fn of(graph: &TaskGraph) -> Result<Self, LayoutError> {
        let layer_of = layers(graph.tasks.len(), &graph.edges)?;
        let depth = layer_of.iter().max().map_or(0, |&last| last as usize + 1);
        let mut widths = vec![0; depth];
        for &layer in &layer_of {
            widths[layer as usize] += 1;
        }
        let widest = widths.into_iter().max().unwrap_or(0);
        let count = graph.tasks.len();
        let mut caption = format!(
            "{} {} · depth {} · max width {}",
            thousands(count),
            if count == 1 { "task" } else { "tasks" },
            thousands(depth),
            thousands(widest),
        );
        if let Some((work, span)) = work_and_span(graph, &layer_of) {
            let _ = write!(caption, " · T1 {} · T∞ {}", duration(work), duration(span));
            if span > 0.0 {
                let _ = write!(caption, " · parallelism {:.1}", work / span);
            }
        }
        let shown: Vec<&str> = graph.prefixes.iter().take(5).map(String::as_str).collect();
        let dots = if graph.prefixes.len() > shown.len() { ", …" } else { "" };
        let names = if shown.is_empty() { "empty".to_owned() } else { shown.join(", ") + dots };
        Ok(Self { names, caption })
    }
}

/// The time of all tasks after each other (T1), and of the longest chain (T∞).
fn work_and_span(graph: &TaskGraph, layer_of: &[u32]) -> Option<(f64, f64)> {
    let seconds: Vec<f64> = graph.tasks.iter().map(|task| task.seconds).collect::<Option<_>>()?;
    if seconds.is_empty() {
        return None;
    }
    let mut edges = graph.edges.clone();
    edges.sort_by_key(|edge| layer_of[edge.0 as usize]);
    let mut ends = seconds.clone();
    for (source, target) in edges {
        let end = ends[source as usize] + seconds[target as usize];
        ends[target as usize] = ends[target as usize].max(end);
    }
    Some((seconds.iter().sum(), ends.into_iter().fold(0.0, f64::max)))
}

fn duration(seconds: f64) -> String {
    match seconds {
        0.0 => "0 s".to_owned(),
        ..1e-3 => format!("{:.0} µs", seconds * 1e6),
        ..1.0 => format!("{:.0} ms", seconds * 1e3),
        ..100.0 => format!("{seconds:.1} s"),
        ..6000.0 => format!("{:.1} min", seconds / 60.0),
        _ => format!("{:.1} h", seconds / 3600.0),
    }
}

/// What colours mean in this graph.
enum Scale {
    Prefix,
    Order { last: f64, fills: Vec<String> },
}

impl Scale {
    fn of(graph: &TaskGraph, colouring: &Colouring) -> Self {
        match colouring {
            Colouring::Prefix => Self::Prefix,
            Colouring::Order { last, fills } => {
                let highest = graph.tasks.iter().filter_map(|task| task.order).max();
                let last = f64::from(last.or(highest).unwrap_or(0));
                Self::Order { last, fills: fills.clone() }
            }
        }
    }

    fn fill(&self, prefix: u32, order: Option<f64>) -> Fill {
        match (self, order) {
            (Self::Prefix, _) => Fill::Colour(group_fill(prefix as usize).to_owned()),
            (Self::Order { last, fills }, Some(order)) => {
                Fill::Colour(order_colour(fills, order / last.max(1.0)))
            }
            (Self::Order { .. }, None) => Fill::Plain,
        }
    }

    fn is_dashed(&self, prefix: u32) -> bool {
        matches!(self, Self::Prefix) && (prefix as usize / GROUP_FILLS.len()) % 2 == 1
    }

    fn legend(&self) -> Option<Legend> {
        let Self::Order { last, fills } = self else { return None };
        let step = |index: usize| index as f64 / (LEGEND_STEPS - 1) as f64;
        Some(Legend {
            fills: (0..LEGEND_STEPS).map(|index| order_colour(fills, step(index))).collect(),
            ends: ["#0".to_owned(), format!("#{}", thousands(*last as usize))],
            meaning: "order of execution".to_owned(),
        })
    }

    fn is_order(&self) -> bool {
        matches!(self, Self::Order { .. })
    }
}

/// The colour of a place in the order, on the user's scale if there is one.
fn order_colour(fills: &[String], place: f64) -> String {
    if fills.is_empty() { order_fill(place) } else { blend(fills, place) }
}

/// Colours in the legend of the order.
const LEGEND_STEPS: usize = 24;

fn outline(kind: Kind) -> Outline {
    match kind {
        Kind::Data => Outline::Box,
        Kind::Call => Outline::Pill,
    }
}

fn task_shape(task: &Task, scale: &Scale) -> Shape {
    let mut detail = task.detail.clone();
    if let (true, Some(order)) = (scale.is_order(), task.order) {
        if !detail.is_empty() {
            detail.push_str(" · ");
        }
        let _ = write!(detail, "#{order}");
    }
    Shape {
        label: task.label.clone(),
        detail,
        title: task.key.clone(),
        outline: outline(task.kind),
        fill: match &task.fill {
            Some(own) => Fill::Colour(own.clone()),
            None => scale.fill(task.prefix, task.order.map(f64::from)),
        },
        is_dashed: scale.is_dashed(task.prefix),
        tasks: 1,
    }
}

fn add_tasks(graph: &TaskGraph, scale: &Scale, scene: &mut Scene) {
    scene.shapes.extend(graph.tasks.iter().map(|task| task_shape(task, scale)));
    let arrow = |&(source, target): &(u32, u32)| Arrow { source, target, count: 1 };
    scene.arrows.extend(graph.edges.iter().map(arrow));
}

/// Puts a plain box behind each call, which dependents then use.
fn add_results(graph: &TaskGraph, scene: &mut Scene) {
    let mut output_of: Vec<u32> = (0..graph.tasks.len() as u32).collect();
    for (index, task) in graph.tasks.iter().enumerate() {
        if task.kind == Kind::Call {
            output_of[index] = scene.shapes.len() as u32;
            // The index stands on the result, so the call needs no second line for it.
            let detail = std::mem::take(&mut scene.shapes[index].detail);
            let order = detail.rfind('#').map(|start| detail[start..].to_owned());
            scene.shapes[index].detail = order.unwrap_or_default();
            scene.shapes.push(Shape {
                label: task.detail.clone(),
                detail: String::new(),
                title: task.key.clone(),
                outline: Outline::Box,
                fill: Fill::Plain,
                is_dashed: false,
                tasks: 0,
            });
        }
    }
    for arrow in &mut scene.arrows {
        arrow.source = output_of[arrow.source as usize];
    }
    for (call, &output) in (0..).zip(&output_of) {
        if call != output {
            scene.arrows.push(Arrow { source: call, target: output, count: 1 });
        }
    }
}

fn add_groups(graph: &TaskGraph, collapsed: &Collapsed, scale: &Scale, scene: &mut Scene) {
    let mut members: Vec<Members> = vec![Members::default(); collapsed.groups.len()];
    for (task, &group) in graph.tasks.iter().zip(&collapsed.group_of) {
        members[group as usize].add(task);
    }
    for (group, members) in collapsed.groups.iter().zip(&members) {
        if let (1, Some(task)) = (group.tasks, members.first) {
            scene.shapes.push(task_shape(task, scale));
            continue;
        }
        let mut detail = format!("×{}", thousands(group.tasks));
        if let (true, Some((first, last))) = (scale.is_order(), members.orders) {
            let _ = write!(detail, " · #{first}–#{last}");
        }
        let inner = thousands(group.inner_edges);
        let title = match group.inner_edges {
            0 => format!("{}: {} tasks", group.name, thousands(group.tasks)),
            1 => {
                format!("{}: {} tasks, 1 dependency among them", group.name, thousands(group.tasks))
            }
            _ => format!(
                "{}: {} tasks, {inner} dependencies among them",
                group.name,
                thousands(group.tasks)
            ),
        };
        if group.inner_edges > 0 {
            let _ = write!(detail, " · {inner} inside");
        }
        scene.shapes.push(Shape {
            label: group.name.clone(),
            detail,
            title,
            outline: if members.has_call { Outline::Pill } else { Outline::Box },
            fill: scale.fill(group.prefix, members.mean_order()),
            is_dashed: scale.is_dashed(group.prefix),
            tasks: group.tasks,
        });
    }
    let arrow = |&(source, target, count): &(u32, u32, usize)| Arrow { source, target, count };
    scene.arrows.extend(collapsed.edges.iter().map(arrow));
}

/// What the tasks of a group have in common.
#[derive(Clone, Default)]
struct Members<'a> {
    first: Option<&'a Task>,
    has_call: bool,
    orders: Option<(u32, u32)>,
}

impl<'a> Members<'a> {
    fn add(&mut self, task: &'a Task) {
        self.first = self.first.or(Some(task));
        self.has_call |= task.kind == Kind::Call;
        if let Some(order) = task.order {
            let (first, last) = self.orders.unwrap_or((order, order));
            self.orders = Some((first.min(order), last.max(order)));
        }
    }

    fn mean_order(&self) -> Option<f64> {
        self.orders.map(|(first, last)| f64::midpoint(f64::from(first), f64::from(last)))
    }
}

fn note(collapsed: &Collapsed, limit: usize) -> String {
    let how = match collapsed.rule {
        Rule::Prefix => "grouped by prefix",
        Rule::PrefixAndStage => "grouped by prefix and stage",
        Rule::Circles => "grouped by prefix, prefixes that feed each other together",
        Rule::Layers => "grouped by depth, as there are too many prefixes",
    };
    format!(
        "More than {} tasks: {how}. × counts tasks and dependencies; give a higher limit to see each task.",
        thousands(limit),
    )
}

#[cfg(test)]
mod tests;
