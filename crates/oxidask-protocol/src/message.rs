//! What scheduler, node, workers and clients say to each other.
//!
//! Arguments and results are opaque here: bytes that only an executor understands, or a place in
//! shared memory. Within one process a message is passed as it is; [`crate::frame`] says how it
//! travels between processes.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{Attempt, TaskId, WorkerId};

/// A task as its client counts them: from 0, never reused.
pub type ClientTask = u64;

/// The hash of the content of a function or of another shared part of calls.
pub type ContentHash = u128;

/// Values of the process itself that a call refers to by number; never sent to another process.
#[derive(Clone, Default)]
pub struct Objects(pub Option<Arc<dyn Any + Send + Sync>>);

impl fmt::Debug for Objects {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.0.is_some() { "Objects(..)" } else { "Objects" })
    }
}

/// An object in the shared memory of a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// Whose memory: each process that writes has one arena.
    pub arena: u32,
    /// Where in it.
    pub offset: u64,
    /// Bytes from there on.
    pub len: u64,
    /// Lengths of the buffers that stand there, each at the next aligned place.
    pub buffers: Vec<u64>,
    /// How the executor puts the buffers together.
    pub head: Bytes,
}

/// Numbers of arenas that are files of results on disk begin here; below are those of workers.
pub const SPILL_FILES: u32 = 1 << 30;
/// Numbers of clients' arenas begin here.
pub const CLIENT_ARENAS: u32 = 1 << 31;

impl Stored {
    /// Whether it is on disk.
    pub fn is_on_disk(&self) -> bool {
        (SPILL_FILES..CLIENT_ARENAS).contains(&self.arena)
    }
}

/// A result, or where it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Value {
    /// The value itself.
    Inline(Bytes),
    /// In shared memory. Boxed, for there are many values, and few of them are large.
    Stored(Box<Stored>),
    /// An object of the worker's process; others get it once it is published.
    Live,
}

/// A result that a task reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// Whose result.
    pub task: TaskId,
    /// The attempt that made it.
    pub attempt: Attempt,
    /// The value; `Live` if the worker has it.
    pub value: Value,
    /// Whether nobody else will ever read it. Said only where all are in one process.
    #[serde(skip)]
    pub is_last: bool,
}

/// A task for a worker.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Run {
    /// Which task.
    pub task: TaskId,
    /// Which try.
    pub attempt: Attempt,
    /// The larger, the sooner; see [`Graph::urgency`].
    pub urgency: i64,
    /// How to call it: an executor's program.
    pub call: Bytes,
    /// Values of this process that the program refers to.
    #[serde(skip)]
    pub objects: Objects,
    /// What its dependencies gave, in their order.
    pub inputs: Vec<Input>,
    /// How long it may run.
    pub time_limit: Option<Duration>,
}

/// What a worker is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum ToWorker {
    /// A shared part of calls, before the first call that needs it.
    Shared {
        /// Its content.
        hash: ContentHash,
        /// What an executor makes it from; never `Live`.
        body: Value,
    },
    /// No call needs these any more.
    Unshare {
        /// Their contents.
        hashes: Vec<ContentHash>,
    },
    /// Run a task.
    Run(Run),
    /// Give the task back, if it has not started.
    Retract {
        /// Which task.
        task: TaskId,
        /// Which try.
        attempt: Attempt,
    },
    /// Stop a task, or do not start it.
    Cancel {
        /// Which task.
        task: TaskId,
        /// Which try.
        attempt: Attempt,
    },
    /// Forget an object.
    Drop {
        /// Whose result.
        task: TaskId,
        /// The attempt that made it.
        attempt: Attempt,
    },
    /// Make an object of the worker's available to others.
    Publish {
        /// Whose result.
        task: TaskId,
        /// The attempt that made it.
        attempt: Attempt,
    },
    /// Nobody uses this piece of the worker's arena any more.
    Free {
        /// Where it begins.
        offset: u64,
        /// Its length.
        len: u64,
    },
    /// Memory is limited: keep at most so much of the arena for reuse.
    KeepIdle {
        /// Bytes.
        nbytes: u64,
    },
    /// The descriptor of an arena comes with this message.
    Arena {
        /// Its number.
        arena: u32,
    },
    /// Call a function now, outside of tasks.
    Call {
        /// To tell answers apart.
        call: u64,
        /// An executor's program.
        program: Bytes,
        /// Values of this process that it refers to.
        #[serde(skip)]
        objects: Objects,
    },
    /// End.
    Close,
}

/// How a task ended in a worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ending {
    /// It returned.
    Returned {
        /// What.
        value: Value,
        /// Size of the result in memory.
        nbytes: u64,
    },
    /// It raised.
    Raised {
        /// The exception, as an executor writes it.
        error: Bytes,
        /// The same for people.
        said: Said,
    },
    /// It never began, or was stopped because it was told to.
    Stopped,
    /// Its time was up.
    OutOfTime {
        /// The exception that it was stopped with, as an executor writes it; none if it does not stop.
        error: Option<Bytes>,
    },
}

/// An exception, as people read it; long ones are cut.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// Its type and what it says.
    pub line: String,
    /// Where it was raised; empty where many are.
    pub traceback: String,
}

/// What runs in a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    /// A task.
    Task(TaskId),
    /// A function that was called outside of tasks: the number of the call.
    Call(u64),
}

/// What a worker tells.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum FromWorker {
    /// It is ready for work; the descriptor of its arena comes with this message.
    Joined {
        /// Its number, as it was told at its start.
        worker: WorkerId,
        /// The process.
        pid: u32,
        /// Threads that run tasks.
        threads: u32,
    },
    /// A task ended.
    Ended {
        /// Which task.
        task: TaskId,
        /// Which try.
        attempt: Attempt,
        /// How.
        ending: Ending,
        /// When and where it ran.
        stretch: Stretch,
    },
    /// A task that was to be given back runs already.
    Keeps {
        /// Which task.
        task: TaskId,
        /// Which try.
        attempt: Attempt,
    },
    /// An object can now be had by others.
    Published {
        /// Whose result.
        task: TaskId,
        /// The attempt that made it.
        attempt: Attempt,
        /// The object, or why it cannot be had.
        value: Result<Value, Bytes>,
    },
    /// A task waits for others and lends its slot to them, or is done with that.
    Lends {
        /// Which of both.
        is_lent: bool,
    },
    /// Views of objects in shared memory are gone: arena and offset of each.
    Unpinned {
        /// One entry a view.
        objects: Vec<(u32, u64)>,
    },
    /// What a task, or a function called outside of tasks, printed or logged.
    Output {
        /// Who.
        source: Source,
        /// An executor's description of it.
        body: Bytes,
    },
    /// The answer to a call.
    Answer {
        /// Which call.
        call: u64,
        /// The value, or the exception.
        answer: Result<Value, Bytes>,
    },
}

/// When and in which thread of a worker an attempt ran.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stretch {
    /// The thread, counted from 0.
    pub thread: u32,
    /// When it began: nanoseconds since the machine started, 0 if it never did.
    pub began_ns: u64,
    /// How long it ran.
    pub duration_ns: u64,
    /// How long it took then to turn the result into bytes for others.
    pub packing_ns: u64,
}

/// What a task asks of the worker that runs it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// The worker is called by one of these; any will do if there are none.
    pub workers: Vec<String>,
    /// Whether another worker will do as long as none of these is there.
    pub allow_others: bool,
    /// What the task takes while it runs, in millionths.
    pub resources: Vec<(String, u64)>,
}

/// Tasks and how to call them, as a client submits them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Graph {
    /// The first task's number; the others follow.
    pub first: ClientTask,
    /// Where each task's inputs begin in `inputs`; one more at the end.
    pub starts: Vec<u32>,
    /// Inputs of each task: a number below the count of tasks is a task of this graph, others
    /// stand for `externals`.
    pub inputs: Vec<u32>,
    /// Earlier tasks of the client that tasks here read.
    pub externals: Vec<ClientTask>,
    /// Place of each task in the order to run.
    pub rank: Vec<u32>,
    /// Number of each task's name in `names`.
    pub groups: Vec<u32>,
    /// Names of groups: the first part of keys.
    pub names: Vec<String>,
    /// Tasks whose results the client keeps.
    pub wanted: Vec<u32>,
    /// The larger, the sooner.
    pub priority: i32,
    /// How many tasks wait for the one that submitted this, one for the next: 0 if no task did.
    /// Among equals the deeper go first, so that what waits can go on.
    pub depth: u32,
    /// How often a task that raises is tried again.
    pub retries: Vec<(u32, u32)>,
    /// How long a task may run, in the order of tasks.
    pub time_limits: Vec<(u32, Duration)>,
    /// What some tasks ask of the worker that runs them.
    pub asked: Vec<Asked>,
    /// For each task that asks for something, its place in `asked`.
    pub asking: Vec<(u32, u32)>,
    /// Where each task's program ends in `programs`.
    pub program_ends: Vec<u32>,
    /// The programs of all tasks.
    pub programs: Bytes,
    /// Shared parts that programs refer to; none is `Live`.
    pub shared: Vec<(ContentHash, Value)>,
    /// Sets of places in `shared`: what some tasks refer to.
    pub part_sets: Vec<Vec<u32>>,
    /// Number of each task's set in `part_sets`; empty if all tasks have the first one.
    pub part_set_of: Vec<u32>,
    /// Hash of each task's key.
    pub identities: Vec<u128>,
    /// Keys that users gave, by task.
    pub keys: Vec<(u32, String)>,
    /// The result of its only task, which the client has put into its shared memory: no worker runs
    /// it. When the result is dropped, the memory is used anew: it cannot be had a second time.
    pub data: Option<Stored>,
    /// Values of the client's process.
    #[serde(skip)]
    pub objects: Objects,
}

impl Graph {
    /// How many tasks there are.
    pub fn len(&self) -> usize {
        self.identities.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.identities.is_empty()
    }

    /// Priority and depth in one number: the larger, the sooner.
    pub fn urgency(&self) -> i64 {
        i64::from(self.priority) << 32 | i64::from(self.depth)
    }

    /// What a task asks of its worker, if it does.
    pub fn asked_by(&self, task: u32) -> Option<&Asked> {
        let place = self.asking.binary_search_by_key(&task, |&(task, _)| task).ok()?;
        self.asked.get(self.asking[place].1 as usize)
    }

    /// How long a task may run, if that is limited.
    pub fn time_limit_of(&self, task: u32) -> Option<Duration> {
        let place = self.time_limits.binary_search_by_key(&task, |&(task, _)| task).ok()?;
        Some(self.time_limits[place].1)
    }

    /// The program of a task.
    pub fn program(&self, task: u32) -> Bytes {
        let start = task.checked_sub(1).map_or(0, |before| self.program_ends[before as usize]);
        self.programs.slice(start as usize..self.program_ends[task as usize] as usize)
    }

    /// Places in `shared` of the parts that a task refers to.
    pub fn parts_of(&self, task: u32) -> &[u32] {
        let set = self.part_set_of.get(task as usize).copied().unwrap_or(0);
        self.part_sets.get(set as usize).map_or(&[], Vec::as_slice)
    }
}

/// What a client tells the scheduler.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum FromClient {
    /// Tasks to run.
    Submit(Box<Graph>),
    /// The client wants these no more.
    Release {
        /// The tasks.
        tasks: Vec<ClientTask>,
    },
    /// The client wants the values of these.
    Fetch {
        /// The tasks.
        tasks: Vec<ClientTask>,
    },
    /// These are to end, and what needs them.
    Cancel {
        /// The tasks.
        tasks: Vec<ClientTask>,
        /// Why, in the user's words.
        reason: String,
    },
    /// The client wants a task that another client, or it itself before, has submitted or adopted.
    Adopt {
        /// How it will call the task.
        task: ClientTask,
        /// The other client.
        client: u64,
        /// What that calls it.
        theirs: ClientTask,
    },
    /// These failed and are to be tried again.
    Retry {
        /// The tasks.
        tasks: Vec<ClientTask>,
    },
    /// Views of objects in shared memory are gone: arena and offset of each.
    Unpinned {
        /// One entry a view.
        objects: Vec<(u32, u64)>,
    },
    /// Call a function in workers, outside of tasks.
    Call {
        /// To tell answers apart.
        call: u64,
        /// Where.
        workers: Vec<WorkerId>,
        /// An executor's program.
        program: Bytes,
        /// Values of the client's process.
        #[serde(skip)]
        objects: Objects,
    },
    /// A question about the cluster.
    Ask {
        /// To tell answers apart.
        call: u64,
        /// What.
        question: Question,
    },
    /// The descriptor of the arena that the client writes to comes with this message.
    Arena,
    /// The client goes.
    Close,
}

/// What a client may ask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Question {
    /// Who is there, and doing what.
    Workers,
    /// Why a task is not done.
    Why(ClientTask),
    /// Why a task of any client is not done, by its key.
    WhyKey(String),
    /// Which workers hold a task's result.
    Holders(ClientTask),
    /// How far the groups are that were submitted together with tasks.
    Progress(Vec<ClientTask>),
}

/// Why a task of a client failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Problem {
    /// It raised.
    Raised {
        /// The exception, as an executor writes it.
        error: Bytes,
        /// Key of the task that raised.
        key: String,
    },
    /// It ran longer than it may.
    OutOfTime {
        /// Key of the task.
        key: String,
        /// How long it may run.
        limit: Duration,
        /// The exception that it was stopped with, as an executor writes it; none if it did not stop.
        error: Option<Bytes>,
    },
    /// Workers died while they ran it.
    Killed {
        /// Key of the task.
        key: String,
        /// How often.
        times: u32,
        /// How the last of them died.
        cause: String,
        /// What the task printed and logged last before that, as executors describe it.
        last_words: Vec<Bytes>,
    },
    /// The client cancelled it, or something that it needs.
    Cancelled {
        /// Key of the task that was cancelled.
        key: String,
        /// Why, in the user's words; they may be missing.
        reason: String,
    },
    /// No worker could run it in time.
    NoWorker {
        /// Key of the task.
        key: String,
        /// What it asks for, and what there is.
        reason: String,
    },
    /// Its data was lost and nobody can make it again.
    Lost {
        /// Key of the task.
        key: String,
    },
    /// There is not enough memory to start it.
    NoMemory {
        /// Key of the task.
        key: String,
        /// Bytes that are needed.
        needed: u64,
        /// Bytes that there are.
        available: u64,
        /// Why results cannot be moved to disk, if that is the reason.
        disk: Option<String>,
    },
    /// It needs a task that is gone, which a client must not ask for.
    Unknown {
        /// The number that the client gave.
        task: ClientTask,
    },
}

/// Why a call outside of tasks gave no value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NoValue {
    /// It raised: the exception, as an executor writes it.
    Raised(Bytes),
    /// The worker died before it answered.
    Died,
    /// The worker's process stands still, and has for too long.
    Stopped {
        /// The process.
        pid: u32,
    },
}

/// What a client is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum ToClient {
    /// Who the client is. This comes first.
    Welcome {
        /// The cluster, of all that there are.
        cluster: u128,
        /// The client, of those of the cluster.
        client: u64,
    },
    /// Results are in memory. Small ones are here.
    Finished {
        /// The tasks, with values that are small.
        tasks: Vec<(ClientTask, Option<Bytes>)>,
    },
    /// A task failed.
    Erred {
        /// Which.
        task: ClientTask,
        /// Why.
        problem: Box<Problem>,
    },
    /// What was asked for.
    Value {
        /// Whose.
        task: ClientTask,
        /// The value, or why it cannot be had. `Live` values are in this process.
        value: Result<Value, Bytes>,
        /// Where a live value is: the scheduler's number of the task, and the attempt.
        version: (TaskId, Attempt),
    },
    /// A result was lost and is being made again.
    Lost {
        /// The tasks.
        tasks: Vec<ClientTask>,
    },
    /// The descriptor of an arena comes with this message.
    Arena {
        /// Its number.
        arena: u32,
    },
    /// Nobody uses this piece of the client's arena any more.
    Free {
        /// Where it begins.
        offset: u64,
        /// Its length.
        len: u64,
    },
    /// The answer of one worker to a call; the last one has no worker.
    Answer {
        /// Which call.
        call: u64,
        /// Who answers.
        worker: Option<WorkerId>,
        /// The value, or why there is none.
        answer: Result<Value, NoValue>,
    },
    /// The answer to a question: JSON text.
    Told {
        /// Which call.
        call: u64,
        /// The answer.
        text: String,
    },
    /// What a task printed or logged.
    Output {
        /// An executor's description of it.
        body: Bytes,
    },
    /// The cluster ends.
    Closed {
        /// Why.
        reason: String,
    },
}
