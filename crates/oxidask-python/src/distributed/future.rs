//! `Future`: a handle of a result that is, or will be, in a cluster.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use oxidask_protocol::{ClientTask, FromClient, Problem};
use oxidask_runtime::client::Status;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyString;

use super::nested;
use super::session::{Fetched, Shared};

use crate::evaluate::let_others_run;

/// What keeps a result alive: all handles of one result share it.
pub(crate) struct Hold {
    pub(crate) shared: Arc<Shared>,
    pub(crate) task: ClientTask,
    pub(crate) identity: u128,
    /// What the client that made the future calls it, if that is another one.
    pub(crate) origin: Option<Box<Origin>>,
    /// Futures, and submissions on their way, that need the result.
    users: AtomicUsize,
}

/// A client of the same cluster, and what it calls a task.
pub(crate) type Origin = (u64, ClientTask);

impl Hold {
    pub(crate) fn new(
        shared: Arc<Shared>,
        task: ClientTask,
        identity: u128,
        origin: Option<Origin>,
    ) -> Self {
        let users = AtomicUsize::new(0);
        Self { shared, task, identity, origin: origin.map(Box::new), users }
    }
}

/// A use of a [`Hold`]; with the last one the result is released.
pub(crate) struct Held {
    hold: Arc<Hold>,
    is_over: AtomicBool,
}

impl Held {
    pub(crate) fn new(hold: Arc<Hold>) -> Self {
        hold.users.fetch_add(1, Ordering::Relaxed);
        Self { hold, is_over: AtomicBool::new(false) }
    }

    /// A further use, if there is one left.
    pub(crate) fn upgrade(hold: &WeakHold) -> Option<Self> {
        let hold = hold.upgrade()?;
        let more = |users| (users > 0).then_some(users + 1);
        hold.users.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Self { hold, is_over: AtomicBool::new(false) })
    }

    pub(crate) fn downgrade(&self) -> WeakHold {
        Arc::downgrade(&self.hold)
    }

    /// This use is over.
    fn let_go(&self) {
        if !self.is_over.swap(true, Ordering::AcqRel) {
            let_one_go(&self.hold);
        }
    }
}

impl std::ops::Deref for Held {
    type Target = Hold;

    fn deref(&self) -> &Hold {
        &self.hold
    }
}

impl Clone for Held {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.hold))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.let_go();
    }
}

/// One use of a hold has ended.
fn let_one_go(hold: &Hold) {
    if hold.users.fetch_sub(1, Ordering::AcqRel) == 1 {
        hold.shared.registry_remove(hold);
        hold.shared.client.drop_future(hold.task);
    }
}

/// How a future is called.
pub(crate) enum Name {
    /// The first part of the key; the rest is the identity.
    Prefix(Py<PyString>),
    /// The key that the user gave.
    Key(Py<PyAny>),
}

/// A handle of a result in a cluster.
///
/// Made by `Client.submit` and its kin. The result is kept as long as a handle of it is.
#[pyclass(frozen, weakref, module = "oxidask.distributed")]
pub(crate) struct Future {
    hold: Held,
    name: Name,
}

impl Future {
    pub(crate) fn new(hold: Held, name: Name) -> Self {
        Self { hold, name }
    }

    pub(crate) fn task(&self) -> ClientTask {
        self.hold.task
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.hold.shared
    }

    pub(crate) fn hold_again(&self) -> Held {
        self.hold.clone()
    }

    pub(crate) fn identity(&self) -> u128 {
        self.hold.identity
    }

    /// Whether its end will not be heard of any more.
    fn is_over(&self) -> bool {
        self.hold.is_over.load(Ordering::Acquire) || self.hold.shared.client.closed().is_some()
    }

    fn status_now(&self) -> Status {
        self.hold.shared.client.status(self.hold.task).unwrap_or_default()
    }

    /// Waits until the task has ended; `false` if time is up.
    fn wait(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        wait_all(py, &self.hold.shared, &[self.hold.task], timeout)
    }

    fn problem(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Option<Arc<Problem>>> {
        if !self.wait(py, timeout)? {
            return Err(timed_out(py, timeout)?);
        }
        match self.status_now() {
            Status::Erred(problem) => Ok(Some(problem)),
            Status::Finished => Ok(None),
            Status::Pending => Err(self.hold.shared.closed_error(py)?),
        }
    }
}

fn timed_out(py: Python<'_>, timeout: Option<f64>) -> PyResult<PyErr> {
    let seconds = timeout.unwrap_or(0.0);
    let class = py.import("builtins")?.getattr(intern!(py, "TimeoutError"))?;
    Ok(PyErr::from_value(class.call1((format!(
        "the result was not there after {seconds} s; the task goes on: wait longer, or ask \
         client.why(future)"
    ),))?))
}

/// Waits until all tasks have ended; `false` if time is up. Ctrl-C ends the wait.
pub(crate) fn wait_all(
    py: Python<'_>,
    shared: &Arc<Shared>,
    tasks: &[ClientTask],
    timeout: Option<f64>,
) -> PyResult<bool> {
    let mut from = 0;
    let is_done =
        wait_until(py, timeout, |at_most| shared.client.wait_all(tasks, &mut from, at_most))?;
    shared.show_output(py)?;
    Ok(is_done)
}

/// Waits for something, a moment at a time; `false` if time is up. Ctrl-C ends the wait, and in a
/// task others run meanwhile.
pub(crate) fn wait_until(
    py: Python<'_>,
    timeout: Option<f64>,
    mut wait: impl FnMut(Duration) -> bool + Send,
) -> PyResult<bool> {
    if wait(Duration::ZERO) {
        return Ok(true);
    }
    let until = timeout.map(|seconds| Instant::now() + Duration::from_secs_f64(seconds.max(0.0)));
    nested::waiting(py, || {
        loop {
            let tick = nested::tick();
            let left = until.map_or(tick, |until| until.saturating_duration_since(Instant::now()));
            if let_others_run(py, || wait(left.min(tick))) {
                return Ok(true);
            }
            if left.is_zero() {
                return Ok(false);
            }
            nested::look_around(py)?;
        }
    })
}

#[pymethods]
impl Future {
    /// The key of the task.
    #[getter]
    pub(crate) fn key<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match &self.name {
            Name::Key(key) => Ok(key.bind(py).clone()),
            Name::Prefix(prefix) => {
                let prefix = prefix.bind(py).to_cow()?;
                let identity = self.hold.identity;
                Ok(PyString::new(py, &format!("{prefix}-{identity:032x}")).into_any())
            }
        }
    }

    /// "pending", "finished", "error", "cancelled" or "lost".
    #[getter]
    fn status(&self) -> &'static str {
        match self.status_now() {
            Status::Finished => "finished",
            Status::Erred(problem) => match *problem {
                Problem::Cancelled { .. } => "cancelled",
                Problem::Lost { .. } => "lost",
                _ => "error",
            },
            Status::Pending if self.is_over() => "cancelled",
            Status::Pending => "pending",
        }
    }

    /// Whether the task has ended, in whatever way.
    fn done(&self) -> bool {
        self.status() != "pending"
    }

    /// Whether it was cancelled.
    fn cancelled(&self) -> bool {
        self.status() == "cancelled"
    }

    /// Waits for the result and returns it, or raises what the task raised.
    #[pyo3(signature = (timeout=None))]
    fn _result(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Py<PyAny>> {
        let begun = Instant::now();
        if let Some(problem) = self.problem(py, timeout)? {
            return Err(self.hold.shared.exception_of(py, &problem)?);
        }
        let left = timeout.map(|seconds| seconds - begun.elapsed().as_secs_f64());
        match self.hold.shared.value(py, self, left)? {
            Fetched::Value(value) => Ok(value),
            Fetched::Problem(problem) => Err(self.hold.shared.exception_of(py, &problem)?),
            Fetched::Nothing if self.hold.shared.client.closed().is_some() => {
                Err(self.hold.shared.closed_error(py)?)
            }
            Fetched::Nothing => Err(timed_out(py, timeout)?),
        }
    }

    /// Waits for the end; returns the exception of the task, or None.
    #[pyo3(signature = (timeout=None))]
    fn _exception(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Option<Py<PyAny>>> {
        let problem = self.problem(py, timeout)?;
        problem
            .map(|problem| {
                let error = self.hold.shared.exception_of(py, &problem)?;
                Ok(error.into_value(py).into_any())
            })
            .transpose()
    }

    /// Stops the task.
    fn _cancel(&self, py: Python<'_>, reason: String) {
        let message = FromClient::Cancel { tasks: vec![self.hold.task], reason };
        let_others_run(py, || self.hold.shared.client.say(message));
    }

    /// Whether there is nothing to fetch: its small result is here, or it failed.
    fn _is_here(&self) -> bool {
        self.hold.shared.client.is_here(self.hold.task)
    }

    /// Gives the result up, as if this future were gone.
    fn _release(&self, py: Python<'_>) {
        self.hold.let_go();
        // Who asks for it wants it to happen now.
        let_others_run(py, || self.hold.shared.client.let_go());
    }

    /// What another process needs to make the future again: the cluster, the client, the task's
    /// number there, the hash of its key and the key.
    fn _identity(&self, py: Python<'_>) -> PyResult<(u128, u64, ClientTask, u128, Py<PyAny>)> {
        let (cluster, client) = self.hold.shared.identity(py)?;
        Ok((cluster, client, self.hold.task, self.hold.identity, self.key(py)?.unbind()))
    }

    /// The number by which the client knows the task.
    #[getter]
    fn _task(&self) -> ClientTask {
        self.hold.task
    }

    /// The number of the session.
    #[getter]
    fn _session(&self) -> u64 {
        self.hold.shared.number
    }

    fn __hash__(&self) -> u64 {
        (self.hold.identity ^ (self.hold.identity >> 64)) as u64
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        other.cast::<Self>().is_ok_and(|other| Arc::ptr_eq(&other.get().hold.hold, &self.hold.hold))
    }

    fn __dask_tokenize__(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        Ok(self.key(py)?.unbind())
    }
}

/// A weak reference in the registry of keys.
pub(crate) type WeakHold = Weak<Hold>;
