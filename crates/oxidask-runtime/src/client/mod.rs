//! A client's side: what is known of its futures.
//!
//! Messages of the cluster come in by [`Client::deliver`]; whoever waits for a future waits here.
//! Dropping a future only appends to a list: it takes no lock that anybody holds for long, and does
//! no I/O. What was dropped is released with the next thing that the client says, or after a moment.

mod own_arena;
mod slots;

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use oxidask_protocol::{
    Attempt, ClientTask, FromClient, Graph, NoValue, Problem, TaskId, ToClient, Value, WorkerId,
};
use oxidask_store::{Arena, StoreError};
use rustc_hash::FxHashMap;

use self::own_arena::OwnArena;
use self::slots::Slots;
use crate::listening::{Listening, Turn};
use crate::patience::{self, Patience};

/// Where a client's messages go.
pub trait Line: Send + Sync + 'static {
    /// Says something to the cluster.
    fn say(&self, message: FromClient);

    /// Gives the cluster the descriptor of the arena that this client writes to. Returns the arena's
    /// number; `None` if workers cannot see memory of this process.
    fn give_arena(&self, _descriptor: OwnedFd) -> Option<u32> {
        None
    }
}

/// Where a future stands.
#[derive(Clone, Debug, Default)]
pub enum Status {
    /// Its task has not ended.
    #[default]
    Pending,
    /// Its result is in memory.
    Finished,
    /// It failed.
    Erred(Arc<Problem>),
}

/// A result that a client has, or where it is.
#[derive(Clone, Debug)]
pub enum Got {
    /// The value itself, or a place in shared memory.
    Value(Value),
    /// An object of this process.
    Here(TaskId, Attempt),
    /// It cannot be had: an exception, as an executor writes it.
    Unusable(Bytes),
}

#[derive(Debug, Default)]
struct Slot {
    status: Status,
    got: Option<Got>,
    is_asked: bool,
    #[expect(clippy::box_collection, reason = "there are many futures, and few are watched")]
    watches: Option<Box<Vec<Arc<Watch>>>>,
}

impl Slot {
    /// The future is done, or nobody will see that.
    fn tell_watches(&mut self, task: ClientTask) {
        for watch in self.watches.take().into_iter().flat_map(|watches| *watches) {
            watch.add(task);
        }
    }
}

/// A queue into which futures fall when they are done.
#[derive(Debug, Default)]
pub struct Watch {
    done: Mutex<VecDeque<ClientTask>>,
    changed: Condvar,
}

impl Watch {
    fn add(&self, task: ClientTask) {
        self.done.lock().expect("nothing panics while the lock is held").push_back(task);
        self.changed.notify_all();
    }

    /// The next future that is done; waits for it, at most so long.
    pub fn next(&self, at_most: Duration) -> Option<ClientTask> {
        let done = self.done.lock().expect("nothing panics while the lock is held");
        let (mut done, _) = self
            .changed
            .wait_timeout_while(done, at_most, |done| done.is_empty())
            .expect("nothing panics while the lock is held");
        done.pop_front()
    }

    /// How many are done and were not taken.
    pub fn len(&self) -> usize {
        self.done.lock().expect("nothing panics while the lock is held").len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Answers to a call: one a worker, and whether all have answered.
type Answers = (Vec<(WorkerId, Result<Value, NoValue>)>, bool);

#[derive(Debug, Default)]
struct State {
    slots: Slots<Slot>,
    waiting: usize,
    /// One more waits where news of workers comes from.
    is_listening: bool,
    /// Errors that came.
    erred: u64,
    answers: FxHashMap<u64, Answers>,
    told: FxHashMap<u64, String>,
    output: VecDeque<Bytes>,
    dropped_output: u64,
    closed: Option<String>,
    /// The cluster, and the number of the client there.
    identity: Option<(u128, u64)>,
}

/// Pieces of output kept for a reader that does not come.
const LONGEST_OUTPUT: usize = 10_000;

/// A client of a cluster.
pub struct Client {
    line: Box<dyn Line>,
    state: Mutex<State>,
    changed: Condvar,
    /// Where who waits may listen, if workers are in other processes and the cluster in this one.
    listening: Weak<Listening>,
    /// Messages that came, for who looks for them awake.
    delivered: AtomicU64,
    /// Of who waits.
    patience: Patience,
    /// Notified when output comes; apart, so that nothing else wakes who waits for that.
    output_came: Condvar,
    has_output: AtomicBool,
    released: Mutex<Vec<ClientTask>>,
    unpinned: Mutex<Vec<(u32, u64)>>,
    has_garbage: AtomicBool,
    next_task: AtomicU64,
    next_call: AtomicU64,
    arena: OwnArena,
}

impl Client {
    /// A client that says things through `line`.
    pub fn new(line: Box<dyn Line>) -> Self {
        Self::listening(line, Weak::new())
    }

    /// The same, where who waits may listen to the cluster's workers meanwhile.
    pub fn listening(line: Box<dyn Line>, listening: Weak<Listening>) -> Self {
        Self {
            line,
            state: Mutex::default(),
            changed: Condvar::new(),
            listening,
            delivered: AtomicU64::new(0),
            patience: Patience::default(),
            output_came: Condvar::new(),
            has_output: AtomicBool::new(false),
            released: Mutex::default(),
            unpinned: Mutex::default(),
            has_garbage: AtomicBool::new(false),
            next_task: AtomicU64::new(0),
            next_call: AtomicU64::new(0),
            arena: OwnArena::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while the lock is held")
    }

    // ---- Speaking ----

    /// Numbers for so many tasks.
    pub fn reserve(&self, count: usize) -> ClientTask {
        self.next_task.fetch_add(count as u64, Ordering::Relaxed)
    }

    /// Submits tasks; the wanted ones are futures from now on.
    pub fn submit(&self, graph: Graph) {
        {
            let mut state = self.lock();
            for &task in &graph.wanted {
                state.slots.insert(graph.first + u64::from(task), Slot::default());
            }
        }
        self.say(FromClient::Submit(Box::new(graph)));
    }

    /// Says something, after what was dropped before.
    pub fn say(&self, message: FromClient) {
        self.let_go();
        self.line.say(message);
    }

    /// A future is gone.
    pub fn drop_future(&self, task: ClientTask) {
        self.released.lock().expect("nothing panics while the lock is held").push(task);
        self.has_garbage.store(true, Ordering::Release);
    }

    /// A view of shared memory is gone.
    pub fn drop_view(&self, arena: u32, offset: u64) {
        self.unpinned.lock().expect("nothing panics while the lock is held").push((arena, offset));
        self.has_garbage.store(true, Ordering::Release);
    }

    /// Tells the cluster what was dropped.
    pub fn let_go(&self) {
        if !self.has_garbage.swap(false, Ordering::AcqRel) {
            return;
        }
        let take = |list: &Mutex<Vec<ClientTask>>| {
            std::mem::take(&mut *list.lock().expect("nothing panics while the lock is held"))
        };
        let tasks = take(&self.released);
        if !tasks.is_empty() {
            {
                let mut state = self.lock();
                for task in &tasks {
                    state.slots.remove(*task);
                }
            }
            self.line.say(FromClient::Release { tasks });
        }
        let objects = std::mem::take(
            &mut *self.unpinned.lock().expect("nothing panics while the lock is held"),
        );
        if !objects.is_empty() {
            self.line.say(FromClient::Unpinned { objects });
        }
    }

    /// A number for a call or a question.
    pub fn next_call(&self) -> u64 {
        self.next_call.fetch_add(1, Ordering::Relaxed)
    }

    /// The arena that this client writes to, and its number; it is made when it is needed first.
    /// `None` if workers cannot see memory of this process.
    pub fn arena(&self) -> Result<Option<(Arc<Arena>, u32)>, StoreError> {
        self.arena.get(|descriptor| self.line.give_arena(descriptor))
    }

    /// A piece of the arena may be used again.
    pub fn free(&self, offset: u64, len: u64) {
        self.arena.free(offset, len);
    }

    /// Lets go of the arena, as the client is closed.
    pub fn close_arena(&self) {
        self.arena.close();
    }

    // ---- Listening ----

    /// Takes in what the cluster says.
    pub fn deliver(&self, message: ToClient) {
        let mut state = self.lock();
        match message {
            ToClient::Finished { tasks } => {
                for (task, value) in tasks {
                    let Some(slot) = state.slots.get_mut(task) else { continue };
                    slot.status = Status::Finished;
                    slot.got = value.map(|bytes| Got::Value(Value::Inline(bytes)));
                    slot.tell_watches(task);
                }
            }
            // Workers that end stop what they run: that is no error of the task.
            ToClient::Erred { .. } if state.closed.is_some() => {}
            ToClient::Erred { task, problem } => {
                state.erred += 1;
                if let Some(slot) = state.slots.get_mut(task) {
                    slot.status = Status::Erred(Arc::from(problem));
                    slot.got = None;
                    slot.tell_watches(task);
                }
            }
            ToClient::Value { task, value, version } => {
                let got = match value {
                    Ok(Value::Live) => Got::Here(version.0, version.1),
                    Ok(value) => Got::Value(value),
                    Err(error) => Got::Unusable(error),
                };
                let Some(slot) = state.slots.get_mut(task) else {
                    drop(state);
                    self.give_back(&got);
                    return;
                };
                slot.got = Some(got);
                slot.is_asked = false;
            }
            ToClient::Lost { tasks } => {
                for task in tasks {
                    if let Some(slot) = state.slots.get_mut(task) {
                        slot.status = Status::Pending;
                    }
                }
            }
            ToClient::Answer { call, worker, answer } => {
                let answers = state.answers.entry(call).or_default();
                match worker {
                    Some(worker) => answers.0.push((worker, answer)),
                    None => answers.1 = true,
                }
            }
            ToClient::Told { call, text } => {
                state.told.insert(call, text);
            }
            ToClient::Output { body } => {
                if state.output.len() == LONGEST_OUTPUT {
                    state.output.pop_front();
                    state.dropped_output += 1;
                }
                state.output.push_back(body);
                self.has_output.store(true, Ordering::Release);
                self.output_came.notify_all();
            }
            ToClient::Closed { reason } => {
                state.closed.get_or_insert(reason);
                self.output_came.notify_all();
                let State { slots, .. } = &mut *state;
                for (task, slot) in slots.iter_mut() {
                    slot.tell_watches(task);
                }
            }
            ToClient::Welcome { cluster, client } => state.identity = Some((cluster, client)),
            ToClient::Free { offset, len } => {
                drop(state);
                self.free(offset, len);
                return;
            }
            // The shell has dealt with it.
            ToClient::Arena { .. } => {}
        }
        self.delivered.fetch_add(1, Ordering::Release);
        if state.waiting > 0 {
            self.changed.notify_all();
        }
        if state.is_listening
            && let Some(listening) = self.listening.upgrade()
        {
            listening.recall();
        }
    }

    /// A value came for a future that is gone: a view of it will not be made.
    fn give_back(&self, got: &Got) {
        if let Got::Value(Value::Stored(stored)) = got {
            self.drop_view(stored.arena, stored.offset);
        }
    }

    // ---- Futures ----

    /// The cluster, and the number of this client there; waits for it, at most so long.
    pub fn identity(&self, at_most: Duration) -> Option<(u128, u64)> {
        let mut found = None;
        self.wait_until(at_most, |state| {
            found = state.identity;
            found.is_some()
        });
        found
    }

    /// Wants a task that `client` calls `theirs`: a future from now on.
    pub fn adopt(&self, client: u64, theirs: ClientTask) -> ClientTask {
        let task = self.reserve(1);
        self.lock().slots.insert(task, Slot::default());
        self.say(FromClient::Adopt { task, client, theirs });
        task
    }

    /// Where a future stands; `None` for one that was released.
    pub fn status(&self, task: ClientTask) -> Option<Status> {
        self.lock().slots.get(task).map(|slot| slot.status.clone())
    }

    /// Why a future failed, if it did.
    pub fn problem(&self, task: ClientTask) -> Option<Arc<Problem>> {
        match self.status(task) {
            Some(Status::Erred(problem)) => Some(problem),
            _ => None,
        }
    }

    /// Whether nothing has to be fetched to have the outcome of a future that is done.
    pub fn is_here(&self, task: ClientTask) -> bool {
        let state = self.lock();
        state.slots.get(task).is_none_or(|slot| match slot.status {
            Status::Pending => false,
            Status::Finished => slot.got.is_some(),
            Status::Erred(_) => true,
        })
    }

    /// Whether a future was cancelled, or what it needs.
    pub fn is_cancelled(&self, task: ClientTask) -> bool {
        let state = self.lock();
        state.slots.get(task).is_some_and(|slot| match &slot.status {
            Status::Erred(problem) => matches!(**problem, Problem::Cancelled { .. }),
            Status::Pending | Status::Finished => false,
        })
    }

    /// Why the cluster ended, if it did.
    pub fn closed(&self) -> Option<String> {
        self.lock().closed.clone()
    }

    /// Waits, at most so long, until `is_done` of the state says so; says whether it did.
    fn wait_until(&self, at_most: Duration, mut is_done: impl FnMut(&mut State) -> bool) -> bool {
        let begin = Instant::now();
        let mut state = self.lock();
        let until = begin + at_most;
        let listening = if at_most.is_zero() { None } else { self.listening.upgrade() };
        let mut turn = None;
        let mut has_looked = at_most.is_zero();
        let _waiting = (!has_looked).then(patience::client_waits);
        loop {
            if is_done(&mut state) || state.closed.is_some() {
                drop(state);
                if !at_most.is_zero() {
                    self.patience.learn(begin.elapsed());
                }
                return true;
            }
            if !has_looked {
                has_looked = true;
                turn = listening.as_deref().and_then(Listening::turn);
                if turn.is_some() {
                    continue;
                }
                let before = self.delivered.load(Ordering::Acquire);
                drop(state);
                let has_changed = || self.delivered.load(Ordering::Acquire) != before;
                self.patience.look(at_most, has_changed);
                state = self.lock();
                continue;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                drop(state);
                self.patience.learn(at_most);
                return false;
            }
            state = match &turn {
                Some(turn) => self.listen(state, turn, left),
                None => self.sleep(state, left),
            };
        }
    }

    fn sleep<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        left: Duration,
    ) -> MutexGuard<'a, State> {
        state.waiting += 1;
        let woken = self.changed.wait_timeout(state, left);
        let mut state = woken.expect("nothing panics while the lock is held").0;
        state.waiting -= 1;
        state
    }

    /// Waits for news of workers, or of what others have heard, and takes it in.
    fn listen<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        turn: &Turn<'_>,
        left: Duration,
    ) -> MutexGuard<'a, State> {
        // Under the lock under which it was seen that there is nothing: who brings something from
        // here on recalls this thread, before it waits or while it does.
        state.is_listening = true;
        drop(state);
        turn.wait(left);
        self.lock().is_listening = false;
        turn.take_in();
        self.lock()
    }

    /// Waits, at most so long, until all futures from `*from` on are done; moves `*from` on.
    pub fn wait_all(&self, tasks: &[ClientTask], from: &mut usize, at_most: Duration) -> bool {
        self.wait_until(at_most, |state| {
            while let Some(task) = tasks.get(*from) {
                match state.slots.get(*task) {
                    Some(Slot { status: Status::Pending, .. }) => return false,
                    _ => *from += 1,
                }
            }
            true
        })
    }

    /// Like [`Client::wait_all`]; an error anywhere ends the wait unless errors are to be skipped.
    pub fn wait_all_or_error(
        &self,
        tasks: &[ClientTask],
        from: &mut usize,
        skips_errors: bool,
        at_most: Duration,
    ) -> bool {
        self.wait_until(at_most, |state| {
            while let Some(task) = tasks.get(*from) {
                match state.slots.get(*task) {
                    Some(Slot { status: Status::Pending, .. }) => break,
                    Some(Slot { status: Status::Erred(_), .. }) if !skips_errors => return true,
                    _ => *from += 1,
                }
            }
            *from == tasks.len()
                || !skips_errors
                    && state.erred > 0
                    && tasks[*from..].iter().any(|task| {
                        matches!(
                            state.slots.get(*task),
                            Some(Slot { status: Status::Erred(_), .. })
                        )
                    })
        })
    }

    /// Futures that are tried again are pending from now on.
    pub fn forget_errors(&self, tasks: &[ClientTask]) {
        let mut state = self.lock();
        for task in tasks {
            if let Some(slot) = state.slots.get_mut(*task)
                && matches!(slot.status, Status::Erred(_))
            {
                slot.status = Status::Pending;
                slot.got = None;
            }
        }
    }

    /// Waits, at most so long, until one of the futures is done.
    pub fn wait_any(&self, tasks: &[ClientTask], at_most: Duration) -> bool {
        self.wait_until(at_most, |state| {
            tasks.iter().any(|task| {
                !matches!(state.slots.get(*task), Some(Slot { status: Status::Pending, .. }))
            })
        })
    }

    /// Asks for the values of futures that are finished and whose values are not here.
    pub fn fetch(&self, tasks: &[ClientTask]) {
        let mut missing = Vec::new();
        {
            let mut state = self.lock();
            for task in tasks {
                if let Some(slot) = state.slots.get_mut(*task)
                    && slot.got.is_none()
                    && !slot.is_asked
                    && matches!(slot.status, Status::Finished)
                {
                    slot.is_asked = true;
                    missing.push(*task);
                }
            }
        }
        if !missing.is_empty() {
            self.say(FromClient::Fetch { tasks: missing });
        }
    }

    /// Waits, at most so long, for the value that was asked for; `None` if it has not come.
    ///
    /// A small value stays for the next time; a view of shared memory is the caller's.
    pub fn take_value(&self, task: ClientTask, at_most: Duration) -> Option<Got> {
        let mut found = None;
        self.wait_until(at_most, |state| {
            let Some(slot) = state.slots.get_mut(task) else { return true };
            match &slot.got {
                Some(Got::Value(Value::Stored(_))) => found = slot.got.take(),
                Some(got) => found = Some(got.clone()),
                None => return matches!(slot.status, Status::Erred(_)),
            }
            true
        });
        found
    }

    /// Puts futures into a queue when they are done; those that are done already at once.
    pub fn watch(&self, tasks: &[ClientTask], watch: &Arc<Watch>) {
        let mut state = self.lock();
        let is_closed = state.closed.is_some();
        for &task in tasks {
            match state.slots.get_mut(task) {
                Some(slot) if matches!(slot.status, Status::Pending) && !is_closed => {
                    slot.watches.get_or_insert_default().push(Arc::clone(watch));
                }
                _ => watch.add(task),
            }
        }
    }

    // ---- Calls, questions, output ----

    /// Waits, at most so long, until all workers have answered a call.
    pub fn take_answers(
        &self,
        call: u64,
        at_most: Duration,
    ) -> Option<Vec<(WorkerId, Result<Value, NoValue>)>> {
        let mut found = None;
        self.wait_until(at_most, |state| {
            if state.answers.get(&call).is_some_and(|answers| answers.1) {
                found = state.answers.remove(&call).map(|answers| answers.0);
            }
            found.is_some()
        });
        found
    }

    /// Waits, at most so long, for the answer to a question.
    pub fn take_told(&self, call: u64, at_most: Duration) -> Option<String> {
        let mut found = None;
        self.wait_until(at_most, |state| {
            found = state.told.remove(&call);
            found.is_some()
        });
        found
    }

    /// Whether there is output of tasks that was not shown: what is taken out counts as shown when
    /// the reader comes back and finds nothing.
    pub fn has_output(&self) -> bool {
        self.has_output.load(Ordering::Acquire)
    }

    /// Waits, at most so long, for output of tasks; says whether there is any.
    pub fn wait_for_output(&self, at_most: Duration) -> bool {
        let is_quiet = |state: &mut State| state.output.is_empty() && state.closed.is_none();
        let (state, _) = self
            .output_came
            .wait_timeout_while(self.lock(), at_most, is_quiet)
            .expect("nothing panics while the lock is held");
        !state.output.is_empty()
    }

    /// Output of tasks, and how many pieces were dropped since the last call.
    pub fn take_output(&self) -> (Vec<Bytes>, u64) {
        let mut state = self.lock();
        if state.output.is_empty() {
            self.has_output.store(false, Ordering::Release);
        }
        (state.output.drain(..).collect(), std::mem::take(&mut state.dropped_output))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listening::tests::Script;

    struct Nowhere;

    impl Line for Nowhere {
        fn say(&self, _message: FromClient) {}
    }

    const LONG: Duration = Duration::from_secs(60);

    fn listening_client() -> (Arc<Client>, Script, Arc<Listening>) {
        let script = Script::default();
        let listening = Arc::new(Listening::new(script.clone()));
        let client = Client::listening(Box::new(Nowhere), Arc::downgrade(&listening));
        client.submit(Graph { wanted: vec![0, 1], ..Graph::default() });
        (Arc::new(client), script, listening)
    }

    fn finished(task: ClientTask) -> ToClient {
        ToClient::Finished { tasks: vec![(task, None)] }
    }

    fn wait_for(client: &Client, task: ClientTask) -> bool {
        client.wait_all(&[task], &mut 0, LONG)
    }

    #[test]
    fn who_waits_takes_news_in_for_all_who_wait() {
        let (client, script, _listening) = listening_client();
        std::thread::scope(|scope| {
            let first = scope.spawn(|| wait_for(&client, 0));
            script.wait_for_listener();
            let second = scope.spawn(|| wait_for(&client, 1));
            while client.lock().waiting == 0 {
                std::thread::yield_now();
            }
            let told = Arc::clone(&client);
            script.bring(move || told.deliver(finished(1)));
            assert!(second.join().unwrap());
            assert!(!first.is_finished());
            // It listens on for its own.
            let told = Arc::clone(&client);
            script.wait_for_listener();
            script.bring(move || told.deliver(finished(0)));
            assert!(first.join().unwrap());
        });
    }

    #[test]
    fn who_listens_is_recalled_when_others_bring_what_it_waits_for() {
        let (client, script, listening) = listening_client();
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| wait_for(&client, 0));
            script.wait_for_listener();
            client.deliver(finished(0));
            assert!(thread.join().unwrap());
        });
        assert!(listening.turn().is_some(), "it has given its turn back");
    }

    #[test]
    fn who_listens_is_recalled_when_the_cluster_ends() {
        let (client, script, _listening) = listening_client();
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| wait_for(&client, 0));
            script.wait_for_listener();
            client.deliver(ToClient::Closed { reason: "it was closed".to_owned() });
            assert!(thread.join().unwrap());
        });
        assert_eq!(client.closed().as_deref(), Some("it was closed"));
    }

    #[test]
    fn a_task_that_the_end_of_the_cluster_has_stopped_has_not_failed() {
        let (client, _script, _listening) = listening_client();
        client.deliver(ToClient::Closed { reason: "it was closed".to_owned() });
        let problem = Problem::Lost { key: "spin".to_owned() };
        client.deliver(ToClient::Erred { task: 0, problem: Box::new(problem) });
        assert!(matches!(
            client.lock().slots.get(0).expect("it is wanted").status,
            Status::Pending
        ));
    }

    #[test]
    fn where_nobody_can_listen_waiting_is_as_before() {
        let (client, _script, listening) = listening_client();
        drop(listening);
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| wait_for(&client, 0));
            while client.lock().waiting == 0 {
                std::thread::yield_now();
            }
            client.deliver(finished(0));
            assert!(thread.join().unwrap());
        });
    }
}
