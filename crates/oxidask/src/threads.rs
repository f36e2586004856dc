//! Threads that compute graphs.

use std::cell::Cell;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use oxidask_graph::{cull, order};
use oxidask_runtime::engine::{Pool, Run, RunState, Tick, Watching};
use oxidask_scheduler::Submission;

use crate::bundle::Bundle;
use crate::closures::Closures;
use crate::error::ComputeError;
use crate::graph::Graph;

/// How often a thread that waits looks for tasks that nobody takes.
const TICK: Duration = Duration::from_millis(10);

thread_local! {
    /// The pool that this thread serves, by its address; 0 if none.
    static SERVED: Cell<usize> = const { Cell::new(0) };
}

/// Threads that compute graphs: those that this value owns, and whoever calls
/// [`compute`](Threads::compute).
///
/// May be shared: several threads may compute at once. Dropping it waits for closures that run.
pub struct Threads {
    pool: Arc<Pool<Closures>>,
    count: usize,
}

impl Threads {
    /// So many threads, the one that calls [`compute`](Threads::compute) included; with 1, no other
    /// is started.
    ///
    /// # Panics
    ///
    /// If `count` is 0.
    pub fn new(count: usize) -> Self {
        assert!(count > 0, "Threads::new: at least 1 thread is needed, not 0");
        Self { pool: Arc::default(), count }
    }

    /// Runs what `wanted` needs, and gives the results of `wanted`.
    ///
    /// `wanted` is a task, a tuple or a `Vec` of tasks; the results have the same shape. The calling
    /// thread takes part. Fails with the first failure; closures that run then are run to their
    /// end by their threads, and others are dropped.
    ///
    /// ```
    /// use oxidask::{Graph, Threads};
    ///
    /// let mut graph = Graph::new();
    /// let parts: Vec<_> = (0..8).map(|i| graph.call((), move |()| vec![i; 1000])).collect();
    /// let sums: Vec<_> =
    ///     parts.iter().map(|&part| graph.call(part, |part| part.iter().sum::<i32>())).collect();
    /// let (low, high) = (sums[0], sums[7]);
    /// let total = graph.call(sums, |sums| sums.into_iter().sum::<i32>());
    ///
    /// let (total, low, high) = Threads::new(2).compute(graph, (total, low, high))?;
    /// assert_eq!((*total, *low, *high), (28_000, 0, 7_000));
    /// # Ok::<(), oxidask::ComputeError>(())
    /// ```
    ///
    /// # Panics
    ///
    /// If `wanted` names a task of another graph, or the system gives no thread.
    #[track_caller]
    #[expect(clippy::needless_pass_by_value, reason = "handles are of no use without their graph")]
    pub fn compute<W: Bundle>(&self, graph: Graph, wanted: W) -> Result<W::Results, ComputeError> {
        let run = Arc::new(start(graph, &wanted, u32::try_from(self.count).unwrap_or(u32::MAX)));
        if run.waiting() > 0 {
            // Threads that are stuck in a computation that failed are replaced here.
            for _ in 0..self.pool.threads_to_start(self.count - 1) {
                let pool = Arc::clone(&self.pool);
                std::thread::spawn(move || {
                    SERVED.set(Arc::as_ptr(&pool).addr());
                    pool.serve();
                });
            }
        }
        self.pool.add(Arc::clone(&run));
        let state = self.help(&run);
        drop(self.pool.remove(&run));
        match state {
            RunState::Done => Ok(W::results(wanted.hold(&run.tasks))),
            RunState::Failed { task } => Err(run.tasks.take_error(task)),
            RunState::Running | RunState::Cancelled => {
                unreachable!("a computation is waited for, and nobody else can cancel it")
            }
        }
    }

    fn help(&self, run: &Run<Closures>) -> RunState {
        let mut tick = Tick::default();
        let state = run.help(
            TICK,
            || false,
            || self.pool.wake_one(),
            || {
                self.pool.watch(run, &mut tick);
                Ok::<(), Infallible>(())
            },
        );
        match state {
            Ok(state) => state,
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.pool.stop();
        // After a failure, a closure that still runs may be the last owner: it cannot wait for itself.
        if SERVED.get() != Arc::as_ptr(&self.pool).addr() {
            while self.pool.join(TICK) > 0 {}
        }
    }
}

/// Orders what `wanted` needs and hands it to a scheduler.
#[track_caller]
fn start(graph: Graph, wanted: &impl Bundle, threads: u32) -> Run<Closures> {
    let mut wanted = graph.numbers(wanted);
    let mut groups = graph.groups;
    let mut dependencies = graph.dependencies.finish();
    let mut tasks = Closures::new(graph.calls, graph.made_at);
    let kept = cull(&dependencies, &wanted);
    if kept.len() < dependencies.len() {
        dependencies = dependencies.restricted_to(&kept);
        groups = kept.iter().map(|&task| groups[task as usize]).collect();
        for task in &mut wanted {
            *task = kept.binary_search(task).expect("wanted tasks are kept") as u32;
        }
        tasks.keep_only(kept);
    }
    let rank = order(&dependencies, &dependencies.reversed())
        .expect("a call names tasks that exist, so there is no cycle")
        .rank;
    let submission = Submission { dependencies, rank, groups, wanted, ..Submission::default() };
    Run::new(tasks, submission, threads, Watching::Nothing)
}
