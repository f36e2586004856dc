//! Layers of blocks: tasks that form a grid, written down once for all of them.
//!
//! An array is a grid of blocks, and what is done to it is nearly always the same call for each
//! block, with inputs that follow from the block's coordinate axis by axis. So a layer is one
//! program ([`Step`]) and, for each input and each axis of it, which blocks belong to which
//! coordinate ([`Axis`]). It takes memory for the sum of the blocks along the axes, not for their
//! product. Element-wise calls, broadcasting, transposing, contraction, slicing, other chunks,
//! halos and the levels of a reduction all are of this form.
//!
//! A [`Plan`] holds the layers of a graph beside tasks that are written out one by one. It joins
//! layers that may be one ([`Plan::fuse`]), and writes the tasks that are needed: all at once
//! ([`Plan::expand`]), or, if they are many and hang together like a tree, slab by slab
//! ([`Plan::slabs`]), so that the first can run while the last are not written yet.

mod expand;
mod fuse;
mod outline;
mod slabs;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::{Edges, Op, OpKind};

pub use expand::{Expanded, Segment};
pub use outline::PlanPart;
pub use slabs::{SLAB, Slab, Slabs};

/// A block of a node of a plan. A single task is a node of one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockRef {
    /// The node's number in the plan.
    pub node: u32,
    /// The block's number in its grid, row by row.
    pub block: u32,
}

/// Which blocks along one axis of an input a task reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Axis {
    /// The axis of the layer's own grid on whose coordinate it depends; `None` if on none.
    pub from: Option<u32>,
    /// For each coordinate along that axis the blocks; `None` stands for the block of the same
    /// coordinate. Without an axis there is one row.
    pub rows: Option<Arc<Edges>>,
}

impl Axis {
    /// The block with the coordinate of an axis of the layer.
    pub fn same(axis: u32) -> Self {
        Self { from: Some(axis), rows: None }
    }

    /// The same blocks for all tasks.
    pub fn always(blocks: &[u32]) -> Self {
        Self { from: None, rows: Some(Arc::new(Edges::from_rows([blocks]))) }
    }

    /// For each coordinate along an axis of the layer a row of blocks.
    pub fn by(axis: u32, rows: Edges) -> Self {
        Self { from: Some(axis), rows: Some(Arc::new(rows)) }
    }

    /// Whether each task reads just one block along the axis.
    fn is_single(&self) -> bool {
        self.rows.as_ref().is_none_or(|rows| rows.rows().all(|row| row.len() == 1))
    }

    /// The block that the tasks of a coordinate read, if it is one.
    fn block_at(&self, coordinate: u32) -> u32 {
        match &self.rows {
            None => coordinate,
            Some(rows) => rows.row(if self.from.is_some() { coordinate } else { 0 })[0],
        }
    }
}

/// What the tasks of a layer read of another node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// The node.
    pub node: u32,
    /// One for each axis of the node's grid. The blocks read are the product of the axes.
    pub axes: Vec<Axis>,
    /// Whether the program is given a list of the blocks, row by row, however many they are; else
    /// it is given the one block that there is.
    pub is_list: bool,
}

/// One step of a layer's program: a postfix program, as in a [`Template`](crate::Template).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A step that is the same for all blocks; not `Dependency`.
    Op(OpKind),
    /// Push the literal that a table of the plan has for the block's coordinate along an axis.
    Along {
        /// The axis.
        axis: u32,
        /// The table's number in the plan.
        table: u32,
    },
    /// Push the input with this number.
    Input(u32),
}

/// A layer: one call for each block of a grid.
#[derive(Clone, Debug)]
pub struct Blocks {
    /// Blocks along each axis.
    pub grid: Vec<u32>,
    /// What the tasks read.
    pub inputs: Vec<Input>,
    /// How a call is put together.
    pub steps: Vec<Step>,
    /// Whether a block is made sooner than it is kept or moved, so that each reader makes its own.
    pub is_cheap: bool,
    /// The group of its tasks.
    pub group: u32,
    /// What is said about its tasks besides, as a number: only layers with the same are joined, and
    /// cheap ones with all.
    pub terms: u32,
}

impl Blocks {
    /// Whether its blocks are those of its only input, in other places.
    fn is_alias(&self) -> bool {
        self.steps == [Step::Input(0)] && self.inputs.len() == 1 && !self.inputs[0].is_list
    }
}

/// What a plan is made of.
#[derive(Clone, Debug)]
enum Node {
    /// One task.
    Task { inputs: Vec<BlockRef>, ops: Box<[Op]>, group: u32 },
    /// A grid of tasks.
    Blocks(Blocks),
    /// A grid of blocks that others make.
    Given { grid: Vec<u32>, blocks: Vec<BlockRef> },
    /// Grids behind each other along an axis.
    Joined { axis: usize, grid: Vec<u32>, parts: Vec<u32> },
}

/// A graph of which regular parts are layers.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    nodes: Vec<Node>,
    /// Literals by coordinate along some axis.
    tables: Vec<Arc<[u32]>>,
}

impl Plan {
    /// Number of nodes.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there is no node.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Adds literals by coordinate, for [`Step::Along`]; returns the table's number.
    pub fn add_table(&mut self, literals: impl Into<Arc<[u32]>>) -> u32 {
        self.tables.push(literals.into());
        self.tables.len() as u32 - 1
    }

    /// Adds one task, behind all that it reads: in its template `Dependency(i)` is the `i`-th input.
    pub fn add_task(&mut self, inputs: Vec<BlockRef>, ops: Box<[Op]>, group: u32) -> u32 {
        self.add(Node::Task { inputs, ops, group })
    }

    /// Adds a layer, behind all that it reads.
    ///
    /// # Panics
    /// If its inputs or its program do not fit its grid: who makes layers has checked that.
    pub fn add_blocks(&mut self, blocks: Blocks) -> u32 {
        self.check(&blocks);
        self.add(Node::Blocks(blocks))
    }

    /// Adds a grid of blocks that are there already.
    pub fn add_given(&mut self, grid: Vec<u32>, blocks: Vec<BlockRef>) -> u32 {
        assert!(count_of(&grid) == blocks.len(), "a block for each place of the grid");
        self.add(Node::Given { grid, blocks })
    }

    /// Adds grids behind each other along an axis; along all others they are alike. `grid` is what
    /// comes of it.
    pub fn add_joined(&mut self, axis: usize, grid: Vec<u32>, parts: Vec<u32>) -> u32 {
        self.add(Node::Joined { axis, grid, parts })
    }

    fn add(&mut self, node: Node) -> u32 {
        self.nodes.push(node);
        self.nodes.len() as u32 - 1
    }

    fn check(&self, blocks: &Blocks) {
        let axes = blocks.grid.len() as u32;
        for input in &blocks.inputs {
            assert!((input.node as usize) < self.nodes.len(), "an input stands before its readers");
            assert!(input.axes.len() == self.grid_of(input.node).len(), "each axis of an input");
            for axis in &input.axes {
                let len = axis.from.map_or(1, |from| {
                    assert!(from < axes, "axis {from} of a grid of {axes} axes");
                    blocks.grid[from as usize]
                });
                assert!(
                    axis.rows
                        .as_ref()
                        .map_or(axis.from.is_some(), |rows| rows.len() == len as usize),
                    "an axis of an input has a row for each coordinate"
                );
                assert!(input.is_list || axis.is_single(), "one block of an input, or a list");
            }
        }
        for step in &blocks.steps {
            match *step {
                Step::Along { axis, table } => {
                    let len = self.tables[table as usize].len();
                    assert!(len == blocks.grid[axis as usize] as usize, "a literal a coordinate");
                }
                Step::Input(number) => assert!((number as usize) < blocks.inputs.len()),
                Step::Op(kind) => assert!(!matches!(kind, OpKind::Dependency(_))),
            }
        }
    }

    /// Blocks of a node along each axis.
    fn grid_of(&self, node: u32) -> &[u32] {
        match &self.nodes[node as usize] {
            Node::Task { .. } => &[],
            Node::Given { grid, .. }
            | Node::Blocks(Blocks { grid, .. })
            | Node::Joined { grid, .. } => grid,
        }
    }

    /// Blocks of a node.
    fn block_count(&self, node: u32) -> usize {
        count_of(self.grid_of(node))
    }
}

/// How many blocks a grid has.
fn count_of(grid: &[u32]) -> usize {
    grid.iter().map(|&blocks| blocks as usize).product()
}

/// By how much a block's number grows with its coordinate along each axis.
fn strides_of(grid: &[u32]) -> Vec<u32> {
    let mut strides = vec![1; grid.len()];
    for axis in (1..grid.len()).rev() {
        strides[axis - 1] = strides[axis] * grid[axis];
    }
    strides
}
