//! Joins layers: a call whose only reader is one other call becomes part of it.

use std::sync::Arc;

use super::{Axis, BlockRef, Blocks, Input, Node, Plan, Step};
use crate::{Edges, OpKind};

impl Plan {
    /// Puts layers into the layers that read them, where no block is made twice for it and none is
    /// kept that is `wanted`. Cheap layers are put into all their readers.
    ///
    /// Numbers of nodes stay; those that nobody reads any more are not expanded.
    pub fn fuse(&mut self, wanted: &[BlockRef]) {
        let mut readers = self.readers();
        let mut is_wanted = vec![false; self.nodes.len()];
        for block in wanted {
            is_wanted[block.node as usize] = true;
        }
        for number in 0..self.nodes.len() {
            let Node::Blocks(blocks) = &self.nodes[number] else { continue };
            let mut fused = blocks.clone();
            let mut place = 0;
            let mut has_changed = false;
            while place < fused.inputs.len() {
                let node = fused.inputs[place].node as usize;
                if let Node::Blocks(producer) = &self.nodes[node]
                    && may_join(producer, &fused, place, readers[node] == 1 && !is_wanted[node])
                {
                    let producer = producer.clone();
                    self.join(&mut fused, place, &producer);
                    has_changed = true;
                } else {
                    place += 1;
                }
            }
            if has_changed {
                let Node::Blocks(before) = &self.nodes[number] else { unreachable!() };
                for input in &before.inputs {
                    readers[input.node as usize] -= 1;
                }
                for input in &fused.inputs {
                    readers[input.node as usize] += 1;
                }
                self.nodes[number] = Node::Blocks(fused);
            }
        }
    }

    /// How many nodes read each node, those that read it in two ways counted twice.
    fn readers(&self) -> Vec<u32> {
        let mut readers = vec![0; self.nodes.len()];
        for node in &self.nodes {
            match node {
                Node::Task { inputs, .. } | Node::Given { blocks: inputs, .. } => {
                    for block in inputs {
                        readers[block.node as usize] += 1;
                    }
                }
                Node::Blocks(blocks) => {
                    for input in &blocks.inputs {
                        readers[input.node as usize] += 1;
                    }
                }
                Node::Joined { parts, .. } => {
                    for &part in parts {
                        readers[part as usize] += 1;
                    }
                }
            }
        }
        readers
    }

    /// Puts the program of `producer` where `reader` pushes its input `place`.
    fn join(&mut self, reader: &mut Blocks, place: usize, producer: &Blocks) {
        let map = reader.inputs.remove(place).axes;
        let mut steps: Vec<Step> = reader
            .steps
            .iter()
            .map(|step| match *step {
                Step::Input(number) if number as usize > place => Step::Input(number - 1),
                // Marks where the program goes, until inputs have their last numbers.
                Step::Input(number) if number as usize == place => Step::Input(u32::MAX),
                step => step,
            })
            .collect();
        let number_of: Vec<u32> = producer
            .inputs
            .iter()
            .map(|input| {
                let axes = input.axes.iter().map(|axis| through(axis, &map)).collect();
                let input = Input { node: input.node, axes, is_list: input.is_list };
                let known = reader.inputs.iter().position(|other| *other == input);
                known.unwrap_or_else(|| {
                    reader.inputs.push(input);
                    reader.inputs.len() - 1
                }) as u32
            })
            .collect();
        let program: Vec<Step> = producer
            .steps
            .iter()
            .map(|step| match *step {
                Step::Input(number) => Step::Input(number_of[number as usize]),
                Step::Along { axis, table } => self.along(&map[axis as usize], table),
                step @ Step::Op(_) => step,
            })
            .collect();
        let mut joined = Vec::with_capacity(steps.len() + program.len());
        for step in steps.drain(..) {
            if step == Step::Input(u32::MAX) {
                joined.extend_from_slice(&program);
            } else {
                joined.push(step);
            }
        }
        reader.steps = joined;
    }

    /// The step that pushes what a table has for the block that an axis leads to.
    fn along(&mut self, axis: &Axis, table: u32) -> Step {
        let literals = &self.tables[table as usize];
        match (axis.from, &axis.rows) {
            (None, _) => Step::Op(OpKind::Literal(literals[axis.block_at(0) as usize])),
            (Some(from), None) => Step::Along { axis: from, table },
            (Some(from), Some(rows)) => {
                let literals: Arc<[u32]> =
                    rows.rows().map(|row| literals[row[0] as usize]).collect();
                Step::Along { axis: from, table: self.add_table(literals) }
            }
        }
    }
}

/// Whether a layer can be made part of the one that reads it as input `place`.
fn may_join(producer: &Blocks, reader: &Blocks, place: usize, is_only_reader: bool) -> bool {
    let input = &reader.inputs[place];
    if input.is_list {
        return false;
    }
    let uses = reader.steps.iter().filter(|step| **step == Step::Input(place as u32)).count();
    producer.is_cheap
        || producer.is_alias()
        || is_only_reader
            && producer.terms == reader.terms
            && uses == 1
            && is_one_to_one(&input.axes, &reader.grid)
}

/// Whether no two blocks of a grid lead to the same block.
fn is_one_to_one(axes: &[Axis], grid: &[u32]) -> bool {
    let is_followed = |axis: usize| {
        grid[axis] <= 1
            || axes.iter().any(|one| {
                one.from == Some(axis as u32)
                    && one.rows.as_ref().is_none_or(|rows| {
                        let mut blocks: Vec<u32> = rows.rows().map(|row| row[0]).collect();
                        blocks.sort_unstable();
                        blocks.windows(2).all(|pair| pair[0] != pair[1])
                    })
            })
    };
    (0..grid.len()).all(is_followed)
}

/// An axis of an input of a layer, seen from the grid of the layer's reader.
fn through(axis: &Axis, map: &[Axis]) -> Axis {
    let Some(from) = axis.from else { return axis.clone() };
    let outer = &map[from as usize];
    match (&axis.rows, &outer.rows) {
        (None, _) => outer.clone(),
        (Some(_), None) => Axis { from: outer.from, rows: axis.rows.clone() },
        (Some(rows), Some(outer_rows)) => {
            let composed = outer_rows.rows().map(|row| rows.row(row[0]));
            Axis { from: outer.from, rows: Some(Arc::new(Edges::from_rows(composed))) }
        }
    }
}
