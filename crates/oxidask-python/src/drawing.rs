//! Drawings of task graphs.

use std::str::FromStr;

use oxidask_observe::drawing;
use oxidask_observe::formats::{dot, html, json, pdf, png, svg};
use oxidask_observe::layout::Direction;
use oxidask_observe::picture::{self, Colouring, Kind, Options, Task, TaskGraph};
use oxidask_observe::scene::Style;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// A task graph that is laid out; each format is written when it is asked for.
#[pyclass(frozen, module = "oxidask._core")]
pub(crate) struct Drawing(drawing::Drawing);

#[pymethods]
impl Drawing {
    #[getter]
    fn size(&self) -> (f64, f64) {
        (self.0.size.width, self.0.size.height)
    }

    fn svg(&self, py: Python<'_>) -> String {
        py.detach(|| svg::write(&self.0))
    }

    fn html(&self, py: Python<'_>) -> String {
        py.detach(|| html::write(&self.0))
    }

    fn json(&self, py: Python<'_>) -> String {
        py.detach(|| json::write(&self.0))
    }

    /// `statements` stand before the nodes.
    fn dot(&self, py: Python<'_>, statements: &str) -> String {
        py.detach(|| dot::write(&self.0, statements))
    }

    fn png<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let bytes = py.detach(|| png::write(&self.0)).map_err(value_error)?;
        Ok(PyBytes::new(py, &bytes))
    }

    fn pdf<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &py.detach(|| pdf::write(&self.0)))
    }
}

/// Lays out the drawing of a task graph.
///
/// `labels`, `details`, `keys`, `groups` (indices into `group_names`), `kinds` (0 for data, 1 for a
/// call) and `fills` have one entry for each task, as do `order` and `seconds` if given; `edges` are
/// pairs of indices of tasks, dependency first. Colours are `#RRGGBB`; `scale` goes from the first to
/// the last place in the order.
#[pyfunction]
#[pyo3(signature = (
    labels, details, keys, groups, group_names, kinds, fills, edges, rankdir, color, order, seconds, maxval, limit,
    has_results, scale, border, border_width, line, line_width
))]
#[expect(clippy::too_many_arguments, reason = "the graph crosses in bulk, as columns")]
pub(crate) fn draw_graph(
    py: Python<'_>,
    labels: Vec<String>,
    details: Vec<String>,
    keys: Vec<String>,
    groups: Vec<u32>,
    group_names: Vec<String>,
    kinds: Vec<u8>,
    fills: Vec<Option<String>>,
    edges: Vec<(u32, u32)>,
    rankdir: &str,
    color: Option<&str>,
    order: Option<Vec<u32>>,
    seconds: Option<Vec<f64>>,
    maxval: Option<u32>,
    limit: usize,
    has_results: bool,
    scale: Vec<String>,
    border: Option<String>,
    border_width: Option<f64>,
    line: Option<String>,
    line_width: Option<f64>,
) -> PyResult<Drawing> {
    let count = labels.len();
    check_length("details", details.len(), count)?;
    check_length("keys", keys.len(), count)?;
    check_length("groups", groups.len(), count)?;
    check_length("kinds", kinds.len(), count)?;
    check_length("fills", fills.len(), count)?;
    check_length("order", order.as_ref().map_or(count, Vec::len), count)?;
    check_length("seconds", seconds.as_ref().map_or(count, Vec::len), count)?;
    let options = Options {
        direction: Direction::from_str(rankdir).map_err(value_error)?,
        colouring: colouring(color, maxval, scale)?,
        limit,
        has_results,
        style: Style { border, border_width, line, line_width },
    };
    py.detach(move || {
        let mut orders = order.map(Vec::into_iter);
        let mut seconds = seconds.map(Vec::into_iter);
        let texts = labels.into_iter().zip(details).zip(keys).zip(groups).zip(kinds).zip(fills);
        let tasks = texts.map(|(((((label, detail), key), prefix), kind), fill)| Task {
            label,
            detail,
            key,
            prefix,
            kind: if kind == 0 { Kind::Data } else { Kind::Call },
            order: orders.as_mut().and_then(Iterator::next),
            seconds: seconds.as_mut().and_then(Iterator::next),
            fill,
        });
        let graph = TaskGraph { tasks: tasks.collect(), prefixes: group_names, edges };
        picture::draw(&graph, &options).map(Drawing).map_err(value_error)
    })
}

fn colouring(color: Option<&str>, last: Option<u32>, fills: Vec<String>) -> PyResult<Colouring> {
    match color {
        None => Ok(Colouring::Prefix),
        Some("order") => Ok(Colouring::Order { last, fills }),
        Some(other) => Err(PyValueError::new_err(format!(
            "color {other:?} is not known; give None (by prefix) or 'order'"
        ))),
    }
}

fn check_length(name: &str, length: usize, tasks: usize) -> PyResult<()> {
    if length == tasks {
        return Ok(());
    }
    let message = format!("{name} has {length} entries for {tasks} tasks; give one for each task");
    Err(PyValueError::new_err(message))
}

fn value_error(error: impl std::error::Error) -> PyErr {
    PyValueError::new_err(error.to_string())
}
