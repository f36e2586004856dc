//! Writes calls into a graph that a client submits.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use oxidask_graph::{EdgesBuilder, OpKind, Template, order};
use oxidask_protocol::{Asked, ClientTask, Graph, Objects as ObjectTable, Stored};
use pyo3::prelude::*;
use rustc_hash::FxHashMap;

use super::future::{Future, Held};
use super::program::{write_dependency, write_step};
use super::session::{Shared, other_client};
use super::sharing::Sharing;

/// Marks a number of an external until the number of tasks is known.
const EXTERNAL: u32 = 1 << 31;

/// A graph that is being written.
pub(crate) struct GraphWriter {
    shared: Arc<Shared>,
    graph: Graph,
    programs: Vec<u8>,
    pub(crate) sharing: Sharing,
    external: FxHashMap<ClientTask, u32>,
    /// Inputs of the task that is being written.
    row: Vec<u32>,
    /// Keeps earlier results that tasks read until the cluster knows that they do.
    held: Vec<Held>,
}

impl GraphWriter {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        let graph = Graph { starts: vec![0], ..Graph::default() };
        Self {
            graph,
            programs: Vec::new(),
            sharing: Sharing::new(&shared.client, shared.is_one_process),
            external: FxHashMap::default(),
            row: Vec::new(),
            held: Vec::new(),
            shared: Arc::clone(shared),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.graph.identities.len()
    }

    pub(crate) fn set_names(&mut self, names: Vec<String>) {
        self.graph.names = names;
    }

    /// Where programs are written; a call is complete with [`Self::end_task`].
    pub(crate) fn program(&mut self) -> (&mut Sharing, &mut Vec<u8>) {
        (&mut self.sharing, &mut self.programs)
    }

    /// Writes a value of a call: the result of a future stands for the future.
    pub(crate) fn write_value(&mut self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        if let Ok(future) = value.cast::<Future>() {
            let future = future.get();
            if !Arc::ptr_eq(future.shared(), &self.shared) {
                return Err(other_client());
            }
            let place = self.read_external(&future.hold_again());
            write_dependency(place, &mut self.programs);
            return Ok(());
        }
        self.sharing.write_literal(value, &mut self.programs)
    }

    fn read_external(&mut self, hold: &Held) -> u32 {
        let next = self.external.len() as u32;
        let number = *self.external.entry(hold.task).or_insert(next);
        if number == next {
            self.graph.externals.push(hold.task);
            self.held.push(hold.clone());
        }
        self.read(number | EXTERNAL)
    }

    /// The place among the task's inputs of one more that it reads.
    fn read(&mut self, input: u32) -> u32 {
        if let Some(place) = self.row.iter().position(|&other| other == input) {
            return place as u32;
        }
        self.row.push(input);
        self.row.len() as u32 - 1
    }

    /// Writes a template. `source` says for each of its dependencies which task of this graph, or
    /// which earlier task of the client, it is.
    pub(crate) fn write_template(
        &mut self,
        py: Python<'_>,
        template: Template<'_>,
        literals: &[Py<PyAny>],
        source: impl Fn(u32) -> Source,
    ) -> PyResult<()> {
        for op in template.0 {
            match op.kind() {
                OpKind::Literal(number) => self.write_value(literals[number as usize].bind(py))?,
                OpKind::Dependency(number) => {
                    let place = match source(number) {
                        Source::Here(task) => self.read(task),
                        Source::Earlier(hold) => self.read_external(&hold),
                    };
                    write_dependency(place, &mut self.programs);
                }
                kind => write_step(kind, &mut self.programs),
            }
        }
        Ok(())
    }

    /// Completes a task.
    pub(crate) fn end_task(&mut self, group: u32, identity: u128) {
        self.graph.inputs.append(&mut self.row);
        self.graph.starts.push(self.graph.inputs.len() as u32);
        self.graph.program_ends.push(self.programs.len() as u32);
        self.graph.groups.push(group);
        self.graph.identities.push(identity);
        self.sharing.end_task();
    }

    /// Gives up the task that is being written.
    pub(crate) fn abandon_task(&mut self) {
        self.row.clear();
        self.sharing.abandon_task();
        let start = self.graph.program_ends.last().map_or(0, |&end| end as usize);
        self.programs.truncate(start);
    }

    /// The graph's only task stands for a value that is in shared memory.
    pub(crate) fn set_data(&mut self, stored: Stored) {
        self.graph.data = Some(stored);
    }

    pub(crate) fn name_task(&mut self, task: u32, key: String) {
        self.graph.keys.push((task, key));
    }

    pub(crate) fn retry(&mut self, task: u32, times: u32) {
        self.graph.retries.push((task, times));
    }

    /// A task may run so long. Tasks are named in order.
    pub(crate) fn limit_time(&mut self, task: u32, time: Duration) {
        self.graph.time_limits.push((task, time));
    }

    /// A task asks for something of its worker. Tasks are named in order.
    pub(crate) fn ask(&mut self, task: u32, asked: &Asked) {
        let known = self.graph.asked.iter().position(|other| other == asked);
        let place = known.unwrap_or_else(|| {
            self.graph.asked.push(asked.clone());
            self.graph.asked.len() - 1
        });
        self.graph.asking.push((task, place as u32));
    }

    /// The graph, ready to be submitted, and what is to be kept until it is.
    pub(crate) fn finish(
        mut self,
        first: ClientTask,
        wanted: Vec<u32>,
        priority: i32,
        depth: u32,
    ) -> (Graph, Vec<Held>) {
        let count = self.len() as u32;
        let mut edges = EdgesBuilder::with_capacity(count as usize, self.graph.inputs.len());
        for row in self.graph.starts.windows(2) {
            for input in &mut self.graph.inputs[row[0] as usize..row[1] as usize] {
                if *input & EXTERNAL == 0 {
                    edges.push_target(*input);
                } else {
                    *input = count + (*input & !EXTERNAL);
                }
            }
            edges.end_row();
        }
        let edges = edges.finish();
        self.graph.rank = if edges.edge_count() == 0 {
            (0..count).collect()
        } else {
            order(&edges, &edges.reversed())
                .expect("tasks stand behind what they read, so there is no cycle")
                .rank
        };
        self.graph.first = first;
        self.graph.wanted = wanted;
        self.graph.priority = priority;
        self.graph.depth = depth;
        self.graph.programs = Bytes::from(self.programs);
        self.graph.shared = std::mem::take(&mut self.sharing.parts);
        self.graph.part_sets = std::mem::take(&mut self.sharing.sets);
        self.graph.part_set_of = std::mem::take(&mut self.sharing.set_of);
        self.graph.objects = ObjectTable(
            self.sharing
                .objects
                .take()
                .filter(|values| !values.is_empty())
                .map(|values| Arc::new(self.shared.objects.keep_values(values)) as _),
        );
        (self.graph, self.held)
    }
}

/// What a dependency of a template is.
pub(crate) enum Source {
    /// A task of the graph.
    Here(u32),
    /// An earlier task of the client.
    Earlier(Held),
}
