//! How long a task may run.
//!
//! Its time begins when its function is called. When it is up, the worker raises an exception in the
//! task. A worker process in which one does not end then is ended by its node. Where workers are
//! threads of one process, nobody can end one: the task has failed all the same, and another thread
//! takes the place of the one that it keeps.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use oxidask_protocol::{Attempt, Ending, FromWorker, Source, Stretch, TaskId};
use pyo3::intern;
use pyo3::prelude::*;

use super::executor::{Executor, NO_PANIC, start_thread};
use crate::evaluate::thread_number;

/// How long a task may take to end once its time is up.
pub(super) const GRACE: Duration = Duration::from_secs(3);

/// The time of a task that runs.
pub(super) struct TimeLimit {
    begun: Instant,
    time: Duration,
    /// Among those of the worker that are limited.
    place: usize,
    /// The task was told that its time is up.
    is_told: bool,
    /// It does not count any more, though it still runs.
    pub(super) is_given_up: bool,
}

impl TimeLimit {
    pub(super) fn is_up(&self) -> bool {
        self.is_told || self.begun.elapsed() >= self.time
    }
}

/// What is to be done about tasks whose time is up.
#[derive(Default)]
struct Late {
    /// Threads in which to raise.
    threads: Vec<u64>,
    /// Tasks that have not stopped, with how long they ran.
    stuck: Vec<(TaskId, Attempt, Duration)>,
}

impl Executor {
    /// The time of the task that the calling thread runs begins.
    pub(super) fn begin_limit(&self, task: TaskId, time: Duration) {
        let place = {
            let mut limited = self.limited.lock().expect(NO_PANIC);
            let free = (0..=limited.len()).find(|place| !limited.contains(place));
            let free = free.expect("of that many places one is free");
            limited.insert(free);
            free
        };
        self.home.set_deadline(place, task, time.saturating_add(GRACE));
        let begun = Instant::now();
        let limit = TimeLimit { begun, time, place, is_told: false, is_given_up: false };
        self.set_limit(limit);
        self.limited_count.fetch_add(1, Ordering::Relaxed);
    }

    /// A task whose time was limited has ended.
    pub(super) fn end_limit(&self, limit: &TimeLimit) {
        self.home.clear_deadline(limit.place);
        self.limited.lock().expect(NO_PANIC).remove(&limit.place);
        self.limited_count.fetch_sub(1, Ordering::Relaxed);
    }

    /// Stops tasks whose time is up, and gives up those that do not stop.
    pub(super) fn look_at_the_clock(slf: &Bound<'_, Self>) {
        let (this, py) = (slf.get(), slf.py());
        if this.limited_count.load(Ordering::Relaxed) == 0 {
            return;
        }
        let Late { threads, stuck } = this.late();
        for thread in threads {
            this.raise_in_innermost(py, thread);
        }
        for (task, attempt, ran) in stuck {
            this.inbox.add_slot();
            let ending = Ending::OutOfTime { error: None };
            let duration_ns = ran.as_nanos() as u64;
            let stretch = Stretch { duration_ns, ..Stretch::default() };
            this.mouth.say(FromWorker::Ended { task, attempt, ending, stretch });
            // If the system gives no more threads, those that are left do the work.
            drop(
                slf.getattr(intern!(py, "serve"))
                    .and_then(|serve| start_thread(py, serve.unbind(), "oxidask-worker-spare")),
            );
        }
    }

    fn late(&self) -> Late {
        let mut late = Late::default();
        let mut running = self.running.lock().expect(NO_PANIC);
        for entry in running.iter_mut() {
            let (Some(limit), Source::Task(task)) = (&mut entry.limit, entry.source) else {
                continue;
            };
            let ran = limit.begun.elapsed();
            if !limit.is_told && ran >= limit.time {
                limit.is_told = true;
                late.threads.push(entry.thread);
            } else if !limit.is_given_up
                && !self.home.ends_when_overdue()
                && ran >= limit.time.saturating_add(GRACE)
            {
                limit.is_given_up = true;
                late.stuck.push((task, entry.attempt, ran));
            }
        }
        late
    }

    fn set_limit(&self, limit: TimeLimit) {
        let thread = thread_number();
        let mut running = self.running.lock().expect(NO_PANIC);
        let entry = running.iter_mut().rfind(|entry| entry.thread == thread);
        entry.expect("what begins to run was listed before").limit = Some(limit);
    }

    /// The ending of a task that was told that its time is up, whatever it made of that.
    pub(super) fn out_of_time(&self, py: Python<'_>, outcome: PyResult<Py<PyAny>>) -> Ending {
        let error = outcome.err().unwrap_or_else(|| {
            let class = py
                .import(intern!(py, "oxidask._errors"))
                .and_then(|module| module.getattr(intern!(py, "TaskOutOfTime")));
            class.map_or_else(|error| error, PyErr::from_value)
        });
        Ending::OutOfTime { error: Some(self.home.encode_error(py, error)) }
    }
}
