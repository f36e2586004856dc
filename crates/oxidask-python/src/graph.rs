//! From lazy values to the graph of the tasks that they need.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use oxidask_graph::{BlockRef, Explicit, Op, OpKind, Segment, Slabs, TaskView, fuse_linear};
use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::arguments::Call;
use crate::by_address::ByAddress;
use crate::delayed::Delayed;
use crate::identity::Identity;
use crate::layer::Layer;
use crate::origin::Origin;

/// Tasks with their templates, literals and keys.
#[derive(Default)]
pub(crate) struct PythonGraph {
    pub(crate) layer: Explicit,
    pub(crate) literals: Vec<Py<PyAny>>,
    /// Whose task each is; they know the keys.
    pub(crate) owners: Owners,
    /// What each group is named after.
    pub(crate) groups: Vec<GroupName>,
    /// The number of each input, for tasks of which several inputs are one task by their keys.
    repeated_inputs: HashMap<u32, Vec<u32>>,
    /// How often a task may be tried again, where annotations say so.
    pub(crate) retries: Vec<(u32, u32)>,
    /// How long a task may run, where annotations say so.
    pub(crate) time_limits: Vec<(u32, Duration)>,
}

impl PythonGraph {
    pub(crate) fn len(&self) -> usize {
        self.layer.len()
    }

    /// Whose task it is.
    pub(crate) fn node(&self, task: u32) -> NodeRef<'_> {
        match &self.owners {
            Owners::Tasks(tasks) => NodeRef::Task(tasks[task as usize].get()),
            Owners::Segments { segments, owners } => {
                let place = segments.partition_point(|segment| segment.first <= task) - 1;
                let segment = &segments[place];
                let number = task - segment.first;
                let blocks = segment.blocks.as_ref();
                let block = blocks.map_or(number, |blocks| blocks[number as usize]);
                owners[segment.node as usize].node(block)
            }
            Owners::Slabs(_) => unreachable!("a slab knows which blocks its tasks make"),
        }
    }

    /// Whose task makes a block, of a graph that is written in slabs.
    pub(crate) fn node_of_block(&self, one: BlockRef) -> NodeRef<'_> {
        let Owners::Slabs(owners) = &self.owners else {
            unreachable!("only graphs that are written in slabs are asked by block")
        };
        owners[one.node as usize].node(one.block)
    }

    /// One task as a lazy value, with all that it needs.
    pub(crate) fn task(&self, py: Python<'_>, task: u32) -> PyResult<Py<Delayed>> {
        match &self.owners {
            Owners::Tasks(tasks) => Ok(tasks[task as usize].clone_ref(py)),
            _ => Ok(self.tasks(py)?.swap_remove(task as usize)),
        }
    }

    /// All tasks as lazy values; those of layers are written out as calls of their own.
    pub(crate) fn tasks(&self, py: Python<'_>) -> PyResult<Vec<Py<Delayed>>> {
        if let Owners::Tasks(tasks) = &self.owners {
            return Ok(tasks.iter().map(|task| task.clone_ref(py)).collect());
        }
        let mut made: Vec<Py<Delayed>> = Vec::with_capacity(self.len());
        for number in 0..self.len() as u32 {
            let view = self.layer.task(number);
            let mut literals = Vec::new();
            let template = view.template.0.iter().map(|op| match op.kind() {
                OpKind::Literal(literal) => {
                    literals.push(self.literals[literal as usize].clone_ref(py));
                    Op::new(OpKind::Literal(literals.len() as u32 - 1))
                }
                _ => *op,
            });
            let template = template.collect();
            let dependencies =
                view.dependencies.iter().map(|&task| made[task as usize].clone_ref(py)).collect();
            let call = Call { template, literals: literals.into_boxed_slice(), dependencies };
            let task = match self.node(number) {
                NodeRef::Task(task) => task.with_call(py, call)?,
                NodeRef::Block(layer, block) => layer.task(py, block, call)?,
            };
            made.push(Py::new(py, task)?);
        }
        Ok(made)
    }

    /// The numbers of a task's inputs, as the lazy value names them: some may be the same.
    pub(crate) fn inputs(&self, task: u32) -> &[u32] {
        match self.repeated_inputs.get(&task) {
            Some(inputs) => inputs,
            None => self.layer.task(task).dependencies,
        }
    }

    /// Whether a task is a value that is there without running anything.
    pub(crate) fn is_data(&self, task: u32) -> bool {
        is_data(self.layer.task(task))
    }

    /// The names of the groups.
    pub(crate) fn group_names(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        self.groups
            .iter()
            .map(|group| match group {
                GroupName::Task(task) => task.get().prefix(py),
                GroupName::Layer(layer) => Ok(layer.get().label.bind(py).to_cow()?.into_owned()),
            })
            .collect()
    }
}

/// Whether a task is a value that is there without running anything.
pub(crate) fn is_data(task: TaskView<'_>) -> bool {
    let is_call = |kind| matches!(kind, OpKind::Call(_) | OpKind::CallKeywords(_));
    task.dependencies.is_empty() && !task.template.0.iter().any(|op| is_call(op.kind()))
}

/// What a group is named after.
pub(crate) enum GroupName {
    /// One of its tasks.
    Task(Py<Delayed>),
    /// One of its layers.
    Layer(Py<Layer>),
}

/// Whose tasks a graph has.
pub(crate) enum Owners {
    /// A lazy value each.
    Tasks(Vec<Py<Delayed>>),
    /// Lazy values and layers, of which some have many tasks.
    Segments { segments: Vec<Segment>, owners: Vec<Owner> },
    /// The same, of tasks that are written in slabs.
    Slabs(Vec<Owner>),
}

impl Default for Owners {
    fn default() -> Self {
        Self::Tasks(Vec::new())
    }
}

/// What a node of a plan is.
pub(crate) enum Owner {
    Task(Py<Delayed>),
    Layer(Py<Layer>),
    /// It only stands between others.
    Nobody,
}

impl Owner {
    /// Whose task makes a block of it.
    fn node(&self, block: u32) -> NodeRef<'_> {
        match self {
            Self::Task(task) => NodeRef::Task(task.get()),
            Self::Layer(layer) => NodeRef::Block(layer.get(), block),
            Self::Nobody => unreachable!("what has no owner has no tasks"),
        }
    }

    /// What is said of its tasks.
    pub(crate) fn annotations(&self) -> Option<&Py<PyDict>> {
        match self {
            Self::Task(task) => task.get().annotations.as_ref(),
            Self::Layer(layer) => layer.get().annotations.as_ref(),
            Self::Nobody => None,
        }
    }
}

/// Whose task it is.
#[derive(Clone, Copy)]
pub(crate) enum NodeRef<'a> {
    Task(&'a Delayed),
    Block(&'a Layer, u32),
}

impl<'a> NodeRef<'a> {
    pub(crate) fn key_object(self, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        match self {
            Self::Task(task) => task.key_object(py),
            Self::Block(layer, block) => layer.key(py, block),
        }
    }

    pub(crate) fn key_text(self, py: Python<'_>) -> String {
        match self {
            Self::Task(task) => task.key_text(py),
            Self::Block(layer, block) => layer.key_text(block),
        }
    }

    /// A hash of the key, equal just for tasks with equal keys.
    pub(crate) fn hash(self, py: Python<'_>) -> PyResult<u128> {
        match self {
            Self::Task(task) => task.identity.hash(py),
            Self::Block(layer, block) => Ok(layer.identity(block)),
        }
    }

    /// Whether its key is not made of the name of its group and a number.
    pub(crate) fn is_named(self) -> bool {
        match self {
            Self::Task(task) => {
                matches!(task.identity, Identity::Named(_) | Identity::Block { .. })
            }
            Self::Block(..) => true,
        }
    }

    pub(crate) fn origin(self) -> Option<&'a Origin> {
        match self {
            Self::Task(task) => task.origin.as_ref(),
            Self::Block(layer, _) => layer.origin.as_ref(),
        }
    }

    pub(crate) fn annotations(self) -> Option<&'a Py<PyDict>> {
        match self {
            Self::Task(task) => task.annotations.as_ref(),
            Self::Block(layer, _) => layer.annotations.as_ref(),
        }
    }

    /// The lazy value, if the task is not a block of a layer.
    pub(crate) fn task(self) -> Option<&'a Delayed> {
        match self {
            Self::Task(task) => Some(task),
            Self::Block(..) => None,
        }
    }
}

/// What is to be run.
pub(crate) enum Collected {
    /// All tasks, and those that are wanted.
    Whole(PythonGraph, Vec<u32>),
    /// What the tasks have in common, and the tasks.
    Slabs(PythonGraph, Box<Slabs>),
}

/// Collects what `roots` need; many tasks that hang together like a tree are written in slabs.
pub(crate) fn collect_to_run(py: Python<'_>, roots: &[Py<Delayed>]) -> PyResult<Collected> {
    if roots.iter().any(|root| root.get().has_layers) {
        return crate::layered::collect_to_run(py, roots);
    }
    let (graph, wanted) = collect(py, roots)?;
    Ok(Collected::Whole(graph, wanted))
}

/// Collects what `roots` need, each task after all that it needs, and the tasks of the roots.
///
/// One walk over references with a stack of its own: linear in tasks and edges, whatever the depth.
pub(crate) fn collect(py: Python<'_>, roots: &[Py<Delayed>]) -> PyResult<(PythonGraph, Vec<u32>)> {
    if roots.iter().any(|root| root.get().has_layers) {
        return crate::layered::collect(py, roots);
    }
    let mut collector = Collector::new(py);
    let mut stack: Vec<(&Py<Delayed>, usize)> = Vec::new();
    for root in roots {
        if collector.find(root)?.is_none() {
            stack.push((root, 0));
        }
        while let Some((node, next)) = stack.last_mut() {
            let node: &Py<Delayed> = node;
            if let Some(dependency) = node.get().dependencies().get(*next) {
                *next += 1;
                if collector.find(dependency)?.is_none() {
                    stack.push((dependency, 0));
                }
            } else {
                stack.pop();
                collector.add(node)?;
            }
        }
    }
    let wanted = roots
        .iter()
        .map(|root| Ok(collector.find(root)?.expect("each root was added")))
        .collect::<PyResult<Vec<u32>>>()?;
    let mut graph = collector.graph;
    graph.owners = Owners::Tasks(collector.nodes);
    Ok((graph, wanted))
}

/// Equal tasks in which each chain of calls is one task.
#[pyfunction]
pub(crate) fn fused(py: Python<'_>, tasks: Vec<Py<Delayed>>) -> PyResult<Vec<Py<Delayed>>> {
    let (graph, wanted) = collect(py, &tasks)?;
    let tasks_of_graph = graph.tasks(py)?;
    let annotations_of = |task: u32| graph.node(task).annotations().map(|one| one.bind(py));
    let fusion = fuse_linear(&graph.layer, &wanted, |task, dependent| {
        // A value is not an argument: its readers must not write to it.
        if graph.is_data(task) {
            return false;
        }
        match (annotations_of(task), annotations_of(dependent)) {
            (None, None) => true,
            // Each of them has the time by itself.
            (Some(a), _) if has_time_limit(a) => false,
            (Some(a), Some(b)) => a.eq(b).unwrap_or(false),
            _ => false,
        }
    });
    let (layer, kept) = graph.layer.fused(&fusion);
    let mut made: Vec<Py<Delayed>> = Vec::with_capacity(kept.len());
    for (new, &old) in kept.iter().enumerate() {
        let view = layer.task(new as u32);
        let mut literals = Vec::new();
        let template = view.template.0.iter().map(|op| match op.kind() {
            OpKind::Literal(number) => {
                literals.push(graph.literals[number as usize].clone_ref(py));
                Op::new(OpKind::Literal(literals.len() as u32 - 1))
            }
            _ => *op,
        });
        let template = template.collect();
        let dependencies =
            view.dependencies.iter().map(|&task| made[task as usize].clone_ref(py)).collect();
        let call = Call { template, literals: literals.into_boxed_slice(), dependencies };
        made.push(Py::new(py, tasks_of_graph[old as usize].get().with_call(py, call)?)?);
    }
    let position: HashMap<u32, usize> =
        kept.iter().enumerate().map(|(new, &old)| (old, new)).collect();
    Ok(wanted.iter().map(|task| made[position[task]].clone_ref(py)).collect())
}

struct Collector<'py> {
    py: Python<'py>,
    graph: PythonGraph,
    nodes: Vec<Py<Delayed>>,
    numbers: Numbers,
    /// Tasks by the hash of their key, where several lazy values may stand for one task.
    shared: HashMap<u128, u32>,
    /// Tasks by the number in the text of their key, once a key was given that looks like one made.
    rendered: Option<HashMap<u128, Vec<u32>>>,
    groups: HashMap<(usize, usize), u32>,
    last_group: ((usize, usize), u32),
    row: Vec<u32>,
}

impl<'py> Collector<'py> {
    fn new(py: Python<'py>) -> Self {
        Self {
            py,
            graph: PythonGraph::default(),
            nodes: Vec::new(),
            numbers: Numbers::new(),
            shared: HashMap::new(),
            rendered: None,
            groups: HashMap::new(),
            last_group: ((usize::MAX, usize::MAX), 0),
            row: Vec::new(),
        }
    }

    /// The number of a task in the graph, if it was added.
    fn find(&mut self, node: &Py<Delayed>) -> PyResult<Option<u32>> {
        let task = node.get();
        if let Some(number) = self.numbers.get(node, &self.nodes) {
            return Ok(Some(number));
        }
        if let Some(found) = self.find_rendered(task)? {
            return Ok(Some(found));
        }
        if matches!(task.identity, Identity::Random(_)) || self.shared.is_empty() {
            return Ok(None);
        }
        let Some(&found) = self.shared.get(&task.identity.hash(self.py)?) else { return Ok(None) };
        if let Identity::Named(_) = task.identity {
            self.check_same(task, found)?;
        }
        Ok(Some(found))
    }

    /// The number of a task whose key is the same text though one of the two keys was made and the
    /// other given, as in graphs that are dictionaries with tasks of lazy values in them.
    fn find_rendered(&mut self, task: &Delayed) -> PyResult<Option<u32>> {
        let py = self.py;
        if self.rendered.is_none() {
            if !matches!(task.identity, Identity::Named(_)) || task.identity.number(py).is_none() {
                return Ok(None);
            }
            let mut rendered: HashMap<u128, Vec<u32>> = HashMap::new();
            for (index, node) in self.nodes.iter().enumerate() {
                if let Some(number) = node.get().identity.number(py) {
                    rendered.entry(number).or_default().push(index as u32);
                }
            }
            self.rendered = Some(rendered);
        }
        let (Some(rendered), Some(number)) = (&self.rendered, task.identity.number(py)) else {
            return Ok(None);
        };
        for &found in rendered.get(&number).into_iter().flatten() {
            if self.nodes[found as usize].get().key_object(py)?.eq(task.key_object(py)?)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Two lazy values with one key given by the user must not be known to differ.
    fn check_same(&self, task: &Delayed, other: u32) -> PyResult<()> {
        let py = self.py;
        let other = self.nodes[other as usize].get();
        let differs = task.template != other.template
            || task.dependencies().len() != other.dependencies().len()
            || task.literals.iter().zip(&other.literals).any(|(a, b)| {
                let (a, b) = (a.bind(py), b.bind(py));
                !a.is(b) && is_plain(a) && is_plain(b) && !a.eq(b).unwrap_or(true)
            });
        if differs {
            return Err(PyValueError::new_err(format!(
                "the key {} is given to two different tasks of one graph; a key names one result, \
                 so give one of them another dask_key_name",
                task.key_object(py)?.repr()?
            )));
        }
        Ok(())
    }

    fn add(&mut self, node: &Py<Delayed>) -> PyResult<()> {
        let task = node.get();
        let index = self.nodes.len() as u32;
        let mut row = std::mem::take(&mut self.row);
        row.clear();
        for dependency in task.dependencies() {
            row.push(self.find(dependency)?.expect("a task is added after what it needs"));
        }
        let literals_from = self.graph.literals.len() as u32;
        self.graph.literals.extend(task.literals.iter().map(|literal| literal.clone_ref(self.py)));
        let group = self.group_of(node);
        if has_repeats(&row) {
            self.graph.repeated_inputs.insert(index, row.clone());
            let (row, template) = merge_repeats(&row, &task.template);
            self.graph.layer.push(row, &template, literals_from, group);
        } else {
            self.graph.layer.push(row.iter().copied(), &task.template, literals_from, group);
        }
        self.row = row;
        self.numbers.set(node, index);
        if !matches!(task.identity, Identity::Random(_)) {
            self.shared.insert(task.identity.hash(self.py)?, index);
        }
        if let Some(rendered) = &mut self.rendered
            && let Some(number) = task.identity.number(self.py)
        {
            rendered.entry(number).or_default().push(index);
        }
        if let Some(annotations) = &task.annotations {
            let annotations = annotations.bind(self.py);
            if let Some(times) = retries_of(annotations)? {
                self.graph.retries.push((index, times));
            }
            if let Some(time) = time_limit_of(annotations)? {
                self.graph.time_limits.push((index, time));
            }
        }
        self.nodes.push(node.clone_ref(self.py));
        Ok(())
    }

    fn group_of(&mut self, node: &Py<Delayed>) -> u32 {
        let key = node.get().group_key();
        if self.last_group.0 == key {
            return self.last_group.1;
        }
        let next = self.graph.groups.len() as u32;
        let group = *self.groups.entry(key).or_insert(next);
        if group == next {
            self.graph.groups.push(GroupName::Task(node.clone_ref(self.py)));
        }
        self.last_group = (key, group);
        group
    }
}

/// Whether a walk has the places in the tasks.
static ARE_PLACES_TAKEN: AtomicBool = AtomicBool::new(false);

/// The numbers of the tasks that a walk has added.
///
/// A task has a place for one number, which costs nothing to find. One walk at a time has these
/// places; another that runs beside it, in another thread, keeps its numbers in a table.
enum Numbers {
    InTasks,
    InTable(ByAddress<u32>),
}

impl Numbers {
    fn new() -> Self {
        if ARE_PLACES_TAKEN.swap(true, Ordering::Acquire) {
            Self::InTable(ByAddress::default())
        } else {
            Self::InTasks
        }
    }

    fn get(&self, node: &Py<Delayed>, nodes: &[Py<Delayed>]) -> Option<u32> {
        match self {
            Self::InTasks => {
                let number = node.get().place.load(Ordering::Relaxed);
                // It may have been left there by an earlier walk.
                nodes.get(number as usize).filter(|other| other.is(node)).map(|_| number)
            }
            Self::InTable(numbers) => numbers.get(&(node.as_ptr() as usize)).copied(),
        }
    }

    fn set(&mut self, node: &Py<Delayed>, number: u32) {
        match self {
            Self::InTasks => node.get().place.store(number, Ordering::Relaxed),
            Self::InTable(numbers) => {
                numbers.insert(node.as_ptr() as usize, number);
            }
        }
    }
}

impl Drop for Numbers {
    fn drop(&mut self) {
        if matches!(self, Self::InTasks) {
            ARE_PLACES_TAKEN.store(false, Ordering::Release);
        }
    }
}

/// In a child process: a walk of a thread that was not copied will not give the places back.
pub(crate) fn forget_walks() {
    ARE_PLACES_TAKEN.store(false, Ordering::Release);
}

/// How often a task may be tried again, if its annotations say so.
pub(crate) fn retries_of(annotations: &Bound<'_, PyDict>) -> PyResult<Option<u32>> {
    match annotations.get_item(intern!(annotations.py(), "retries"))? {
        Some(retries) if !retries.is_callable() => Ok(Some(retries.extract()?)),
        _ => Ok(None),
    }
}

/// Whether annotations say how long a task may run.
pub(crate) fn has_time_limit(annotations: &Bound<'_, PyDict>) -> bool {
    annotations.contains(intern!(annotations.py(), "timeout")).unwrap_or(true)
}

/// How long a task may run, if its annotations say so.
pub(crate) fn time_limit_of(annotations: &Bound<'_, PyDict>) -> PyResult<Option<Duration>> {
    let py = annotations.py();
    let Some(timeout) = annotations.get_item(intern!(py, "timeout"))? else { return Ok(None) };
    let base = py.import(intern!(py, "oxidask.base"))?;
    let seconds = base.call_method1(intern!(py, "_time_limit_of"), (timeout,))?;
    let seconds: Option<f64> = seconds.extract()?;
    Ok(seconds.map(Duration::from_secs_f64))
}

/// Whether comparing a value runs no code of the user and costs little.
fn is_plain(value: &Bound<'_, PyAny>) -> bool {
    use pyo3::types::{PyBool, PyBytes, PyFloat, PyInt, PyString};
    value.is_exact_instance_of::<PyInt>()
        || value.is_exact_instance_of::<PyString>()
        || value.is_exact_instance_of::<PyFloat>()
        || value.is_exact_instance_of::<PyBytes>()
        || value.is_exact_instance_of::<PyBool>()
        || value.is_none()
}

/// Whether two inputs of a task are the same one. A row is in rising order of creation nearly
/// always, so this is nearly always one pass.
fn has_repeats(row: &[u32]) -> bool {
    if row.windows(2).all(|pair| pair[0] < pair[1]) {
        return false;
    }
    let mut sorted = row.to_vec();
    sorted.sort_unstable();
    sorted.windows(2).any(|pair| pair[0] == pair[1])
}

/// A row in which each input stands once, and the template that fits it.
fn merge_repeats(row: &[u32], template: &[Op]) -> (Vec<u32>, Vec<Op>) {
    let mut merged = Vec::new();
    let mut place_of: HashMap<u32, u32> = HashMap::new();
    let new_place: Vec<u32> = row
        .iter()
        .map(|&input| {
            *place_of.entry(input).or_insert_with(|| {
                merged.push(input);
                merged.len() as u32 - 1
            })
        })
        .collect();
    let template = template
        .iter()
        .map(|op| match op.kind() {
            OpKind::Dependency(place) => Op::new(OpKind::Dependency(new_place[place as usize])),
            _ => *op,
        })
        .collect();
    (merged, template)
}
