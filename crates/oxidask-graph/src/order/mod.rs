//! What to run first: finish what frees memory, few results alive.
//!
//! No order is best for all graphs, and to find the best one is NP-complete (R. Sethi, "Complete
//! register allocation problems", SIAM Journal on Computing 4, 1975). A depth-first walk ([`mod@walk`])
//! is best for trees and near it for most graphs that people write. Where it keeps many more results
//! alive than any order must, others are tried and the best is taken: the walk with inputs as given,
//! the walk again with what it learnt, an order that ends what it began ([`mod@nearest`]), and two
//! sweeps ([`mod@sweep`]) that follow what frees most.

mod nearest;
mod sequence;
mod sweep;
#[cfg(test)]
mod tests;
mod walk;

use nearest::nearest;
use sequence::Sequence;
use sweep::{Ties, sweep};
use walk::{room_needed, topological_order, walk};

use crate::Edges;

/// For each task, its place in the order: the smallest runs first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Place of each task; a permutation of `0..tasks`.
    pub rank: Vec<u32>,
}

impl Order {
    /// The tasks in the order in which they run.
    pub fn tasks(&self) -> Vec<u32> {
        let mut tasks = vec![0; self.rank.len()];
        for (task, &rank) in self.rank.iter().enumerate() {
            tasks[rank as usize] = task as u32;
        }
        tasks
    }
}

/// Orders the tasks of a graph; `None` if it has a cycle.
///
/// `dependents` is `dependencies.reversed()`, which the caller usually has. Takes time and memory
/// about proportional to tasks and edges, but for sorting the inputs of each task.
pub fn order(dependencies: &Edges, dependents: &Edges) -> Option<Order> {
    let topological = topological_order(dependencies, dependents)?;
    let outputs: Vec<u32> =
        (0..dependencies.len() as u32).filter(|&task| dependents.row(task).is_empty()).collect();
    let mut search = Search {
        dependencies,
        dependents,
        enough: enough_results(dependencies, outputs.len()),
        best: None,
    };
    let mut room = room_needed(dependencies, &topological, |_, _| true);
    let mut visited_for = Vec::new();
    search.consider(|start, known| {
        let (order, visited) = walk(start, &outputs, &room, known)?;
        visited_for = visited;
        Some(order)
    });
    if outputs.len() == 1 && is_read_once(dependents) {
        return Some(Order { rank: search.best?.into_rank() });
    }
    search.consider(|start, known| {
        // Where results are shared, the first walk tells which task makes which input ready.
        room = room_needed(dependencies, &topological, |input, reader| {
            visited_for[input as usize] == reader
        });
        walk(start, &outputs, &room, known).map(|(order, _)| order)
    });
    search.consider(|start, known| {
        room.fill(1);
        walk(start, &outputs, &room, known).map(|(order, _)| order)
    });
    search.consider(nearest);
    search.consider(|start, known| sweep(start, Ties::OldestFirst, known));
    search.consider(|start, known| sweep(start, Ties::NewestFirst, known));
    Some(Order { rank: search.best?.into_rank() })
}

/// Whether each result has one reader at most. The first walk is the best order of such a tree.
fn is_read_once(dependents: &Edges) -> bool {
    dependents.rows().all(|row| row.len() <= 1)
}

/// The best order so far.
struct Search<'a> {
    dependencies: &'a Edges,
    dependents: &'a Edges,
    enough: usize,
    best: Option<Sequence<'a>>,
}

impl<'a> Search<'a> {
    /// Tries a way to order, unless the best order is good enough; it may give up when it cannot
    /// stay below the known peak.
    fn consider(&mut self, order: impl FnOnce(Sequence<'a>, usize) -> Option<Sequence<'a>>) {
        let known = self.best.as_ref().map_or(usize::MAX, Sequence::peak);
        if known > self.enough {
            let start = Sequence::new(self.dependencies, self.dependents);
            self.best = order(start, known).or(self.best.take());
        }
    }
}

/// So many live results are no reason to look for a better order: no order has fewer than the
/// largest task needs, or than there are outputs, and reducing by a tree adds some for each level.
fn enough_results(dependencies: &Edges, outputs: usize) -> usize {
    let largest = dependencies.rows().map(|row| row.len() + 1).max().unwrap_or(0);
    largest.max(outputs) + dependencies.len().max(1).ilog2() as usize
}

/// The largest number of results alive at once when the tasks run one by one in this order.
///
/// A result dies when its last reader ran; those without reader stay.
pub fn peak_live_results(dependencies: &Edges, dependents: &Edges, order: &Order) -> usize {
    let mut sequence = Sequence::new(dependencies, dependents);
    for task in order.tasks() {
        sequence.emit(task, |_, _| ());
    }
    sequence.peak()
}
