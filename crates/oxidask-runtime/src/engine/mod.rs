//! The in-process engine: the scheduler core, a pool of threads, no messages.
//!
//! There is no scheduler thread. Whoever ends a task takes the lock of the [`Run`], tells the
//! scheduler, and leaves with the next task. A [`Run`] is one graph being computed; it has a
//! scheduler of its own, with one worker whose threads are the run's share of the [`Pool`]. Threads
//! reserve nothing: what the scheduler has given to the worker waits in one place for whichever
//! thread is free first. A run may be given its tasks piece by piece ([`Run::grow`]), by whoever waits
//! for it, before they are used up.

mod pool;
mod run;
#[cfg(test)]
mod tests;

pub use pool::{Pool, Tick};
pub use run::{Addition, Assigned, CLIENT, Next, Outcome, Run, RunState, Watching, thread_number};

/// What the engine runs: a table of tasks that knows how to run each and keeps their results.
///
/// The engine calls `execute` for a task only while the results of its dependencies are kept, and
/// once for each attempt.
pub trait Tasks: Send + Sync + Sized + 'static {
    /// Runs a task in the calling thread and keeps its result, or why it failed.
    fn execute(&self, run: &Run<Self>, task: u32) -> Outcome;

    /// Whether [`Tasks::before`] and [`Tasks::after`] are to be called.
    fn is_announced(&self) -> bool {
        false
    }

    /// Called in the thread that is about to run a task; says whether to run it. Time spent here is
    /// not the task's.
    fn before(&self, _run: &Run<Self>, _task: u32) -> bool {
        true
    }

    /// Called in the thread that ran a task which returned, while its result is kept.
    fn after(&self, _run: &Run<Self>, _task: u32) {}

    /// Forgets results that nobody needs any more.
    fn release(&self, tasks: &[u32]);

    /// Waits by calling `wait`, without holding what other threads need in order to run tasks.
    fn while_waiting<R: Send>(wait: impl FnOnce() -> R + Send) -> R;

    /// Lets other threads have what this one holds while it runs tasks, for a moment.
    fn yield_now() {
        Self::while_waiting(|| ());
    }
}
