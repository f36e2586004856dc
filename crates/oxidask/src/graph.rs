//! A graph of closures that grows, and the handles of its tasks.

use std::any::TypeId;
use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::marker::PhantomData;
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use oxidask_graph::EdgesBuilder;

use crate::bundle::Bundle;
use crate::closures::{Call, Value};

/// A task of a [`Graph`], whose result will be a `T`.
///
/// Copies are handles of the same task. A handle is of use with its own graph only.
pub struct Task<T> {
    pub(crate) number: u32,
    pub(crate) graph: u32,
    result: PhantomData<fn() -> T>,
}

impl<T> Clone for Task<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Task<T> {}

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Task {} of graph {}", self.number, self.graph)
    }
}

/// Closures, and which of them read which others' results.
pub struct Graph {
    id: u32,
    pub(crate) dependencies: EdgesBuilder,
    pub(crate) calls: Vec<Call>,
    pub(crate) made_at: Vec<&'static Location<'static>>,
    /// Calls of the same closure are a group: the scheduler learns how long they take.
    pub(crate) groups: Vec<u32>,
    group_of_closure: HashMap<TypeId, u32>,
    inputs: Vec<u32>,
}

impl Default for Graph {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Graph {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Graph {} of {} tasks", self.id, self.len())
    }
}

impl Graph {
    /// An empty graph.
    pub fn new() -> Self {
        static GRAPHS: AtomicU32 = AtomicU32::new(0);
        Self {
            id: GRAPHS.fetch_add(1, Ordering::Relaxed),
            dependencies: EdgesBuilder::default(),
            calls: Vec::new(),
            made_at: Vec::new(),
            groups: Vec::new(),
            group_of_closure: HashMap::new(),
            inputs: Vec::new(),
        }
    }

    /// Number of tasks.
    pub fn len(&self) -> usize {
        self.calls.len()
    }

    /// Whether there is no task.
    pub fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// Adds a task: `closure` will be called with references to the results of `inputs`.
    ///
    /// `inputs` is `()`, a [`Task`], a tuple of up to six, or a `Vec` of tasks with results of one
    /// type; the closure's argument has the same shape.
    ///
    /// ```
    /// # use oxidask::{Graph, Threads};
    /// let mut graph = Graph::new();
    /// let name = graph.call((), |()| String::from("stencil"));
    /// let size = graph.call(name, |name| name.len());
    /// let both = graph.call((name, size), |(name, size)| format!("{name}: {size}"));
    /// # assert_eq!(*Threads::new(1).compute(graph, both)?, "stencil: 7");
    /// # Ok::<(), oxidask::ComputeError>(())
    /// ```
    ///
    /// # Panics
    ///
    /// If an input is a task of another graph, or the graph has 2³² tasks.
    #[track_caller]
    pub fn call<I, R, F>(&mut self, inputs: I, closure: F) -> Task<R>
    where
        I: Bundle,
        R: Send + Sync + 'static,
        F: FnOnce(I::References<'_>) -> R + Send + 'static,
    {
        let group = self.group_of::<F>();
        self.add(inputs, group, move |held| Ok(Arc::new(closure(I::references(held)))))
    }

    /// Adds a task that can fail: an `Err` ends the computation, and comes out of
    /// [`Threads::compute`](crate::Threads::compute) as [`ComputeError::Failed`](crate::ComputeError).
    ///
    /// ```
    /// # use oxidask::{Graph, Threads};
    /// let mut graph = Graph::new();
    /// let number = graph.try_call((), |()| "4 2".parse::<i32>());
    /// let error = Threads::new(1).compute(graph, number).unwrap_err();
    /// assert!(error.to_string().ends_with("failed: invalid digit found in string"));
    /// ```
    ///
    /// # Panics
    ///
    /// If an input is a task of another graph, or the graph has 2³² tasks.
    #[track_caller]
    pub fn try_call<I, R, E, F>(&mut self, inputs: I, closure: F) -> Task<R>
    where
        I: Bundle,
        R: Send + Sync + 'static,
        E: Into<Box<dyn Error + Send + Sync>>,
        F: FnOnce(I::References<'_>) -> Result<R, E> + Send + 'static,
    {
        let group = self.group_of::<F>();
        self.add(inputs, group, move |held| match closure(I::references(held)) {
            Ok(result) => Ok(Arc::new(result)),
            Err(error) => Err(error.into()),
        })
    }

    fn group_of<F: 'static>(&mut self) -> u32 {
        let next = self.group_of_closure.len() as u32;
        *self.group_of_closure.entry(TypeId::of::<F>()).or_insert(next)
    }

    #[track_caller]
    fn add<I, R>(
        &mut self,
        inputs: I,
        group: u32,
        call: impl FnOnce(&I::Held) -> Result<Value, Box<dyn Error + Send + Sync>> + Send + 'static,
    ) -> Task<R>
    where
        I: Bundle,
    {
        let number = u32::try_from(self.calls.len()).expect("a graph holds less than 2^32 tasks");
        self.inputs.clear();
        inputs.tasks(&mut |task, graph| {
            assert_eq!(graph, self.id, "task {task} is of graph {graph}, not of graph {}", self.id);
            self.inputs.push(task);
        });
        if self.inputs.len() > 1 {
            self.inputs.sort_unstable();
            self.inputs.dedup();
        }
        for &input in &self.inputs {
            self.dependencies.push_target(input);
        }
        self.dependencies.end_row();
        self.groups.push(group);
        self.made_at.push(Location::caller());
        self.calls.push(Box::new(move |results| call(&inputs.hold(results))));
        Task { number, graph: self.id, result: PhantomData }
    }

    /// Checks that handles are of this graph, and lists them.
    #[track_caller]
    pub(crate) fn numbers(&self, wanted: &impl Bundle) -> Vec<u32> {
        let mut numbers = Vec::new();
        wanted.tasks(&mut |task, graph| {
            assert_eq!(graph, self.id, "task {task} is of graph {graph}, not of graph {}", self.id);
            numbers.push(task);
        });
        numbers
    }
}
