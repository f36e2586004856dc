//! What can happen.

use std::collections::BTreeMap;
use std::time::Duration;

use oxidask_graph::Edges;
use oxidask_protocol::{Attempt, TaskId, WorkerId};

/// Something that happened. A shell makes these from threads, sockets and timers.
#[derive(Clone, Debug)]
pub enum Event {
    /// A worker is ready for work. Its id was never used before.
    WorkerJoined {
        /// The worker.
        worker: WorkerId,
        /// Tasks that it runs at once.
        threads: u32,
        /// Tasks that it is given at once: `threads`, or more to hide the way there.
        window: u32,
    },
    /// A worker is gone, with all that it held and ran.
    WorkerLost {
        /// The worker.
        worker: WorkerId,
        /// Whether it may have died of a task that it ran.
        crashed: bool,
    },
    /// A client wants results.
    GraphSubmitted(Box<Submission>),
    /// A task returned.
    TaskFinished {
        /// Where.
        worker: WorkerId,
        /// The task.
        task: TaskId,
        /// Which try.
        attempt: Attempt,
        /// Size of the result.
        nbytes: u64,
        /// How long it ran.
        duration: Duration,
    },
    /// A task raised.
    TaskErred {
        /// Where.
        worker: WorkerId,
        /// The task.
        task: TaskId,
        /// Which try.
        attempt: Attempt,
    },
    /// A cancelled or taken back attempt will not run, or was stopped.
    AttemptEnded {
        /// Where.
        worker: WorkerId,
        /// The task.
        task: TaskId,
        /// Which try.
        attempt: Attempt,
    },
    /// A worker could not fetch an input; the attempt has ended.
    InputMissing {
        /// The worker that needed it.
        worker: WorkerId,
        /// For this task.
        task: TaskId,
        /// Which try.
        attempt: Attempt,
        /// What it needed.
        input: TaskId,
        /// Where it looked.
        from: WorkerId,
    },
    /// A worker holds a copy that it fetched.
    ReplicaAdded {
        /// The worker.
        worker: WorkerId,
        /// The task whose result it is.
        task: TaskId,
        /// The attempt that made the result.
        attempt: Attempt,
    },
    /// Clients want these results no more.
    TasksReleased {
        /// The tasks.
        tasks: Vec<TaskId>,
    },
    /// Time went by; deadlines are looked at.
    TimePassed,
}

/// A graph to run. It holds nothing that the wanted tasks do not need.
#[derive(Clone, Debug, Default)]
pub struct Submission {
    /// What each task needs, by its number in this submission; each input once.
    pub dependencies: Edges,
    /// Place of each task in the order to run: a permutation.
    pub rank: Vec<u32>,
    /// Group of each task, from 0 in this submission.
    pub groups: Vec<u32>,
    /// Tasks whose results the client keeps until it releases them.
    pub wanted: Vec<u32>,
    /// The larger, the sooner; among equals earlier submissions go first.
    pub priority: i32,
    /// How often a task that raises is tried again; 0 where not named.
    pub retries: BTreeMap<u32, u32>,
}
