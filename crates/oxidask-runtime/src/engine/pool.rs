//! The threads of the process that run tasks, kept between runs.
//!
//! The pool starts no thread itself: whoever owns it starts threads that call [`Pool::serve`], as
//! many as [`Pool::threads_to_start`] says.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use super::{Run, Tasks};

/// Threads that run tasks of all runs.
pub struct Pool<T> {
    inner: Mutex<Inner<T>>,
    /// Notified when a task waits for a thread, and when the pool stops.
    work: Condvar,
    /// Notified when a thread has left.
    left: Condvar,
    idle: AtomicUsize,
    /// Threads that run tasks of runs that were given up. They are replaced, and leave when they
    /// come back.
    stuck: Arc<AtomicUsize>,
}

/// What a thread that asked for a run gets.
enum Found<T> {
    Run(Arc<Run<T>>),
    Rested,
    Stopping,
}

struct Inner<T> {
    /// The newest last: it is served first, because others may wait for it inside their tasks.
    runs: Vec<Arc<Run<T>>>,
    threads: usize,
    started: u32,
    stopping: bool,
}

/// What a waiting client saw when it last looked, so that it notices tasks that no thread takes.
#[derive(Debug, Default)]
pub struct Tick {
    completed: usize,
}

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Self {
            inner: Mutex::new(Inner { runs: Vec::new(), threads: 0, started: 0, stopping: false }),
            work: Condvar::new(),
            left: Condvar::new(),
            idle: AtomicUsize::new(0),
            stuck: Arc::default(),
        }
    }
}

impl<T: Tasks> Pool<T> {
    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        self.inner.lock().expect("nothing panics while the pool's lock is held")
    }

    /// How many threads are missing until there are `wanted`; they count as started from now on.
    pub fn threads_to_start(&self, wanted: usize) -> usize {
        let mut inner = self.lock();
        if inner.stopping {
            return 0;
        }
        let useful = inner.threads.saturating_sub(self.stuck.load(Ordering::SeqCst));
        let missing = wanted.saturating_sub(useful);
        inner.threads += missing;
        missing
    }

    /// Lets the threads take tasks of a run.
    pub fn add(&self, run: Arc<Run<T>>) {
        run.count_stuck_threads_in(&self.stuck);
        let waiting = run.waiting();
        self.lock().runs.push(run);
        for _ in 0..waiting.min(self.idle.load(Ordering::SeqCst)) {
            self.work.notify_one();
        }
    }

    /// Takes a run away that is over, and gives it back: what it holds is not to be dropped under
    /// the pool's lock.
    pub fn remove(&self, run: &Arc<Run<T>>) -> Option<Arc<Run<T>>> {
        let mut inner = self.lock();
        let place = inner.runs.iter().position(|other| Arc::ptr_eq(other, run))?;
        Some(inner.runs.remove(place))
    }

    /// So many threads could not be started; says how many there are.
    pub fn threads_not_started(&self, count: usize) -> usize {
        let mut inner = self.lock();
        inner.threads = inner.threads.saturating_sub(count);
        inner.threads
    }

    /// Whether the program is about to end.
    pub fn is_stopping(&self) -> bool {
        self.lock().stopping
    }

    /// The life of a thread of the pool: runs tasks until the pool stops.
    pub fn serve(&self) {
        self.serve_with_rests(None, || ());
    }

    /// Like [`Pool::serve`], for threads that must do something now and then: `on_rest` is called
    /// whenever the thread had nothing to run for so long.
    pub fn serve_with_rests(&self, rest: Option<Duration>, mut on_rest: impl FnMut()) {
        let thread = {
            let mut inner = self.lock();
            inner.started += 1;
            inner.started - 1
        };
        loop {
            let run = match T::while_waiting(|| self.next_run(rest)) {
                Found::Run(run) => run,
                Found::Rested => {
                    on_rest();
                    continue;
                }
                Found::Stopping => break,
            };
            if run.work(thread, || self.wake_one()) {
                self.stuck.fetch_sub(1, Ordering::SeqCst);
                break;
            }
        }
        // A thread whose start was interrupted may have been counted as not started.
        let mut inner = self.lock();
        inner.threads = inner.threads.saturating_sub(1);
        drop(inner);
        self.left.notify_all();
    }

    /// A run with a task that waits, unless a rest is over or the pool stops.
    fn next_run(&self, rest: Option<Duration>) -> Found<T> {
        let mut inner = self.lock();
        loop {
            if inner.stopping {
                return Found::Stopping;
            }
            // Announced before looking, as whoever adds a task looks after adding it: one of the
            // two sees the other.
            self.idle.fetch_add(1, Ordering::SeqCst);
            let found = inner.runs.iter().rev().find(|run| run.waiting() > 0).map(Arc::clone);
            let mut is_rested = false;
            if found.is_none() {
                const UNBROKEN: &str = "nothing panics while the pool's lock is held";
                inner = match rest {
                    None => self.work.wait(inner).expect(UNBROKEN),
                    Some(rest) => {
                        let (inner, wait) = self.work.wait_timeout(inner, rest).expect(UNBROKEN);
                        is_rested = wait.timed_out();
                        inner
                    }
                };
            }
            self.idle.fetch_sub(1, Ordering::SeqCst);
            match found {
                Some(run) => return Found::Run(run),
                None if is_rested => return Found::Rested,
                None => {}
            }
        }
    }

    /// Wakes a thread that has nothing to do, if there is one.
    pub fn wake_one(&self) {
        if self.idle.load(Ordering::SeqCst) > 0 {
            // The lock makes sure that a thread that saw no task is waiting by now.
            let _inner = self.lock();
            self.work.notify_one();
        }
    }

    /// Called every few milliseconds by whoever waits for a run: if tasks wait and none has ended
    /// since the last call, another thread takes over. (Short tasks do not wake threads; this is for
    /// the one that is not as short as the others of its group.)
    pub fn watch(&self, run: &Run<T>, tick: &mut Tick) {
        let (completed, _) = run.progress();
        if run.waiting() > 0 && completed == tick.completed {
            self.wake_one();
            run.notify_helper();
        }
        tick.completed = completed;
    }

    /// Tells all threads to leave once their present task has ended.
    pub fn stop(&self) {
        self.lock().stopping = true;
        self.work.notify_all();
    }

    /// Waits, at most so long, until the threads have left; says how many have not.
    pub fn join(&self, timeout: Duration) -> usize {
        let (inner, _) = self
            .left
            .wait_timeout_while(self.lock(), timeout, |inner| inner.threads > 0)
            .expect("nothing panics while the pool's lock is held");
        inner.threads
    }
}
