//! Moves the nodes sideways: Brandes and Köpf, "Fast and Simple Horizontal Coordinate Assignment".
//!
//! Nodes are aligned with their median neighbours into vertical blocks, in four ways (from above or
//! below, leaning left or right); each way is made compact, and the two middle ones of the four
//! coordinates of each node are averaged. Blocks are placed by longest paths over the graph of
//! blocks, which avoids the error in the original paper.

use super::proper::Proper;

/// A node with at least so many neighbours need not stand exactly at their median.
const HUB: usize = 8;

/// The x of the centre of each node. `graph.above` and `below` must be sorted by position.
pub(super) fn assign(graph: &mut Proper) -> Vec<f64> {
    let graph = &*graph;
    let position = positions(graph);
    let crossing = inner_crossings(graph, &position);
    let mut candidates = Vec::with_capacity(4);
    for from_above in [true, false] {
        for leaning_left in [true, false] {
            let way =
                Way { graph, position: &position, crossing: &crossing, from_above, leaning_left };
            candidates.push(way.place());
        }
    }
    align_to_narrowest(graph, &mut candidates);
    (0..graph.layer_of.len())
        .map(|node| {
            let mut xs = [0, 1, 2, 3].map(|way: usize| candidates[way][node]);
            xs.sort_unstable_by(f64::total_cmp);
            f64::midpoint(xs[1], xs[2])
        })
        .collect()
}

/// The place of each node in its layer.
fn positions(graph: &Proper) -> Vec<usize> {
    let mut position = vec![0; graph.layer_of.len()];
    for layer in &graph.layers {
        for (index, &node) in layer.iter().enumerate() {
            position[node as usize] = index;
        }
    }
    position
}

/// Marks the pieces (by index into `graph.above`) that cross a piece between two virtual nodes:
/// those give way, so that long edges stay straight.
fn inner_crossings(graph: &Proper, position: &[usize]) -> Vec<bool> {
    let mut is_crossing = vec![false; graph.above.targets.len()];
    for pair in graph.layers.windows(2) {
        let inner_parent = |node: u32| {
            let parent = *graph.above.of(node).first()?;
            (graph.is_virtual(node) && graph.is_virtual(parent)).then(|| position[parent as usize])
        };
        let mut scanned = 0;
        let mut left = 0;
        for (index, &node) in pair[1].iter().enumerate() {
            let is_last = index + 1 == pair[1].len();
            let Some(right) = inner_parent(node).or(is_last.then_some(usize::MAX)) else {
                continue;
            };
            for &other in &pair[1][scanned..=index] {
                for piece in graph.above.range(other) {
                    let parent = graph.above.targets[piece];
                    let place = position[parent as usize];
                    let is_inner = graph.is_virtual(other) && graph.is_virtual(parent);
                    is_crossing[piece] |= !is_inner && (place < left || place > right);
                }
            }
            scanned = index + 1;
            left = right;
        }
    }
    is_crossing
}

/// One of the four ways to align.
struct Way<'a> {
    graph: &'a Proper,
    position: &'a [usize],
    crossing: &'a [bool],
    from_above: bool,
    leaning_left: bool,
}

impl Way<'_> {
    fn place(&self) -> Vec<f64> {
        let layers = self.layers();
        let root_of = self.align(&layers);
        let mut xs = compact(self.graph, &layers, &root_of);
        if !self.leaning_left {
            for x in &mut xs {
                *x = -*x;
            }
        }
        xs
    }

    /// The layers as this way sees them: mirrored, so that it always goes down and leans left.
    fn layers(&self) -> Vec<Vec<u32>> {
        let mut layers = self.graph.layers.clone();
        if !self.from_above {
            layers.reverse();
        }
        if !self.leaning_left {
            for layer in &mut layers {
                layer.reverse();
            }
        }
        layers
    }

    /// Joins nodes with their medians where no other joint is crossed; gives each node's block.
    fn align(&self, layers: &[Vec<u32>]) -> Vec<u32> {
        let nodes = self.graph.layer_of.len();
        let mut position = vec![0; nodes];
        let mut root_of: Vec<u32> = (0..nodes as u32).collect();
        let mut is_taken = vec![false; nodes];
        for layer in layers {
            for (index, &node) in layer.iter().enumerate() {
                position[node as usize] = index;
            }
        }
        for pair in layers.windows(2) {
            // The last node that was joined, and the place of its median.
            let mut last: Option<(u32, usize)> = None;
            for &node in &pair[1] {
                let medians = self.medians(node);
                let is_hub = medians.len() > 2;
                let fits = |&&median: &&u32| {
                    let place = position[median as usize];
                    !is_taken[median as usize]
                        && last.is_none_or(|last| place > last.1)
                        && !self.gives_way(node, median)
                        && (!is_hub || self.has_room(last, (node, place), &pair[0]))
                };
                let found = if self.leaning_left {
                    medians.iter().find(fits)
                } else {
                    medians.iter().rev().find(fits)
                };
                if let Some(&median) = found {
                    is_taken[median as usize] = true;
                    root_of[node as usize] = root_of[median as usize];
                    last = Some((node, position[median as usize]));
                }
            }
        }
        root_of
    }

    /// The one or two median neighbours; of a hub also some beyond, on the side it gives way to.
    fn medians(&self, node: u32) -> &[u32] {
        let side = if self.from_above { &self.graph.above } else { &self.graph.below };
        let neighbours = side.of(node);
        let count = neighbours.len();
        let (low, high) = (count.saturating_sub(1) / 2, (count / 2 + 1).min(count));
        match (count < HUB, self.leaning_left) {
            (true, _) => &neighbours[low..high],
            (false, true) => &neighbours[low..(high + HUB).min(count)],
            (false, false) => &neighbours[low.saturating_sub(HUB)..high],
        }
    }

    /// Whether two neighbours may stand below these places of the layer above without pushing its
    /// nodes apart: two hubs side by side would tear the row of their inputs.
    fn has_room(&self, last: Option<(u32, usize)>, next: (u32, usize), parents: &[u32]) -> bool {
        let Some((last_node, last_place)) = last else {
            return true;
        };
        let mut missing = self.graph.distance(last_node, next.0);
        for pair in parents[last_place..=next.1].windows(2) {
            missing -= self.graph.distance(pair[0], pair[1]);
            if missing <= 0.0 {
                return true;
            }
        }
        false
    }

    fn gives_way(&self, node: u32, median: u32) -> bool {
        let (lower, upper) = if self.from_above { (node, median) } else { (median, node) };
        let place = |node: u32| self.position[node as usize];
        let parents = self.graph.above.of(lower);
        let index = parents.partition_point(|&parent| place(parent) < place(upper));
        self.crossing[self.graph.above.range(lower).start + index]
    }
}

/// Places the blocks as far left as they go, then back to the right where there is room.
fn compact(graph: &Proper, layers: &[Vec<u32>], root_of: &[u32]) -> Vec<f64> {
    let nodes = root_of.len();
    // The right neighbour of a node in its layer, as a block, with the distance.
    let pairs = || {
        layers.iter().flat_map(|layer| layer.windows(2)).map(|pair| {
            let distance = graph.distance(pair[0], pair[1]);
            (root_of[pair[0] as usize], root_of[pair[1] as usize], distance)
        })
    };
    let mut starts = vec![0_usize; nodes + 1];
    let mut missing = vec![0_u32; nodes];
    for (left, right, _) in pairs() {
        starts[left as usize + 1] += 1;
        missing[right as usize] += 1;
    }
    for node in 0..nodes {
        starts[node + 1] += starts[node];
    }
    let mut next = starts.clone();
    let mut rights = vec![(0_u32, 0.0_f64); starts[nodes]];
    for (left, right, distance) in pairs() {
        rights[next[left as usize]] = (right, distance);
        next[left as usize] += 1;
    }
    let rights_of = |block: u32| &rights[starts[block as usize]..starts[block as usize + 1]];

    let is_block = |&node: &u32| root_of[node as usize] == node;
    let mut xs = vec![0.0_f64; nodes];
    let mut order: Vec<u32> =
        (0..nodes as u32).filter(is_block).filter(|&block| missing[block as usize] == 0).collect();
    let mut done = 0;
    while let Some(&block) = order.get(done) {
        done += 1;
        for &(right, distance) in rights_of(block) {
            xs[right as usize] = xs[right as usize].max(xs[block as usize] + distance);
            missing[right as usize] -= 1;
            if missing[right as usize] == 0 {
                order.push(right);
            }
        }
    }
    for &block in order.iter().rev() {
        let room = rights_of(block)
            .iter()
            .map(|&(right, distance)| xs[right as usize] - distance)
            .fold(f64::INFINITY, f64::min);
        if room.is_finite() {
            xs[block as usize] = xs[block as usize].max(room);
        }
    }
    (0..nodes).map(|node| xs[root_of[node] as usize]).collect()
}

/// Shifts the four drawings onto the narrowest: those leaning left share its left border, the others
/// its right one.
fn align_to_narrowest(graph: &Proper, candidates: &mut [Vec<f64>]) {
    let borders: Vec<(f64, f64)> = candidates
        .iter()
        .map(|xs| {
            let lefts = xs.iter().zip(&graph.widths).map(|(x, width)| x - width / 2.0);
            let rights = xs.iter().zip(&graph.widths).map(|(x, width)| x + width / 2.0);
            (lefts.fold(f64::INFINITY, f64::min), rights.fold(f64::NEG_INFINITY, f64::max))
        })
        .collect();
    let narrowest = borders
        .iter()
        .min_by(|a, b| (a.1 - a.0).total_cmp(&(b.1 - b.0)))
        .copied()
        .unwrap_or((0.0, 0.0));
    for (way, xs) in candidates.iter_mut().enumerate() {
        let leans_left = way % 2 == 0;
        let shift =
            if leans_left { narrowest.0 - borders[way].0 } else { narrowest.1 - borders[way].1 };
        for x in xs {
            *x += shift;
        }
    }
}
