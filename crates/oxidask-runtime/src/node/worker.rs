//! A worker process's end of the connection to its node.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use oxidask_protocol::{FromWorker, ToWorker, WorkerId};
use oxidask_store::{Arena, ArenaSettings, Slots, StoreError};

use super::connection::{ConnectionError, Flushed, Received, Receiver, Sender};
use super::poller::{Poller, Ready};
use crate::arenas::Arenas;
use crate::listening::{Ear, Listening};
use crate::worker::{Inbox, Mouth};

/// The way from a worker process to its node.
#[derive(Debug)]
pub struct RemoteMouth {
    sender: Sender,
    unpinned: Mutex<Vec<(u32, u64)>>,
}

impl RemoteMouth {
    /// A view of an object in shared memory is gone; the node hears of it with the next flush.
    pub fn unpin(&self, arena: u32, offset: u64) {
        self.unpinned.lock().expect("nothing panics while the lock is held").push((arena, offset));
    }
}

impl Mouth for RemoteMouth {
    fn say(&self, message: FromWorker) {
        self.sender.push(&message);
    }

    fn flush(&self) {
        let objects = std::mem::take(
            &mut *self.unpinned.lock().expect("nothing panics while the lock is held"),
        );
        if !objects.is_empty() {
            self.sender.push(&FromWorker::Unpinned { objects });
        }
        // If the connection is broken, the reader sees it too, and ends the process.
        let _: Flushed = self.sender.flush();
    }
}

/// What a worker process has.
pub struct WorkerProcess {
    /// Its messages.
    pub inbox: Arc<Inbox>,
    /// Its way to the node.
    pub mouth: Arc<RemoteMouth>,
    /// The shared memory that it fills.
    pub arena: Arc<Arena>,
    /// What it runs, for the time after its death.
    pub slots: Arc<Slots>,
    /// The shared memory of others.
    pub arenas: Arc<Arenas>,
}

/// Why a worker could not connect.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// No way to the node.
    #[error("the node cannot be reached: {0}")]
    Unreachable(#[from] io::Error),
    /// No shared memory.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl WorkerProcess {
    /// Connects to the node and says that this worker is ready. `on_end` is called when the
    /// connection is over.
    pub fn connect(
        socket: &Path,
        worker: WorkerId,
        threads: u32,
        on_end: impl FnOnce() + Send + 'static,
    ) -> Result<Self, ConnectError> {
        let socket = UnixStream::connect(socket)?;
        let reading = socket.try_clone()?;
        let arena = Arena::new(&format!("oxidask-{}", worker.0), ArenaSettings::default())?;
        let slots = Slots::new(&format!("oxidask-{}-running", worker.0))?;
        let readable = Arc::new(arena.reader()?);
        let running = Arc::new(slots.descriptor().try_clone_to_owned()?);
        let mouth =
            Arc::new(RemoteMouth { sender: Sender::new(socket), unpinned: Mutex::default() });
        let (inbox, arenas) = (Arc::new(Inbox::new(threads as usize)), Arc::<Arenas>::default());
        let node = Arc::new(Node {
            socket: reading,
            receiver: Mutex::default(),
            listener: Poller::new()?,
            reader: Poller::new()?,
            ready: Mutex::default(),
            inbox: Arc::clone(&inbox),
            mouth: Arc::clone(&mouth),
            arenas: Arc::clone(&arenas),
        });
        node.listener.add(0, &node.socket)?;
        node.reader.add(0, &node.socket)?;
        let listening = Arc::new(Listening::new(NodeEar(Arc::clone(&node))));
        inbox.set_listening(&listening);
        let process = Self {
            inbox: Arc::clone(&inbox),
            mouth: Arc::clone(&mouth),
            arena: Arc::new(arena),
            slots: Arc::new(slots),
            arenas: Arc::clone(&arenas),
        };
        process.arenas.insert(worker.0, readable.try_clone()?);
        let joined = FromWorker::Joined { worker, pid: std::process::id(), threads };
        mouth.sender.push_with(&joined, vec![readable, running]);
        mouth.flush();
        std::thread::Builder::new().name("oxidask-reader".to_owned()).spawn(move || {
            node.read_to_end();
            inbox.deliver(ToWorker::Close);
            on_end();
            drop(listening);
        })?;
        Ok(process)
    }
}

/// The node, as a worker hears it: in the thread that has nothing to do and listens, or in that of
/// the reader.
struct Node {
    socket: UnixStream,
    receiver: Mutex<Receiver>,
    /// Where an idle thread waits. It comes first.
    listener: Poller,
    reader: Poller,
    /// What ended the wait of who listens.
    ready: Mutex<Vec<Ready>>,
    inbox: Arc<Inbox>,
    mouth: Arc<RemoteMouth>,
    arenas: Arc<Arenas>,
}

struct NodeEar(Arc<Node>);

impl Ear for NodeEar {
    fn wait(&self, at_most: Duration) {
        // The reader sees it, too, if the socket is of no use any more.
        drop(self.0.listener.wait(Some(at_most), &mut self.0.lock_ready()));
    }

    fn take_in(&self) {
        self.0.listener.serve_all(&mut self.0.lock_ready(), |_| {
            if !self.0.hear_all().unwrap_or(false) {
                self.0.listener.remove(&self.0.socket);
                self.0.reader.wake();
            }
        });
    }

    fn recall(&self) {
        self.0.listener.wake();
    }
}

impl Node {
    fn lock_ready(&self) -> MutexGuard<'_, Vec<Ready>> {
        self.ready.lock().expect("nothing panics while the lock is held")
    }

    /// Reads until the connection is over. Garbage from the node ends it, too.
    fn read_to_end(&self) {
        let mut ready = Vec::new();
        while self.hear_all().unwrap_or(false) {
            if self.reader.wait(None, &mut ready).is_err() {
                return;
            }
        }
    }

    /// Takes in all that has come; `false` if nothing will come any more.
    fn hear_all(&self) -> Result<bool, ConnectionError> {
        // Until all was delivered, so that messages stay in order.
        let mut receiver = self.receiver.lock().expect("nothing panics while the lock is held");
        loop {
            while let Some(message) = receiver.next_message::<ToWorker>()? {
                if let ToWorker::Arena { arena } = message {
                    if let Some(descriptor) = receiver.take_descriptor() {
                        self.arenas.insert(arena, descriptor);
                    }
                } else if let Some(answer) = self.inbox.deliver(message) {
                    self.mouth.say(answer);
                    self.mouth.flush();
                }
            }
            match receiver.receive_now(&self.socket)? {
                Received::Some => {}
                Received::Nothing => return Ok(true),
                Received::End => return Ok(false),
            }
        }
    }
}
