//! Orders the nodes within their layers so that few edges cross.

use super::Csr;
use super::proper::Proper;

/// At most this many passes over all layers.
const MOST_SWEEPS: usize = 24;
/// Steps all sweeps together may take, about; it bounds the time without a clock.
const SWEEP_BUDGET: usize = 2_000_000;
/// Steps all exchanges of neighbours together may take, about.
const EXCHANGE_BUDGET: usize = 1_000_000;
/// Give up after so many sweeps without a better order.
const PATIENCE: usize = 6;

/// Puts each layer of the graph in its best order found, and neighbours in the same order; gives how
/// often edges cross.
pub(super) fn reduce(graph: &mut Proper) -> usize {
    let mut best = Order::default();
    let mut fewest = usize::MAX;
    let sweeps = (SWEEP_BUDGET / graph.size().max(1)).clamp(2, MOST_SWEEPS);
    let mut sorting = Sorting::default();
    let mut exchange = Exchange { budget: EXCHANGE_BUDGET, ..Exchange::default() };
    let mut counting = Counting::default();
    for start in [From::Sources, From::Sinks] {
        let mut order = depth_first_order(graph, start);
        let mut crossings = counting.crossings(graph, &order);
        let mut since_better = 0;
        for sweep in 0..=sweeps / 2 {
            if crossings < fewest {
                fewest = crossings;
                best.clone_from(&order);
                since_better = 0;
            }
            since_better += 1;
            if fewest == 0 || since_better > PATIENCE || sweep == sweeps / 2 {
                break;
            }
            let downwards = (sweep % 2 == 0) == (start == From::Sources);
            sorting.sweep(graph, &mut order, downwards, sweep % 4 >= 2);
            exchange.neighbours(graph, &mut order);
            crossings = counting.crossings(graph, &order);
        }
        if fewest == 0 {
            break;
        }
    }
    graph.above.sort_by_position(&best.position);
    graph.below.sort_by_position(&best.position);
    for (layer, nodes) in graph.layers.iter_mut().enumerate() {
        nodes.copy_from_slice(best.layer(layer));
    }
    fewest
}

/// The nodes of each layer from left to right, layer after layer, and the place of each in its layer.
#[derive(Default)]
struct Order {
    nodes: Vec<u32>,
    starts: Vec<usize>,
    position: Vec<u32>,
}

impl Order {
    fn layers(&self) -> usize {
        self.starts.len() - 1
    }

    fn layer(&self, layer: usize) -> &[u32] {
        &self.nodes[self.starts[layer]..self.starts[layer + 1]]
    }

    fn clone_from(&mut self, other: &Self) {
        self.nodes.clone_from(&other.nodes);
        self.starts.clone_from(&other.starts);
        self.position.clone_from(&other.position);
    }
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
    let mut starts = vec![0];
    for layer in &graph.layers {
        starts.push(starts[starts.len() - 1] + layer.len());
    }
    let mut order = Order { nodes: vec![0; nodes], starts, position: vec![0; nodes] };
    let mut filled = vec![0; graph.layers.len()];
    let mut is_seen = vec![false; nodes];
    let mut stack = Vec::new();
    for root in (0..nodes as u32).filter(|&node| back.len_of(node) == 0) {
        stack.push(root);
        while let Some(node) = stack.pop() {
            if std::mem::replace(&mut is_seen[node as usize], true) {
                continue;
            }
            let layer = graph.layer_of[node as usize] as usize;
            order.position[node as usize] = filled[layer];
            order.nodes[order.starts[layer] + filled[layer] as usize] = node;
            filled[layer] += 1;
            stack.extend(next.of(node).iter().rev().filter(|&&other| !is_seen[other as usize]));
        }
    }
    order
}

/// Sorts layers by medians. What it holds is room, kept from one layer to the next.
#[derive(Default)]
struct Sorting {
    positions: Vec<u32>,
    /// Median, mean, and node.
    movable: Vec<(f64, f64, u32)>,
    sorted: Vec<(f64, f64, u32)>,
    /// Where nodes with a median from this place on to the next begin in `sorted`.
    begins: Vec<usize>,
}

impl Sorting {
    /// One pass over the layers: each is sorted by the medians of its neighbours in the one before.
    fn sweep(&mut self, graph: &Proper, order: &mut Order, downwards: bool, ties_reversed: bool) {
        let neighbours = if downwards { &graph.above } else { &graph.below };
        let count = order.layers();
        for step in 1..count {
            let (layer, before) =
                if downwards { (step, step - 1) } else { (count - 1 - step, count - step) };
            self.find_medians(neighbours, order, layer);
            if ties_reversed {
                self.movable.reverse();
            }
            self.sort(order.layer(before).len());
            let mut sorted = self.sorted.iter().map(|&(_, _, node)| node);
            let nodes = &mut order.nodes[order.starts[layer]..order.starts[layer + 1]];
            for (position, place) in nodes.iter_mut().enumerate() {
                // Nodes without a neighbour on that side keep their place.
                if neighbours.len_of(*place) > 0 {
                    *place = sorted.next().expect("as many nodes as places");
                }
                order.position[*place as usize] = position as u32;
            }
        }
    }

    fn find_medians(&mut self, neighbours: &Csr, order: &Order, layer: usize) {
        self.movable.clear();
        for &node in order.layer(layer) {
            let place = |&other: &u32| order.position[other as usize];
            let (median, mean) = match neighbours.of(node) {
                [] => continue,
                [one] => (f64::from(place(one)), f64::from(place(one))),
                several => {
                    self.positions.clear();
                    self.positions.extend(several.iter().map(place));
                    self.positions.sort_unstable();
                    let sum: u64 = self.positions.iter().map(|&place| u64::from(place)).sum();
                    (weighted_median(&self.positions), sum as f64 / several.len() as f64)
                }
            };
            self.movable.push((median, mean, node));
        }
    }

    /// Puts `movable` in order, as `sorted`: by counting how many belong between two of the `places`
    /// of the layer before, which are few.
    fn sort(&mut self, places: usize) {
        self.begins.clear();
        self.begins.resize(places + 1, 0);
        for &(median, ..) in &self.movable {
            self.begins[median as usize + 1] += 1;
        }
        for place in 0..places {
            self.begins[place + 1] += self.begins[place];
        }
        self.sorted.resize(self.movable.len(), (0.0, 0.0, 0));
        for &item in &self.movable {
            let next = &mut self.begins[item.0 as usize];
            self.sorted[*next] = item;
            *next += 1;
        }
        // Now each place has where its nodes end.
        let mut begin = 0;
        for &end in &self.begins[..places] {
            if end - begin > 1 {
                self.sorted[begin..end]
                    .sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
            }
            begin = end;
        }
    }
}

/// The median; of an even number, the one of the middle two around which positions are denser.
fn weighted_median(positions: &[u32]) -> f64 {
    let (first, last) = (f64::from(positions[0]), f64::from(positions[positions.len() - 1]));
    let middle = positions.len() / 2;
    let upper = f64::from(positions[middle]);
    if positions.len() % 2 == 1 {
        return upper;
    }
    let lower = f64::from(positions[middle - 1]);
    let (left, right) = (lower - first, last - upper);
    if left + right == 0.0 {
        return f64::midpoint(lower, upper);
    }
    (lower * right + upper * left) / (left + right)
}

/// Swaps neighbours in layers.
#[derive(Default)]
struct Exchange {
    /// Steps that are left.
    budget: usize,
    /// Layers that changed, or a layer beside them did, since they were last looked at.
    is_due: Vec<bool>,
    sides: Sides,
}

impl Exchange {
    /// Swaps as long as this removes crossings and the budget lasts.
    fn neighbours(&mut self, graph: &Proper, order: &mut Order) {
        let layers = order.layers();
        self.is_due.clear();
        self.is_due.resize(layers, true);
        while self.is_due.contains(&true) {
            for layer in 0..layers {
                if !std::mem::take(&mut self.is_due[layer]) {
                    continue;
                }
                let steps = self.sides.fill(graph, order, layer);
                let Some(left) = self.budget.checked_sub(2 * steps) else {
                    return;
                };
                self.budget = left;
                if self.sides.exchange(order, layer) {
                    self.is_due[layer.saturating_sub(1)..(layer + 2).min(layers)].fill(true);
                }
            }
        }
    }
}

/// Positions of the neighbours of the nodes of one layer, sorted, node after node.
#[derive(Default)]
struct Sides {
    above: Vec<u32>,
    below: Vec<u32>,
    ranges: Vec<[(u32, u32); 2]>,
}

impl Sides {
    /// Looks at a layer; gives how many nodes and neighbours there are.
    fn fill(&mut self, graph: &Proper, order: &Order, layer: usize) -> usize {
        self.above.clear();
        self.below.clear();
        self.ranges.clear();
        for &node in order.layer(layer) {
            let mut range = [(0, 0); 2];
            let lists = [(&mut self.above, &graph.above), (&mut self.below, &graph.below)];
            for (side, (list, neighbours)) in lists.into_iter().enumerate() {
                let start = list.len();
                list.extend(
                    neighbours.of(node).iter().map(|&other| order.position[other as usize]),
                );
                list[start..].sort_unstable();
                range[side] = (start as u32, list.len() as u32);
            }
            self.ranges.push(range);
        }
        self.above.len() + self.below.len() + self.ranges.len()
    }

    fn exchange(&mut self, order: &mut Order, layer: usize) -> bool {
        let mut is_better = false;
        let nodes = &mut order.nodes[order.starts[layer]..order.starts[layer + 1]];
        for right in 1..self.ranges.len() {
            let (kept, swapped) = self.crossings_of_pair(right);
            if swapped < kept {
                self.ranges.swap(right - 1, right);
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

/// Counts crossings. What it holds is room, kept from one pair of layers to the next.
#[derive(Default)]
struct Counting {
    ends: Vec<u32>,
    merged: Vec<u32>,
}

impl Counting {
    /// Crossings in the whole drawing: edges of two layers, in the order of their upper ends, cross
    /// where their lower ends are in descent.
    fn crossings(&mut self, graph: &Proper, order: &Order) -> usize {
        (0..order.layers())
            .map(|layer| {
                self.ends.clear();
                for &node in order.layer(layer) {
                    let start = self.ends.len();
                    let below = graph.below.of(node).iter();
                    self.ends.extend(below.map(|&other| order.position[other as usize]));
                    // Edges of one node do not cross.
                    self.ends[start..].sort_unstable();
                }
                sort_counting_descents(&mut self.ends, &mut self.merged)
            })
            .sum()
    }
}

/// Sorts numbers; gives how many pairs were in descent. `merged` is room to work in.
fn sort_counting_descents(numbers: &mut [u32], merged: &mut Vec<u32>) -> usize {
    /// Lists up to this length are sorted by insertion.
    const SHORT: usize = 16;
    let mut descents = 0;
    for short in numbers.chunks_mut(SHORT) {
        for end in 1..short.len() {
            let number = short[end];
            let mut place = end;
            while place > 0 && short[place - 1] > number {
                short[place] = short[place - 1];
                place -= 1;
            }
            short[place] = number;
            descents += end - place;
        }
    }
    let mut len = SHORT;
    while len < numbers.len() {
        for pair in numbers.chunks_mut(2 * len).filter(|pair| pair.len() > len) {
            if pair[len - 1] > pair[len] {
                descents += merge_counting_descents(pair, len, merged);
            }
        }
        len *= 2;
    }
    descents
}

/// Merges two sorted lists, the first of which has this length.
fn merge_counting_descents(pair: &mut [u32], len: usize, merged: &mut Vec<u32>) -> usize {
    let (left, right) = pair.split_at(len);
    let mut descents = 0;
    let mut taken = 0;
    merged.clear();
    for &number in right {
        while taken < len && left[taken] <= number {
            merged.push(left[taken]);
            taken += 1;
        }
        descents += len - taken;
        merged.push(number);
    }
    merged.extend_from_slice(&left[taken..]);
    pair.copy_from_slice(merged);
    descents
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn descents_are_counted_while_sorting(
            numbers in proptest::collection::vec(0_u32..60, 0..200),
        ) {
            let later = |index: usize| numbers[index + 1..].iter();
            let expected: usize = (0..numbers.len())
                .map(|index| later(index).filter(|&&other| other < numbers[index]).count())
                .sum();
            let mut sorted = numbers.clone();
            prop_assert_eq!(sort_counting_descents(&mut sorted, &mut Vec::new()), expected);
            prop_assert!(sorted.is_sorted());
        }
    }
}
