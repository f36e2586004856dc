//! [`NodeState`]: orders and messages in, outputs out.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use oxidask_protocol::{
    Attempt, ContentHash, Input, Objects, Pressure, Run, Stored, TaskId, ToWorker, Value, WorkerId,
};

use crate::memory::{Memory, Refusal};
use crate::shared::{GivenUp, SharedParts};
use crate::store::{Freed, Store};

/// Whoever may have views of shared memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reader {
    /// A worker of this host.
    Worker(WorkerId),
    /// A client on this host.
    Client(u64),
    /// What writes results to disk.
    Disk,
}

/// A task to run, with what the worker needs for it.
#[derive(Clone, Debug)]
pub struct Order {
    /// The task.
    pub task: TaskId,
    /// Which try.
    pub attempt: Attempt,
    /// The larger, the sooner.
    pub urgency: i64,
    /// How to call it.
    pub call: Bytes,
    /// Values of this process that the call refers to.
    pub objects: Objects,
    /// The results that it reads, with the attempts that made them.
    pub inputs: Vec<(TaskId, Attempt)>,
    /// Those of them that nobody else will ever read.
    pub last_reads: Vec<TaskId>,
    /// How long it may run.
    pub time_limit: Option<Duration>,
}

/// What a node does.
#[derive(Clone, Debug)]
pub enum Output {
    /// Tell a worker.
    Send {
        /// Which.
        worker: WorkerId,
        /// What.
        message: ToWorker,
    },
    /// Give a reader the descriptor of an arena, before what is sent to it next.
    SendArena {
        /// To whom.
        reader: Reader,
        /// Which.
        arena: u32,
    },
    /// A piece of a client's arena may be used again.
    FreeOfClient {
        /// Whose.
        client: u64,
        /// Where it begins.
        offset: u64,
        /// Its length.
        len: u64,
    },
    /// An arena without owner is empty: its descriptor can be closed.
    CloseArena {
        /// Which.
        arena: u32,
    },
    /// Write a result to disk, and say [`NodeState::spilled`].
    Spill {
        /// Whose result.
        task: TaskId,
        /// The attempt that made it.
        attempt: Attempt,
        /// Where it is.
        stored: Stored,
    },
    /// A result on disk is not needed any more.
    FreeOnDisk {
        /// In which file.
        arena: u32,
        /// Where it begins.
        offset: u64,
        /// Its length.
        len: u64,
    },
    /// Tell the scheduler.
    Report(Report),
    /// Give a client what it asked for.
    Deliver {
        /// Which client.
        client: u64,
        /// Whose result.
        task: TaskId,
        /// The attempt that made it.
        attempt: Attempt,
        /// The result, or why it cannot be had.
        value: Result<Value, Bytes>,
    },
}

/// What a node reports to the scheduler.
#[derive(Clone, Debug)]
pub enum Report {
    /// An attempt did not run, or was stopped.
    Stopped {
        /// Where.
        worker: WorkerId,
        /// The task.
        task: TaskId,
        /// Which try.
        attempt: Attempt,
    },
    /// A task cannot run, because what it reads cannot be sent to it.
    InputUnusable {
        /// Where it was to run.
        worker: WorkerId,
        /// The task.
        task: TaskId,
        /// Which try.
        attempt: Attempt,
        /// Why: an exception, as an executor writes it.
        error: Bytes,
    },
    /// A task cannot run, because what it reads is gone.
    InputMissing {
        /// Where it was to run.
        worker: WorkerId,
        /// The task.
        task: TaskId,
        /// Which try.
        attempt: Attempt,
        /// What is gone.
        input: TaskId,
        /// Who had it.
        from: WorkerId,
    },
    /// A task is not started, because there is no memory for it.
    Refused {
        /// Where it was to run.
        worker: WorkerId,
        /// The task.
        task: TaskId,
        /// Which try.
        attempt: Attempt,
        /// Why.
        refusal: Refusal,
    },
    /// Memory is short, or not any more.
    Pressure {
        /// How much may be started.
        pressure: Pressure,
    },
    /// A result is now kept by the node itself, whatever becomes of its worker.
    Kept {
        /// Whose result.
        task: TaskId,
        /// The attempt that made it.
        attempt: Attempt,
    },
}

/// A result, and where it is.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) attempt: Attempt,
    /// The value, where the node itself can give it.
    pub(crate) value: Option<Value>,
    /// The worker that has it as an object.
    pub(crate) live_at: Option<WorkerId>,
    is_publishing: bool,
    /// Clients that wait for it.
    clients: Vec<u64>,
    /// Tasks that wait for it.
    orders: Vec<(WorkerId, TaskId)>,
}

/// A task that waits for inputs to be published.
#[derive(Debug)]
struct Waiting {
    order: Order,
    missing: usize,
}

/// All that a node knows.
#[derive(Debug, Default)]
pub struct NodeState {
    /// Results, by task.
    pub(crate) entries: Vec<Option<Box<Entry>>>,
    waiting: BTreeMap<(WorkerId, TaskId), Waiting>,
    /// Clients that wait for results that are being made again.
    asked: BTreeMap<TaskId, Vec<u64>>,
    shared: SharedParts,
    pub(crate) store: Store,
    pub(crate) memory: Memory,
    /// Whether workers and clients are threads of one process, so that objects need no publishing.
    is_one_process: bool,
}

impl NodeState {
    /// A node without workers. If `is_one_process`, its worker and its client share all objects.
    pub fn new(is_one_process: bool) -> Self {
        Self { is_one_process, ..Self::default() }
    }

    /// Bytes in shared memory and on disk.
    pub fn stored_nbytes(&self) -> u64 {
        self.store.nbytes()
    }

    /// Results are written to this file, and read from it as from an arena.
    pub fn spill_file_added(&mut self, arena: u32) {
        self.store.add_arena(arena, Reader::Disk);
    }

    /// Calls that will come share this part.
    pub fn share(&mut self, hash: ContentHash, body: &Value, outputs: &mut Vec<Output>) {
        let is_new = self.shared.add_user(hash, body);
        if let Value::Stored(stored) = body {
            self.store.add(stored, None);
            if !is_new {
                // The same is there already: one copy is enough.
                Self::freed(self.store.doom(stored), outputs);
            }
        }
    }

    /// The calls that shared this part are done with it.
    pub fn unshare(&mut self, hash: ContentHash, outputs: &mut Vec<Output>) {
        for GivenUp { hash, body, known_to } in self.shared.remove_user(hash) {
            for worker in known_to {
                let message = ToWorker::Unshare { hashes: vec![hash] };
                outputs.push(Output::Send { worker, message });
            }
            if let Value::Stored(stored) = body {
                Self::freed(self.store.doom(&stored), outputs);
            }
        }
    }

    /// Whether a result is an object of this process.
    pub fn is_object_here(&self, task: TaskId) -> bool {
        let entry = self.entries.get(task.index()).and_then(Option::as_ref);
        self.is_one_process && entry.is_some_and(|entry| entry.value.is_none())
    }

    /// Whether a client may say that an object is there: whether the arena is its own.
    pub fn is_of_client(&self, client: u64, stored: &Stored) -> bool {
        self.store.owner_of(stored) == Some(Reader::Client(client))
    }

    /// A worker or client writes to an arena.
    pub fn arena_added(&mut self, arena: u32, owner: Reader) {
        self.store.add_arena(arena, owner);
    }

    // ---- Orders of the scheduler ----

    /// Makes sure that a worker has a shared part.
    pub fn prepare(&mut self, worker: WorkerId, hash: ContentHash, outputs: &mut Vec<Output>) {
        if let Some(body) = self.shared.take_for(hash, worker) {
            self.pin(&body, Reader::Worker(worker), outputs);
            outputs.push(Output::Send { worker, message: ToWorker::Shared { hash, body } });
        }
    }

    /// Gives a worker a task as soon as its inputs can be sent along.
    pub fn run(&mut self, worker: WorkerId, order: Order, outputs: &mut Vec<Output>) {
        if let Some(refusal) = self.refuses(&order.inputs) {
            let (task, attempt) = (order.task, order.attempt);
            let report = Report::Refused { worker, task, attempt, refusal };
            outputs.push(Output::Report(report));
            return;
        }
        let mut missing = 0;
        let is_one_process = self.is_one_process;
        for place in 0..order.inputs.len() {
            let (input, attempt) = order.inputs[place];
            let Some(entry) = self.entry(input, attempt) else {
                // The report of its loss is on its way to the scheduler, or it crossed this order.
                let (task, attempt) = (order.task, order.attempt);
                let from = worker;
                let report = Report::InputMissing { worker, task, attempt, input, from };
                outputs.push(Output::Report(report));
                self.stop_waiting(worker, order.task, &order.inputs[..place]);
                return;
            };
            if entry.value.is_none() && entry.live_at != Some(worker) && !is_one_process {
                entry.orders.push((worker, order.task));
                missing += 1;
                Self::publish(entry, input, outputs);
            }
        }
        if missing > 0 {
            self.waiting.insert((worker, order.task), Waiting { order, missing });
        } else {
            self.send(worker, order, outputs);
        }
    }

    fn stop_waiting(&mut self, worker: WorkerId, task: TaskId, inputs: &[(TaskId, Attempt)]) {
        for &(input, attempt) in inputs {
            if let Some(entry) = self.entry(input, attempt) {
                entry.orders.retain(|&order| order != (worker, task));
            }
        }
    }

    pub(crate) fn publish(entry: &mut Entry, task: TaskId, outputs: &mut Vec<Output>) {
        let worker = entry.live_at.expect("a result is with the node or with a worker");
        if !entry.is_publishing {
            entry.is_publishing = true;
            let attempt = entry.attempt;
            outputs.push(Output::Send { worker, message: ToWorker::Publish { task, attempt } });
        }
    }

    fn send(&mut self, worker: WorkerId, order: Order, outputs: &mut Vec<Output>) {
        let Order { task, attempt, urgency, call, objects, inputs, last_reads, time_limit } = order;
        let inputs = inputs
            .into_iter()
            .map(|(input, made_by)| {
                let entry = self.entry(input, made_by).expect("inputs were looked up just now");
                let value = match &entry.value {
                    _ if entry.live_at == Some(worker) => Value::Live,
                    Some(value) => value.clone(),
                    None => Value::Live,
                };
                self.pin(&value, Reader::Worker(worker), outputs);
                let is_last = last_reads.contains(&input);
                Input { task: input, attempt: made_by, value, is_last }
            })
            .collect();
        let run = Run { task, attempt, urgency, call, objects, inputs, time_limit };
        outputs.push(Output::Send { worker, message: ToWorker::Run(run) });
    }

    fn pin(&mut self, value: &Value, reader: Reader, outputs: &mut Vec<Output>) {
        if let Value::Stored(stored) = value
            && self.store.pin(stored, reader)
        {
            outputs.push(Output::SendArena { reader, arena: stored.arena });
        }
    }

    /// Asks for a task back.
    pub fn retract(
        &mut self,
        worker: WorkerId,
        task: TaskId,
        attempt: Attempt,
        outputs: &mut Vec<Output>,
    ) {
        if !self.give_up(worker, task, attempt, outputs) {
            let message = ToWorker::Retract { task, attempt };
            outputs.push(Output::Send { worker, message });
        }
    }

    /// Stops a task.
    pub fn cancel(
        &mut self,
        worker: WorkerId,
        task: TaskId,
        attempt: Attempt,
        outputs: &mut Vec<Output>,
    ) {
        if !self.give_up(worker, task, attempt, outputs) {
            let message = ToWorker::Cancel { task, attempt };
            outputs.push(Output::Send { worker, message });
        }
    }

    /// Takes back a task that waits here for its inputs, if it does.
    fn give_up(
        &mut self,
        worker: WorkerId,
        task: TaskId,
        attempt: Attempt,
        outputs: &mut Vec<Output>,
    ) -> bool {
        let key = (worker, task);
        if self.waiting.get(&key).is_none_or(|waiting| waiting.order.attempt != attempt) {
            return false;
        }
        let waiting = self.waiting.remove(&key).expect("it was there just now");
        self.stop_waiting(worker, task, &waiting.order.inputs);
        outputs.push(Output::Report(Report::Stopped { worker, task, attempt }));
        true
    }

    /// Forgets a result: the node's own copy, or with `worker` that of a worker.
    pub fn drop_result(
        &mut self,
        worker: Option<WorkerId>,
        task: TaskId,
        attempt: Attempt,
        outputs: &mut Vec<Output>,
    ) {
        if let Some(worker) = worker {
            outputs.push(Output::Send { worker, message: ToWorker::Drop { task, attempt } });
        }
        let Some(entry) = self.entry(task, attempt) else { return };
        match worker {
            Some(worker) if entry.live_at == Some(worker) => entry.live_at = None,
            Some(_) => {}
            None => {
                if let Some(Value::Stored(stored)) = entry.value.take() {
                    let freed = self.store.doom(&stored);
                    Self::freed(freed, outputs);
                }
            }
        }
        let entry = self.entry(task, attempt).expect("it was there just now");
        if entry.value.is_none() && entry.live_at.is_none() {
            let entry = self.entries[task.index()].take().expect("it was there just now");
            self.memory.result_gone(task);
            self.keep_clients(task, entry.clients);
        }
    }

    fn keep_clients(&mut self, task: TaskId, clients: Vec<u64>) {
        if !clients.is_empty() {
            self.asked.entry(task).or_default().extend(clients);
        }
    }

    pub(crate) fn freed(freed: impl IntoIterator<Item = Freed>, outputs: &mut Vec<Output>) {
        outputs.extend(freed.into_iter().map(|freed| match freed {
            Freed::Piece { owner: Reader::Worker(worker), offset, len, .. } => {
                Output::Send { worker, message: ToWorker::Free { offset, len } }
            }
            Freed::Piece { owner: Reader::Client(client), offset, len, .. } => {
                Output::FreeOfClient { client, offset, len }
            }
            Freed::Piece { owner: Reader::Disk, offset, len, arena } => {
                Output::FreeOnDisk { arena, offset, len }
            }
            Freed::Arena(arena) => Output::CloseArena { arena },
        }));
    }

    // ---- Messages of workers and clients ----

    /// A worker says that a task returned so many bytes. Tells whether the node itself keeps the
    /// result.
    pub fn returned(
        &mut self,
        worker: WorkerId,
        (task, attempt): (TaskId, Attempt),
        value: Value,
        nbytes: u64,
        outputs: &mut Vec<Output>,
    ) -> bool {
        let is_live = value == Value::Live;
        if let Value::Stored(stored) = &value {
            self.store.add(stored, Some(task));
        }
        let entry = Entry {
            attempt,
            value: (!is_live).then_some(value),
            live_at: is_live.then_some(worker),
            is_publishing: false,
            clients: Vec::new(),
            orders: Vec::new(),
        };
        self.put(task, entry, outputs);
        if is_live {
            self.memory.live_object_added(task, nbytes);
        }
        !is_live
    }

    fn put(&mut self, task: TaskId, entry: Entry, outputs: &mut Vec<Output>) {
        if self.entries.len() <= task.index() {
            self.entries.resize_with(task.index() + 1, || None);
        }
        let attempt = entry.attempt;
        if let Some(old) = self.entries[task.index()].replace(Box::new(entry)) {
            self.memory.result_gone(task);
            self.keep_clients(task, old.clients);
            if let Some(Value::Stored(stored)) = old.value {
                let freed = self.store.doom(&stored);
                Self::freed(freed, outputs);
            }
        }
        for client in self.asked.remove(&task).unwrap_or_default() {
            self.fetch(client, task, attempt, outputs);
        }
    }

    /// A worker has published an object, or could not.
    pub fn published(
        &mut self,
        task: TaskId,
        attempt: Attempt,
        value: Result<Value, Bytes>,
        outputs: &mut Vec<Output>,
    ) {
        if let Ok(Value::Stored(stored)) = &value {
            self.store.add(stored, Some(task));
        }
        let Some(entry) = self.entry(task, attempt) else {
            if let Ok(Value::Stored(stored)) = &value {
                let freed = self.store.doom(stored);
                Self::freed(freed, outputs);
            }
            return;
        };
        entry.is_publishing = false;
        self.memory.published(task, value.is_ok());
        let entry = self.entry(task, attempt).expect("it was there just now");
        let clients = std::mem::take(&mut entry.clients);
        let orders = std::mem::take(&mut entry.orders);
        match value {
            Ok(value) => {
                entry.value = Some(value);
                outputs.push(Output::Report(Report::Kept { task, attempt }));
                for client in clients {
                    self.fetch(client, task, attempt, outputs);
                }
                for (worker, reader) in orders {
                    self.input_arrived(worker, reader, outputs);
                }
            }
            Err(error) => {
                for client in clients {
                    let value = Err(error.clone());
                    outputs.push(Output::Deliver { client, task, attempt, value });
                }
                for (worker, reader) in orders {
                    self.input_unusable(worker, reader, &error, outputs);
                }
            }
        }
    }

    fn input_arrived(&mut self, worker: WorkerId, task: TaskId, outputs: &mut Vec<Output>) {
        let Some(waiting) = self.waiting.get_mut(&(worker, task)) else { return };
        waiting.missing -= 1;
        if waiting.missing > 0 {
            return;
        }
        let order = self.waiting.remove(&(worker, task)).expect("it was there just now").order;
        self.send(worker, order, outputs);
    }

    fn input_unusable(
        &mut self,
        worker: WorkerId,
        task: TaskId,
        error: &Bytes,
        outputs: &mut Vec<Output>,
    ) {
        let Some(waiting) = self.waiting.remove(&(worker, task)) else { return };
        self.stop_waiting(worker, task, &waiting.order.inputs);
        let attempt = waiting.order.attempt;
        let error = error.clone();
        let report = Report::InputUnusable { worker, task, attempt, error };
        outputs.push(Output::Report(report));
    }

    /// A client wants a result; it gets it as soon as it can be had.
    pub fn fetch(
        &mut self,
        client: u64,
        task: TaskId,
        attempt: Attempt,
        outputs: &mut Vec<Output>,
    ) {
        let is_one_process = self.is_one_process;
        let Some(entry) = self.entry(task, attempt) else {
            self.asked.entry(task).or_default().push(client);
            return;
        };
        let value = match &entry.value {
            Some(value) => value.clone(),
            None if is_one_process => Value::Live,
            None => {
                entry.clients.push(client);
                Self::publish(entry, task, outputs);
                return;
            }
        };
        self.pin(&value, Reader::Client(client), outputs);
        outputs.push(Output::Deliver { client, task, attempt, value: Ok(value) });
    }

    /// A small result at once, without asking; nothing if it is not small or not here.
    pub fn peek(&self, task: TaskId, attempt: Attempt, at_most: usize) -> Option<Bytes> {
        let entry = self.entries.get(task.index())?.as_deref()?;
        match &entry.value {
            Some(Value::Inline(bytes)) if entry.attempt == attempt && bytes.len() <= at_most => {
                Some(bytes.clone())
            }
            _ => None,
        }
    }

    /// Views of objects are gone.
    pub fn unpinned(&mut self, reader: Reader, objects: &[(u32, u64)], outputs: &mut Vec<Output>) {
        for &id in objects {
            let freed = self.store.unpin(id, reader);
            Self::freed(freed, outputs);
        }
    }

    /// A task is gone: its number may be given to another.
    pub fn forget(&mut self, task: TaskId) {
        self.asked.remove(&task);
    }

    /// A client is gone.
    pub fn client_lost(&mut self, client: u64, outputs: &mut Vec<Output>) {
        for clients in self.asked.values_mut() {
            clients.retain(|&one| one != client);
        }
        self.asked.retain(|_, clients| !clients.is_empty());
        for entry in self.entries.iter_mut().flatten() {
            entry.clients.retain(|&one| one != client);
        }
        let freed = self.store.reader_lost(Reader::Client(client));
        Self::freed(freed, outputs);
    }

    /// A worker is gone, with the objects of its process. To be called before the scheduler hears
    /// of it.
    pub fn worker_lost(&mut self, worker: WorkerId, outputs: &mut Vec<Output>) {
        self.shared.worker_lost(worker);
        self.objects_lost(worker, outputs);
        let freed = self.store.reader_lost(Reader::Worker(worker));
        Self::freed(freed, outputs);
    }

    /// A worker stands still, and nobody waits for it any longer: it is to let go of its objects and to
    /// end these attempts that it was given, when it goes on. What it reads stays where it is until
    /// then. Returns those attempts of which it will say that they have ended. To be called before the
    /// scheduler hears of it.
    pub fn worker_given_up(
        &mut self,
        worker: WorkerId,
        attempts: &[(TaskId, Attempt)],
        outputs: &mut Vec<Output>,
    ) -> Vec<(TaskId, Attempt)> {
        let was_sent = |&(task, attempt): &(TaskId, Attempt)| {
            let waiting = self.waiting.get(&(worker, task));
            waiting.is_none_or(|waiting| waiting.order.attempt != attempt)
        };
        let sent: Vec<(TaskId, Attempt)> = attempts.iter().copied().filter(was_sent).collect();
        for &(task, attempt) in &sent {
            let message = ToWorker::Cancel { task, attempt };
            outputs.push(Output::Send { worker, message });
        }
        for (number, slot) in self.entries.iter().enumerate() {
            let Some(entry) = slot.as_deref().filter(|entry| entry.live_at == Some(worker)) else {
                continue;
            };
            let message = ToWorker::Drop { task: TaskId(number as u32), attempt: entry.attempt };
            outputs.push(Output::Send { worker, message });
        }
        self.objects_lost(worker, outputs);
        sent
    }

    /// A worker that nobody waits for has returned something: it may let go of it.
    pub fn returned_in_vain(
        &mut self,
        worker: WorkerId,
        (task, attempt): (TaskId, Attempt),
        value: &Value,
        outputs: &mut Vec<Output>,
    ) {
        match value {
            Value::Inline(_) => {}
            Value::Live => {
                outputs.push(Output::Send { worker, message: ToWorker::Drop { task, attempt } });
            }
            Value::Stored(stored) => {
                self.store.add(stored, None);
                Self::freed(self.store.doom(stored), outputs);
            }
        }
    }

    fn objects_lost(&mut self, worker: WorkerId, outputs: &mut Vec<Output>) {
        let mut stranded = Vec::new();
        let mut given_up = Vec::new();
        for (number, slot) in self.entries.iter_mut().enumerate() {
            let Some(entry) = slot else { continue };
            entry.orders.retain(|&(at, _)| at != worker);
            if entry.live_at != Some(worker) {
                continue;
            }
            entry.live_at = None;
            if entry.value.is_none() {
                let task = TaskId(number as u32);
                stranded.extend(entry.orders.drain(..).map(|order| (order, task)));
                given_up.push((task, std::mem::take(&mut entry.clients)));
                *slot = None;
            }
        }
        for (task, clients) in given_up {
            self.keep_clients(task, clients);
        }
        self.live_objects_lost();
        // Its own waiting tasks end with it, which the scheduler knows.
        self.waiting.retain(|&(at, _), _| at != worker);
        for ((reader, task), input) in stranded {
            let Some(waiting) = self.waiting.remove(&(reader, task)) else { continue };
            self.stop_waiting(reader, task, &waiting.order.inputs);
            let attempt = waiting.order.attempt;
            let report =
                Report::InputMissing { worker: reader, task, attempt, input, from: worker };
            outputs.push(Output::Report(report));
        }
    }

    /// The value of a result that the node itself keeps.
    pub fn stored(&self, task: TaskId) -> Option<&Stored> {
        match &self.entries.get(task.index())?.as_deref()?.value {
            Some(Value::Stored(stored)) => Some(stored),
            _ => None,
        }
    }

    /// Tasks given to a worker that wait for their inputs to be brought.
    pub fn waiting_at(&self, worker: WorkerId) -> usize {
        self.waiting.range((worker, TaskId(0))..=(worker, TaskId(u32::MAX))).count()
    }

    /// Whether a task given to a worker waits here for an input, and for which.
    pub fn waits_for(&self, worker: WorkerId, task: TaskId) -> Option<TaskId> {
        let waiting = self.waiting.get(&(worker, task))?;
        waiting.order.inputs.iter().map(|&(input, _)| input).find(|input| {
            self.entries
                .get(input.index())
                .and_then(Option::as_deref)
                .is_some_and(|entry| entry.orders.contains(&(worker, task)))
        })
    }

    pub(crate) fn entry(&mut self, task: TaskId, attempt: Attempt) -> Option<&mut Entry> {
        let entry = self.entries.get_mut(task.index())?.as_deref_mut()?;
        (entry.attempt == attempt).then_some(entry)
    }
}
