//! The table of tasks: one array a column, about 40 bytes a task beside its edges.

use oxidask_graph::Edges;
use oxidask_protocol::{Attempt, GroupId, TaskId, TaskState, WorkerId};

use crate::Submission;

/// Bits of [`Tasks::flags`].
pub(crate) mod flag {
    /// A client keeps the result.
    pub(crate) const WANTED: u8 = 1;
    /// The client was told how the task ended.
    pub(crate) const REPORTED: u8 = 2;
    /// A cancelled attempt of it still holds a slot; see `SchedulerState::ghosts`.
    pub(crate) const GHOST: u8 = 4;
    /// More than one worker holds its result; see `SchedulerState::replicas`.
    pub(crate) const REPLICATED: u8 = 8;
    /// It was asked back from its worker.
    pub(crate) const RETRACTING: u8 = 16;
    /// It counts among the finished tasks of its group.
    pub(crate) const FINISHED: u8 = 32;
}

/// No worker.
pub(crate) const NOWHERE: WorkerId = WorkerId(u32::MAX);

/// All tasks, by id.
#[derive(Debug, Default)]
pub(crate) struct Tasks {
    pub(crate) state: Vec<TaskState>,
    pub(crate) flags: Vec<u8>,
    pub(crate) attempt: Vec<u32>,
    /// Inputs that are not in memory; of meaning in unfinished states.
    pub(crate) missing_inputs: Vec<u32>,
    /// Dependents in unfinished states: they will read the result.
    pub(crate) readers: Vec<u32>,
    /// Dependents that are not forgotten: they may have to run again.
    pub(crate) unforgotten_dependents: Vec<u32>,
    /// Where it is queued, runs, or is held (the first holder).
    pub(crate) worker: Vec<WorkerId>,
    pub(crate) nbytes: Vec<u64>,
    pub(crate) rank: Vec<u32>,
    pub(crate) group: Vec<GroupId>,
    pub(crate) submission: Vec<u32>,
    pub(crate) dependencies: Edges,
    pub(crate) dependents: Edges,
}

impl Tasks {
    pub(crate) fn len(&self) -> usize {
        self.state.len()
    }

    /// Adds the tasks of a submission, released, and returns the first id.
    pub(crate) fn append(&mut self, submission: &Submission, number: u32, groups_from: u32) -> u32 {
        let base = self.len() as u32;
        let count = submission.rank.len();
        let end = self.len() + count;
        assert!(
            submission.dependencies.len() == count && submission.groups.len() == count,
            "a submission has one row of inputs and one group for each of its {count} tasks"
        );
        let dependents = submission.dependencies.reversed();
        self.state.resize(end, TaskState::Released);
        self.flags.resize(end, 0);
        self.attempt.resize(end, 0);
        self.missing_inputs.resize(end, 0);
        self.readers.resize(end, 0);
        self.unforgotten_dependents.extend(dependents.rows().map(|row| row.len() as u32));
        self.worker.resize(end, NOWHERE);
        self.nbytes.resize(end, 0);
        self.rank.extend_from_slice(&submission.rank);
        self.group.extend(submission.groups.iter().map(|group| GroupId(groups_from + group)));
        self.submission.resize(end, number);
        self.dependencies.append_shifted(&submission.dependencies, base);
        self.dependents.append_shifted(&dependents, base);
        base
    }

    pub(crate) fn state(&self, task: TaskId) -> TaskState {
        self.state[task.index()]
    }

    pub(crate) fn attempt(&self, task: TaskId) -> Attempt {
        Attempt(self.attempt[task.index()])
    }

    pub(crate) fn has(&self, task: TaskId, flag: u8) -> bool {
        self.flags[task.index()] & flag != 0
    }

    pub(crate) fn set(&mut self, task: TaskId, flag: u8) {
        self.flags[task.index()] |= flag;
    }

    pub(crate) fn clear(&mut self, task: TaskId, flag: u8) {
        self.flags[task.index()] &= !flag;
    }

    pub(crate) fn dependency_count(&self, task: TaskId) -> usize {
        self.dependencies.row(task.0).len()
    }

    pub(crate) fn dependency(&self, task: TaskId, place: usize) -> TaskId {
        TaskId(self.dependencies.row(task.0)[place])
    }

    pub(crate) fn dependent_count(&self, task: TaskId) -> usize {
        self.dependents.row(task.0).len()
    }

    pub(crate) fn dependent(&self, task: TaskId, place: usize) -> TaskId {
        TaskId(self.dependents.row(task.0)[place])
    }

    /// Bytes on the heap.
    pub(crate) fn nbytes_used(&self) -> usize {
        self.dependencies.nbytes()
            + self.dependents.nbytes()
            + self.state.capacity()
            + self.flags.capacity()
            + 8 * self.nbytes.capacity()
            + 4 * (self.attempt.capacity()
                + self.missing_inputs.capacity()
                + self.readers.capacity()
                + self.unforgotten_dependents.capacity()
                + self.worker.capacity()
                + self.rank.capacity()
                + self.group.capacity()
                + self.submission.capacity())
    }
}
