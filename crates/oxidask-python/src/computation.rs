//! Computing: from lazy values to their results, in threads or in the calling thread.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicPtr, AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use oxidask_graph::{Edges, EdgesBuilder, Slab, Slabs, order};
use oxidask_observe::Progress;
use oxidask_protocol::{GroupId, Record, RecordBody, SpanKind, TaskId};
use oxidask_runtime::engine::{Addition, Pool, Run, RunState, Tick, Watching};
use oxidask_scheduler::Submission;
use pyo3::exceptions::{PyKeyboardInterrupt, PyNotImplementedError, PyRuntimeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::callbacks::{Callbacks, is_inside_callback};
use crate::delayed::Delayed;
use crate::graph::{Collected, PythonGraph, collect, collect_to_run};
use crate::graph_view::GraphView;
use crate::task_states::TaskStates;
use crate::tasks::{
    PythonTasks, forget_current_run, is_current_run_cancelled, is_inside_task, notes,
};

/// How long a wait lasts before somebody looks whether all is well.
const TICK: Duration = Duration::from_millis(10);
/// How long the end of the program waits for threads that have nothing to do.
const FAREWELL: Duration = Duration::from_millis(300);

/// The pool of this process. A raw pointer, so that a child process can let go of its parent's
/// without touching locks that nobody will ever release.
static POOL: AtomicPtr<Pool<PythonTasks>> = AtomicPtr::new(std::ptr::null_mut());

fn pool() -> &'static Pool<PythonTasks> {
    let mut pool = POOL.load(Ordering::Acquire);
    if pool.is_null() {
        let new = Box::into_raw(Box::<Pool<PythonTasks>>::default());
        match POOL.compare_exchange(pool, new, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => pool = new,
            Err(existing) => {
                drop_unused(new);
                pool = existing;
            }
        }
    }
    leaked(pool)
}

#[expect(unsafe_code, reason = "a pool lives as long as the process")]
fn leaked(pool: *mut Pool<PythonTasks>) -> &'static Pool<PythonTasks> {
    // SAFETY: the pointer comes from a box that is never freed once it is in POOL.
    unsafe { &*pool }
}

#[expect(unsafe_code, reason = "another thread was faster to make the pool")]
fn drop_unused(pool: *mut Pool<PythonTasks>) {
    // SAFETY: the pointer comes from a box that nobody else has seen.
    drop(unsafe { Box::from_raw(pool) });
}

/// The life of a thread of the pool. `on_rest` is called after each `rest` seconds without a task.
#[pyfunction]
pub(crate) fn serve(rest: Option<f64>, on_rest: Py<PyAny>) {
    pool().serve_with_rests(rest.map(Duration::from_secs_f64), || {
        Python::attach(|py| drop(on_rest.call0(py)));
    });
}

/// Lets threads leave before the interpreter finalises: a thread that asks for the GIL later would
/// never return.
#[pyfunction]
pub(crate) fn shut_down(py: Python<'_>) {
    let pool = POOL.load(Ordering::Acquire);
    if !pool.is_null() {
        let pool = leaked(pool);
        py.detach(|| {
            pool.stop();
            pool.join(FAREWELL);
        });
    }
}

/// In a child process: the parent's threads and random numbers are not ours.
#[pyfunction]
pub(crate) fn after_fork() {
    POOL.store(std::ptr::null_mut(), Ordering::Release);
    crate::identity::forget_seed();
    crate::graph::forget_walks();
    forget_current_run();
}

fn start_threads(py: Python<'_>, count: usize) -> PyResult<()> {
    for started in 0..count {
        let thread = py
            .import(intern!(py, "oxidask._threads"))
            .and_then(|module| module.call_method0(intern!(py, "start")));
        if let Err(error) = thread {
            let running = pool().threads_not_started(count - started);
            // Where the system gives no more threads, fewer do the work; with none it would never be
            // done. Anything else, such as Ctrl-C, is not ours to swallow.
            if running == 0 || !error.is_instance_of::<PyRuntimeError>(py) {
                return Err(error);
            }
            break;
        }
    }
    Ok(())
}

/// How many threads this process may use: its cores, by affinity and control group.
#[pyfunction]
pub(crate) fn cpu_count() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// One computation: what `compute` makes, runs and takes the results from.
#[pyclass(frozen, module = "oxidask._core")]
pub(crate) struct Computation {
    run: Arc<Run<PythonTasks>>,
    wanted: Wanted,
    threads: usize,
}

/// The tasks whose results are asked for.
enum Wanted {
    Tasks(Vec<u32>),
    /// They are known when all slabs are written. Who waits for the run writes them.
    InSlabs(Mutex<Box<Slabs>>),
}

#[pymethods]
impl Computation {
    /// Only if `in_slabs` may tasks be written while others run: then nobody can see the whole graph.
    #[new]
    #[pyo3(signature = (tasks, threads, watching, *, in_slabs = false))]
    fn new(
        py: Python<'_>,
        tasks: Vec<Py<Delayed>>,
        threads: usize,
        watching: &str,
        in_slabs: bool,
    ) -> PyResult<Self> {
        if threads == 0 {
            return Err(PyValueError::new_err("num_workers: at least 1 thread is needed, not 0"));
        }
        let watching = match watching {
            "nothing" => Watching::Nothing,
            "counts" => Watching::Counts,
            "spans" => Watching::Spans,
            other => {
                return Err(PyValueError::new_err(format!(
                    "Computation: {other:?} cannot be watched; say nothing, counts or spans"
                )));
            }
        };
        let slots = u32::try_from(threads).unwrap_or(u32::MAX);
        let collected = if in_slabs {
            collect_to_run(py, &tasks)?
        } else {
            let (graph, wanted) = collect(py, &tasks)?;
            Collected::Whole(graph, wanted)
        };
        let (graph, wanted) = match collected {
            Collected::Whole(graph, wanted) => (graph, wanted),
            Collected::Slabs(graph, slabs) => {
                let tasks = PythonTasks::in_slabs(Arc::new(graph), slabs.task_count());
                let run = Arc::new(Run::growing(tasks, slots, watching));
                let computation = Self { run, wanted: Wanted::InSlabs(Mutex::new(slabs)), threads };
                py.detach(|| computation.grow_once());
                return Ok(computation);
            }
        };
        if let Some(&(task, _)) = graph.time_limits.first() {
            return Err(PyNotImplementedError::new_err(format!(
                "annotate(timeout=) of task {}: threads of this process are not stopped when time is \
                 up; compute with a Client, or with scheduler='processes'",
                graph.node(task).key_object(py)?.repr()?
            )));
        }
        let to_run = wanted.clone();
        let run = py.detach(move || start(graph, to_run, slots, watching));
        Ok(Self { run: Arc::new(run), wanted: Wanted::Tasks(wanted), threads })
    }

    /// The graph as a mapping.
    #[getter]
    fn graph(&self) -> GraphView {
        GraphView::of(Arc::clone(&self.run.tasks.graph))
    }

    /// Where its tasks stand, as callbacks see it; nothing has run.
    fn task_states(&self, py: Python<'_>) -> PyResult<TaskStates> {
        let Wanted::Tasks(wanted) = &self.wanted else {
            return Err(PyRuntimeError::new_err(
                "a graph that is written in slabs shows no states",
            ));
        };
        let graph = &self.run.tasks.graph;
        TaskStates::new(py, Arc::clone(graph), self.run.ranks(graph.len() as u32), wanted)
    }

    /// Has functions called for each task, in the thread that runs the computation: `pretask(key,
    /// graph, state)` and `posttask(key, result, graph, state, thread)`. Call it before running.
    fn tell(
        &self,
        pretask: Vec<Py<PyAny>>,
        posttask: Vec<Py<PyAny>>,
        graph: Py<PyAny>,
        state: Py<PyAny>,
        states: Py<TaskStates>,
    ) {
        self.run
            .tasks
            .callbacks
            .get_or_init(|| Callbacks::new(pretask, posttask, graph, state, states));
    }

    /// Runs in the pool's threads and gives the results.
    fn run_in_threads(&self, py: Python<'_>) -> PyResult<Vec<Py<PyAny>>> {
        self.call_back_here();
        let pool = pool();
        if self.run.waiting() > 0 {
            start_threads(py, pool.threads_to_start(self.threads))?;
        }
        pool.add(Arc::clone(&self.run));
        let outcome = if is_nested() || pool.is_stopping() {
            // The thread lends itself, so that nested computations cannot starve each other.
            self.help(py, true)
        } else {
            self.wait(py, &[])
        };
        drop(pool.remove(&self.run));
        self.results(py, outcome)
    }

    /// Runs in the calling thread and gives the results.
    fn run_here(&self, py: Python<'_>) -> PyResult<Vec<Py<PyAny>>> {
        self.call_back_here();
        let outcome = self.help(py, true);
        self.results(py, outcome)
    }

    /// Takes part in running, until the computation is over; for threads of a user's own pool.
    fn lend_thread(&self, py: Python<'_>) {
        // A thread that is told to leave early is missed by the client, which then takes its place.
        drop(self.help(py, false));
    }

    /// Waits for threads that were lent by a user's own pool, and gives the results. `loans` are the
    /// pool's answers when it was asked to call `lend_thread`.
    fn run_in_lent_threads(
        &self,
        py: Python<'_>,
        loans: Vec<Py<PyAny>>,
    ) -> PyResult<Vec<Py<PyAny>>> {
        self.call_back_here();
        let outcome = if is_nested() { self.help(py, true) } else { self.wait(py, &loans) };
        self.results(py, outcome)
    }

    /// Each stretch of a thread's time so far in which a task ran: the task's number, seconds since
    /// the computation began at its beginning and its end, the thread's number, and whether the task
    /// returned.
    fn spans(&self) -> Vec<(u32, f64, f64, u32, bool)> {
        let seconds = |ns: u64| ns as f64 / 1e9;
        let span = |record: &Record| match record.body {
            RecordBody::Span { kind, task, thread, duration_ns, .. }
                if !self.run.tasks.graph.is_data(task.0) =>
            {
                let begin = record.at_ns.saturating_sub(duration_ns);
                let end = seconds(record.at_ns);
                Some((task.0, seconds(begin), end, thread, kind == SpanKind::Compute))
            }
            _ => None,
        };
        self.run.spans().iter().filter_map(span).collect()
    }

    /// Tasks that are written so far, and all tasks.
    #[getter]
    fn written(&self) -> (usize, usize) {
        (self.run.tasks.written(), self.run.tasks.len())
    }

    /// Tasks that returned, all tasks, and seconds since the computation began, from the records.
    fn progress(&self) -> PyResult<(u64, u64, f64)> {
        let progress = self.watched_progress()?;
        Ok((progress.finished(), progress.tasks(), self.run.elapsed().as_secs_f64()))
    }
}

/// Whether the calling thread is inside a task or a callback, so that others may wait for it.
fn is_nested() -> bool {
    is_inside_task() || is_inside_callback()
}

/// Whether a pool is done with one of the calls that it was asked for: it has made it, or never will.
fn is_one_over(py: Python<'_>, loans: &[Py<PyAny>]) -> PyResult<bool> {
    for loan in loans {
        // Futures have the one method, results of `multiprocessing.pool.ThreadPool` the other.
        for name in [intern!(py, "done"), intern!(py, "ready")] {
            if let Some(is_over) = loan.bind(py).getattr_opt(name)? {
                if is_over.call0()?.is_truthy()? {
                    return Ok(true);
                }
                break;
            }
        }
    }
    Ok(false)
}

/// What a scheduler is told of a slab. Its tasks stand in the order to run them.
fn addition_of(slab: &Slab, groups: u32, is_last: bool) -> Addition {
    let count = slab.layer.len() as u32;
    let mut externals: Vec<TaskId> = Vec::new();
    let mut places: BTreeMap<u32, u32> = BTreeMap::new();
    let dependencies = slab.layer.dependencies();
    let mut rows = EdgesBuilder::with_capacity(dependencies.len(), dependencies.targets().len());
    for row in dependencies.rows() {
        for &input in row {
            rows.push_target(input.checked_sub(slab.first).unwrap_or_else(|| {
                *places.entry(input).or_insert_with(|| {
                    externals.push(TaskId(input));
                    count + externals.len() as u32 - 1
                })
            }));
        }
        rows.end_row();
    }
    let kept = slab.wanted.iter().chain(&slab.exports);
    let submission = Submission {
        dependencies: rows.finish(),
        externals,
        rank: (0..count).collect(),
        groups: slab.layer.groups().to_vec(),
        shared_groups: (0..groups).map(GroupId).collect(),
        wanted: kept.map(|task| task - slab.first).collect(),
        ..Submission::default()
    };
    Addition { submission, wanted: slab.wanted.clone(), settled: slab.settled.clone(), is_last }
}

/// Orders a graph and hands it to a scheduler.
fn start(
    graph: PythonGraph,
    wanted: Vec<u32>,
    threads: u32,
    watching: Watching,
) -> Run<PythonTasks> {
    let dependencies = graph.layer.dependencies();
    let dependents = dependencies.reversed();
    let notes = notes_on_readers(&graph, &dependents, &wanted);
    let order = order(dependencies, &dependents)
        .expect("collected tasks stand behind their inputs, so there is no cycle");
    let submission = Submission {
        dependencies: dependencies.clone(),
        rank: order.rank,
        groups: graph.layer.groups().to_vec(),
        wanted,
        retries: graph.retries.iter().copied().collect(),
        ..Submission::default()
    };
    Run::new(PythonTasks::new(Arc::new(graph), notes), submission, threads, watching)
}

/// What the graph says of who reads each result: who may write to it follows from that.
fn notes_on_readers(graph: &PythonGraph, dependents: &Edges, wanted: &[u32]) -> Box<[AtomicU8]> {
    let note = |readers: &[u32]| match readers.len() {
        0 => 0,
        1 => notes::ALONE | notes::READ,
        _ => notes::READ,
    };
    let mut notes: Vec<u8> = dependents.rows().map(note).collect();
    for &task in wanted {
        notes[task as usize] &= !notes::ALONE;
    }
    for &(task, times) in &graph.retries {
        // A task that is tried again needs its inputs as they were.
        for &input in graph.layer.task(task).dependencies.iter().filter(|_| times > 0) {
            notes[input as usize] &= !notes::ALONE;
        }
    }
    notes.into_iter().map(AtomicU8::new).collect()
}

impl Computation {
    /// The tasks whose results are asked for; all are written.
    fn wanted(&self) -> Vec<u32> {
        match &self.wanted {
            Wanted::Tasks(wanted) => wanted.clone(),
            Wanted::InSlabs(slabs) => slabs.lock().expect("writing tasks does not panic").wanted(),
        }
    }

    /// Writes more tasks, if they are about to be used up. Nobody needs to hold the GIL for it.
    fn grow(&self) {
        while self.run.is_short() && self.grow_once() {}
    }

    /// Writes a slab of tasks, unless another thread does. Says whether it has.
    fn grow_once(&self) -> bool {
        let Wanted::InSlabs(slabs) = &self.wanted else { return false };
        let Ok(mut slabs) = slabs.try_lock() else { return false };
        let groups = self.run.tasks.graph.groups.len() as u32;
        let Some(slab) = slabs.next() else { return false };
        let is_last = slab.first as usize + slab.blocks.len() == self.run.tasks.len();
        let addition = addition_of(&slab, groups, is_last);
        self.run.tasks.add(slab);
        self.run.grow(addition);
        for _ in 0..self.run.waiting() {
            pool().wake_one();
        }
        true
    }

    fn watched_progress(&self) -> PyResult<Progress> {
        self.run.watched_progress().ok_or_else(|| {
            PyRuntimeError::new_err(
                "the computation is not watched: make it with watching=\"counts\"",
            )
        })
    }

    /// Waits for the threads; Ctrl-C ends the wait within a few ticks. If a lent thread is missing
    /// while tasks wait, the calling thread takes its place.
    fn wait(&self, py: Python<'_>, loans: &[Py<PyAny>]) -> PyResult<RunState> {
        let pool = pool();
        let mut tick = Tick::default();
        loop {
            let state = py.detach(|| {
                self.grow();
                let state = self.run.wait(TICK, || self.is_called_back());
                if state == RunState::Running {
                    pool.watch(&self.run, &mut tick);
                }
                state
            });
            self.call_back(py, state);
            if state != RunState::Running {
                return Ok(state);
            }
            py.check_signals()?;
            if pool.is_stopping() || self.run.waiting() > 0 && is_one_over(py, loans)? {
                return self.help(py, true);
            }
        }
    }

    /// Runs tasks in the calling thread until the computation is over. Its client calls back too.
    fn help(&self, py: Python<'_>, is_client: bool) -> PyResult<RunState> {
        let pool = pool();
        let mut tick = Tick::default();
        let state = self.run.help(
            TICK,
            || is_client && self.is_called_back(),
            || pool.wake_one(),
            || {
                if is_client {
                    self.call_back(py, RunState::Running);
                }
                py.detach(|| self.grow());
                pool.watch(&self.run, &mut tick);
                py.check_signals()?;
                if is_current_run_cancelled() {
                    return Err(PyKeyboardInterrupt::new_err("the computation was interrupted"));
                }
                Ok(())
            },
        )?;
        if is_client {
            self.call_back(py, state);
        }
        Ok(state)
    }

    /// From now on the calling thread is the one in which callbacks are called.
    fn call_back_here(&self) {
        if let Some(callbacks) = self.run.tasks.callbacks.get() {
            callbacks.belong_here();
        }
    }

    /// Whether callbacks are due.
    fn is_called_back(&self) -> bool {
        self.run.tasks.callbacks.get().is_some_and(Callbacks::are_due)
    }

    /// Calls the callbacks that are due.
    fn call_back(&self, py: Python<'_>, state: RunState) {
        if let Some(callbacks) = self.run.tasks.callbacks.get() {
            callbacks.attend(py, &self.run, state == RunState::Running);
        }
    }

    /// Stops calling back; what a callback raised counts more than how the run ended.
    fn outcome_of_callbacks(
        &self,
        py: Python<'_>,
        outcome: PyResult<RunState>,
    ) -> Result<PyResult<RunState>, PyErr> {
        let Some(callbacks) = self.run.tasks.callbacks.get() else { return Ok(outcome) };
        match callbacks.end(py) {
            Some(error) if error.is_instance_of::<PyKeyboardInterrupt>(py) => Ok(Err(error)),
            Some(error) => Err(error),
            None => Ok(outcome),
        }
    }

    /// The results, or the error, once the run is over or its wait was ended by `outcome`.
    fn results(&self, py: Python<'_>, outcome: PyResult<RunState>) -> PyResult<Vec<Py<PyAny>>> {
        match self.outcome_of_callbacks(py, outcome)? {
            Ok(RunState::Done) => {
                let results = self.run.tasks.take_results(py, &self.wanted())?;
                results.ok_or_else(|| PyRuntimeError::new_err("the results were taken already"))
            }
            Ok(RunState::Failed { task }) => {
                let error = self.run.tasks.take_error(task);
                Err(error.unwrap_or_else(|| PyRuntimeError::new_err("the error was taken already")))
            }
            Ok(RunState::Cancelled) => {
                Err(PyKeyboardInterrupt::new_err("the computation was cancelled"))
            }
            Ok(RunState::Running) => unreachable!("waits end when the run is over"),
            Err(error) => {
                let (done, _) = self.run.progress();
                self.run.cancel();
                let running = self.run.tasks.interrupt(py);
                let note = format!(
                    "oxidask: compute was interrupted after {done} of {} tasks; {running} that ran \
                     were told to stop, the others were not started. Results so far are dropped: \
                     compute again to go on.",
                    self.run.tasks.len()
                );
                let kwargs: Option<&Bound<'_, PyDict>> = None;
                error.value(py).call_method(intern!(py, "add_note"), (note,), kwargs)?;
                Err(error)
            }
        }
    }
}
