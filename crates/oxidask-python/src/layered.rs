//! From lazy values that need layers to the graph of their tasks.
//!
//! [`collect`] walks like its namesake in `graph.rs`, but writes a [`Plan`] first: only when all
//! layers are known is it known which of them can be one, and which of their blocks are needed.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use oxidask_graph::{BlockRef, Blocks, Input, Op, OpKind, Plan, Step};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::by_address::ByAddress;
use crate::delayed::{Delayed, Kind};
use crate::graph::{
    Collected, GroupName, NodeRef, Owner, Owners, PythonGraph, has_time_limit, retries_of,
    time_limit_of,
};
use crate::identity::Identity;
use crate::layer::{Body, Layer, LayerCall, Source};

/// A lazy value, or a layer.
enum Item {
    Task(Py<Delayed>),
    Layer(Py<Layer>),
}

/// Collects what `roots` need, and the tasks of the roots.
pub(crate) fn collect(py: Python<'_>, roots: &[Py<Delayed>]) -> PyResult<(PythonGraph, Vec<u32>)> {
    let (graph, plan, owners, wanted) = collect_plan(py, roots)?;
    write_whole(py, graph, &plan, owners, &wanted)
}

/// Collects what `roots` need; many tasks that hang together like a tree are written in slabs.
pub(crate) fn collect_to_run(py: Python<'_>, roots: &[Py<Delayed>]) -> PyResult<Collected> {
    let (mut graph, plan, owners, wanted) = collect_plan(py, roots)?;
    // Tasks that are tried again, or stopped, are known by their numbers from the start.
    let mut is_special = false;
    for annotations in owners.iter().filter_map(Owner::annotations) {
        let annotations = annotations.bind(py);
        is_special |= retries_of(annotations)?.is_some() || time_limit_of(annotations)?.is_some();
    }
    let plan = if is_special { Err(plan) } else { py.detach(|| plan.slabs(&wanted)) };
    match plan {
        Ok(slabs) => {
            graph.owners = Owners::Slabs(owners);
            Ok(Collected::Slabs(graph, Box::new(slabs)))
        }
        Err(plan) => {
            let (graph, wanted) = write_whole(py, graph, &plan, owners, &wanted)?;
            Ok(Collected::Whole(graph, wanted))
        }
    }
}

/// What one part of a plan is: its name, its blocks along each axis, how many are needed, whether
/// they are tasks, the functions that a task calls in order, and which parts it reads.
type PartOfPlan = (Option<String>, Vec<u32>, usize, bool, Vec<Py<PyAny>>, Vec<u32>);

/// What would be run for `tasks`, each part behind what it reads, and the numbers of the parts.
#[pyfunction]
pub(crate) fn outline(py: Python<'_>, tasks: Vec<Py<Delayed>>) -> PyResult<Vec<(u32, PartOfPlan)>> {
    let (graph, plan, owners, wanted) = collect_plan(py, &tasks)?;
    let parts = py.detach(|| plan.outline(&wanted)).into_iter().map(|part| {
        let name = match &owners[part.node as usize] {
            Owner::Layer(layer) => Some(layer.get().label.bind(py).to_cow()?.into_owned()),
            Owner::Task(task) => Some(task.get().key_text(py)),
            Owner::Nobody => None,
        };
        let literal = |&number: &u32| graph.literals[number as usize].clone_ref(py);
        let functions = part.functions.iter().map(literal).collect();
        let described = (name, part.grid, part.blocks, part.has_tasks, functions, part.inputs);
        Ok((part.node, described))
    });
    parts.collect()
}

/// Writes all tasks of a plan.
fn write_whole(
    py: Python<'_>,
    mut graph: PythonGraph,
    plan: &Plan,
    owners: Vec<Owner>,
    wanted: &[BlockRef],
) -> PyResult<(PythonGraph, Vec<u32>)> {
    let expanded = py.detach(|| plan.expand(wanted));
    graph.layer = expanded.layer;
    graph.owners = Owners::Segments { segments: expanded.segments, owners };
    note_annotations(py, &mut graph)?;
    Ok((graph, expanded.wanted))
}

/// The plan of what `roots` need, the layers joined, with all else that the graph has, whose each
/// node is, and the blocks that the roots are.
fn collect_plan(
    py: Python<'_>,
    roots: &[Py<Delayed>],
) -> PyResult<(PythonGraph, Plan, Vec<Owner>, Vec<BlockRef>)> {
    let mut collector = Collector {
        py,
        plan: Plan::default(),
        graph: PythonGraph::default(),
        owners: Vec::new(),
        tasks: ByAddress::default(),
        layers: ByAddress::default(),
        same_tasks: HashMap::new(),
        same_layers: HashMap::new(),
        groups: HashMap::new(),
        terms: Vec::new(),
    };
    let mut stack: Vec<(Item, usize)> = Vec::new();
    for root in roots {
        stack.push((Item::Task(root.clone_ref(py)), 0));
        while let Some((item, next)) = stack.last_mut() {
            if *next == 0 && collector.is_known(item)? {
                stack.pop();
            } else if let Some(child) = child_of(py, item, *next) {
                *next += 1;
                stack.push((child, 0));
            } else {
                let (item, _) = stack.pop().expect("it was looked at just now");
                match item {
                    Item::Task(task) => collector.add_task(&task)?,
                    Item::Layer(layer) => collector.add_layer(&layer),
                }
            }
        }
    }
    let wanted: Vec<BlockRef> = roots.iter().map(|root| collector.block_of(root)).collect();
    let Collector { mut plan, graph, owners, .. } = collector;
    py.detach(|| plan.fuse(&wanted));
    Ok((graph, plan, owners, wanted))
}

/// What an item needs, by number.
fn child_of(py: Python<'_>, item: &Item, number: usize) -> Option<Item> {
    let layer = match item {
        Item::Task(task) => {
            let task = task.get();
            return match &task.kind {
                Kind::Block { layer, .. } => {
                    (number == 0).then(|| Item::Layer(layer.clone_ref(py)))
                }
                _ => task.dependencies().get(number).map(|one| Item::Task(one.clone_ref(py))),
            };
        }
        Item::Layer(layer) => layer.get(),
    };
    match &layer.body {
        Body::Call(call) => call.inputs.get(number).map(|input| match &input.source {
            Source::Layer(layer) => Item::Layer(layer.clone_ref(py)),
            Source::Task(task) => Item::Task(task.clone_ref(py)),
        }),
        Body::Given(tasks) => tasks.get(number).map(|task| Item::Task(task.clone_ref(py))),
        Body::Joined { parts, .. } => parts.get(number).map(|part| Item::Layer(part.clone_ref(py))),
    }
}

/// Notes how often tasks may be tried again, and how long they may run, where annotations say so.
fn note_annotations(py: Python<'_>, graph: &mut PythonGraph) -> PyResult<()> {
    let Owners::Segments { segments, .. } = &graph.owners else { return Ok(()) };
    let (mut retries, mut time_limits) = (Vec::new(), Vec::new());
    for (place, segment) in segments.iter().enumerate() {
        let end = segments.get(place + 1).map_or(graph.layer.len() as u32, |next| next.first);
        let node: NodeRef<'_> = graph.node(segment.first);
        let Some(annotations) = node.annotations() else { continue };
        let annotations = annotations.bind(py);
        if let Some(times) = retries_of(annotations)? {
            retries.extend((segment.first..end).map(|task| (task, times)));
        }
        if let Some(time) = time_limit_of(annotations)? {
            time_limits.extend((segment.first..end).map(|task| (task, time)));
        }
    }
    (graph.retries, graph.time_limits) = (retries, time_limits);
    Ok(())
}

struct Collector<'py> {
    py: Python<'py>,
    plan: Plan,
    graph: PythonGraph,
    /// Whose each node of the plan is.
    owners: Vec<Owner>,
    /// Blocks of the plan by the address of the lazy value.
    tasks: ByAddress<BlockRef>,
    /// Nodes of the plan by the address of the layer.
    layers: ByAddress<u32>,
    /// Tasks by the hash of their key, where several lazy values may stand for one task.
    same_tasks: HashMap<u128, BlockRef>,
    /// Layers by the hash of their name.
    same_layers: HashMap<u128, u32>,
    groups: HashMap<(usize, usize), u32>,
    /// Annotations of layers, by their number less one; those that no other layer shares are missing.
    terms: Vec<Option<Py<PyDict>>>,
}

impl Collector<'_> {
    /// Whether an item is in the plan, by itself or as another one of the same key.
    fn is_known(&mut self, item: &Item) -> PyResult<bool> {
        match item {
            Item::Task(task) => {
                let address = task.as_ptr() as usize;
                if self.tasks.contains_key(&address) {
                    return Ok(true);
                }
                if matches!(task.get().identity, Identity::Random(_)) {
                    return Ok(false);
                }
                let same = self.same_tasks.get(&task.get().identity.hash(self.py)?);
                if let Some(&block) = same {
                    self.tasks.insert(address, block);
                }
                Ok(same.is_some())
            }
            Item::Layer(layer) => {
                let address = layer.as_ptr() as usize;
                if self.layers.contains_key(&address) {
                    return Ok(true);
                }
                let same = self.same_layers.get(&layer.get().name_hash);
                if let Some(&node) = same {
                    self.layers.insert(address, node);
                }
                Ok(same.is_some())
            }
        }
    }

    fn block_of(&self, task: &Py<Delayed>) -> BlockRef {
        self.tasks[&(task.as_ptr() as usize)]
    }

    fn node_of(&self, layer: &Py<Layer>) -> u32 {
        self.layers[&(layer.as_ptr() as usize)]
    }

    fn literals(&mut self, literals: &[Py<PyAny>]) -> u32 {
        let from = self.graph.literals.len() as u32;
        self.graph.literals.extend(literals.iter().map(|literal| literal.clone_ref(self.py)));
        from
    }

    fn add_task(&mut self, task: &Py<Delayed>) -> PyResult<()> {
        let this = task.get();
        let block = if let Kind::Block { layer, block } = &this.kind {
            BlockRef { node: self.node_of(layer), block: *block }
        } else {
            let inputs = this.dependencies().iter().map(|one| self.block_of(one)).collect();
            let from = self.literals(&this.literals);
            let ops: Box<[Op]> =
                this.template.iter().map(|op| op.with_literals_from(from)).collect();
            let py = self.py;
            let group = self.group(this.group_key(), || GroupName::Task(task.clone_ref(py)));
            let node = self.plan.add_task(inputs, ops, group);
            self.owners.push(Owner::Task(task.clone_ref(self.py)));
            BlockRef { node, block: 0 }
        };
        self.tasks.insert(task.as_ptr() as usize, block);
        if !matches!(this.identity, Identity::Random(_)) {
            self.same_tasks.insert(this.identity.hash(self.py)?, block);
        }
        Ok(())
    }

    fn add_layer(&mut self, layer: &Py<Layer>) {
        let this = layer.get();
        let node = match &this.body {
            Body::Call(call) => self.add_call(layer, call),
            Body::Given(tasks) => {
                let blocks = tasks.iter().map(|task| self.block_of(task)).collect();
                self.owners.push(Owner::Nobody);
                self.plan.add_given(this.grid.clone(), blocks)
            }
            Body::Joined { axis, parts } => {
                let parts = parts.iter().map(|part| self.node_of(part)).collect();
                self.owners.push(Owner::Nobody);
                self.plan.add_joined(*axis, this.grid.clone(), parts)
            }
        };
        self.layers.insert(layer.as_ptr() as usize, node);
        self.same_layers.insert(this.name_hash, node);
    }

    fn add_call(&mut self, layer: &Py<Layer>, call: &LayerCall) -> u32 {
        let inputs = call
            .inputs
            .iter()
            .map(|input| {
                let node = match &input.source {
                    Source::Layer(layer) => self.node_of(layer),
                    Source::Task(task) => self.node_of_task(task),
                };
                Input { node, axes: input.axes.clone(), is_list: input.is_list }
            })
            .collect();
        let from = self.literals(&call.literals);
        let tables: Vec<u32> = call
            .tables
            .iter()
            .map(|&(first, len)| {
                let literals: Vec<u32> = (from + first..from + first + len).collect();
                self.plan.add_table(literals)
            })
            .collect();
        let steps = call
            .steps
            .iter()
            .map(|step| match *step {
                Step::Op(OpKind::Literal(number)) => Step::Op(OpKind::Literal(from + number)),
                Step::Along { axis, table } => Step::Along { axis, table: tables[table as usize] },
                step => step,
            })
            .collect();
        let this = layer.get();
        let py = self.py;
        let key = (0, this.label.as_ptr() as usize);
        let group = self.group(key, || GroupName::Layer(layer.clone_ref(py)));
        let grid = this.grid.clone();
        self.owners.push(Owner::Layer(layer.clone_ref(self.py)));
        let (is_cheap, terms) = (call.is_cheap, self.terms_of(this.annotations.as_ref()));
        self.plan.add_blocks(Blocks { grid, inputs, steps, is_cheap, group, terms })
    }

    /// The number of annotations: that of equal ones, but each task has a time limit by itself.
    fn terms_of(&mut self, annotations: Option<&Py<PyDict>>) -> u32 {
        let Some(annotations) = annotations.map(|one| one.bind(self.py)) else { return 0 };
        let is_shared = !has_time_limit(annotations);
        let is_same = |known: &Option<Py<PyDict>>| {
            known.as_ref().is_some_and(|known| annotations.eq(known).unwrap_or(false))
        };
        let known = if is_shared { self.terms.iter().position(is_same) } else { None };
        let place = known.unwrap_or_else(|| {
            self.terms.push(is_shared.then(|| annotations.clone().unbind()));
            self.terms.len() - 1
        });
        place as u32 + 1
    }

    /// A node that is one task.
    fn node_of_task(&mut self, task: &Py<Delayed>) -> u32 {
        let block = self.block_of(task);
        if let Owner::Task(_) = self.owners[block.node as usize] {
            return block.node;
        }
        self.owners.push(Owner::Nobody);
        self.plan.add_given(Vec::new(), vec![block])
    }

    fn group(&mut self, key: (usize, usize), name: impl FnOnce() -> GroupName) -> u32 {
        match self.groups.entry(key) {
            Entry::Occupied(group) => *group.get(),
            Entry::Vacant(place) => {
                let group = self.graph.groups.len() as u32;
                self.graph.groups.push(name());
                *place.insert(group)
            }
        }
    }
}
