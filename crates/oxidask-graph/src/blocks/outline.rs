//! Says what a plan is made of, for somebody to read.

use super::{BlockRef, Node, Plan, Step};
use crate::{Op, OpKind};

/// One node of a plan that is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanPart {
    /// The node's number.
    pub node: u32,
    /// Its blocks along each axis.
    pub grid: Vec<u32>,
    /// How many of its blocks are needed.
    pub blocks: usize,
    /// Whether each of them is a task; else they are blocks of other nodes.
    pub has_tasks: bool,
    /// The literals that a task calls, in the order of the calls.
    pub functions: Vec<u32>,
    /// The nodes that it reads, each once.
    pub inputs: Vec<u32>,
}

impl Plan {
    /// The nodes that the wanted blocks need, each behind what it reads.
    pub fn outline(&self, wanted: &[BlockRef]) -> Vec<PlanPart> {
        let reads = self.reads(wanted);
        let needed = self.nodes.iter().zip(&reads).zip(0..).filter(|((_, of), _)| !of.is_empty());
        let part = |((node, reads), number): ((&Node, &Vec<u32>), u32)| {
            let (has_tasks, functions, mut inputs) = match node {
                Node::Task { inputs, ops, .. } => {
                    let steps = ops.iter().map(|op| op.kind());
                    (true, called(steps), inputs.iter().map(|one| one.node).collect())
                }
                Node::Blocks(blocks) => {
                    // The calls do not depend on what an argument is.
                    let step = |step: &Step| match *step {
                        Step::Op(kind) => kind,
                        Step::Input(_) | Step::Along { .. } => OpKind::Dependency(0),
                    };
                    let inputs: Vec<u32> = blocks.inputs.iter().map(|input| input.node).collect();
                    (!blocks.is_alias(), called(blocks.steps.iter().map(step)), inputs)
                }
                Node::Given { blocks, .. } => {
                    (false, Vec::new(), blocks.iter().map(|one| one.node).collect())
                }
                Node::Joined { parts, .. } => (false, Vec::new(), parts.clone()),
            };
            inputs.sort_unstable();
            inputs.dedup();
            let blocks = reads.iter().filter(|times| **times > 0).count();
            PlanPart {
                node: number,
                grid: self.grid_of(number).to_vec(),
                blocks,
                has_tasks,
                functions,
                inputs,
            }
        };
        needed.map(part).collect()
    }
}

/// The literals that a postfix program calls.
fn called(steps: impl Iterator<Item = OpKind>) -> Vec<u32> {
    let mut functions = Vec::new();
    let mut stack: Vec<Option<u32>> = Vec::new();
    for step in steps {
        let literal = if let OpKind::Literal(number) = step { Some(number) } else { None };
        let (taken, _) = Op::new(step).pops_and_pushes();
        let rest = stack.len().saturating_sub(taken);
        if matches!(step, OpKind::Call(_) | OpKind::CallKeywords(_)) {
            functions.extend(stack.get(rest).copied().flatten());
        }
        stack.truncate(rest);
        stack.push(literal);
    }
    functions
}
