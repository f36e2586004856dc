//! The same tasks under other keys, or with other inputs. Nothing runs.

use std::collections::HashMap;

use oxidask_graph::{Op, OpKind};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};
use xxhash_rust::xxh3::xxh3_128;

use crate::arguments::Call;
use crate::delayed::Delayed;
use crate::graph::{PythonGraph, collect};
use crate::identity::Identity;

/// Tasks with the same keys in which those of `replacements` stand for the tasks of their keys.
#[pyfunction]
pub(crate) fn rewritten(
    py: Python<'_>,
    tasks: Vec<Py<Delayed>>,
    replacements: Vec<Py<Delayed>>,
) -> PyResult<Vec<Py<Delayed>>> {
    let mut replaced = HashMap::with_capacity(replacements.len());
    for task in replacements {
        replaced.insert(task.get().identity.hash(py)?, task);
    }
    let (graph, wanted) = collect(py, &tasks)?;
    let made = rewrite(py, &graph, |_, node, inputs, are_new| {
        let task = node.get();
        if let Some(replacement) = replaced.get(&task.identity.hash(py)?) {
            return Ok(replacement.clone_ref(py));
        }
        if !are_new {
            return Ok(node.clone_ref(py));
        }
        let call = task.call_with(py, inputs);
        let (identity, label) = (task.identity.clone_ref(py), task.label(py));
        Py::new(py, task.renamed(py, identity, label, call))
    })?;
    Ok(wanted.iter().map(|&task| made[task as usize].clone_ref(py)).collect())
}

/// Equal tasks under keys that follow from the old ones and `seed`; those of `omitted`, and what they
/// need, stay as they are. With `blocker`, a task and a function of two arguments that returns the
/// first, tasks of which no input was renamed wait for it too.
#[pyfunction]
#[pyo3(signature = (tasks, omitted, seed, blocker))]
pub(crate) fn cloned(
    py: Python<'_>,
    tasks: Vec<Py<Delayed>>,
    omitted: Vec<Py<Delayed>>,
    seed: &[u8],
    blocker: Option<(Py<Delayed>, Py<PyAny>)>,
) -> PyResult<Vec<Py<Delayed>>> {
    // What is omitted is collected first, so its tasks have the lowest numbers.
    let count = omitted.len();
    let mut roots = omitted;
    roots.extend(tasks);
    let (graph, wanted) = collect(py, &roots)?;
    let kept = wanted[..count].iter().max().map_or(0, |last| last + 1);
    let made = rewrite(py, &graph, |number, node, inputs, are_new| {
        let task = node.get();
        if number < kept {
            return Ok(node.clone_ref(py));
        }
        let (identity, mut label) = cloned_identity(py, task, seed)?;
        let mut call = task.call_with(py, inputs);
        if let Some((blocker, bind)) = &blocker
            && !are_new
        {
            // The function that is called first is another one, so the name must be written down.
            label = Some(label.map_or_else(
                || Ok::<_, PyErr>(PyString::intern(py, &task.prefix(py)?).unbind()),
                Ok,
            )?);
            call = bound(py, &call, blocker, bind);
        }
        Py::new(py, task.renamed(py, identity, label, call))
    })?;
    Ok(wanted[count..].iter().map(|&task| made[task as usize].clone_ref(py)).collect())
}

/// The key that `cloned` gives to the task of a key.
#[pyfunction]
pub(crate) fn clone_key<'py>(
    py: Python<'py>,
    key: Bound<'py, PyAny>,
    seed: &[u8],
) -> PyResult<Bound<'py, PyAny>> {
    let (identity, label) = cloned_name(py, &key, seed)?;
    Ok(identity.key(py, label.bind(py).to_str()?))
}

/// `bind(call, blocker)`.
fn bound(py: Python<'_>, call: &Call, blocker: &Py<Delayed>, bind: &Py<PyAny>) -> Call {
    let mut template = vec![Op::new(OpKind::Literal(0))];
    template.extend(call.template.iter().map(|op| op.with_literals_from(1)));
    template.push(Op::new(OpKind::Dependency(call.dependencies.len() as u32)));
    template.push(Op::new(OpKind::Call(2)));
    let mut literals = vec![bind.clone_ref(py)];
    literals.extend(call.literals.iter().map(|literal| literal.clone_ref(py)));
    let mut dependencies: Vec<_> =
        call.dependencies.iter().map(|task| task.clone_ref(py)).collect();
    dependencies.push(blocker.clone_ref(py));
    Call {
        template: template.into_boxed_slice(),
        literals: literals.into_boxed_slice(),
        dependencies: dependencies.into_boxed_slice(),
    }
}

type Label = Option<Py<PyString>>;

fn cloned_identity(py: Python<'_>, task: &Delayed, seed: &[u8]) -> PyResult<(Identity, Label)> {
    match &task.identity {
        Identity::Named(key) | Identity::Block { key, .. } => {
            let (identity, label) = cloned_name(py, key.bind(py), seed)?;
            Ok((identity, Some(label)))
        }
        Identity::Random(number) | Identity::Token(number) => {
            Ok((Identity::Token(mixed(*number, seed)), task.label(py)))
        }
    }
}

/// For a name `x` a key `x-…`; for a tuple the same with its first part changed.
fn cloned_name(
    py: Python<'_>,
    key: &Bound<'_, PyAny>,
    seed: &[u8],
) -> PyResult<(Identity, Py<PyString>)> {
    if let Ok(tuple) = key.cast::<PyTuple>()
        && let Ok(first) = tuple.get_item(0)
        && first.is_instance_of::<PyString>()
    {
        let (identity, label) = cloned_name(py, &first, seed)?;
        let mut parts: Vec<_> = tuple.iter().collect();
        parts[0] = identity.key(py, label.bind(py).to_str()?);
        let key = PyTuple::new(py, parts)?.into_any().unbind();
        return Ok((Identity::Named(key), label));
    }
    let prefix = py
        .import(intern!(py, "oxidask._names"))?
        .getattr(intern!(py, "prefix_of_key"))?
        .call1((key,))?
        .cast_into::<PyString>()?;
    let label = PyString::intern(py, prefix.to_str()?).unbind();
    let number = Identity::Named(key.clone().unbind()).hash(py)?;
    Ok((Identity::Token(mixed(number, seed)), label))
}

fn mixed(number: u128, seed: &[u8]) -> u128 {
    let mut bytes = number.to_le_bytes().to_vec();
    bytes.extend_from_slice(seed);
    xxh3_128(&bytes)
}

/// Goes through a graph, each task after its inputs. `new_task` gives the new task from the number of
/// the old one, the old one, its new inputs, and whether one of those is not the old one.
fn rewrite(
    py: Python<'_>,
    graph: &PythonGraph,
    mut new_task: impl FnMut(u32, &Py<Delayed>, Vec<Py<Delayed>>, bool) -> PyResult<Py<Delayed>>,
) -> PyResult<Vec<Py<Delayed>>> {
    let mut made: Vec<Py<Delayed>> = Vec::with_capacity(graph.len());
    let mut is_new: Vec<bool> = Vec::with_capacity(graph.len());
    let tasks = graph.tasks(py)?;
    for (number, node) in tasks.iter().enumerate() {
        let row = graph.inputs(number as u32);
        let are_new = row.iter().any(|&input| is_new[input as usize]);
        let inputs = row.iter().map(|&input| made[input as usize].clone_ref(py)).collect();
        let new = new_task(number as u32, node, inputs, are_new)?;
        is_new.push(!new.is(node));
        made.push(new);
    }
    Ok(made)
}
