//! The thread of a node: reads what workers say, starts new ones for those that died.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use oxidask_protocol::{FromWorker, TaskId, ToClient, ToWorker, WorkerId};
use oxidask_store::{pass, read_deadlines, read_slots, read_threads};

use super::connection::{Receiver, Sender};
use super::hearing::{Connections, Heard, Talker, WorkersEar, hear_client};
use super::memory::{Meter, Overgrown};
use super::poller::{Poller, Ready};
use super::spiller::Spiller;
use super::stopped::stopped_workers;
use crate::arenas::Arenas;
use crate::cluster::{ClientLine, Cluster, Death, Seat, WorkerInfo, WorkerLine};
use crate::listening::Listening;
use crate::resources::machine_time;

/// Numbers of the listening sockets among the poller's: where workers connect, and clients.
const WORKERS: u64 = 0;
const CLIENTS: u64 = 1;
/// How long the cause of a worker's death may take to arrive after its connection broke.
const CAUSE_DELAY: Duration = Duration::from_secs(2);
/// How often deadlines are looked at.
const TICK: Duration = Duration::from_millis(200);
/// Workers that may die one after the other before one has joined.
const FALSE_STARTS: u32 = 3;

/// A worker that is to be started.
#[derive(Clone, Debug)]
pub struct Launch {
    /// Its number.
    pub worker: WorkerId,
    /// Where it is to connect.
    pub socket: PathBuf,
    /// Threads that run tasks.
    pub threads: u32,
}

/// Starts processes; it tells [`Host::worker_exited`] when they end.
pub trait Launcher: Send + Sync + 'static {
    /// Starts a worker.
    fn launch(&self, launch: &Launch) -> io::Result<()>;

    /// Ends a worker at once, if it is alive.
    fn kill(&self, worker: WorkerId);

    /// Starts no more, and lets go of those that are there.
    fn stop(&self);
}

/// What can be set.
#[derive(Clone, Debug)]
pub struct HostSettings {
    /// How many workers there are to be.
    pub workers: u32,
    /// Threads of each.
    pub threads: u32,
    /// A folder that only this user can enter.
    pub folder: PathBuf,
    /// What each may have of memory, if that is limited.
    pub memory: Option<MemorySettings>,
}

/// How workers' memory is limited.
#[derive(Clone, Debug)]
pub struct MemorySettings {
    /// Bytes that a worker may have for itself; it is ended if it takes more.
    pub worker_limit: u64,
    /// Where results are written that do not fit into memory; nowhere if there is none.
    pub spill_folder: Option<PathBuf>,
}

#[derive(Default)]
struct Shared {
    /// How workers ended, as far as is known, until it was dealt with.
    exits: BTreeMap<WorkerId, String>,
    /// Why this node has ended workers.
    causes: BTreeMap<WorkerId, String>,
    /// Workers that are being ended for the sake of tasks that did not stop in time, since when.
    overdue: BTreeMap<WorkerId, Duration>,
    /// Workers that were started and have not joined.
    starting: BTreeMap<WorkerId, Instant>,
    joined: u32,
    /// Workers that failed to start and are to be replaced.
    to_replace: u32,
    false_starts: u32,
    /// Why no worker can be started.
    problem: Option<String>,
    names: BTreeMap<WorkerId, String>,
    /// Workers that are being ended to be started anew.
    restarted: BTreeSet<WorkerId>,
}

/// A node with worker processes.
pub struct Host {
    cluster: Arc<Cluster>,
    settings: HostSettings,
    poller: Arc<Poller>,
    connections: Arc<Connections>,
    listening: Arc<Listening>,
    launcher: Box<dyn Launcher>,
    shared: Mutex<Shared>,
    changed: Condvar,
    is_closing: AtomicBool,
    spiller: Option<Spiller>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// The way to a worker process.
struct SocketWorker {
    sender: Arc<Sender>,
    number: u64,
    poller: Arc<Poller>,
    arenas: Arc<Arenas>,
    slots: Arc<OwnedFd>,
}

impl WorkerLine for SocketWorker {
    fn say(&self, message: ToWorker) -> Option<FromWorker> {
        self.sender.push(&message);
        None
    }

    fn give_arena(&self, arena: u32) {
        if let Some(descriptor) = self.arenas.get(arena) {
            self.sender.push_with(&ToWorker::Arena { arena }, vec![descriptor]);
        }
    }

    fn flush(&self) {
        self.sender.flush_with(&self.poller, self.number);
    }

    fn seats(&self) -> Vec<Seat> {
        let places = read_threads(self.slots.as_fd()).unwrap_or_default();
        let seat = |(place, system_thread, number)| Seat {
            thread: place as u32,
            system_thread,
            task: task_of(number),
        };
        places.into_iter().map(seat).collect()
    }
}

/// The way to a client in another process.
struct SocketClient {
    sender: Arc<Sender>,
    number: u64,
    poller: Arc<Poller>,
    arenas: Arc<Arenas>,
}

impl ClientLine for SocketClient {
    fn say(&self, message: ToClient) {
        self.sender.push(&message);
    }

    fn give_arena(&self, arena: u32) {
        if let Some(descriptor) = self.arenas.get(arena) {
            self.sender.push_with(&ToClient::Arena { arena }, vec![descriptor]);
        }
    }

    fn flush(&self) {
        self.sender.flush_with(&self.poller, self.number);
    }
}

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug)]
enum Peer {
    /// A worker that has not said which.
    Unknown,
    Worker(WorkerId),
    Client(u64),
}

/// A connection, as the node's thread sees it.
struct Connection {
    sender: Arc<Sender>,
    heard: Arc<Mutex<Heard>>,
    peer: Peer,
    slots: Option<Arc<OwnedFd>>,
    /// When it broke.
    broken: Option<Instant>,
}

impl Connection {
    /// The tasks that the worker runs, or ran when it died.
    fn running(&self) -> Vec<TaskId> {
        self.slots
            .as_ref()
            .and_then(|slots| read_slots(slots.as_fd()).ok())
            .unwrap_or_default()
            .into_iter()
            .filter_map(task_of)
            .collect()
    }

    /// Those that should have stopped by now, and do not.
    fn overdue(&self, now: Duration) -> Vec<TaskId> {
        let read = |slots: &Arc<OwnedFd>| read_deadlines(slots.as_fd()).ok();
        self.slots
            .as_ref()
            .and_then(read)
            .unwrap_or_default()
            .into_iter()
            .filter(|&(_, deadline)| Duration::from_nanos(deadline) <= now)
            .filter_map(|(number, _)| task_of(number))
            .collect()
    }
}

/// The task for which a number stands, if it does for one.
fn task_of(number: u64) -> Option<TaskId> {
    u32::try_from(number.checked_sub(1)?).ok().map(TaskId)
}

/// Where workers and clients connect.
pub struct Listeners {
    /// For workers.
    pub workers: UnixListener,
    /// For clients.
    pub clients: UnixListener,
}

impl Host {
    /// Starts the node's thread and its workers. The listeners are in the settings' folder.
    pub fn start(
        cluster: Arc<Cluster>,
        settings: HostSettings,
        listeners: Listeners,
        launcher: Box<dyn Launcher>,
    ) -> io::Result<Arc<Self>> {
        let poller = Arc::new(Poller::new()?);
        for (number, listener) in [(WORKERS, &listeners.workers), (CLIENTS, &listeners.clients)] {
            listener.set_nonblocking(true)?;
            poller.add(number, listener)?;
        }
        let spill_folder = settings.memory.as_ref().and_then(|memory| memory.spill_folder.clone());
        let spiller = spill_folder.map(|folder| Spiller::start(&cluster, folder)).transpose()?;
        let connections = Connections::new(Arc::clone(&cluster), Arc::clone(&poller))?;
        let connections = Arc::new(connections);
        let host = Arc::new(Self {
            cluster,
            settings,
            poller,
            listening: Arc::new(Listening::new(WorkersEar(Arc::clone(&connections)))),
            connections,
            launcher,
            shared: Mutex::default(),
            changed: Condvar::new(),
            is_closing: AtomicBool::new(false),
            spiller,
            thread: Mutex::default(),
        });
        for _ in 0..host.settings.workers {
            host.launch_worker()?;
        }
        let served = Arc::clone(&host);
        let thread = std::thread::Builder::new()
            .name("oxidask-node".to_owned())
            .spawn(move || served.serve(&listeners))?;
        *host.thread.lock().expect("nothing panics while the lock is held") = Some(thread);
        Ok(host)
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().expect("nothing panics while the lock is held")
    }

    /// Where clients in this process may listen while they wait.
    pub fn listening(&self) -> Weak<Listening> {
        Arc::downgrade(&self.listening)
    }

    /// Where workers connect.
    pub fn socket(folder: &Path) -> PathBuf {
        folder.join("worker.sock")
    }

    /// Starts one more worker.
    pub fn launch_worker(&self) -> io::Result<()> {
        let worker = self.cluster.next_worker();
        let launch = Launch {
            worker,
            socket: Self::socket(&self.settings.folder),
            threads: self.settings.threads,
        };
        self.lock().starting.insert(worker, Instant::now());
        self.launcher.launch(&launch)
    }

    /// Waits, at most so long, until so many workers have joined.
    ///
    /// # Errors
    /// If none can be started: why.
    pub fn wait_for_workers(&self, count: u32, at_most: Duration) -> Result<bool, String> {
        let (shared, _) = self
            .changed
            .wait_timeout_while(self.lock(), at_most, |shared| {
                shared.joined < count && shared.problem.is_none()
            })
            .expect("nothing panics while the lock is held");
        match &shared.problem {
            Some(problem) => Err(problem.clone()),
            None => Ok(shared.joined >= count),
        }
    }

    /// A worker's process has ended: how, in words.
    pub fn worker_exited(&self, worker: WorkerId, how: &str) {
        let mut shared = self.lock();
        let has_failed = shared.starting.remove(&worker).is_some();
        shared.exits.insert(worker, how.to_owned());
        if has_failed && !self.is_closing.load(Ordering::SeqCst) {
            shared.false_starts += 1;
            if shared.false_starts >= FALSE_STARTS {
                shared.problem = Some(format!("workers do not start: the last one {how}"));
            }
        }
        // The node's thread does it: this one may be what a launcher waits for.
        shared.to_replace += u32::from(has_failed && shared.problem.is_none());
        drop(shared);
        self.changed.notify_all();
        self.poller.wake();
    }

    /// Ends some workers, and starts others in their place; they are not blamed for it.
    pub fn restart(&self, workers: &[WorkerId]) {
        self.lock().restarted.extend(workers);
        for &worker in workers {
            self.launcher.kill(worker);
        }
    }

    fn replace(&self) {
        if let Err(error) = self.launch_worker() {
            self.lock().problem = Some(format!("a worker could not be started: {error}"));
            self.changed.notify_all();
        }
    }

    /// Ends all workers: first asks them, and kills those that have not gone in time.
    pub fn close(&self, patience: Duration) {
        if self.is_closing.swap(true, Ordering::SeqCst) {
            return;
        }
        let workers = self.cluster.workers();
        self.cluster.close("the cluster was closed");
        let deadline = Instant::now() + patience;
        let mut shared = self.lock();
        for (worker, _) in workers {
            while !shared.exits.contains_key(&worker) {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    self.launcher.kill(worker);
                    break;
                }
                shared = self
                    .changed
                    .wait_timeout(shared, left)
                    .expect("nothing panics while the lock is held")
                    .0;
            }
        }
        drop(shared);
        self.launcher.stop();
        self.poller.wake();
        let thread = self.thread.lock().expect("nothing panics while the lock is held").take();
        if let Some(thread) = thread {
            // A panic there was printed there.
            drop(thread.join());
        }
        if let Some(spiller) = &self.spiller {
            spiller.stop(&self.cluster);
        }
        // Their sockets and memory go now, not with the last reference to the cluster.
        for (worker, _) in self.cluster.workers() {
            self.cluster.worker_lost(worker, Death::default());
        }
    }

    // ---- The node's thread ----

    fn serve(&self, listeners: &Listeners) {
        let mut connections: BTreeMap<u64, Connection> = BTreeMap::new();
        let mut next = CLIENTS + 1;
        let mut ready: Vec<Ready> = Vec::new();
        let mut ticked = Instant::now();
        let mut meter = self.settings.memory.as_ref().map(|memory| Meter::new(memory.worker_limit));
        while !self.is_closing.load(Ordering::SeqCst) {
            let pause = meter.as_ref().map_or(TICK, |meter| meter.pause().min(TICK));
            if self.poller.wait(Some(pause), &mut ready).is_err() {
                break;
            }
            for one in &ready {
                if one.number == WORKERS {
                    self.accept(&listeners.workers, false, &mut connections, &mut next);
                } else if one.number == CLIENTS {
                    self.accept(&listeners.clients, true, &mut connections, &mut next);
                } else if let Some(connection) = connections.get_mut(&one.number) {
                    self.serve_connection(one, connection);
                }
            }
            self.bury(&mut connections, meter.as_ref());
            // In a statement of its own: who replaces takes the lock, too.
            let to_replace = std::mem::take(&mut self.lock().to_replace);
            for _ in 0..to_replace {
                self.replace();
            }
            if let Some(meter) = meter.as_mut().filter(|meter| meter.pause().is_zero()) {
                self.look_at_memory(meter, &connections);
            }
            if ticked.elapsed() > TICK {
                ticked = Instant::now();
                self.cluster.saw_stopped(&stopped_workers(&self.cluster));
                self.look_at_deadlines(&connections);
                self.cluster.tick();
            }
        }
        // Their sockets go now, not with the last reference to the cluster.
        self.connections.clear();
        for connection in connections.values() {
            if let Peer::Client(client) = connection.peer {
                self.cluster.client_lost(client);
            }
        }
    }

    /// Ends workers that have taken more memory than they may.
    fn look_at_memory(&self, meter: &mut Meter, connections: &BTreeMap<u64, Connection>) {
        let workers = connections.values().filter_map(|connection| match connection.peer {
            Peer::Worker(worker) if connection.broken.is_none() => {
                Some((worker, connection.running()))
            }
            _ => None,
        });
        for Overgrown { worker, cause } in meter.look(&self.cluster, workers) {
            self.lock().causes.entry(worker).or_insert(cause);
            self.launcher.kill(worker);
        }
    }

    /// Ends workers that run a task whose time is up and that does not stop.
    fn look_at_deadlines(&self, connections: &BTreeMap<u64, Connection>) {
        let now = machine_time();
        for connection in connections.values() {
            let (Peer::Worker(worker), None) = (connection.peer, connection.broken) else {
                continue;
            };
            if connection.overdue(now).is_empty() {
                continue;
            }
            if self.lock().overdue.insert(worker, now).is_none() {
                self.launcher.kill(worker);
            }
        }
    }

    fn accept(
        &self,
        listener: &UnixListener,
        is_client: bool,
        connections: &mut BTreeMap<u64, Connection>,
        next: &mut u64,
    ) {
        while let Ok((socket, _)) = listener.accept() {
            let own = rustix::process::getuid().as_raw();
            let is_ours = pass::peer_uid(&socket).is_ok_and(|uid| uid == own);
            if !is_ours || socket.set_nonblocking(true).is_err() {
                continue;
            }
            let number = *next;
            *next += 1;
            if self.poller.add(number, &socket).is_err() {
                continue;
            }
            let sender = Arc::new(Sender::new(socket));
            let peer = if is_client {
                let line = SocketClient {
                    sender: Arc::clone(&sender),
                    number,
                    poller: Arc::clone(&self.poller),
                    arenas: self.cluster.arenas(),
                };
                Peer::Client(self.cluster.client_joined(Arc::new(line)))
            } else {
                Peer::Unknown
            };
            let heard = Arc::default();
            if let Peer::Client(client) = peer {
                self.connections.add(number, Talker::Client(client), &sender, &heard);
            }
            let connection = Connection { sender, heard, peer, slots: None, broken: None };
            connections.insert(number, connection);
        }
    }

    fn serve_connection(&self, ready: &Ready, connection: &mut Connection) {
        if ready.is_writable {
            connection.sender.flush_with(&self.poller, ready.number);
        }
        if connection.broken.is_some() {
            return;
        }
        let heard = Arc::clone(&connection.heard);
        let mut heard = heard.lock().expect("nothing panics while the lock is held");
        let is_open = heard.receiver.receive(connection.sender.socket()).unwrap_or(false);
        let is_sound = !heard.is_to_end
            && match connection.peer {
                Peer::Client(client) => hear_client(&self.cluster, client, &mut heard.receiver),
                Peer::Unknown | Peer::Worker(_) => {
                    self.hear_worker(ready.number, connection, &mut heard.receiver)
                }
            };
        if !is_sound || !is_open {
            heard.is_over = true;
            connection.sender.end(&self.poller);
            self.connections.remove(ready.number);
            connection.broken = Some(Instant::now());
            if let (Peer::Worker(worker), false) = (connection.peer, is_sound) {
                self.launcher.kill(worker);
            }
        }
    }

    /// `false` if what it says makes no sense.
    fn hear_worker(
        &self,
        number: u64,
        connection: &mut Connection,
        receiver: &mut Receiver,
    ) -> bool {
        let mut messages = Vec::new();
        let is_sound = loop {
            match receiver.next_message::<FromWorker>() {
                Ok(None) => break true,
                Ok(Some(FromWorker::Joined { worker, pid, threads })) => {
                    let descriptors = (receiver.take_descriptor(), receiver.take_descriptor());
                    if !self.joined(number, connection, descriptors, worker, pid, threads) {
                        break false;
                    }
                }
                Ok(Some(message)) => messages.push(message),
                Err(_) => break false,
            }
        };
        if let Peer::Worker(worker) = connection.peer
            && !messages.is_empty()
        {
            self.connections.hear_clients();
            self.cluster.hear_worker(worker, messages);
        }
        is_sound
    }

    /// A worker says who it is. `false` if that cannot be.
    fn joined(
        &self,
        number: u64,
        connection: &mut Connection,
        descriptors: (Option<OwnedFd>, Option<OwnedFd>),
        worker: WorkerId,
        pid: u32,
        threads: u32,
    ) -> bool {
        let ((Some(arena), Some(slots)), Peer::Unknown) = (descriptors, connection.peer) else {
            return false;
        };
        let mut shared = self.lock();
        if shared.starting.remove(&worker).is_none() {
            return false;
        }
        shared.joined += 1;
        shared.false_starts = 0;
        let name = shared.names.remove(&worker).unwrap_or_else(|| (worker.0 - 1).to_string());
        drop(shared);
        let arenas = self.cluster.arenas();
        arenas.insert(worker.0, arena);
        connection.peer = Peer::Worker(worker);
        let slots = Arc::new(slots);
        connection.slots = Some(Arc::clone(&slots));
        let line = Arc::new(SocketWorker {
            sender: Arc::clone(&connection.sender),
            number,
            poller: Arc::clone(&self.poller),
            arenas,
            slots,
        });
        let info = WorkerInfo { pid, threads, arena: Some(worker.0), name };
        self.cluster.worker_joined(worker, info, line);
        let talker = Talker::Worker(worker);
        self.connections.add(number, talker, &connection.sender, &connection.heard);
        self.changed.notify_all();
        true
    }

    /// Deals with workers whose connections broke, once it is known how they died.
    fn bury(&self, connections: &mut BTreeMap<u64, Connection>, meter: Option<&Meter>) {
        let mut gone = Vec::new();
        for (&number, connection) in connections.iter() {
            let Some(broken) = connection.broken else { continue };
            let worker = match connection.peer {
                Peer::Worker(worker) => worker,
                Peer::Unknown => {
                    gone.push(number);
                    continue;
                }
                Peer::Client(client) => {
                    gone.push(number);
                    self.cluster.client_lost(client);
                    continue;
                }
            };
            let how = self.lock().exits.get(&worker).cloned();
            if how.is_none() && broken.elapsed() < CAUSE_DELAY {
                continue;
            }
            gone.push(number);
            let own_cause = self.lock().causes.remove(&worker);
            let running = connection.running();
            let cause = own_cause.unwrap_or_else(|| {
                let growth = meter.map_or(String::new(), |meter| meter.growth(worker, &running));
                how.unwrap_or_else(|| "closed its connection".to_owned()) + &growth
            });
            let is_closing = self.is_closing.load(Ordering::SeqCst);
            let is_restarted = self.lock().restarted.remove(&worker);
            let ended_at = self.lock().overdue.remove(&worker);
            // What has stopped at the last moment has said so, or is as good as never begun.
            let overdue = ended_at.map_or_else(Vec::new, |at| connection.overdue(at));
            let crashed = !is_closing && !is_restarted && ended_at.is_none();
            let death = Death { cause, crashed, running, overdue };
            self.lock().joined -= 1;
            self.cluster.worker_lost(worker, death);
            if !is_closing {
                self.launcher.kill(worker);
                self.replace();
            }
        }
        for number in gone {
            connections.remove(&number);
        }
    }
}
