//! Finds the lazy objects in arguments of `compute` and its kin, and puts their results back.

use std::cell::Cell;

use pyo3::prelude::*;
use pyo3::types::PyTuple;

use oxidask_graph::{OpKind, Template};

use crate::arguments::{Call, CallBuilder};
use crate::delayed::Delayed;
use crate::evaluate::evaluate;
use crate::ownership::{self, Memory};

/// Arguments taken apart into lazy objects and the containers around them.
#[pyclass(frozen, module = "oxidask._core")]
pub(crate) struct Unpacked {
    call: Call,
}

#[pymethods]
impl Unpacked {
    /// Looks for lazy objects in `args`, with `traverse` at any depth. A collection that is not
    /// Delayed is replaced by the task that `task_of(collection)` returns.
    #[new]
    fn new<'py>(
        py: Python<'py>,
        args: &Bound<'py, PyTuple>,
        traverse: bool,
        task_of: Bound<'py, PyAny>,
    ) -> PyResult<Self> {
        let mut builder = CallBuilder::with_task_of(py, task_of);
        for value in args.iter() {
            if traverse {
                builder.push_value(value)?;
            } else {
                builder.push_top(value)?;
            }
        }
        builder.push(OpKind::Tuple(args.len() as u32));
        Ok(Self { call: builder.finish() })
    }

    /// The tasks of the lazy objects, each once.
    #[getter]
    fn tasks(&self, py: Python<'_>) -> Vec<Py<Delayed>> {
        self.call.dependencies.iter().map(|task| task.clone_ref(py)).collect()
    }

    /// The arguments as a tuple, with these values in the place of the lazy objects.
    fn repack(&self, py: Python<'_>, values: Vec<Py<PyAny>>) -> PyResult<Py<PyAny>> {
        let is_used: Vec<Cell<bool>> = vec![Cell::new(false); values.len()];
        evaluate(py, Template(&self.call.template), &self.call.literals, |place| {
            let value = values[place as usize].bind(py).clone();
            if is_used[place as usize].replace(true) {
                // Results of one task at two places do not share memory either.
                return ownership::come_out(value, Memory::Shared, false).map(Bound::unbind);
            }
            Ok(value.unbind())
        })
    }
}
