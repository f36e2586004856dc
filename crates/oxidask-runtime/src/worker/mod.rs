//! A worker's side: the tasks that it was given and has not started, and what else is to be done.
//!
//! Knows neither Python nor sockets: messages come in by [`Inbox::deliver`], whoever executes takes
//! tasks by [`Inbox::next_run`] and the rest by [`Inbox::next_chore`], and answers go out through a
//! [`Mouth`].

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use oxidask_protocol::{
    Attempt, ContentHash, Ending, FromWorker, Objects, Run, Stretch, TaskId, ToWorker, Value,
};
use rustc_hash::FxHashMap;

use crate::cluster::Seat;
use crate::listening::{Listening, Turn};
use crate::patience::{self, Patience};

/// Where a worker's messages go: to the cluster in the same process, or to a socket.
pub trait Mouth: Send + Sync + 'static {
    /// Says something; it may wait in the worker until [`Mouth::flush`].
    fn say(&self, message: FromWorker);

    /// Sends what waits.
    fn flush(&self) {}
}

/// Something to do that is not a task.
#[derive(Debug)]
pub enum Chore {
    /// Stop a task that runs.
    Interrupt {
        /// Which.
        task: TaskId,
        /// Which try.
        attempt: Attempt,
    },
    /// Make an object available to others.
    Publish {
        /// Whose result.
        task: TaskId,
        /// The attempt that made it.
        attempt: Attempt,
    },
    /// Call a function.
    Call {
        /// To tell answers apart.
        call: u64,
        /// How to call it.
        program: Bytes,
        /// Values that it refers to.
        objects: Objects,
    },
    /// A piece of the arena is free.
    Free {
        /// Where it begins.
        offset: u64,
        /// Its length.
        len: u64,
    },
    /// Less of the arena is to be kept for reuse.
    KeepIdle {
        /// Bytes.
        nbytes: u64,
    },
}

/// What an executor takes out of an [`Inbox`].
#[derive(Debug)]
pub enum Taken {
    /// A task.
    Run(Run),
    /// There is none now.
    Nothing,
    /// There will be none any more.
    Closed,
}

#[derive(Debug, Default)]
struct Inner {
    runs: VecDeque<Run>,
    chores: VecDeque<Chore>,
    dropped: Vec<(TaskId, Attempt)>,
    /// Tasks that were given back or cancelled before they began.
    discarded: Vec<Run>,
    shared: FxHashMap<ContentHash, Value>,
    /// Shared parts that no call needs any more, for whoever keeps what was made of them.
    unshared: Vec<(ContentHash, Value)>,
    is_closed: bool,
    /// How many tasks may run at once.
    slots: usize,
    /// Tasks that run: those that wait for others do not count.
    running: usize,
    /// Tasks whose wait for others is over and that have no slot yet.
    returning: usize,
    /// Tasks that wait for others.
    lent: usize,
    /// Those of them that wait for others of the cluster: how many of each urgency.
    lenders: BTreeMap<i64, usize>,
    /// When one began to wait last.
    lent_at: Option<Instant>,
    /// When something happened last after which a task may go on that waits for others.
    stirred_at: Option<Instant>,
    /// Threads for tasks.
    threads: usize,
    /// Those of them that wait for a task, and those of these that were woken for one.
    idle: usize,
    woken: usize,
    /// Where the one of them is that waits for news of the node itself.
    listener: Listener,
    /// What tasks lasted lately, in nanoseconds.
    mean_ns: Option<u64>,
}

/// What a thread does that waits for a task where news comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Listener {
    /// There is none.
    #[default]
    Away,
    /// It waits, and ends that if it is recalled.
    Waits,
    /// It was recalled.
    Recalled,
    /// It takes in what has come, and will take a task then.
    TakesIn,
}

/// Waking a thread and handing it the interpreter costs about as much as tasks of this length.
const WORTH_A_THREAD_NS: u64 = 30_000;

/// So long others may not have the slot of a task that waits, if it may go on in a moment.
const HESITATION: Duration = Duration::from_millis(2);

impl Inner {
    fn has_free_slot(&self) -> bool {
        self.running + self.returning < self.slots
    }

    /// How long the most urgent task is to be held back, because one that waits will probably go on
    /// before: it has just begun to wait, or what it waits for may have just ended. Without this,
    /// tasks beside it would begin, and wait for others in their turn.
    fn hesitation(&self) -> Duration {
        let (Some((&deepest, _)), Some(first)) = (self.lenders.last_key_value(), self.runs.front())
        else {
            return Duration::ZERO;
        };
        let since = self.stirred_at.map_or(HESITATION, |at| at.elapsed());
        if first.urgency > deepest { Duration::ZERO } else { HESITATION.saturating_sub(since) }
    }

    /// A thread that was idle is not any more.
    fn wakes_up(&mut self) {
        self.idle -= 1;
        self.woken = self.woken.saturating_sub(1);
    }

    fn lend(&mut self, urgency: Option<i64>) {
        self.lent += 1;
        let now = Instant::now();
        self.lent_at = Some(now);
        if let Some(urgency) = urgency {
            *self.lenders.entry(urgency).or_default() += 1;
            self.stirred_at = Some(now);
        }
    }

    fn end_lending(&mut self, urgency: Option<i64>) {
        self.lent -= 1;
        if let Some(urgency) = urgency
            && let Some(count) = self.lenders.get_mut(&urgency)
        {
            *count -= 1;
            if *count == 0 {
                self.lenders.remove(&urgency);
            }
        }
    }

    /// Whether another thread should take part: not where tasks are so short that one thread that
    /// holds the interpreter does them faster alone.
    fn is_worth_waking(&self) -> bool {
        let awake = (self.threads + self.woken).saturating_sub(self.idle + self.lent);
        self.idle > self.woken
            && self.has_free_slot()
            && (awake == 0 || self.mean_ns.is_none_or(|mean| mean > WORTH_A_THREAD_NS))
    }
}

/// What a task that waits for others is to do meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meanwhile {
    /// There are threads that can use its slot.
    Rest,
    /// A thread is to be started that uses its slot.
    StartThread,
    /// There are as many threads as there may be: the waiting thread runs other tasks itself.
    Help,
}

/// Threads of a worker beyond its slots, for the slots of tasks that wait.
pub const MOST_SPARE_THREADS: usize = 64;

/// What a worker was told and has not done.
#[derive(Default)]
pub struct Inbox {
    inner: Mutex<Inner>,
    /// Notified when a task comes.
    ready: Condvar,
    /// Notified when a chore comes.
    chore: Condvar,
    /// Notified when a slot is free that a task waits for.
    slot: Condvar,
    /// Tasks that wait.
    waiting: AtomicUsize,
    /// Of threads that have nothing to do.
    patience: Patience,
    /// Where a thread that has nothing to do may listen, if the cluster is in another process.
    listening: OnceLock<Weak<Listening>>,
    /// Whether clients are in the same process, with one interpreter for all.
    is_beside_clients: bool,
    /// Threads, and what each runs, where no other process is to see it.
    seats: Seats,
}

/// Threads of a worker, and the task of each, plus one.
#[derive(Default)]
struct Seats(Vec<(AtomicU32, AtomicU64)>);

impl Inbox {
    /// That of a worker that runs so many tasks at once, each in a thread of its own.
    pub fn new(slots: usize) -> Self {
        let seats = (0..slots + MOST_SPARE_THREADS).map(|_| Default::default());
        let inbox = Self { seats: Seats(seats.collect()), ..Self::default() };
        inbox.lock().slots = slots;
        inbox
    }

    /// The same for a worker in the process of its clients, with one interpreter that a thread at a time
    /// has.
    pub fn beside_clients(slots: usize) -> Self {
        Self { is_beside_clients: true, ..Self::new(slots) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("nothing panics while the lock is held")
    }

    /// Says which thread of the system has a number, 0 for none.
    pub fn set_thread(&self, thread: usize, system_thread: u32) {
        if let Some((own, _)) = self.seats.0.get(thread) {
            own.store(system_thread, Ordering::Relaxed);
        }
    }

    /// A thread runs a task from now on, or none.
    pub fn set_running(&self, thread: usize, task: Option<TaskId>) {
        if let Some((_, own)) = self.seats.0.get(thread) {
            own.store(task.map_or(0, |task| u64::from(task.0) + 1), Ordering::Relaxed);
        }
    }

    /// Threads that said what they run.
    pub fn seats(&self) -> Vec<Seat> {
        let seat = |(thread, (own, task)): (usize, &(AtomicU32, AtomicU64))| {
            let system_thread = own.load(Ordering::Relaxed);
            let task = task.load(Ordering::Relaxed).checked_sub(1);
            let task = task.map(|task| TaskId(task as u32));
            (system_thread != 0).then_some(Seat { thread: thread as u32, system_thread, task })
        };
        self.seats.0.iter().enumerate().filter_map(seat).collect()
    }

    /// From now on threads that have nothing to do wait there.
    pub(crate) fn set_listening(&self, listening: &Arc<Listening>) {
        self.listening.get_or_init(|| Arc::downgrade(listening));
    }

    /// Takes in what the worker is told. Some of it is answered at once.
    pub fn deliver(&self, message: ToWorker) -> Option<FromWorker> {
        let mut inner = self.lock();
        match message {
            ToWorker::Run(run) => {
                // Behind all that are as urgent; nearly always that is the end.
                let before =
                    inner.runs.iter().rev().take_while(|other| other.urgency < run.urgency);
                let place = inner.runs.len() - before.count();
                inner.runs.insert(place, run);
                self.waiting.store(inner.runs.len(), Ordering::SeqCst);
                // Who takes it in takes one itself.
                let own = usize::from(inner.listener == Listener::TakesIn);
                if inner.runs.len() > own && inner.is_worth_waking() {
                    self.wake(&mut inner);
                }
                None
            }
            ToWorker::Retract { task, attempt } => {
                let answer = self.take_back(&mut inner, task, attempt);
                // If it has ended meanwhile, the cluster has heard that before.
                Some(answer.unwrap_or(FromWorker::Keeps { task, attempt }))
            }
            ToWorker::Cancel { task, attempt } => {
                let answer = self.take_back(&mut inner, task, attempt);
                if answer.is_none() {
                    self.add_chore(&mut inner, Chore::Interrupt { task, attempt });
                }
                answer
            }
            ToWorker::Drop { task, attempt } => {
                inner.dropped.push((task, attempt));
                None
            }
            ToWorker::Shared { hash, body } => {
                inner.shared.insert(hash, body);
                None
            }
            ToWorker::Publish { task, attempt } => {
                self.add_chore(&mut inner, Chore::Publish { task, attempt });
                None
            }
            ToWorker::Call { call, program, objects } => {
                self.add_chore(&mut inner, Chore::Call { call, program, objects });
                None
            }
            ToWorker::Free { offset, len } => {
                inner.chores.push_back(Chore::Free { offset, len });
                None
            }
            ToWorker::KeepIdle { nbytes } => {
                inner.chores.push_back(Chore::KeepIdle { nbytes });
                None
            }
            ToWorker::Close => {
                inner.is_closed = true;
                self.ready.notify_all();
                self.recall(&mut inner);
                self.chore.notify_all();
                None
            }
            ToWorker::Unshare { hashes } => {
                for hash in hashes {
                    if let Some(body) = inner.shared.remove(&hash) {
                        inner.unshared.push((hash, body));
                    }
                }
                None
            }
            ToWorker::Arena { .. } => None,
        }
    }

    fn wake(&self, inner: &mut Inner) {
        inner.woken += 1;
        if !self.recall(inner) {
            self.ready.notify_one();
        }
    }

    /// Wakes the thread that listens; `false` if none does.
    fn recall(&self, inner: &mut Inner) -> bool {
        if inner.listener != Listener::Waits {
            return false;
        }
        inner.listener = Listener::Recalled;
        // Who listens keeps it alive.
        if let Some(listening) = self.listening.get().and_then(Weak::upgrade) {
            listening.recall();
        }
        true
    }

    fn add_chore(&self, inner: &mut Inner, chore: Chore) {
        inner.chores.push_back(chore);
        self.chore.notify_one();
    }

    fn take_back(&self, inner: &mut Inner, task: TaskId, attempt: Attempt) -> Option<FromWorker> {
        let place =
            inner.runs.iter().rposition(|run| run.task == task && run.attempt == attempt)?;
        let run = inner.runs.remove(place);
        inner.discarded.extend(run);
        self.waiting.store(inner.runs.len(), Ordering::SeqCst);
        Some(FromWorker::Ended {
            task,
            attempt,
            ending: Ending::Stopped,
            stretch: Stretch::default(),
        })
    }

    /// Tasks that wait for a thread.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    /// The next task, without waiting for one.
    pub fn try_next_run(&self) -> Taken {
        let mut inner = self.lock();
        self.take(&mut inner)
    }

    fn take(&self, inner: &mut Inner) -> Taken {
        if inner.is_closed {
            return Taken::Closed;
        }
        if !inner.has_free_slot() || !inner.hesitation().is_zero() {
            return Taken::Nothing;
        }
        match inner.runs.pop_front() {
            Some(run) => {
                inner.running += 1;
                self.waiting.store(inner.runs.len(), Ordering::SeqCst);
                Taken::Run(run)
            }
            None => Taken::Nothing,
        }
    }

    /// Waits for the next task, at most so long.
    pub fn next_run(&self, at_most: Duration) -> Taken {
        let begin = Instant::now();
        let listening = self.listening.get().and_then(Weak::upgrade);
        let turn = listening.as_deref().and_then(Listening::turn);
        let mut inner = self.lock();
        if turn.is_none() && inner.runs.is_empty() && !inner.is_closed {
            drop(inner);
            if self.patience.look(at_most, || self.waiting() > 0) && self.is_beside_clients {
                // Who has submitted the task will wait for it in a moment, and has the interpreter
                // until then.
                patience::let_client_wait();
            }
            inner = self.lock();
        }
        let until = begin + at_most;
        loop {
            match self.take(&mut inner) {
                Taken::Nothing => {}
                taken => {
                    drop(inner);
                    self.patience.learn(begin.elapsed());
                    return taken;
                }
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                drop(inner);
                self.patience.learn(at_most);
                return Taken::Nothing;
            }
            let hesitation = inner.hesitation();
            let left = if hesitation.is_zero() { left } else { left.min(hesitation) };
            inner.idle += 1;
            inner = match &turn {
                Some(turn) => self.listen(inner, turn, left),
                None => self.sleep(inner, left),
            };
        }
    }

    fn sleep<'a>(&'a self, inner: MutexGuard<'a, Inner>, left: Duration) -> MutexGuard<'a, Inner> {
        let woken = self.ready.wait_timeout(inner, left);
        let mut inner = woken.expect("nothing panics while the lock is held").0;
        inner.wakes_up();
        inner
    }

    /// Waits for news of the node, or until it is woken, and takes the news in.
    fn listen<'a>(
        &'a self,
        mut inner: MutexGuard<'a, Inner>,
        turn: &Turn<'_>,
        left: Duration,
    ) -> MutexGuard<'a, Inner> {
        // Under the lock under which it was seen that there is nothing: who brings something from
        // here on recalls this thread, before it waits or while it does.
        inner.listener = Listener::Waits;
        drop(inner);
        turn.wait(left);
        let mut inner = self.lock();
        inner.wakes_up();
        inner.listener = Listener::TakesIn;
        drop(inner);
        turn.take_in();
        let mut inner = self.lock();
        inner.listener = Listener::Away;
        inner
    }

    /// A thread for tasks begins.
    pub fn thread_begins(&self) {
        self.lock().threads += 1;
    }

    /// A thread for tasks ends.
    pub fn thread_ends(&self) {
        self.lock().threads -= 1;
    }

    /// Whether a thread that has nothing to do is one too many: it was started for the slot of a
    /// task that waits no longer, and no task has waited for so long. It counts as ended then.
    pub fn may_leave(&self, idle: Duration) -> bool {
        let mut inner = self.lock();
        let may = inner.threads > inner.slots + inner.lent
            && inner.lent_at.is_none_or(|at| at.elapsed() >= idle);
        inner.threads -= usize::from(may);
        may
    }

    /// A task that was taken has ended after so long; wakes another thread if that is worth it.
    pub fn task_ended(&self, urgency: i64, nanoseconds: u64) {
        let mut inner = self.lock();
        if inner.lenders.first_key_value().is_some_and(|(&lender, _)| urgency > lender) {
            inner.stirred_at = Some(Instant::now());
        }
        inner.running -= 1;
        if inner.returning > 0 {
            self.slot.notify_all();
        }
        let mean = inner.mean_ns.unwrap_or(nanoseconds);
        inner.mean_ns = Some(mean - mean / 8 + nanoseconds / 8);
        if !inner.runs.is_empty() && inner.is_worth_waking() {
            self.wake(&mut inner);
        }
    }

    // ---- Slots of tasks that wait for others ----

    /// A running task waits from now on, and others get its slot. Its urgency is told if it is for
    /// other tasks that it waits.
    pub fn lend_slot(&self, urgency: Option<i64>) -> Meanwhile {
        let mut inner = self.lock();
        inner.running -= 1;
        inner.lend(urgency);
        if inner.returning > 0 {
            self.slot.notify_all();
        }
        if !inner.runs.is_empty() && inner.is_worth_waking() {
            self.wake(&mut inner);
        }
        if inner.threads >= inner.slots + inner.lent {
            Meanwhile::Rest
        } else if inner.threads < inner.slots + MOST_SPARE_THREADS {
            Meanwhile::StartThread
        } else {
            Meanwhile::Help
        }
    }

    /// The task's wait is over; it goes on when there is a slot.
    pub fn want_slot_back(&self, urgency: Option<i64>) {
        let mut inner = self.lock();
        inner.end_lending(urgency);
        inner.returning += 1;
    }

    /// Waits, at most so long, for a slot for a task that wants one back; with `forced` it takes
    /// one that is not there. Says whether it has one.
    pub fn take_slot_back(&self, at_most: Duration, forced: bool) -> bool {
        let (mut inner, _) = self
            .slot
            .wait_timeout_while(self.lock(), at_most, |inner| inner.running >= inner.slots)
            .expect("nothing panics while the lock is held");
        if inner.running >= inner.slots && !forced {
            return false;
        }
        inner.returning -= 1;
        inner.running += 1;
        true
    }

    /// A task ends that has lent its slot for good.
    pub fn lender_ended(&self) {
        self.lock().end_lending(None);
    }

    /// A task does not stop, and keeps its thread: there is one more slot until it ends, for a thread
    /// that the caller starts.
    pub fn add_slot(&self) {
        let mut inner = self.lock();
        inner.slots += 1;
        if inner.returning > 0 {
            self.slot.notify_all();
        }
    }

    /// That task has ended after all.
    pub fn remove_slot(&self) {
        self.lock().slots -= 1;
    }

    /// Wakes another thread if a task has waited too long: the one that runs is not as short as
    /// others were. To be called every few milliseconds.
    pub fn wake_if_stuck(&self, seen: &mut Option<(TaskId, Attempt)>) {
        let mut inner = self.lock();
        let first = inner.runs.front().map(|run| (run.task, run.attempt));
        if first.is_some() && first == *seen && inner.idle > inner.woken && inner.has_free_slot() {
            self.wake(&mut inner);
        }
        *seen = first;
    }

    /// The body of a part that calls share.
    pub fn shared(&self, hash: ContentHash) -> Option<Value> {
        self.lock().shared.get(&hash).cloned()
    }

    /// Shared parts that were given up since the last call.
    pub fn take_unshared(&self) -> Vec<(ContentHash, Value)> {
        std::mem::take(&mut self.lock().unshared)
    }

    /// The next chore; waits for it, at most so long.
    pub fn next_chore(&self, at_most: Duration) -> Option<Chore> {
        let inner = self.lock();
        let is_idle = |inner: &mut Inner| inner.chores.is_empty() && !inner.is_closed;
        let (mut inner, _) = self
            .chore
            .wait_timeout_while(inner, at_most, is_idle)
            .expect("nothing panics while the lock is held");
        inner.chores.pop_front()
    }

    /// A chore that is to be done before tasks, without waiting.
    pub fn try_next_chore(&self) -> Option<Chore> {
        self.lock().chores.pop_front()
    }

    /// Results that are to be forgotten.
    pub fn take_dropped(&self, into: &mut Vec<(TaskId, Attempt)>) {
        into.append(&mut self.lock().dropped);
    }

    /// Tasks that never began, for whoever has to let go of what came with them.
    pub fn take_discarded(&self) -> Vec<Run> {
        std::mem::take(&mut self.lock().discarded)
    }

    /// Whether the worker was told to end.
    pub fn is_closed(&self) -> bool {
        self.lock().is_closed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listening::tests::Script;

    fn run(task: u32) -> ToWorker {
        ToWorker::Run(Run {
            task: TaskId(task),
            attempt: Attempt(0),
            urgency: 0,
            call: Bytes::new(),
            objects: Objects::default(),
            inputs: Vec::new(),
            time_limit: None,
        })
    }

    fn taken(inbox: &Inbox) -> Option<u32> {
        match inbox.try_next_run() {
            Taken::Run(run) => Some(run.task.0),
            Taken::Nothing | Taken::Closed => None,
        }
    }

    #[test]
    fn tasks_come_out_in_the_order_in_which_they_were_given() {
        let inbox = Inbox::new(8);
        for task in 0..3 {
            assert!(inbox.deliver(run(task)).is_none());
        }
        assert_eq!([taken(&inbox), taken(&inbox), taken(&inbox)], [Some(0), Some(1), Some(2)]);
        assert_eq!(taken(&inbox), None);
    }

    #[test]
    fn a_more_urgent_task_overtakes_others_but_not_its_like() {
        let inbox = Inbox::new(8);
        for (task, urgency) in [(0, 0), (1, 5), (2, 0), (3, 5), (4, -1)] {
            let ToWorker::Run(mut run) = run(task) else { unreachable!("`run` makes a task") };
            run.urgency = urgency;
            inbox.deliver(ToWorker::Run(run));
        }
        let order: Vec<u32> = std::iter::from_fn(|| taken(&inbox)).collect();
        assert_eq!(order, [1, 3, 0, 2, 4]);
    }

    #[test]
    fn a_task_is_given_back_only_if_it_has_not_started() {
        let inbox = Inbox::new(8);
        inbox.deliver(run(0));
        inbox.deliver(run(1));
        assert_eq!(taken(&inbox), Some(0));
        let (task, attempt) = (TaskId(0), Attempt(0));
        let answer = inbox.deliver(ToWorker::Retract { task, attempt });
        assert!(matches!(answer, Some(FromWorker::Keeps { task: TaskId(0), .. })));
        let answer = inbox.deliver(ToWorker::Retract { task: TaskId(1), attempt });
        assert!(matches!(
            answer,
            Some(FromWorker::Ended { task: TaskId(1), ending: Ending::Stopped, .. })
        ));
        assert_eq!(taken(&inbox), None);
    }

    #[test]
    fn a_running_task_that_is_cancelled_becomes_a_chore() {
        let inbox = Inbox::new(8);
        inbox.deliver(run(0));
        assert_eq!(taken(&inbox), Some(0));
        let (task, attempt) = (TaskId(0), Attempt(0));
        assert!(inbox.deliver(ToWorker::Cancel { task, attempt }).is_none());
        assert!(matches!(inbox.try_next_chore(), Some(Chore::Interrupt { task: TaskId(0), .. })));
    }

    #[test]
    fn no_more_tasks_are_taken_than_there_are_slots() {
        let inbox = Inbox::new(1);
        inbox.deliver(run(0));
        inbox.deliver(run(1));
        assert_eq!([taken(&inbox), taken(&inbox)], [Some(0), None]);
        inbox.task_ended(0, 1);
        assert_eq!(taken(&inbox), Some(1));
    }

    #[test]
    fn a_task_that_waits_lends_its_slot_and_gets_it_back_before_others_start() {
        let inbox = Inbox::new(1);
        inbox.thread_begins();
        for task in 0..3 {
            inbox.deliver(run(task));
        }
        assert_eq!(taken(&inbox), Some(0));
        assert_eq!(inbox.lend_slot(None), Meanwhile::StartThread);
        inbox.thread_begins();
        assert_eq!([taken(&inbox), taken(&inbox)], [Some(1), None]);
        inbox.want_slot_back(None);
        assert!(!inbox.take_slot_back(Duration::ZERO, false));
        inbox.task_ended(0, 1);
        assert_eq!(taken(&inbox), None, "the slot is promised");
        assert!(inbox.take_slot_back(Duration::ZERO, false));
        assert!(inbox.may_leave(Duration::ZERO), "nobody waits any more");
        inbox.task_ended(0, 1);
        assert_eq!(taken(&inbox), Some(2));
    }

    #[test]
    fn the_slot_of_a_task_that_does_not_stop_is_made_up_for_until_it_ends() {
        let inbox = Inbox::new(1);
        inbox.thread_begins();
        for task in 0..4 {
            inbox.deliver(run(task));
        }
        assert_eq!([taken(&inbox), taken(&inbox)], [Some(0), None]);
        inbox.add_slot();
        inbox.thread_begins();
        assert_eq!([taken(&inbox), taken(&inbox)], [Some(1), None]);
        assert!(!inbox.may_leave(Duration::ZERO), "each slot has a thread");
        inbox.task_ended(0, 1);
        inbox.remove_slot();
        assert_eq!(taken(&inbox), None, "one runs in the slot that is left");
        assert!(inbox.may_leave(Duration::ZERO));
        inbox.task_ended(0, 1);
        assert_eq!([taken(&inbox), taken(&inbox)], [Some(2), None]);
    }

    #[test]
    fn two_tasks_whose_wait_is_over_go_on_one_after_the_other() {
        let inbox = Inbox::new(1);
        inbox.deliver(run(0));
        inbox.deliver(run(1));
        assert_eq!(taken(&inbox), Some(0));
        inbox.lend_slot(None);
        assert_eq!(taken(&inbox), Some(1));
        inbox.lend_slot(None);
        inbox.want_slot_back(None);
        inbox.want_slot_back(None);
        assert!(inbox.take_slot_back(Duration::ZERO, false));
        assert!(!inbox.take_slot_back(Duration::ZERO, false));
        inbox.task_ended(0, 1);
        assert!(inbox.take_slot_back(Duration::ZERO, false));
    }

    #[test]
    fn the_number_of_spare_threads_is_limited() {
        let inbox = Inbox::new(1);
        inbox.thread_begins();
        let mut started = 0;
        for task in 0..MOST_SPARE_THREADS as u32 + 3 {
            inbox.deliver(run(task));
            assert_eq!(taken(&inbox), Some(task));
            match inbox.lend_slot(None) {
                Meanwhile::StartThread => {
                    inbox.thread_begins();
                    started += 1;
                }
                Meanwhile::Help => {}
                Meanwhile::Rest => panic!("no thread rests"),
            }
        }
        assert_eq!(started, MOST_SPARE_THREADS);
    }

    #[test]
    fn children_of_a_waiting_task_start_at_once_and_others_hesitate() {
        let inbox = Inbox::new(1);
        for (task, urgency) in [(0, 0), (1, 0), (2, 1)] {
            let ToWorker::Run(mut run) = run(task) else { unreachable!("`run` makes a task") };
            run.urgency = urgency;
            inbox.deliver(ToWorker::Run(run));
            if task == 0 {
                assert_eq!(taken(&inbox), Some(0));
            }
        }
        inbox.lend_slot(Some(0));
        assert_eq!(taken(&inbox), Some(2));
        inbox.task_ended(1, 1);
        assert_eq!(taken(&inbox), None, "the waiting task goes first");
        // It does not come, so the other one gets the slot in the end.
        let Taken::Run(run) = inbox.next_run(Duration::from_secs(10)) else {
            panic!("nothing was taken")
        };
        assert_eq!(run.task, TaskId(1));
    }

    // ---- Threads that listen ----

    const LONG: Duration = Duration::from_secs(60);

    fn listened_to(slots: usize) -> (Arc<Inbox>, Script, Arc<Listening>) {
        let (inbox, script) = (Arc::new(Inbox::new(slots)), Script::default());
        let listening = Arc::new(Listening::new(script.clone()));
        inbox.set_listening(&listening);
        (inbox, script, listening)
    }

    fn next(inbox: &Inbox) -> Option<u32> {
        match inbox.next_run(LONG) {
            Taken::Run(run) => Some(run.task.0),
            Taken::Closed => None,
            Taken::Nothing => panic!("time is up"),
        }
    }

    #[test]
    fn who_listens_takes_a_task_that_it_has_heard_of_and_wakes_nobody_for_it() {
        let (inbox, script, _listening) = listened_to(2);
        inbox.thread_begins();
        inbox.thread_begins();
        std::thread::scope(|scope| {
            let first = scope.spawn(|| next(&inbox));
            script.wait_for_listener();
            let second = scope.spawn(|| next(&inbox));
            while inbox.lock().idle < 2 {
                std::thread::yield_now();
            }
            let told = Arc::clone(&inbox);
            script.bring(move || drop(told.deliver(run(0))));
            assert_eq!(first.join().unwrap(), Some(0));
            assert_eq!(inbox.lock().woken, 0);
            // The next one is for the thread that sleeps, whoever brings it.
            inbox.deliver(run(1));
            assert_eq!(second.join().unwrap(), Some(1));
        });
    }

    #[test]
    fn who_listens_wakes_another_thread_for_a_second_task() {
        let (inbox, script, _listening) = listened_to(2);
        inbox.thread_begins();
        inbox.thread_begins();
        std::thread::scope(|scope| {
            let first = scope.spawn(|| next(&inbox));
            script.wait_for_listener();
            let second = scope.spawn(|| next(&inbox));
            while inbox.lock().idle < 2 {
                std::thread::yield_now();
            }
            let told = Arc::clone(&inbox);
            script.bring(move || {
                told.deliver(run(0));
                told.deliver(run(1));
            });
            let mut tasks = [first.join().unwrap(), second.join().unwrap()];
            tasks.sort_unstable();
            assert_eq!(tasks, [Some(0), Some(1)]);
        });
    }

    #[test]
    fn who_listens_is_recalled_for_a_task_that_others_bring_and_for_the_end() {
        let (inbox, script, _listening) = listened_to(1);
        inbox.thread_begins();
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| next(&inbox));
            script.wait_for_listener();
            inbox.deliver(run(0));
            assert_eq!(thread.join().unwrap(), Some(0));
            inbox.task_ended(0, 1);
            let thread = scope.spawn(|| next(&inbox));
            script.wait_for_listener();
            inbox.deliver(ToWorker::Close);
            assert_eq!(thread.join().unwrap(), None);
        });
    }

    #[test]
    fn who_listens_is_recalled_when_a_task_waits_behind_one_that_is_not_short() {
        let (inbox, script, _listening) = listened_to(2);
        inbox.thread_begins();
        inbox.thread_begins();
        inbox.deliver(run(0));
        assert_eq!(taken(&inbox), Some(0));
        inbox.task_ended(0, 1);
        inbox.deliver(run(1));
        assert_eq!(taken(&inbox), Some(1));
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| next(&inbox));
            script.wait_for_listener();
            // As short as the one before, so it is left to the thread that is awake.
            inbox.deliver(run(2));
            let mut seen = None;
            inbox.wake_if_stuck(&mut seen);
            inbox.wake_if_stuck(&mut seen);
            assert_eq!(thread.join().unwrap(), Some(2));
        });
    }
}
