//! Where the tasks of a computation stand, as callbacks see it: under the names that Dask's state has.
//!
//! It follows what callbacks were told, not what the scheduler knows by now: a callback that was told
//! of the end of a task sees it as finished, and what ended since as running.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use oxidask_graph::Edges;
use pyo3::exceptions::PyKeyError;
use pyo3::prelude::*;
use pyo3::types::PySet;

use crate::graph::PythonGraph;
use crate::graph_view::GraphView;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Waiting,
    Ready,
    Running,
    /// It returned, or is a value that was there from the beginning.
    There,
    /// Its result was there, and nobody needs it any more.
    Released,
}

/// The states of all tasks of a computation.
#[pyclass(frozen, module = "oxidask._core")]
pub(crate) struct TaskStates {
    graph: Arc<PythonGraph>,
    view: GraphView,
    dependents: Edges,
    rank: Vec<u32>,
    is_data: Vec<bool>,
    is_wanted: Vec<bool>,
    inner: Mutex<Inner>,
}

struct Inner {
    stage: Vec<Stage>,
    /// Inputs that are missing.
    missing: Vec<u32>,
    /// Dependents that have not run.
    readers: Vec<u32>,
    results: HashMap<u32, Py<PyAny>>,
    waiting: usize,
    ready: usize,
    running: usize,
    /// Tasks, without data.
    finished: usize,
    released: usize,
}

/// A part of the state, by Dask's name for it.
#[derive(Clone, Copy)]
enum Part {
    Dependencies,
    Dependents,
    Waiting,
    WaitingData,
    Cache,
    Ready,
    Running,
    Finished,
    Released,
}

impl Part {
    fn from_name(name: &str) -> PyResult<Self> {
        Ok(match name {
            "dependencies" => Self::Dependencies,
            "dependents" => Self::Dependents,
            "waiting" => Self::Waiting,
            "waiting_data" => Self::WaitingData,
            "cache" => Self::Cache,
            "ready" => Self::Ready,
            "running" => Self::Running,
            "finished" => Self::Finished,
            "released" => Self::Released,
            _ => return Err(PyKeyError::new_err(name.to_owned())),
        })
    }
}

impl TaskStates {
    pub(crate) fn new(
        py: Python<'_>,
        graph: Arc<PythonGraph>,
        rank: Vec<u32>,
        wanted: &[u32],
    ) -> PyResult<Self> {
        let dependencies = graph.layer.dependencies();
        let dependents = dependencies.reversed();
        let tasks = graph.len() as u32;
        let is_data: Vec<bool> = (0..tasks).map(|task| graph.is_data(task)).collect();
        let mut is_wanted = vec![false; tasks as usize];
        for &task in wanted {
            is_wanted[task as usize] = true;
        }
        let missing = |task: u32| {
            let inputs = dependencies.row(task).iter();
            inputs.filter(|&&input| !is_data[input as usize]).count() as u32
        };
        let missing: Vec<u32> = (0..tasks).map(missing).collect();
        let readers = (0..tasks).map(|task| dependents.row(task).len() as u32).collect();
        let mut results = HashMap::new();
        let stage: Vec<Stage> = (0..tasks)
            .map(|task| match (is_data[task as usize], missing[task as usize]) {
                (true, _) => Stage::There,
                (false, 0) => Stage::Ready,
                (false, _) => Stage::Waiting,
            })
            .collect();
        for task in (0..tasks).filter(|&task| is_data[task as usize]) {
            let template = graph.layer.task(task).template;
            let value = crate::evaluate::evaluate(py, template, &graph.literals, |_| {
                unreachable!("data has no inputs")
            })?;
            results.insert(task, value);
        }
        let count = |wanted| stage.iter().filter(|&&stage| stage == wanted).count();
        let (waiting, ready) = (count(Stage::Waiting), count(Stage::Ready));
        let (running, finished, released) = (0, 0, 0);
        let inner =
            Inner { stage, missing, readers, results, waiting, ready, running, finished, released };
        let view = GraphView::of(Arc::clone(&graph));
        Ok(Self { graph, view, dependents, rank, is_data, is_wanted, inner: Mutex::new(inner) })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("nothing panics while the lock is held")
    }

    /// Whether a task is a value that is there from the beginning.
    pub(crate) fn is_data(&self, task: u32) -> bool {
        self.is_data[task as usize]
    }

    pub(crate) fn key<'py>(&self, py: Python<'py>, task: u32) -> PyResult<Bound<'py, PyAny>> {
        self.graph.node(task).key_object(py)
    }

    /// A task begins.
    pub(crate) fn begin(&self, task: u32) {
        let mut inner = self.lock();
        // One that is tried again runs already.
        if inner.stage[task as usize] == Stage::Ready {
            inner.stage[task as usize] = Stage::Running;
            inner.ready -= 1;
            inner.running += 1;
        }
    }

    /// A task has returned.
    pub(crate) fn end(&self, task: u32, result: Py<PyAny>) {
        let mut dropped = Vec::new();
        let mut inner = self.lock();
        if inner.stage[task as usize] != Stage::Running {
            drop(inner);
            return;
        }
        inner.running -= 1;
        inner.finished += 1;
        inner.stage[task as usize] = Stage::There;
        dropped.extend(inner.results.insert(task, result));
        for &dependent in self.dependents.row(task) {
            let missing = &mut inner.missing[dependent as usize];
            *missing -= 1;
            if *missing == 0 {
                inner.stage[dependent as usize] = Stage::Ready;
                inner.waiting -= 1;
                inner.ready += 1;
            }
        }
        for &input in self.graph.layer.dependencies().row(task) {
            inner.readers[input as usize] -= 1;
            if inner.readers[input as usize] == 0 && !self.is_wanted[input as usize] {
                inner.stage[input as usize] = Stage::Released;
                inner.released += 1;
                dropped.extend(inner.results.remove(&input));
            }
        }
        drop(inner);
        drop(dropped);
    }

    fn is_in(&self, inner: &Inner, part: Part, task: u32) -> bool {
        let stage = inner.stage[task as usize];
        match part {
            Part::Dependencies | Part::Dependents => true,
            Part::Waiting => stage == Stage::Waiting,
            Part::WaitingData => stage != Stage::Released,
            Part::Cache => stage == Stage::There,
            Part::Ready => stage == Stage::Ready,
            Part::Running => stage == Stage::Running,
            Part::Finished => {
                matches!(stage, Stage::There | Stage::Released) && !self.is_data(task)
            }
            Part::Released => stage == Stage::Released,
        }
    }

    /// The number of a key's task, if the part has it.
    fn find(&self, py: Python<'_>, part: Part, key: &Bound<'_, PyAny>) -> PyResult<Option<u32>> {
        let Some(task) = self.view.number(py, key)? else { return Ok(None) };
        Ok(self.is_in(&self.lock(), part, task).then_some(task))
    }
}

#[pymethods]
impl TaskStates {
    /// How many keys a part has.
    fn count(&self, part: &str) -> PyResult<usize> {
        let inner = self.lock();
        Ok(match Part::from_name(part)? {
            Part::Dependencies | Part::Dependents => self.rank.len(),
            Part::Waiting => inner.waiting,
            Part::WaitingData => self.rank.len() - inner.released,
            Part::Cache => inner.results.len(),
            Part::Ready => inner.ready,
            Part::Running => inner.running,
            Part::Finished => inner.finished,
            Part::Released => inner.released,
        })
    }

    /// Whether a part has a key.
    fn contains(&self, py: Python<'_>, part: &str, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        Ok(self.find(py, Part::from_name(part)?, key)?.is_some())
    }

    /// The keys of a part; the ready ones with the next to run last.
    fn keys<'py>(&self, py: Python<'py>, part: &str) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let part = Part::from_name(part)?;
        let inner = self.lock();
        let mut tasks: Vec<u32> =
            (0..self.rank.len() as u32).filter(|&task| self.is_in(&inner, part, task)).collect();
        drop(inner);
        if matches!(part, Part::Ready) {
            tasks.sort_unstable_by_key(|&task| std::cmp::Reverse(self.rank[task as usize]));
        }
        tasks.into_iter().map(|task| self.key(py, task)).collect()
    }

    /// The keys that a key is tied to: by `dependencies` and `dependents` all; by `waiting` the inputs
    /// that are missing, by `waiting_data` the dependents that have not run. None if the part does not
    /// have the key.
    fn links<'py>(
        &self,
        py: Python<'py>,
        part: &str,
        key: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PySet>>> {
        let part = Part::from_name(part)?;
        let Some(task) = self.find(py, part, key)? else { return Ok(None) };
        let row = match part {
            Part::Dependencies | Part::Waiting => self.graph.layer.dependencies().row(task),
            _ => self.dependents.row(task),
        };
        let is_pending = |stage| matches!(stage, Stage::Waiting | Stage::Ready | Stage::Running);
        let inner = self.lock();
        let tied: Vec<u32> = row
            .iter()
            .copied()
            .filter(|&other| match part {
                Part::Waiting | Part::WaitingData => is_pending(inner.stage[other as usize]),
                _ => true,
            })
            .collect();
        drop(inner);
        let keys =
            tied.into_iter().map(|other| self.key(py, other)).collect::<PyResult<Vec<_>>>()?;
        Ok(Some(PySet::new(py, keys)?))
    }

    /// The result of a key.
    fn result(&self, py: Python<'_>, key: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let task = self.view.number(py, key)?;
        let inner = self.lock();
        let result =
            task.and_then(|task| inner.results.get(&task)).map(|result| result.clone_ref(py));
        drop(inner);
        result.ok_or_else(|| PyKeyError::new_err(key.clone().unbind()))
    }
}
