//! What the process uses, for `ResourceProfiler`.

use std::time::Duration;

use oxidask_runtime::resources::ResourceSampler as Sampler;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// Looks at memory and processor time until it is stopped.
#[pyclass(frozen, module = "oxidask._core")]
pub(crate) struct ResourceSampler(Sampler);

#[pymethods]
impl ResourceSampler {
    /// Starts to look, every so many seconds.
    #[new]
    fn new(seconds: f64) -> PyResult<Self> {
        let every = Duration::try_from_secs_f64(seconds).map_err(|error| {
            PyValueError::new_err(format!("dt={seconds}: {error}; give seconds"))
        })?;
        Ok(Self(Sampler::start(every)?))
    }

    fn stop(&self, py: Python<'_>) {
        py.detach(|| self.0.stop());
    }

    /// Seconds since the beginning, bytes in memory, and percent of a core, oldest first.
    fn samples(&self) -> Vec<(f64, u64, f64)> {
        let samples = self.0.samples().into_iter();
        samples.map(|one| (one.at.as_secs_f64(), one.resident_bytes, one.cpu_percent)).collect()
    }
}
