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
fn a_stencil_keeps_one_row_and_two_results() {
    let (cells, steps) = (50_u32, 40_u32);
    let mut rows: Vec<Vec<u32>> = vec![vec![]; cells as usize];
    for step in 0..steps {
        let above = |cell: u32| step * cells + cell;
        rows.extend(
            (0..cells).map(|cell| {
                (cell.saturating_sub(1)..=(cell + 1).min(cells - 1)).map(above).collect()
            }),
        );
    }
    assert_eq!(peak(&Edges::from_rows(rows)), cells as usize + 2);
}

#[test]
fn outputs_that_are_there_at_once_come_last() {
    // 0..20 are outputs without inputs; the rest is a tree, which needs room for a moment.
    let mut rows: Vec<Vec<u32>> = vec![vec![]; 20];
    rows.extend(binary_tree(16).rows().map(|row| row.iter().map(|input| input + 20).collect()));
    assert_eq!(peak(&Edges::from_rows(rows)), 21);
}

/// Adds tasks one by one.
#[derive(Default)]
struct Builder(Vec<Vec<u32>>);

impl Builder {
    fn add(&mut self, inputs: impl Into<Vec<u32>>) -> u32 {
        self.0.push(inputs.into());
        self.0.len() as u32 - 1
    }

    fn add_each<T>(
        &mut self,
        inputs_of: impl Fn(T) -> Vec<u32>,
        of: impl IntoIterator<Item = T>,
    ) -> Vec<u32> {
        of.into_iter().map(|one| self.add(inputs_of(one))).collect()
    }

    /// A tree that joins four results to one.
    fn tree(&mut self, mut level: Vec<u32>) -> u32 {
        while level.len() > 1 {
            level = level.chunks(4).map(|group| self.add(group)).collect();
        }
        level[0]
    }

    fn peak(self) -> usize {
        peak(&Edges::from_rows(self.0))
    }
}

/// Cells within one step of a cell in a square, itself too.
fn near(cell: u32, side: u32) -> Vec<u32> {
    let around = |at: u32| at.saturating_sub(1)..=(at + 1).min(side - 1);
    around(cell / side)
        .flat_map(|row| around(cell % side).map(move |column| row * side + column))
        .collect()
}

#[test]
fn a_sum_with_the_transpose_goes_by_pairs_of_cells() {
    let (mut graph, side) = (Builder::default(), 20);
    let cells = graph.add_each(|_| vec![], 0..side * side);
    let transposed = graph
        .add_each(|cell| vec![cells[(cell % side * side + cell / side) as usize]], 0..side * side);
    let sums = cells.iter().zip(&transposed).map(|(&a, &b)| graph.add([a, b])).collect();
    graph.tree(sums);
    assert!(graph.peak() <= 62);
}

#[test]
fn several_reductions_of_the_same_chunks_go_side_by_side() {
    let (mut graph, chunks) = (Builder::default(), 256);
    let chunks = graph.add_each(|_| vec![], 0..chunks);
    for _ in 0..4 {
        let parts = graph.add_each(|&chunk| vec![chunk], &chunks);
        graph.tree(parts);
    }
    assert!(graph.peak() <= 45);
}

#[test]
fn means_of_products_over_time_go_chunk_by_chunk() {
    // u, v, u², uv and v², each 40 times 8 chunks, are averaged over time.
    let (mut graph, times, chunks) = (Builder::default(), 40, 8);
    let u = graph.add_each(|_| vec![], 0..times * chunks);
    let v = graph.add_each(|_| vec![], 0..times * chunks);
    let squares = |graph: &mut Builder, of: &[u32]| graph.add_each(|&cell| vec![cell], of);
    let (uu, vv) = (squares(&mut graph, &u), squares(&mut graph, &v));
    let uv = u.iter().zip(&v).map(|(&u, &v)| graph.add([u, v])).collect();
    for values in [u, v, uu, uv, vv] {
        let column =
            |chunk: u32| values.iter().skip(chunk as usize).step_by(chunks as usize).copied();
        let means: Vec<u32> =
            (0..chunks).map(|chunk| graph.tree(column(chunk).collect())).collect();
        graph.add(means);
    }
    assert!(graph.peak() <= 65);
}

#[test]
fn means_of_months_keep_one_tree() {
    // 20 years of 36 files, each opened, read, and averaged with the others of its month.
    let (mut graph, days) = (Builder::default(), 20 * 36);
    let opened = graph.add_each(|_| vec![], 0..days);
    let read = graph.add_each(|&file| vec![file], &opened);
    let of_month = |month: u32| read.iter().zip(0..).filter(move |(_, day)| day % 36 / 3 == month);
    let months: Vec<u32> =
        (0..12).map(|month| graph.tree(of_month(month).map(|(&day, _)| day).collect())).collect();
    graph.add(months);
    assert!(graph.peak() <= 21);
}

#[test]
fn borders_are_cut_row_by_row() {
    let (mut graph, side) = (Builder::default(), 12);
    let chunks = graph.add_each(|_| vec![], 0..side * side);
    let joined = (0..side * side).map(|cell| {
        let borders = graph.add_each(|other| vec![chunks[other as usize]], near(cell, side));
        let joined = graph.add(borders);
        graph.add([joined])
    });
    let joined = joined.collect();
    graph.tree(joined);
    assert!(graph.peak() <= 46);
}

#[test]
fn a_shuffle_ends_a_group_before_it_begins_the_next() {
    // 64 partitions are cut in four pieces and joined, three times, one digit of their number each.
    let mut graph = Builder::default();
    let mut parts = graph.add_each(|_| vec![], 0..64);
    for unit in [1, 4, 16] {
        let pieces = parts.iter().map(|&part| {
            let split = graph.add([part]);
            graph.add_each(|_| vec![split], 0..4)
        });
        let pieces: Vec<Vec<u32>> = pieces.collect();
        let group =
            |part: u32| (0..4).map(move |other| part - part / unit % 4 * unit + other * unit);
        parts = graph.add_each(
            |part| {
                group(part)
                    .map(|other| pieces[other as usize][(part / unit % 4) as usize])
                    .collect()
            },
            0..64,
        );
    }
    assert!(graph.peak() <= 75);
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

/// Tasks of which each but the last is read by one later task.
fn any_tree(tasks: usize) -> impl Strategy<Value = Edges> {
    proptest::collection::vec(0_u32..100, 1..tasks).prop_map(|readers| {
        let tasks = readers.len() as u32;
        let mut rows = vec![Vec::new(); readers.len()];
        for (task, choice) in (0..tasks - 1).zip(readers) {
            rows[(task + 1 + choice % (tasks - 1 - task)) as usize].push(task);
        }
        Edges::from_rows(rows)
    })
}

proptest! {
    #[test]
    fn every_order_is_valid(edges in any_graph(60)) {
        peak(&edges);
    }

    #[test]
    fn small_trees_have_the_best_peak(edges in any_tree(11)) {
        prop_assert_eq!(peak(&edges), smallest_peak(&edges));
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
    assert!(ours * 1000 <= best * 1025, "{ours} live results in all, {best} are enough");
}
