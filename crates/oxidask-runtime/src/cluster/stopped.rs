//! Workers whose processes stand still, because a signal or a debugger has stopped them.
//!
//! One is shown as such at once. When it has stood still for too long, the scheduler takes it for lost:
//! what it ran, and what only it has, is made elsewhere, and calls outside of tasks get no answer of it. When it goes on, it first ends what it was
//! given before, which counts for nothing any more; then it joins again.

use std::collections::BTreeSet;
use std::time::Duration;

use oxidask_protocol::{Attempt, Ending, FromWorker, NoValue, TaskId, WorkerId};
use oxidask_scheduler::Event;

use super::core::Core;

/// How a worker stands still, or has.
#[derive(Debug, Default)]
pub(super) struct Stillness {
    /// Since when its process does not run.
    since: Option<Duration>,
    /// Attempts that it has yet to end, once it was given up.
    given_up: Option<BTreeSet<(TaskId, Attempt)>>,
}

impl Stillness {
    /// Whether the scheduler takes the worker for lost.
    pub(super) fn is_given_up(&self) -> bool {
        self.given_up.is_some()
    }
}

impl Core {
    /// The node has looked which processes stand still.
    pub(super) fn saw_stopped(&mut self, stopped: &BTreeSet<WorkerId>) {
        let now = self.now;
        for (worker, entry) in &mut self.workers {
            let still = &mut entry.stillness;
            still.since = stopped.contains(worker).then(|| still.since.unwrap_or(now));
        }
        let Some(patience) = self.worker_ttl else { return };
        let workers: Vec<WorkerId> = self.workers.keys().copied().collect();
        for worker in workers {
            let still = &self.workers[&worker].stillness;
            match still.since {
                Some(since) if !still.is_given_up() && since + patience <= now => {
                    self.give_up_on(worker);
                }
                None => self.welcome_back(worker),
                Some(_) => {}
            }
        }
    }

    /// How long a worker has stood still, if it does.
    pub(super) fn still_for(&self, worker: WorkerId) -> Option<Duration> {
        let since = self.workers.get(&worker)?.stillness.since?;
        Some(self.now.saturating_sub(since))
    }

    /// The workers that stand still, in words; empty if there are none.
    pub(super) fn stopped_in_words(&self) -> String {
        let one = |(worker, entry): (&WorkerId, &super::core::Worker)| {
            self.still_for(*worker)?;
            Some(format!("{:?} (process {})", entry.info.name, entry.info.pid))
        };
        let stopped: Vec<String> = self.workers.iter().filter_map(one).collect();
        stopped.join(", ")
    }

    fn give_up_on(&mut self, worker: WorkerId) {
        let attempts = self.scheduler.attempts_at(worker);
        let left = self.node.worker_given_up(worker, &attempts, &mut self.outputs);
        if let Some(entry) = self.workers.get_mut(&worker) {
            entry.stillness.given_up = Some(left.into_iter().collect());
        }
        if let Some(entry) = self.workers.get(&worker) {
            let stopped = NoValue::Stopped { pid: entry.info.pid };
            self.end_calls_at(worker, &stopped);
        }
        let (running, overdue) = (Vec::new(), Vec::new());
        self.tell(Event::WorkerLost { worker, crashed: false, running, overdue });
    }

    /// A worker that was given up says something.
    pub(super) fn hear_given_up(&mut self, worker: WorkerId, message: FromWorker) {
        match message {
            FromWorker::Ended { task, attempt, ending, .. } => {
                if let Ending::Returned { value, .. } = ending {
                    let version = (task, attempt);
                    self.node.returned_in_vain(worker, version, &value, &mut self.outputs);
                    self.carry_out_outputs();
                }
                if let Some(entry) = self.workers.get_mut(&worker)
                    && let Some(left) = &mut entry.stillness.given_up
                {
                    left.remove(&(task, attempt));
                }
                self.welcome_back(worker);
            }
            // The scheduler knows nothing of its tasks and slots.
            FromWorker::Keeps { .. } => {}
            FromWorker::Lends { is_lent } => {
                if let Some(entry) = self.workers.get_mut(&worker) {
                    entry.lent += if is_lent { 1 } else { -1 };
                }
            }
            message => self.hear_of_results(worker, message),
        }
    }

    /// A worker that was given up and goes on joins again, once it has ended what it had.
    fn welcome_back(&mut self, worker: WorkerId) {
        let Some(entry) = self.workers.get_mut(&worker) else { return };
        let still = &mut entry.stillness;
        if still.since.is_some() || still.given_up.as_ref().is_none_or(|left| !left.is_empty()) {
            return;
        }
        still.given_up = None;
        let lent = entry.lent.max(0) as u32;
        self.join(worker);
        if lent > 0 {
            self.tell(Event::SlotsLent { worker, lent });
        }
    }
}
