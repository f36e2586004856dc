//! What the observer of a run is told: records, and what does not fit into one. The same news in the
//! same order make the same [`crate::model::Model`], whether they come from a cluster or a file.

use oxidask_protocol::{GroupId, GroupTally, Record, WorkerId};
use serde::{Deserialize, Serialize};

/// What has happened since the last news.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct News {
    /// When they were written: nanoseconds since the run began.
    pub at_ns: u64,
    /// What happened, oldest first.
    pub records: Vec<Record>,
    /// Groups whose tasks went on, and how far they are.
    pub groups: Vec<(GroupId, GroupTally)>,
    /// What has a name or a text.
    pub notices: Vec<(u64, Notice)>,
    /// How the cluster was seen to be, if somebody looked.
    pub sight: Option<Sight>,
    /// Records that were lost, because there were too many, since the run began.
    pub dropped: u64,
}

/// News with a name or a text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Notice {
    /// Somebody watches from now on.
    Began(Box<Origin>),
    /// The first tasks with this name were submitted.
    Group {
        /// The number that stands for the name.
        group: GroupId,
        /// The name: the first part of keys.
        name: String,
    },
    /// Tasks were submitted that read results of others.
    Reads {
        /// The group of those that read.
        group: GroupId,
        /// The group of those that are read.
        input: GroupId,
        /// How many reads.
        edges: u64,
    },
    /// A graph was submitted that is small enough to be drawn.
    Shape {
        /// The scheduler's number of its first task; the others follow.
        base: u32,
        /// The group of each task.
        groups: Vec<GroupId>,
        /// Where what each task reads begins in `inputs`; one more at the end.
        starts: Vec<u32>,
        /// What tasks read, by the scheduler's numbers.
        inputs: Vec<u32>,
    },
    /// A worker is ready for work.
    Joined {
        /// The worker.
        worker: WorkerId,
        /// How users call it.
        name: String,
        /// Its process.
        pid: u32,
        /// Threads that run tasks.
        threads: u32,
        /// Bytes that it may have for itself, if that is limited.
        memory_limit: Option<u64>,
    },
    /// A worker is gone.
    Left {
        /// The worker.
        worker: WorkerId,
        /// Why, in words.
        cause: String,
        /// Whether that was an accident.
        crashed: bool,
    },
    /// A task raised, or an attempt of it did.
    Raised {
        /// Its group.
        group: GroupId,
        /// Its key.
        key: String,
        /// The exception, in a line.
        exception: String,
        /// Where it was raised, in several.
        traceback: String,
    },
    /// From here on less is known of the run.
    Gap {
        /// Why.
        gap: Gap,
        /// In words.
        text: String,
    },
    /// How the run ended.
    Ended,
}

/// Why less is known of a run from a moment on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Gap {
    /// Its file could not be written any more.
    Stopped,
    /// Its file is as long as it may be.
    Full,
    /// Its file is damaged, or ends before the run did.
    Torn,
}

/// Where and when a run began, and with what.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// When the run began: nanoseconds since 1970.
    pub unix_ns: u64,
    /// The process of the scheduler.
    pub pid: u32,
    /// The name of its machine.
    pub host: String,
    /// Processors that may be used.
    pub processors: u32,
    /// Names and versions of what takes part.
    pub versions: Vec<(String, String)>,
    /// How the program was called.
    pub command: String,
}

/// How a cluster was seen to be.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sight {
    /// Tasks whose inputs are there, and that wait for a free thread at the scheduler.
    pub queued: u32,
    /// Bytes of results in shared memory.
    pub stored: u64,
    /// Bytes of results on disk.
    pub spilled: u64,
    /// Bytes of memory in all.
    pub memory: u64,
    /// How many bytes there may be, if that is limited.
    pub limit: Option<u64>,
    /// Whether less is started because memory is short, and whether nothing is.
    pub pressure: Shortage,
    /// Clients.
    pub clients: u32,
    /// Workers.
    pub workers: Vec<WorkerSight>,
}

/// How short memory is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Shortage {
    /// It is not.
    #[default]
    None,
    /// Less is started.
    Some,
    /// Nothing is started.
    Paused,
}

/// How a worker was seen to be.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WorkerSight {
    /// Which.
    pub worker: WorkerId,
    /// Tasks that it was given.
    pub processing: u32,
    /// Tasks that it was given and that wait for inputs to be brought.
    pub fetching: u32,
    /// Tasks that it has ended so far.
    pub ended: u64,
    /// Processor time of its process so far, in nanoseconds.
    pub cpu_ns: u64,
    /// Bytes that only its process has.
    pub memory: u64,
    /// How long its process has stood still, if it does, in nanoseconds.
    pub stopped_ns: Option<u64>,
    /// Its threads.
    pub threads: Vec<ThreadSight>,
}

/// What a thread was seen to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ThreadSight {
    /// Which, counted from 0.
    pub thread: u32,
    /// The task that it runs: its number, group and key.
    pub task: Option<TaskSight>,
    /// What the system says that it does.
    pub activity: Activity,
}

/// A task that was seen to run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskSight {
    /// Its number.
    pub task: u32,
    /// Its group.
    pub group: GroupId,
    /// Its key.
    pub key: String,
}

/// What the system says of a thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Activity {
    /// It has a processor, or waits for one.
    Runs,
    /// It waits for a lock while another thread of its process runs a task: nearly always that is
    /// the interpreter's.
    WaitsForInterpreter,
    /// It waits for a disk.
    WaitsForDisk,
    /// It sleeps, or waits for a lock or for input.
    Sleeps,
    /// It is not known.
    #[default]
    Unknown,
}
