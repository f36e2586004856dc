//! What layers of blocks become, on grids small enough to be written down.

use super::*;
use crate::TaskView;

fn call(function: u32, arguments: &[Step]) -> Vec<Step> {
    let mut steps = vec![Step::Op(OpKind::Literal(function))];
    steps.extend_from_slice(arguments);
    steps.push(Step::Op(OpKind::Call(arguments.len() as u32)));
    steps
}

fn source(plan: &mut Plan, grid: &[u32], is_cheap: bool) -> u32 {
    let steps = call(100, &[]);
    plan.add_blocks(Blocks {
        grid: grid.to_vec(),
        inputs: vec![],
        steps,
        is_cheap,
        group: 0,
        terms: 0,
    })
}

fn same(node: u32, axes: u32) -> Input {
    Input { node, axes: (0..axes).map(Axis::same).collect(), is_list: false }
}

fn map(plan: &mut Plan, function: u32, grid: &[u32], inputs: Vec<Input>) -> u32 {
    let arguments: Vec<Step> = (0..inputs.len() as u32).map(Step::Input).collect();
    let steps = call(function, &arguments);
    plan.add_blocks(Blocks {
        grid: grid.to_vec(),
        inputs,
        steps,
        is_cheap: false,
        group: 1,
        terms: 0,
    })
}

fn all_of(plan: &Plan, node: u32) -> Vec<BlockRef> {
    (0..plan.block_count(node) as u32).map(|block| BlockRef { node, block }).collect()
}

/// A task's functions in the order of their calls, and what it needs.
fn functions(view: TaskView<'_>) -> Vec<u32> {
    let literals = view.template.0.iter().filter_map(|op| match op.kind() {
        OpKind::Literal(number) if number >= 100 => Some(number),
        _ => None,
    });
    literals.collect()
}

#[test]
fn a_chain_of_maps_is_one_task_a_block() {
    let mut plan = Plan::default();
    let x = source(&mut plan, &[2, 3], false);
    let y = map(&mut plan, 101, &[2, 3], vec![same(x, 2)]);
    let z = map(&mut plan, 102, &[2, 3], vec![same(y, 2)]);
    let wanted = all_of(&plan, z);
    plan.fuse(&wanted);
    let expanded = plan.expand(&wanted);
    assert_eq!(expanded.layer.len(), 6);
    assert_eq!(functions(expanded.layer.task(0)), [102, 101, 100]);
    assert!(expanded.layer.task(0).template.is_well_formed());
    assert_eq!(expanded.segments, [Segment { first: 0, node: z, blocks: None }]);
    assert_eq!(expanded.wanted, [0, 1, 2, 3, 4, 5]);
}

#[test]
fn layers_of_other_terms_are_not_joined() {
    let mut plan = Plan::default();
    let x = source(&mut plan, &[2], false);
    let call_of = |plan: &mut Plan, function, input, terms| {
        let (inputs, steps) = (vec![same(input, 1)], call(function, &[Step::Input(0)]));
        plan.add_blocks(Blocks { grid: vec![2], inputs, steps, is_cheap: false, group: 0, terms })
    };
    let y = call_of(&mut plan, 101, x, 1);
    let z = call_of(&mut plan, 102, y, 1);
    let last = call_of(&mut plan, 103, z, 2);
    let wanted = all_of(&plan, last);
    plan.fuse(&wanted);
    let expanded = plan.expand(&wanted);
    let tasks: Vec<Vec<u32>> =
        (0..expanded.layer.len() as u32).map(|task| functions(expanded.layer.task(task))).collect();
    assert_eq!(tasks.len(), 6);
    assert!(tasks.contains(&vec![102, 101]), "{tasks:?}");
}

#[test]
fn what_two_read_or_somebody_wants_stays_a_task_of_its_own() {
    let mut plan = Plan::default();
    let x = source(&mut plan, &[2], false);
    let y = map(&mut plan, 101, &[2], vec![same(x, 1)]);
    let z = map(&mut plan, 102, &[2], vec![same(x, 1), same(y, 1)]);
    let mut wanted = all_of(&plan, z);
    plan.fuse(&wanted);
    // x is read twice; y is part of z.
    assert_eq!(plan.expand(&wanted).layer.len(), 4);
    let mut plan = Plan::default();
    let x = source(&mut plan, &[2], false);
    let y = map(&mut plan, 101, &[2], vec![same(x, 1)]);
    wanted = all_of(&plan, x);
    wanted.extend(all_of(&plan, y));
    plan.fuse(&wanted);
    assert_eq!(plan.expand(&wanted).layer.len(), 4);
}

#[test]
fn a_cheap_source_is_made_by_each_reader_and_transposed_with_it() {
    let mut plan = Plan::default();
    let table = plan.add_table([10, 11]);
    let along_second = plan.add_table([20, 21, 22]);
    let steps =
        call(100, &[Step::Along { axis: 0, table }, Step::Along { axis: 1, table: along_second }]);
    let x = plan.add_blocks(Blocks {
        grid: vec![2, 3],
        inputs: vec![],
        steps,
        is_cheap: true,
        group: 0,
        terms: 0,
    });
    let turned = Input { node: x, axes: vec![Axis::same(1), Axis::same(0)], is_list: false };
    let y = map(&mut plan, 101, &[3, 2], vec![turned]);
    let wanted = all_of(&plan, y);
    plan.fuse(&wanted);
    let expanded = plan.expand(&wanted);
    assert_eq!(expanded.layer.len(), 6);
    // The task of block (2, 1) makes block (1, 2) of x.
    let literals: Vec<u32> = expanded
        .layer
        .task(5)
        .template
        .0
        .iter()
        .filter_map(|op| match op.kind() {
            OpKind::Literal(number) => Some(number),
            _ => None,
        })
        .collect();
    assert_eq!(literals, [101, 100, 11, 22]);
}

#[test]
fn broadcasting_does_not_make_a_block_twice() {
    let mut plan = Plan::default();
    let x = source(&mut plan, &[1], false);
    let row = Input { node: x, axes: vec![Axis::always(&[0])], is_list: false };
    let y = map(&mut plan, 101, &[4], vec![row]);
    let wanted = all_of(&plan, y);
    plan.fuse(&wanted);
    let expanded = plan.expand(&wanted);
    assert_eq!(expanded.layer.len(), 5);
    assert_eq!(expanded.layer.task(3).dependencies, [0]);
}

#[test]
fn a_reduction_reads_lists_and_only_what_is_needed_is_written() {
    let mut plan = Plan::default();
    let x = source(&mut plan, &[2, 4], false);
    let rows = Edges::from_rows([vec![0, 1], vec![2, 3]]);
    let input = Input { node: x, axes: vec![Axis::same(0), Axis::by(1, rows)], is_list: true };
    let sums = map(&mut plan, 101, &[2, 2], vec![input]);
    let wanted = [BlockRef { node: sums, block: 3 }];
    plan.fuse(&wanted);
    let expanded = plan.expand(&wanted);
    assert_eq!(expanded.layer.len(), 3);
    assert_eq!(expanded.layer.task(2).dependencies, [0, 1]);
    let list = expanded.layer.task(2).template.0[3].kind();
    assert_eq!(list, OpKind::List(2));
    let blocks: Box<[u32]> = Box::new([6, 7]);
    assert_eq!(expanded.segments[0], Segment { first: 0, node: x, blocks: Some(blocks) });
}

#[test]
fn grids_behind_each_other_cost_no_task() {
    let mut plan = Plan::default();
    let x = source(&mut plan, &[2, 1], false);
    let y = source(&mut plan, &[2, 2], false);
    let joined = plan.add_joined(1, vec![2, 3], vec![x, y]);
    let turned = Input { node: joined, axes: vec![Axis::same(1), Axis::same(0)], is_list: false };
    let steps = vec![Step::Input(0)];
    let inputs = vec![turned];
    let alias = plan.add_blocks(Blocks {
        grid: vec![3, 2],
        inputs,
        steps,
        is_cheap: false,
        group: 0,
        terms: 0,
    });
    let wanted = all_of(&plan, alias);
    plan.fuse(&wanted);
    let expanded = plan.expand(&wanted);
    assert_eq!(expanded.layer.len(), 6);
    // x has tasks 0 and 1, y has 2 to 5: the rows are 0 2 3 and 1 4 5.
    assert_eq!(expanded.wanted, [0, 1, 2, 4, 3, 5]);
}

#[test]
fn an_input_that_is_read_twice_by_one_task_stands_once_in_its_row() {
    let mut plan = Plan::default();
    let x = source(&mut plan, &[2, 2], false);
    let turned = Input { node: x, axes: vec![Axis::same(1), Axis::same(0)], is_list: false };
    let y = map(&mut plan, 101, &[2, 2], vec![same(x, 2), turned]);
    let wanted = all_of(&plan, y);
    plan.fuse(&wanted);
    let expanded = plan.expand(&wanted);
    assert_eq!(expanded.layer.task(4).dependencies, [0]);
    assert_eq!(expanded.layer.task(5).dependencies, [1, 2]);
}

#[test]
fn tasks_written_one_by_one_and_layers_read_each_other() {
    let mut plan = Plan::default();
    let op = |kind| Op::new(kind);
    let data = plan.add_task(vec![], Box::new([op(OpKind::Literal(7))]), 0);
    let given = plan.add_given(vec![1], vec![BlockRef { node: data, block: 0 }]);
    let x = map(&mut plan, 101, &[1], vec![same(given, 1)]);
    let one = BlockRef { node: x, block: 0 };
    let ops = [OpKind::Literal(100), OpKind::Dependency(0), OpKind::Dependency(1), OpKind::Call(2)];
    let ops: Vec<Op> = ops.into_iter().map(Op::new).collect();
    let last = plan.add_task(vec![one, one], ops.into(), 2);
    let wanted = [BlockRef { node: last, block: 0 }];
    plan.fuse(&wanted);
    let expanded = plan.expand(&wanted);
    assert_eq!(expanded.layer.len(), 3);
    assert_eq!(expanded.layer.task(1).dependencies, [0]);
    assert_eq!(expanded.layer.task(2).dependencies, [1]);
    assert_eq!(expanded.wanted, [2]);
}

/// What a task calls, and what those call that it reads.
fn described(tasks: &[(Vec<OpKind>, Vec<u32>)], task: u32) -> String {
    let (ops, row) = &tasks[task as usize];
    let ops = ops.iter().map(|op| match op {
        OpKind::Dependency(place) => described(tasks, row[*place as usize]),
        op => format!("{op:?}"),
    });
    format!("({})", ops.collect::<Vec<_>>().join(" "))
}

fn read(view: TaskView<'_>) -> (Vec<OpKind>, Vec<u32>) {
    (view.template.0.iter().map(|op| op.kind()).collect(), view.dependencies.to_vec())
}

/// A tree of sums over pieces of many kinds, with tasks enough for several slabs.
fn large_tree() -> (Plan, Vec<BlockRef>) {
    const SIDE: u32 = 200;
    let mut plan = Plan::default();
    let table = plan.add_table((1_000..1_000 + SIDE).collect::<Vec<_>>());
    let steps = call(100, &[Step::Along { axis: 1, table }]);
    let grid = vec![SIDE, SIDE];
    let (inputs, is_cheap) = (Vec::new(), false);
    let x = plan.add_blocks(Blocks { grid, inputs, steps, is_cheap, group: 0, terms: 0 });
    let y = source(&mut plan, &[SIDE, 3], false);
    let joined = plan.add_joined(1, vec![SIDE, SIDE + 3], vec![x, y]);
    let turned = Input { node: joined, axes: vec![Axis::same(1), Axis::same(0)], is_list: false };
    let alias = plan.add_blocks(Blocks {
        grid: vec![SIDE + 3, SIDE],
        inputs: vec![turned],
        steps: vec![Step::Input(0)],
        is_cheap: false,
        group: 0,
        terms: 0,
    });
    let parameter = plan.add_task(vec![], Box::new([Op::new(OpKind::Literal(7))]), 1);
    let scalar = Input { node: parameter, axes: vec![], is_list: false };
    let z = map(&mut plan, 101, &[SIDE + 3, SIDE], vec![same(alias, 2), scalar]);
    let rows =
        Edges::from_rows((0..SIDE / 4).map(|row| (4 * row..4 * row + 4).collect::<Vec<_>>()));
    let input = Input { node: z, axes: vec![Axis::same(0), Axis::by(1, rows)], is_list: true };
    let sums = map(&mut plan, 102, &[SIDE + 3, SIDE / 4], vec![input]);
    let everything = (0..2).map(|axis| {
        let count = if axis == 0 { SIDE + 3 } else { SIDE / 4 };
        Axis::always(&(0..count).collect::<Vec<_>>())
    });
    let input = Input { node: sums, axes: everything.collect(), is_list: true };
    let total = map(&mut plan, 103, &[], vec![input]);
    let last = BlockRef { node: total, block: 0 };
    // The sum, a block that it reads and that is wanted, too, and the sum once more.
    (plan, vec![last, BlockRef { node: sums, block: 17 }, last])
}

#[test]
fn slabs_hold_the_tasks_that_are_written_at_once_each_behind_what_it_needs() {
    let (mut plan, wanted) = large_tree();
    plan.fuse(&wanted);
    let whole = plan.expand(&wanted);
    let at_once: Vec<_> =
        (0..whole.layer.len() as u32).map(|task| read(whole.layer.task(task))).collect();
    let Ok(mut slabs) = plan.slabs(&wanted) else { panic!("it is a tree of many tasks") };
    assert_eq!(slabs.task_count() as usize, at_once.len());
    let mut tasks: Vec<(Vec<OpKind>, Vec<u32>)> = Vec::new();
    let mut number = 0;
    for slab in slabs.by_ref() {
        assert_eq!(slab.first as usize, tasks.len());
        let is_last = tasks.len() + slab.layer.len() == at_once.len();
        assert!(is_last || slab.layer.len() == SLAB as usize);
        assert_eq!(slab.blocks.len(), slab.layer.len());
        for task in 0..slab.layer.len() as u32 {
            let view = slab.layer.task(task);
            assert!(view.template.is_well_formed());
            assert!(view.dependencies.iter().all(|&input| input < slab.first + task));
            tasks.push(read(view));
        }
        number += 1;
    }
    assert!(number > 2);
    let describe =
        |of: &[u32], tasks| of.iter().map(|&one| described(tasks, one)).collect::<Vec<_>>();
    assert!(describe(&slabs.wanted(), &tasks) == describe(&whole.wanted, &at_once));
}

#[test]
fn a_slab_says_what_later_ones_read_and_what_no_later_one_reads() {
    let (mut plan, wanted) = large_tree();
    plan.fuse(&wanted);
    let Ok(slabs) = plan.slabs(&wanted) else { panic!("it is a tree of many tasks") };
    let slabs: Vec<Slab> = slabs.collect();
    let mut last_reader: Vec<Option<usize>> = Vec::new();
    for (place, slab) in slabs.iter().enumerate() {
        last_reader.resize(slab.first as usize + slab.layer.len(), None);
        for task in 0..slab.layer.len() as u32 {
            for &input in slab.layer.task(task).dependencies {
                last_reader[input as usize] = Some(place);
            }
        }
    }
    let mut kept: Vec<u32> = Vec::new();
    for (place, slab) in slabs.iter().enumerate() {
        for task in slab.first..slab.first + slab.layer.len() as u32 {
            let is_read_later = last_reader[task as usize] > Some(place);
            let is_wanted = slab.wanted.contains(&task);
            assert_eq!(slab.exports.contains(&task), is_read_later && !is_wanted);
        }
        for &task in &slab.settled {
            assert_eq!(last_reader[task as usize], Some(place));
            kept.retain(|&one| one != task);
        }
        kept.extend(&slab.exports);
    }
    assert_eq!(kept, []);
    let count: usize = slabs.iter().map(|slab| slab.wanted.len()).sum();
    assert_eq!(count, 2);
}

#[test]
fn few_tasks_and_many_that_several_read_are_written_at_once() {
    let mut plan = Plan::default();
    let x = source(&mut plan, &[SLAB], false);
    let wanted = all_of(&plan, x);
    assert!(plan.slabs(&wanted).is_err());
    let mut plan = Plan::default();
    let x = source(&mut plan, &[4 * SLAB], false);
    let y = map(&mut plan, 101, &[4 * SLAB], vec![same(x, 1)]);
    let mut wanted = all_of(&plan, x);
    wanted.extend(all_of(&plan, y));
    assert!(plan.slabs(&wanted).is_err());
}

#[test]
fn an_outline_says_what_is_called_in_which_order() {
    let mut plan = Plan::default();
    let x = source(&mut plan, &[2, 4], false);
    let y = map(&mut plan, 101, &[2, 4], vec![same(x, 2)]);
    let rows = Edges::from_rows([vec![0, 1], vec![2, 3]]);
    let input = Input { node: y, axes: vec![Axis::same(0), Axis::by(1, rows)], is_list: true };
    let sums = map(&mut plan, 102, &[2, 2], vec![input]);
    let wanted = [BlockRef { node: sums, block: 0 }];
    plan.fuse(&wanted);
    let part = |node, grid: &[u32], blocks, functions: &[u32], inputs: &[u32]| PlanPart {
        node,
        grid: grid.to_vec(),
        blocks,
        has_tasks: true,
        functions: functions.to_vec(),
        inputs: inputs.to_vec(),
    };
    let expected = [part(y, &[2, 4], 2, &[100, 101], &[]), part(sums, &[2, 2], 1, &[102], &[y])];
    assert_eq!(plan.outline(&wanted), expected);
}
