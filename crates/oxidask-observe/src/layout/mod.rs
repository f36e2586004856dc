//! Places the nodes of a directed acyclic graph in layers and routes its edges between them.
//!
//! The steps are those of Sugiyama, one file each: [`mod@layers`] gives each node a layer,
//! [`proper`] cuts long edges at each layer they pass, [`crossings`] orders each layer,
//! [`coordinates`] moves the nodes sideways. A very wide layer may become two [`rows`]. Each connected component is laid out alone.
//!
//! Edges turn only in the empty gaps between layers and pass a layer straight, in a place kept free
//! for them; so they pass beside nodes, never through them. (The exception: a graph whose long edges
//! would cost far more than its nodes has the longest drawn as straight lines.)

mod coordinates;
mod crossings;
mod layers;
mod proper;
mod rows;

use std::fmt;
use std::str::FromStr;

use self::proper::Proper;

/// Free space between two neighbouring nodes of a layer.
const NODE_GAP: f64 = 11.0;
/// The space between two rows of one layer.
const ROW_GAP: f64 = 12.0;
/// The space between two layers if all edges between them run straight.
const LEAST_LAYER_GAP: f64 = 28.0;
/// The space between two layers if edges move sideways a little.
const LAYER_GAP: f64 = 38.0;
/// How much space they need in proportion to how far they move.
const RUN_SHARE: f64 = 0.16;
/// The most space between two layers.
const WIDEST_LAYER_GAP: f64 = 240.0;
/// The same where layers are columns: these drawings are tall, and there is room beside them.
const RUN_SHARE_SIDEWAYS: f64 = 0.3;
/// The most space between two layers that are columns.
const WIDEST_LAYER_GAP_SIDEWAYS: f64 = 320.0;
/// Free space between two components.
const COMPONENT_GAP: f64 = 26.0;
/// Components stand in one row up to this width; beyond, rows are filled to a landscape shape.
const ROW_WIDTH: f64 = 1000.0;

/// Which way edges point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Sources on top (`TB`).
    TopToBottom,
    /// Sources at the bottom (`BT`).
    BottomToTop,
    /// Sources on the left (`LR`).
    LeftToRight,
    /// Sources on the right (`RL`).
    RightToLeft,
}

impl Direction {
    /// Whether layers are rows: edges run along the y axis.
    pub fn is_vertical(self) -> bool {
        matches!(self, Self::TopToBottom | Self::BottomToTop)
    }

    fn is_flipped(self) -> bool {
        matches!(self, Self::BottomToTop | Self::RightToLeft)
    }
}

/// A direction that is none of the four.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownDirection(String);

impl fmt::Display for UnknownDirection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "rankdir {:?} is not known; give TB, BT, LR or RL", self.0)
    }
}

impl std::error::Error for UnknownDirection {}

impl FromStr for Direction {
    type Err = UnknownDirection;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "TB" => Ok(Self::TopToBottom),
            "BT" => Ok(Self::BottomToTop),
            "LR" => Ok(Self::LeftToRight),
            "RL" => Ok(Self::RightToLeft),
            _ => Err(UnknownDirection(name.to_owned())),
        }
    }
}

/// Width and height of a node or of the whole drawing, in pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Size {
    /// Extent along x.
    pub width: f64,
    /// Extent along y.
    pub height: f64,
}

/// A place in the drawing: x to the right, y down, from the upper left corner.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Point {
    /// Pixels from the left.
    pub x: f64,
    /// Pixels from the top.
    pub y: f64,
}

/// Where everything goes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Layout {
    /// The centre of each node, in the order they were given.
    pub nodes: Vec<Point>,
    /// The bends of each edge from the border of its source to that of its target, in the order
    /// they were given. A step either follows the direction of the drawing straight, or crosses the
    /// gap between two layers; only there a curve may replace the straight line.
    pub edges: Vec<Vec<Point>>,
    /// The box around all of it.
    pub size: Size,
    /// How often edges cross in the gaps between layers; those that leave one node count as one line
    /// where they pass a layer together.
    pub crossings: usize,
}

/// Why a graph cannot be laid out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LayoutError {
    /// These nodes depend on each other, each on the one before and the first on the last.
    Cycle {
        /// Indices of the nodes.
        nodes: Vec<u32>,
    },
    /// An edge names a node that does not exist.
    NoSuchNode {
        /// Source and target of the edge.
        edge: (u32, u32),
        /// How many nodes there are.
        nodes: usize,
    },
}

impl fmt::Display for LayoutError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cycle { nodes } => {
                let shown: Vec<String> = nodes.iter().take(8).map(u32::to_string).collect();
                let dots = if nodes.len() > shown.len() { " -> …" } else { "" };
                write!(
                    formatter,
                    "{} tasks depend on each other in a circle ({}{dots}); remove one of these dependencies",
                    nodes.len(),
                    shown.join(" -> "),
                )
            }
            Self::NoSuchNode { edge: (source, target), nodes } => write!(
                formatter,
                "edge {source} -> {target} names a task that does not exist; there are {nodes} tasks, counted from 0",
            ),
        }
    }
}

impl std::error::Error for LayoutError {}

/// The layer of each node: one more than its last dependency's, sources as late as possible.
///
/// # Errors
/// If an edge names no node, or the edges form a cycle.
pub fn layers(nodes: usize, edges: &[(u32, u32)]) -> Result<Vec<u32>, LayoutError> {
    check_edges(nodes, edges)?;
    layers::assign(nodes, &Csr::outgoing(nodes, edges), &Csr::incoming(nodes, edges))
}

/// Lays out a graph; `edges` are pairs of indices into `sizes`, source first.
///
/// # Errors
/// If an edge names no node, or the edges form a cycle.
pub fn layout(
    sizes: &[Size],
    edges: &[(u32, u32)],
    direction: Direction,
) -> Result<Layout, LayoutError> {
    let layer_of = layers(sizes.len(), edges)?;
    let sizes: Vec<Size> = sizes
        .iter()
        .map(|&size| if direction.is_vertical() { size } else { turned(size) })
        .collect();
    let mut layout = Layout {
        nodes: vec![Point::default(); sizes.len()],
        edges: vec![Vec::new(); edges.len()],
        size: Size::default(),
        crossings: 0,
    };
    let components = components(sizes.len(), edges);
    let mut local_index = vec![0; sizes.len()];
    let mut boxes = Vec::with_capacity(components.len());
    for component in &components {
        boxes.push(place_component(
            component,
            &sizes,
            edges,
            &layer_of,
            direction,
            &mut local_index,
            &mut layout,
        ));
    }
    layout.size = pack(&components, &boxes, &mut layout);
    turn(&mut layout, direction);
    Ok(layout)
}

fn check_edges(nodes: usize, edges: &[(u32, u32)]) -> Result<(), LayoutError> {
    for &edge in edges {
        if edge.0 as usize >= nodes || edge.1 as usize >= nodes {
            return Err(LayoutError::NoSuchNode { edge, nodes });
        }
        if edge.0 == edge.1 {
            return Err(LayoutError::Cycle { nodes: vec![edge.0] });
        }
    }
    Ok(())
}

/// Neighbours of each node, all in one array.
#[derive(Clone, Debug)]
struct Csr {
    starts: Vec<u32>,
    targets: Vec<u32>,
}

impl Csr {
    fn outgoing(nodes: usize, edges: &[(u32, u32)]) -> Self {
        Self::from_pairs(nodes, edges.iter().copied())
    }

    fn incoming(nodes: usize, edges: &[(u32, u32)]) -> Self {
        Self::from_pairs(nodes, edges.iter().map(|&(source, target)| (target, source)))
    }

    fn from_pairs(nodes: usize, pairs: impl Iterator<Item = (u32, u32)> + Clone) -> Self {
        let mut starts = vec![0; nodes + 1];
        for (from, _) in pairs.clone() {
            starts[from as usize + 1] += 1;
        }
        for node in 0..nodes {
            starts[node + 1] += starts[node];
        }
        let mut next = starts.clone();
        let mut targets = vec![0; starts[nodes] as usize];
        for (from, to) in pairs {
            let slot = &mut next[from as usize];
            targets[*slot as usize] = to;
            *slot += 1;
        }
        Self { starts, targets }
    }

    fn of(&self, node: u32) -> &[u32] {
        &self.targets[self.range(node)]
    }

    fn range(&self, node: u32) -> std::ops::Range<usize> {
        self.starts[node as usize] as usize..self.starts[node as usize + 1] as usize
    }

    fn len_of(&self, node: u32) -> usize {
        self.range(node).len()
    }

    /// Puts the neighbours of each node in the order of their positions.
    fn sort_by_position(&mut self, position: &[u32]) {
        for node in 0..self.starts.len() as u32 - 1 {
            let range = self.range(node);
            self.targets[range].sort_unstable_by_key(|&neighbour| position[neighbour as usize]);
        }
    }
}

/// Nodes and edges (by index) that hang together.
struct Component {
    nodes: Vec<u32>,
    edges: Vec<u32>,
}

/// Connected components, in the order of their first nodes.
fn components(nodes: usize, edges: &[(u32, u32)]) -> Vec<Component> {
    const UNSEEN: u32 = u32::MAX;
    let outgoing = Csr::outgoing(nodes, edges);
    let incoming = Csr::incoming(nodes, edges);
    let mut component_of = vec![UNSEEN; nodes];
    let mut components = Vec::new();
    let mut stack = Vec::new();
    for first in 0..nodes as u32 {
        if component_of[first as usize] != UNSEEN {
            continue;
        }
        let id = components.len() as u32;
        components.push(Component { nodes: Vec::new(), edges: Vec::new() });
        component_of[first as usize] = id;
        stack.push(first);
        while let Some(node) = stack.pop() {
            for &neighbour in outgoing.of(node).iter().chain(incoming.of(node)) {
                if component_of[neighbour as usize] == UNSEEN {
                    component_of[neighbour as usize] = id;
                    stack.push(neighbour);
                }
            }
        }
    }
    for (node, &id) in component_of.iter().enumerate() {
        components[id as usize].nodes.push(node as u32);
    }
    for (edge, &(source, _)) in edges.iter().enumerate() {
        components[component_of[source as usize] as usize].edges.push(edge as u32);
    }
    components
}

/// Lays out one component from its own upper left corner; gives its size.
fn place_component(
    component: &Component,
    sizes: &[Size],
    edges: &[(u32, u32)],
    layer_of: &[u32],
    direction: Direction,
    local_index: &mut [u32],
    layout: &mut Layout,
) -> Size {
    if let [node] = component.nodes[..] {
        let size = sizes[node as usize];
        layout.nodes[node as usize] = Point { x: size.width / 2.0, y: size.height / 2.0 };
        return size;
    }
    for (index, &node) in component.nodes.iter().enumerate() {
        local_index[node as usize] = index as u32;
    }
    let local_edges: Vec<(u32, u32)> = component
        .edges
        .iter()
        .map(|&edge| edges[edge as usize])
        .map(|(source, target)| (local_index[source as usize], local_index[target as usize]))
        .collect();
    let local_layers = component.nodes.iter().map(|&node| layer_of[node as usize]).collect();
    let local_sizes: Vec<Size> = component.nodes.iter().map(|&node| sizes[node as usize]).collect();

    let mut graph = Proper::new(local_layers, &local_sizes, &local_edges);
    let mut crossings = crossings::reduce(&mut graph);
    if let Some(broken_layers) = rows::break_wide_layers(&graph) {
        graph = Proper::new(broken_layers, &local_sizes, &local_edges);
        crossings = crossings::reduce(&mut graph);
    }
    layout.crossings += crossings;
    let mut xs = coordinates::assign(&graph);
    let width = shift_to_zero(&graph, &mut xs);
    let rows = Rows::new(&graph, &local_sizes, &xs, direction);

    for (index, &node) in component.nodes.iter().enumerate() {
        let layer = graph.layer_of[index] as usize;
        layout.nodes[node as usize] = Point { x: xs[index], y: rows.middle(layer) };
    }
    for (&edge, &local) in component.edges.iter().zip(&local_edges) {
        layout.edges[edge as usize] = bends(&graph, &local_sizes, &xs, &rows, local);
    }
    Size { width, height: rows.bottoms.last().copied().unwrap_or(0.0) }
}

fn shift_to_zero(graph: &Proper, xs: &mut [f64]) -> f64 {
    let mut left = f64::INFINITY;
    let mut right = f64::NEG_INFINITY;
    for (x, width) in xs.iter().zip(&graph.widths) {
        left = left.min(x - width / 2.0);
        right = right.max(x + width / 2.0);
    }
    for x in xs {
        *x -= left;
    }
    right - left
}

/// Upper and lower border of each layer.
struct Rows {
    tops: Vec<f64>,
    bottoms: Vec<f64>,
}

impl Rows {
    /// Layers are as tall as their tallest node; gaps grow with how far edges run sideways in them.
    fn new(graph: &Proper, sizes: &[Size], xs: &[f64], direction: Direction) -> Self {
        let (share, widest) = if direction.is_vertical() {
            (RUN_SHARE, WIDEST_LAYER_GAP)
        } else {
            (RUN_SHARE_SIDEWAYS, WIDEST_LAYER_GAP_SIDEWAYS)
        };
        let mut rows = Self { tops: Vec::new(), bottoms: Vec::new() };
        let mut y = 0.0;
        for layer in &graph.layers {
            let mut height: f64 = 0.0;
            let mut run: f64 = 0.0;
            for &node in layer {
                height = height.max(sizes.get(node as usize).map_or(0.0, |size| size.height));
                for &next in graph.below.of(node) {
                    run = run.max((xs[node as usize] - xs[next as usize]).abs());
                }
            }
            rows.tops.push(y);
            rows.bottoms.push(y + height);
            let has_arrow = || {
                let mut nexts = layer.iter().flat_map(|&node| graph.below.of(node));
                nexts.any(|&next| !graph.is_virtual(next))
            };
            y += height;
            y += match run {
                ..1.0 if has_arrow() => LEAST_LAYER_GAP,
                ..1.0 => ROW_GAP,
                _ => (share * run).clamp(LAYER_GAP, widest),
            };
        }
        rows
    }

    fn middle(&self, layer: usize) -> f64 {
        f64::midpoint(self.tops[layer], self.bottoms[layer])
    }
}

/// The bends of one edge: down through the source's layer, then gap and layer in turn.
fn bends(
    graph: &Proper,
    sizes: &[Size],
    xs: &[f64],
    rows: &Rows,
    (source, target): (u32, u32),
) -> Vec<Point> {
    let (first, last) = (graph.layer_of[source as usize], graph.layer_of[target as usize]);
    let start = rows.middle(first as usize) + sizes[source as usize].height / 2.0;
    let end = rows.middle(last as usize) - sizes[target as usize].height / 2.0;
    let (start_x, end_x) = (xs[source as usize], xs[target as usize]);
    let mut points = vec![Point { x: start_x, y: start }];
    let mut push = |x: f64, y: f64| match points.as_mut_slice() {
        // Straight on: the last bend was none.
        [.., before, last] if is_same(before.x, last.x) && is_same(last.x, x) => last.y = y,
        [.., last] if is_same(last.x, x) && is_same(last.y, y) => {}
        _ => points.push(Point { x, y }),
    };
    push(start_x, rows.bottoms[first as usize]);
    for (layer, node) in (first as usize + 1..).zip(graph.route(source, target)) {
        push(xs[node as usize], rows.tops[layer]);
        push(xs[node as usize], rows.bottoms[layer]);
    }
    push(end_x, rows.tops[last as usize]);
    push(end_x, end);
    points
}

fn is_same(one: f64, other: f64) -> bool {
    (one - other).abs() < 0.05
}

/// Moves each component to its place; gives the size of the whole.
///
/// The tallest come first, those of one height as they were given. They stand in rows; beside a tall
/// one, small ones stand below each other.
fn pack(components: &[Component], boxes: &[Size], layout: &mut Layout) -> Size {
    let area: f64 =
        boxes.iter().map(|size| (size.width + COMPONENT_GAP) * (size.height + COMPONENT_GAP)).sum();
    let widest = boxes.iter().map(|size| size.width).fold(0.0, f64::max);
    let row_width = widest.max(ROW_WIDTH).max((area * 1.8).sqrt());
    let mut order: Vec<usize> = (0..components.len()).collect();
    order.sort_by(|&one, &other| boxes[other].height.total_cmp(&boxes[one].height));
    let mut whole = Size::default();
    let (mut row_top, mut row_height) = (0.0, 0.0);
    // The column that is being filled: its left border, its width, and where its free part begins.
    let (mut left, mut width, mut free) = (0.0, 0.0, 0.0);
    for index in order {
        let size = boxes[index];
        if size.width > width || free + size.height > row_top + row_height {
            left = if width > 0.0 { left + width + COMPONENT_GAP } else { left };
            if left > 0.0 && left + size.width > row_width {
                row_top += row_height + COMPONENT_GAP;
                (left, row_height) = (0.0, 0.0);
            }
            (width, free) = (size.width, row_top);
            row_height = f64::max(row_height, size.height);
        }
        for &node in &components[index].nodes {
            shift(&mut layout.nodes[node as usize], left, free);
        }
        for &edge in &components[index].edges {
            for point in &mut layout.edges[edge as usize] {
                shift(point, left, free);
            }
        }
        whole.width = whole.width.max(left + size.width);
        whole.height = whole.height.max(free + size.height);
        free += size.height + COMPONENT_GAP;
    }
    whole
}

fn shift(point: &mut Point, x: f64, y: f64) {
    point.x += x;
    point.y += y;
}

/// Turns a drawing that runs downwards to where it should run.
fn turn(layout: &mut Layout, direction: Direction) {
    let height = layout.size.height;
    let points = layout.nodes.iter_mut().chain(layout.edges.iter_mut().flatten());
    for point in points {
        if direction.is_flipped() {
            point.y = height - point.y;
        }
        if !direction.is_vertical() {
            (point.x, point.y) = (point.y, point.x);
        }
    }
    if !direction.is_vertical() {
        layout.size = turned(layout.size);
    }
}

fn turned(size: Size) -> Size {
    Size { width: size.height, height: size.width }
}

#[cfg(test)]
mod tests;
