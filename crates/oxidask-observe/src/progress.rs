//! How far a run has come, from its records.

use oxidask_protocol::{Record, RecordBody, TaskState};

/// Counts of tasks by group. Records may be missing: counts in records are absolute, so the next
/// record of a group makes it right again.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    groups: Vec<GroupProgress>,
}

#[derive(Clone, Copy, Debug, Default)]
struct GroupProgress {
    tasks: u64,
    finished: u64,
    erred: u64,
}

impl Progress {
    /// Takes in records, oldest first.
    pub fn add(&mut self, records: &[Record]) {
        for record in records {
            match record.body {
                RecordBody::Group { group, tasks } => {
                    self.group_mut(group.index()).tasks = u64::from(tasks);
                }
                RecordBody::Task { group, to, count, finished, .. } => {
                    let entry = self.group_mut(group.index());
                    entry.finished = u64::from(finished);
                    if to == TaskState::Erred {
                        entry.erred = u64::from(count);
                    }
                }
                RecordBody::Span { .. } | RecordBody::Node { .. } => {}
            }
        }
    }

    fn group_mut(&mut self, group: usize) -> &mut GroupProgress {
        if self.groups.len() <= group {
            self.groups.resize(group + 1, GroupProgress::default());
        }
        &mut self.groups[group]
    }

    /// Tasks in all groups.
    pub fn total(&self) -> u64 {
        self.groups.iter().map(|group| group.tasks).sum()
    }

    /// Tasks that ran to their end, well or not.
    pub fn done(&self) -> u64 {
        (0..self.groups.len()).map(|group| self.done_of(group)).sum()
    }

    /// Tasks in one group.
    pub fn tasks_of(&self, group: usize) -> u64 {
        self.groups.get(group).map_or(0, |group| group.tasks)
    }

    /// Tasks of one group that ran to their end, well or not.
    pub fn done_of(&self, group: usize) -> u64 {
        self.groups.get(group).map_or(0, |group| group.finished + group.erred)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use oxidask_protocol::{Cause, GroupId, NodeId, TaskId};

    use super::*;

    fn record(body: RecordBody) -> Record {
        Record { at: Duration::ZERO, body }
    }

    #[test]
    fn counts_are_right_again_after_records_were_lost() {
        let finished = |finished| {
            record(RecordBody::Task {
                task: TaskId(0),
                group: GroupId(0),
                node: NodeId(0),
                from: TaskState::Processing,
                to: TaskState::Memory,
                cause: Cause::Finished,
                count: 1,
                finished,
            })
        };
        let mut progress = Progress::default();
        progress.add(&[record(RecordBody::Group { group: GroupId(0), tasks: 10 }), finished(1)]);
        assert_eq!((progress.done(), progress.total()), (1, 10));
        progress.add(&[finished(7)]);
        assert_eq!((progress.done(), progress.total()), (7, 10));
    }
}
