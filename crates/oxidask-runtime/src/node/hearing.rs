//! What workers and clients say over sockets, read by the node's thread or by a client that waits.
//!
//! The process of a worker may have a client, too, with a socket of its own, and say something there
//! that is to be heard before what the worker says next: that it wants a result, before that the task
//! has ended which wanted it. So between the reading of what a worker says and the hearing of it,
//! clients are heard.

use std::collections::BTreeMap;
use std::io;
use std::net::Shutdown;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use oxidask_protocol::{FromClient, FromWorker, WorkerId};

use super::connection::{Received, Receiver, Sender};
use super::poller::{Poller, Ready};
use crate::cluster::Cluster;
use crate::listening::Ear;

const NO_PANIC: &str = "nothing panics while the lock is held";
/// So many times a socket is read by others than the node's thread, which gets the rest: a client
/// that waits may not want to wait any longer.
const MOST_READS: usize = 4;

/// The receiving half of a connection. Locked until what was read is passed on, so that messages stay
/// in order whoever reads them. Who has locked a worker's may lock a client's, not the other way.
#[derive(Debug, Default)]
pub(super) struct Heard {
    pub(super) receiver: Receiver,
    /// The node's thread has done with it: nothing is to be read any more.
    pub(super) is_over: bool,
    /// The other end has said goodbye, or something that makes no sense.
    pub(super) is_to_end: bool,
}

impl Heard {
    /// Messages of a worker that have come whole.
    fn take_messages(&mut self) -> Vec<FromWorker> {
        let mut messages = Vec::new();
        loop {
            match self.receiver.next_message() {
                Ok(None) => return messages,
                Ok(Some(message)) if !matches!(message, FromWorker::Joined { .. }) => {
                    messages.push(message);
                }
                // It has said who it is before.
                Ok(Some(_)) | Err(_) => break,
            }
        }
        self.is_to_end = true;
        messages
    }
}

/// Passes on what a client has said; `false` if that was goodbye or makes no sense.
pub(super) fn hear_client(cluster: &Cluster, client: u64, receiver: &mut Receiver) -> bool {
    loop {
        match receiver.next_message::<FromClient>() {
            Ok(None) => return true,
            Ok(Some(FromClient::Close)) | Err(_) => return false,
            Ok(Some(FromClient::Arena)) => match receiver.take_descriptor() {
                Some(descriptor) => {
                    cluster.client_arena_added(client, descriptor);
                }
                None => return false,
            },
            Ok(Some(message)) => cluster.hear_client(client, message),
        }
    }
}

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) enum Talker {
    Worker(WorkerId),
    Client(u64),
}

/// A connection.
#[derive(Debug)]
struct Line {
    talker: Talker,
    sender: Arc<Sender>,
    heard: Arc<Mutex<Heard>>,
}

/// The connections of a node that others than its thread read, too.
pub(super) struct Connections {
    cluster: Arc<Cluster>,
    /// Where a client waits for workers, before the poller of the node's thread.
    workers: Poller,
    /// Where nobody waits; it knows which clients have said something.
    clients: Poller,
    client_count: AtomicUsize,
    node: Arc<Poller>,
    lines: Mutex<BTreeMap<u64, Arc<Line>>>,
    /// What ended the wait of who listens.
    ready: Mutex<Vec<Ready>>,
}

impl Connections {
    /// None yet; `node` is what the node's thread waits at.
    pub(super) fn new(cluster: Arc<Cluster>, node: Arc<Poller>) -> io::Result<Self> {
        Ok(Self {
            cluster,
            workers: Poller::new()?,
            clients: Poller::new()?,
            client_count: AtomicUsize::new(0),
            node,
            lines: Mutex::default(),
            ready: Mutex::default(),
        })
    }

    /// From now on a client that waits hears this one, too.
    pub(super) fn add(
        &self,
        number: u64,
        talker: Talker,
        sender: &Arc<Sender>,
        heard: &Arc<Mutex<Heard>>,
    ) {
        let line = Line { talker, sender: Arc::clone(sender), heard: Arc::clone(heard) };
        self.lines.lock().expect(NO_PANIC).insert(number, Arc::new(line));
        self.client_count
            .fetch_add(usize::from(matches!(talker, Talker::Client(_))), Ordering::SeqCst);
        sender.add_before(self.poller_of(talker), &self.node, number);
    }

    fn poller_of(&self, talker: Talker) -> &Poller {
        match talker {
            Talker::Worker(_) => &self.workers,
            Talker::Client(_) => &self.clients,
        }
    }

    /// A connection is over.
    pub(super) fn remove(&self, number: u64) {
        let line = self.lines.lock().expect(NO_PANIC).remove(&number);
        if let Some(line) = line {
            self.client_count
                .fetch_sub(usize::from(matches!(line.talker, Talker::Client(_))), Ordering::SeqCst);
            self.poller_of(line.talker).remove(line.sender.socket());
        }
    }

    /// All connections are over.
    pub(super) fn clear(&self) {
        let numbers: Vec<u64> = self.lines.lock().expect(NO_PANIC).keys().copied().collect();
        for number in numbers {
            self.remove(number);
        }
    }

    /// Takes in what clients have said by now. To be called before what a worker says is passed on,
    /// and after it was read.
    pub(super) fn hear_clients(&self) {
        if self.client_count.load(Ordering::SeqCst) > 0 {
            self.clients.serve_all(&mut Vec::new(), |one| self.hear(one.number));
        }
    }

    fn lock_ready(&self) -> MutexGuard<'_, Vec<Ready>> {
        self.ready.lock().expect(NO_PANIC)
    }

    /// Reads what one has said, and passes it on.
    fn hear(&self, number: u64) {
        let line = self.lines.lock().expect(NO_PANIC).get(&number).cloned();
        let Some(line) = line else { return };
        let mut heard = line.heard.lock().expect(NO_PANIC);
        let socket = line.sender.socket();
        for _ in 0..MOST_READS {
            if heard.is_over {
                return;
            }
            match heard.receiver.receive_now(socket) {
                Ok(Received::Nothing) => return,
                Ok(Received::Some) => {}
                Ok(Received::End) | Err(_) => {
                    // The node's thread finds the same, and knows what to do.
                    self.poller_of(line.talker).remove(socket);
                    break;
                }
            }
            match line.talker {
                Talker::Worker(worker) => {
                    let messages = heard.take_messages();
                    self.hear_clients();
                    self.cluster.hear_worker(worker, messages);
                }
                Talker::Client(client) => {
                    heard.is_to_end |= !hear_client(&self.cluster, client, &mut heard.receiver);
                }
            }
            if heard.is_to_end {
                self.poller_of(line.talker).remove(socket);
                // That is an end, which the node's thread finds.
                drop(socket.shutdown(Shutdown::Both));
                break;
            }
        }
        // Under the lock, so that nothing is added that is over.
        line.sender.leave_to(&self.node, number);
    }
}

/// For clients that wait in the process of their cluster.
pub(super) struct WorkersEar(pub(super) Arc<Connections>);

impl Ear for WorkersEar {
    fn wait(&self, at_most: Duration) {
        // Without it, the node's thread brings the news.
        drop(self.0.workers.wait(Some(at_most), &mut self.0.lock_ready()));
    }

    fn take_in(&self) {
        let mut ready = self.0.lock_ready();
        self.0.workers.serve_all(&mut ready, |one| self.0.hear(one.number));
    }

    fn recall(&self) {
        self.0.workers.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use oxidask_protocol::{
        Attempt, Ending, FromClient, Graph, Stretch, TaskId, ToClient, ToWorker, Value,
    };

    use super::*;
    use crate::cluster::{ClientLine, Settings, WorkerInfo, WorkerLine};

    struct Deaf;

    impl WorkerLine for Deaf {
        fn say(&self, _message: ToWorker) -> Option<FromWorker> {
            None
        }
    }

    impl ClientLine for Deaf {
        fn say(&self, _message: ToClient) {}
    }

    fn one_task() -> Graph {
        Graph {
            starts: vec![0, 0],
            rank: vec![0],
            groups: vec![0],
            names: vec!["f".to_owned()],
            wanted: vec![0],
            program_ends: vec![0],
            identities: vec![0],
            ..Graph::default()
        }
    }

    const LINE: u64 = 7;

    /// A worker's end of its connection, and those who hear it.
    struct Scene {
        there: Sender,
        heard: Arc<Mutex<Heard>>,
        sender: Arc<Sender>,
        connections: Arc<Connections>,
        ear: WorkersEar,
        node: Arc<Poller>,
    }

    impl Scene {
        fn new() -> Self {
            let (here, there) = UnixStream::pair().expect("can be made");
            here.set_nonblocking(true).expect("it is open");
            let node = Arc::new(Poller::new().expect("can be made"));
            node.add(LINE, &here).expect("is open");
            let cluster = Arc::new(Cluster::new(Settings::default()));
            let worker = cluster.next_worker();
            let info = WorkerInfo { threads: 1, ..WorkerInfo::default() };
            cluster.worker_joined(worker, info, Arc::new(Deaf));
            let client = cluster.client_joined(Arc::new(Deaf));
            cluster.hear_client(client, FromClient::Submit(Box::new(one_task())));
            let connections = Connections::new(cluster, Arc::clone(&node)).expect("can be made");
            let (connections, sender) = (Arc::new(connections), Arc::new(Sender::new(here)));
            let heard = Arc::default();
            connections.add(LINE, Talker::Worker(worker), &sender, &heard);
            let ear = WorkersEar(Arc::clone(&connections));
            Self { there: Sender::new(there), heard, sender, connections, ear, node }
        }

        /// One more connection, of a client in another process.
        fn join(&self, number: u64) -> (Sender, Arc<Mutex<Heard>>) {
            let (here, there) = UnixStream::pair().expect("can be made");
            here.set_nonblocking(true).expect("it is open");
            self.node.add(number, &here).expect("is open");
            let client = self.connections.cluster.client_joined(Arc::new(Deaf));
            let heard = Arc::default();
            let sender = Arc::new(Sender::new(here));
            self.connections.add(number, Talker::Client(client), &sender, &heard);
            (Sender::new(there), heard)
        }

        fn says(&self, message: &FromWorker) {
            self.there.push(message);
            self.there.flush();
        }

        /// What a client does that waits.
        fn listens(&self) {
            self.ear.wait(Duration::ZERO);
            self.ear.take_in();
        }

        /// Whether the node's thread finds something to read.
        fn is_left(&self) -> bool {
            let mut ready = Vec::new();
            self.node.wait(Some(Duration::ZERO), &mut ready).expect("it is open");
            !ready.is_empty()
        }

        /// Tasks that the worker has said have ended.
        fn ended(&self) -> u64 {
            self.connections.cluster.ended_by(WorkerId(1))
        }
    }

    /// It has run its task. To say so again changes nothing, and is counted.
    const ENDED: FromWorker = FromWorker::Ended {
        task: TaskId(0),
        attempt: Attempt(0),
        ending: Ending::Returned { value: Value::Live, nbytes: 1 },
        stretch: Stretch { thread: 0, began_ns: 0, duration_ns: 1, packing_ns: 0 },
    };

    #[test]
    fn a_client_that_waits_hears_a_worker_and_leaves_nothing() {
        let scene = Scene::new();
        scene.says(&ENDED);
        scene.listens();
        assert_eq!(scene.ended(), 1);
        assert!(!scene.is_left());
    }

    #[test]
    fn what_nobody_listens_to_is_for_the_node() {
        let scene = Scene::new();
        scene.says(&ENDED);
        assert!(scene.is_left());
        assert_eq!(scene.ended(), 0);
    }

    #[test]
    fn an_end_is_left_to_the_node_and_who_listens_hears_of_it_once() {
        let scene = Scene::new();
        scene.says(&ENDED);
        scene.there.socket().shutdown(Shutdown::Both).expect("it is open");
        scene.listens();
        assert_eq!(scene.ended(), 1);
        assert!(scene.is_left());
        scene.ear.wait(Duration::ZERO);
        assert!(scene.ear.0.lock_ready().is_empty());
    }

    #[test]
    fn garbage_is_left_to_the_node_as_an_end() {
        let scene = Scene::new();
        let garbage = [1, 0, 0, 0, 0xff];
        let mut socket = scene.there.socket();
        socket.write_all(&garbage).expect("there is room");
        scene.listens();
        let mut heard = scene.heard.lock().unwrap();
        assert!(heard.is_to_end);
        assert!(scene.is_left());
        assert!(!heard.receiver.receive(scene.sender.socket()).expect("it is open"));
    }

    #[test]
    fn a_worker_with_much_to_say_is_left_to_the_node_after_a_while() {
        let scene = Scene::new();
        for _ in 0..MOST_READS + 2 {
            // What comes with a descriptor is read by itself.
            let descriptor = scene.there.socket().as_fd().try_clone_to_owned().expect("it is open");
            scene.there.push_with(&ENDED, vec![Arc::new(descriptor)]);
        }
        scene.there.flush();
        scene.listens();
        assert_eq!(scene.ended(), MOST_READS as u64);
        assert!(scene.is_left());
        scene.says(&ENDED);
        scene.listens();
        assert_eq!(scene.ended(), MOST_READS as u64 + 3);
    }

    #[test]
    fn what_a_client_says_before_a_worker_speaks_is_heard_before() {
        let scene = Scene::new();
        let (there, _) = scene.join(LINE + 1);
        there.push(&FromClient::Submit(Box::new(one_task())));
        there.flush();
        // The scheduler would not take it that a task has ended which it does not know.
        let FromWorker::Ended { attempt, ending, stretch, .. } = ENDED else { unreachable!() };
        scene.says(&FromWorker::Ended { task: TaskId(1), attempt, ending, stretch });
        scene.listens();
        assert_eq!(scene.ended(), 1);
    }

    #[test]
    fn a_goodbye_is_left_to_the_node_as_an_end() {
        let scene = Scene::new();
        let (there, heard) = scene.join(LINE + 1);
        there.push(&FromClient::Close);
        there.flush();
        scene.connections.hear_clients();
        assert!(heard.lock().unwrap().is_to_end);
        assert!(scene.is_left());
    }

    #[test]
    fn nothing_is_read_of_a_connection_that_is_over() {
        let scene = Scene::new();
        scene.says(&ENDED);
        scene.heard.lock().unwrap().is_over = true;
        scene.sender.end(&scene.node);
        scene.listens();
        assert_eq!(scene.ended(), 0);
        assert!(!scene.is_left());
        scene.connections.remove(LINE);
    }
}
