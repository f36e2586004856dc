//! Writes out the tasks of a plan slab by slab, depth-first from what is wanted.
//!
//! A graph of a million tasks takes half a second to write, to order and to hand to a scheduler. If
//! it hangs together like a tree, depth-first is the order to run it in, and no order of the whole
//! is needed to write its beginning. Then tasks can run while later ones are not written yet, and
//! need not be remembered when they have.

use std::collections::BTreeMap;

use super::expand::{NONE, Places, Row, write_task};
use super::{BlockRef, Node, Plan, Step, count_of};
use crate::{Explicit, Op, OpKind};

/// Tasks of a slab; the last one may have fewer.
pub const SLAB: u32 = 1 << 14;

/// Fewer tasks are written out at once.
const MANY: usize = 2 * SLAB as usize;
/// Of so many tasks one may have several readers: while it waits for the last, its result is kept.
const FEW_ARE_SHARED: usize = 64;

/// Some tasks of a plan; they stand behind each other in the order to run them.
#[derive(Clone, Debug, Default)]
pub struct Slab {
    /// The number of the first task; the others follow.
    pub first: u32,
    /// The tasks. What they need they call by numbers of the whole graph; all are in this slab or in
    /// earlier ones.
    pub layer: Explicit,
    /// Which block each task makes.
    pub blocks: Vec<BlockRef>,
    /// How often the result of each task is read in the whole graph.
    pub reads: Vec<u32>,
    /// Tasks of this slab that are wanted.
    pub wanted: Vec<u32>,
    /// Tasks of this slab that later slabs read.
    pub exports: Vec<u32>,
    /// Exports of earlier slabs that no later slab reads.
    pub settled: Vec<u32>,
}

/// A plan that is written out slab by slab; an iterator of [`Slab`]s.
pub struct Slabs {
    plan: Plan,
    wanted: Vec<BlockRef>,
    /// How often each task is wanted.
    times_wanted: BTreeMap<BlockRef, u32>,
    /// How many of `wanted` were looked at.
    looked_at: usize,
    /// For each layer what leads from its blocks to those of its inputs.
    places: Vec<Vec<Places>>,
    /// For each grid of grids behind each other where each part begins.
    begins: Vec<Vec<u32>>,
    /// For each block how many of those that read it are not written yet; to be wanted counts, too.
    reads: Vec<Vec<u32>>,
    /// The task of each block, once it is written.
    tasks: Vec<Box<[u32]>>,
    count: u32,
    written: u32,
    /// Tasks that are being written: each needs the next.
    open: Vec<Open>,
    /// What open tasks read, behind each other.
    inputs: Vec<BlockRef>,
}

/// A task that waits for what it needs to be written.
struct Open {
    one: BlockRef,
    /// Where in `inputs` its own begin.
    begin: usize,
    /// The one to look at next.
    next: usize,
}

impl Plan {
    /// Has what the wanted blocks need written out slab by slab.
    ///
    /// # Errors
    /// The plan itself, if its tasks are few, or if so many of them have several readers that
    /// depth-first may be a bad order.
    pub fn slabs(self, wanted: &[BlockRef]) -> Result<Slabs, Self> {
        if self.nodes.iter().map(tasks_at_most).sum::<usize>() < MANY {
            return Err(self);
        }
        let reads = self.reads(wanted);
        let makes_tasks = |node: &Node| match node {
            Node::Task { .. } => true,
            Node::Blocks(blocks) => !blocks.is_alias(),
            Node::Given { .. } | Node::Joined { .. } => false,
        };
        let of_tasks = self.nodes.iter().zip(&reads).filter(|(node, _)| makes_tasks(node));
        let (mut count, mut shared) = (0, 0);
        for &times in of_tasks.flat_map(|(_, reads)| reads) {
            count += usize::from(times > 0);
            shared += usize::from(times > 1);
        }
        if count < MANY || shared > count / FEW_ARE_SHARED {
            return Err(self);
        }
        Ok(Slabs::new(self, wanted, reads, count as u32))
    }
}

fn tasks_at_most(node: &Node) -> usize {
    match node {
        Node::Task { .. } => 1,
        Node::Blocks(blocks) => count_of(&blocks.grid),
        Node::Given { .. } | Node::Joined { .. } => 0,
    }
}

impl Slabs {
    fn new(plan: Plan, wanted: &[BlockRef], reads: Vec<Vec<u32>>, count: u32) -> Self {
        let places = plan.nodes.iter().map(|node| match node {
            Node::Blocks(blocks) => {
                blocks.inputs.iter().map(|input| Places::new(&plan, input)).collect()
            }
            _ => Vec::new(),
        });
        let begins = plan.nodes.iter().map(|node| match node {
            Node::Joined { axis, grid, parts } => {
                let outer = count_of(&grid[..*axis]).max(1);
                let begins = parts.iter().scan(0, |begin, &part| {
                    let this = *begin;
                    *begin += (plan.block_count(part) / outer) as u32;
                    Some(this)
                });
                begins.collect()
            }
            _ => Vec::new(),
        });
        let tasks = reads.iter().map(|of_node| vec![NONE; of_node.len()].into());
        let mut slabs = Self {
            places: places.collect(),
            begins: begins.collect(),
            tasks: tasks.collect(),
            wanted: wanted.to_vec(),
            times_wanted: BTreeMap::new(),
            looked_at: 0,
            reads,
            count,
            written: 0,
            open: Vec::new(),
            inputs: Vec::new(),
            plan,
        };
        for &one in wanted {
            *slabs.times_wanted.entry(slabs.maker(one)).or_default() += 1;
        }
        slabs
    }

    /// How many tasks there are in all.
    pub fn task_count(&self) -> u32 {
        self.count
    }

    /// The tasks of the wanted blocks, once all slabs are written.
    pub fn wanted(&self) -> Vec<u32> {
        self.wanted.iter().map(|&one| self.task_of(self.maker(one))).collect()
    }

    fn task_of(&self, maker: BlockRef) -> u32 {
        self.tasks[maker.node as usize][maker.block as usize]
    }

    /// The block that a task makes and that this block is.
    fn maker(&self, mut one: BlockRef) -> BlockRef {
        loop {
            one = match &self.plan.nodes[one.node as usize] {
                Node::Given { blocks, .. } => blocks[one.block as usize],
                Node::Blocks(blocks) if blocks.is_alias() => {
                    let coordinate = coordinate_of(one.block, &blocks.grid);
                    let block = self.places[one.node as usize][0].at(&coordinate);
                    BlockRef { node: blocks.inputs[0].node, block }
                }
                Node::Joined { axis, grid, parts } => {
                    let row = count_of(&grid[*axis..]) as u32;
                    let (outer, place) = (one.block / row, one.block % row);
                    let begins = &self.begins[one.node as usize];
                    let part = begins.partition_point(|&begin| begin <= place) - 1;
                    let end = begins.get(part + 1).copied().unwrap_or(row);
                    let block = outer * (end - begins[part]) + place - begins[part];
                    BlockRef { node: parts[part], block }
                }
                Node::Task { .. } | Node::Blocks(_) => return one,
            }
        }
    }

    /// Begins a task: what it reads is looked at next.
    fn open(&mut self, one: BlockRef) {
        let begin = self.inputs.len();
        match &self.plan.nodes[one.node as usize] {
            Node::Task { inputs, .. } => {
                let inputs = inputs.iter().map(|&input| self.maker(input)).collect::<Vec<_>>();
                self.inputs.extend(inputs);
            }
            Node::Blocks(blocks) => {
                let coordinate = coordinate_of(one.block, &blocks.grid);
                for (input, places) in blocks.inputs.iter().zip(&self.places[one.node as usize]) {
                    let begin = self.inputs.len();
                    places.each(&coordinate, |block| {
                        self.inputs.push(BlockRef { node: input.node, block });
                    });
                    for place in begin..self.inputs.len() {
                        self.inputs[place] = self.maker(self.inputs[place]);
                    }
                }
            }
            Node::Given { .. } | Node::Joined { .. } => unreachable!("they make no block"),
        }
        self.open.push(Open { one, begin, next: begin });
    }

    /// Writes a task of which all inputs are written.
    fn write(&mut self, one: BlockRef, begin: usize, scratch: &mut Scratch, slab: &mut Slab) {
        let inputs = &self.inputs[begin..];
        match &self.plan.nodes[one.node as usize] {
            Node::Task { ops, group, .. } => {
                let row: Vec<u32> = inputs.iter().map(|&input| self.task_of(input)).collect();
                write_task(&mut slab.layer, &row, ops, *group);
            }
            Node::Blocks(blocks) => {
                let coordinate = coordinate_of(one.block, &blocks.grid);
                scratch.clear();
                let mut begin = 0;
                for places in &self.places[one.node as usize] {
                    let before = begin;
                    places.each(&coordinate, |_| begin += 1);
                    scratch.ranges.push(before..begin);
                }
                for step in &blocks.steps {
                    match *step {
                        Step::Op(kind) => scratch.ops.push(Op::new(kind)),
                        Step::Along { axis, table } => {
                            let table = &self.plan.tables[table as usize];
                            let literal = table[coordinate[axis as usize] as usize];
                            scratch.ops.push(Op::new(OpKind::Literal(literal)));
                        }
                        Step::Input(number) => {
                            let range = scratch.ranges[number as usize].clone();
                            let length = range.len() as u32;
                            for &input in &inputs[range] {
                                let place = scratch.row.place_of(self.task_of(input));
                                scratch.ops.push(Op::new(OpKind::Dependency(place)));
                            }
                            if blocks.inputs[number as usize].is_list {
                                scratch.ops.push(Op::new(OpKind::List(length)));
                            }
                        }
                    }
                }
                let row = scratch.row.tasks.iter().copied();
                slab.layer.push(row, &scratch.ops, 0, blocks.group);
            }
            Node::Given { .. } | Node::Joined { .. } => unreachable!("they make no block"),
        }
        let task = self.written;
        self.written += 1;
        self.tasks[one.node as usize][one.block as usize] = task;
        slab.blocks.push(one);
        let times_wanted = self.times_wanted.get(&one).copied().unwrap_or_default();
        slab.reads.push(self.reads[one.node as usize][one.block as usize] - times_wanted);
        if times_wanted > 0 {
            slab.wanted.push(task);
        }
        for place in begin..self.inputs.len() {
            let input = self.inputs[place];
            let left = &mut self.reads[input.node as usize][input.block as usize];
            *left -= 1;
            if *left == 0 && self.task_of(input) < slab.first {
                slab.settled.push(self.task_of(input));
            }
        }
    }
}

impl Iterator for Slabs {
    type Item = Slab;

    fn next(&mut self) -> Option<Slab> {
        if self.written == self.count {
            return None;
        }
        let mut slab = Slab { first: self.written, ..Slab::default() };
        let mut scratch = Scratch::default();
        while slab.blocks.len() < SLAB as usize {
            if let Some(Open { one, begin, next }) = self.open.last_mut() {
                if let Some(&input) = self.inputs.get(*next) {
                    *next += 1;
                    if self.task_of(input) == NONE {
                        self.open(input);
                    }
                } else {
                    let (one, begin) = (*one, *begin);
                    self.open.pop();
                    self.write(one, begin, &mut scratch, &mut slab);
                    self.inputs.truncate(begin);
                }
            } else if let Some(&one) = self.wanted.get(self.looked_at) {
                self.looked_at += 1;
                let maker = self.maker(one);
                if self.task_of(maker) == NONE {
                    self.open(maker);
                }
            } else {
                debug_assert!(self.written == self.count, "all that is wanted is written");
                break;
            }
        }
        for (task, one) in (slab.first..).zip(&slab.blocks) {
            let left = self.reads[one.node as usize][one.block as usize];
            if left > 0 && slab.wanted.binary_search(&task).is_err() {
                slab.exports.push(task);
            }
        }
        Some(slab)
    }
}

/// What the writing of each task needs room for.
#[derive(Default)]
struct Scratch {
    row: Row,
    ops: Vec<Op>,
    /// Which of the task's inputs belong to each input of the layer.
    ranges: Vec<std::ops::Range<usize>>,
}

impl Scratch {
    fn clear(&mut self) {
        self.row.clear();
        self.ops.clear();
        self.ranges.clear();
    }
}

/// The coordinate of a block in its grid.
fn coordinate_of(block: u32, grid: &[u32]) -> Vec<u32> {
    let mut rest = block;
    let mut coordinate = vec![0; grid.len()];
    for (place, &blocks) in coordinate.iter_mut().zip(grid).rev() {
        *place = rest % blocks;
        rest /= blocks;
    }
    coordinate
}
