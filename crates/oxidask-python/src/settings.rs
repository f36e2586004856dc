//! The few settings that are asked for at every call, read from the configuration's dictionary.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;

/// Whether delayed calls are pure where nothing else is said: `delayed_pure`.
pub(crate) fn is_delayed_pure(py: Python<'_>) -> PyResult<bool> {
    static CONFIG: PyOnceLock<Py<PyDict>> = PyOnceLock::new();
    let config = CONFIG.get_or_try_init(py, || {
        let config = py.import("oxidask.config")?.getattr("config")?;
        Ok::<_, PyErr>(config.cast_into::<PyDict>()?.unbind())
    })?;
    let config = config.bind(py);
    let value = match config.get_item(intern!(py, "delayed_pure"))? {
        Some(value) => Some(value),
        None => config.get_item(intern!(py, "delayed-pure"))?,
    };
    value.map_or(Ok(false), |value| value.is_truthy())
}
