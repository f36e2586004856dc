//! Records: what happened, in a fixed size, for whoever watches.
//!
//! A record is at most 48 bytes, so that a ring of them has a known size and writing one costs
//! nanoseconds. Names and texts travel apart; a record holds ids.

use serde::{Deserialize, Serialize};

use crate::{GroupId, TaskId, TaskState, WorkerId};

/// One thing that happened.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// When: nanoseconds since the run began.
    pub at_ns: u64,
    /// What.
    pub body: RecordBody,
}

/// What a record tells.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum RecordBody {
    /// A group of tasks was submitted, or grew.
    Group {
        /// The group.
        group: GroupId,
        /// Tasks in it now.
        tasks: u32,
    },
    /// A task went from one state to another.
    Task {
        /// The task.
        task: TaskId,
        /// Its group.
        group: GroupId,
        /// The worker that it concerns; meaningless for states without one.
        worker: WorkerId,
        /// State before.
        from: TaskState,
        /// State now.
        to: TaskState,
        /// Why.
        cause: Cause,
        /// Tasks of the group in state `to` now. An absolute number: a reader that missed records
        /// is right again with the next one.
        count: u32,
        /// Tasks of the group whose results were made and not lost; dropped ones count.
        finished: u32,
    },
    /// A stretch of a thread's time.
    Span {
        /// What the thread did.
        kind: SpanKind,
        /// For which task.
        task: TaskId,
        /// The task's group.
        group: GroupId,
        /// The worker.
        worker: WorkerId,
        /// Thread of the worker, counted from 0.
        thread: u32,
        /// Bytes of the result, 0 if there is none.
        nbytes: u64,
        /// How long, in nanoseconds. The record's time is its end.
        duration_ns: u64,
    },
    /// A worker came or went.
    Worker {
        /// The worker.
        worker: WorkerId,
        /// Its threads; 0 when it went.
        threads: u32,
    },
}

/// Why a task changed its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum Cause {
    /// A client submitted it, or something that needs it.
    Submitted,
    /// An input arrived in memory.
    InputReady,
    /// A slot was free.
    SlotFree,
    /// It ran and returned.
    Finished,
    /// It ran and raised.
    Raised,
    /// A task that it needs failed.
    InputErred,
    /// Nobody needs it any more.
    Unneeded,
    /// Its worker, or the only worker with its result, was lost.
    WorkerLost,
    /// An input could not be fetched.
    InputMissing,
    /// It was moved to a worker with a free slot.
    Retracted,
    /// A worker joined.
    WorkerJoined,
    /// A client cancelled it.
    Cancelled,
    /// A client wanted it to be tried once more.
    Retried,
    /// No worker could run it within the time allowed.
    NoWorkerInTime,
}

/// What a thread does in a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum SpanKind {
    /// Runs a task that returned.
    Compute,
    /// Runs a task that raised.
    Failed,
    /// Runs a task that was stopped.
    Stopped,
    /// Turns a result into bytes that others can read.
    Pack,
}

/// How many tasks of a group there have been, and how far they are or came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupTally {
    /// Tasks that were submitted.
    pub tasks: u64,
    /// Those whose results were made and not lost; dropped ones count.
    pub finished: u64,
    /// Those that failed, or need one that did.
    pub erred: u64,
    /// Those that wait for an input or a free thread.
    pub waiting: u32,
    /// Those that workers have.
    pub processing: u32,
    /// Those that no worker can run.
    pub no_worker: u32,
    /// Those whose results are there.
    pub in_memory: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_fits_in_48_bytes() {
        assert!(size_of::<Record>() <= 48, "a record has {} bytes", size_of::<Record>());
    }
}
