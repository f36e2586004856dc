//! Breaks a very wide layer into two rows, like bricks, so that the drawing is not a thin strip.
//!
//! Only where nothing is lost: each node of the layer is tied to hubs, which join many nodes of the
//! layer, or to one partner that has no other tie. The edges of the upper row pass between the nodes
//! of the lower one. (A third row would win nothing: straight edges need their room beside the nodes
//! of each row.)

use super::proper::Proper;

/// Layers wider than this many pixels are broken.
const WIDE: f64 = 1250.0;
/// A node that joins at least so many nodes of a layer is a hub.
const HUB: usize = 8;

/// New layers for the real nodes, if some layer is to be broken.
pub(super) fn break_wide_layers(graph: &Proper) -> Option<Vec<u32>> {
    let is_broken: Vec<bool> = graph.layers.iter().map(|layer| is_to_break(graph, layer)).collect();
    if !is_broken.contains(&true) {
        return None;
    }
    let mut layer_of = vec![0; graph.real_nodes()];
    let mut first_row = 0;
    for (layer, is_broken) in graph.layers.iter().zip(is_broken) {
        let rows = 1 + u32::from(is_broken);
        for (rank, &node) in (0..).zip(layer) {
            if !graph.is_virtual(node) {
                layer_of[node as usize] = first_row + rank % rows;
            }
        }
        first_row += rows;
    }
    Some(layer_of)
}

fn is_to_break(graph: &Proper, layer: &[u32]) -> bool {
    let width: f64 = layer.windows(2).map(|pair| graph.distance(pair[0], pair[1])).sum();
    width > WIDE && layer.iter().all(|&node| is_loose(graph, node))
}

/// Whether a node is tied to hubs and single partners only.
fn is_loose(graph: &Proper, node: u32) -> bool {
    let (above, below) = (graph.above.of(node), graph.below.of(node));
    let is_loose_end = |own: usize, other: usize| other >= HUB || (own == 1 && other == 1);
    !graph.is_virtual(node)
        && above.iter().all(|&other| is_loose_end(above.len(), graph.below.len_of(other)))
        && below.iter().all(|&other| is_loose_end(below.len(), graph.above.len_of(other)))
}
