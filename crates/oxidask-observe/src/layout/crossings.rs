//! Orders the nodes within their layers so that few edges cross.

use super::proper::Proper;

/// At most this many passes over all layers.
const MOST_SWEEPS: usize = 24;
/// Steps all sweeps together may take, about; it bounds the time without a clock.
const SWEEP_BUDGET: usize = 2_000_000;
/// Steps all exchanges of neighbours together may take, about.
const EXCHANGE_BUDGET: usize = 1_000_000;
/// Give up after so many sweeps without a better order.
const PATIENCE: usize = 6;

/// Puts each layer of the graph in its best order found, and neighbours in the same order.
pub(super) fn reduce(graph: &mut Proper) {
    let mut best = Order { layers: Vec::new(), position: Vec::new() };
    let mut fewest = usize::MAX;
    let sweeps = (SWEEP_BUDGET / graph.size().max(1)).clamp(2, MOST_SWEEPS);
    let mut exchange_budget = EXCHANGE_BUDGET;
    for start in [From::Sources, From::Sinks] {
        let mut order = depth_first_order(graph, start);
        let mut crossings = count_crossings(graph, &order);
        let mut since_better = 0;
        for sweep in 0..=sweeps / 2 {
            if crossings < fewest {
                fewest = crossings;
                best = order.clone();
                since_better = 0;
            }
            since_better += 1;
            if fewest == 0 || since_better > PATIENCE || sweep == sweeps / 2 {
                break;
            }
            let downwards = (sweep % 2 == 0) == (start == From::Sources);
            sort_by_medians(graph, &mut order, downwards, sweep % 4 >= 2);
            exchange_neighbours(graph, &mut order, &mut exchange_budget);
            crossings = count_crossings(graph, &order);
        }
        if fewest == 0 {
            break;
        }
    }
    graph.above.sort_by_position(&best.position);
    graph.below.sort_by_position(&best.position);
    graph.layers = best.layers;
}

/// Layers from left to right, and the place of each node in its layer.
#[derive(Clone)]
struct Order {
    layers: Vec<Vec<u32>>,
    position: Vec<u32>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum From {
    Sources,
    Sinks,
}

/// The order of a depth-first walk: it draws trees without a crossing.
fn depth_first_order(graph: &Proper, start: From) -> Order {
    let nodes = graph.layer_of.len();
    let (next, back) = match start {
        From::Sources => (&graph.below, &graph.above),
        From::Sinks => (&graph.above, &graph.below),
    };
    let mut order =
        Order { layers: vec![Vec::new(); graph.layers.len()], position: vec![0; nodes] };
    let mut is_seen = vec![false; nodes];
    let mut stack = Vec::new();
    for root in (0..nodes as u32).filter(|&node| back.len_of(node) == 0) {
        stack.push(root);
        while let Some(node) = stack.pop() {
            if std::mem::replace(&mut is_seen[node as usize], true) {
                continue;
            }
            let layer = &mut order.layers[graph.layer_of[node as usize] as usize];
            order.position[node as usize] = layer.len() as u32;
            layer.push(node);
            stack.extend(next.of(node).iter().rev().filter(|&&other| !is_seen[other as usize]));
        }
    }
    order
}

/// One pass over the layers: each is sorted by the medians of its neighbours in the one before.
fn sort_by_medians(graph: &Proper, order: &mut Order, downwards: bool, ties_reversed: bool) {
    let neighbours = if downwards { &graph.above } else { &graph.below };
    let count = order.layers.len();
    let mut positions: Vec<u32> = Vec::new();
    let mut movable: Vec<(f64, f64, u32)> = Vec::new();
    for step in 1..count {
        let layer = if downwards { step } else { count - 1 - step };
        movable.clear();
        for &node in &order.layers[layer] {
            positions.clear();
            positions
                .extend(neighbours.of(node).iter().map(|&other| order.position[other as usize]));
            positions.sort_unstable();
            if let Some(median) = weighted_median(&positions) {
                let sum: u64 = positions.iter().map(|&position| u64::from(position)).sum();
                movable.push((median, sum as f64 / positions.len() as f64, node));
            }
        }
        if ties_reversed {
            movable.reverse();
        }
        movable.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
        let mut sorted = movable.iter().map(|&(_, _, node)| node);
        for place in &mut order.layers[layer] {
            // Nodes without a neighbour on that side keep their place.
            if neighbours.len_of(*place) > 0 {
                *place = sorted.next().expect("as many nodes as places");
            }
        }
        for (position, &node) in order.layers[layer].iter().enumerate() {
            order.position[node as usize] = position as u32;
        }
    }
}

/// The median; of an even number, the one of the middle two around which positions are denser.
fn weighted_median(positions: &[u32]) -> Option<f64> {
    let (first, last) = (f64::from(*positions.first()?), f64::from(*positions.last()?));
    let middle = positions.len() / 2;
    let upper = f64::from(positions[middle]);
    if positions.len() % 2 == 1 {
        return Some(upper);
    }
    let lower = f64::from(positions[middle - 1]);
    let (left, right) = (lower - first, last - upper);
    if left + right == 0.0 {
        return Some(f64::midpoint(lower, upper));
    }
    Some((lower * right + upper * left) / (left + right))
}

/// Swaps neighbours in a layer as long as this removes crossings and the budget lasts.
fn exchange_neighbours(graph: &Proper, order: &mut Order, budget: &mut usize) {
    loop {
        let mut is_better = false;
        for layer in 0..order.layers.len() {
            let mut sides = Sides::new(graph, order, layer);
            let steps = sides.above.len() + sides.below.len() + order.layers[layer].len();
            let Some(left) = budget.checked_sub(2 * steps) else {
                return;
            };
            *budget = left;
            is_better |= sides.exchange(order, layer);
        }
        if !is_better {
            return;
        }
    }
}

/// Positions of the neighbours of the nodes of one layer, sorted, node after node.
struct Sides {
    above: Vec<u32>,
    below: Vec<u32>,
    ranges: Vec<[(u32, u32); 2]>,
}

impl Sides {
    fn new(graph: &Proper, order: &Order, layer: usize) -> Self {
        let mut sides = Self { above: Vec::new(), below: Vec::new(), ranges: Vec::new() };
        for &node in &order.layers[layer] {
            let mut range = [(0, 0); 2];
            let lists = [(&mut sides.above, &graph.above), (&mut sides.below, &graph.below)];
            for (side, (list, neighbours)) in lists.into_iter().enumerate() {
                let start = list.len();
                list.extend(
                    neighbours.of(node).iter().map(|&other| order.position[other as usize]),
                );
                list[start..].sort_unstable();
                range[side] = (start as u32, list.len() as u32);
            }
            sides.ranges.push(range);
        }
        sides
    }

    fn exchange(&mut self, order: &mut Order, layer: usize) -> bool {
        let mut is_better = false;
        for right in 1..self.ranges.len() {
            let (kept, swapped) = self.crossings_of_pair(right);
            if swapped < kept {
                self.ranges.swap(right - 1, right);
                let nodes = &mut order.layers[layer];
                nodes.swap(right - 1, right);
                order.position[nodes[right - 1] as usize] = right as u32 - 1;
                order.position[nodes[right] as usize] = right as u32;
                is_better = true;
            }
        }
        is_better
    }

    /// Crossings between the edges of two neighbours as they stand, and when swapped.
    fn crossings_of_pair(&self, right: usize) -> (usize, usize) {
        let mut sums = (0, 0);
        for (side, list) in [&self.above, &self.below].into_iter().enumerate() {
            let slice = |index: usize| {
                let (start, end) = self.ranges[index][side];
                &list[start as usize..end as usize]
            };
            sums.0 += pairs_in_descent(slice(right - 1), slice(right));
            sums.1 += pairs_in_descent(slice(right), slice(right - 1));
        }
        sums
    }
}

/// Pairs whose first is greater than the second; both lists are sorted.
fn pairs_in_descent(firsts: &[u32], seconds: &[u32]) -> usize {
    let mut smaller = 0;
    let mut sum = 0;
    for first in firsts {
        while smaller < seconds.len() && seconds[smaller] < *first {
            smaller += 1;
        }
        sum += smaller;
    }
    sum
}

/// Crossings in the whole drawing, each pair of layers by counting inversions in a Fenwick tree.
fn count_crossings(graph: &Proper, order: &Order) -> usize {
    let mut crossings = 0;
    let mut tree: Vec<u32> = Vec::new();
    let mut ends: Vec<u32> = Vec::new();
    for pair in order.layers.windows(2) {
        tree.clear();
        tree.resize(pair[1].len() + 1, 0);
        let mut total = 0;
        for &node in &pair[0] {
            ends.clear();
            ends.extend(graph.below.of(node).iter().map(|&other| order.position[other as usize]));
            for &end in &ends {
                crossings += total - prefix_sum(&tree, end as usize + 1);
            }
            for &end in &ends {
                add_one(&mut tree, end as usize + 1);
            }
            total += ends.len();
        }
    }
    crossings
}

fn prefix_sum(tree: &[u32], mut index: usize) -> usize {
    let mut sum = 0;
    while index > 0 {
        sum += tree[index] as usize;
        index &= index - 1;
    }
    sum
}

fn add_one(tree: &mut [u32], mut index: usize) {
    while index < tree.len() {
        tree[index] += 1;
        index += index & index.wrapping_neg();
    }
}
