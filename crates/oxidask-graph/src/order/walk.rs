//! The depth-first order, from the outputs.
//!
//! The walk emits a task when all it needs was emitted. Among the inputs of a task, and among the
//! outputs, the one that needs more room goes first (the numbering of R. Sethi and J. D. Ullman, "The
//! generation of optimal code for arithmetic expressions", Journal of the ACM 17, 1970, which is
//! optimal on trees). Between two steps of the walk, a task whose inputs are all there runs at once
//! if it is the last reader of one of them: it frees what it adds.

use std::cmp::Reverse;

use super::sequence::Sequence;
use crate::Edges;

/// The tasks, each behind its inputs; `None` if there is a cycle.
pub(super) fn topological_order(dependencies: &Edges, dependents: &Edges) -> Option<Vec<u32>> {
    let tasks = dependencies.len() as u32;
    let mut missing: Vec<u32> = dependencies.rows().map(|row| row.len() as u32).collect();
    let mut sorted = Vec::with_capacity(tasks as usize);
    sorted.extend((0..tasks).filter(|&task| missing[task as usize] == 0));
    let mut next = 0;
    while let Some(&task) = sorted.get(next) {
        next += 1;
        for &dependent in dependents.row(task) {
            missing[dependent as usize] -= 1;
            if missing[dependent as usize] == 0 {
                sorted.push(dependent);
            }
        }
    }
    (sorted.len() == tasks as usize).then_some(sorted)
}

/// How many results are alive at once while a task is made ready, if what it needs were a tree.
///
/// Inputs that `makes_ready(input, reader)` denies are taken to be there already.
pub(super) fn room_needed(
    dependencies: &Edges,
    topological: &[u32],
    makes_ready: impl Fn(u32, u32) -> bool,
) -> Vec<u32> {
    let tasks = dependencies.len();
    let mut room = vec![1_u32; tasks];
    let mut of_inputs = Vec::new();
    for &task in topological {
        of_inputs.clear();
        let inputs = dependencies.row(task).iter().filter(|&&input| makes_ready(input, task));
        of_inputs.extend(inputs.map(|&input| room[input as usize]));
        of_inputs.sort_unstable_by(|a, b| b.cmp(a));
        let most = of_inputs.iter().zip(0..).map(|(&room, held)| room + held).max();
        // Where results are shared, the sum would grow without end.
        room[task as usize] = most.unwrap_or(1).min(tasks as u32);
    }
    room
}

const NOT_VISITED: u32 = u32::MAX;

/// A depth-first order, and for each task the reader for which it was visited; `None` if it keeps as
/// many results alive as are known to be enough.
pub(super) fn walk<'a>(
    graph: Sequence<'a>,
    outputs: &[u32],
    room: &[u32],
    known: usize,
) -> Option<(Sequence<'a>, Vec<u32>)> {
    let inputs = SortedInputs::new(graph.dependencies, room);
    let mut outputs = outputs.to_vec();
    outputs.sort_by_key(|&output| Reverse(room[output as usize]));
    let visited_for = vec![NOT_VISITED; room.len()];
    let mut walk = Walk { graph, visited_for, stack: Vec::new(), followers: Vec::new() };
    for output in outputs {
        walk.visit(output, &inputs);
        if walk.graph.peak() >= known {
            return None;
        }
    }
    Some((walk.graph, walk.visited_for))
}

/// The inputs of each task, those that need most room first; where they need the same, as given.
struct SortedInputs<'a> {
    dependencies: &'a Edges,
    targets: Vec<u32>,
}

impl<'a> SortedInputs<'a> {
    fn new(dependencies: &'a Edges, room: &[u32]) -> Self {
        let mut targets = dependencies.targets().to_vec();
        for task in 0..dependencies.len() as u32 {
            let begin = dependencies.row_start(task);
            let row = &mut targets[begin..begin + dependencies.row(task).len()];
            if !row.is_sorted_by_key(|&input| Reverse(room[input as usize])) {
                row.sort_by_key(|&input| Reverse(room[input as usize]));
            }
        }
        Self { dependencies, targets }
    }

    fn get(&self, task: u32, place: usize) -> Option<u32> {
        let row = self.dependencies.row(task);
        (place < row.len()).then(|| self.targets[self.dependencies.row_start(task) + place])
    }
}

struct Walk<'a> {
    graph: Sequence<'a>,
    visited_for: Vec<u32>,
    stack: Vec<(u32, u32)>,
    followers: Vec<u32>,
}

impl Walk<'_> {
    /// Emits what `output` needs, then `output`.
    fn visit(&mut self, output: u32, inputs: &SortedInputs<'_>) {
        if self.graph.is_emitted(output) {
            return;
        }
        self.stack.push((output, 0));
        while let Some((task, place)) = self.stack.last_mut() {
            let task = *task;
            if let Some(input) = inputs.get(task, *place as usize) {
                *place += 1;
                if !self.graph.is_emitted(input) {
                    self.visited_for[input as usize] = task;
                    self.stack.push((input, 0));
                }
            } else {
                self.stack.pop();
                self.graph.emit_with_followers(task, &mut self.followers, |_, _| ());
            }
        }
    }
}
