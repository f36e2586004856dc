//! A collected graph as a read-only mapping from keys to tasks, in the form that other tools read:
//! a task is a tuple of a callable and its arguments, a key stands for its result.

use std::sync::Arc;

use oxidask_graph::{OpKind, order};
use pyo3::exceptions::{PyIndexError, PyKeyError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyList, PyTuple};

use crate::delayed::Delayed;
use crate::graph::{PythonGraph, collect};
use crate::raw_graph::is_foreign_task;

/// Key as text, prefix, whether it is given data, inputs, and place in the order to run.
type DrawnTask = (String, String, bool, Vec<u32>, u32);

/// The graph of lazy values, as a mapping.
#[pyclass(frozen, mapping, module = "oxidask._core")]
pub(crate) struct GraphView {
    graph: Arc<PythonGraph>,
    /// Blocks that were asked for and are blocks of other layers, too, with their tasks.
    aliases: Vec<(Py<Delayed>, u32)>,
    /// Number of the task of each key.
    numbers: PyOnceLock<Py<PyDict>>,
}

#[pymethods]
impl GraphView {
    #[new]
    fn new(py: Python<'_>, tasks: Vec<Py<Delayed>>) -> PyResult<Self> {
        let (graph, wanted) = collect(py, &tasks)?;
        let mut aliases = Vec::new();
        for (task, number) in tasks.into_iter().zip(wanted) {
            if task.get().identity.hash(py)? != graph.node(number).hash(py)? {
                aliases.push((task, number));
            }
        }
        Ok(Self { graph: Arc::new(graph), aliases, numbers: PyOnceLock::new() })
    }

    fn __len__(&self) -> usize {
        self.graph.len() + self.aliases.len()
    }

    fn __contains__(&self, py: Python<'_>, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        Ok(self.number(py, key)?.is_some())
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(self.numbers(py)?.as_any().try_iter()?.into_any())
    }

    fn __getitem__<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        match self.number(py, key)? {
            Some(task) => self.expression(py, task),
            None => Err(PyKeyError::new_err(key.clone().unbind())),
        }
    }

    /// The lazy value of a key, or None.
    pub(crate) fn task<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Py<Delayed>>> {
        let Some(number) = self.number(py, key)? else { return Ok(None) };
        Ok(Some(self.graph.task(py, number)?))
    }

    /// For each key, its task's place in the order to run.
    fn ranks<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let ranks = PyDict::new(py);
        for (task, rank) in (0..).zip(self.rank()) {
            ranks.set_item(self.graph.node(task).key_object(py)?, rank)?;
        }
        Ok(ranks)
    }

    /// The keys of tasks by their numbers.
    fn keys_of<'py>(&self, py: Python<'py>, tasks: Vec<u32>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let key = |task: u32| {
            if task as usize >= self.graph.len() {
                let message = format!("there is no task {task} of {}", self.graph.len());
                return Err(PyIndexError::new_err(message));
            }
            self.graph.node(task).key_object(py)
        };
        tasks.into_iter().map(key).collect()
    }

    /// For each task, in order of the graph: key as text, prefix, whether it is given data, the
    /// numbers of its inputs, and its place in the order to run.
    fn drawing(&self, py: Python<'_>) -> PyResult<Vec<DrawnTask>> {
        let rank = self.rank();
        let names = self.graph.group_names(py)?;
        (0..self.graph.len() as u32)
            .map(|task| {
                let view = self.graph.layer.task(task);
                let calls = view
                    .template
                    .0
                    .iter()
                    .any(|op| matches!(op.kind(), OpKind::Call(_) | OpKind::CallKeywords(_)));
                let key = self.graph.node(task).key_text(py);
                let prefix = names[view.group as usize].clone();
                Ok((key, prefix, !calls, view.dependencies.to_vec(), rank[task as usize]))
            })
            .collect()
    }
}

impl GraphView {
    pub(crate) fn of(graph: Arc<PythonGraph>) -> Self {
        Self { graph, aliases: Vec::new(), numbers: PyOnceLock::new() }
    }

    fn rank(&self) -> Vec<u32> {
        let dependencies = self.graph.layer.dependencies();
        let order = order(dependencies, &dependencies.reversed());
        order.expect("a task is collected behind what it needs, so there is no cycle").rank
    }

    fn numbers<'py>(&self, py: Python<'py>) -> PyResult<&Bound<'py, PyDict>> {
        let numbers = self.numbers.get_or_try_init(py, || {
            let numbers = PyDict::new(py);
            for number in 0..self.graph.len() as u32 {
                numbers.set_item(self.graph.node(number).key_object(py)?, number)?;
            }
            for (task, number) in &self.aliases {
                numbers.set_item(task.get().key_object(py)?, number)?;
            }
            Ok::<_, PyErr>(numbers.unbind())
        })?;
        Ok(numbers.bind(py))
    }

    /// The number of the task of a key.
    pub(crate) fn number(&self, py: Python<'_>, key: &Bound<'_, PyAny>) -> PyResult<Option<u32>> {
        if key.hash().is_err() {
            return Ok(None);
        }
        self.numbers(py)?.get_item(key)?.map(|number| number.extract()).transpose()
    }

    /// A task as nested tuples.
    fn expression<'py>(&self, py: Python<'py>, task: u32) -> PyResult<Bound<'py, PyAny>> {
        let view = self.graph.layer.task(task);
        let mut stack: Vec<Bound<'py, PyAny>> = Vec::new();
        // Functions of calls are not arguments: they stand first in a tuple, and are not quoted.
        let functions = functions_of(view.template.0.iter().map(|op| op.kind()));
        for (step, op) in view.template.0.iter().enumerate() {
            let value = match op.kind() {
                OpKind::Dependency(place) => {
                    let input = view.dependencies[place as usize];
                    self.graph.node(input).key_object(py)?
                }
                OpKind::Literal(number) => {
                    let literal = self.graph.literals[number as usize].bind(py).clone();
                    if functions[step] { literal } else { self.quoted(py, literal)? }
                }
                OpKind::List(len) => {
                    let parts = stack.split_off(stack.len() - len as usize);
                    PyList::new(py, parts)?.into_any()
                }
                kind @ (OpKind::Tuple(len) | OpKind::Set(len)) => {
                    let parts = stack.split_off(stack.len() - len as usize);
                    let make = if matches!(kind, OpKind::Set(_)) { "set" } else { "tuple" };
                    let make = py.import(intern!(py, "builtins"))?.getattr(make)?;
                    (make, PyList::new(py, parts)?).into_pyobject(py)?.into_any()
                }
                OpKind::Dict(pairs) => {
                    let parts = stack.split_off(stack.len() - 2 * pairs as usize);
                    let pairs = parts.chunks_exact(2).map(|pair| PyList::new(py, pair));
                    let pairs = PyList::new(py, pairs.collect::<PyResult<Vec<_>>>()?)?;
                    (py.get_type::<PyDict>(), pairs).into_pyobject(py)?.into_any()
                }
                OpKind::Slice => {
                    let mut parts = stack.split_off(stack.len() - 3);
                    parts.insert(0, py.get_type::<pyo3::types::PySlice>().into_any());
                    PyTuple::new(py, parts)?.into_any()
                }
                OpKind::Call(arguments) => {
                    let parts = stack.split_off(stack.len() - arguments as usize - 1);
                    PyTuple::new(py, parts)?.into_any()
                }
                OpKind::CallKeywords(arguments) => {
                    let names = stack.pop().expect("keyword names stand before the call");
                    let mut parts = stack.split_off(stack.len() - arguments as usize - 1);
                    let names = names.cast_into::<PyTuple>()?;
                    let values = parts.split_off(parts.len() - names.len());
                    let pairs = names
                        .iter()
                        .zip(values)
                        .map(|(name, value)| PyList::new(py, [name, value]));
                    let pairs = PyList::new(py, pairs.collect::<PyResult<Vec<_>>>()?)?;
                    let function = parts.remove(0);
                    let apply = py.import(intern!(py, "oxidask._rebuild"))?.getattr("apply")?;
                    let keywords = (py.get_type::<PyDict>(), pairs);
                    (apply, function, PyList::new(py, parts)?, keywords)
                        .into_pyobject(py)?
                        .into_any()
                }
            };
            stack.push(value);
        }
        Ok(stack.pop().expect("a well-formed template leaves one value"))
    }

    /// A value in a form that is not taken for a key or a task.
    fn quoted<'py>(
        &self,
        py: Python<'py>,
        value: Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let looks_like_task = value
            .cast::<PyTuple>()
            .is_ok_and(|tuple| tuple.get_item(0).is_ok_and(|first| first.is_callable()));
        if !looks_like_task
            && !value.is_instance_of::<PyList>()
            && self.number(py, &value)?.is_none()
            && !is_foreign_task(&value)?
        {
            return Ok(value);
        }
        let quote =
            py.import(intern!(py, "oxidask._rebuild"))?.getattr("Literal")?.call1((value,))?;
        Ok(PyTuple::new(py, [quote])?.into_any())
    }
}

/// Which steps push the function of a call or the names of its keywords.
fn functions_of(kinds: impl ExactSizeIterator<Item = OpKind>) -> Vec<bool> {
    let mut is_function = vec![false; kinds.len()];
    // The step that pushed each value on the stack.
    let mut stack: Vec<usize> = Vec::new();
    for (step, kind) in kinds.enumerate() {
        let pops = match kind {
            OpKind::Dependency(_) | OpKind::Literal(_) => 0,
            OpKind::List(len) | OpKind::Tuple(len) | OpKind::Set(len) => len as usize,
            OpKind::Dict(pairs) => 2 * pairs as usize,
            OpKind::Slice => 3,
            OpKind::Call(arguments) => {
                is_function[stack[stack.len() - arguments as usize - 1]] = true;
                arguments as usize + 1
            }
            OpKind::CallKeywords(arguments) => {
                is_function[stack[stack.len() - arguments as usize - 2]] = true;
                is_function[stack[stack.len() - 1]] = true;
                arguments as usize + 2
            }
        };
        stack.truncate(stack.len() - pops);
        stack.push(step);
    }
    is_function
}
