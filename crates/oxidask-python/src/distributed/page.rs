//! The page of a cluster, as Python starts and ends it.

use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use oxidask_observe::news::Origin;
use oxidask_runtime::page;
use pyo3::exceptions::{PyOSError, PyTypeError};
use pyo3::prelude::*;

use super::local::ThreadCluster;
use super::process::ProcessCluster;

use crate::computation::cpu_count;
use crate::evaluate::let_others_run;

/// A page of a cluster, served on the loopback interface until it is closed.
#[pyclass(frozen, module = "oxidask._core")]
pub(crate) struct Page(page::Page);

#[pymethods]
impl Page {
    /// Serves it at a port, 0 for any that is free; `OSError` if that is not free.
    #[new]
    fn new(
        py: Python<'_>,
        cluster: &Bound<'_, PyAny>,
        port: u16,
        versions: Vec<(String, String)>,
        command: String,
        host: String,
    ) -> PyResult<Self> {
        let cluster = if let Ok(threads) = cluster.cast::<ThreadCluster>() {
            &threads.get().cluster
        } else if let Ok(processes) = cluster.cast::<ProcessCluster>() {
            &processes.get().cluster
        } else {
            return Err(PyTypeError::new_err("a page is that of a cluster"));
        };
        let mut secret = [0; 16];
        getrandom::fill(&mut secret).map_err(|error| PyOSError::new_err(error.to_string()))?;
        let mut token = String::with_capacity(2 * secret.len());
        for byte in secret {
            let _ = write!(token, "{byte:02x}");
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let origin = Origin {
            unix_ns: (now.saturating_sub(cluster.age())).as_nanos() as u64,
            pid: std::process::id(),
            host,
            processors: cpu_count() as u32,
            versions,
            command,
        };
        Ok(Self(let_others_run(py, || page::Page::serve(cluster, origin, port, token))?))
    }

    /// Its address, with the token.
    #[getter]
    fn link(&self) -> String {
        self.0.link()
    }

    /// Ends it.
    fn close(&self, py: Python<'_>) {
        let_others_run(py, || self.0.close());
    }
}
