//! The page of a cluster or of a run file, as Python starts and ends it.

use std::fmt::Write;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

use oxidask_observe::news::Origin;
use oxidask_runtime::observer::{self, Observer, ReplayError};
use oxidask_runtime::page;
use pyo3::exceptions::{PyOSError, PyTypeError, PyValueError};
use pyo3::prelude::*;

use super::local::ThreadCluster;
use super::process::ProcessCluster;

use crate::computation::cpu_count;
use crate::evaluate::let_others_run;

/// A run file that was begun, for a [`Page`] to go on with.
#[pyclass(frozen, module = "oxidask._core")]
pub(crate) struct Recording(Mutex<Option<observer::Recording>>);

#[pymethods]
impl Recording {
    /// Begins a file of so many bytes at most; `OSError` if there is another one, or it is in use.
    #[new]
    fn new(path: PathBuf, room: u64) -> PyResult<Self> {
        Ok(Self(Mutex::new(Some(observer::Recording::create(&path, room)?))))
    }
}

/// A run that was read from its file.
#[pyclass(frozen, module = "oxidask._core")]
pub(crate) struct RunFile(Mutex<Observer>);

#[pymethods]
impl RunFile {
    /// Reads it; `OSError` if that is not possible, `ValueError` if it is none.
    #[new]
    fn new(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        Ok(Self(Mutex::new(read(py, &path)?)))
    }

    /// What the page of the run answers, as JSON; None if there is no answer of that name.
    fn answer(&self, py: Python<'_>, name: &str, query: &str) -> Option<String> {
        let ask = || {
            let mut run = self.0.lock().expect("nothing panics while the lock is held");
            run.answer(name, query).map(|value| value.to_string())
        };
        let_others_run(py, ask)
    }
}

fn read(py: Python<'_>, path: &std::path::Path) -> PyResult<Observer> {
    let_others_run(py, || Observer::of_file(path)).map_err(|error| match error {
        ReplayError::Io(error) => error.into(),
        ReplayError::RunFile(error) => {
            PyValueError::new_err(format!("{}: {error}", path.display()))
        }
    })
}

/// What is seen of a cluster, and the page of it if it has a port: served on the loopback interface
/// until it is closed.
#[pyclass(frozen, module = "oxidask._core")]
pub(crate) struct Page(page::Page);

#[pymethods]
impl Page {
    /// Serves it at a port, 0 for any that is free, None for no page; `OSError` if that is not free.
    #[new]
    fn new(
        py: Python<'_>,
        cluster: &Bound<'_, PyAny>,
        port: Option<u16>,
        versions: Vec<(String, String)>,
        command: String,
        host: String,
        recording: Option<&Recording>,
    ) -> PyResult<Self> {
        let cluster = if let Ok(threads) = cluster.cast::<ThreadCluster>() {
            &threads.get().cluster
        } else if let Ok(processes) = cluster.cast::<ProcessCluster>() {
            &processes.get().cluster
        } else {
            return Err(PyTypeError::new_err("a page is that of a cluster"));
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let origin = Origin {
            unix_ns: (now.saturating_sub(cluster.age())).as_nanos() as u64,
            pid: std::process::id(),
            host,
            processors: cpu_count() as u32,
            versions,
            command,
        };
        let token = token()?;
        let listener = port.map(page::bind).transpose()?;
        let recording = recording
            .and_then(|one| one.0.lock().expect("nothing panics while the lock is held").take());
        let serve = || page::Page::serve(cluster, origin, listener, token, recording);
        Ok(Self(let_others_run(py, serve)?))
    }

    /// Serves the page of a run file.
    #[staticmethod]
    fn of_file(py: Python<'_>, path: PathBuf, port: u16) -> PyResult<Self> {
        let token = token()?;
        let listener = page::bind(port)?;
        Ok(Self(page::Page::replay(read(py, &path)?, listener, token)?))
    }

    /// Its address, with the token; empty if there is no page.
    #[getter]
    fn link(&self) -> String {
        self.0.link().unwrap_or_default()
    }

    /// What it answers, also once it is closed, as JSON; None if there is no answer of that name.
    fn answer(&self, py: Python<'_>, name: &str, query: &str) -> Option<String> {
        let_others_run(py, || self.0.answer(name, query))
    }

    /// Ends it.
    fn close(&self, py: Python<'_>) {
        let_others_run(py, || self.0.close());
    }
}

/// A secret for the link of a page.
fn token() -> PyResult<String> {
    let mut secret = [0; 16];
    getrandom::fill(&mut secret).map_err(|error| PyOSError::new_err(error.to_string()))?;
    let mut token = String::with_capacity(2 * secret.len());
    for byte in secret {
        let _ = write!(token, "{byte:02x}");
    }
    Ok(token)
}
