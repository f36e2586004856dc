//! What can happen.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use oxidask_graph::Edges;
use oxidask_protocol::{Attempt, GroupId, HostId, NameId, Pressure, ResourceId, TaskId, WorkerId};

/// Something that happened. A shell makes these from threads, sockets and timers.
#[derive(Clone, Debug)]
pub enum Event {
    /// A worker is ready for work. Its id was never used before, or was that of the same worker
    /// before it was lost: then all that it was given until then has ended, or never will report.
    WorkerJoined {
        /// The worker.
        worker: WorkerId,
        /// Where it is.
        host: HostId,
        /// Tasks that it runs at once. Without threads it only holds results.
        threads: u32,
        /// Tasks that it is given at most: `threads`, or more to hide the way there. How many more
        /// depends on how short they are; see `Settings::give_ahead`.
        window: u32,
        /// What it has for tasks that ask for something.
        offer: Box<Offer>,
    },
    /// A worker is gone, with all that it held and ran.
    WorkerLost {
        /// The worker.
        worker: WorkerId,
        /// Whether it may have died of a task that it ran.
        crashed: bool,
        /// The tasks that it ran when it died; what it was merely given is not to blame.
        running: Vec<TaskId>,
        /// Tasks for the sake of which it was ended, because they did not stop when their time was
        /// up: these have failed as if they had raised.
        overdue: Vec<TaskId>,
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
        /// Where the result is kept: the worker itself, or one that only holds results. Should the
        /// worker die before this is told, then who holds the result must forget it unasked.
        held_by: WorkerId,
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
    /// A task that was asked back runs already, so it stays where it is.
    RetractRefused {
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
    /// So many tasks of a worker wait for other tasks now, and lend their slots to those.
    SlotsLent {
        /// The worker.
        worker: WorkerId,
        /// How many.
        lent: u32,
    },
    /// A client wants the result of a task that is known.
    TaskWanted {
        /// The task.
        task: TaskId,
    },
    /// Clients want these results no more.
    TasksReleased {
        /// The tasks.
        tasks: Vec<TaskId>,
    },
    /// A client stops these tasks: they and all that need them fail, and are reported.
    TasksCancelled {
        /// The tasks.
        tasks: Vec<TaskId>,
    },
    /// A client wants these tasks, which failed, to be tried once more, with whatever failed that
    /// they need.
    TasksRetried {
        /// The tasks.
        tasks: Vec<TaskId>,
    },
    /// Clients will not name these groups, which they shared, in a submission again.
    GroupsReleased {
        /// The groups.
        groups: Vec<GroupId>,
    },
    /// Memory is short, or not any more.
    PressureChanged {
        /// How much may be started.
        pressure: Pressure,
    },
    /// Time went by; deadlines are looked at.
    TimePassed,
}

/// A graph to run. It holds nothing that the wanted tasks do not need.
#[derive(Clone, Debug, Default)]
pub struct Submission {
    /// What each task needs, each input once: tasks by their number in this submission, and
    /// behind those the places in `externals`.
    pub dependencies: Edges,
    /// Tasks of earlier submissions that tasks of this one read, or that are wanted from now on.
    /// They may be in any state but forgotten.
    pub externals: Vec<TaskId>,
    /// Place of each task in the order to run: a permutation.
    pub rank: Vec<u32>,
    /// Group of each task, from 0 in this submission.
    pub groups: Vec<u32>,
    /// The ids of the groups, by their number in this submission, so that they go on over many
    /// submissions until they are released; new ones follow on
    /// [`next_group_id`](crate::SchedulerState::next_group_id). If it is empty, all groups are new,
    /// and go with the submission.
    pub shared_groups: Vec<GroupId>,
    /// Tasks (or externals) whose results the client keeps until it releases them.
    pub wanted: Vec<u32>,
    /// The larger, the sooner; among equals earlier submissions go first.
    pub priority: i64,
    /// How often a task that raises is tried again; 0 where not named.
    pub retries: BTreeMap<u32, u32>,
    /// What some tasks ask of the worker that runs them.
    pub restrictions: Vec<Restriction>,
    /// For each task that asks for something, its place in `restrictions`.
    pub restricted: BTreeMap<u32, u32>,
}

/// What a worker has for tasks that ask for something.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// What it is called.
    pub names: BTreeSet<NameId>,
    /// How much it has, in whatever unit, of what tasks take while they run.
    pub resources: BTreeMap<ResourceId, u64>,
}

/// What a task asks of the worker that runs it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Restriction {
    /// The worker is called by one of these; any will do if there are none.
    pub names: BTreeSet<NameId>,
    /// Whether another worker will do as long as none of these is there.
    pub allow_others: bool,
    /// What the task takes while it runs, by what; in the unit of [`Offer::resources`].
    pub resources: BTreeMap<ResourceId, u64>,
}
