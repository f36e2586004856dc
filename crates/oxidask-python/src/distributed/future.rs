//! `Future`: a handle of a result that is, or will be, in a cluster.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use oxidask_protocol::{ClientTask, FromClient, Problem};
use oxidask_runtime::client::Status;
use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyString;

use super::session::{Shared, TICK};

/// What keeps a result alive: all handles of one result share it.
pub(crate) struct Hold {
    pub(crate) shared: Arc<Shared>,
    pub(crate) task: ClientTask,
    pub(crate) identity: u128,
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.shared.registry_remove(self.identity, self);
        self.shared.client.drop_future(self.task);
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
    hold: Arc<Hold>,
    name: Name,
}

impl Future {
    pub(crate) fn new(hold: Arc<Hold>, name: Name) -> Self {
        Self { hold, name }
    }

    pub(crate) fn task(&self) -> ClientTask {
        self.hold.task
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.hold.shared
    }

    pub(crate) fn hold_again(&self) -> Arc<Hold> {
        Arc::clone(&self.hold)
    }

    pub(crate) fn identity(&self) -> u128 {
        self.hold.identity
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
    if shared.client.wait_all(tasks, &mut from, Duration::ZERO) {
        return Ok(true);
    }
    let until = timeout.map(|seconds| Instant::now() + Duration::from_secs_f64(seconds.max(0.0)));
    loop {
        let left = until.map_or(TICK, |until| until.saturating_duration_since(Instant::now()));
        let is_done = py.detach(|| shared.client.wait_all(tasks, &mut from, left.min(TICK)));
        if is_done {
            return Ok(true);
        }
        if left.is_zero() {
            return Ok(false);
        }
        py.check_signals()?;
    }
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
            Status::Pending if self.hold.shared.client.closed().is_some() => "cancelled",
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
            Some(value) => Ok(value),
            None if self.hold.shared.client.closed().is_some() => {
                Err(self.hold.shared.closed_error(py)?)
            }
            None => Err(timed_out(py, timeout)?),
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

    /// Forgets what `cancel` and `retry` are to act on.
    fn _tell(&self, py: Python<'_>, what: &str) -> PyResult<()> {
        let tasks = vec![self.hold.task];
        let message = match what {
            "cancel" => FromClient::Cancel { tasks },
            "retry" => FromClient::Retry { tasks },
            _ => return Err(PyRuntimeError::new_err("a future is told to cancel or to retry")),
        };
        py.detach(|| self.hold.shared.client.say(message));
        Ok(())
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
        other.cast::<Self>().is_ok_and(|other| Arc::ptr_eq(&other.get().hold, &self.hold))
    }

    fn __dask_tokenize__(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        Ok(self.key(py)?.unbind())
    }
}

/// A weak reference in the registry of keys.
pub(crate) type WeakHold = Weak<Hold>;
