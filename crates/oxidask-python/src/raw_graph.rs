//! Graphs that are dictionaries from keys to tasks, and tasks as plain values for pickling.
//!
//! In such a graph a tuple whose first element is callable is a call, lists nest, a key stands for
//! its result, and everything else is a value.

use std::collections::HashMap;

use oxidask_graph::{GraphError, Op, OpKind};
use pyo3::exceptions::{PyKeyError, PyRuntimeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};

use crate::arguments::{Call, CallBuilder};
use crate::delayed::{Delayed, Description, Kind};
use crate::graph_view::GraphView;
use crate::identity::{Identity, check_key};

/// The lazy value of a key in a graph.
pub(crate) fn task_of_graph(
    py: Python<'_>,
    key: &Bound<'_, PyAny>,
    graph: &Bound<'_, PyAny>,
    length: Option<u32>,
) -> PyResult<Delayed> {
    check_key(key, "Delayed(key=)")?;
    let found = if let Ok(view) = graph.cast::<GraphView>() {
        view.get().task(py, key)?
    } else {
        RawGraph::new(py, graph)?.build(key)?
    };
    let task = found.ok_or_else(|| not_in_graph(key, graph))?;
    task.get().copy_with_length(py, length)
}

/// The lazy values of several keys of one graph.
#[pyfunction]
pub(crate) fn tasks_of_graph<'py>(
    py: Python<'py>,
    keys: Vec<Bound<'py, PyAny>>,
    dsk: &Bound<'py, PyAny>,
) -> PyResult<Vec<Py<Delayed>>> {
    let view = dsk.cast::<GraphView>().ok();
    let mut raw = None;
    let mut tasks = Vec::with_capacity(keys.len());
    for key in &keys {
        check_key(key, "get(keys)")?;
        let found = if let Some(view) = view {
            view.get().task(py, key)?
        } else {
            if raw.is_none() {
                raw = Some(RawGraph::new(py, dsk)?);
            }
            let raw = raw.as_mut().expect("it was made above");
            match raw.find(key)? {
                Some(task) => Some(task),
                None => raw.build(key)?,
            }
        };
        tasks.push(found.ok_or_else(|| not_in_graph(key, dsk))?);
    }
    Ok(tasks)
}

fn not_in_graph(key: &Bound<'_, PyAny>, graph: &Bound<'_, PyAny>) -> PyErr {
    let key = key.repr().map_or_else(|_| "asked for".to_owned(), |key| key.to_string());
    PyKeyError::new_err(format!(
        "the key {key} is not in the graph of {} tasks; give one of its keys, or add a task for it",
        graph.len().unwrap_or_default()
    ))
}

struct RawGraph<'py> {
    py: Python<'py>,
    graph: Bound<'py, PyAny>,
    /// Tasks by the hash of their key.
    built: HashMap<isize, Vec<Built>>,
}

/// A key and its task.
type Built = (Py<PyAny>, Py<Delayed>);

/// A key whose inputs are being built.
struct OnPath<'py> {
    key: Bound<'py, PyAny>,
    value: Bound<'py, PyAny>,
    inputs: Vec<Bound<'py, PyAny>>,
    next: usize,
}

impl<'py> RawGraph<'py> {
    fn new(py: Python<'py>, graph: &Bound<'py, PyAny>) -> PyResult<Self> {
        let mapping = py.import(intern!(py, "collections.abc"))?.getattr("Mapping")?;
        if !graph.is_instance(&mapping)? {
            return Err(pyo3::exceptions::PyTypeError::new_err(format!(
                "a graph is a mapping from keys to tasks, not {} of type {}",
                graph.repr()?,
                graph.get_type().name()?
            )));
        }
        Ok(Self { py, graph: graph.clone(), built: HashMap::new() })
    }

    fn find(&self, key: &Bound<'py, PyAny>) -> PyResult<Option<Py<Delayed>>> {
        for (other, task) in self.built.get(&key.hash()?).into_iter().flatten() {
            if other.bind(self.py).eq(key)? {
                return Ok(Some(task.clone_ref(self.py)));
            }
        }
        Ok(None)
    }

    /// The task of a key, after all that it needs; `None` if the key is not in the graph.
    fn build(&mut self, key: &Bound<'py, PyAny>) -> PyResult<Option<Py<Delayed>>> {
        if !self.graph.contains(key)? {
            return Ok(None);
        }
        let on_path = PyDict::new(self.py);
        let mut path = vec![self.open(key, &on_path)?];
        while let Some(top) = path.last_mut() {
            if let Some(input) = top.inputs.get(top.next).cloned() {
                top.next += 1;
                if self.find(&input)?.is_some() {
                    continue;
                }
                if on_path.contains(&input)? {
                    return Err(cycle_error(&path, &input)?);
                }
                path.push(self.open(&input, &on_path)?);
            } else {
                let done = path.pop().expect("the loop looks at the last");
                on_path.del_item(&done.key)?;
                let task = self.task(&done)?;
                let hash = done.key.hash()?;
                self.built.entry(hash).or_default().push((done.key.unbind(), task));
            }
        }
        self.find(key)
    }

    fn open(&self, key: &Bound<'py, PyAny>, on_path: &Bound<'py, PyDict>) -> PyResult<OnPath<'py>> {
        on_path.set_item(key, true)?;
        let value = self.graph.get_item(key)?;
        let mut inputs = Vec::new();
        self.walk(&value, &mut |part| {
            if let Part::Key(key) = part {
                inputs.push(key);
            }
            Ok(())
        })?;
        Ok(OnPath { key: key.clone(), value, inputs, next: 0 })
    }

    fn task(&self, entry: &OnPath<'py>) -> PyResult<Py<Delayed>> {
        let mut builder = CallBuilder::new(self.py);
        self.walk(&entry.value, &mut |part| {
            match part {
                Part::Key(key) => {
                    let task = self.find(&key)?.expect("inputs are built first");
                    builder.push_dependency(task.bind(self.py));
                }
                Part::Value(value) => builder.push_literal(value),
                Part::Step(kind) => builder.push(kind),
            }
            Ok(())
        })?;
        let label = self
            .py
            .import(intern!(self.py, "oxidask._names"))?
            .getattr(intern!(self.py, "prefix_of_key"))?
            .call1((&entry.key,))?
            .cast_into::<PyString>()?;
        let description = Description {
            identity: Identity::Named(entry.key.clone().unbind()),
            kind: Kind::Call,
            label: Some(label.unbind()),
            length: None,
            origin: None,
            annotations: None,
        };
        Py::new(self.py, Delayed::new(description, builder.finish()))
    }

    /// Goes through the value of a key, in the order of a template.
    fn walk(
        &self,
        value: &Bound<'py, PyAny>,
        visit: &mut dyn FnMut(Part<'py>) -> PyResult<()>,
    ) -> PyResult<()> {
        enum Work<'py> {
            Value(Bound<'py, PyAny>),
            Function(Bound<'py, PyAny>),
            Step(OpKind),
        }
        let mut work = vec![Work::Value(value.clone())];
        while let Some(next) = work.pop() {
            let value = match next {
                Work::Step(kind) => {
                    visit(Part::Step(kind))?;
                    continue;
                }
                Work::Function(function) => {
                    visit(Part::Value(function))?;
                    continue;
                }
                Work::Value(value) => value,
            };
            if let Ok(tuple) = value.cast_exact::<PyTuple>()
                && tuple.get_item(0).is_ok_and(|first| first.is_callable())
            {
                work.push(Work::Step(OpKind::Call(tuple.len() as u32 - 1)));
                work.extend((1..tuple.len()).rev().map(|place| {
                    Work::Value(tuple.get_item(place).expect("the place is in the tuple"))
                }));
                work.push(Work::Function(tuple.get_item(0)?));
            } else if let Ok(list) = value.cast_exact::<PyList>() {
                work.push(Work::Step(OpKind::List(list.len() as u32)));
                work.extend(list.iter().collect::<Vec<_>>().into_iter().rev().map(Work::Value));
            } else if self.is_key(&value)? {
                visit(Part::Key(value))?;
            } else if let Some(keys) = self.inputs_of_foreign_task(&value)? {
                let run =
                    self.py.import(intern!(self.py, "oxidask._rebuild"))?.getattr("run_task")?;
                visit(Part::Value(run))?;
                visit(Part::Value(value))?;
                let count = keys.len() as u32;
                for key in keys {
                    visit(Part::Value(key.clone()))?;
                    visit(Part::Key(key))?;
                }
                visit(Part::Step(OpKind::Dict(count)))?;
                visit(Part::Step(OpKind::Call(2)))?;
            } else {
                visit(Part::Value(value))?;
            }
        }
        Ok(())
    }

    fn is_key(&self, value: &Bound<'py, PyAny>) -> PyResult<bool> {
        let may_be = value.is_instance_of::<PyString>()
            || value.is_instance_of::<PyTuple>()
            || value.is_instance_of::<PyInt>()
            || value.is_instance_of::<PyFloat>()
            || value.is_instance_of::<PyBytes>();
        Ok(may_be && value.hash().is_ok() && self.graph.contains(value)?)
    }

    /// Task objects of other libraries say what they need and are called with a dictionary of it.
    fn inputs_of_foreign_task(
        &self,
        value: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Vec<Bound<'py, PyAny>>>> {
        let py = self.py;
        if !is_foreign_task(value)? {
            return Ok(None);
        }
        let keys = value.getattr(intern!(py, "dependencies"))?.try_iter()?;
        Ok(Some(keys.collect::<PyResult<Vec<_>>>()?))
    }
}

/// Whether a value is a task object of another library, which would be run where it stands in a graph.
pub(crate) fn is_foreign_task(value: &Bound<'_, PyAny>) -> PyResult<bool> {
    let (py, kind) = (value.py(), value.get_type());
    Ok(value.is_callable()
        && kind.getattr_opt(intern!(py, "dependencies"))?.is_some()
        && kind.getattr_opt(intern!(py, "substitute"))?.is_some())
}

/// A part of a task's value.
enum Part<'py> {
    Key(Bound<'py, PyAny>),
    Value(Bound<'py, PyAny>),
    Step(OpKind),
}

/// Keys of a cycle that an error shows.
const SHOWN: usize = 12;

fn cycle_error(path: &[OnPath<'_>], input: &Bound<'_, PyAny>) -> PyResult<PyErr> {
    let mut begin = 0;
    for (place, entry) in path.iter().enumerate() {
        if entry.key.eq(input)? {
            begin = place;
        }
    }
    let mut keys = Vec::new();
    for entry in path[begin..].iter().take(SHOWN) {
        keys.push(entry.key.repr()?.to_string());
    }
    if path.len() - begin > SHOWN {
        keys.push(format!("… {} more …", path.len() - begin - SHOWN));
    }
    keys.push(input.repr()?.to_string());
    Ok(PyRuntimeError::new_err(GraphError::Cycle { keys }.to_string()))
}

/// A lazy value whose result is there already, under the key of `task`.
#[pyfunction]
pub(crate) fn persisted(
    py: Python<'_>,
    task: &Bound<'_, Delayed>,
    value: Bound<'_, PyAny>,
) -> PyResult<Delayed> {
    let mut builder = CallBuilder::new(py);
    builder.push_literal(value);
    task.get().with_call(py, builder.finish())
}

/// Writes tasks as plain values, each after what it needs; the last is the one asked for.
pub(crate) fn parts_of_task<'py>(
    py: Python<'py>,
    task: &Bound<'py, Delayed>,
) -> PyResult<Bound<'py, PyList>> {
    let (graph, _) = crate::graph::collect(py, &[task.clone().unbind()])?;
    let parts = PyList::empty(py);
    for (number, node) in graph.tasks(py)?.iter().enumerate() {
        let node = node.get();
        let steps: Vec<u8> = node.template.iter().flat_map(|op| op.bits().to_le_bytes()).collect();
        let inputs = graph.inputs(number as u32).to_vec();
        let literals = PyTuple::new(py, node.literals.iter().map(|literal| literal.bind(py)))?;
        let (tag, identity) = match &node.identity {
            Identity::Random(number) => (0, number.into_pyobject(py)?.into_any()),
            Identity::Token(token) => (1, token.into_pyobject(py)?.into_any()),
            Identity::Named(key) => (2, key.bind(py).clone()),
            Identity::Block { hash, key } => (3, (*hash, key).into_pyobject(py)?.into_any()),
        };
        parts.append((
            (tag, identity, node.kind_parts(), node.prefix(py)?),
            PyBytes::new(py, &steps),
            literals,
            inputs,
            node.length(),
            node.annotations.as_ref().map(|annotations| annotations.clone_ref(py)),
        ))?;
    }
    Ok(parts)
}

type Head<'py> = (u8, Bound<'py, PyAny>, (u8, Option<bool>, Option<u32>), Bound<'py, PyString>);

type Parts<'py> = (
    Head<'py>,
    Bound<'py, PyBytes>,
    Bound<'py, PyTuple>,
    Vec<u32>,
    Option<u32>,
    Option<Bound<'py, PyDict>>,
);

/// The inverse of `Delayed.__reduce__`.
#[pyfunction]
pub(crate) fn task_from_parts<'py>(
    py: Python<'py>,
    parts: &Bound<'py, PyList>,
) -> PyResult<Py<Delayed>> {
    let mut tasks: Vec<Py<Delayed>> = Vec::with_capacity(parts.len());
    for part in parts.iter() {
        let (head, steps, literals, inputs, length, annotations): Parts<'py> = part.extract()?;
        let (tag, identity, kind, label) = head;
        let identity = match tag {
            0 => Identity::Random(identity.extract()?),
            1 => Identity::Token(identity.extract()?),
            2 => Identity::Named(identity.unbind()),
            _ => {
                let (hash, key) = identity.extract()?;
                Identity::Block { hash, key }
            }
        };
        let steps = steps.as_bytes().chunks_exact(4);
        let template: Option<Vec<Op>> = steps
            .map(|bits| Op::from_bits(u32::from_le_bytes(bits.try_into().expect("4 bytes"))))
            .collect();
        let malformed = || PyValueError::new_err("the pickled task is damaged: pickle it again");
        let call = Call {
            template: template.ok_or_else(malformed)?.into_boxed_slice(),
            literals: literals.iter().map(Bound::unbind).collect(),
            dependencies: inputs
                .iter()
                .map(|&input| tasks.get(input as usize).map(|task| task.clone_ref(py)))
                .collect::<Option<_>>()
                .ok_or_else(malformed)?,
        };
        if !call.is_well_formed() {
            return Err(malformed());
        }
        let description = Description {
            identity,
            kind: Kind::from_parts(kind),
            label: Some(label.unbind()),
            length,
            origin: None,
            annotations: annotations.map(Bound::unbind),
        };
        tasks.push(Py::new(py, Delayed::new(description, call))?);
    }
    tasks.pop().ok_or_else(|| PyValueError::new_err("the pickled task is empty: pickle it again"))
}
