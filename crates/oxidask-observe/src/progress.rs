//! How far a run has come, from its records.

use oxidask_protocol::{Record, RecordBody};

/// Counts of tasks by group.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    groups: Vec<GroupProgress>,
}

/// How far one group has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupProgress {
    /// Tasks in it.
    pub tasks: u32,
    /// Tasks that returned.
    pub finished: u32,
}

impl Progress {
    /// Takes in records, oldest first.
    pub fn add(&mut self, records: &[Record]) {
        for record in records {
            match record.body {
                RecordBody::Group { group, tasks } => self.group_mut(group.index()).tasks = tasks,
                RecordBody::Task { group, finished, .. } => {
                    self.group_mut(group.index()).finished = finished;
                }
                RecordBody::Span { .. } | RecordBody::Worker { .. } => {}
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
    pub fn tasks(&self) -> u64 {
        self.groups.iter().map(|group| u64::from(group.tasks)).sum()
    }

    /// Tasks of all groups that returned.
    pub fn finished(&self) -> u64 {
        self.groups.iter().map(|group| u64::from(group.finished)).sum()
    }

    /// The groups by their number.
    pub fn groups(&self) -> &[GroupProgress] {
        &self.groups
    }
}

#[cfg(test)]
mod tests {
    use oxidask_protocol::{Cause, GroupId, TaskId, TaskState, WorkerId};

    use super::*;

    fn record(body: RecordBody) -> Record {
        Record { at_ns: 0, body }
    }

    #[test]
    fn counts_are_right_again_after_records_were_lost() {
        let finished = |finished| {
            record(RecordBody::Task {
                task: TaskId(0),
                group: GroupId(0),
                worker: WorkerId(0),
                from: TaskState::Processing,
                to: TaskState::Memory,
                cause: Cause::Finished,
                count: 1,
                finished,
            })
        };
        let mut progress = Progress::default();
        progress.add(&[record(RecordBody::Group { group: GroupId(0), tasks: 10 }), finished(1)]);
        assert_eq!((progress.finished(), progress.tasks()), (1, 10));
        progress.add(&[finished(7)]);
        assert_eq!((progress.finished(), progress.tasks()), (7, 10));
    }
}
