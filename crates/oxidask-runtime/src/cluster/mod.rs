//! A cluster on one host: scheduler and node behind one lock, and the ways to clients and workers.
//!
//! There is no scheduler thread: whoever brings news takes the lock and tells the scheduler. What is
//! to be said goes straight to clients and workers of this process; for others it is put into the
//! outgoing bytes of their connection, which are sent after the lock was let go.

mod adopted;
mod asked;
mod core;
mod last_words;
mod recorder;
mod stopped;
mod submissions;
mod talk;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use oxidask_node::MemoryLimits;
use oxidask_observe::news::News;
use oxidask_protocol::{
    Attempt, FromClient, FromWorker, Stored, TaskId, ToClient, ToWorker, WorkerId,
};

use self::core::Core;
pub use self::core::{Death, WorkerInfo};
pub use self::recorder::Look;
use crate::arenas::Arenas;

/// What a cluster says to a worker goes here.
pub trait WorkerLine: Send + Sync + 'static {
    /// Says something; it may wait until [`WorkerLine::flush`]. A worker in this process may answer
    /// at once.
    fn say(&self, message: ToWorker) -> Option<FromWorker>;

    /// Gives the worker the descriptor of an arena.
    fn give_arena(&self, _arena: u32) {}

    /// Sends what waits. Called without the cluster's lock.
    fn flush(&self) {}

    /// Its threads, and what each runs now. Called without the cluster's lock.
    fn seats(&self) -> Vec<Seat> {
        Vec::new()
    }
}

/// A thread of a worker, and what it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seat {
    /// Its number in the worker, counted from 0.
    pub thread: u32,
    /// The system's number for it.
    pub system_thread: u32,
    /// The task that it runs.
    pub task: Option<TaskId>,
}

/// What a cluster says to a client goes here.
pub trait ClientLine: Send + Sync + 'static {
    /// Says something; it may wait until [`ClientLine::flush`].
    fn say(&self, message: ToClient);

    /// Gives the client the descriptor of an arena.
    fn give_arena(&self, _arena: u32) {}

    /// Sends what waits. Called without the cluster's lock.
    fn flush(&self) {}
}

/// What writes results to disk for a cluster.
pub trait Disk: Send + Sync + 'static {
    /// Writes a result and says [`Cluster::spilled`], later.
    fn write(&self, task: TaskId, attempt: Attempt, stored: Stored);

    /// A result on disk is not needed any more.
    fn free(&self, arena: u32, offset: u64, length: u64);
}

/// What can be set.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Of the scheduler.
    pub scheduler: oxidask_scheduler::Settings,
    /// Whether workers are threads of this process.
    pub is_one_process: bool,
    /// What tells the cluster from all others.
    pub id: u128,
    /// What each worker has for tasks that ask for it, in millionths.
    pub resources: Vec<(String, u64)>,
    /// How much memory workers may use together, if that is limited.
    pub memory: Option<MemoryLimits>,
    /// How long a worker's process may stand still before its tasks run elsewhere; for ever if none.
    pub worker_ttl: Option<Duration>,
}

/// The number of the arena that a client writes to; those of workers have the workers' numbers.
pub fn arena_of_client(client: u64) -> u32 {
    const FIRST: u32 = oxidask_protocol::CLIENT_ARENAS;
    FIRST | client as u32
}

/// A scheduler, a node, and who talks to them.
pub struct Cluster {
    core: Mutex<Core>,
    begun: Instant,
}

/// Lines that have something to send.
#[derive(Default)]
pub(crate) struct Dirty {
    workers: Vec<Arc<dyn WorkerLine>>,
    clients: Vec<Arc<dyn ClientLine>>,
}

impl Dirty {
    fn flush(self) {
        for line in self.workers {
            line.flush();
        }
        for line in self.clients {
            line.flush();
        }
    }
}

impl Cluster {
    /// A cluster without workers and clients.
    pub fn new(settings: Settings) -> Self {
        let begun = Instant::now();
        Self { core: Mutex::new(Core::new(settings)), begun }
    }

    fn lock(&self) -> MutexGuard<'_, Core> {
        self.core.lock().expect("nothing panics while the lock is held")
    }

    fn with<R>(&self, act: impl FnOnce(&mut Core) -> R) -> R {
        let mut core = self.lock();
        core.now = self.begun.elapsed();
        let result = act(&mut core);
        core.relieve_memory();
        let dirty = core.take_dirty();
        drop(core);
        dirty.flush();
        result
    }

    /// What tells the cluster from all others.
    pub fn id(&self) -> u128 {
        self.lock().id
    }

    /// A client comes. Returns its number.
    pub fn client_joined(&self, line: Arc<dyn ClientLine>) -> u64 {
        self.with(|core| core.client_joined(line))
    }

    /// A client is gone; what only it wanted is released.
    pub fn client_lost(&self, client: u64) {
        self.with(|core| core.client_lost(client));
    }

    /// A client says something.
    pub fn hear_client(&self, client: u64, message: FromClient) {
        self.with(|core| core.hear_client(client, message));
    }

    /// A number for a worker that will be started.
    pub fn next_worker(&self) -> WorkerId {
        self.with(Core::next_worker)
    }

    /// A worker is ready for work.
    pub fn worker_joined(&self, worker: WorkerId, info: WorkerInfo, line: Arc<dyn WorkerLine>) {
        self.with(|core| core.worker_joined(worker, info, line));
    }

    /// A worker is gone.
    pub fn worker_lost(&self, worker: WorkerId, death: Death) {
        self.with(|core| core.worker_lost(worker, death));
    }

    /// A worker says some things.
    pub fn hear_worker(&self, worker: WorkerId, messages: impl IntoIterator<Item = FromWorker>) {
        self.with(|core| {
            for message in messages {
                core.hear_worker(worker, message);
            }
        });
    }

    /// A client of this host writes to its arena, which this descriptor reads. Returns the number of
    /// the arena, as [`arena_of_client`] says.
    pub fn client_arena_added(&self, client: u64, descriptor: OwnedFd) -> u32 {
        let arena = arena_of_client(client);
        self.with(|core| {
            // A client that was lost meanwhile puts nothing there any more.
            if core.has_client(client) {
                core.arenas.insert(arena, descriptor);
                core.client_arena_added(arena, client);
            }
        });
        arena
    }

    /// Results can be written to disk from now on, or not any more.
    pub fn set_disk(&self, disk: Option<Arc<dyn Disk>>) {
        // Dropping the old one may end a thread that wants the lock.
        drop(self.with(|core| std::mem::replace(&mut core.disk, disk)));
    }

    /// Results will be in this file, which this descriptor reads.
    pub fn spill_file_added(&self, number: u32, descriptor: OwnedFd) {
        self.with(|core| {
            core.arenas.insert(number, descriptor);
            core.node.spill_file_added(number);
        });
    }

    /// A result was written to disk, or could not be: why.
    pub fn spilled(&self, task: TaskId, attempt: Attempt, written: Result<Stored, String>) {
        self.with(|core| core.spilled(task, attempt, written));
    }

    /// Workers were seen to have so many bytes each that nobody else has.
    pub fn memory_measured(&self, workers: &[(WorkerId, u64)]) {
        let arenas = self.arenas().resident_nbytes();
        self.with(|core| core.memory_measured(workers, arenas));
    }

    /// Keys of tasks, as far as they are known.
    pub fn keys_of(&self, tasks: &[TaskId]) -> Vec<String> {
        let core = self.lock();
        let known = tasks.iter().filter_map(|&task| Some(core.submission_of(task)?.key(task)));
        known.collect()
    }

    /// Time went by: deadlines are looked at.
    pub fn tick(&self) {
        self.with(Core::tick);
    }

    /// Of the workers' processes these stand still, stopped by a signal or a debugger, and no others.
    pub fn saw_stopped(&self, workers: &BTreeSet<WorkerId>) {
        self.with(|core| core.saw_stopped(workers));
    }

    /// Workers that are there.
    pub fn workers(&self) -> Vec<(WorkerId, WorkerInfo)> {
        self.lock().workers()
    }

    /// How many tasks a worker has ended.
    pub fn ended_by(&self, worker: WorkerId) -> u64 {
        self.lock().finished_by(worker)
    }

    // ---- For whoever watches ----

    /// From now on what happens is written down, until nobody asks for it any more.
    pub fn watch(&self) {
        self.with(Core::watch);
    }

    /// Nobody watches any more.
    pub fn unwatch(&self) {
        self.with(|core| core.recorder.stop());
    }

    /// How long the cluster has been there.
    pub fn age(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Workers that are there, their processes, and the ways to them.
    pub fn lines(&self) -> Vec<(WorkerId, u32, Arc<dyn WorkerLine>)> {
        self.lock().lines()
    }

    /// What has happened since the last call, and how it all stands. Costs a little for each record,
    /// group that went on, and worker.
    pub fn news(&self, looks: Vec<Look>) -> News {
        let mut core = self.lock();
        core.now = self.begun.elapsed();
        core.news(looks)
    }

    /// Whether the result of an attempt may still be asked for; for tables of objects.
    pub fn is_current(&self, task: TaskId, attempt: Attempt) -> bool {
        self.lock().is_current(task, attempt)
    }

    /// Descriptors of the arenas of this host.
    pub fn arenas(&self) -> Arc<Arenas> {
        Arc::clone(&self.lock().arenas)
    }

    /// Cancels all tasks of all clients.
    pub fn cancel_all(&self, reason: &str) {
        self.with(|core| core.cancel_all(reason));
    }

    /// Tells all clients that the cluster ends, and workers to close.
    pub fn close(&self, reason: &str) {
        self.with(|core| core.close(reason));
    }
}
