//! The explicit layer: each task written out with its dependencies and its argument template.
//!
//! Anything fits here: delayed calls, futures, foreign graphs. 12 bytes a task, 4 an edge and 4 a
//! template step; the literals themselves belong to whoever made the layer.

use crate::{Edges, EdgesBuilder, Op, Template};

/// Tasks written out one by one.
#[derive(Clone, Debug, Default)]
pub struct Explicit {
    dependencies: EdgesBuilder,
    template_ends: Vec<u32>,
    ops: Vec<Op>,
    groups: Vec<u32>,
}

/// One task of an [`Explicit`] layer.
#[derive(Clone, Copy, Debug)]
pub struct TaskView<'a> {
    /// Tasks whose results it needs; `Dependency(i)` in the template means the `i`-th.
    pub dependencies: &'a [u32],
    /// How its call is put together.
    pub template: Template<'a>,
    /// Its group.
    pub group: u32,
}

impl Explicit {
    /// Adds a task and returns its index. Dependencies may come later in the layer than the task.
    ///
    /// `literals_from` is where the task's literals begin in the layer's table of literals.
    pub fn push(
        &mut self,
        dependencies: impl IntoIterator<Item = u32>,
        template: &[Op],
        literals_from: u32,
        group: u32,
    ) -> u32 {
        for dependency in dependencies {
            self.dependencies.push_target(dependency);
        }
        self.dependencies.end_row();
        self.ops.extend(template.iter().map(|op| op.with_literals_from(literals_from)));
        let end = u32::try_from(self.ops.len())
            .expect("templates of more than 2³² steps do not fit in memory");
        self.template_ends.push(end);
        self.groups.push(group);
        self.groups.len() as u32 - 1
    }

    /// Number of tasks.
    pub fn len(&self) -> usize {
        self.groups.len()
    }

    /// Whether there is no task.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// One task.
    pub fn task(&self, task: u32) -> TaskView<'_> {
        let index = task as usize;
        let begin = if index == 0 { 0 } else { self.template_ends[index - 1] };
        TaskView {
            dependencies: self.dependencies.edges().row(task),
            template: Template(&self.ops[begin as usize..self.template_ends[index] as usize]),
            group: self.groups[index],
        }
    }

    /// Who needs whom.
    pub fn dependencies(&self) -> &Edges {
        self.dependencies.edges()
    }

    /// The group of each task.
    pub fn groups(&self) -> &[u32] {
        &self.groups
    }

    /// Bytes on the heap.
    pub fn nbytes(&self) -> usize {
        self.dependencies.edges().nbytes()
            + (self.template_ends.capacity() + self.ops.capacity() + self.groups.capacity()) * 4
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::OpKind::{Call, Dependency, Literal};

    #[test]
    fn a_task_reads_back_as_it_was_written() {
        let template =
            [Op::new(Literal(0)), Op::new(Literal(1)), Op::new(Dependency(0)), Op::new(Call(2))];
        let mut layer = Explicit::default();
        layer.push([], &[Op::new(Literal(0))], 0, 0);
        layer.push([0], &template, 10, 3);
        let task = layer.task(1);
        assert_eq!(task.dependencies, [0]);
        assert_eq!(task.group, 3);
        assert_eq!(task.template.0[1].kind(), Literal(11));
        assert!(task.template.is_well_formed());
    }

    #[test]
    fn a_task_of_one_literal_takes_less_than_25_bytes() {
        // `inc(i)`: a function, an argument, a call.
        let template = [Op::new(Literal(0)), Op::new(Literal(1)), Op::new(Call(1))];
        let mut layer = Explicit::default();
        for task in 0..10_000 {
            layer.push([], &template, 2 * task, 0);
        }
        let used = 4 * (layer.dependencies().len() + 1)
            + 4 * (layer.template_ends.len() + layer.ops.len() + layer.groups.len());
        assert!(used < 25 * layer.len(), "{} bytes a task", used / layer.len());
    }
}
