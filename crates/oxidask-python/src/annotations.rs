//! Annotations: what `annotate` attaches to the tasks that are made inside its block.

use std::sync::atomic::{AtomicUsize, Ordering};

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// Blocks that are open anywhere. While there are none, no task has to ask.
static OPEN_BLOCKS: AtomicUsize = AtomicUsize::new(0);

/// An `annotate` block was opened (`true`) or closed.
#[pyfunction]
pub(crate) fn count_annotate_blocks(opened: bool) {
    if opened {
        OPEN_BLOCKS.fetch_add(1, Ordering::Relaxed);
    } else {
        OPEN_BLOCKS.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The annotations of the block that runs now.
pub(crate) fn in_force(py: Python<'_>) -> PyResult<Option<Py<PyDict>>> {
    if OPEN_BLOCKS.load(Ordering::Relaxed) == 0 {
        return Ok(None);
    }
    let current = py
        .import(intern!(py, "oxidask.base"))?
        .getattr(intern!(py, "get_annotations"))?
        .call0()?
        .cast_into::<PyDict>()?;
    Ok(if current.is_empty() { None } else { Some(current.unbind()) })
}
