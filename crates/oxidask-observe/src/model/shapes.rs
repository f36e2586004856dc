//! The task graphs that are small enough to be drawn: which task reads which, and how far each is.
//!
//! The scheduler uses its numbers of tasks anew. Here each task has a number of its own, so that the
//! story of the run stays what it was.

use std::collections::BTreeMap;
use std::ops::Range;

use oxidask_protocol::GroupId;

/// Tasks of graphs that are kept, at most: the oldest graphs make room.
const MOST_TASKS: usize = 200_000;

/// How far a task is, as far as its records tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Progress {
    /// It has not ended.
    #[default]
    Left,
    /// It returned.
    Finished,
    /// It raised.
    Failed,
    /// It was stopped.
    Stopped,
}

/// A task of a graph that is kept.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its group.
    pub group: GroupId,
    /// The scheduler's number for it, and whether that is still its own.
    pub task: u32,
    /// How far it is.
    pub progress: Progress,
    /// How long it ran, in nanoseconds.
    pub duration_ns: u64,
    /// Bytes of its result.
    pub nbytes: u64,
    /// How long all took that had to run one after the other for it, itself included.
    path_ns: u64,
    /// The input through which that went.
    via: Option<u32>,
    inputs: Range<u32>,
}

/// Graphs that are kept.
#[derive(Clone, Debug, Default)]
pub struct Shapes {
    nodes: BTreeMap<u32, Node>,
    inputs: BTreeMap<u32, Vec<u32>>,
    /// For the scheduler's numbers: the first, how many, and the number here of the first.
    current: BTreeMap<u32, (u32, u32)>,
    next: u32,
    /// The end of the longest path.
    last: Option<(u64, u32)>,
    /// Tasks whose records were seen.
    pub ended: u64,
    /// Whether old graphs made room.
    pub has_forgotten: bool,
}

impl Shapes {
    /// A graph was submitted: the scheduler's number of the first task, the group of each, and what
    /// each reads, by the scheduler's numbers.
    pub fn add(&mut self, base: u32, groups: &[GroupId], starts: &[u32], inputs: &[u32]) {
        let count = groups.len() as u32;
        if count == 0 || starts.len() != groups.len() + 1 {
            return;
        }
        let read: Vec<u32> = {
            let number = |&task: &u32| {
                if (base..base + count).contains(&task) {
                    Some(self.next + (task - base))
                } else {
                    self.number_of(task)
                }
            };
            // What is not known is not drawn.
            inputs.iter().map(|task| number(task).unwrap_or(u32::MAX)).collect()
        };
        self.forget_numbers(base..base + count);
        self.current.insert(base, (count, self.next));
        for (place, &group) in groups.iter().enumerate() {
            let inputs = starts[place]..starts[place + 1].min(read.len() as u32);
            let node = Node {
                group,
                task: base + place as u32,
                progress: Progress::Left,
                duration_ns: 0,
                nbytes: 0,
                path_ns: 0,
                via: None,
                inputs,
            };
            self.nodes.insert(self.next + place as u32, node);
        }
        self.inputs.insert(self.next, read);
        self.next += count;
        while self.nodes.len() > MOST_TASKS && self.inputs.len() > 1 {
            self.inputs.pop_first();
            let first = self.inputs.first_key_value().map_or(self.next, |(&first, _)| first);
            self.nodes = self.nodes.split_off(&first);
            self.has_forgotten = true;
        }
    }

    /// These numbers of the scheduler are those of other tasks from now on.
    fn forget_numbers(&mut self, numbers: Range<u32>) {
        let is_hit = |(&base, &(count, _)): (&u32, &(u32, u32))| {
            (base < numbers.end && base + count > numbers.start).then_some(base)
        };
        let hit: Vec<u32> = self.current.range(..numbers.end).rev().map_while(is_hit).collect();
        for base in hit {
            self.current.remove(&base);
        }
    }

    /// The number here of a task that the scheduler knows by another one.
    pub fn number_of(&self, task: u32) -> Option<u32> {
        let (&base, &(count, first)) = self.current.range(..=task).next_back()?;
        (task - base < count).then(|| first + (task - base))
    }

    /// A task has ended, or an attempt of it.
    pub fn ended(&mut self, task: u32, progress: Progress, duration_ns: u64, nbytes: u64) {
        let Some(number) = self.number_of(task) else { return };
        let inputs = self.inputs_of(number);
        let longest = inputs
            .into_iter()
            .filter_map(|input| Some((self.nodes.get(&input)?.path_ns, input)))
            .max();
        let Some(node) = self.nodes.get_mut(&number) else { return };
        node.progress = progress;
        (node.duration_ns, node.nbytes) = (duration_ns, nbytes);
        node.path_ns = duration_ns + longest.map_or(0, |(path_ns, _)| path_ns);
        node.via = longest.map(|(_, input)| input);
        let path = (node.path_ns, number);
        self.last = self.last.max(Some(path));
        self.ended += 1;
    }

    /// What a task reads, as far as that is kept.
    pub fn inputs_of(&self, number: u32) -> Vec<u32> {
        let Some((_, inputs)) = self.inputs.range(..=number).next_back() else {
            return Vec::new();
        };
        let Some(node) = self.nodes.get(&number) else { return Vec::new() };
        let row = &inputs[node.inputs.start as usize..node.inputs.end as usize];
        row.iter().copied().filter(|input| self.nodes.contains_key(input)).collect()
    }

    /// A task, if it is kept.
    pub fn node(&self, number: u32) -> Option<&Node> {
        self.nodes.get(&number)
    }

    /// The group of a task that is kept.
    pub fn group_of(&self, number: u32) -> GroupId {
        self.nodes.get(&number).map_or(GroupId(u32::MAX), |node| node.group)
    }

    /// All tasks that are kept, the oldest first.
    pub fn nodes(&self) -> impl DoubleEndedIterator<Item = (u32, &Node)> {
        self.nodes.iter().map(|(&number, node)| (number, node))
    }

    /// How many tasks are kept.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The tasks that had to run one after the other and took longest, and their seconds in all.
    pub fn critical_path(&self) -> (Vec<u32>, f64) {
        let Some((total_ns, last)) = self.last else { return (Vec::new(), 0.0) };
        let mut path = vec![last];
        while let Some(via) = self.nodes.get(&path[path.len() - 1]).and_then(|node| node.via)
            && path.len() < self.nodes.len()
        {
            path.push(via);
        }
        path.reverse();
        (path, total_ns as f64 / 1e9)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    /// Three tasks, of which the last reads both others.
    fn three(base: u32) -> Shapes {
        let mut shapes = Shapes::default();
        shapes.add(base, &[GroupId(0), GroupId(0), GroupId(1)], &[0, 0, 0, 2], &[base, base + 1]);
        shapes
    }

    #[test]
    fn the_longest_path_goes_through_the_slower_input() {
        let mut shapes = three(7);
        shapes.ended(7, Progress::Finished, SECOND, 8);
        shapes.ended(8, Progress::Finished, 3 * SECOND, 8);
        shapes.ended(9, Progress::Finished, 2 * SECOND, 8);
        let (path, seconds) = shapes.critical_path();
        assert_eq!(path, [1, 2]);
        assert!((seconds - 5.0).abs() < 1e-9);
    }

    #[test]
    fn numbers_that_are_used_anew_are_other_tasks() {
        let mut shapes = three(0);
        shapes.add(1, &[GroupId(5)], &[0, 0], &[]);
        assert_eq!(shapes.number_of(1), Some(3));
        assert_eq!(shapes.number_of(2), None, "its graph is gone from the scheduler");
        assert_eq!(shapes.inputs_of(2), [0, 1], "and still what it was");
        assert_eq!(shapes.len(), 4);
    }

    #[test]
    fn reads_of_earlier_graphs_are_kept() {
        let mut shapes = three(0);
        shapes.add(100, &[GroupId(2)], &[0, 2], &[2, 50]);
        assert_eq!(shapes.inputs_of(3), [2], "nothing is known of task 50");
    }

    #[test]
    fn old_graphs_make_room() {
        let mut shapes = Shapes::default();
        for round in 0..30 {
            let groups = vec![GroupId(0); 10_000];
            shapes.add(round * 10_000, &groups, &vec![0; 10_001], &[]);
        }
        assert_eq!(shapes.len(), MOST_TASKS);
        assert!(shapes.has_forgotten);
    }
}
