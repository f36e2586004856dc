//! Functions of the user that are told of each task, as Dask's callbacks are.
//!
//! They are called in the thread that asked for the computation, one at a time. A thread that runs
//! tasks puts requests in a queue; before a task it waits until its request was served, so that
//! `pretask` comes before the task. The thread that asked serves them while it waits, or calls
//! directly where it runs the task itself. What a callback raises ends the computation.

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard};

use oxidask_runtime::engine::{CLIENT, Run, thread_number};
use pyo3::prelude::*;

use crate::task_states::TaskStates;
use crate::tasks::PythonTasks;

/// Results that wait for a callback are kept alive, so threads wait when there are as many.
const ROOM: usize = 64;

thread_local! {
    static IS_CALLING: Cell<bool> = const { Cell::new(false) };
}

/// Whether the calling thread is in a callback: tasks may wait for it.
pub(crate) fn is_inside_callback() -> bool {
    IS_CALLING.get()
}

/// The callbacks of one computation.
pub(crate) struct Callbacks {
    pretask: Vec<Py<PyAny>>,
    posttask: Vec<Py<PyAny>>,
    /// What callbacks see as the graph and the state.
    graph: Py<PyAny>,
    state: Py<PyAny>,
    states: Py<TaskStates>,
    /// The thread in which callbacks are called.
    client: AtomicU32,
    queue: Mutex<Queue>,
    /// Notified when a request was served, and when none will be.
    served: Condvar,
    /// The length of the queue.
    due: AtomicUsize,
    error: Mutex<Option<PyErr>>,
}

#[derive(Default)]
struct Queue {
    requests: VecDeque<Request>,
    /// Requests ever made, and ever served.
    made: u64,
    served: u64,
    is_closed: bool,
}

enum Request {
    Begin { task: u32 },
    End { task: u32, result: Py<PyAny>, thread: u32 },
}

const UNBROKEN: &str = "nothing panics while the lock is held";

impl Callbacks {
    pub(crate) fn new(
        pretask: Vec<Py<PyAny>>,
        posttask: Vec<Py<PyAny>>,
        graph: Py<PyAny>,
        state: Py<PyAny>,
        states: Py<TaskStates>,
    ) -> Self {
        Self {
            pretask,
            posttask,
            graph,
            state,
            states,
            client: AtomicU32::new(CLIENT),
            queue: Mutex::default(),
            served: Condvar::new(),
            due: AtomicUsize::new(0),
            error: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().expect(UNBROKEN)
    }

    /// Whether somebody is told what tasks return, and may keep it.
    pub(crate) fn keep_results(&self) -> bool {
        !self.posttask.is_empty()
    }

    /// Callbacks are called in the calling thread from now on.
    pub(crate) fn belong_here(&self) {
        self.client.store(thread_number(), Ordering::Release);
    }

    /// Whether a request waits to be served.
    pub(crate) fn are_due(&self) -> bool {
        self.due.load(Ordering::Acquire) > 0
    }

    /// Tells that a task is about to run; says whether it may.
    pub(crate) fn before(&self, py: Python<'_>, run: &Run<PythonTasks>, task: u32) -> bool {
        if self.states.get().is_data(task) {
            return true;
        }
        let Some(place) = self.request(py, run, Request::Begin { task }) else { return false };
        if self.client.load(Ordering::Acquire) == thread_number() {
            self.attend(py, run, true);
        } else if !self.pretask.is_empty() || self.due.load(Ordering::Acquire) > ROOM {
            py.detach(|| {
                let is_waiting = |queue: &mut Queue| queue.served < place && !queue.is_closed;
                drop(self.served.wait_while(self.lock(), is_waiting).expect(UNBROKEN));
            });
        }
        !self.lock().is_closed
    }

    /// Tells that a task has returned.
    pub(crate) fn after(
        &self,
        py: Python<'_>,
        run: &Run<PythonTasks>,
        task: u32,
        result: Py<PyAny>,
    ) {
        if self.states.get().is_data(task) {
            return;
        }
        let thread = thread_number();
        let place = self.request(py, run, Request::End { task, result, thread });
        if place.is_some() && self.client.load(Ordering::Acquire) == thread {
            self.attend(py, run, true);
        }
    }

    /// Puts a request in the queue and says its place; `None` if none is served any more.
    fn request(&self, _py: Python<'_>, run: &Run<PythonTasks>, request: Request) -> Option<u64> {
        let mut queue = self.lock();
        if queue.is_closed {
            drop(queue);
            return None;
        }
        queue.requests.push_back(request);
        queue.made += 1;
        let place = queue.made;
        self.due.store(queue.requests.len(), Ordering::Release);
        drop(queue);
        if self.client.load(Ordering::Acquire) != thread_number() {
            run.wake_client();
        }
        Some(place)
    }

    /// Calls what is due, in the calling thread. Where the run is over, nothing begins any more.
    pub(crate) fn attend(&self, py: Python<'_>, run: &Run<PythonTasks>, is_running: bool) {
        while let Some(request) = self.next_request() {
            // A task that waits for its pretask has not begun, and never will.
            let is_late = !is_running && !self.pretask.is_empty();
            if is_late && matches!(request, Request::Begin { .. }) {
                continue;
            }
            let outcome = self.serve(py, request);
            if let Err(error) = outcome {
                *self.error.lock().expect(UNBROKEN) = Some(error);
                run.cancel();
                self.close();
                return;
            }
            self.lock().served += 1;
            self.served.notify_all();
        }
    }

    fn next_request(&self) -> Option<Request> {
        let mut queue = self.lock();
        let request = queue.requests.pop_front();
        self.due.store(queue.requests.len(), Ordering::Release);
        request
    }

    fn serve(&self, py: Python<'_>, request: Request) -> PyResult<()> {
        let outer = IS_CALLING.replace(true);
        let outcome = match request {
            Request::Begin { task } => self.call_pretask(py, task),
            Request::End { task, result, thread } => self.call_posttask(py, task, result, thread),
        };
        IS_CALLING.set(outer);
        outcome
    }

    fn call_pretask(&self, py: Python<'_>, task: u32) -> PyResult<()> {
        let states = self.states.get();
        states.begin(task);
        for callback in &self.pretask {
            callback.call1(py, (states.key(py, task)?, &self.graph, &self.state))?;
        }
        Ok(())
    }

    fn call_posttask(
        &self,
        py: Python<'_>,
        task: u32,
        result: Py<PyAny>,
        thread: u32,
    ) -> PyResult<()> {
        let states = self.states.get();
        states.end(task, result.clone_ref(py));
        for callback in &self.posttask {
            let key = states.key(py, task)?;
            callback.call1(py, (key, &result, &self.graph, &self.state, thread))?;
        }
        Ok(())
    }

    /// Serves nothing any more: who waits goes on, without running its task.
    fn close(&self) {
        let mut queue = self.lock();
        queue.is_closed = true;
        let unserved = std::mem::take(&mut queue.requests);
        self.due.store(0, Ordering::Release);
        drop(queue);
        self.served.notify_all();
        drop(unserved);
    }

    /// Ends calling back, and says what a callback raised.
    pub(crate) fn end(&self, _py: Python<'_>) -> Option<PyErr> {
        self.close();
        self.error.lock().expect(UNBROKEN).take()
    }
}
