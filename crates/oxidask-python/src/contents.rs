//! What containers hold at one moment, though other threads may change them at the same time.
//!
//! Where threads run beside each other, an iterator over a dictionary or a set that another thread
//! changes fails. Copies that Python makes at once do not, and cost next to nothing.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PySet};

/// The entries of a dictionary.
pub(crate) fn entries<'py>(
    dict: &Bound<'py, PyDict>,
) -> PyResult<Vec<(Bound<'py, PyAny>, Bound<'py, PyAny>)>> {
    Ok(dict.copy()?.iter().collect())
}

/// The elements of a set.
pub(crate) fn elements<'py>(set: &Bound<'py, PySet>) -> PyResult<Vec<Bound<'py, PyAny>>> {
    let list = set.py().get_type::<PyList>().call1((set,))?.cast_into::<PyList>()?;
    Ok(list.iter().collect())
}
