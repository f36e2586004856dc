//! The order that ends what it began: of the tasks that read a living result, the one that lacks
//! least goes next.
//!
//! Its strength are graphs in which the readers of one result lead to different places: several
//! reductions of the same chunks, shuffles, borders that are cut off and joined. A walk to one of
//! these places would leave behind what the others need.

use super::sequence::Sequence;

/// An order; `None` if it keeps as many results alive as are known to be enough.
pub(super) fn nearest(graph: Sequence<'_>, known: usize) -> Option<Sequence<'_>> {
    let mut order = Nearest::new(graph);
    for task in 0..order.graph.dependencies.len() as u32 {
        if order.graph.dependencies.row(task).is_empty() {
            order.begin_with(task);
            if !order.run(known) {
                return None;
            }
        }
    }
    for output in std::mem::take(&mut order.waiting_outputs) {
        order.emit(output);
    }
    (order.graph.peak() < known).then_some(order.graph)
}

struct Nearest<'a> {
    graph: Sequence<'a>,
    /// Inputs of each task that were not emitted and could not be emitted now.
    far: Vec<u32>,
    targets: Targets,
    /// Tasks to emit, each for the one below it, and how far we are in their inputs.
    stack: Vec<(u32, u32)>,
    /// Outputs that could be emitted. They stay for good and free nothing, so they can wait.
    waiting_outputs: Vec<u32>,
    followers: Vec<u32>,
}

impl<'a> Nearest<'a> {
    fn new(graph: Sequence<'a>) -> Self {
        let is_far = |&&input: &&u32| !graph.is_ready(input);
        let far = graph.dependencies.rows().map(|row| row.iter().filter(is_far).count() as u32);
        Self {
            far: far.collect(),
            graph,
            targets: Targets::default(),
            stack: Vec::new(),
            waiting_outputs: Vec::new(),
            followers: Vec::new(),
        }
    }

    fn begin_with(&mut self, task: u32) {
        if self.graph.is_output(task) {
            self.waiting_outputs.push(task);
        } else {
            self.stack.push((task, 0));
        }
    }

    /// Goes on until nothing that is alive has a reader; false if too many results are alive.
    fn run(&mut self, known: usize) -> bool {
        loop {
            let limit = match self.stack.last() {
                Some(&(task, _)) if self.graph.is_emitted(task) => {
                    self.stack.pop();
                    continue;
                }
                Some(&(task, _)) if self.graph.is_ready(task) => {
                    self.stack.pop();
                    self.emit(task);
                    if self.graph.peak() >= known {
                        return false;
                    }
                    continue;
                }
                Some(&(task, _)) => self.distance(task),
                None => Targets::DISTANCES,
            };
            // What is nearer goes before.
            let graph = &self.graph;
            let target = self.targets.pop_nearer(limit, |task| !graph.is_ready(task));
            match target.or_else(|| self.next_input()) {
                Some(task) => self.stack.push((task, 0)),
                None => return true,
            }
        }
    }

    /// An input that the last task of the stack lacks: those that need something themselves first,
    /// for the others add a result and wait.
    fn next_input(&mut self) -> Option<u32> {
        let (task, place) = self.stack.last_mut()?;
        let inputs = self.graph.dependencies.row(*task);
        loop {
            let at = *place as usize;
            *place += 1;
            let input = inputs[at % inputs.len()];
            let may_be_ready = at >= inputs.len();
            if !self.graph.is_emitted(input) && (may_be_ready || !self.graph.is_ready(input)) {
                return Some(input);
            }
        }
    }

    fn emit(&mut self, task: u32) {
        let Self { graph, far, targets, waiting_outputs, followers, .. } = self;
        graph.emit_with_followers(task, followers, |graph, emitted| {
            for &reader in graph.dependents.row(emitted) {
                if !graph.is_ready(reader) {
                    targets.push(reader, distance(graph, far, reader));
                } else if graph.is_output(reader) {
                    waiting_outputs.push(reader);
                } else {
                    for &next in graph.dependents.row(reader) {
                        far[next as usize] -= 1;
                        targets.push(next, distance(graph, far, next));
                    }
                }
            }
        });
    }

    fn distance(&self, task: u32) -> usize {
        distance(&self.graph, &self.far, task)
    }
}

/// How much a task lacks: first of all the inputs that lack something themselves.
fn distance(graph: &Sequence<'_>, far: &[u32], task: u32) -> usize {
    let (far, missing) = (far[task as usize] as usize, graph.missing(task));
    far.min(3) * 16 + missing.min(15)
}

/// Tasks by their distance, the latest first where it is the same.
///
/// A task is added again each time it comes nearer, so the first place from which it is taken is
/// the right one.
struct Targets {
    at_distance: [Vec<u32>; Self::DISTANCES],
    /// A bit for each distance at which there are tasks.
    filled: u64,
}

impl Targets {
    const DISTANCES: usize = u64::BITS as usize;

    fn push(&mut self, task: u32, distance: usize) {
        self.at_distance[distance].push(task);
        self.filled |= 1 << distance;
    }

    /// Takes the nearest task that is wanted and nearer than `limit`; drops those not wanted.
    fn pop_nearer(&mut self, limit: usize, is_wanted: impl Fn(u32) -> bool) -> Option<u32> {
        loop {
            let distance = self.filled.trailing_zeros() as usize;
            if distance >= limit {
                return None;
            }
            match self.at_distance[distance].pop() {
                Some(task) if is_wanted(task) => return Some(task),
                Some(_) => (),
                None => self.filled &= !(1 << distance),
            }
        }
    }
}

impl Default for Targets {
    fn default() -> Self {
        Self { at_distance: std::array::from_fn(|_| Vec::new()), filled: 0 }
    }
}
