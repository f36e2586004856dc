//! Tasks that wait for other tasks.
//!
//! A thread that runs tasks and waits for a future in one of them lends the slot of its task: others
//! run meanwhile, in a thread that is started for them if there is none, or in the waiting thread
//! itself where there are too many. The task goes on once it has a slot again.

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use oxidask_protocol::{FromWorker, TaskId};
use oxidask_runtime::worker::{Meanwhile, Taken};
use pyo3::exceptions::PyException;
use pyo3::intern;
use pyo3::prelude::*;

use super::executor::{Executor, start_thread};
use crate::evaluate::{let_exceptions_in, let_others_run};

/// How long a wait lasts before somebody looks for Ctrl-C.
const TICK: Duration = Duration::from_millis(10);
/// How long one lasts in a thread that runs other tasks meanwhile.
const SHORT_TICK: Duration = Duration::from_millis(1);

/// A task that runs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Task {
    /// Which.
    pub(super) task: TaskId,
    /// Its priority and depth.
    pub(super) urgency: i64,
}

thread_local! {
    static EXECUTOR: RefCell<Option<(Py<Executor>, usize)>> = const { RefCell::new(None) };
    static TASK: Cell<Option<Task>> = const { Cell::new(None) };
    static HAS_SECEDED: Cell<bool> = const { Cell::new(false) };
    static HELPS: Cell<bool> = const { Cell::new(false) };
}

/// The calling thread runs tasks as long as this lives.
pub(super) struct Thread;

impl Thread {
    pub(super) fn enter(executor: &Bound<'_, Executor>, number: usize) -> Self {
        EXECUTOR.set(Some((executor.clone().unbind(), number)));
        Self
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        drop(EXECUTOR.take());
    }
}

/// What a thread has to remember of the task around another one.
pub(super) struct Outer(Option<Task>, bool);

/// A task begins in the calling thread.
pub(super) fn task_begins(task: Task) -> Outer {
    Outer(TASK.replace(Some(task)), HAS_SECEDED.replace(false))
}

/// It ends; says whether it had left its slot for good.
pub(super) fn task_ends(outer: Outer) -> bool {
    TASK.set(outer.0);
    HAS_SECEDED.replace(outer.1)
}

/// The task that the calling thread runs.
pub(super) fn current_task() -> Option<Task> {
    TASK.get()
}

/// The priority and depth of what the running task submits with a priority.
pub(super) fn urgency_of_children(priority: i32) -> (i32, u32) {
    let Some(task) = TASK.get() else { return (priority, 0) };
    let (own, depth) = ((task.urgency >> 32) as i32, task.urgency as u32);
    (if priority == 0 { own } else { priority }, depth.saturating_add(1))
}

fn executor_of_task(py: Python<'_>) -> Option<(Py<Executor>, usize)> {
    TASK.get()?;
    EXECUTOR.with_borrow(|executor| {
        executor.as_ref().map(|(executor, number)| (executor.clone_ref(py), *number))
    })
}

/// Waits for something that other tasks may have to do.
///
/// `wait` calls [`look_around`] after each [`tick`].
pub(super) fn waiting<R>(py: Python<'_>, wait: impl FnOnce() -> PyResult<R>) -> PyResult<R> {
    let Some((executor, _)) = executor_of_task(py) else { return wait_in_coroutine(py, wait) };
    if HAS_SECEDED.get() {
        return wait();
    }
    lend(&executor.into_bound(py), wait)
}

/// Whether there was a coroutine in this process.
static HAS_COROUTINES: AtomicBool = AtomicBool::new(false);

/// Coroutines will run in threads that run no tasks.
pub(super) fn coroutines_begin() {
    HAS_COROUTINES.store(true, Ordering::Relaxed);
}

/// Waits in a thread that runs no task. If it runs a coroutine, the thread that waits for that lends
/// the slot.
fn wait_in_coroutine<R>(py: Python<'_>, wait: impl FnOnce() -> PyResult<R>) -> PyResult<R> {
    if !HAS_COROUTINES.load(Ordering::Relaxed) {
        return wait();
    }
    let module = py.import(intern!(py, "oxidask._output"))?;
    let speaker = module.getattr(intern!(py, "speaker"))?.call_method0(intern!(py, "get"))?;
    if speaker.is_none() {
        return wait();
    }
    speaker.call_method1(intern!(py, "count_wait"), (1,))?;
    let result = wait();
    speaker.call_method1(intern!(py, "count_wait"), (-1,))?;
    result
}

fn lend<R>(executor: &Bound<'_, Executor>, wait: impl FnOnce() -> PyResult<R>) -> PyResult<R> {
    let urgency = TASK.get().map(|task| task.urgency);
    let result = leave_slot(executor, urgency).and_then(|helps| {
        let helped_before = HELPS.replace(helps);
        let result = wait();
        HELPS.set(helped_before);
        result
    });
    let back = return_to_slot(executor, urgency);
    let result = result?;
    back.map(|()| result)
}

/// The running task gives its slot to others; says whether its thread has to run them itself.
///
/// What was raised in the task meanwhile comes out of it; the slot is left in any case.
fn leave_slot(executor: &Bound<'_, Executor>, urgency: Option<i64>) -> PyResult<bool> {
    let (this, py) = (executor.get(), executor.py());
    let meanwhile = let_others_run(py, || {
        let meanwhile = this.inbox.lend_slot(urgency);
        this.mouth.say(FromWorker::Lends { is_lent: true });
        this.mouth.flush();
        meanwhile
    });
    match meanwhile {
        Meanwhile::Rest => Ok(false),
        Meanwhile::Help => Ok(true),
        Meanwhile::StartThread => {
            let started = executor.getattr("serve").and_then(|serve| {
                let start = || start_thread(py, serve.unbind(), "oxidask-worker-spare");
                this.undisturbed(py, start)
            });
            match started {
                // The system gives no more threads.
                Err(error) if error.is_instance_of::<PyException>(py) => Ok(true),
                started => started.map(|()| false),
            }
        }
    }
}

/// The running task wants its slot back, and waits for one.
fn return_to_slot(executor: &Bound<'_, Executor>, urgency: Option<i64>) -> PyResult<()> {
    let (this, py) = (executor.get(), executor.py());
    this.inbox.want_slot_back(urgency);
    let mut outcome = Ok(());
    loop {
        // Whoever was told to stop is to end its task at once.
        let forced = outcome.is_err() || this.is_told_to_stop();
        let at_most = if forced { Duration::ZERO } else { TICK };
        if this.inbox.take_slot_back(Duration::ZERO, forced)
            || let_others_run(py, || this.inbox.take_slot_back(at_most, forced))
        {
            break;
        }
        outcome = look_for_exceptions(py);
    }
    let_others_run(py, || this.mouth.say(FromWorker::Lends { is_lent: false }));
    outcome
}

/// How long a wait lasts before [`look_around`] is to be called.
pub(super) fn tick() -> Duration {
    if HELPS.get() { SHORT_TICK } else { TICK }
}

fn look_for_exceptions(py: Python<'_>) -> PyResult<()> {
    py.check_signals()?;
    if TASK.get().is_some() { let_exceptions_in(py) } else { Ok(()) }
}

/// To be called regularly by whoever waits: raises what Ctrl-C and cancelling ask for, and runs
/// other tasks where the waiting thread has to.
pub(super) fn look_around(py: Python<'_>) -> PyResult<()> {
    look_for_exceptions(py)?;
    if !HELPS.get() {
        return Ok(());
    }
    let Some((executor, number)) = executor_of_task(py) else { return Ok(()) };
    let executor = executor.get();
    // One only: the awaited one may be among those that have ended.
    if let Taken::Run(run) = executor.inbox.try_next_run() {
        HELPS.set(false);
        executor.execute(py, number, run);
        HELPS.set(true);
        let_others_run(py, || executor.mouth.flush());
    }
    Ok(())
}

// ---- For Python ----

/// The running task leaves its slot for good, or until it comes back.
#[pyfunction]
pub(crate) fn leave_slot_of_task(py: Python<'_>) -> PyResult<bool> {
    let Some((executor, _)) = executor_of_task(py) else { return Ok(false) };
    if !HAS_SECEDED.replace(true) {
        leave_slot(executor.bind(py), None)?;
    }
    Ok(true)
}

/// The running task, which has left its slot, waits for one.
#[pyfunction]
pub(crate) fn return_to_slot_of_task(py: Python<'_>) -> PyResult<bool> {
    let Some((executor, _)) = executor_of_task(py) else { return Ok(false) };
    if HAS_SECEDED.replace(false) {
        return_to_slot(executor.bind(py), None)?;
    }
    Ok(true)
}

/// The executor of the running task; None outside of tasks.
#[pyfunction]
pub(crate) fn executor_of_running_task(py: Python<'_>) -> Option<Py<Executor>> {
    executor_of_task(py).map(|(executor, _)| executor)
}
