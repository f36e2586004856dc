//! A cluster of worker processes on this machine, and such a worker.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Duration;

use bytes::Bytes;
use oxidask_protocol::{Stored, TaskId, Value, WorkerId};
use oxidask_runtime::arenas::Arenas;
use oxidask_runtime::cluster::{Cluster, Settings};
use oxidask_runtime::node::zygote::{
    ExitCause, WorkerNumber, WorkerOptions, Zygote, ZygoteEvent, ZygoteOptions,
};
use oxidask_runtime::node::{
    Host, HostSettings, Launch, Launcher, Listeners, MemoryLimits, MemorySettings, RemoteMouth,
    WorkerProcess,
};
use oxidask_runtime::resources::machine_time;
use oxidask_store::socket_folder::{Listener, SocketFolder};
use oxidask_store::{Arena, Extent, Slots};
use pyo3::exceptions::{PyOSError, PyRuntimeError};
use pyo3::prelude::*;

use super::executor::{Executor, Home};
use super::local::{Limits, duration, scheduler_settings};
use super::objects::Objects;
use super::serialize;
use super::views::{self, LetGo, Pin, store_error};

use crate::evaluate::let_others_run;

/// A cluster whose workers are processes of this machine.
#[pyclass(frozen, module = "oxidask._core")]
pub(crate) struct ProcessCluster {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) host: Arc<Host>,
    /// The sockets' files go with these.
    sockets: Mutex<Vec<Listener>>,
}

#[pymethods]
impl ProcessCluster {
    #[new]
    #[expect(clippy::too_many_arguments, reason = "Python's options, one by one")]
    fn new(
        py: Python<'_>,
        id: u128,
        limits: Limits,
        resources: Vec<(String, u64)>,
        folder: PathBuf,
        workers: u32,
        threads: u32,
        blas_threads: u32,
        interpreter: &Bound<'_, PyAny>,
        hash_seed: u32,
        memory: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let memory_limits = memory.map(memory_limits).transpose()?;
        let memory = memory.map(memory_settings).transpose()?;
        let options = zygote_options(interpreter, hash_seed)?;
        let_others_run(py, || {
            let sockets = SocketFolder::open(&folder).map_err(store_error)?;
            let for_workers = sockets.listen("worker.sock").map_err(store_error)?;
            let for_clients = sockets.listen("scheduler.sock").map_err(store_error)?;
            let cluster = Arc::new(Cluster::new(Settings {
                scheduler: scheduler_settings(limits),
                is_one_process: false,
                id,
                resources,
                memory: memory_limits,
                worker_ttl: duration(limits.2),
            }));
            let forks = Arc::new(Forks {
                options,
                blas_threads,
                host: OnceLock::new(),
                state: Mutex::default(),
            });
            let settings = HostSettings { workers, threads, folder, memory };
            let listeners = Listeners {
                workers: for_workers.socket().try_clone()?,
                clients: for_clients.socket().try_clone()?,
            };
            let launcher = Box::new(Forking(Arc::clone(&forks)));
            let host = Host::start(Arc::clone(&cluster), settings, listeners, launcher)?;
            forks.host.get_or_init(|| Arc::downgrade(&host));
            Ok(Self { cluster, host, sockets: Mutex::new(vec![for_workers, for_clients]) })
        })
    }

    /// Waits until so many workers are there; `false` if time is up.
    fn wait_for_workers(&self, py: Python<'_>, count: u32, timeout: f64) -> PyResult<bool> {
        let until = std::time::Instant::now() + Duration::from_secs_f64(timeout);
        loop {
            let tick = Duration::from_millis(50);
            let left = until.saturating_duration_since(std::time::Instant::now());
            match let_others_run(py, || self.host.wait_for_workers(count, left.min(tick))) {
                Ok(true) => return Ok(true),
                Ok(false) if left.is_zero() => return Ok(false),
                Ok(false) => py.check_signals()?,
                Err(problem) => return Err(PyRuntimeError::new_err(problem)),
            }
        }
    }

    /// Starts one more worker.
    fn add_worker(&self, py: Python<'_>) -> PyResult<()> {
        Ok(let_others_run(py, || self.host.launch_worker())?)
    }

    /// Starts some workers anew; with `cancels`, all tasks of all clients are cancelled before.
    fn restart(&self, py: Python<'_>, workers: Vec<u32>, cancels: bool) {
        let_others_run(py, || {
            if cancels {
                self.cluster.cancel_all("the cluster was restarted");
            }
            let workers: Vec<WorkerId> = workers.into_iter().map(WorkerId).collect();
            self.host.restart(&workers);
        });
    }

    /// Ends all workers; kills those that have not gone after so many seconds.
    fn close(&self, py: Python<'_>, patience: f64) {
        let_others_run(py, || {
            self.host.close(Duration::from_secs_f64(patience));
            self.sockets.lock().expect("nothing panics while the lock is held").clear();
        });
    }
}

fn memory_limits(memory: &Bound<'_, PyAny>) -> PyResult<MemoryLimits> {
    let nbytes = |name: &str| -> PyResult<u64> { memory.getattr(name)?.extract() };
    Ok(MemoryLimits {
        budget: nbytes("budget")?,
        spill_at: nbytes("spill_at")?,
        roots_at: nbytes("roots_at")?,
        pause_at: nbytes("pause_at")?,
    })
}

fn memory_settings(memory: &Bound<'_, PyAny>) -> PyResult<MemorySettings> {
    Ok(MemorySettings {
        worker_limit: memory.getattr("worker_limit")?.extract()?,
        spill_folder: memory.getattr("folder")?.extract()?,
    })
}

/// Bytes of memory that this process may use.
#[pyfunction]
pub(crate) fn memory_size() -> u64 {
    oxidask_runtime::resources::memory_size()
}

/// Whether files in a folder are in memory.
#[pyfunction]
pub(crate) fn is_in_memory(folder: PathBuf) -> bool {
    oxidask_store::is_in_memory(&folder)
}

/// Modules that each worker needs: imported once, before workers are forked.
const IMPORTS: [&str; 3] = ["numpy", "cloudpickle", "oxidask.distributed"];

fn zygote_options(interpreter: &Bound<'_, PyAny>, hash_seed: u32) -> PyResult<ZygoteOptions> {
    let strings = |name: &str| -> PyResult<Vec<OsString>> { interpreter.getattr(name)?.extract() };
    let environment: BTreeMap<OsString, OsString> =
        interpreter.getattr("environment")?.extract()?;
    Ok(ZygoteOptions {
        python: interpreter.getattr("python")?.extract()?,
        arguments: strings("arguments")?,
        script: interpreter.getattr("script")?.extract()?,
        environment: environment.into_iter().collect(),
        folder: interpreter.getattr("folder")?.extract()?,
        search_path: strings("search_path")?,
        hash_seed,
        imports: IMPORTS.map(str::to_owned).to_vec(),
        worker_main: "oxidask._worker:main".to_owned(),
    })
}

/// Starts workers as forks of a zygote.
struct Forks {
    options: ZygoteOptions,
    blas_threads: u32,
    host: OnceLock<Weak<Host>>,
    state: Mutex<ForksState>,
}

#[derive(Default)]
struct ForksState {
    zygote: Option<Zygote>,
    has_ended: bool,
    alive: BTreeSet<WorkerId>,
}

const NO_PANIC: &str = "nothing panics while the lock is held";

impl Forks {
    fn happened(&self, event: ZygoteEvent) {
        let mut exited = Vec::new();
        match event {
            ZygoteEvent::Ready | ZygoteEvent::WorkerStarted { .. } => {}
            ZygoteEvent::WorkerNotStarted { number, reason } => {
                exited.push((WorkerId(number.0), format!("could not be started: {reason}")));
            }
            ZygoteEvent::WorkerExited { number, cause, .. } => {
                exited.push((WorkerId(number.0), how_it_ended(cause)));
            }
            ZygoteEvent::Ended { cause, reason } => {
                let mut state = self.state.lock().expect(NO_PANIC);
                state.has_ended = true;
                let how = reason.map_or_else(
                    || format!("ended with its parent, which {}", how_it_ended(cause)),
                    |reason| format!("could not be started: {reason}"),
                );
                exited.extend(state.alive.iter().map(|&worker| (worker, how.clone())));
            }
        }
        let host = self.host.get().and_then(Weak::upgrade);
        for (worker, how) in exited {
            self.state.lock().expect(NO_PANIC).alive.remove(&worker);
            if let Some(host) = &host {
                host.worker_exited(worker, &how);
            }
        }
    }
}

struct Forking(Arc<Forks>);

impl Launcher for Forking {
    fn launch(&self, launch: &Launch) -> io::Result<()> {
        let mut state = self.0.state.lock().expect(NO_PANIC);
        if state.has_ended {
            state.has_ended = false;
            let ended = state.zygote.take();
            drop(state);
            // Its thread may want the lock for its last event.
            drop(ended);
            state = self.0.state.lock().expect(NO_PANIC);
        }
        if state.zygote.is_none() {
            let forks = Arc::downgrade(&self.0);
            let on_event = move |event| {
                if let Some(forks) = forks.upgrade() {
                    forks.happened(event);
                }
            };
            state.zygote = Some(Zygote::start(self.0.options.clone(), on_event)?);
        }
        state.alive.insert(launch.worker);
        let worker = WorkerOptions {
            number: WorkerNumber(launch.worker.0),
            socket_path: launch.socket.clone(),
            threads: launch.threads,
            blas_threads: self.0.blas_threads,
        };
        state.zygote.as_ref().expect("it was made above").start_worker(&worker)
    }

    fn kill(&self, worker: WorkerId) {
        const KILL: i32 = rustix::process::Signal::KILL.as_raw();
        let state = self.0.state.lock().expect(NO_PANIC);
        if let Some(zygote) = &state.zygote {
            // If the zygote is gone, so is the worker.
            drop(zygote.signal_worker(WorkerNumber(worker.0), KILL));
        }
    }

    fn stop(&self) {
        let zygote = self.0.state.lock().expect(NO_PANIC).zygote.take();
        drop(zygote);
    }
}

fn how_it_ended(cause: ExitCause) -> String {
    match cause {
        ExitCause::Code(code) => format!("exited with status {code}"),
        ExitCause::Signal(signal) => {
            let name = name_of(signal).map_or(String::new(), |name| format!(" ({name})"));
            format!("was killed by signal {signal}{name}")
        }
        ExitCause::Unknown => "ended, and somebody else knows how".to_owned(),
    }
}

/// Names of signals that end processes, by their numbers on Linux.
fn name_of(signal: i32) -> Option<&'static str> {
    Some(match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        15 => "SIGTERM",
        24 => "SIGXCPU",
        31 => "SIGSYS",
        _ => return None,
    })
}

// ---- In a worker process ----

/// Results in shared memory and messages.
struct OwnProcess {
    arena: Arc<Arena>,
    number: u32,
    slots: Arc<Slots>,
    arenas: Arc<Arenas>,
    keeper: Arc<dyn LetGo>,
}

struct Unpin(Arc<RemoteMouth>);

impl LetGo for Unpin {
    fn let_go(&self, arena: u32, offset: u64) {
        self.0.unpin(arena, offset);
    }
}

impl Home for OwnProcess {
    fn is_one_process(&self) -> bool {
        false
    }

    fn encode(&self, value: &Bound<'_, PyAny>) -> PyResult<Option<(Value, u64)>> {
        match serialize::way_of(value)?.as_str() {
            "live" => Ok(None),
            _ => views::store(value, &self.arena, self.number).map(Some),
        }
    }

    fn publish(&self, value: &Bound<'_, PyAny>) -> PyResult<Value> {
        Ok(views::store(value, &self.arena, self.number)?.0)
    }

    fn pin(&self, stored: &Stored) -> Option<Arc<Pin>> {
        Some(Pin::new(Arc::clone(&self.keeper), stored))
    }

    fn view<'py>(
        &self,
        py: Python<'py>,
        stored: &Stored,
        pin: &Arc<Pin>,
    ) -> PyResult<Bound<'py, PyAny>> {
        views::view(py, &self.arenas, stored, pin)
    }

    fn encode_error(&self, py: Python<'_>, error: PyErr) -> Bytes {
        serialize::dump_error(&error, py).into()
    }

    fn set_thread(&self, thread: usize, system_thread: u32) {
        self.slots.set_thread(thread, system_thread);
    }

    fn now_running(&self, thread: usize, task: Option<TaskId>) {
        self.slots.set(thread, task.map_or(0, |task| u64::from(task.0) + 1));
    }

    fn ends_when_overdue(&self) -> bool {
        true
    }

    fn set_deadline(&self, place: usize, task: TaskId, left: Duration) {
        let deadline = machine_time().saturating_add(left).as_nanos();
        let deadline = u64::try_from(deadline).unwrap_or(u64::MAX);
        self.slots.set_deadline(place, u64::from(task.0) + 1, deadline);
    }

    fn clear_deadline(&self, place: usize) {
        self.slots.clear_deadline(place);
    }

    fn free(&self, offset: u64, length: u64) {
        // Memory that could not be given back to the system is used again all the same.
        drop(self.arena.free(Extent { offset, length }));
    }

    fn keep_idle(&self, nbytes: u64) {
        drop(self.arena.keep_idle(nbytes));
    }
}

/// Connects this process to a node as one of its workers. When the connection ends, so does the
/// process, at once.
#[pyfunction]
pub(crate) fn worker_process(
    py: Python<'_>,
    socket: PathBuf,
    number: u32,
    threads: u32,
) -> PyResult<Executor> {
    let_others_run(py, || connect(&socket, number, threads))
}

fn connect(socket: &Path, number: u32, threads: u32) -> PyResult<Executor> {
    let worker = WorkerProcess::connect(socket, WorkerId(number), threads, || {
        // Nobody is left to work for; running tasks are not waited for.
        std::thread::sleep(Duration::from_millis(200));
        end_process();
    })
    .map_err(|error| PyOSError::new_err(error.to_string()))?;
    let keeper = Arc::new(Unpin(Arc::clone(&worker.mouth)));
    let home = OwnProcess {
        arena: worker.arena,
        number,
        slots: worker.slots,
        arenas: worker.arenas,
        keeper,
    };
    Ok(Executor::new(worker.inbox, worker.mouth, Arc::<Objects>::default(), Arc::new(home)))
}

fn end_process() -> ! {
    rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL).ok();
    std::process::abort()
}
