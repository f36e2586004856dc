//! What to run first: finish what frees memory, depth first, few results alive.
//!
//! The order is that of a depth-first walk from the outputs, which emits a task when all it needs
//! was emitted. Among the inputs of a task the one that needs more room goes first (the numbering
//! of R. Sethi and J. D. Ullman, "The generation of optimal code for arithmetic expressions",
//! Journal of the ACM 17, 1970, which is optimal on trees). Between two steps of the walk, a task
//! whose inputs are all there runs at once if it is the last reader of one of them: it frees what
//! it adds.

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
/// proportional to tasks and edges, but for sorting the inputs of each task.
pub fn order(dependencies: &Edges, dependents: &Edges) -> Option<Order> {
    let room = room_needed(dependencies, dependents)?;
    let mut walk = Walk::new(dependencies, dependents);
    let sorted = SortedInputs::new(dependencies, &room);
    for output in (0..dependencies.len() as u32).filter(|&task| dependents.row(task).is_empty()) {
        walk.visit(output, &sorted);
    }
    Some(Order { rank: walk.rank })
}

/// The largest number of results alive at once when the tasks run one by one in this order.
///
/// A result dies when its last reader ran; those without reader stay.
pub fn peak_live_results(dependencies: &Edges, dependents: &Edges, order: &Order) -> usize {
    let mut readers: Vec<u32> =
        (0..dependencies.len() as u32).map(|task| dependents.row(task).len() as u32).collect();
    let (mut live, mut peak) = (0_usize, 0_usize);
    for task in order.tasks() {
        live += 1;
        peak = peak.max(live);
        for &input in dependencies.row(task) {
            readers[input as usize] -= 1;
            live -= usize::from(readers[input as usize] == 0);
        }
    }
    peak
}

/// How many results are alive at once while a task is made ready, if it were the root of a tree;
/// `None` if there is a cycle.
fn room_needed(dependencies: &Edges, dependents: &Edges) -> Option<Vec<u32>> {
    let tasks = dependencies.len();
    let mut room = vec![1_u32; tasks];
    let mut missing: Vec<u32> = dependencies.rows().map(|row| row.len() as u32).collect();
    let mut ready: Vec<u32> =
        (0..tasks as u32).filter(|&task| missing[task as usize] == 0).collect();
    let mut done = 0;
    let mut of_inputs = Vec::new();
    while let Some(task) = ready.pop() {
        done += 1;
        let inputs = dependencies.row(task);
        room[task as usize] = match inputs {
            [] => 1,
            &[input] => room[input as usize],
            _ => {
                of_inputs.clear();
                of_inputs.extend(inputs.iter().map(|&input| room[input as usize]));
                of_inputs.sort_unstable_by(|a, b| b.cmp(a));
                let most = of_inputs.iter().zip(0..).map(|(&room, held)| room + held).max();
                most.expect("a task with two inputs or more").min(tasks as u32)
            }
        };
        for &dependent in dependents.row(task) {
            missing[dependent as usize] -= 1;
            if missing[dependent as usize] == 0 {
                ready.push(dependent);
            }
        }
    }
    (done == tasks).then_some(room)
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
            if !row.is_sorted_by_key(|&input| std::cmp::Reverse(room[input as usize])) {
                row.sort_by_key(|&input| std::cmp::Reverse(room[input as usize]));
            }
        }
        Self { dependencies, targets }
    }

    fn get(&self, task: u32, place: usize) -> Option<u32> {
        let row = self.dependencies.row(task);
        (place < row.len()).then(|| self.targets[self.dependencies.row_start(task) + place])
    }
}

const NOT_EMITTED: u32 = u32::MAX;

/// The state of the depth-first walk.
struct Walk<'a> {
    dependencies: &'a Edges,
    dependents: &'a Edges,
    rank: Vec<u32>,
    emitted: u32,
    /// Inputs of each task that were not emitted.
    missing: Vec<u32>,
    /// Readers of each task that were not emitted: how many, and their numbers combined by xor, so
    /// that the last one is known without a search.
    readers: Vec<u32>,
    readers_xor: Vec<u32>,
    stack: Vec<(u32, u32)>,
    ready: Vec<u32>,
}

impl<'a> Walk<'a> {
    fn new(dependencies: &'a Edges, dependents: &'a Edges) -> Self {
        Self {
            dependencies,
            dependents,
            rank: vec![NOT_EMITTED; dependencies.len()],
            emitted: 0,
            missing: dependencies.rows().map(|row| row.len() as u32).collect(),
            readers: dependents.rows().map(|row| row.len() as u32).collect(),
            readers_xor: dependents
                .rows()
                .map(|row| row.iter().fold(0, |all, one| all ^ one))
                .collect(),
            stack: Vec::new(),
            ready: Vec::new(),
        }
    }

    fn is_emitted(&self, task: u32) -> bool {
        self.rank[task as usize] != NOT_EMITTED
    }

    /// Emits what `output` needs, then `output`.
    fn visit(&mut self, output: u32, inputs: &SortedInputs<'_>) {
        if self.is_emitted(output) {
            return;
        }
        self.stack.push((output, 0));
        while let Some((task, place)) = self.stack.last_mut() {
            let task = *task;
            if let Some(input) = inputs.get(task, *place as usize) {
                *place += 1;
                if !self.is_emitted(input) {
                    self.stack.push((input, 0));
                }
            } else {
                self.stack.pop();
                self.emit_with_followers(task);
            }
        }
    }

    /// Emits a task, then all that became worth running at once by it.
    fn emit_with_followers(&mut self, task: u32) {
        self.ready.push(task);
        while let Some(task) = self.ready.pop() {
            if !self.is_emitted(task) {
                self.emit(task);
            }
        }
    }

    fn emit(&mut self, task: u32) {
        self.rank[task as usize] = self.emitted;
        self.emitted += 1;
        for &dependent in self.dependents.row(task) {
            self.missing[dependent as usize] -= 1;
            if self.missing[dependent as usize] == 0 && self.is_last_reader(dependent) {
                self.ready.push(dependent);
            }
        }
        for &input in self.dependencies.row(task) {
            let input = input as usize;
            self.readers[input] -= 1;
            self.readers_xor[input] ^= task;
            let last = self.readers_xor[input];
            if self.readers[input] == 1 && self.missing[last as usize] == 0 {
                self.ready.push(last);
            }
        }
    }

    /// Whether running `task` frees one of its inputs.
    fn is_last_reader(&self, task: u32) -> bool {
        self.dependencies.row(task).iter().any(|&input| self.readers[input as usize] == 1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn peak(edges: &Edges) -> usize {
        let dependents = edges.reversed();
        let order = order(edges, &dependents).expect("no cycle");
        assert_valid(edges, &order);
        peak_live_results(edges, &dependents, &order)
    }

    fn assert_valid(edges: &Edges, order: &Order) {
        let mut sorted = order.rank.clone();
        sorted.sort_unstable();
        assert!(sorted.iter().enumerate().all(|(place, &rank)| place == rank as usize));
        for (task, row) in edges.rows().enumerate() {
            for &input in row {
                assert!(order.rank[input as usize] < order.rank[task]);
            }
        }
    }

    fn binary_tree(leaves: u32) -> Edges {
        let mut rows: Vec<Vec<u32>> = vec![vec![]; leaves as usize];
        let mut level: Vec<u32> = (0..leaves).collect();
        while level.len() > 1 {
            level = level
                .chunks(2)
                .map(|pair| {
                    rows.push(pair.to_vec());
                    rows.len() as u32 - 1
                })
                .collect();
        }
        Edges::from_rows(rows)
    }

    fn grid(side: u32) -> Edges {
        Edges::from_rows((0..side * side).map(|task| {
            let (row, column) = (task / side, task % side);
            let mut inputs = Vec::new();
            if row > 0 {
                inputs.push(task - side);
            }
            if column > 0 {
                inputs.push(task - 1);
            }
            inputs
        }))
    }

    #[test]
    fn a_tree_needs_as_many_results_as_it_has_levels() {
        assert_eq!(peak(&binary_tree(1 << 10)), 12);
    }

    #[test]
    fn a_wavefront_grid_keeps_about_one_row() {
        assert!(peak(&grid(100)) <= 130, "{}", peak(&grid(100)));
    }

    #[test]
    fn two_reductions_over_the_same_inputs_share_them_in_pairs() {
        // Inputs 0..n, then a_i and b_i of each, then two trees would be best; here two flat sums.
        let n = 100_u32;
        let mut rows: Vec<Vec<u32>> = vec![vec![]; n as usize];
        rows.extend((0..2 * n).map(|task| vec![task % n]));
        rows.push((n..2 * n).collect());
        rows.push((2 * n..3 * n).collect());
        // All a_i and b_i stay for the sums; of the inputs only one at a time.
        assert_eq!(peak(&Edges::from_rows(rows)), 2 * n as usize + 1);
    }

    #[test]
    fn a_chain_of_a_million_tasks_is_ordered_without_recursion() {
        let mut rows = vec![vec![]];
        rows.extend((0..999_999).map(|task| vec![task]));
        assert_eq!(peak(&Edges::from_rows(rows)), 2);
    }

    #[test]
    fn a_cycle_has_no_order() {
        let edges = Edges::from_rows([vec![2], vec![0], vec![1]]);
        assert_eq!(order(&edges, &edges.reversed()), None);
    }

    /// The smallest peak over all valid orders, by search over sets of tasks that ran.
    fn smallest_peak(edges: &Edges) -> usize {
        let (tasks, dependents) = (edges.len() as u32, edges.reversed());
        let is_live = |ran: u32, task: u32| {
            let readers = dependents.row(task);
            ran >> task & 1 == 1
                && (readers.is_empty() || readers.iter().any(|&reader| ran >> reader & 1 == 0))
        };
        let mut best = vec![usize::MAX; 1 << tasks];
        best[0] = 0;
        for ran in 0..1_u32 << tasks {
            if best[ran as usize] == usize::MAX {
                continue;
            }
            for task in (0..tasks).filter(|&task| ran >> task & 1 == 0) {
                if edges.row(task).iter().all(|&input| ran >> input & 1 == 1) {
                    let during = (0..tasks).filter(|&task| is_live(ran, task)).count() + 1;
                    let next = (ran | 1 << task) as usize;
                    best[next] = best[next].min(best[ran as usize].max(during));
                }
            }
        }
        best[(1 << tasks) - 1]
    }

    fn any_graph(tasks: usize) -> impl Strategy<Value = Edges> {
        proptest::collection::vec(proptest::collection::vec(0_u32..100, 0..4), 1..tasks).prop_map(
            |rows| {
                Edges::from_rows(rows.iter().enumerate().map(|(task, row)| {
                    let mut inputs: Vec<u32> = row
                        .iter()
                        .filter(|_| task > 0)
                        .map(|input| input % task.max(1) as u32)
                        .collect();
                    inputs.sort_unstable();
                    inputs.dedup();
                    inputs
                }))
            },
        )
    }

    proptest! {
        #[test]
        fn every_order_is_valid(edges in any_graph(60)) {
            peak(&edges);
        }

        #[test]
        fn small_graphs_stay_near_the_best_peak(edges in any_graph(11)) {
            let (ours, best) = (peak(&edges), smallest_peak(&edges));
            prop_assert!(ours <= best + 3, "{ours} live results where {best} are enough");
        }
    }

    #[test]
    fn on_average_small_graphs_need_little_more_than_the_best_peak() {
        use proptest::strategy::ValueTree;
        use proptest::test_runner::{Config, TestRunner};
        let mut runner = TestRunner::new_with_rng(
            Config::default(),
            proptest::test_runner::TestRng::deterministic_rng(
                proptest::test_runner::RngAlgorithm::ChaCha,
            ),
        );
        let (mut ours, mut best) = (0, 0);
        for _ in 0..300 {
            let edges = any_graph(12).new_tree(&mut runner).expect("a graph").current();
            ours += peak(&edges);
            best += smallest_peak(&edges);
        }
        assert!(ours * 100 <= best * 112, "{ours} live results in all, {best} are enough");
    }
}
