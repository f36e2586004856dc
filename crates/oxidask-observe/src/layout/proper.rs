//! The graph in which each edge joins two neighbouring layers.

use super::{Csr, NODE_GAP, Size};

/// Room kept free where an edge passes a layer.
const PASSAGE_WIDTH: f64 = 2.0;
/// Free space beside a passage.
const PASSAGE_GAP: f64 = 6.0;

/// A component with its long edges cut into pieces.
///
/// The nodes of the component come first, then the virtual nodes where edges pass a layer. The edges
/// that leave one node share one trunk: what passes a layer together is drawn as one line.
pub(super) struct Proper {
    /// Nodes of each layer, from left to right.
    pub(super) layers: Vec<Vec<u32>>,
    /// The layer of each node.
    pub(super) layer_of: Vec<u32>,
    /// The width of each node.
    pub(super) widths: Vec<f64>,
    /// Neighbours one layer up.
    pub(super) above: Csr,
    /// Neighbours one layer down.
    pub(super) below: Csr,
    real_nodes: usize,
    trunk_starts: Vec<u32>,
    longest_routed: u32,
}

impl Proper {
    pub(super) fn new(mut layer_of: Vec<u32>, sizes: &[Size], edges: &[(u32, u32)]) -> Self {
        let real_nodes = sizes.len();
        let top = layer_of.iter().copied().min().unwrap_or(0);
        for layer in &mut layer_of {
            *layer -= top;
        }
        let span =
            |&(source, target): &(u32, u32)| layer_of[target as usize] - layer_of[source as usize];
        let longest_routed = longest_affordable(real_nodes, edges, span);

        let mut trunk_lengths = vec![0; real_nodes];
        for edge in edges.iter().filter(|edge| span(edge) <= longest_routed) {
            let length = &mut trunk_lengths[edge.0 as usize];
            *length = span(edge).saturating_sub(1).max(*length);
        }
        let mut trunk_starts = Vec::with_capacity(real_nodes + 1);
        let mut all_nodes = real_nodes as u32;
        for length in &trunk_lengths {
            trunk_starts.push(all_nodes);
            all_nodes += length;
        }
        trunk_starts.push(all_nodes);

        let mut pieces = Vec::with_capacity(edges.len() + all_nodes as usize - real_nodes);
        for edge in edges.iter().filter(|edge| span(edge) <= longest_routed) {
            let steps = span(edge) - 1;
            let last = if steps == 0 { edge.0 } else { trunk_starts[edge.0 as usize] + steps - 1 };
            pieces.push((last, edge.1));
        }
        let mut widths: Vec<f64> = sizes.iter().map(|size| size.width).collect();
        widths.resize(all_nodes as usize, PASSAGE_WIDTH);
        for source in 0..real_nodes as u32 {
            let mut previous = source;
            for passage in trunk_starts[source as usize]..trunk_starts[source as usize + 1] {
                pieces.push((previous, passage));
                layer_of.push(layer_of[previous as usize] + 1);
                previous = passage;
            }
        }
        pieces.sort_unstable();
        pieces.dedup();

        let mut layers =
            vec![Vec::new(); layer_of.iter().max().map_or(0, |&last| last as usize + 1)];
        for (node, &layer) in layer_of.iter().enumerate() {
            layers[layer as usize].push(node as u32);
        }
        Self {
            layers,
            layer_of,
            widths,
            above: Csr::incoming(all_nodes as usize, &pieces),
            below: Csr::outgoing(all_nodes as usize, &pieces),
            real_nodes,
            trunk_starts,
            longest_routed,
        }
    }

    /// Whether this is a place where an edge passes a layer.
    pub(super) fn is_virtual(&self, node: u32) -> bool {
        node as usize >= self.real_nodes
    }

    /// The least distance of the centres of two neighbours in a layer.
    pub(super) fn distance(&self, left: u32, right: u32) -> f64 {
        let gap = match (self.is_virtual(left), self.is_virtual(right)) {
            (false, false) => NODE_GAP,
            _ => PASSAGE_GAP,
        };
        f64::midpoint(self.widths[left as usize], self.widths[right as usize]) + gap
    }

    /// How many nodes are real; they come first.
    pub(super) fn real_nodes(&self) -> usize {
        self.real_nodes
    }

    /// The virtual nodes an edge passes, one for each layer between its ends; none if it is drawn
    /// as one straight line.
    pub(super) fn route(&self, source: u32, target: u32) -> std::ops::Range<u32> {
        let span = self.layer_of[target as usize] - self.layer_of[source as usize];
        let first = self.trunk_starts[source as usize];
        if span > self.longest_routed { first..first } else { first..first + span - 1 }
    }

    /// Nodes and edges: what one pass over the graph costs.
    pub(super) fn size(&self) -> usize {
        self.layer_of.len() + self.below.targets.len()
    }
}

/// The longest span of edges that are routed: all their routes together stay linear in the graph.
fn longest_affordable(
    nodes: usize,
    edges: &[(u32, u32)],
    span: impl Fn(&(u32, u32)) -> u32,
) -> u32 {
    let mut counts: Vec<usize> =
        vec![0; edges.iter().map(&span).max().map_or(2, |most| most as usize + 1)];
    for edge in edges {
        counts[span(edge) as usize] += 1;
    }
    let mut budget = ROUTE_BUDGET + ROUTE_BUDGET_EACH * (nodes + edges.len());
    for (span, count) in counts.iter().enumerate().skip(2) {
        match budget.checked_sub((span - 1) * count) {
            Some(left) => budget = left,
            None => return span as u32 - 1,
        }
    }
    counts.len() as u32 - 1
}

/// Passages that any graph can afford: enough to route every edge of a graph of some hundred tasks.
const ROUTE_BUDGET: usize = 40_000;
/// Further passages for each node and edge.
const ROUTE_BUDGET_EACH: usize = 3;
