//! Moves the nodes sideways: Brandes and Köpf, "Fast and Simple Horizontal Coordinate Assignment".
//!
//! Nodes are aligned with their median neighbours into vertical blocks, in four ways (from above or
//! below, leaning left or right); each way is made compact, and the two middle ones of the four
//! coordinates of each node are averaged. Blocks are placed by longest paths over the graph of
//! blocks, which avoids the error in the original paper.

use super::Csr;
use super::proper::Proper;

/// A node with at least so many neighbours need not stand exactly at their median.
const HUB: usize = 8;

/// The x of the centre of each node. `graph.above` must be sorted by position.
pub(super) fn assign(graph: &Proper) -> Vec<f64> {
    let slots = Slots::new(graph);
    let mut candidates = Vec::with_capacity(4);
    for from_above in [true, false] {
        for leaning_left in [true, false] {
            candidates.push(Way { slots: &slots, from_above, leaning_left }.place());
        }
    }
    align_to_narrowest(&slots, &mut candidates);
    let mut of_nodes = vec![0.0; slots.node_of.len()];
    for (slot, &node) in slots.node_of.iter().enumerate() {
        let mut xs = [0, 1, 2, 3].map(|way: usize| candidates[way][slot]);
        xs.sort_unstable_by(f64::total_cmp);
        of_nodes[node as usize] = f64::midpoint(xs[1], xs[2]);
    }
    of_nodes
}

/// The nodes numbered layer by layer, in each from left to right: what stands side by side is near
/// in memory, and of two in a layer the left one has the lower number.
struct Slots<'a> {
    graph: &'a Proper,
    node_of: Vec<u32>,
    /// Where each layer begins, and where the last one ends.
    starts: Vec<u32>,
    /// Whether a layer begins here; one more than there are slots.
    is_first: Vec<bool>,
    /// The least distance to the next slot.
    to_right: Vec<f64>,
    above: Side,
    below: Side,
}

/// Neighbours in the layer on one side, from left to right.
struct Side {
    neighbours: Csr,
    /// The pieces of edges that give way, by their places in `neighbours.targets`.
    gives_way: Vec<bool>,
}

impl<'a> Slots<'a> {
    fn new(graph: &'a Proper) -> Self {
        let node_of: Vec<u32> = graph.layers.concat();
        let count = node_of.len();
        let mut slot_of = vec![0; count];
        for (slot, &node) in node_of.iter().enumerate() {
            slot_of[node as usize] = slot as u32;
        }
        let mut starts = vec![0];
        let mut is_first = vec![false; count + 1];
        is_first[count] = true;
        for layer in &graph.layers {
            let start = starts[starts.len() - 1];
            is_first[start as usize] = true;
            starts.push(start + layer.len() as u32);
        }
        let mut pieces = Vec::with_capacity(graph.above.targets.len());
        for (slot, &node) in node_of.iter().enumerate() {
            let above = graph.above.of(node).iter();
            pieces.extend(above.map(|&other| (slot as u32, slot_of[other as usize])));
        }
        let is_virtual: Vec<bool> = node_of.iter().map(|&node| graph.is_virtual(node)).collect();
        let above = Csr::outgoing(count, &pieces);
        let gives_way = inner_crossings(&starts, &is_virtual, &above);
        let mut next = Csr::incoming(count, &pieces);
        let below = next.clone();
        let mut gives_way_below = vec![false; pieces.len()];
        for (&(_, upper), &gives_way) in pieces.iter().zip(&gives_way) {
            let place = &mut next.starts[upper as usize];
            gives_way_below[*place as usize] = gives_way;
            *place += 1;
        }
        let distance = |pair: &[u32]| graph.distance(pair[0], pair[1]);
        Self {
            graph,
            starts,
            is_first,
            to_right: node_of.windows(2).map(distance).collect(),
            above: Side { neighbours: above, gives_way },
            below: Side { neighbours: below, gives_way: gives_way_below },
            node_of,
        }
    }

    fn distance(&self, left: u32, right: u32) -> f64 {
        self.graph.distance(self.node_of[left as usize], self.node_of[right as usize])
    }
}

/// Marks the pieces (by place in `above`) that cross a piece between two virtual nodes: those give
/// way, so that long edges stay straight.
fn inner_crossings(starts: &[u32], is_virtual: &[bool], above: &Csr) -> Vec<bool> {
    let mut is_crossing = vec![false; above.targets.len()];
    for layers in starts.windows(3) {
        let inner_parent = |slot: u32| {
            let parent = *above.of(slot).first()?;
            (is_virtual[slot as usize] && is_virtual[parent as usize]).then_some(parent)
        };
        let mut scanned = layers[1];
        let mut left = layers[0];
        for slot in layers[1]..layers[2] {
            let is_last = slot + 1 == layers[2];
            let Some(right) = inner_parent(slot).or(is_last.then_some(u32::MAX)) else {
                continue;
            };
            for other in scanned..=slot {
                for piece in above.range(other) {
                    let parent = above.targets[piece];
                    let is_inner = is_virtual[other as usize] && is_virtual[parent as usize];
                    is_crossing[piece] |= !is_inner && (parent < left || parent > right);
                }
            }
            scanned = slot + 1;
            left = right;
        }
    }
    is_crossing
}

/// One of the four ways to align.
struct Way<'a> {
    slots: &'a Slots<'a>,
    from_above: bool,
    leaning_left: bool,
}

/// Which nodes stand exactly below each other.
struct Blocks {
    /// The first node of each node's block.
    root_of: Vec<u32>,
    /// The next node of the block, or `NONE`.
    next_of: Vec<u32>,
}

const NONE: u32 = u32::MAX;

impl Way<'_> {
    fn place(&self) -> Vec<f64> {
        let mut xs = self.compact(&self.align());
        if !self.leaning_left {
            for x in &mut xs {
                *x = -*x;
            }
        }
        xs
    }

    /// Joins nodes with their medians where no other joint is crossed.
    fn align(&self) -> Blocks {
        let slots = self.slots;
        let count = slots.node_of.len();
        let mut root_of: Vec<u32> = (0..count as u32).collect();
        let mut next_of = vec![NONE; count];
        let side = if self.from_above { &slots.above } else { &slots.below };
        let layers = slots.starts.len() - 1;
        for step in 1..layers {
            let layer = if self.from_above { step } else { layers - 1 - step };
            let (start, end) = (slots.starts[layer], slots.starts[layer + 1]);
            // The last node that was joined, and its median.
            let mut last: Option<(u32, u32)> = None;
            for step in 0..end - start {
                let node = if self.leaning_left { start + step } else { end - 1 - step };
                let pieces = self.medians(side.neighbours.range(node));
                let is_hub = pieces.len() > 2;
                let fits = |&piece: &usize| {
                    let median = side.neighbours.targets[piece];
                    next_of[median as usize] == NONE
                        && last.is_none_or(|(_, before)| self.is_behind(before, median))
                        && !side.gives_way[piece]
                        && (!is_hub || self.has_room(last, (node, median)))
                };
                let found = if self.leaning_left {
                    pieces.clone().find(fits)
                } else {
                    pieces.clone().rev().find(fits)
                };
                if let Some(piece) = found {
                    let median = side.neighbours.targets[piece];
                    next_of[median as usize] = node;
                    root_of[node as usize] = root_of[median as usize];
                    last = Some((node, median));
                }
            }
        }
        Blocks { root_of, next_of }
    }

    /// Whether this way comes to `next` after `before`, which is in the same layer.
    fn is_behind(&self, before: u32, next: u32) -> bool {
        if self.leaning_left { next > before } else { next < before }
    }

    /// The one or two median pieces; of a hub also some beyond, on the side it gives way to.
    fn medians(&self, pieces: std::ops::Range<usize>) -> std::ops::Range<usize> {
        let count = pieces.len();
        let (low, high) = (count.saturating_sub(1) / 2, (count / 2 + 1).min(count));
        let (low, high) = match (count < HUB, self.leaning_left) {
            (true, _) => (low, high),
            (false, true) => (low, (high + HUB).min(count)),
            (false, false) => (low.saturating_sub(HUB), high),
        };
        pieces.start + low..pieces.start + high
    }

    /// Whether two nodes may stand below these two of the layer above without pushing apart what is
    /// between: two hubs side by side would tear the row of their inputs.
    fn has_room(&self, last: Option<(u32, u32)>, (node, median): (u32, u32)) -> bool {
        let Some((last_node, last_median)) = last else {
            return true;
        };
        let mut missing = self.slots.distance(last_node, node);
        let mut take = |slot: u32| {
            missing -= self.slots.to_right[slot as usize];
            missing <= 0.0
        };
        if self.leaning_left {
            (last_median..median).any(&mut take)
        } else {
            (median..last_median).rev().any(&mut take)
        }
    }

    /// Places the blocks as far left as they go, then back to the right where there is room. (Ways
    /// that lean right do it mirrored.)
    fn compact(&self, blocks: &Blocks) -> Vec<f64> {
        let slots = self.slots;
        let count = slots.node_of.len();
        let root_of = |slot: usize| blocks.root_of[slot] as usize;
        // The right neighbour of a node in its layer, with the distance.
        let follower = |slot: usize| {
            if self.leaning_left {
                (!slots.is_first[slot + 1]).then(|| (slot + 1, slots.to_right[slot]))
            } else {
                (!slots.is_first[slot]).then(|| (slot - 1, slots.to_right[slot - 1]))
            }
        };
        // Those of the nodes of a block, as blocks.
        let rights_of = |block: u32| {
            let next =
                |&slot: &u32| Some(blocks.next_of[slot as usize]).filter(|&next| next != NONE);
            std::iter::successors(Some(block), next)
                .filter_map(|slot| follower(slot as usize))
                .map(|(right, distance)| (root_of(right), distance))
        };

        let mut missing = vec![0_u32; count];
        for (right, _) in (0..count).filter_map(follower) {
            missing[root_of(right)] += 1;
        }
        let mut xs = vec![0.0_f64; count];
        let mut order: Vec<u32> = (0..count)
            .filter(|&slot| root_of(slot) == slot && missing[slot] == 0)
            .map(|block| block as u32)
            .collect();
        let mut done = 0;
        while let Some(&block) = order.get(done) {
            done += 1;
            for (right, distance) in rights_of(block) {
                xs[right] = xs[right].max(xs[block as usize] + distance);
                missing[right] -= 1;
                if missing[right] == 0 {
                    order.push(right as u32);
                }
            }
        }
        for &block in order.iter().rev() {
            let room = rights_of(block)
                .map(|(right, distance)| xs[right] - distance)
                .fold(f64::INFINITY, f64::min);
            if room.is_finite() {
                xs[block as usize] = xs[block as usize].max(room);
            }
        }
        (0..count).map(|slot| xs[root_of(slot)]).collect()
    }
}

/// Shifts the four drawings onto the narrowest: those leaning left share its left border, the others
/// its right one.
fn align_to_narrowest(slots: &Slots, candidates: &mut [Vec<f64>]) {
    let width_of = |&node: &u32| slots.graph.widths[node as usize];
    let widths: Vec<f64> = slots.node_of.iter().map(width_of).collect();
    let borders: Vec<(f64, f64)> = candidates
        .iter()
        .map(|xs| {
            let lefts = xs.iter().zip(&widths).map(|(x, width)| x - width / 2.0);
            let rights = xs.iter().zip(&widths).map(|(x, width)| x + width / 2.0);
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
