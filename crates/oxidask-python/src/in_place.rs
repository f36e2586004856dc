//! Where the result of a call may stand: in an argument that the program itself has made.
//!
//! In a program such as `(x + 1) * 2 + y` most values are seen by nobody but the next call. Arrays of
//! which that is so are written to by the next call, if it is one of `NumPy`'s that makes an array of
//! the same kind. That saves the time to find memory, and a block of it.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyFloat, PyInt, PyString, PyTuple};

use crate::ownership::{has_its_memory_alone, is_array, is_held_once, is_plain, is_writeable};

/// From how many bytes on it is worth a look: shorter arrays are made faster than looked at.
const LEAST_NBYTES: usize = 64 << 10;

/// Functions of two arguments that make of double precision the same.
const FUNCTIONS: [&str; 7] =
    ["add", "subtract", "multiply", "divide", "minimum", "maximum", "hypot"];

/// Says which of two arguments of a call the result may be written to: 0 or 1.
///
/// `values` are the function and its arguments, of which each holds one reference.
pub(crate) fn place_for_result(py: Python<'_>, values: &[Py<PyAny>]) -> PyResult<Option<usize>> {
    let [function, one, other] = values else { return Ok(None) };
    let (one, other) = (one.bind(py), other.bind(py));
    if !(is_array(one) || is_array(other)) || !is_of_numpy(py, function)? {
        return Ok(None);
    }
    if may_hold_result(one, other)? {
        return Ok(Some(0));
    }
    Ok(may_hold_result(other, one)?.then_some(1))
}

/// The names of the keywords of a call that says where its result goes.
pub(crate) fn keyword_out(py: Python<'_>) -> PyResult<&Py<PyAny>> {
    static NAMES: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    NAMES.get_or_try_init(py, || {
        Ok(PyTuple::new(py, [PyString::intern(py, "out")])?.into_any().unbind())
    })
}

/// Whether it is one of `FUNCTIONS`.
fn is_of_numpy(py: Python<'_>, function: &Py<PyAny>) -> PyResult<bool> {
    static KNOWN: PyOnceLock<Vec<Py<PyAny>>> = PyOnceLock::new();
    let known = KNOWN.get_or_try_init(py, || {
        let numpy = py.import(intern!(py, "numpy"))?;
        FUNCTIONS.iter().map(|name| Ok(numpy.getattr(*name)?.unbind())).collect::<PyResult<_>>()
    })?;
    Ok(known.iter().any(|one| one.is(function)))
}

/// Whether an array is as the result will be, and nobody else sees it.
fn may_hold_result(array: &Bound<'_, PyAny>, other: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = array.py();
    if !(is_held_once(py, array.as_ptr()) && is_array(array) && is_plain(array)) {
        return Ok(false);
    }
    if array.getattr(intern!(py, "nbytes"))?.extract::<usize>()? < LEAST_NBYTES {
        return Ok(false);
    }
    let dtype = array.getattr(intern!(py, "dtype"))?;
    if dtype.getattr(intern!(py, "char"))?.extract::<&str>()? != "d"
        || !dtype.getattr(intern!(py, "isnative"))?.is_truthy()?
    {
        return Ok(false);
    }
    // A number that is too large for double precision makes an array of objects.
    let is_number = other.is_exact_instance_of::<PyFloat>()
        || other.is_exact_instance_of::<PyInt>() && other.extract::<i64>().is_ok();
    if !is_number {
        if !(is_array(other) && is_plain(other)) {
            return Ok(false);
        }
        let shape = intern!(py, "shape");
        if !other.getattr(intern!(py, "dtype"))?.eq(&dtype)?
            || !other.getattr(shape)?.eq(array.getattr(shape)?)?
        {
            return Ok(false);
        }
    }
    Ok(is_writeable(array)? && has_its_memory_alone(array)?)
}
