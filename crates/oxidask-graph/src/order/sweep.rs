//! The greedy order: of the tasks that could run, the one that frees most.
//!
//! Its strength are graphs in which each step reads its neighbours' last results, such as stencils:
//! it goes row by row, or along the diagonal.

use std::collections::VecDeque;

use super::sequence::Sequence;

/// Which one of tasks that free equally much goes first.
#[derive(Clone, Copy)]
pub(super) enum Ties {
    /// The one that could run for the longest time: goes on in breadth.
    OldestFirst,
    /// The one that could run last: goes on in depth.
    NewestFirst,
}

/// Tasks that free more than this many results are all the same to us.
const MOST_FREED: usize = 14;

/// A greedy order; `None` if it keeps as many results alive as are known to be enough.
pub(super) fn sweep(mut graph: Sequence<'_>, ties: Ties, known: usize) -> Option<Sequence<'_>> {
    // A task may stand in several queues: it is added again when it frees more than it did, so that
    // the first place from which it is taken is the right one.
    let mut queues: [VecDeque<u32>; MOST_FREED + 2] = Default::default();
    for task in (0..graph.dependencies.len() as u32).filter(|&task| graph.is_ready(task)) {
        queues[queue_of(&graph, task)].push_back(task);
    }
    while let Some(queue) = queues.iter_mut().rev().find(|queue| !queue.is_empty()) {
        let task = match ties {
            Ties::OldestFirst => queue.pop_front(),
            Ties::NewestFirst => queue.pop_back(),
        };
        let task = task.expect("a queue that is not empty");
        if !graph.is_emitted(task) {
            graph.emit(task, |graph, next| queues[queue_of(graph, next)].push_back(next));
            if graph.peak() >= known {
                return None;
            }
        }
    }
    Some(graph)
}

fn queue_of(graph: &Sequence<'_>, task: u32) -> usize {
    match graph.frees(task) {
        // Its result stays for good, so it can wait.
        0 if graph.is_output(task) => 0,
        freed => freed.min(MOST_FREED) + 1,
    }
}
