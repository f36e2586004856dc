//! One graph being computed.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::ops::Range;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock};
use std::time::{Duration, Instant};

use oxidask_observe::Progress;
use oxidask_protocol::{Attempt, HostId, Record, RecordBody, SpanKind, TaskId, WorkerId};
use oxidask_scheduler::{
    Action, Event, Outbox, Outcome as End, SchedulerState, Settings, Submission,
};

use super::Tasks;

/// The process itself.
const HERE: WorkerId = WorkerId(0);
/// Waking a thread and handing it the interpreter costs about as much as tasks of this length.
const WORTH_A_THREAD: Duration = Duration::from_micros(30);
/// A run that grows has this many tasks that have not ended, if there are so many.
const AHEAD: usize = 1 << 15;

/// How a task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It returned; the table of tasks keeps the result.
    Finished,
    /// It failed; the table of tasks keeps why.
    Failed,
}

/// A task that a thread may run now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assigned {
    /// Which task.
    pub task: u32,
    attempt: Attempt,
}

/// What a thread does after a task.
#[derive(Clone, Copy, Debug)]
pub struct Next {
    /// The task to run next, if there is one.
    pub assigned: Option<Assigned>,
    /// Whether another task waits that is worth waking another thread for.
    pub wake_another: bool,
    /// Whether the run was given up while the task ran: the pool has replaced the thread.
    pub is_replaced: bool,
}

/// The number of a thread that is not the pool's: a client's that helps.
pub const CLIENT: u32 = u32::MAX;

/// The number of the calling thread among those of this process that have run tasks: what spans name.
pub fn thread_number() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    thread_local! {
        static NUMBER: u32 = NEXT.fetch_add(1, Ordering::Relaxed);
    }
    NUMBER.with(|number| *number)
}

/// What is kept of the records of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Watching {
    /// Nothing.
    #[default]
    Nothing,
    /// Counts by group.
    Counts,
    /// Counts, and each stretch of a thread's time.
    Spans,
}

/// How far a run has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunState {
    /// Wanted results are missing.
    Running,
    /// All wanted results are there.
    Done,
    /// This task failed, and with it a wanted one.
    Failed {
        /// The task that failed first.
        task: u32,
    },
    /// It was cancelled.
    Cancelled,
}

/// What is added to a run that grows.
#[derive(Debug, Default)]
pub struct Addition {
    /// The tasks; they follow on those that the run has. Among the wanted ones are those that later
    /// additions read.
    pub submission: Submission,
    /// Those of them that the run is for, by their number in the run.
    pub wanted: Vec<u32>,
    /// Tasks of earlier additions that no later addition reads, by their number in the run.
    pub settled: Vec<u32>,
    /// Whether nothing more will be added.
    pub is_last: bool,
}

/// One graph being computed. See the module [`super`] for how threads share it.
pub struct Run<T> {
    /// What is run.
    pub tasks: T,
    inner: Mutex<Inner>,
    /// Tasks that wait for a thread: the length of `Inner::runnable`.
    waiting: AtomicUsize,
    /// Notified when the run is over, and when a task waits while somebody helps.
    changed: Condvar,
    /// Clients that run tasks while they wait.
    helpers: AtomicUsize,
    /// The pool's count of threads that run tasks of runs that were given up.
    stuck: OnceLock<Arc<AtomicUsize>>,
    begun: Instant,
}

struct Inner {
    scheduler: SchedulerState,
    outbox: Outbox,
    runnable: BinaryHeap<Reverse<(u32, u32, Attempt)>>,
    wanted: Vec<TaskId>,
    missing: usize,
    state: RunState,
    /// Whether more tasks will be added.
    is_growing: bool,
    /// Tasks that were added so far.
    added: usize,
    /// Tasks whose results are kept because later additions read them.
    exports: BTreeSet<TaskId>,
    /// Tasks that threads were given and have not ended.
    executing: Vec<u32>,
    /// Those of them that threads of the pool run.
    executing_in_pool: usize,
    /// Results that these may read, in a run that was given up: released when the last has ended.
    still_read: Vec<u32>,
    completed: usize,
    /// Fed with all records, if somebody watches.
    watched: Option<Progress>,
    /// The spans so far, if somebody wants them.
    spans: Option<Vec<Record>>,
}

impl<T: Tasks> Run<T> {
    /// Hands a graph to a scheduler of its own, with `threads` slots.
    ///
    /// Where `watching` says so, records are counted for [`Run::watched_progress`], and spans are
    /// kept for [`Run::spans`].
    pub fn new(tasks: T, submission: Submission, threads: u32, watching: Watching) -> Self {
        let run = Self::growing(tasks, threads, watching);
        let wanted = submission.wanted.clone();
        run.grow(Addition { submission, wanted, settled: Vec::new(), is_last: true });
        run
    }

    /// A run without tasks, to which [`Run::grow`] adds some.
    pub fn growing(tasks: T, threads: u32, watching: Watching) -> Self {
        let mut inner = Inner {
            scheduler: SchedulerState::new(Settings::default()),
            outbox: Outbox::default(),
            runnable: BinaryHeap::new(),
            wanted: Vec::new(),
            missing: 0,
            state: RunState::Running,
            is_growing: true,
            added: 0,
            exports: BTreeSet::new(),
            executing: Vec::new(),
            executing_in_pool: 0,
            still_read: Vec::new(),
            completed: 0,
            watched: (watching != Watching::Nothing).then(Progress::default),
            spans: (watching == Watching::Spans).then(Vec::new),
        };
        let begun = Instant::now();
        inner.handle(
            Event::WorkerJoined {
                worker: HERE,
                host: HostId(0),
                threads,
                window: threads,
                offer: Box::default(),
            },
            Duration::ZERO,
            None,
        );
        let (waiting, helpers) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let (changed, stuck) = (Condvar::new(), OnceLock::new());
        Self { tasks, inner: Mutex::new(inner), waiting, changed, helpers, stuck, begun }
    }

    /// Adds tasks, unless the run is over. Whoever calls it wakes threads of the pool if tasks wait.
    ///
    /// # Panics
    /// If nothing more was to be added.
    pub fn grow(&self, addition: Addition) {
        let Addition { submission, mut wanted, settled, is_last } = addition;
        let mut inner = self.lock();
        assert!(inner.is_growing, "the last tasks of a run were added before");
        if inner.state != RunState::Running {
            return;
        }
        wanted.sort_unstable();
        wanted.dedup();
        let first = inner.added as u32;
        let kept = submission.wanted.iter().map(|&task| first + task);
        let exports = kept.filter(|task| wanted.binary_search(task).is_err()).map(TaskId);
        inner.exports.extend(exports);
        inner.added += submission.rank.len();
        inner.missing += wanted.len();
        inner.wanted.extend(wanted.into_iter().map(TaskId));
        inner.is_growing = !is_last;
        let now = self.begun.elapsed();
        inner.handle(Event::GraphSubmitted(Box::new(submission)), now, None);
        if !settled.is_empty() {
            let tasks: Vec<TaskId> = settled.into_iter().map(TaskId).collect();
            for task in &tasks {
                inner.exports.remove(task);
            }
            // Their readers are known now and have not run, so nothing is dropped.
            inner.handle(Event::TasksReleased { tasks }, now, None);
        }
        if is_last && inner.missing == 0 && inner.state == RunState::Running {
            inner.state = RunState::Done;
        }
        self.waiting.store(inner.runnable.len(), Ordering::SeqCst);
        drop(inner);
        self.changed.notify_all();
    }

    /// Whether more tasks should be added by now.
    pub fn is_short(&self) -> bool {
        self.lock().is_short()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("the scheduler does not panic while the lock is held")
    }

    /// Tasks that wait for a thread.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    /// How far the run has come.
    pub fn state(&self) -> RunState {
        self.lock().state
    }

    /// Tasks that ended so far, and tasks that run now.
    pub fn progress(&self) -> (usize, usize) {
        let inner = self.lock();
        (inner.completed, inner.executing.len())
    }

    /// Time since the run began.
    pub fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// The most urgent task that waits for a thread.
    pub fn take(&self, thread: u32) -> Next {
        let mut inner = self.lock();
        self.next(&mut inner, thread)
    }

    /// Lets the pool know how many of its threads are stuck in this run when it is given up.
    pub(super) fn count_stuck_threads_in(&self, stuck: &Arc<AtomicUsize>) {
        self.stuck.get_or_init(|| Arc::clone(stuck));
    }

    fn next(&self, inner: &mut Inner, thread: u32) -> Next {
        let assigned = inner.runnable.pop().map(|Reverse((_, task, attempt))| {
            inner.executing.push(task);
            inner.executing_in_pool += usize::from(thread != CLIENT);
            Assigned { task, attempt }
        });
        self.waiting.store(inner.runnable.len(), Ordering::SeqCst);
        let wake_another = inner.runnable.peek().is_some_and(|&Reverse((_, task, _))| {
            let group = inner.scheduler.group_of(TaskId(task));
            inner.scheduler.group_duration(group).is_none_or(|mean| mean > WORTH_A_THREAD)
        });
        Next { assigned, wake_another, is_replaced: false }
    }

    /// Tells how a task ended, and takes the next one. Results to release are put in `released`.
    pub fn complete(
        &self,
        assigned: Assigned,
        outcome: Outcome,
        thread: u32,
        time: Range<Instant>,
        released: &mut Vec<u32>,
    ) -> Next {
        let duration = time.end - time.start;
        let mut inner = self.lock();
        let ended = inner.executing.iter().position(|&task| task == assigned.task);
        inner.executing.swap_remove(ended.expect("a task that ends was given to a thread"));
        inner.executing_in_pool -= usize::from(thread != CLIENT);
        inner.completed += 1;
        let now = self.begun.elapsed();
        let task = TaskId(assigned.task);
        if inner.spans.is_some() {
            let group = inner.scheduler.group_of(task);
            let kind = match outcome {
                Outcome::Finished => SpanKind::Compute,
                Outcome::Failed => SpanKind::Failed,
            };
            let (worker, thread, nbytes) = (HERE, thread_number(), 0);
            let duration_ns = duration.as_nanos() as u64;
            let body = RecordBody::Span { kind, task, group, worker, thread, nbytes, duration_ns };
            let at_ns = (time.end - self.begun).as_nanos() as u64;
            inner.outbox.records.push(Record { at_ns, body });
        }
        let (worker, attempt) = (HERE, assigned.attempt);
        let event = match outcome {
            Outcome::Finished => {
                Event::TaskFinished { worker, task, attempt, nbytes: 0, duration, held_by: HERE }
            }
            Outcome::Failed => Event::TaskErred { worker, task, attempt },
        };
        let was_running = inner.state == RunState::Running;
        let read = if outcome == Outcome::Failed { inner.read_now() } else { Vec::new() };
        inner.handle(event, now, Some(released));
        if was_running && matches!(inner.state, RunState::Failed { .. }) {
            self.abandon(&mut inner, now, released);
            inner.keep(&read, released);
        }
        if inner.executing.is_empty() {
            released.append(&mut inner.still_read);
        }
        let is_given_up = !was_running && inner.state != RunState::Done;
        // Who adds tasks is called when they become few, not at the end of each task from then on.
        let is_called = inner.state != RunState::Running || inner.is_short_since_now();
        let mut next = self.next(&mut inner, thread);
        next.is_replaced = is_given_up && thread != CLIENT && self.stuck.get().is_some();
        drop(inner);
        if is_called || self.waiting() > 0 && self.helpers.load(Ordering::SeqCst) > 0 {
            self.changed.notify_all();
        }
        next
    }

    /// Gives up: what has not started never will. Says which tasks run now.
    pub fn cancel(&self) {
        let mut released = Vec::new();
        let mut inner = self.lock();
        if inner.state == RunState::Running {
            inner.state = RunState::Cancelled;
            let read = inner.read_now();
            self.abandon(&mut inner, self.begun.elapsed(), &mut released);
            inner.keep(&read, &mut released);
            self.waiting.store(inner.runnable.len(), Ordering::SeqCst);
            self.changed.notify_all();
        }
        drop(inner);
        self.tasks.release(&released);
    }

    fn abandon(&self, inner: &mut Inner, now: Duration, released: &mut Vec<u32>) {
        inner.abandon(now, released);
        if let Some(stuck) = self.stuck.get() {
            stuck.fetch_add(inner.executing_in_pool, Ordering::SeqCst);
        }
    }

    /// Runs what waits, in the calling thread, until nothing does. `wake` is called when another
    /// thread should help. Says whether the pool has replaced the thread.
    pub fn work(&self, thread: u32, mut wake: impl FnMut()) -> bool {
        /// How long a thread keeps what it needs to run tasks before it lets others have it.
        const TURN: Duration = Duration::from_micros(200);
        let mut released = Vec::new();
        let mut next = self.take(thread);
        let mut begin = Instant::now();
        let mut turn = begin;
        while let Some(assigned) = next.assigned {
            if next.wake_another {
                wake();
            }
            let (outcome, time) = self.execute(assigned.task, begin);
            let mut end = time.end;
            next = self.complete(assigned, outcome, thread, time, &mut released);
            if self.tasks.is_announced() {
                end = Instant::now();
            }
            if !released.is_empty() {
                self.tasks.release(&released);
                released.clear();
            }
            begin = end;
            if end - turn > TURN {
                T::yield_now();
                turn = Instant::now();
                begin = turn;
            }
            if next.is_replaced {
                debug_assert!(next.assigned.is_none(), "a run that was given up starts no task");
                return true;
            }
        }
        false
    }

    /// Runs a task, between what is told of its beginning and of its end.
    fn execute(&self, task: u32, begin: Instant) -> (Outcome, Range<Instant>) {
        if !self.tasks.is_announced() {
            let outcome = self.tasks.execute(self, task);
            return (outcome, begin..Instant::now());
        }
        if !self.tasks.before(self, task) {
            let now = Instant::now();
            return (Outcome::Failed, now..now);
        }
        let begin = Instant::now();
        let outcome = self.tasks.execute(self, task);
        let time = begin..Instant::now();
        if outcome == Outcome::Finished {
            self.tasks.after(self, task);
        }
        (outcome, time)
    }

    /// Works as a client until the run is over, waiting where there is nothing to do. Every `tick`
    /// of a wait, and when [`Run::wake_client`] is called while `is_called` holds, `on_tick` may end
    /// it by an error.
    pub fn help<E>(
        &self,
        tick: Duration,
        is_called: impl Fn() -> bool + Sync,
        mut wake: impl FnMut(),
        mut on_tick: impl FnMut() -> Result<(), E>,
    ) -> Result<RunState, E> {
        self.helpers.fetch_add(1, Ordering::SeqCst);
        let outcome = self.help_on(tick, &is_called, &mut wake, &mut on_tick);
        self.helpers.fetch_sub(1, Ordering::SeqCst);
        outcome
    }

    fn help_on<E>(
        &self,
        tick: Duration,
        is_called: &(impl Fn() -> bool + Sync),
        wake: &mut impl FnMut(),
        on_tick: &mut impl FnMut() -> Result<(), E>,
    ) -> Result<RunState, E> {
        loop {
            self.work(CLIENT, &mut *wake);
            let state = T::while_waiting(|| {
                let guard = self.lock();
                let is_idle = |inner: &mut Inner| {
                    inner.state == RunState::Running
                        && inner.runnable.is_empty()
                        && !inner.is_short()
                        && !is_called()
                };
                let (guard, _) = self
                    .changed
                    .wait_timeout_while(guard, tick, is_idle)
                    .expect("the scheduler does not panic while the lock is held");
                guard.state
            });
            if state != RunState::Running {
                return Ok(state);
            }
            on_tick()?;
        }
    }

    /// Waits, at most so long, until the run is over, tasks should be added, or the client is called.
    pub fn wait(&self, timeout: Duration, is_called: impl Fn() -> bool) -> RunState {
        let guard = self.lock();
        let (guard, _) = self
            .changed
            .wait_timeout_while(guard, timeout, |inner| {
                inner.state == RunState::Running && !inner.is_short() && !is_called()
            })
            .expect("the scheduler does not panic while the lock is held");
        guard.state
    }

    /// Tells a helper, if one waits, that a task waits for a thread.
    pub(super) fn notify_helper(&self) {
        self.changed.notify_all();
    }

    /// Has the client look again at what it waits for.
    pub fn wake_client(&self) {
        // The lock makes sure that a client that saw nothing is waiting by now.
        let _inner = self.lock();
        self.changed.notify_all();
    }

    /// The place of each task in the order to run.
    pub fn ranks(&self, tasks: u32) -> Vec<u32> {
        let inner = self.lock();
        (0..tasks).map(|task| inner.scheduler.rank_of(TaskId(task))).collect()
    }

    /// The spans so far, if they are kept.
    pub fn spans(&self) -> Vec<Record> {
        self.lock().spans.clone().unwrap_or_default()
    }

    /// How far the groups have come, if the run is watched.
    pub fn watched_progress(&self) -> Option<Progress> {
        self.lock().watched.clone()
    }
}

impl Inner {
    /// Tells the scheduler, and carries out what it says.
    fn handle(&mut self, event: Event, now: Duration, released: Option<&mut Vec<u32>>) {
        self.scheduler.handle(event, now, &mut self.outbox);
        let mut nobody = Vec::new();
        let released = released.unwrap_or(&mut nobody);
        for action in self.outbox.actions.drain(..) {
            match action {
                Action::Run { task, attempt, .. } => {
                    let rank = self.scheduler.rank_of(task);
                    self.runnable.push(Reverse((rank, task.0, attempt)));
                }
                Action::Drop { task, .. } => released.push(task.0),
                Action::Report { task, outcome: End::Finished, .. } => {
                    self.missing -= usize::from(!self.exports.contains(&task));
                    if self.missing == 0 && !self.is_growing && self.state == RunState::Running {
                        self.state = RunState::Done;
                    }
                }
                Action::Report { outcome: End::Erred { blame, .. }, .. } => {
                    if self.state == RunState::Running {
                        self.state = RunState::Failed { task: blame.0 };
                    }
                }
                // A cancelled task that runs is let run to its end; one that waits for a thread is
                // taken out of `runnable` by `abandon`.
                Action::Cancel { .. } | Action::Forget { .. } => {}
                Action::Fetch { .. } | Action::Retract { .. } => {
                    unreachable!("there is one worker, and it is given no more than it has threads")
                }
            }
        }
        if let Some(progress) = &mut self.watched {
            progress.add(&self.outbox.records);
        }
        if let Some(spans) = &mut self.spans {
            let is_span = |record: &&Record| matches!(record.body, RecordBody::Span { .. });
            spans.extend(self.outbox.records.iter().filter(is_span));
        }
        self.outbox.records.clear();
    }

    fn is_short(&self) -> bool {
        self.is_growing && self.state == RunState::Running && self.added - self.completed < AHEAD
    }

    /// Whether tasks have become few with the end of the last one.
    fn is_short_since_now(&self) -> bool {
        self.is_short() && self.added - self.completed == AHEAD - 1
    }

    /// Inputs of the tasks that threads have, in rising order.
    fn read_now(&self) -> Vec<u32> {
        let inputs = |&task: &u32| self.scheduler.dependencies_of(TaskId(task));
        let mut read: Vec<u32> =
            self.executing.iter().flat_map(inputs).map(|input| input.0).collect();
        read.sort_unstable();
        read
    }

    /// Takes out of `released` what threads may be reading just now.
    fn keep(&mut self, read: &[u32], released: &mut Vec<u32>) {
        let is_read = |task: &mut u32| read.binary_search(task).is_ok();
        self.still_read.extend(released.extract_if(.., is_read));
    }

    /// Releases all wanted tasks, so that nothing more starts.
    fn abandon(&mut self, now: Duration, released: &mut Vec<u32>) {
        let tasks = self.wanted.iter().chain(&self.exports).copied().collect();
        self.handle(Event::TasksReleased { tasks }, now, Some(released));
        // Each answer may let another task start only if somebody still needs one: nobody does.
        while let Some(Reverse((_, task, attempt))) = self.runnable.pop() {
            let event = Event::AttemptEnded { worker: HERE, task: TaskId(task), attempt };
            self.handle(event, now, Some(released));
        }
    }
}
