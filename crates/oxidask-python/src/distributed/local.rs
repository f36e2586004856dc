//! A cluster inside this process: its workers are threads here, results stay objects.

use std::cell::Cell;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Duration;

use bytes::Bytes;
use oxidask_protocol::{
    FromClient, FromWorker, Stored, TaskId, ToClient, ToWorker, Value, WorkerId,
};
use oxidask_runtime::client::{Client, Line};
use oxidask_runtime::cluster::{ClientLine, Cluster, Seat, Settings, WorkerInfo, WorkerLine};
use oxidask_runtime::worker::{Inbox, Mouth};
use oxidask_scheduler::Settings as SchedulerSettings;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use super::executor::{Executor, Home};
use super::objects::Objects;
use super::views::Pin;

use crate::evaluate::let_others_run;

thread_local! {
    /// Whether clients hear later of what the cluster says now.
    static IS_PUT_OFF: Cell<bool> = const { Cell::new(false) };
}

/// A task of this length is worth telling of at once.
const LONG_NS: u64 = 30_000;

/// A worker's way to a cluster in the same process.
struct Near {
    cluster: Weak<Cluster>,
    worker: WorkerId,
    clients: Arc<NearClients>,
}

impl Mouth for Near {
    /// The cluster hears it at once, and the next task may come of it. Of a short task clients hear
    /// with the next flush, when this thread does not hold the interpreter: a client that is woken
    /// before has to sleep again until it can have that.
    fn say(&self, message: FromWorker) {
        let Some(cluster) = self.cluster.upgrade() else { return };
        let is_short =
            matches!(&message, FromWorker::Ended { stretch, .. } if stretch.duration_ns < LONG_NS);
        IS_PUT_OFF.set(is_short);
        cluster.hear_worker(self.worker, [message]);
        IS_PUT_OFF.set(false);
    }

    fn flush(&self) {
        self.clients.flush();
    }
}

const NO_PANIC: &str = "nothing panics while the lock is held";

/// A cluster's way to a worker in the same process.
struct NearWorker(Arc<Inbox>);

impl WorkerLine for NearWorker {
    fn say(&self, message: ToWorker) -> Option<FromWorker> {
        self.0.deliver(message)
    }

    fn seats(&self) -> Vec<Seat> {
        self.0.seats()
    }
}

/// A client's way to a cluster in the same process.
pub(crate) struct NearCluster {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) client: u64,
}

impl Line for NearCluster {
    fn say(&self, message: FromClient) {
        self.cluster.hear_client(self.client, message);
    }

    fn give_arena(&self, descriptor: OwnedFd) -> Option<u32> {
        Some(self.cluster.client_arena_added(self.client, descriptor))
    }
}

/// A cluster's way to a client in the same process.
#[derive(Default)]
pub(crate) struct NearClient {
    pub(crate) client: OnceLock<Weak<Client>>,
    messages: Mutex<Vec<ToClient>>,
    /// Held by whoever delivers, so that messages come in order.
    delivery: Mutex<()>,
}

impl NearClient {
    fn deliver(&self) {
        let _turn = self.delivery.lock().expect(NO_PANIC);
        let messages = std::mem::take(&mut *self.messages.lock().expect(NO_PANIC));
        if let Some(client) = self.client.get().and_then(Weak::upgrade) {
            for message in messages {
                client.deliver(message);
            }
        }
    }
}

impl ClientLine for NearClient {
    fn say(&self, message: ToClient) {
        self.messages.lock().expect(NO_PANIC).push(message);
    }

    fn flush(&self) {
        if !IS_PUT_OFF.get() {
            self.deliver();
        }
    }
}

/// The clients of a cluster that are in its process.
#[derive(Default)]
pub(crate) struct NearClients(Mutex<Vec<Weak<NearClient>>>);

impl NearClients {
    pub(crate) fn add(&self, client: &Arc<NearClient>) {
        let mut clients = self.0.lock().expect(NO_PANIC);
        clients.retain(|other| other.strong_count() > 0);
        clients.push(Arc::downgrade(client));
    }

    /// Delivers what was put off.
    fn flush(&self) {
        let clients: Vec<Arc<NearClient>> =
            self.0.lock().expect(NO_PANIC).iter().filter_map(Weak::upgrade).collect();
        for client in clients {
            client.deliver();
        }
    }
}

/// Results and exceptions stay objects.
struct SameProcess {
    objects: Arc<Objects>,
    inbox: Arc<Inbox>,
}

impl Home for SameProcess {
    fn set_thread(&self, thread: usize, system_thread: u32) {
        self.inbox.set_thread(thread, system_thread);
    }

    fn now_running(&self, thread: usize, task: Option<TaskId>) {
        self.inbox.set_running(thread, task);
    }

    fn encode(&self, _value: &Bound<'_, PyAny>) -> PyResult<Option<(Value, u64)>> {
        Ok(None)
    }

    fn publish(&self, _value: &Bound<'_, PyAny>) -> PyResult<Value> {
        Err(PyRuntimeError::new_err("objects of one process need no publishing"))
    }

    fn view<'py>(
        &self,
        _py: Python<'py>,
        _stored: &Stored,
        _pin: &Arc<Pin>,
    ) -> PyResult<Bound<'py, PyAny>> {
        Err(PyRuntimeError::new_err("objects of one process are not in shared memory"))
    }

    fn encode_error(&self, py: Python<'_>, error: PyErr) -> Bytes {
        let value = error.value(py);
        if let Some(traceback) = error.traceback(py) {
            // An exception that refuses attributes comes without its frames.
            drop(value.setattr(pyo3::intern!(py, "__traceback__"), traceback));
        }
        self.objects.keep_error(value.clone().into_any().unbind())
    }
}

/// How many deaths a task may be part of, for how many seconds it may wait for a worker that can
/// run it, and for how many seconds a worker may stand still before its tasks run elsewhere.
pub(crate) type Limits = (u32, Option<f64>, Option<f64>);

/// A number of seconds; none is as good as no end, too.
pub(crate) fn duration(seconds: Option<f64>) -> Option<Duration> {
    seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
}

pub(crate) fn scheduler_settings((allowed_failures, timeout, _): Limits) -> SchedulerSettings {
    let timeout = duration(timeout);
    SchedulerSettings {
        allowed_failures,
        // As good as no end, and small enough to be added to a time.
        no_worker_timeout: timeout.unwrap_or(Duration::from_secs(u64::MAX / 4)),
        ..SchedulerSettings::default()
    }
}

/// A cluster whose workers are threads of this process.
#[pyclass(frozen, module = "oxidask._core")]
pub(crate) struct ThreadCluster {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) objects: Arc<Objects>,
    pub(crate) clients: Arc<NearClients>,
}

#[pymethods]
impl ThreadCluster {
    #[new]
    fn new(id: u128, limits: Limits, resources: Vec<(String, u64)>) -> Self {
        let scheduler = scheduler_settings(limits);
        let settings =
            Settings { scheduler, is_one_process: true, id, resources, ..Settings::default() };
        let cluster = Arc::new(Cluster::new(settings));
        Self { cluster, objects: Arc::default(), clients: Arc::default() }
    }

    /// Adds a worker; its threads are to be started by the caller.
    fn add_worker(&self, py: Python<'_>, threads: u32, name: Option<String>) -> Executor {
        let_others_run(py, || {
            let worker = self.cluster.next_worker();
            // Without a GIL a client has nothing that a thread would have to wait for.
            let inbox = if cfg!(Py_GIL_DISABLED) { Inbox::new } else { Inbox::beside_clients };
            let inbox = Arc::new(inbox(threads as usize));
            let cluster = Arc::downgrade(&self.cluster);
            let mouth = Arc::new(Near { cluster, worker, clients: Arc::clone(&self.clients) });
            let home = Arc::new(SameProcess {
                objects: Arc::clone(&self.objects),
                inbox: Arc::clone(&inbox),
            });
            let name = name.unwrap_or_else(|| (worker.0 - 1).to_string());
            let info = WorkerInfo { pid: std::process::id(), threads, arena: None, name };
            let line = Arc::new(NearWorker(Arc::clone(&inbox)));
            self.cluster.worker_joined(worker, info, line);
            Executor::new(inbox, mouth, Arc::clone(&self.objects), home)
        })
    }

    /// Cancels all tasks of all clients.
    fn cancel_all(&self, py: Python<'_>, reason: &str) {
        let_others_run(py, || self.cluster.cancel_all(reason));
    }

    /// Ends the cluster: clients are told, workers leave once their tasks have ended.
    fn close(&self, py: Python<'_>, reason: &str) {
        let_others_run(py, || self.cluster.close(reason));
    }
}
