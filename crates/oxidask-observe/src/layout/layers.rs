//! Gives each node a layer.

use super::{Csr, LayoutError};

/// Longest paths from the sources; then what can wait moves down to where it is used.
pub(super) fn assign(
    nodes: usize,
    outgoing: &Csr,
    incoming: &Csr,
) -> Result<Vec<u32>, LayoutError> {
    let order = topological_order(nodes, outgoing, incoming)?;
    let mut layer_of = vec![0; nodes];
    for &node in &order {
        for &next in outgoing.of(node) {
            layer_of[next as usize] = layer_of[next as usize].max(layer_of[node as usize] + 1);
        }
    }
    pull_down(&order, outgoing, incoming, &mut layer_of);
    Ok(layer_of)
}

/// Moves a node next to its first use when this makes edges shorter in sum: sources, nodes with no
/// more inputs than uses, and trees whose only way out is their root (their leaves follow).
fn pull_down(order: &[u32], outgoing: &Csr, incoming: &Csr, layer_of: &mut [u32]) {
    let mut is_tree = vec![true; layer_of.len()];
    for &node in order {
        is_tree[node as usize] = incoming
            .of(node)
            .iter()
            .all(|&input| is_tree[input as usize] && outgoing.len_of(input) == 1);
    }
    for &node in order.iter().rev() {
        let uses = outgoing.of(node);
        let worth_it = is_tree[node as usize] || uses.len() >= incoming.len_of(node);
        let first_use = uses.iter().map(|&next| layer_of[next as usize]).min();
        if let (Some(first_use), true) = (first_use, worth_it) {
            layer_of[node as usize] = first_use - 1;
        }
    }
}

/// Each node after its inputs.
pub(super) fn topological_order(
    nodes: usize,
    outgoing: &Csr,
    incoming: &Csr,
) -> Result<Vec<u32>, LayoutError> {
    let mut missing: Vec<usize> = (0..nodes as u32).map(|node| incoming.len_of(node)).collect();
    let mut order: Vec<u32> =
        (0..nodes as u32).filter(|&node| missing[node as usize] == 0).collect();
    let mut done = 0;
    while let Some(&node) = order.get(done) {
        done += 1;
        for &next in outgoing.of(node) {
            missing[next as usize] -= 1;
            if missing[next as usize] == 0 {
                order.push(next);
            }
        }
    }
    if order.len() == nodes {
        Ok(order)
    } else {
        Err(LayoutError::Cycle { nodes: cycle(incoming, &missing) })
    }
}

/// Some cycle among the nodes that still miss an input: going back to such inputs must return.
fn cycle(incoming: &Csr, missing: &[usize]) -> Vec<u32> {
    let is_left = |node: &u32| missing[*node as usize] > 0;
    let mut node = (0..missing.len() as u32).find(is_left).expect("some node misses an input");
    let mut step_of = vec![usize::MAX; missing.len()];
    let mut path = Vec::new();
    while step_of[node as usize] == usize::MAX {
        step_of[node as usize] = path.len();
        path.push(node);
        node = *incoming.of(node).iter().find(|input| is_left(input)).expect("an input is missing");
    }
    path.drain(..step_of[node as usize]);
    path.reverse();
    path
}
