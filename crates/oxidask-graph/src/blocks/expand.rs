//! Writes out the tasks of a plan that are needed.

use std::collections::BTreeMap;

use super::{Axis, BlockRef, Blocks, Input, Node, Plan, Step, count_of, strides_of};
use crate::{Explicit, Op, OpKind};

/// Tasks of one node that stand behind each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The first task.
    pub first: u32,
    /// The node.
    pub node: u32,
    /// The block of each task, rising; `None` if all blocks of the node are there.
    pub blocks: Option<Box<[u32]>>,
}

/// A plan that was written out.
#[derive(Clone, Debug, Default)]
pub struct Expanded {
    /// The tasks, each behind what it needs.
    pub layer: Explicit,
    /// Whose they are.
    pub segments: Vec<Segment>,
    /// The tasks of the wanted blocks.
    pub wanted: Vec<u32>,
}

/// No task.
pub(super) const NONE: u32 = u32::MAX;
/// Inputs among which one is found by looking at all, sooner than in a table.
const FEW: usize = 24;

impl Plan {
    /// Writes out what the wanted blocks need.
    pub fn expand(&self, wanted: &[BlockRef]) -> Expanded {
        let reads = self.reads(wanted);
        let mut expanded = Expanded::default();
        let mut tasks: Vec<Box<[u32]>> = Vec::with_capacity(self.nodes.len());
        for (number, node) in self.nodes.iter().enumerate() {
            let needed = &reads[number];
            let find = |block: &BlockRef| tasks[block.node as usize][block.block as usize];
            let first = expanded.layer.len() as u32;
            let of_node: Box<[u32]> = match node {
                _ if needed.is_empty() => Box::default(),
                Node::Task { inputs, ops, group } => {
                    let row: Vec<u32> = inputs.iter().map(find).collect();
                    let task = write_task(&mut expanded.layer, &row, ops, *group);
                    Box::new([task])
                }
                Node::Given { blocks, .. } => {
                    let is_needed = blocks.iter().zip(needed);
                    is_needed
                        .map(|(block, &reads)| if reads > 0 { find(block) } else { NONE })
                        .collect()
                }
                Node::Joined { axis, grid, parts } => self.joined(*axis, grid, parts, &tasks),
                Node::Blocks(blocks) if blocks.is_alias() => {
                    let of_input = &tasks[blocks.inputs[0].node as usize];
                    let places = Places::new(self, &blocks.inputs[0]);
                    let mut of_node = Vec::with_capacity(needed.len());
                    each_block(&blocks.grid, |block, coordinate| {
                        let is_needed = needed[block] > 0;
                        let place = || of_input[places.at(coordinate) as usize];
                        of_node.push(if is_needed { place() } else { NONE });
                    });
                    of_node.into()
                }
                Node::Blocks(blocks) => {
                    Writer::new(self, blocks, &tasks).write(needed, &mut expanded.layer)
                }
            };
            tasks.push(of_node);
            let last = expanded.layer.len() as u32;
            if last > first {
                let is_whole = (last - first) as usize == needed.len();
                let blocks = || {
                    let blocks = needed.iter().enumerate().filter(|(_, reads)| **reads > 0);
                    blocks.map(|(block, _)| block as u32).collect()
                };
                let blocks = (!is_whole).then(blocks);
                expanded.segments.push(Segment { first, node: number as u32, blocks });
            }
        }
        expanded.wanted =
            wanted.iter().map(|one| tasks[one.node as usize][one.block as usize]).collect();
        expanded
    }

    /// For each node and each of its blocks, how often it is read by what is wanted, which counts as
    /// one reader more; nothing for nodes that are not needed at all. Nodes that only stand between
    /// others pass on what reads them.
    pub(super) fn reads(&self, wanted: &[BlockRef]) -> Vec<Vec<u32>> {
        let mut reads: Vec<Vec<u32>> = vec![Vec::new(); self.nodes.len()];
        let add = |reads: &mut Vec<Vec<u32>>, one: BlockRef, times: u32| {
            let of_node = &mut reads[one.node as usize];
            if of_node.is_empty() {
                of_node.resize(self.block_count(one.node), 0);
            }
            of_node[one.block as usize] += times;
        };
        for &one in wanted {
            add(&mut reads, one, 1);
        }
        for number in (0..self.nodes.len()).rev() {
            let of_node = std::mem::take(&mut reads[number]);
            if of_node.is_empty() {
                continue;
            }
            match &self.nodes[number] {
                Node::Task { inputs, .. } => {
                    for &one in inputs {
                        add(&mut reads, one, 1);
                    }
                }
                Node::Given { blocks, .. } => {
                    for (&one, &times) in
                        blocks.iter().zip(&of_node).filter(|(_, times)| **times > 0)
                    {
                        add(&mut reads, one, times);
                    }
                }
                Node::Joined { axis, grid, parts } => {
                    self.each_part(*axis, grid, parts, |block, one| {
                        if of_node[block] > 0 {
                            add(&mut reads, one, of_node[block]);
                        }
                    });
                }
                Node::Blocks(blocks) => {
                    let is_alias = blocks.is_alias();
                    for input in &blocks.inputs {
                        let count = self.block_count(input.node);
                        let of_input = &mut reads[input.node as usize];
                        of_input.resize(count, 0);
                        let places = Places::new(self, input);
                        each_block(&blocks.grid, |block, coordinate| {
                            let times = if is_alias { of_node[block] } else { 1 };
                            if of_node[block] > 0 {
                                places.each(coordinate, |place| of_input[place as usize] += times);
                            }
                        });
                    }
                }
            }
            reads[number] = of_node;
        }
        reads
    }

    /// The tasks of grids behind each other.
    fn joined(&self, axis: usize, grid: &[u32], parts: &[u32], tasks: &[Box<[u32]>]) -> Box<[u32]> {
        let mut joined = vec![NONE; count_of(grid)].into_boxed_slice();
        self.each_part(axis, grid, parts, |block, one| {
            if let Some(&task) = tasks[one.node as usize].get(one.block as usize) {
                joined[block] = task;
            }
        });
        joined
    }

    /// Calls a function with each block of a joined grid and the block of the part that it is.
    fn each_part(
        &self,
        axis: usize,
        grid: &[u32],
        parts: &[u32],
        mut visit: impl FnMut(usize, BlockRef),
    ) {
        let inner: usize = count_of(&grid[axis + 1..]);
        let outer: usize = count_of(&grid[..axis]);
        let row = grid[axis] as usize * inner;
        let mut behind = 0;
        for &part in parts {
            let count = self.block_count(part);
            let part_row = count.checked_div(outer).unwrap_or(0);
            for block in 0..count {
                let place = block / part_row * row + behind + block % part_row;
                visit(place, BlockRef { node: part, block: block as u32 });
            }
            behind += part_row;
        }
    }
}

/// Writes one task whose inputs may be the same task.
pub(super) fn write_task(layer: &mut Explicit, row: &[u32], ops: &[Op], group: u32) -> u32 {
    let mut unique = Row::default();
    let places: Vec<u32> = row.iter().map(|&task| unique.place_of(task)).collect();
    let ops: Vec<Op> = ops
        .iter()
        .map(|op| match op.kind() {
            OpKind::Dependency(input) => Op::new(OpKind::Dependency(places[input as usize])),
            _ => *op,
        })
        .collect();
    layer.push(unique.tasks.iter().copied(), &ops, 0, group)
}

/// The inputs of a task, each once.
#[derive(Default)]
pub(super) struct Row {
    pub(super) tasks: Vec<u32>,
    /// Their places, once there are more than `FEW`.
    places: BTreeMap<u32, u32>,
}

impl Row {
    pub(super) fn clear(&mut self) {
        self.tasks.clear();
        self.places.clear();
    }

    pub(super) fn place_of(&mut self, task: u32) -> u32 {
        let next = self.tasks.len() as u32;
        if self.tasks.len() <= FEW {
            if let Some(place) = self.tasks.iter().position(|&other| other == task) {
                return place as u32;
            }
            self.tasks.push(task);
            if self.tasks.len() > FEW {
                self.places = (0..).zip(&self.tasks).map(|(place, &task)| (task, place)).collect();
            }
            return next;
        }
        let place = *self.places.entry(task).or_insert(next);
        if place == next {
            self.tasks.push(task);
        }
        place
    }
}

/// Writes the tasks of a layer.
struct Writer<'a> {
    blocks: &'a Blocks,
    plan: &'a Plan,
    tasks: &'a [Box<[u32]>],
    places: Vec<Places>,
}

impl<'a> Writer<'a> {
    fn new(plan: &'a Plan, blocks: &'a Blocks, tasks: &'a [Box<[u32]>]) -> Self {
        let places = blocks.inputs.iter().map(|input| Places::new(plan, input)).collect();
        Self { blocks, plan, tasks, places }
    }

    /// Writes the needed tasks, and says which task each block is.
    fn write(&self, reads: &[u32], layer: &mut Explicit) -> Box<[u32]> {
        let mut of_node = vec![NONE; reads.len()].into_boxed_slice();
        let mut row = Row::default();
        let mut ops = Vec::new();
        each_block(&self.blocks.grid, |block, coordinate| {
            if reads[block] == 0 {
                return;
            }
            row.clear();
            ops.clear();
            for step in &self.blocks.steps {
                match *step {
                    Step::Op(kind) => ops.push(Op::new(kind)),
                    Step::Along { axis, table } => {
                        let table = &self.plan.tables[table as usize];
                        let literal = table[coordinate[axis as usize] as usize];
                        ops.push(Op::new(OpKind::Literal(literal)));
                    }
                    Step::Input(number) => self.read(number, coordinate, &mut row, &mut ops),
                }
            }
            of_node[block] = layer.push(row.tasks.iter().copied(), &ops, 0, self.blocks.group);
        });
        of_node
    }

    fn read(&self, number: u32, coordinate: &[u32], row: &mut Row, ops: &mut Vec<Op>) {
        let input = &self.blocks.inputs[number as usize];
        let of_input = &self.tasks[input.node as usize];
        let places = &self.places[number as usize];
        if !input.is_list {
            let place = row.place_of(of_input[places.at(coordinate) as usize]);
            ops.push(Op::new(OpKind::Dependency(place)));
            return;
        }
        let mut count = 0;
        places.each(coordinate, |place| {
            let place = row.place_of(of_input[place as usize]);
            ops.push(Op::new(OpKind::Dependency(place)));
            count += 1;
        });
        ops.push(Op::new(OpKind::List(count)));
    }
}

/// Which blocks of an input belong to which coordinate of a layer, as sums of offsets.
pub(super) struct Places {
    /// For each axis of the input: its stride and what leads there.
    axes: Vec<(u32, Axis)>,
}

impl Places {
    pub(super) fn new(plan: &Plan, input: &Input) -> Self {
        let strides = strides_of(plan.grid_of(input.node));
        Self { axes: strides.into_iter().zip(input.axes.iter().cloned()).collect() }
    }

    /// The block, where it is one.
    pub(super) fn at(&self, coordinate: &[u32]) -> u32 {
        self.axes
            .iter()
            .map(|(stride, axis)| {
                let along = axis.from.map_or(0, |from| coordinate[from as usize]);
                stride * axis.block_at(along)
            })
            .sum()
    }

    /// Calls a function with each block, row by row.
    pub(super) fn each(&self, coordinate: &[u32], mut visit: impl FnMut(u32)) {
        self.each_from(0, 0, coordinate, &mut visit);
    }

    fn each_from(&self, axis: usize, base: u32, coordinate: &[u32], visit: &mut impl FnMut(u32)) {
        let Some((stride, map)) = self.axes.get(axis) else { return visit(base) };
        let along = map.from.map_or(0, |from| coordinate[from as usize]);
        match &map.rows {
            None => self.each_from(axis + 1, base + stride * along, coordinate, visit),
            Some(rows) => {
                for block in rows.row(along) {
                    self.each_from(axis + 1, base + stride * block, coordinate, visit);
                }
            }
        }
    }
}

/// Calls a function with each block of a grid, row by row, and its coordinate.
fn each_block(grid: &[u32], mut visit: impl FnMut(usize, &[u32])) {
    let mut coordinate = vec![0; grid.len()];
    for block in 0..count_of(grid) {
        visit(block, &coordinate);
        for axis in (0..grid.len()).rev() {
            coordinate[axis] += 1;
            if coordinate[axis] < grid[axis] {
                break;
            }
            coordinate[axis] = 0;
        }
    }
}
