//! The engine's view of Python tasks: how one runs, and where its result is kept.
#![expect(unsafe_code, reason = "results are kept in a table that threads share without a lock")]

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use oxidask_graph::{Op, OpKind, SLAB, Slab, TaskView};
use oxidask_runtime::engine::{Outcome, Run, Tasks};
use pyo3::exceptions::{PyKeyboardInterrupt, PySystemExit};
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;

use crate::callbacks::Callbacks;
use crate::evaluate::{detached, evaluate, raise_in_thread, take_in_exception, thread_number};
use crate::graph::{NodeRef, PythonGraph, is_data};
use crate::ownership::{self, Given, Memory};

/// The tasks of one run, and what is known of them.
pub(crate) struct PythonTasks {
    /// All tasks, or what tasks that are written in slabs have in common.
    pub(crate) graph: Arc<PythonGraph>,
    /// The results of all tasks, or a part for each slab.
    parts: Box<[OnceLock<Part>]>,
    is_in_slabs: bool,
    /// How many tasks there are, or will be.
    count: usize,
    /// What is told of each task, if anything is.
    pub(crate) callbacks: OnceLock<Callbacks>,
    errors: Mutex<HashMap<u32, PyErr>>,
    running: Mutex<Vec<Running>>,
    is_cancelled: AtomicBool,
    /// Nobody may read a result while another gives it back.
    are_results_taken: AtomicBool,
}

/// Bits of [`PythonTasks::notes`]: what the graph says of the readers of a result, and what the result
/// itself does of its memory.
pub(crate) mod notes {
    use crate::ownership::Memory;

    /// One task reads it, once, and nobody asked for it.
    pub(crate) const ALONE: u8 = 1;
    /// Some task reads it.
    pub(crate) const READ: u8 = 2;
    const OWN: u8 = 4;
    const LENT: u8 = 8;

    pub(super) fn of_memory(memory: Memory) -> u8 {
        match memory {
            Memory::Shared => 0,
            Memory::Own => OWN,
            Memory::Lent => LENT,
        }
    }

    pub(super) fn memory(notes: u8) -> Memory {
        match notes & (OWN | LENT) {
            OWN => Memory::Own,
            LENT => Memory::Lent,
            _ => Memory::Shared,
        }
    }
}

/// Tasks that were written at once: their results, and what is known of each, as [`notes`] say.
struct Part {
    results: Results,
    notes: Box<[AtomicU8]>,
    /// The tasks, if they are a slab of which some have not returned.
    slab: Mutex<Option<Arc<Slab>>>,
    /// How many have not returned.
    left: AtomicUsize,
}

impl Part {
    fn new(notes: Box<[AtomicU8]>, slab: Option<Arc<Slab>>) -> Self {
        let (results, left) = (Results::new(notes.len()), AtomicUsize::new(notes.len()));
        Self { results, notes, slab: Mutex::new(slab), left }
    }

    fn slab(&self) -> Option<Arc<Slab>> {
        self.slab.lock().expect("nothing panics while the lock is held").clone()
    }

    /// A task has returned: once all have, they are not needed any more.
    fn has_returned(&self) {
        if self.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            let slab = self.slab.lock().expect("nothing panics while the lock is held").take();
            drop(slab);
        }
    }
}

/// A task that runs now.
struct Running {
    thread: u64,
    task: u32,
    /// An exception was sent to the thread and must not reach anything but this task.
    is_interrupted: bool,
}

thread_local! {
    /// The run whose task this thread runs; of nested ones the innermost.
    static CURRENT: Cell<Option<*const PythonTasks>> = const { Cell::new(None) };
}

/// Whether the calling thread runs a task.
pub(crate) fn is_inside_task() -> bool {
    CURRENT.get().is_some()
}

/// Whether the task that the calling thread runs belongs to a run that was cancelled.
pub(crate) fn is_current_run_cancelled() -> bool {
    // SAFETY: `execute` sets the pointer to a table that it borrows, and resets it before it ends.
    CURRENT.get().is_some_and(|tasks| unsafe { &*tasks }.is_cancelled.load(Ordering::Relaxed))
}

/// Forgets that the thread runs a task: in a child process it does not.
pub(crate) fn forget_current_run() {
    CURRENT.set(None);
}

impl PythonTasks {
    /// `notes` say what the graph knows of the readers of each result.
    pub(crate) fn new(graph: Arc<PythonGraph>, notes: Box<[AtomicU8]>) -> Self {
        let count = graph.len();
        Self::with_parts(graph, Box::new([OnceLock::from(Part::new(notes, None))]), count, false)
    }

    /// So many tasks, which [`PythonTasks::add`] adds.
    pub(crate) fn in_slabs(graph: Arc<PythonGraph>, count: u32) -> Self {
        let parts = (0..count.div_ceil(SLAB)).map(|_| OnceLock::new()).collect();
        Self::with_parts(graph, parts, count as usize, true)
    }

    fn with_parts(
        graph: Arc<PythonGraph>,
        parts: Box<[OnceLock<Part>]>,
        count: usize,
        is_in_slabs: bool,
    ) -> Self {
        Self {
            graph,
            parts,
            is_in_slabs,
            count,
            callbacks: OnceLock::new(),
            errors: Mutex::default(),
            running: Mutex::default(),
            is_cancelled: AtomicBool::new(false),
            are_results_taken: AtomicBool::new(false),
        }
    }

    /// Adds tasks: only then may they run.
    pub(crate) fn add(&self, slab: Slab) {
        let note = |(task, &reads): (u32, &u32)| match reads {
            0 => 0,
            1 if slab.wanted.binary_search(&task).is_err() => notes::ALONE | notes::READ,
            _ => notes::READ,
        };
        let notes = (slab.first..).zip(&slab.reads).map(note).map(AtomicU8::new).collect();
        let place = (slab.first / SLAB) as usize;
        let part = Part::new(notes, Some(Arc::new(slab)));
        let is_new = self.parts[place].set(part).is_ok();
        assert!(is_new, "each slab is added once");
    }

    /// How many tasks there are, or will be.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// How many tasks there are by now.
    pub(crate) fn written(&self) -> usize {
        let parts = self.parts.iter().map_while(OnceLock::get);
        parts.map(|part| part.notes.len()).sum()
    }

    /// The part of a task, and the task's place in it.
    fn part(&self, task: u32) -> (&Part, usize) {
        let (part, place) = if self.is_in_slabs { (task / SLAB, task % SLAB) } else { (0, task) };
        let part = self.parts[part as usize].get();
        (part.expect("a task is added before it runs"), place as usize)
    }

    fn notes(&self, task: u32) -> &AtomicU8 {
        let (part, place) = self.part(task);
        &part.notes[place]
    }

    fn result(&self, py: Python<'_>, task: u32) -> Option<Py<PyAny>> {
        let (part, place) = self.part(task);
        part.results.get(py, place)
    }

    fn take_result(&self, py: Python<'_>, task: u32) -> Option<Py<PyAny>> {
        let (part, place) = self.part(task);
        part.results.take(py, place)
    }

    /// Takes the results of the wanted tasks out; `None` if somebody was faster. A thread may hold
    /// the run a moment longer; the results are the caller's alone, and so is their memory.
    pub(crate) fn take_results(
        &self,
        py: Python<'_>,
        wanted: &[u32],
    ) -> PyResult<Option<Vec<Py<PyAny>>>> {
        if self.are_results_taken.swap(true, Ordering::Relaxed) {
            return Ok(None);
        }
        let result = |&task| self.result(py, task).expect("a wanted result is kept");
        let results: Vec<Py<PyAny>> = wanted.iter().map(result).collect();
        self.release(wanted);
        let mut seen = HashSet::new();
        let come_out = |(value, &task): (Py<PyAny>, &u32)| {
            let value = value.into_bound(py);
            if ownership::is_scalar(&value) {
                return Ok(value.unbind());
            }
            let notes = self.notes(task).load(Ordering::Relaxed);
            let is_read = notes & notes::READ != 0 || self.is_announced();
            let is_untouched = !is_read && seen.insert(task);
            ownership::come_out(value, notes::memory(notes), is_untouched).map(Bound::unbind)
        };
        results.into_iter().zip(wanted).map(come_out).collect::<PyResult<_>>().map(Some)
    }

    /// Takes out why a task failed.
    pub(crate) fn take_error(&self, task: u32) -> Option<PyErr> {
        self.errors.lock().expect("nothing panics while the lock is held").remove(&task)
    }

    /// Raises `KeyboardInterrupt` in the Python code of all tasks that run now; code that is not
    /// Python goes on to its end. Says how many there are.
    pub(crate) fn interrupt(&self, py: Python<'_>) -> usize {
        self.is_cancelled.store(true, Ordering::Relaxed);
        let mut running = self.running.lock().expect("nothing panics while the lock is held");
        let here = thread_number();
        let exception = py.get_type::<PyKeyboardInterrupt>().into_any();
        for entry in running.iter_mut().filter(|entry| entry.thread != here) {
            entry.is_interrupted = true;
            raise_in_thread(py, entry.thread, &exception);
        }
        running.len()
    }

    fn begin(&self, task: u32) {
        let entry = Running { thread: thread_number(), task, is_interrupted: false };
        self.running.lock().expect("nothing panics while the lock is held").push(entry);
    }

    fn end(&self, py: Python<'_>, task: u32) {
        let mut running = self.running.lock().expect("nothing panics while the lock is held");
        let thread = thread_number();
        let place = running
            .iter()
            .position(|entry| entry.task == task && entry.thread == thread)
            .expect("a task that ends has begun");
        let entry = running.swap_remove(place);
        // Nobody finds the task any more; what runs now must not wait for this lock.
        drop(running);
        if entry.is_interrupted {
            take_in_exception(py);
        }
    }

    /// An input of a task as the task may have it.
    fn input(
        &self,
        py: Python<'_>,
        input: u32,
        place: u32,
        given: &RefCell<Given>,
    ) -> PyResult<Py<PyAny>> {
        if let Some(value) = self.result(py, input) {
            if ownership::is_scalar(value.bind(py)) {
                return Ok(value);
            }
            let notes = self.notes(input).load(Ordering::Relaxed);
            let memory = notes::memory(notes);
            if notes & notes::ALONE != 0 && memory == Memory::Own {
                // So that the task, when it returns it, is the only one that has it.
                drop(self.take_result(py, input));
                given.borrow_mut().give(place, value.bind(py));
                return Ok(value);
            }
            return given.borrow_mut().lend(value.into_bound(py), memory).map(Bound::unbind);
        }
        let own = given.borrow().own(py, place);
        Ok(own.expect("a task runs while its inputs are kept"))
    }

    /// What a task returned, as it is kept.
    fn settled(
        &self,
        py: Python<'_>,
        task: u32,
        view: TaskView<'_>,
        value: Py<PyAny>,
        given: Given,
    ) -> PyResult<Py<PyAny>> {
        if ownership::is_scalar(value.bind(py)) || is_data(view) {
            return Ok(value);
        }
        let literals = || {
            let literal = |op: &Op| match op.kind() {
                OpKind::Literal(number) => {
                    Some(self.graph.literals[number as usize].bind(py).clone())
                }
                _ => None,
            };
            view.template.0.iter().filter_map(literal).collect()
        };
        let (value, memory) = given.settle(value.into_bound(py), literals)?;
        self.notes(task).fetch_or(notes::of_memory(memory), Ordering::Relaxed);
        Ok(value.unbind())
    }

    fn failed(&self, py: Python<'_>, task: u32, node: NodeRef<'_>, error: PyErr) {
        let error = explain(py, node, error);
        let mut errors = self.errors.lock().expect("nothing panics while the lock is held");
        let of_earlier_attempt = errors.insert(task, error);
        // Objects are not dropped under a lock.
        drop(errors);
        drop(of_earlier_attempt);
    }
}

/// Adds a note to an exception that says which task raised it; `SystemExit` becomes an error.
fn explain(py: Python<'_>, node: NodeRef<'_>, error: PyErr) -> PyErr {
    let explained = (|| {
        // The user's frames; the exception object does not know them yet on CPython 3.11.
        if let Some(traceback) = error.traceback(py) {
            // SAFETY: both are live objects of the types that their names say; unlike setting the
            // attribute, this works for exceptions that refuse attributes.
            unsafe { ffi::PyException_SetTraceback(error.value(py).as_ptr(), traceback.as_ptr()) };
        }
        let origin = match node.origin() {
            None => None,
            Some(origin) => Some((
                origin.code.bind(py).getattr(intern!(py, "co_filename"))?.unbind(),
                origin.line(),
            )),
        };
        let name = if error.is_instance_of::<PySystemExit>(py) {
            intern!(py, "_task_that_exited")
        } else {
            intern!(py, "_with_note")
        };
        py.import(intern!(py, "oxidask._errors"))?.getattr(name)?.call1((
            error.value(py),
            node.key_text(py),
            origin,
        ))
    })();
    match explained {
        Ok(explained) => PyErr::from_value(explained),
        // Ctrl-C came just now.
        Err(interrupt) if interrupt.is_instance_of::<PyKeyboardInterrupt>(py) => interrupt,
        // An exception that cannot be annotated is still the exception.
        Err(_) => error,
    }
}

impl Tasks for PythonTasks {
    fn execute(&self, _run: &Run<Self>, task: u32) -> Outcome {
        Python::attach(|py| {
            let (part, place) = self.part(task);
            let slab = if self.is_in_slabs { part.slab() } else { None };
            let view = match &slab {
                Some(slab) => slab.layer.task(place as u32),
                None => self.graph.layer.task(task),
            };
            let outer = CURRENT.replace(Some(std::ptr::from_ref(self)));
            self.begin(task);
            let given = RefCell::default();
            let outcome = evaluate(py, view.template, &self.graph.literals, |place| {
                self.input(py, view.dependencies[place as usize], place, &given)
            });
            self.end(py, task);
            CURRENT.set(outer);
            let given = given.into_inner();
            let is_lent = given.is_lent();
            match outcome.and_then(|value| self.settled(py, task, view, value, given)) {
                Ok(value) => {
                    part.results.put(place, value);
                    if slab.is_some() {
                        part.has_returned();
                    }
                    Outcome::Finished
                }
                Err(error) => {
                    let error = if is_lent { ownership::with_cure(py, error) } else { error };
                    let node = match &slab {
                        Some(slab) => self.graph.node_of_block(slab.blocks[place]),
                        None => self.graph.node(task),
                    };
                    self.failed(py, task, node, error);
                    Outcome::Failed
                }
            }
        })
    }

    fn is_announced(&self) -> bool {
        self.callbacks.get().is_some()
    }

    fn before(&self, run: &Run<Self>, task: u32) -> bool {
        let Some(callbacks) = self.callbacks.get() else { return true };
        Python::attach(|py| callbacks.before(py, run, task))
    }

    fn after(&self, run: &Run<Self>, task: u32) {
        let Some(callbacks) = self.callbacks.get() else { return };
        Python::attach(|py| {
            let mut result = self.result(py, task).expect("a task that returned has a result");
            let notes = self.notes(task).load(Ordering::Relaxed);
            if notes & notes::ALONE != 0 && callbacks.keep_results() {
                // Its reader may write to it.
                if let Ok(copy) = ownership::separate(result.bind(py)) {
                    result = copy.unbind();
                }
            }
            callbacks.after(py, run, task, result);
        });
    }

    fn release(&self, tasks: &[u32]) {
        Python::attach(|py| {
            for &task in tasks {
                drop(self.take_result(py, task));
            }
        });
    }

    fn while_waiting<R: Send>(wait: impl FnOnce() -> R + Send) -> R {
        Python::attach(|py| detached(py, wait))
    }
}

/// A slot for the result of each task. Who may touch a slot when is settled by the scheduler: the
/// task's thread before any reader, readers before the release; its lock orders their accesses.
struct Results(Box<[AtomicPtr<ffi::PyObject>]>);

impl Results {
    fn new(tasks: usize) -> Self {
        Self((0..tasks).map(|_| AtomicPtr::default()).collect())
    }

    fn put(&self, place: usize, value: Py<PyAny>) {
        let old = self.0[place].swap(value.into_ptr(), Ordering::Release);
        assert!(old.is_null(), "a task runs again only after its result was released");
    }

    fn get(&self, py: Python<'_>, place: usize) -> Option<Py<PyAny>> {
        let value = self.0[place].load(Ordering::Acquire);
        // SAFETY: the slot owns a reference, and is not emptied while somebody may read it.
        unsafe { Bound::from_borrowed_ptr_or_opt(py, value).map(Bound::unbind) }
    }

    fn take(&self, py: Python<'_>, place: usize) -> Option<Py<PyAny>> {
        let value = self.0[place].swap(std::ptr::null_mut(), Ordering::AcqRel);
        // SAFETY: the slot owned this reference and has given it up.
        unsafe { Bound::from_owned_ptr_or_opt(py, value).map(Bound::unbind) }
    }
}

impl Drop for Results {
    fn drop(&mut self) {
        Python::attach(|py| {
            for place in 0..self.0.len() {
                drop(self.take(py, place));
            }
        });
    }
}
