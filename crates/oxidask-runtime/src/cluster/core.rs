//! What is behind the cluster's lock: events for the scheduler, orders for the node.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use oxidask_node::{MemoryLimits, NodeState, Order, Output, Reader, Refusal, Report};
use oxidask_protocol::{
    Attempt, ClientTask, Ending, FromClient, FromWorker, Graph, GroupId, HostId, NoValue, Objects,
    Problem, Source, Stored, Stretch, TaskId, TaskState, ToClient, ToWorker, Value, WorkerId,
};
use oxidask_scheduler::{
    Action, Event, Failure, Outbox, Outcome, SchedulerState, Settings as SchedulerSettings,
    Submission,
};

use super::adopted::Adopted;
use super::asked::Offers;
use super::last_words::LastWords;
use super::recorder::Recorder;
use super::stopped::Stillness;
use super::submissions::{Submissions, Submitted, edges_of};
use crate::arenas::Arenas;

use super::{ClientLine, Dirty, Disk, Settings, WorkerLine};

/// The holder of what the node itself keeps.
const STORE: WorkerId = WorkerId(0);
const HERE: HostId = HostId(0);
/// Tasks given to a worker at most, beyond its threads.
const WINDOW: u32 = 512;
/// What part of the budget a worker's arena keeps for reuse at most, and how many bytes.
const IDLE_SHARE: u64 = 64;
const MOST_IDLE: u64 = 256 << 20;
/// Groups later than this many others are named once more when they go on.
const KEPT_NAMES: u32 = 10_000;
/// Results up to this size are told along with the news that they are there.
const SMALL: usize = 1024;

/// What is known of a worker.
#[derive(Clone, Debug, Default)]
pub struct WorkerInfo {
    /// Its process.
    pub pid: u32,
    /// Threads that run tasks.
    pub threads: u32,
    /// Its arena, if it has one.
    pub arena: Option<u32>,
    /// How users call it.
    pub name: String,
}

/// How a worker ended.
#[derive(Clone, Debug, Default)]
pub struct Death {
    /// In words, for users.
    pub cause: String,
    /// Whether it may have died of a task.
    pub crashed: bool,
    /// Tasks that it ran then.
    pub running: Vec<TaskId>,
    /// Those of them for the sake of which it was ended: their time was up, and they did not stop.
    pub overdue: Vec<TaskId>,
}

/// Why a task has failed, or its last attempt has.
#[derive(Clone, Debug)]
enum Fault {
    /// It raised this, as an executor writes it.
    Raised(Bytes),
    /// There is no memory for it.
    Refused(Refusal),
    /// Its time was up; what it was stopped with, if it did stop.
    OutOfTime(Option<Bytes>),
}

pub(super) struct Worker {
    pub(super) info: WorkerInfo,
    line: Arc<dyn WorkerLine>,
    is_dirty: bool,
    pub(super) finished: u64,
    /// Tasks that wait for others and lend their slots.
    pub(super) lent: i32,
    pub(super) stillness: Stillness,
    /// Bytes that only its process has, when it was last looked at.
    pub(super) anonymous: u64,
}

struct ClientEntry {
    line: Arc<dyn ClientLine>,
    is_dirty: bool,
    finished: Vec<(ClientTask, Option<Bytes>)>,
}

struct Asked {
    client: u64,
    call: u64,
    left: Vec<WorkerId>,
}

pub(super) struct Core {
    pub(super) scheduler: SchedulerState,
    pub(super) node: NodeState,
    pub(super) id: u128,
    pub(super) submissions: Submissions,
    /// Tasks that others than who submitted them want.
    adopted: Adopted,
    pub(super) now: Duration,
    outbox: Outbox,
    pub(super) outputs: Vec<Output>,
    /// What the scheduler is to be told, in order.
    events: VecDeque<Event>,
    pub(super) workers: BTreeMap<WorkerId, Worker>,
    /// How long a worker may stand still before its tasks run elsewhere; for ever if none.
    pub(super) worker_ttl: Option<Duration>,
    clients: BTreeMap<u64, ClientEntry>,
    pub(super) offers: Offers,
    next_worker: u32,
    next_client: u64,
    pub(super) groups: BTreeMap<String, GroupId>,
    /// Why tasks failed, as far as the scheduler does not say it.
    faults: BTreeMap<TaskId, Fault>,
    /// How the last worker died that ran a task, and what the task said before.
    deaths: BTreeMap<TaskId, (String, Vec<Bytes>)>,
    /// What tasks say that run.
    last_words: LastWords,
    /// Why tasks were cancelled.
    reasons: BTreeMap<TaskId, String>,
    /// Tasks that stand for data of clients, and whose data the node has taken in.
    taken: BTreeSet<TaskId>,
    calls: BTreeMap<u64, Asked>,
    next_call: u64,
    is_closed: bool,
    pub(super) memory: Option<MemoryLimits>,
    pub(super) disk: Option<Arc<dyn Disk>>,
    pub(super) arenas: Arc<Arenas>,
    dirty_workers: Vec<WorkerId>,
    dirty_clients: Vec<u64>,
    /// What whoever watches is told.
    pub(super) recorder: Recorder,
}

impl Core {
    pub(super) fn new(settings: Settings) -> Self {
        let gives_away = settings.is_one_process;
        let mut core = Self {
            scheduler: SchedulerState::new(SchedulerSettings { gives_away, ..settings.scheduler }),
            node: NodeState::new(settings.is_one_process),
            id: settings.id,
            submissions: Submissions::default(),
            adopted: Adopted::default(),
            now: Duration::ZERO,
            outbox: Outbox::default(),
            outputs: Vec::new(),
            events: VecDeque::new(),
            workers: BTreeMap::new(),
            worker_ttl: settings.worker_ttl,
            clients: BTreeMap::new(),
            offers: Offers::new(settings.resources),
            next_worker: 1,
            next_client: 0,
            groups: BTreeMap::new(),
            faults: BTreeMap::new(),
            deaths: BTreeMap::new(),
            last_words: LastWords::default(),
            reasons: BTreeMap::new(),
            taken: BTreeSet::new(),
            calls: BTreeMap::new(),
            next_call: 0,
            is_closed: false,
            memory: settings.memory,
            disk: None,
            arenas: Arc::default(),
            dirty_workers: Vec::new(),
            dirty_clients: Vec::new(),
            recorder: Recorder::default(),
        };
        if let Some(limits) = settings.memory {
            core.node.set_memory_limits(limits);
        }
        core.tell(Event::WorkerJoined {
            worker: STORE,
            threads: 0,
            window: 0,
            host: HERE,
            offer: Box::default(),
        });
        core
    }

    // ---- Clients ----

    pub(super) fn client_joined(&mut self, line: Arc<dyn ClientLine>) -> u64 {
        let client = self.next_client;
        self.next_client += 1;
        let entry = ClientEntry { line, is_dirty: false, finished: Vec::new() };
        self.clients.insert(client, entry);
        self.tell_client(client, ToClient::Welcome { cluster: self.id, client });
        if self.is_closed {
            let reason = "the cluster is closed".to_owned();
            self.tell_client(client, ToClient::Closed { reason });
        }
        client
    }

    pub(super) fn client_lost(&mut self, client: u64) {
        if self.clients.remove(&client).is_none() {
            return;
        }
        self.calls.retain(|_, asked| asked.client != client);
        let mut tasks = self.submissions.wanted_by(client);
        tasks.retain(|&task| self.adopted.owner_releases(task));
        tasks.extend(self.adopted.client_lost(client));
        self.tell(Event::TasksReleased { tasks });
        self.node.client_lost(client, &mut self.outputs);
        self.carry_out_outputs();
    }

    /// Cancels all that clients want.
    pub(super) fn cancel_all(&mut self, reason: &str) {
        let tasks = self.submissions.wanted();
        self.reasons.extend(tasks.iter().map(|&task| (task, reason.to_owned())));
        self.tell(Event::TasksCancelled { tasks });
    }

    pub(super) fn client_arena_added(&mut self, arena: u32, client: u64) {
        self.node.arena_added(arena, Reader::Client(client));
    }

    pub(super) fn hear_client(&mut self, client: u64, message: FromClient) {
        match message {
            FromClient::Submit(graph) => self.submit(client, *graph),
            FromClient::Release { tasks } => {
                let tasks = tasks.iter().filter_map(|&task| self.release(client, task)).collect();
                self.tell(Event::TasksReleased { tasks });
            }
            FromClient::Fetch { tasks } => {
                for task in tasks {
                    if let Some(task) = self.find(client, task) {
                        let attempt = self.scheduler.attempt_of(task);
                        self.node.fetch(client, task, attempt, &mut self.outputs);
                    }
                }
                self.carry_out_outputs();
            }
            FromClient::Adopt { task, client: other, theirs } => {
                self.adopt(client, task, self.find(other, theirs));
            }
            FromClient::Cancel { tasks, reason } => {
                let tasks = self.tasks_of(client, &tasks);
                if !reason.is_empty() {
                    self.reasons.extend(tasks.iter().map(|&task| (task, reason.clone())));
                }
                self.tell(Event::TasksCancelled { tasks });
            }
            FromClient::Retry { tasks } => {
                let tasks = self.tasks_of(client, &tasks);
                self.tell(Event::TasksRetried { tasks });
            }
            FromClient::Unpinned { objects } => {
                self.node.unpinned(Reader::Client(client), &objects, &mut self.outputs);
                self.carry_out_outputs();
            }
            FromClient::Call { call, workers, program, objects } => {
                self.call(client, call, &workers, &program, &objects);
            }
            FromClient::Ask { call, question } => {
                let text = self.answer_to(client, question);
                self.tell_client(client, ToClient::Told { call, text });
            }
            // The shell has dealt with it, for it comes with a descriptor.
            FromClient::Arena => {}
            FromClient::Close => self.client_lost(client),
        }
    }

    fn tasks_of(&self, client: u64, tasks: &[ClientTask]) -> Vec<TaskId> {
        tasks.iter().filter_map(|&task| self.find(client, task)).collect()
    }

    /// The scheduler's task for a client's task, if it is not forgotten.
    pub(super) fn find(&self, client: u64, task: ClientTask) -> Option<TaskId> {
        self.submissions.find(client, task).or_else(|| self.adopted.find(client, task))
    }

    /// A client wants a task no more; the task, if nobody does.
    fn release(&mut self, client: u64, number: ClientTask) -> Option<TaskId> {
        match self.submissions.find(client, number) {
            Some(task) => self.adopted.owner_releases(task).then_some(task),
            None => self.adopted.release(client, number),
        }
    }

    /// A client wants a task that is known to others.
    fn adopt(&mut self, client: u64, number: ClientTask, task: Option<TaskId>) {
        let Some(task) = task else {
            let problem = Box::new(Problem::Lost { key: String::new() });
            self.tell_client(client, ToClient::Erred { task: number, problem });
            return;
        };
        let is_wanted = self.scheduler.is_wanted(task);
        self.adopted.add(task, (client, number), is_wanted);
        if !is_wanted {
            // All who want it are told how it stands.
            self.tell(Event::TaskWanted { task });
        } else if let Some(outcome) = self.scheduler.outcome_of(task) {
            self.report_to(client, number, task, outcome);
        }
    }

    fn submit(&mut self, client: u64, mut graph: Graph) {
        let externals: Vec<Option<TaskId>> =
            graph.externals.iter().map(|&task| self.find(client, task)).collect();
        let unknown = externals.iter().position(Option::is_none);
        let dependencies = edges_of(&graph);
        let is_of_client = |body: &Value| match body {
            Value::Inline(_) => true,
            Value::Stored(stored) => self.node.is_of_client(client, stored),
            Value::Live => false,
        };
        let is_data_of_client = graph
            .data
            .as_ref()
            .is_none_or(|data| graph.len() == 1 && self.node.is_of_client(client, data));
        let dependencies = dependencies.filter(|_| {
            is_data_of_client && graph.shared.iter().all(|(_, body)| is_of_client(body))
        });
        let (None, Some(dependencies)) = (unknown, dependencies) else {
            let task = unknown.map_or(graph.first, |place| graph.externals[place]);
            self.give_back(client, &graph);
            for &wanted in &graph.wanted {
                let problem = Box::new(Problem::Unknown { task });
                let task = graph.first + u64::from(wanted);
                self.tell_client(client, ToClient::Erred { task, problem });
            }
            return;
        };
        let shared_groups = self.groups_named(&graph.names);
        for (hash, body) in &graph.shared {
            self.node.share(*hash, body, &mut self.outputs);
        }
        graph.keys.sort_unstable();
        let base = self.scheduler.place_for(graph.len());
        self.note_reads(base, &graph, &dependencies, &shared_groups, &externals);
        let submission = Submission {
            dependencies,
            rank: std::mem::take(&mut graph.rank),
            groups: graph.groups.clone(),
            shared_groups,
            externals: externals.into_iter().flatten().collect(),
            wanted: graph.wanted.clone(),
            priority: graph.urgency(),
            retries: graph.retries.iter().copied().collect(),
            restrictions: graph.asked.iter().map(|asked| self.offers.restriction(asked)).collect(),
            restricted: graph.asking.iter().copied().collect(),
        };
        graph.starts = Vec::new();
        graph.inputs = Vec::new();
        self.submissions.add(client, base, graph);
        self.tell(Event::GraphSubmitted(Box::new(submission)));
    }

    /// Nobody will read what came along in the client's own memory.
    fn give_back(&mut self, client: u64, graph: &Graph) {
        let bodies = graph.shared.iter().filter_map(|(_, body)| match body {
            Value::Stored(stored) => Some(&**stored),
            _ => None,
        });
        for stored in bodies.chain(&graph.data) {
            if self.node.is_of_client(client, stored) {
                let (offset, len) = (stored.offset, stored.len);
                self.tell_client(client, ToClient::Free { offset, len });
            }
        }
    }

    /// Groups, by their names.
    pub(super) fn groups(&self) -> impl Iterator<Item = (&str, GroupId)> {
        self.groups.iter().map(|(name, &group)| (name.as_str(), group))
    }

    /// The groups of tasks with these names; those of one name go on over all submissions.
    fn groups_named(&mut self, names: &[String]) -> Vec<GroupId> {
        let mut next = self.scheduler.next_group_id();
        let mut group_of = |name: &String| {
            let group = *self.groups.entry(name.clone()).or_insert(next);
            let is_new = group == next;
            next.0 += u32::from(is_new);
            // Who watches forgets names of old groups.
            if is_new || next.0 - group.0 > KEPT_NAMES {
                self.recorder.name_group(group, name, self.now);
            }
            group
        };
        names.iter().map(&mut group_of).collect()
    }

    pub(super) fn tell_client(&mut self, client: u64, message: ToClient) {
        let Some(entry) = self.clients.get_mut(&client) else { return };
        entry.line.say(message);
        if !entry.is_dirty {
            entry.is_dirty = true;
            self.dirty_clients.push(client);
        }
    }

    pub(super) fn has_client(&self, client: u64) -> bool {
        self.clients.contains_key(&client)
    }

    pub(super) fn client_count(&self) -> usize {
        self.clients.len()
    }

    // ---- Workers ----

    pub(super) fn next_worker(&mut self) -> WorkerId {
        self.next_worker += 1;
        WorkerId(self.next_worker - 1)
    }

    pub(super) fn worker_joined(
        &mut self,
        worker: WorkerId,
        info: WorkerInfo,
        line: Arc<dyn WorkerLine>,
    ) {
        if let Some(arena) = info.arena {
            self.node.arena_added(arena, Reader::Worker(worker));
        }
        let entry = Worker {
            info,
            line,
            is_dirty: false,
            finished: 0,
            lent: 0,
            stillness: Stillness::default(),
            anonymous: 0,
        };
        self.workers.insert(worker, entry);
        self.note_joined(worker);
        if self.is_closed {
            self.tell_worker(worker, ToWorker::Close);
            return;
        }
        if let Some(limits) = self.memory {
            let nbytes = (limits.budget / IDLE_SHARE).min(MOST_IDLE);
            self.tell_worker(worker, ToWorker::KeepIdle { nbytes });
        }
        self.join(worker);
    }

    /// The scheduler may use a worker from now on.
    pub(super) fn join(&mut self, worker: WorkerId) {
        let info = &self.workers[&worker].info;
        let threads = info.threads;
        let window = threads + WINDOW;
        let offer = Box::new(self.offers.of_worker(&info.name));
        self.tell(Event::WorkerJoined { worker, threads, window, host: HERE, offer });
    }

    pub(super) fn workers(&self) -> Vec<(WorkerId, WorkerInfo)> {
        self.workers.iter().map(|(&worker, entry)| (worker, entry.info.clone())).collect()
    }

    /// Bytes that only a worker's process has.
    pub(super) fn memory_of(&self, worker: WorkerId) -> u64 {
        self.workers.get(&worker).map_or(0, |entry| entry.anonymous)
    }

    /// How many tasks a worker has ended.
    pub(super) fn finished_by(&self, worker: WorkerId) -> u64 {
        self.workers.get(&worker).map_or(0, |entry| entry.finished)
    }

    pub(super) fn worker_lost(&mut self, worker: WorkerId, death: Death) {
        if self.workers.remove(&worker).is_none() {
            return;
        }
        self.note_left(worker, &death);
        for &task in &death.running {
            if self.submissions.get(task).is_some() {
                let words = self.last_words.take(task);
                self.deaths.insert(task, (death.cause.clone(), words));
            }
        }
        for &task in &death.overdue {
            if self.runs_at(worker, task) {
                self.faults.insert(task, Fault::OutOfTime(None));
            }
        }
        self.end_calls_at(worker, &NoValue::Died);
        self.node.worker_lost(worker, &mut self.outputs);
        let Death { crashed, running, overdue, .. } = death;
        self.events.push_back(Event::WorkerLost { worker, crashed, running, overdue });
        self.carry_out_outputs();
    }

    pub(super) fn hear_worker(&mut self, worker: WorkerId, message: FromWorker) {
        if self.workers.get(&worker).is_some_and(|entry| entry.stillness.is_given_up()) {
            self.hear_given_up(worker, message);
            return;
        }
        match message {
            FromWorker::Ended { task, attempt, ending, stretch } => {
                if let Some(entry) = self.workers.get_mut(&worker) {
                    entry.finished += 1;
                }
                self.last_words.take(task);
                let event = self.ended(worker, task, attempt, ending, &stretch);
                self.tell(event);
            }
            FromWorker::Keeps { task, attempt } => {
                self.tell(Event::RetractRefused { worker, task, attempt });
            }
            FromWorker::Lends { is_lent } => {
                let Some(entry) = self.workers.get_mut(&worker) else { return };
                entry.lent += if is_lent { 1 } else { -1 };
                // Threads say it one by one, and two may overtake each other.
                let lent = entry.lent.max(0) as u32;
                self.tell(Event::SlotsLent { worker, lent });
            }
            message => self.hear_of_results(worker, message),
        }
    }

    /// A worker says something that does not concern the scheduler.
    pub(super) fn hear_of_results(&mut self, worker: WorkerId, message: FromWorker) {
        match message {
            FromWorker::Published { task, attempt, value } => {
                self.node.published(task, attempt, value, &mut self.outputs);
                self.carry_out_outputs();
            }
            FromWorker::Unpinned { objects } => {
                self.node.unpinned(Reader::Worker(worker), &objects, &mut self.outputs);
                self.carry_out_outputs();
            }
            FromWorker::Output { source, body } => {
                let client = match source {
                    Source::Task(task) => self.submissions.get(task).map(|one| one.client),
                    Source::Call(call) => self.calls.get(&call).map(|asked| asked.client),
                };
                if let (Source::Task(task), Some(_)) = (source, client) {
                    self.last_words.add(task, &body);
                }
                // If nobody wants the task any more, nobody wants to read what it says.
                if let Some(client) = client {
                    self.tell_client(client, ToClient::Output { body });
                }
            }
            FromWorker::Answer { call, answer } => {
                self.answered(worker, call, answer.map_err(NoValue::Raised));
            }
            // The shell deals with who joins; the scheduler was told all else.
            FromWorker::Joined { .. }
            | FromWorker::Ended { .. }
            | FromWorker::Keeps { .. }
            | FromWorker::Lends { .. } => {}
        }
    }

    fn ended(
        &mut self,
        worker: WorkerId,
        task: TaskId,
        attempt: Attempt,
        ending: Ending,
        stretch: &Stretch,
    ) -> Event {
        self.note_stretch(worker, task, &ending, stretch);
        match ending {
            Ending::Returned { value, nbytes } => {
                let is_kept =
                    self.node.returned(worker, (task, attempt), value, nbytes, &mut self.outputs);
                let held_by = if is_kept { STORE } else { worker };
                let duration = Duration::from_nanos(stretch.duration_ns);
                Event::TaskFinished { worker, task, attempt, nbytes, duration, held_by }
            }
            Ending::Raised { error, .. } => {
                self.failed(worker, task, attempt, Fault::Raised(error))
            }
            Ending::OutOfTime { error } => {
                self.failed(worker, task, attempt, Fault::OutOfTime(error))
            }
            Ending::Stopped => Event::AttemptEnded { worker, task, attempt },
        }
    }

    /// An attempt has failed; it may not be the one that counts any more.
    fn failed(&mut self, worker: WorkerId, task: TaskId, attempt: Attempt, fault: Fault) -> Event {
        if self.scheduler.attempt_of(task) == attempt {
            self.faults.insert(task, fault);
        }
        Event::TaskErred { worker, task, attempt }
    }

    /// Whether the attempt of a task that counts is with a worker. The number may be anything.
    fn runs_at(&self, worker: WorkerId, task: TaskId) -> bool {
        self.submissions.get(task).is_some()
            && self.scheduler.state_of(task) == TaskState::Processing
            && self.scheduler.worker_of(task) == Some(worker)
    }

    /// Workers that are there, their processes, and the ways to them.
    pub(super) fn lines(&self) -> Vec<(WorkerId, u32, Arc<dyn WorkerLine>)> {
        let line = |(&worker, entry): (&WorkerId, &Worker)| {
            (worker, entry.info.pid, Arc::clone(&entry.line))
        };
        self.workers.iter().map(line).collect()
    }

    fn tell_worker(&mut self, worker: WorkerId, message: ToWorker) {
        let Some(entry) = self.workers.get_mut(&worker) else { return };
        let answer = entry.line.say(message);
        if !entry.is_dirty {
            entry.is_dirty = true;
            self.dirty_workers.push(worker);
        }
        match answer {
            Some(FromWorker::Ended { task, attempt, ending, stretch }) => {
                let event = self.ended(worker, task, attempt, ending, &stretch);
                self.events.push_back(event);
            }
            Some(FromWorker::Keeps { task, attempt }) => {
                self.events.push_back(Event::RetractRefused { worker, task, attempt });
            }
            _ => {}
        }
    }

    // ---- Calls outside of tasks ----

    fn call(
        &mut self,
        client: u64,
        call: u64,
        workers: &[WorkerId],
        program: &Bytes,
        objects: &Objects,
    ) {
        let left: Vec<WorkerId> =
            workers.iter().copied().filter(|worker| self.workers.contains_key(worker)).collect();
        let number = self.next_call;
        self.next_call += 1;
        let is_empty = left.is_empty();
        self.calls.insert(number, Asked { client, call, left: left.clone() });
        for worker in left {
            let entry = &self.workers[&worker];
            if entry.stillness.is_given_up() {
                let stopped = NoValue::Stopped { pid: entry.info.pid };
                self.answered(worker, number, Err(stopped));
                continue;
            }
            let (program, objects) = (program.clone(), objects.clone());
            self.tell_worker(worker, ToWorker::Call { call: number, program, objects });
        }
        if is_empty {
            self.end_call(number);
        }
    }

    /// Nobody waits for what a worker would answer any more.
    pub(super) fn end_calls_at(&mut self, worker: WorkerId, why: &NoValue) {
        let is_asked = |asked: &Asked| asked.left.contains(&worker);
        let asked: Vec<u64> =
            self.calls.iter().filter(|(_, one)| is_asked(one)).map(|(&call, _)| call).collect();
        for call in asked {
            self.answered(worker, call, Err(why.clone()));
        }
    }

    fn answered(&mut self, worker: WorkerId, number: u64, answer: Result<Value, NoValue>) {
        let Some(asked) = self.calls.get_mut(&number) else { return };
        let Some(place) = asked.left.iter().position(|&other| other == worker) else { return };
        asked.left.remove(place);
        let (client, call, is_over) = (asked.client, asked.call, asked.left.is_empty());
        self.tell_client(client, ToClient::Answer { call, worker: Some(worker), answer });
        if is_over {
            self.end_call(number);
        }
    }

    fn end_call(&mut self, number: u64) {
        if let Some(Asked { client, call, .. }) = self.calls.remove(&number) {
            let answer = Ok(Value::Live);
            self.tell_client(client, ToClient::Answer { call, worker: None, answer });
        }
    }

    // ---- Scheduler and node ----

    /// Tells the scheduler, and does all that follows.
    pub(super) fn tell(&mut self, event: Event) {
        self.events.push_back(event);
        self.carry_out_outputs();
    }

    pub(super) fn tick(&mut self) {
        self.tell(Event::TimePassed);
    }

    // ---- Memory ----

    pub(super) fn memory_measured(&mut self, workers: &[(WorkerId, u64)], arenas: u64) {
        for &(worker, nbytes) in workers {
            if let Some(entry) = self.workers.get_mut(&worker) {
                entry.anonymous = nbytes;
            }
        }
        let anonymous = workers.iter().map(|&(_, nbytes)| nbytes).sum();
        self.node.memory_measured(anonymous, arenas);
    }

    pub(super) fn spilled(
        &mut self,
        task: TaskId,
        attempt: Attempt,
        written: Result<Stored, String>,
    ) {
        self.node.spilled(task, attempt, written, self.now, &mut self.outputs);
        self.carry_out_outputs();
    }

    /// Moves results out of memory if it is short. Costs nothing if memory is not limited.
    pub(super) fn relieve_memory(&mut self) {
        if !self.node.is_memory_short() {
            return;
        }
        let Self { node, scheduler, outputs, .. } = self;
        node.relieve_memory(self.now, |task| scheduler.next_use(task), outputs);
        self.carry_out_outputs();
    }

    pub(super) fn carry_out_outputs(&mut self) {
        loop {
            let mut outputs = std::mem::take(&mut self.outputs);
            for output in outputs.drain(..) {
                self.carry_out(output);
            }
            if self.outputs.is_empty() {
                self.outputs = outputs;
            }
            if !self.outputs.is_empty() {
                continue;
            }
            let Some(event) = self.events.pop_front() else { break };
            self.outbox.clear();
            self.scheduler.handle(event, self.now, &mut self.outbox);
            self.recorder.hear(&self.outbox.records);
            let mut actions = std::mem::take(&mut self.outbox.actions);
            for action in actions.drain(..) {
                self.obey(&action);
            }
            self.outbox.actions = actions;
        }
        for place in 0..self.dirty_clients.len() {
            let client = self.dirty_clients[place];
            self.tell_finished(client);
        }
    }

    fn tell_finished(&mut self, client: u64) {
        let Some(entry) = self.clients.get_mut(&client) else { return };
        let tasks = std::mem::take(&mut entry.finished);
        if !tasks.is_empty() {
            entry.line.say(ToClient::Finished { tasks });
        }
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Send { worker, message } => self.tell_worker(worker, message),
            Output::SendArena { reader: Reader::Worker(worker), arena } => {
                if let Some(entry) = self.workers.get(&worker) {
                    entry.line.give_arena(arena);
                }
            }
            Output::SendArena { reader: Reader::Client(client), arena } => {
                if let Some(entry) = self.clients.get(&client) {
                    entry.line.give_arena(arena);
                }
            }
            Output::FreeOfClient { client, offset, len } => {
                self.tell_client(client, ToClient::Free { offset, len });
            }
            Output::CloseArena { arena } => self.arenas.remove(arena),
            Output::Spill { task, attempt, stored } => {
                if let Some(disk) = &self.disk {
                    disk.write(task, attempt, stored);
                } else {
                    let problem = Err("results are not written to disk".to_owned());
                    self.node.spilled(task, attempt, problem, self.now, &mut self.outputs);
                }
            }
            Output::FreeOnDisk { arena, offset, len } => {
                if let Some(disk) = &self.disk {
                    disk.free(arena, offset, len);
                }
            }
            // What writes to disk has all arenas.
            Output::SendArena { reader: Reader::Disk, .. } => {}
            Output::Deliver { client, task, attempt, value } => {
                let Some(submitted) = self.submissions.get(task) else { return };
                let is_owner = client == submitted.client;
                let number = self
                    .adopted
                    .number(client, task, is_owner)
                    .or_else(|| is_owner.then(|| submitted.client_task(task)));
                let Some(number) = number else {
                    // It has let go of the task since it asked.
                    if let Ok(Value::Stored(stored)) = &value {
                        let object = (stored.arena, stored.offset);
                        let reader = Reader::Client(client);
                        self.node.unpinned(reader, &[object], &mut self.outputs);
                    }
                    return;
                };
                let version = (task, attempt);
                self.tell_client(client, ToClient::Value { task: number, value, version });
            }
            Output::Report(report) => {
                let event = self.event_of(report);
                self.events.push_back(event);
            }
        }
    }

    fn event_of(&mut self, report: Report) -> Event {
        match report {
            Report::Stopped { worker, task, attempt } => {
                Event::AttemptEnded { worker, task, attempt }
            }
            Report::InputUnusable { worker, task, attempt, error } => {
                self.failed(worker, task, attempt, Fault::Raised(error))
            }
            Report::Refused { worker, task, attempt, refusal } => {
                self.failed(worker, task, attempt, Fault::Refused(refusal))
            }
            Report::Pressure { pressure } => Event::PressureChanged { pressure },
            Report::InputMissing { worker, task, attempt, input, from } => {
                Event::InputMissing { worker, task, attempt, input, from }
            }
            Report::Kept { task, attempt } => Event::ReplicaAdded { worker: STORE, task, attempt },
        }
    }

    fn obey(&mut self, action: &Action) {
        match *action {
            Action::Run { worker, task, attempt } => self.run(worker, task, attempt),
            // The node brings inputs to whoever reads them.
            Action::Fetch { .. } => {}
            Action::Retract { worker, task, attempt } => {
                self.node.retract(worker, task, attempt, &mut self.outputs);
            }
            Action::Cancel { worker, task, attempt } => {
                self.node.cancel(worker, task, attempt, &mut self.outputs);
            }
            Action::Drop { worker, task, attempt } => {
                let worker = (worker != STORE).then_some(worker);
                self.node.drop_result(worker, task, attempt, &mut self.outputs);
            }
            Action::Report { task, outcome } => self.report(task, outcome),
            Action::Forget { task } => self.forget(task),
        }
    }

    fn run(&mut self, worker: WorkerId, task: TaskId, attempt: Attempt) {
        let submitted = self.submissions.of(task);
        if let Some(data) = submitted.graph.data.clone() {
            let event = self.take_in(worker, task, attempt, data);
            self.events.push_back(event);
            return;
        }
        let local = submitted.local(task);
        for &part in submitted.graph.parts_of(local) {
            let (hash, _) = submitted.graph.shared[part as usize];
            self.node.prepare(worker, hash, &mut self.outputs);
        }
        let inputs: Vec<(TaskId, Attempt)> = self
            .scheduler
            .dependencies_of(task)
            .map(|input| (input, self.scheduler.attempt_of(input)))
            .collect();
        let is_last_read = |&(input, _): &(TaskId, Attempt)| {
            let is_last =
                self.node.is_object_here(input) && self.scheduler.is_last_reader(task, input);
            is_last.then_some(input)
        };
        let last_reads = inputs.iter().filter_map(is_last_read).collect();
        let call = submitted.graph.program(local);
        let objects = submitted.graph.objects.clone();
        let urgency = submitted.graph.urgency();
        let time_limit = submitted.graph.time_limit_of(local);
        let order = Order { task, attempt, urgency, call, objects, inputs, last_reads, time_limit };
        self.node.run(worker, order, &mut self.outputs);
    }

    /// The node takes in what a client has put into its memory; in vain a second time, for the memory
    /// may hold something else since the result was dropped.
    fn take_in(&mut self, worker: WorkerId, task: TaskId, attempt: Attempt, data: Stored) -> Event {
        if !self.taken.insert(task) {
            return Event::TaskErred { worker, task, attempt };
        }
        let ending = Ending::Returned { nbytes: data.len, value: Value::Stored(Box::new(data)) };
        self.ended(worker, task, attempt, ending, &Stretch::default())
    }

    fn report(&mut self, task: TaskId, outcome: Outcome) {
        let submitted = self.submissions.of(task);
        let (client, number) = (submitted.client, submitted.client_task(task));
        self.report_to(client, number, task, outcome);
        for place in 0..self.adopted.of(task).len() {
            let (client, number) = self.adopted.of(task)[place];
            self.report_to(client, number, task, outcome);
        }
    }

    /// Tells a client how a task ended that it calls so.
    fn report_to(&mut self, client: u64, number: ClientTask, task: TaskId, outcome: Outcome) {
        match outcome {
            Outcome::Finished => {
                let attempt = self.scheduler.attempt_of(task);
                let value = self.node.peek(task, attempt, SMALL);
                let Some(entry) = self.clients.get_mut(&client) else { return };
                entry.finished.push((number, value));
                if !entry.is_dirty {
                    entry.is_dirty = true;
                    self.dirty_clients.push(client);
                }
            }
            Outcome::Erred { blame, failure } => {
                let problem = Box::new(self.problem(blame, failure));
                self.tell_client(client, ToClient::Erred { task: number, problem });
            }
        }
    }

    fn problem(&self, blame: TaskId, failure: Failure) -> Problem {
        let key = self.submissions.get(blame).map_or_else(String::new, |one| one.key(blame));
        match failure {
            Failure::Raised if self.taken.contains(&blame) => Problem::Lost { key },
            Failure::Raised => match self.faults.get(&blame).cloned() {
                Some(Fault::Raised(error)) => Problem::Raised { error, key },
                Some(Fault::Refused(Refusal { needed, available, disk })) => {
                    Problem::NoMemory { key, needed, available, disk }
                }
                Some(Fault::OutOfTime(error)) => {
                    let submitted = self.submissions.get(blame);
                    let limit = submitted.and_then(|one| one.time_limit_of(blame));
                    Problem::OutOfTime { key, limit: limit.unwrap_or_default(), error }
                }
                None => Problem::Raised { error: Bytes::new(), key },
            },
            Failure::WorkersCrashed { times } => {
                let (cause, last_words) = self.deaths.get(&blame).cloned().unwrap_or_default();
                Problem::Killed { key, times, cause, last_words }
            }
            Failure::NoWorker => Problem::NoWorker { key, reason: self.why_no_worker(blame) },
            Failure::Cancelled => {
                let reason = self.reasons.get(&blame).cloned().unwrap_or_default();
                Problem::Cancelled { key, reason }
            }
        }
    }

    fn forget(&mut self, task: TaskId) {
        self.faults.remove(&task);
        self.deaths.remove(&task);
        self.last_words.take(task);
        self.reasons.remove(&task);
        self.node.forget(task);
        self.adopted.forget(task);
        let was_taken = self.taken.remove(&task);
        if let Some(submitted) = self.submissions.forget(task) {
            for (hash, _) in &submitted.graph.shared {
                self.node.unshare(*hash, &mut self.outputs);
            }
            if let (Some(data), false) = (&submitted.graph.data, was_taken) {
                let (offset, len) = (data.offset, data.len);
                self.tell_client(submitted.client, ToClient::Free { offset, len });
            }
        }
    }

    /// Whether the result of an attempt may still be asked for.
    pub(super) fn is_current(&self, task: TaskId, attempt: Attempt) -> bool {
        self.scheduler.attempt_of(task) == attempt
            && self.scheduler.state_of(task) == TaskState::Memory
    }

    pub(super) fn close(&mut self, reason: &str) {
        self.is_closed = true;
        let clients: Vec<u64> = self.clients.keys().copied().collect();
        for client in clients {
            self.tell_client(client, ToClient::Closed { reason: reason.to_owned() });
        }
        let workers: Vec<WorkerId> = self.workers.keys().copied().collect();
        for worker in workers {
            self.tell_worker(worker, ToWorker::Close);
        }
    }

    pub(super) fn take_dirty(&mut self) -> Dirty {
        let mut dirty = Dirty::default();
        for client in std::mem::take(&mut self.dirty_clients) {
            self.tell_finished(client);
            if let Some(entry) = self.clients.get_mut(&client) {
                entry.is_dirty = false;
                dirty.clients.push(Arc::clone(&entry.line));
            }
        }
        for worker in std::mem::take(&mut self.dirty_workers) {
            if let Some(entry) = self.workers.get_mut(&worker) {
                entry.is_dirty = false;
                dirty.workers.push(Arc::clone(&entry.line));
            }
        }
        dirty
    }

    /// The submission of a task, for explanations.
    pub(super) fn submission_of(&self, task: TaskId) -> Option<&Submitted> {
        self.submissions.get(task)
    }
}
