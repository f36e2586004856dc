//! Joins linear chains into one task each.

use crate::{Edges, Explicit, Op, OpKind};

/// Which tasks run as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fusion {
    /// For each task, the last task of its chain: the one that keeps its key.
    pub into: Vec<u32>,
}

impl Fusion {
    /// The tasks that remain, in rising order.
    pub fn kept(&self) -> impl Iterator<Item = u32> {
        (0..self.into.len() as u32).filter(|&task| self.into[task as usize] == task)
    }
}

/// Finds the chains of a layer: a task is joined into its only dependent when that uses it once.
///
/// `keep` are tasks whose results somebody asked for; `may_join(task, dependent)` says whether the
/// two may become one, for example because their annotations are equal. A task with other
/// dependencies beside the chain may be the end of a chain and go on with another: what counts is
/// that each joined result had one reader, so that joining loses no parallelism.
pub fn fuse_linear(layer: &Explicit, keep: &[u32], may_join: impl Fn(u32, u32) -> bool) -> Fusion {
    let dependencies = layer.dependencies();
    let dependents = dependencies.reversed();
    let mut into: Vec<u32> = (0..layer.len() as u32).collect();
    let mut is_kept = vec![false; layer.len()];
    for &task in keep {
        is_kept[task as usize] = true;
    }
    for task in 0..layer.len() as u32 {
        if let Some(dependent) = next_of_chain(layer, dependencies, &dependents, task)
            && !is_kept[task as usize]
            && may_join(task, dependent)
        {
            into[task as usize] = dependent;
        }
    }
    resolve_ends(&mut into);
    Fusion { into }
}

/// The only reader of `task`, if it reads nothing else and reads it once.
fn next_of_chain(
    layer: &Explicit,
    dependencies: &Edges,
    dependents: &Edges,
    task: u32,
) -> Option<u32> {
    let &[dependent] = dependents.row(task) else { return None };
    let &[_] = dependencies.row(dependent) else { return None };
    (layer.task(dependent).template.uses_of(0) == 1).then_some(dependent)
}

/// Replaces "next of the chain" by "end of the chain".
fn resolve_ends(into: &mut [u32]) {
    let mut path = Vec::new();
    for task in 0..into.len() as u32 {
        let mut end = task;
        while into[end as usize] != end {
            path.push(end);
            end = into[end as usize];
        }
        for walked in path.drain(..) {
            into[walked as usize] = end;
        }
    }
}

impl Explicit {
    /// The layer in which each chain of `fusion` is one task, and the old index of each new task.
    ///
    /// Literals keep their numbers.
    pub fn fused(&self, fusion: &Fusion) -> (Self, Vec<u32>) {
        let kept: Vec<u32> = fusion.kept().collect();
        let mut new_index = vec![u32::MAX; self.len()];
        for (new, &old) in kept.iter().enumerate() {
            new_index[old as usize] = new as u32;
        }
        let mut fused = Self::default();
        for &end in &kept {
            let (ops, dependencies) = self.program_of_chain(fusion, end);
            let dependencies = dependencies.iter().map(|&old| new_index[old as usize]);
            fused.push(dependencies, &ops, 0, self.task(end).group);
        }
        (fused, kept)
    }

    /// The program of a chain: that of its first task, then each next one around it.
    fn program_of_chain(&self, fusion: &Fusion, end: u32) -> (Vec<Op>, &[u32]) {
        let mut chain = vec![end];
        let mut first = end;
        while let &[dependency] = self.task(first).dependencies {
            if fusion.into[dependency as usize] != end {
                break;
            }
            first = dependency;
            chain.push(first);
        }
        // What stands before the dependency in each program, from the end of the chain inwards;
        // then the first program; then what stands behind it, outwards.
        let mut ops = Vec::new();
        for &task in &chain[..chain.len() - 1] {
            ops.extend_from_slice(self.split_at_dependency(task).0);
        }
        ops.extend_from_slice(self.task(first).template.0);
        for &task in chain[..chain.len() - 1].iter().rev() {
            ops.extend_from_slice(self.split_at_dependency(task).1);
        }
        (ops, self.task(first).dependencies)
    }

    fn split_at_dependency(&self, task: u32) -> (&[Op], &[Op]) {
        let ops = self.task(task).template.0;
        let place = ops
            .iter()
            .position(|op| op.kind() == OpKind::Dependency(0))
            .expect("a task is joined only if it uses its dependency once");
        (&ops[..place], &ops[place + 1..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::OpKind::{Call, Dependency, Literal, Tuple};

    /// A layer in which task `i` calls literal `i` with its dependencies.
    fn calls(rows: &[&[u32]]) -> Explicit {
        let mut layer = Explicit::default();
        for (task, row) in rows.iter().enumerate() {
            let mut ops = vec![Op::new(Literal(task as u32))];
            ops.extend((0..row.len() as u32).map(|index| Op::new(Dependency(index))));
            ops.push(Op::new(Call(row.len() as u32)));
            layer.push(row.iter().copied(), &ops, 0, 0);
        }
        layer
    }

    #[test]
    fn a_chain_becomes_one_task_that_nests_its_calls() {
        let layer = calls(&[&[], &[0], &[1]]);
        let fusion = fuse_linear(&layer, &[2], |_, _| true);
        assert_eq!(fusion.into, [2, 2, 2]);
        let (fused, kept) = layer.fused(&fusion);
        assert_eq!(kept, [2]);
        let kinds: Vec<OpKind> = fused.task(0).template.0.iter().map(|op| op.kind()).collect();
        let expected = [Literal(2), Literal(1), Literal(0), Call(0), Call(1), Call(1)];
        assert_eq!(kinds, expected);
        assert!(fused.task(0).template.is_well_formed());
    }

    #[test]
    fn a_task_with_two_readers_or_a_wanted_one_stays_by_itself() {
        let layer = calls(&[&[], &[0], &[0], &[1, 2], &[3]]);
        assert_eq!(fuse_linear(&layer, &[4], |_, _| true).into, [0, 1, 2, 4, 4]);
        assert_eq!(fuse_linear(&layer, &[3, 4], |_, _| true).into, [0, 1, 2, 3, 4]);
    }

    #[test]
    fn tasks_that_may_not_join_stay_apart() {
        let layer = calls(&[&[], &[0], &[1], &[2]]);
        let fusion = fuse_linear(&layer, &[3], |task, _| task != 1);
        assert_eq!(fusion.into, [1, 1, 3, 3]);
    }

    #[test]
    fn a_result_used_twice_by_its_reader_is_not_computed_twice() {
        let mut layer = calls(&[&[]]);
        let twice = [Op::new(Dependency(0)), Op::new(Dependency(0)), Op::new(Tuple(2))];
        layer.push([0], &twice, 0, 0);
        assert_eq!(fuse_linear(&layer, &[1], |_, _| true).into, [0, 1]);
    }

    #[test]
    fn a_chain_of_a_million_tasks_is_joined_without_recursion() {
        let mut layer = Explicit::default();
        let call = [Op::new(Literal(0)), Op::new(Dependency(0)), Op::new(Call(1))];
        layer.push([], &[Op::new(Literal(0))], 0, 0);
        for task in 1..1_000_000 {
            layer.push([task - 1], &call, 0, 0);
        }
        let (fused, kept) = layer.fused(&fuse_linear(&layer, &[999_999], |_, _| true));
        assert_eq!(kept, [999_999]);
        assert_eq!(fused.task(0).template.0.len(), 1 + 2 * 999_999);
    }
}
