//! The engine's view of Python tasks: how one runs, and where its result is kept.
#![expect(unsafe_code, reason = "results are kept in a table that threads share without a lock")]

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use oxidask_runtime::engine::{Outcome, Run, Tasks};
use pyo3::exceptions::{PyKeyboardInterrupt, PySystemExit};
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;

use crate::callbacks::Callbacks;
use crate::evaluate::{detached, evaluate, raise_in_thread, take_in_exception, thread_number};
use crate::graph::{NodeRef, PythonGraph};

/// The tasks of one run, and what is known of them.
pub(crate) struct PythonTasks {
    pub(crate) graph: Arc<PythonGraph>,
    /// What is told of each task, if anything is.
    pub(crate) callbacks: OnceLock<Callbacks>,
    results: Results,
    errors: Mutex<HashMap<u32, PyErr>>,
    running: Mutex<Vec<Running>>,
    is_cancelled: AtomicBool,
    /// Nobody may read a result while another gives it back.
    are_results_taken: AtomicBool,
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
    pub(crate) fn new(graph: Arc<PythonGraph>) -> Self {
        let results = Results::new(graph.len());
        Self {
            graph,
            callbacks: OnceLock::new(),
            results,
            errors: Mutex::default(),
            running: Mutex::default(),
            is_cancelled: AtomicBool::new(false),
            are_results_taken: AtomicBool::new(false),
        }
    }

    /// Takes the results of the wanted tasks out; `None` if somebody was faster. A thread may hold
    /// the run a moment longer; the results are the caller's alone.
    pub(crate) fn take_results(&self, py: Python<'_>, wanted: &[u32]) -> Option<Vec<Py<PyAny>>> {
        if self.are_results_taken.swap(true, Ordering::Relaxed) {
            return None;
        }
        let result = |&task| self.results.get(py, task).expect("a wanted result is kept");
        let results = wanted.iter().map(result).collect();
        self.release(wanted);
        Some(results)
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

    fn failed(&self, py: Python<'_>, task: u32, error: PyErr) {
        let error = explain(py, self.graph.node(task), error);
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
            let view = self.graph.layer.task(task);
            let outer = CURRENT.replace(Some(std::ptr::from_ref(self)));
            self.begin(task);
            let outcome = evaluate(py, view.template, &self.graph.literals, |place| {
                let input = view.dependencies[place as usize];
                self.results.get(py, input).expect("a task runs while its inputs are kept")
            });
            self.end(py, task);
            CURRENT.set(outer);
            match outcome {
                Ok(value) => {
                    self.results.put(task, value);
                    Outcome::Finished
                }
                Err(error) => {
                    self.failed(py, task, error);
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
            let result = self.results.get(py, task).expect("a task that returned has a result");
            callbacks.after(py, run, task, result);
        });
    }

    fn release(&self, tasks: &[u32]) {
        Python::attach(|py| {
            for &task in tasks {
                drop(self.results.take(py, task));
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

    fn put(&self, task: u32, value: Py<PyAny>) {
        let old = self.0[task as usize].swap(value.into_ptr(), Ordering::Release);
        assert!(old.is_null(), "a task runs again only after its result was released");
    }

    fn get(&self, py: Python<'_>, task: u32) -> Option<Py<PyAny>> {
        let value = self.0[task as usize].load(Ordering::Acquire);
        // SAFETY: the slot owns a reference, and is not emptied while somebody may read it.
        unsafe { Bound::from_borrowed_ptr_or_opt(py, value).map(Bound::unbind) }
    }

    fn take(&self, py: Python<'_>, task: u32) -> Option<Py<PyAny>> {
        let value = self.0[task as usize].swap(std::ptr::null_mut(), Ordering::AcqRel);
        // SAFETY: the slot owned this reference and has given it up.
        unsafe { Bound::from_owned_ptr_or_opt(py, value).map(Bound::unbind) }
    }
}

impl Drop for Results {
    fn drop(&mut self) {
        Python::attach(|py| {
            for task in 0..self.0.len() as u32 {
                drop(self.take(py, task));
            }
        });
    }
}
