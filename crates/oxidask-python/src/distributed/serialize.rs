//! Values as pickles: the door to `oxidask._serialize`.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyList, PyTuple};

fn helper<'py>(
    py: Python<'py>,
    cell: &'static PyOnceLock<Py<PyAny>>,
    name: &str,
) -> PyResult<Bound<'py, PyAny>> {
    let function = cell.get_or_try_init(py, || {
        Ok::<_, PyErr>(py.import(intern!(py, "oxidask._serialize"))?.getattr(name)?.unbind())
    })?;
    Ok(function.bind(py).clone())
}

macro_rules! helper {
    ($py:expr, $name:literal) => {{
        static CELL: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        helper($py, &CELL, $name)
    }};
}

fn bytes_of(result: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
    Ok(result.cast::<PyBytes>()?.as_bytes().to_vec())
}

/// A pickle of a value.
pub(crate) fn dump(value: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
    bytes_of(&helper!(value.py(), "dump")?.call1((value,))?)
}

/// The value of a pickle.
pub(crate) fn load<'py>(py: Python<'py>, pickle: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    helper!(py, "load")?.call1((PyBytes::new(py, pickle),))
}

/// A pickle, and the buffers that stand beside it.
pub(crate) fn dump_apart<'py>(
    value: &Bound<'py, PyAny>,
) -> PyResult<(Vec<u8>, Vec<Bound<'py, PyAny>>)> {
    let result = helper!(value.py(), "dump_apart")?.call1((value,))?;
    let result = result.cast::<PyTuple>()?;
    let buffers = result.get_item(1)?.cast_into::<PyList>()?.iter().collect();
    Ok((bytes_of(&result.get_item(0)?)?, buffers))
}

/// The value of a pickle and its buffers.
pub(crate) fn load_apart<'py>(
    py: Python<'py>,
    pickle: &Bound<'py, PyAny>,
    buffers: Vec<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    helper!(py, "load_apart")?.call1((pickle, buffers))
}

/// An exception with its traceback, as a pickle that can always be read.
pub(crate) fn dump_error(error: &PyErr, py: Python<'_>) -> Vec<u8> {
    let pickled = (|| {
        if let Some(traceback) = error.traceback(py) {
            error.value(py).setattr(intern!(py, "__traceback__"), traceback)?;
        }
        bytes_of(&helper!(py, "dump_error")?.call1((error.value(py),))?)
    })();
    // Nothing is left to try where even the stand-in of an exception cannot be pickled.
    pickled.unwrap_or_default()
}

/// The exception of `dump_error`.
pub(crate) fn load_error(py: Python<'_>, pickle: &[u8]) -> PyResult<PyErr> {
    let error = helper!(py, "load_error")?.call1((PyBytes::new(py, pickle),))?;
    Ok(PyErr::from_value(error))
}

/// How a result is to be kept: "plain", "apart" or "live".
pub(crate) fn way_of(value: &Bound<'_, PyAny>) -> PyResult<String> {
    helper!(value.py(), "way_of")?.call1((value,))?.extract()
}

/// Bytes that an object takes in memory, roughly.
pub(crate) fn nbytes(value: &Bound<'_, PyAny>) -> u64 {
    helper!(value.py(), "nbytes")
        .and_then(|function| function.call1((value,)))
        .and_then(|nbytes| nbytes.extract())
        .unwrap_or(0)
}
