//! What to do about it.

use oxidask_protocol::{Attempt, Record, TaskId, WorkerId};

/// Something to do. The shell carries these out, in order, and decides nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Copy the result of `task` from one worker to another, which is about to get a task that
    /// needs it and did not have it when this was decided.
    Fetch {
        /// The result.
        task: TaskId,
        /// The attempt that made it.
        attempt: Attempt,
        /// Who has it.
        from: WorkerId,
        /// Who needs it.
        to: WorkerId,
    },
    /// Give a task to a worker; its inputs are there or on their way.
    Run {
        /// The worker.
        worker: WorkerId,
        /// The task.
        task: TaskId,
        /// Which try.
        attempt: Attempt,
    },
    /// Ask for a task back, if the worker has not started it; it answers `AttemptEnded` then,
    /// `RetractRefused` if the task runs, and nothing if it has ended meanwhile.
    Retract {
        /// The worker.
        worker: WorkerId,
        /// The task.
        task: TaskId,
        /// Which try.
        attempt: Attempt,
    },
    /// Stop an attempt that nobody needs. The worker answers in any case: with how it ended.
    Cancel {
        /// The worker.
        worker: WorkerId,
        /// The task.
        task: TaskId,
        /// Which try.
        attempt: Attempt,
    },
    /// Forget a result.
    Drop {
        /// The worker that holds it.
        worker: WorkerId,
        /// Whose result.
        task: TaskId,
        /// The attempt that made it.
        attempt: Attempt,
    },
    /// Tell the client how a wanted task ended. Sent once, and once more if a finished result was
    /// lost with its workers and could not be made again.
    Report {
        /// The task.
        task: TaskId,
        /// How.
        outcome: Outcome,
    },
    /// The task is gone: its arguments may go too, and its id means nothing any more.
    Forget {
        /// The task.
        task: TaskId,
    },
}

/// How a wanted task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Its result is in memory.
    Finished,
    /// It, or a task that it needs, failed.
    Erred {
        /// The task that failed.
        blame: TaskId,
        /// Why that one failed.
        failure: Failure,
    },
}

/// Why a task failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It raised, as often as it was allowed to.
    Raised,
    /// So many workers died while it ran there.
    WorkersCrashed {
        /// How many.
        times: u32,
    },
    /// No worker could run it within the time allowed.
    NoWorker,
    /// A client cancelled it.
    Cancelled,
}

/// What one event leads to.
#[derive(Debug, Default)]
pub struct Outbox {
    /// To be carried out in order.
    pub actions: Vec<Action>,
    /// What happened, for whoever watches; may be thrown away.
    pub records: Vec<Record>,
}

impl Outbox {
    /// Forgets everything and keeps the space.
    pub fn clear(&mut self) {
        self.actions.clear();
        self.records.clear();
    }
}
