//! A worker's side: the tasks that it was given and has not started, and what else is to be done.
//!
//! Knows neither Python nor sockets: messages come in by [`Inbox::deliver`], whoever executes takes
//! tasks by [`Inbox::next_run`] and the rest by [`Inbox::next_chore`], and answers go out through a
//! [`Mouth`].

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use bytes::Bytes;
use oxidask_protocol::{Attempt, ContentHash, Ending, FromWorker, Objects, Run, TaskId, ToWorker};
use rustc_hash::FxHashMap;

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
    shared: FxHashMap<ContentHash, Bytes>,
    /// Shared parts that no call needs any more, for whoever keeps what was made of them.
    unshared: Vec<ContentHash>,
    is_closed: bool,
    /// Threads that wait for a task, and those of them that were woken for one.
    idle: usize,
    woken: usize,
    /// Threads that run tasks.
    active: usize,
    /// What tasks lasted lately, in nanoseconds.
    mean_ns: Option<u64>,
}

/// Waking a thread and handing it the interpreter costs about as much as tasks of this length.
const WORTH_A_THREAD_NS: u64 = 30_000;

impl Inner {
    /// Whether another thread should take part: not where tasks are so short that one thread that
    /// holds the interpreter does them faster alone.
    fn is_worth_waking(&self) -> bool {
        self.idle > self.woken
            && (self.active + self.woken == 0
                || self.mean_ns.is_none_or(|mean| mean > WORTH_A_THREAD_NS))
    }
}

/// What a worker was told and has not done.
#[derive(Debug, Default)]
pub struct Inbox {
    inner: Mutex<Inner>,
    /// Notified when a task comes.
    ready: Condvar,
    /// Notified when a chore comes.
    chore: Condvar,
    /// Tasks that wait.
    waiting: AtomicUsize,
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("nothing panics while the lock is held")
    }

    /// Takes in what the worker is told. Some of it is answered at once.
    pub fn deliver(&self, message: ToWorker) -> Option<FromWorker> {
        let mut inner = self.lock();
        match message {
            ToWorker::Run(run) => {
                // Behind all that are as urgent; nearly always that is the end.
                let before =
                    inner.runs.iter().rev().take_while(|other| other.priority < run.priority);
                let place = inner.runs.len() - before.count();
                inner.runs.insert(place, run);
                self.waiting.store(inner.runs.len(), Ordering::SeqCst);
                if inner.is_worth_waking() {
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
            ToWorker::Close => {
                inner.is_closed = true;
                self.ready.notify_all();
                self.chore.notify_all();
                None
            }
            ToWorker::Unshare { mut hashes } => {
                for hash in &hashes {
                    inner.shared.remove(hash);
                }
                inner.unshared.append(&mut hashes);
                None
            }
            ToWorker::Arena { .. } => None,
        }
    }

    fn wake(&self, inner: &mut Inner) {
        inner.woken += 1;
        self.ready.notify_one();
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
        Some(FromWorker::Ended { task, attempt, ending: Ending::Stopped, duration_ns: 0 })
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
        match inner.runs.pop_front() {
            Some(run) => {
                self.waiting.store(inner.runs.len(), Ordering::SeqCst);
                Taken::Run(run)
            }
            None => Taken::Nothing,
        }
    }

    /// Waits for the next task, at most so long.
    pub fn next_run(&self, at_most: Duration) -> Taken {
        let mut inner = self.lock();
        let until = Instant::now() + at_most;
        loop {
            match self.take(&mut inner) {
                Taken::Nothing => {}
                taken => return taken,
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Taken::Nothing;
            }
            inner.idle += 1;
            inner.active -= 1;
            inner = self
                .ready
                .wait_timeout(inner, left)
                .expect("nothing panics while the lock is held")
                .0;
            inner.idle -= 1;
            inner.active += 1;
            inner.woken = inner.woken.saturating_sub(1);
        }
    }

    /// A thread that runs tasks comes (`true`) or goes.
    pub fn count_thread(&self, comes: bool) {
        let mut inner = self.lock();
        if comes {
            inner.active += 1;
        } else {
            inner.active -= 1;
        }
    }

    /// A task lasted so long; wakes another thread if that is worth it.
    pub fn task_lasted(&self, nanoseconds: u64) {
        let mut inner = self.lock();
        let mean = inner.mean_ns.unwrap_or(nanoseconds);
        inner.mean_ns = Some(mean - mean / 8 + nanoseconds / 8);
        if !inner.runs.is_empty() && inner.is_worth_waking() {
            self.wake(&mut inner);
        }
    }

    /// Wakes another thread if a task has waited too long: the one that runs is not as short as
    /// others were. To be called every few milliseconds.
    pub fn wake_if_stuck(&self, seen: &mut Option<(TaskId, Attempt)>) {
        let mut inner = self.lock();
        let first = inner.runs.front().map(|run| (run.task, run.attempt));
        if first.is_some() && first == *seen && inner.idle > inner.woken {
            self.wake(&mut inner);
        }
        *seen = first;
    }

    /// The body of a part that calls share.
    pub fn shared(&self, hash: ContentHash) -> Option<Bytes> {
        self.lock().shared.get(&hash).cloned()
    }

    /// Shared parts that were given up since the last call.
    pub fn take_unshared(&self) -> Vec<ContentHash> {
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

    fn run(task: u32) -> ToWorker {
        ToWorker::Run(Run {
            task: TaskId(task),
            attempt: Attempt(0),
            priority: 0,
            call: Bytes::new(),
            objects: Objects::default(),
            inputs: Vec::new(),
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
        let inbox = Inbox::default();
        for task in 0..3 {
            assert!(inbox.deliver(run(task)).is_none());
        }
        assert_eq!([taken(&inbox), taken(&inbox), taken(&inbox)], [Some(0), Some(1), Some(2)]);
        assert_eq!(taken(&inbox), None);
    }

    #[test]
    fn a_task_of_larger_priority_overtakes_others_but_not_its_like() {
        let inbox = Inbox::default();
        for (task, priority) in [(0, 0), (1, 5), (2, 0), (3, 5), (4, -1)] {
            let ToWorker::Run(mut run) = run(task) else { unreachable!("`run` makes a task") };
            run.priority = priority;
            inbox.deliver(ToWorker::Run(run));
        }
        let order: Vec<u32> = std::iter::from_fn(|| taken(&inbox)).collect();
        assert_eq!(order, [1, 3, 0, 2, 4]);
    }

    #[test]
    fn a_task_is_given_back_only_if_it_has_not_started() {
        let inbox = Inbox::default();
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
        let inbox = Inbox::default();
        inbox.deliver(run(0));
        assert_eq!(taken(&inbox), Some(0));
        let (task, attempt) = (TaskId(0), Attempt(0));
        assert!(inbox.deliver(ToWorker::Cancel { task, attempt }).is_none());
        assert!(matches!(inbox.try_next_chore(), Some(Chore::Interrupt { task: TaskId(0), .. })));
    }
}
