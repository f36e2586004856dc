//! `Session`: a client's connection to a cluster, as Python sees it.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use oxidask_protocol::{
    Asked, ClientTask, FromClient, NoValue, Problem, Question, ToClient, Value, WorkerId,
};
use oxidask_runtime::arenas::Arenas;
use oxidask_runtime::client::{Client, Got, Watch};
use oxidask_runtime::cluster::Cluster;
use oxidask_runtime::node::connect_client;
use pyo3::call::PyCallArgs;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyIterator, PyList, PyString, PyTuple};
use rustc_hash::FxHashMap;
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use super::future::{Future, Held, Hold, Name, Origin, WeakHold, wait_all, wait_until};
use super::local::{NearClient, NearCluster, ThreadCluster, duration};
use super::nested;
use super::objects::Objects;
use super::output::{self, Piece};
use super::process::ProcessCluster;
use super::program::{NoContext, evaluate, write_call, write_pickle, write_plain, write_step};
use super::serialize;
use super::views::{self, LetGo, Pin, store_error};
use super::writer::{GraphWriter, Source};
use crate::arguments::CallBuilder;
use crate::delayed::Delayed;
use crate::evaluate::let_others_run;
use crate::graph::collect;
use crate::identity::{Identity, check_key, random_identity};
use crate::ownership;
use crate::tokenize::token;

/// How long a wait lasts before somebody looks for Ctrl-C.
pub(crate) const TICK: Duration = Duration::from_millis(10);
/// How long a cluster may take to greet a client.
const GREETING: Duration = Duration::from_secs(10);
/// How often what was dropped is released.
const RELEASE_PAUSE: Duration = Duration::from_millis(20);
/// Graphs longer than this are submitted without holding the GIL.
const LONG_GRAPH: usize = 1000;
/// Calls of a map that are submitted at once: few at first, so that workers begin.
const FIRST_BATCH: usize = 512;
const LARGEST_BATCH: usize = 20_000;

/// Stands for the function of a value that is scattered.
const SCATTERED: u128 = 1;

const NO_PANIC: &str = "nothing panics while the lock is held";

/// What came of asking for the value of a finished task.
pub(crate) enum Fetched {
    Value(Py<PyAny>),
    /// The value was lost, and could not be made again.
    Problem(Arc<Problem>),
    Nothing,
}

/// What a session and its futures share.
pub(crate) struct Shared {
    pub(crate) client: Arc<Client>,
    pub(crate) objects: Arc<Objects>,
    /// The cluster, if it is in this process, and the number of the client there.
    near: Option<(Arc<Cluster>, u64)>,
    pub(crate) is_one_process: bool,
    /// Shared memory of this host.
    arenas: Arc<Arenas>,
    keeper: Arc<dyn LetGo>,
    /// Futures by half the hash of their key: of millions, each is a miss of the cache. The whole
    /// hash is in what is found.
    registry: Mutex<FxHashMap<u64, WeakHold>>,
    /// Futures that came from elsewhere, by the client that made them and its number for them.
    foreign: Mutex<FxHashMap<Origin, WeakHold>>,
    pub(crate) number: u64,
}

impl Shared {
    pub(crate) fn registry_remove(&self, hold: &Hold) {
        let is_it = |other: &WeakHold| std::ptr::eq(other.as_ptr(), hold);
        if let Some(origin) = hold.origin.as_deref() {
            let mut foreign = self.foreign.lock().expect(NO_PANIC);
            if foreign.get(origin).is_some_and(is_it) {
                foreign.remove(origin);
            }
            return;
        }
        let mut registry = self.registry.lock().expect(NO_PANIC);
        let key = hold.identity as u64;
        if registry.get(&key).is_some_and(is_it) {
            registry.remove(&key);
        }
    }

    fn find(&self, identity: u128) -> Option<Held> {
        let held = Held::upgrade(self.registry.lock().expect(NO_PANIC).get(&(identity as u64))?)?;
        // One that was cancelled is not what is asked for: it is to run.
        (held.identity == identity && !self.client.is_cancelled(held.task)).then_some(held)
    }

    fn hold(self: &Arc<Self>, task: ClientTask, identity: u128) -> Held {
        let held = Held::new(Arc::new(Hold::new(Arc::clone(self), task, identity, None)));
        self.registry.lock().expect(NO_PANIC).insert(identity as u64, held.downgrade());
        held
    }

    /// A hold of a task that a client calls so: this one, or another one of the cluster.
    fn adopted(self: &Arc<Self>, client: u64, task: ClientTask, identity: u128, own: u64) -> Held {
        if client == own
            && let Some(held) = self.find(identity)
            && held.task == task
        {
            return held;
        }
        let mut foreign = self.foreign.lock().expect(NO_PANIC);
        let origin = (client, task);
        if let Some(held) = foreign.get(&origin).and_then(Held::upgrade) {
            return held;
        }
        let number = self.client.adopt(client, task);
        let hold = Hold::new(Arc::clone(self), number, identity, Some(origin));
        let first = Held::new(Arc::new(hold));
        foreign.insert(origin, first.downgrade());
        first
    }

    /// The cluster, and the number of this client there.
    pub(crate) fn identity(&self, py: Python<'_>) -> PyResult<(u128, u64)> {
        if let Some(identity) = self.client.identity(Duration::ZERO) {
            return Ok(identity);
        }
        match let_others_run(py, || self.client.identity(GREETING)) {
            Some(identity) => Ok(identity),
            None => Err(self.closed_error(py)?),
        }
    }

    /// Waits for the value of a finished task. The task may yet err: its value is lost with a worker,
    /// and it fails when it is made again.
    pub(crate) fn value(
        &self,
        py: Python<'_>,
        future: &Future,
        timeout: Option<f64>,
    ) -> PyResult<Fetched> {
        let task = future.task();
        let begun = Instant::now();
        loop {
            let mut got = None;
            let mut problem = None;
            let left = timeout.map(|seconds| seconds - begun.elapsed().as_secs_f64());
            wait_until(py, left, |at_most| {
                if !at_most.is_zero() {
                    self.client.fetch(&[task]);
                }
                got = self.client.take_value(task, at_most);
                if got.is_none() {
                    problem = self.client.problem(task);
                }
                got.is_some() || problem.is_some() || self.client.closed().is_some()
            })?;
            match got {
                Some(Got::Value(value)) => {
                    return match self.decode(py, &value) {
                        Ok(value) => Ok(Fetched::Value(value)),
                        Err(error) => Err(noted(py, "unreadable", error, future)?),
                    };
                }
                Some(Got::Here(task, attempt)) => {
                    if let Some((object, memory)) = self.objects.get(py, task, attempt) {
                        // The cluster keeps it, for others and for a second look.
                        let value = ownership::come_out(object.into_bound(py), memory, false)?;
                        return Ok(Fetched::Value(value.unbind()));
                    }
                    // It was lost, and is being made again.
                    let_others_run(py, || std::thread::sleep(nested::tick()));
                    nested::look_around(py)?;
                }
                Some(Got::Unusable(error)) => {
                    let error = self.error_of(py, &error)?;
                    return Err(noted(py, "unusable", error, future)?);
                }
                // Else time is up, or the cluster has ended.
                None => return Ok(problem.map_or(Fetched::Nothing, Fetched::Problem)),
            }
        }
    }

    fn decode(&self, py: Python<'_>, value: &Value) -> PyResult<Py<PyAny>> {
        match value {
            Value::Inline(bytes) => evaluate(py, bytes, &NoContext),
            Value::Stored(stored) => {
                let pin = Pin::new(Arc::clone(&self.keeper), stored);
                Ok(views::view(py, &self.arenas, stored, &pin)?.unbind())
            }
            Value::Live => {
                Err(PyRuntimeError::new_err("a value came that this client cannot read"))
            }
        }
    }

    /// An exception that an executor wrote.
    fn error_of(&self, py: Python<'_>, error: &Bytes) -> PyResult<PyErr> {
        if self.is_one_process
            && let Some(error) = self.objects.error(py, error)
        {
            return Ok(PyErr::from_value(error.into_bound(py)));
        }
        serialize::load_error(py, error)
    }

    pub(crate) fn exception_of(&self, py: Python<'_>, problem: &Problem) -> PyResult<PyErr> {
        let module = py.import(intern!(py, "oxidask.distributed._problems"))?;
        let error = match problem {
            Problem::Raised { error, key } => {
                let error = self.error_of(py, error)?;
                module.getattr("raised")?.call1((error.value(py), key))?
            }
            Problem::OutOfTime { key, limit, error } => {
                let error = error.as_ref().map(|error| self.error_of(py, error)).transpose()?;
                let error = error.map(|error| error.into_value(py));
                module.getattr("out_of_time")?.call1((key, limit.as_secs_f64(), error))?
            }
            Problem::Killed { key, times, cause, last_words } => {
                let words = pieces_of(py, last_words)?;
                module.getattr("killed")?.call1((key, times, cause, words))?
            }
            Problem::Cancelled { key, reason } => {
                module.getattr("cancelled")?.call1((key, reason))?
            }
            Problem::NoWorker { key, reason } => {
                module.getattr("no_worker")?.call1((key, reason))?
            }
            Problem::NoMemory { key, needed, available, disk } => {
                module.getattr("no_memory")?.call1((key, needed, available, disk))?
            }
            Problem::Lost { key } => module.getattr("lost")?.call1((key,))?,
            Problem::Unknown { task } => module.getattr("unknown")?.call1((task,))?,
        };
        Ok(PyErr::from_value(error))
    }

    pub(crate) fn closed_error(&self, py: Python<'_>) -> PyResult<PyErr> {
        let reason = self.client.closed().unwrap_or_else(|| "the future was released".to_owned());
        let module = py.import(intern!(py, "oxidask.distributed._problems"))?;
        Ok(PyErr::from_value(module.getattr("closed")?.call1((reason,))?))
    }

    /// Shows what tasks have printed: to be called before somebody learns that they have ended.
    pub(crate) fn show_output(&self, py: Python<'_>) -> PyResult<()> {
        if self.client.has_output() {
            let module = py.import(intern!(py, "oxidask.distributed._show"))?;
            module.getattr(intern!(py, "show"))?.call1((self.number,))?;
        }
        Ok(())
    }

    /// A value in this client's shared memory, where workers can see that.
    fn stored(&self, value: &Bound<'_, PyAny>) -> PyResult<Option<Value>> {
        if self.is_one_process {
            return Ok(None);
        }
        let Some((arena, number)) = self.client.arena().map_err(store_error)? else {
            return Ok(None);
        };
        Ok(Some(views::store(value, &arena, number)?.0))
    }

    fn submit(
        &self,
        py: Python<'_>,
        writer: GraphWriter,
        first: ClientTask,
        wanted: Vec<u32>,
        priority: i32,
    ) {
        let (priority, depth) = nested::urgency_of_children(priority);
        let (graph, held) = writer.finish(first, wanted, priority, depth);
        if graph.len() > LONG_GRAPH {
            let_others_run(py, || self.client.submit(graph));
        } else {
            self.client.submit(graph);
        }
        // Only now: releases follow submissions.
        drop(held);
    }
}

/// An error that `_problems` makes.
fn problem<'py>(
    py: Python<'py>,
    name: &str,
    args: impl PyCallArgs<'py>,
) -> PyResult<Bound<'py, PyAny>> {
    py.import(intern!(py, "oxidask.distributed._problems"))?.getattr(name)?.call1(args)
}

/// The error for a future that this client does not know.
pub(crate) fn other_client() -> PyErr {
    PyValueError::new_err(
        "this is a Future of another Client; gather it there and pass the result, or use one \
         Client for both",
    )
}

/// Tells the cluster that a client does not look at an object any more.
struct Keeper(Weak<Client>);

impl LetGo for Keeper {
    fn let_go(&self, arena: u32, offset: u64) {
        if let Some(client) = self.0.upgrade() {
            client.drop_view(arena, offset);
        }
    }
}

/// A client's connection to a cluster.
#[pyclass(frozen, module = "oxidask._core")]
pub(crate) struct Session {
    shared: Arc<Shared>,
}

/// Starts the thread that tells the cluster what was dropped, for clients that say nothing else.
///
/// It also looks at the clock for a cluster of threads, which has no thread of its own.
fn release_what_is_dropped(client: &Arc<Client>, cluster: Option<Weak<Cluster>>) {
    let client = Arc::downgrade(client);
    let release = move || {
        while let Some(client) = client.upgrade() {
            if let Some(cluster) = cluster.as_ref().and_then(Weak::upgrade) {
                cluster.tick();
            }
            if client.closed().is_some() {
                break;
            }
            client.let_go();
            drop(client);
            std::thread::sleep(RELEASE_PAUSE);
        }
    };
    // Without the thread, results are released with the next thing that the client says.
    drop(std::thread::Builder::new().name("oxidask-client".to_owned()).spawn(release));
}

fn next_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Pieces of output, each with its kind.
type Pieces<'py> = Vec<(u8, Bound<'py, PyAny>)>;

/// Options of a submission.
#[derive(Clone, Default)]
struct Options {
    priority: i32,
    retries: u32,
    asked: Option<Asked>,
    time_limit: Option<Duration>,
}

/// What tasks ask of their worker, as Python says it: names, whether others will do, resources.
type AskedInPython = (Vec<String>, bool, Vec<(String, u64)>);

fn asked_of((workers, allow_others, resources): AskedInPython) -> Asked {
    Asked { workers, allow_others, resources }
}

#[pymethods]
impl Session {
    /// A client of a cluster whose scheduler is in this process.
    #[staticmethod]
    fn near(py: Python<'_>, cluster: &Bound<'_, PyAny>) -> PyResult<Self> {
        let line = Arc::new(NearClient::default());
        let (cluster, objects, listening) = if let Ok(threads) = cluster.cast::<ThreadCluster>() {
            let threads = threads.get();
            threads.clients.add(&line);
            (Arc::clone(&threads.cluster), Arc::clone(&threads.objects), None)
        } else {
            let processes = cluster.cast::<ProcessCluster>()?.get();
            let listening = Some(processes.host.listening());
            (Arc::clone(&processes.cluster), Arc::default(), listening)
        };
        Ok(let_others_run(py, || {
            let number = cluster.client_joined(Arc::clone(&line) as _);
            let near = NearCluster { cluster: Arc::clone(&cluster), client: number };
            let is_one_process = listening.is_none();
            let listening = listening.unwrap_or_default();
            let client = Arc::new(Client::listening(Box::new(near), listening));
            line.client.get_or_init(|| Arc::downgrade(&client));
            let cluster_id = cluster.id();
            client.deliver(ToClient::Welcome { cluster: cluster_id, client: number });
            let arenas = cluster.arenas();
            Self::new(client, objects, arenas, Some((cluster, number)), is_one_process)
        }))
    }

    /// A client of a cluster in another process, whose socket this is.
    #[staticmethod]
    fn far(py: Python<'_>, socket: PathBuf) -> PyResult<Self> {
        let (client, arenas) = let_others_run(py, || connect_client(&socket))?;
        Ok(Self::new(client, Arc::default(), arenas, None, false))
    }

    #[getter]
    fn number(&self) -> u64 {
        self.shared.number
    }

    /// Runs one call.
    #[expect(clippy::too_many_arguments, reason = "Python's options, one by one")]
    #[pyo3(signature = (function, args, kwargs, label, key, pure, priority, retries, asked, timeout))]
    fn submit<'py>(
        &self,
        py: Python<'py>,
        function: &Bound<'py, PyAny>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
        label: Bound<'py, PyString>,
        key: Option<Bound<'py, PyAny>>,
        pure: bool,
        priority: i32,
        retries: u32,
        asked: Option<AskedInPython>,
        timeout: Option<f64>,
    ) -> PyResult<Py<Future>> {
        let (asked, time_limit) = (asked.map(asked_of), duration(timeout));
        let options = Options { priority, retries, asked, time_limit };
        let values: Vec<Bound<'_, PyAny>> = args.iter().collect();
        let function_token = if pure && key.is_none() { token_of(py, function)? } else { 0 };
        let identity = self.identity_of(py, key.as_ref(), function_token, &values, kwargs, pure)?;
        let name = |key: &Option<Bound<'py, PyAny>>| match key {
            Some(key) => Name::Key(key.clone().unbind()),
            None => Name::Prefix(label.clone().unbind()),
        };
        if let Some(hold) = self.shared.find(identity) {
            return Py::new(py, Future::new(hold, name(&key)));
        }
        let mut writer = GraphWriter::new(&self.shared);
        writer.set_names(vec![label.to_cow()?.into_owned()]);
        self.write_call(py, &mut writer, function, &values, kwargs)?;
        writer.end_task(0, identity);
        if let Some(key) = &key {
            writer.name_task(0, key.str()?.to_cow()?.into_owned());
        }
        if options.retries > 0 {
            writer.retry(0, options.retries);
        }
        if let Some(asked) = &options.asked {
            writer.ask(0, asked);
        }
        if let Some(time) = options.time_limit {
            writer.limit_time(0, time);
        }
        let first = self.shared.client.reserve(1);
        let hold = self.shared.hold(first, identity);
        self.shared.submit(py, writer, first, vec![0], options.priority);
        Py::new(py, Future::new(hold, name(&key)))
    }

    /// Runs a call for each element of some iterables.
    #[expect(clippy::too_many_arguments, reason = "Python's options, one by one")]
    #[pyo3(signature = (function, iterables, kwargs, label, keys, pure, priority, retries, asked, timeout))]
    fn map<'py>(
        &self,
        py: Python<'py>,
        function: &Bound<'py, PyAny>,
        iterables: Vec<Bound<'py, PyAny>>,
        kwargs: Option<&Bound<'py, PyDict>>,
        label: Bound<'py, PyString>,
        keys: Option<Vec<Bound<'py, PyAny>>>,
        pure: bool,
        priority: i32,
        retries: u32,
        asked: Option<AskedInPython>,
        timeout: Option<f64>,
    ) -> PyResult<Bound<'py, PyList>> {
        let (asked, time_limit) = (asked.map(asked_of), duration(timeout));
        let options = Options { priority, retries, asked, time_limit };
        let mut iterators: Vec<Bound<'_, PyIterator>> =
            iterables.iter().map(PyAnyMethods::try_iter).collect::<PyResult<_>>()?;
        let function_token = if pure && keys.is_none() { token_of(py, function)? } else { 0 };
        let futures = PyList::empty(py);
        let names = vec![label.to_cow()?.into_owned()];
        let mut batch = Batch::new(self, names.clone(), options.clone());
        let mut limit = FIRST_BATCH;
        let mut values = Vec::with_capacity(iterators.len());
        let mut count = 0;
        'elements: loop {
            values.clear();
            for iterator in &mut iterators {
                match iterator.next() {
                    Some(value) => values.push(value?),
                    None => break 'elements,
                }
            }
            let key = keys.as_ref().and_then(|keys| keys.get(count)).cloned();
            count += 1;
            let identity =
                self.identity_of(py, key.as_ref(), function_token, &values, kwargs, pure)?;
            let name = match &key {
                Some(key) => Name::Key(key.clone().unbind()),
                None => Name::Prefix(label.clone().unbind()),
            };
            let hold = if let Some(hold) = self.shared.find(identity) {
                hold
            } else {
                self.write_call(py, &mut batch.writer, function, &values, kwargs)?;
                batch.end_task(identity, key.as_ref())?
            };
            futures.append(Py::new(py, Future::new(hold, name))?)?;
            if batch.writer.len() == limit {
                batch.submit(py);
                limit = (limit * 2).min(LARGEST_BATCH);
                batch = Batch::new(self, names.clone(), options.clone());
            }
        }
        batch.submit(py);
        Ok(futures)
    }

    /// Computes lazy values; a future each.
    fn submit_graph(
        &self,
        py: Python<'_>,
        tasks: Vec<Py<Delayed>>,
        priority: i32,
        retries: u32,
        asked: Option<AskedInPython>,
    ) -> PyResult<Vec<Py<Future>>> {
        let asked = asked.map(asked_of);
        let (graph, wanted) = collect(py, &tasks)?;
        let mut writer = GraphWriter::new(&self.shared);
        writer.set_names(graph.group_names(py)?);
        // Where the result of each task comes from, if not from running it.
        let mut earlier: Vec<Option<Held>> = vec![None; graph.len()];
        let mut is_needed = vec![false; graph.len()];
        for &task in &wanted {
            is_needed[task as usize] = true;
        }
        for task in (0..graph.len() as u32).rev() {
            if !is_needed[task as usize] {
                continue;
            }
            let node = graph.node(task);
            let found = match node.task().and_then(|task| future_of(py, task)) {
                Some(future) if Arc::ptr_eq(future.get().shared(), &self.shared) => {
                    Some(future.get().hold_again())
                }
                Some(_) => return Err(other_client()),
                None => self.shared.find(node.hash(py)?),
            };
            if found.is_some() {
                earlier[task as usize] = found;
                continue;
            }
            for &input in graph.layer.task(task).dependencies {
                is_needed[input as usize] = true;
            }
        }
        let mut place: Vec<u32> = vec![u32::MAX; graph.len()];
        let mut asked_in_blocks = AskedInBlocks::default();
        let given_retries: FxHashMap<u32, u32> = graph.retries.iter().copied().collect();
        let time_limits: FxHashMap<u32, Duration> = graph.time_limits.iter().copied().collect();
        for task in 0..graph.len() as u32 {
            if !is_needed[task as usize] || earlier[task as usize].is_some() {
                continue;
            }
            let view = graph.layer.task(task);
            writer.write_template(py, view.template, &graph.literals, |number| {
                let input = view.dependencies[number as usize] as usize;
                match &earlier[input] {
                    Some(hold) => Source::Earlier(hold.clone()),
                    None => Source::Here(place[input]),
                }
            })?;
            let number = writer.len() as u32;
            place[task as usize] = number;
            let node = graph.node(task);
            writer.end_task(graph.layer.groups()[task as usize], node.hash(py)?);
            if node.is_named() {
                writer.name_task(number, node.key_text(py));
            }
            let times = given_retries.get(&task).copied().unwrap_or(retries);
            if times > 0 {
                writer.retry(number, times);
            }
            let in_block = match node.annotations() {
                Some(annotations) => asked_in_blocks.of(annotations.bind(py))?,
                None => None,
            };
            if let Some(asked) = in_block.as_ref().or(asked.as_ref()) {
                writer.ask(number, asked);
            }
            if let Some(&time) = time_limits.get(&task) {
                writer.limit_time(number, time);
            }
        }
        let first = self.shared.client.reserve(writer.len());
        let mut unique: Vec<u32> = wanted
            .iter()
            .map(|&task| place[task as usize])
            .filter(|&number| number != u32::MAX)
            .collect();
        unique.sort_unstable();
        unique.dedup();
        let mut holds: FxHashMap<u32, Held> = FxHashMap::default();
        let futures = wanted
            .iter()
            .map(|&task| {
                let node = graph.node(task);
                let hold = if let Some(hold) = &earlier[task as usize] {
                    hold.clone()
                } else {
                    let number = place[task as usize];
                    let identity = node.hash(py)?;
                    let hold = holds
                        .entry(number)
                        .or_insert_with(|| self.shared.hold(first + u64::from(number), identity));
                    hold.clone()
                };
                let name = Name::Key(node.key_object(py)?.unbind());
                Py::new(py, Future::new(hold, name))
            })
            .collect::<PyResult<Vec<_>>>()?;
        if writer.len() > 0 {
            self.shared.submit(py, writer, first, unique, priority);
        }
        Ok(futures)
    }

    /// Puts a value into the cluster.
    fn scatter<'py>(
        &self,
        py: Python<'py>,
        value: &Bound<'py, PyAny>,
        label: Bound<'py, PyString>,
        is_hashed: bool,
    ) -> PyResult<Py<Future>> {
        let values = std::slice::from_ref(value);
        let identity = self.identity_of(py, None, SCATTERED, values, None, is_hashed)?;
        let name = Name::Prefix(label.clone().unbind());
        if let Some(hold) = self.shared.find(identity) {
            return Py::new(py, Future::new(hold, name));
        }
        let mut writer = GraphWriter::new(&self.shared);
        writer.set_names(vec![label.to_cow()?.into_owned()]);
        match self.shared.stored(value)? {
            Some(Value::Stored(stored)) => writer.set_data(*stored),
            Some(Value::Inline(bytes)) => writer.program().1.extend_from_slice(&bytes),
            // What the user does to it later is not to be seen.
            Some(Value::Live) | None => writer.write_value(&ownership::separate(value)?)?,
        }
        writer.end_task(0, identity);
        let first = self.shared.client.reserve(1);
        let hold = self.shared.hold(first, identity);
        self.shared.submit(py, writer, first, vec![0], 0);
        Py::new(py, Future::new(hold, name))
    }

    /// Waits until all futures are done; `false` if time is up.
    fn wait_all(
        &self,
        py: Python<'_>,
        futures: Vec<Py<Future>>,
        timeout: Option<f64>,
    ) -> PyResult<bool> {
        let tasks = tasks_of(&self.shared, &futures)?;
        wait_all(py, &self.shared, &tasks, timeout)
    }

    /// Waits until one of the futures is done; `false` if time is up.
    fn wait_any(
        &self,
        py: Python<'_>,
        futures: Vec<Py<Future>>,
        timeout: Option<f64>,
    ) -> PyResult<bool> {
        let tasks = tasks_of(&self.shared, &futures)?;
        let is_done =
            wait_until(py, timeout, |at_most| self.shared.client.wait_any(&tasks, at_most))?;
        self.shared.show_output(py)?;
        Ok(is_done)
    }

    /// Results of futures, in order. The first error is raised; with `skip`, erred ones are left
    /// out.
    fn gather<'py>(
        &self,
        py: Python<'py>,
        futures: Vec<Py<Future>>,
        skip: bool,
    ) -> PyResult<Bound<'py, PyList>> {
        let tasks = tasks_of(&self.shared, &futures)?;
        let mut from = 0;
        // An error anywhere ends the wait, not just one at the front.
        let client = &self.shared.client;
        wait_until(py, None, |at_most| client.wait_all_or_error(&tasks, &mut from, skip, at_most))?;
        self.shared.show_output(py)?;
        let_others_run(py, || self.shared.client.fetch(&tasks));
        let results = PyList::empty(py);
        for future in &futures {
            let this = future.get();
            match self.shared.client.status(this.task()) {
                Some(oxidask_runtime::client::Status::Erred(problem)) => {
                    if !skip {
                        return Err(self.shared.exception_of(py, &problem)?);
                    }
                }
                Some(oxidask_runtime::client::Status::Finished) => {
                    match self.shared.value(py, this, None)? {
                        Fetched::Value(value) => results.append(value)?,
                        Fetched::Problem(_) if skip => {}
                        Fetched::Problem(problem) => {
                            return Err(self.shared.exception_of(py, &problem)?);
                        }
                        Fetched::Nothing => return Err(self.shared.closed_error(py)?),
                    }
                }
                _ if skip => {}
                _ => {
                    // An error elsewhere ended the wait.
                    for other in &futures {
                        if let Some(oxidask_runtime::client::Status::Erred(problem)) =
                            self.shared.client.status(other.get().task())
                        {
                            return Err(self.shared.exception_of(py, &problem)?);
                        }
                    }
                    return Err(self.shared.closed_error(py)?);
                }
            }
        }
        Ok(results)
    }

    /// Cancels futures.
    fn cancel(&self, py: Python<'_>, futures: Vec<Py<Future>>, reason: String) -> PyResult<()> {
        let tasks = tasks_of(&self.shared, &futures)?;
        let_others_run(py, || self.shared.client.say(FromClient::Cancel { tasks, reason }));
        Ok(())
    }

    /// Tries erred futures again.
    fn retry(&self, py: Python<'_>, futures: Vec<Py<Future>>) -> PyResult<()> {
        let tasks = tasks_of(&self.shared, &futures)?;
        self.shared.client.forget_errors(&tasks);
        let_others_run(py, || self.shared.client.say(FromClient::Retry { tasks }));
        Ok(())
    }

    /// The cluster, and the number of this client there.
    fn identity(&self, py: Python<'_>) -> PyResult<(u128, u64)> {
        self.shared.identity(py)
    }

    /// A future that another client of the cluster has made, or this one.
    fn adopt(
        &self,
        py: Python<'_>,
        client: u64,
        task: ClientTask,
        identity: u128,
        key: Py<PyAny>,
    ) -> PyResult<Py<Future>> {
        let (_, own) = self.shared.identity(py)?;
        let held = let_others_run(py, || self.shared.adopted(client, task, identity, own));
        Py::new(py, Future::new(held, Name::Key(key)))
    }

    /// Calls a function in workers now, outside of tasks: the number of each, and what it returned
    /// or raised.
    fn call<'py>(
        &self,
        py: Python<'py>,
        workers: Vec<u32>,
        function: &Bound<'py, PyAny>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Vec<(u32, bool, Py<PyAny>)>> {
        let mut program = Vec::new();
        let mut writer = GraphWriter::new(&self.shared);
        let mut objects = oxidask_protocol::Objects::default();
        if self.shared.is_one_process {
            let values: Vec<Bound<'_, PyAny>> = args.iter().collect();
            self.write_call(py, &mut writer, function, &values, kwargs)?;
            writer.end_task(0, 0);
            writer.set_names(vec![String::new()]);
            let (graph, _) = writer.finish(0, Vec::new(), 0, 0);
            program.extend_from_slice(&graph.program(0));
            objects = graph.objects;
        } else {
            let apply = py.import("oxidask._rebuild")?.getattr("apply")?;
            let kwargs = kwargs.map_or_else(|| PyDict::new(py), Clone::clone);
            for part in [&apply, function, args.as_any(), kwargs.as_any()] {
                write_pickle(&serialize::dump(part)?, &mut program);
            }
            write_call(3, &mut program);
        }
        let call = self.shared.client.next_call();
        let message = FromClient::Call {
            call,
            workers: workers.into_iter().map(WorkerId).collect(),
            program: program.into(),
            objects,
        };
        let_others_run(py, || self.shared.client.say(message));
        let mut answers = None;
        wait_until(py, None, |at_most| {
            answers = self.shared.client.take_answers(call, at_most);
            answers.is_some() || self.shared.client.closed().is_some()
        })?;
        let Some(answers) = answers else { return Err(self.shared.closed_error(py)?) };
        self.shared.show_output(py)?;
        answers
            .into_iter()
            .map(|(worker, answer)| match answer {
                Ok(value) => Ok((worker.0, true, self.shared.decode(py, &value)?)),
                Err(NoValue::Raised(error)) => {
                    let error = self.shared.error_of(py, &error)?;
                    Ok((worker.0, false, error.into_value(py).into_any()))
                }
                Err(NoValue::Died) => {
                    Ok((worker.0, false, problem(py, "died_in_a_call", ())?.unbind()))
                }
                Err(NoValue::Stopped { pid }) => {
                    Ok((worker.0, false, problem(py, "stopped_in_a_call", (pid,))?.unbind()))
                }
            })
            .collect()
    }

    /// Asks about the cluster: "workers", with a future "why" or "holders", with a key "why key", with
    /// futures "progress". JSON text.
    #[pyo3(signature = (question, future=None, key=None, futures=None))]
    fn ask(
        &self,
        py: Python<'_>,
        question: &str,
        future: Option<Py<Future>>,
        key: Option<String>,
        futures: Option<Vec<Py<Future>>>,
    ) -> PyResult<String> {
        let task = future.map(|future| future.get().task());
        let question = match (question, task) {
            ("workers", _) => Question::Workers,
            ("why", Some(task)) => Question::Why(task),
            ("holders", Some(task)) => Question::Holders(task),
            ("progress", None) => {
                Question::Progress(tasks_of(&self.shared, &futures.unwrap_or_default())?)
            }
            ("why key", None) => Question::WhyKey(key.unwrap_or_default()),
            _ => return Err(PyValueError::new_err(format!("no such question: {question:?}"))),
        };
        let call = self.shared.client.next_call();
        let_others_run(py, || self.shared.client.say(FromClient::Ask { call, question }));
        loop {
            if let Some(text) = let_others_run(py, || self.shared.client.take_told(call, TICK)) {
                return Ok(text);
            }
            if self.shared.client.closed().is_some() {
                return Err(self.shared.closed_error(py)?);
            }
            py.check_signals()?;
        }
    }

    /// Whether the workers are threads of this process, so that what tasks print is here already.
    #[getter]
    fn is_one_process(&self) -> bool {
        self.shared.is_one_process
    }

    /// Waits, at most so long, for output of tasks; says whether there is any.
    fn wait_for_output(&self, py: Python<'_>, timeout: f64) -> bool {
        let_others_run(py, || self.shared.client.wait_for_output(Duration::from_secs_f64(timeout)))
    }

    /// Output of tasks that has come, each piece with its kind, and how many pieces were dropped.
    fn output<'py>(&self, py: Python<'py>) -> PyResult<(Pieces<'py>, u64)> {
        let (bodies, dropped) = self.shared.client.take_output();
        Ok((pieces_of(py, &bodies)?, dropped))
    }

    /// Tells the cluster what was dropped.
    fn let_go(&self, py: Python<'_>) {
        let_others_run(py, || self.shared.client.let_go());
    }

    /// Why the connection ended, or None.
    fn closed(&self) -> Option<String> {
        self.shared.client.closed()
    }

    /// Says goodbye.
    fn close(&self, py: Python<'_>) {
        let_others_run(py, || {
            if let Some((cluster, number)) = &self.shared.near {
                cluster.client_lost(*number);
            } else {
                self.shared.client.say(FromClient::Close);
            }
            self.shared
                .client
                .deliver(ToClient::Closed { reason: "the client was closed".to_owned() });
            self.shared.client.close_arena();
        });
    }

    /// A queue into which futures fall when they are done.
    fn watch(&self) -> Watcher {
        Watcher { shared: Arc::clone(&self.shared), watch: Arc::default() }
    }
}

/// The futures whose results lazy values need or are.
#[pyfunction]
pub(crate) fn futures_in_graph(
    py: Python<'_>,
    tasks: Vec<Py<Delayed>>,
) -> PyResult<Vec<Py<PyAny>>> {
    let (graph, _) = collect(py, &tasks)?;
    let literals = graph.literals.iter();
    let futures = literals.filter(|literal| literal.bind(py).is_instance_of::<Future>());
    Ok(futures.map(|future| future.clone_ref(py)).collect())
}

/// The future that a lazy value stands for, if it is one.
fn future_of<'py>(py: Python<'py>, node: &Delayed) -> Option<Bound<'py, Future>> {
    match (&*node.template, &*node.literals) {
        ([_], [literal]) => literal.bind(py).cast::<Future>().ok().cloned(),
        _ => None,
    }
}

/// The numbers of futures of a client.
fn tasks_of(shared: &Arc<Shared>, futures: &[Py<Future>]) -> PyResult<Vec<ClientTask>> {
    futures
        .iter()
        .map(|future| {
            let future = future.get();
            if Arc::ptr_eq(future.shared(), shared) {
                Ok(future.task())
            } else {
                Err(other_client())
            }
        })
        .collect()
}

fn token_of<'py>(py: Python<'py>, function: &Bound<'py, PyAny>) -> PyResult<u128> {
    token(py, std::slice::from_ref(function), None)
}

/// Why a result cannot be had, with a note about its task.
fn noted(py: Python<'_>, note: &str, error: PyErr, future: &Future) -> PyResult<PyErr> {
    let module = py.import(intern!(py, "oxidask.distributed._problems"))?;
    let key = future.key(py)?.str()?;
    Ok(PyErr::from_value(module.getattr(note)?.call1((error.value(py), key))?))
}

/// What messages of workers say.
fn pieces_of<'py>(py: Python<'py>, bodies: &[Bytes]) -> PyResult<Pieces<'py>> {
    let pieces = bodies.iter().filter_map(|body| output::read(body)).map(|piece| {
        Ok(match piece {
            Piece::Text(kind, text) => (kind, PyString::new(py, text).into_any()),
            Piece::LeftOut(kind, count) => (kind, count.into_pyobject(py)?.into_any()),
            Piece::Other(kind, pickle) => (kind, PyBytes::new(py, pickle).into_any()),
        })
    });
    pieces.collect()
}

/// What tasks ask for that were made in blocks of `annotate`, by the annotations of the block.
#[derive(Default)]
struct AskedInBlocks(FxHashMap<usize, Option<Asked>>);

impl AskedInBlocks {
    fn of(&mut self, annotations: &Bound<'_, PyDict>) -> PyResult<Option<Asked>> {
        let key = annotations.as_ptr() as usize;
        if let Some(known) = self.0.get(&key) {
            return Ok(known.clone());
        }
        let py = annotations.py();
        let module = py.import(intern!(py, "oxidask.distributed._asking"))?;
        let asked: Option<AskedInPython> =
            module.getattr("asked_in_block")?.call1((annotations,))?.extract()?;
        let asked = asked.map(asked_of);
        self.0.insert(key, asked.clone());
        Ok(asked)
    }
}

/// A graph of calls of one function that is being written.
struct Batch<'a> {
    session: &'a Session,
    writer: GraphWriter,
    first: ClientTask,
    options: Options,
}

impl<'a> Batch<'a> {
    fn new(session: &'a Session, names: Vec<String>, options: Options) -> Self {
        let mut writer = GraphWriter::new(&session.shared);
        writer.set_names(names);
        let first = session.shared.client.reserve(LARGEST_BATCH);
        Self { session, writer, first, options }
    }

    fn end_task(&mut self, identity: u128, key: Option<&Bound<'_, PyAny>>) -> PyResult<Held> {
        let task = self.writer.len() as u32;
        self.writer.end_task(0, identity);
        if let Some(key) = key {
            self.writer.name_task(task, key.str()?.to_cow()?.into_owned());
        }
        if self.options.retries > 0 {
            self.writer.retry(task, self.options.retries);
        }
        if let Some(asked) = &self.options.asked {
            self.writer.ask(task, asked);
        }
        if let Some(time) = self.options.time_limit {
            self.writer.limit_time(task, time);
        }
        Ok(self.session.shared.hold(self.first + u64::from(task), identity))
    }

    fn submit(self, py: Python<'_>) {
        let count = self.writer.len() as u32;
        if count > 0 {
            let wanted = (0..count).collect();
            let priority = self.options.priority;
            self.session.shared.submit(py, self.writer, self.first, wanted, priority);
        }
    }
}

impl Session {
    fn new(
        client: Arc<Client>,
        objects: Arc<Objects>,
        arenas: Arc<Arenas>,
        near: Option<(Arc<Cluster>, u64)>,
        is_one_process: bool,
    ) -> Self {
        let clockless = near.as_ref().filter(|_| is_one_process);
        release_what_is_dropped(&client, clockless.map(|(cluster, _)| Arc::downgrade(cluster)));
        let shared = Arc::new(Shared {
            keeper: Arc::new(Keeper(Arc::downgrade(&client))),
            client,
            objects,
            near,
            is_one_process,
            arenas,
            registry: Mutex::default(),
            foreign: Mutex::default(),
            number: next_number(),
        });
        Self { shared }
    }

    fn identity_of<'py>(
        &self,
        py: Python<'py>,
        key: Option<&Bound<'py, PyAny>>,
        function_token: u128,
        values: &[Bound<'py, PyAny>],
        kwargs: Option<&Bound<'py, PyDict>>,
        pure: bool,
    ) -> PyResult<u128> {
        if let Some(key) = key {
            check_key(key, "submit(key=)")?;
            return token(py, std::slice::from_ref(key), Some(true));
        }
        if !pure {
            return match random_identity()? {
                Identity::Random(number) => Ok(number),
                _ => unreachable!("it was asked for one"),
            };
        }
        let mut content = Vec::with_capacity(64);
        content.extend_from_slice(&function_token.to_le_bytes());
        for value in values {
            if let Ok(future) = value.cast::<Future>() {
                content.push(0xfe);
                content.extend_from_slice(&future.get().identity().to_le_bytes());
            } else if !write_plain(value, &mut content)? {
                content.push(0xff);
                content.extend_from_slice(&token_of(py, value)?.to_le_bytes());
            }
        }
        if let Some(kwargs) = kwargs.filter(|kwargs| !kwargs.is_empty()) {
            let mut hash = Xxh3::new();
            hash.update(&content);
            hash.update(&token_of(py, kwargs.as_any())?.to_le_bytes());
            return Ok(hash.digest128());
        }
        Ok(xxh3_128(&content))
    }

    /// Writes a call into a graph.
    fn write_call<'py>(
        &self,
        py: Python<'py>,
        writer: &mut GraphWriter,
        function: &Bound<'py, PyAny>,
        values: &[Bound<'py, PyAny>],
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<()> {
        let written = (|| {
            writer.write_value(function)?;
            for value in values {
                self.write_argument(py, writer, value)?;
            }
            match kwargs.filter(|kwargs| !kwargs.is_empty()) {
                None => write_call(values.len() as u32, writer.program().1),
                Some(kwargs) => {
                    for value in kwargs.values() {
                        self.write_argument(py, writer, &value)?;
                    }
                    writer.write_value(PyTuple::new(py, kwargs.keys())?.as_any())?;
                    let count = (values.len() + kwargs.len()) as u32;
                    write_step(oxidask_graph::OpKind::CallKeywords(count), writer.program().1);
                }
            }
            Ok(())
        })();
        if written.is_err() {
            writer.abandon_task();
        }
        written
    }

    fn write_argument<'py>(
        &self,
        py: Python<'py>,
        writer: &mut GraphWriter,
        value: &Bound<'py, PyAny>,
    ) -> PyResult<()> {
        if write_plain(value, writer.program().1)? {
            return Ok(());
        }
        if value.is_instance_of::<Future>() {
            return writer.write_value(value);
        }
        let mut builder = CallBuilder::new(py);
        builder.push_value(value.clone())?;
        let call = builder.finish();
        if !call.dependencies.is_empty() {
            // A lazy value as an argument is computed in the cluster first.
            let tasks = call.dependencies.iter().map(|task| task.clone_ref(py)).collect();
            let futures = self.submit_graph(py, tasks, 0, 0, None)?;
            let template = oxidask_graph::Template(&call.template);
            return writer.write_template(py, template, &call.literals, |number| {
                Source::Earlier(futures[number as usize].get().hold_again())
            });
        }
        let template = oxidask_graph::Template(&call.template);
        writer.write_template(py, template, &call.literals, |_| Source::Here(0))
    }
}

/// A queue into which futures fall when they are done.
#[pyclass(frozen, module = "oxidask._core")]
pub(crate) struct Watcher {
    shared: Arc<Shared>,
    watch: Arc<Watch>,
}

#[pymethods]
impl Watcher {
    /// Adds futures.
    fn add(&self, py: Python<'_>, futures: Vec<Py<Future>>) -> PyResult<()> {
        let tasks = tasks_of(&self.shared, &futures)?;
        let_others_run(py, || self.shared.client.watch(&tasks, &self.watch));
        Ok(())
    }

    /// The number of the next one that is done; None if time is up.
    fn next(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Option<ClientTask>> {
        let mut task = None;
        wait_until(py, timeout, |at_most| {
            task = self.watch.next(at_most);
            task.is_some()
        })?;
        self.shared.show_output(py)?;
        Ok(task)
    }

    fn __len__(&self) -> usize {
        self.watch.len()
    }
}
