//! Where a task that may run waits for its slot.

use oxidask_protocol::{Cause, TaskId, TaskState, WorkerId};

use super::{CommonQueue, SchedulerState};
use crate::Outbox;
use crate::planted::Bug;
use crate::queue::RankSet;
use crate::tasks::{NOWHERE, flag};
use crate::workers::Urgency;

/// Inputs looked at when a worker is chosen; more would cost time and change little.
const INPUTS_WEIGHED: usize = 8;
/// Seconds until a worker can read a result that its host holds.
const MAPPING_TIME: f64 = 5e-6;
/// What a group's tasks are taken to last before one has run.
const UNKNOWN_DURATION: f64 = 1e-3;

impl SchedulerState {
    /// All inputs of a waiting task are in memory: it may run as soon as there is a slot.
    pub(super) fn make_ready(&mut self, task: TaskId, cause: Cause, outbox: &mut Outbox) {
        if self.tasks.has(task, flag::GHOST) && !self.planted.has(Bug::CancelledAttemptIsIgnored) {
            return;
        }
        if !self.can_be_met(task) {
            self.no_worker.insert(task, self.now);
            self.transition(task, TaskState::NoWorker, cause, outbox);
        } else if self.queue_apart(task, cause, outbox) {
            // Not every worker may run it.
        } else if self.tasks.dependency_count(task) == 0 {
            self.queue_anywhere(task, cause, outbox);
        } else {
            let worker = self.best_worker(task);
            self.queue_at(worker, task, cause, outbox);
        }
    }

    fn queue_anywhere(&mut self, task: TaskId, cause: Cause, outbox: &mut Outbox) {
        let number = self.tasks.submission[task.index()];
        let submission = &self.tasks.submissions[number as usize];
        self.common_queue
            .entry(submission.queue_key())
            .or_insert_with(|| CommonQueue {
                submission: number,
                ranks: RankSet::new(submission.len()),
            })
            .ranks
            .insert(self.tasks.rank(task));
        self.tasks.worker[task.index()] = NOWHERE;
        self.transition(task, TaskState::Queued, cause, outbox);
    }

    pub(super) fn queue_at(
        &mut self,
        worker: WorkerId,
        task: TaskId,
        cause: Cause,
        outbox: &mut Outbox,
    ) {
        let urgency = self.tasks.urgency(task);
        self.workers.alive_mut(worker).queue.insert((urgency, task));
        self.workers.load_changed(worker);
        self.open_workers.push(worker);
        self.tasks.worker[task.index()] = worker;
        self.transition(task, TaskState::Queued, cause, outbox);
    }

    /// Takes a task out of the queue that it is in, if any.
    pub(super) fn unqueue(&mut self, task: TaskId) {
        match self.tasks.state(task) {
            TaskState::NoWorker => {
                self.no_worker.remove(&task);
            }
            TaskState::Queued => {
                let urgency = self.tasks.urgency(task);
                let worker = self.tasks.worker[task.index()];
                if worker == NOWHERE {
                    if self.unqueue_apart(task) {
                        return;
                    }
                    self.take_from_common_queue(urgency);
                } else if let Some(entry) = self.workers.get_mut(worker) {
                    entry.queue.remove(&(urgency, task));
                    self.workers.load_changed(worker);
                }
                self.tasks.worker[task.index()] = NOWHERE;
            }
            _ => {}
        }
    }

    /// The most urgent task that may run anywhere.
    pub(crate) fn first_in_common_queue(&self) -> Option<Urgency> {
        let (&(priority, sequence), queue) = self.common_queue.first_key_value()?;
        let rank = queue.ranks.first().expect("an empty queue is removed");
        Some(Urgency { priority, sequence, rank })
    }

    pub(crate) fn task_in_common_queue(&self, urgency: Urgency) -> TaskId {
        let number = self.common_queue[&urgency.queue_key()].submission;
        self.tasks.submissions[number as usize].task_of_rank(urgency.rank)
    }

    pub(super) fn take_from_common_queue(&mut self, urgency: Urgency) -> TaskId {
        let key = urgency.queue_key();
        let queue = self.common_queue.get_mut(&key).expect("a queued task is in its queue");
        queue.ranks.remove(urgency.rank);
        let task = self.tasks.submissions[queue.submission as usize].task_of_rank(urgency.rank);
        if queue.ranks.is_empty() {
            self.common_queue.remove(&key);
        }
        task
    }

    /// The worker on which a task with inputs starts first, by what is known: one of those that
    /// hold its largest inputs, or the least loaded one.
    fn best_worker(&self, task: TaskId) -> WorkerId {
        if let Some(worker) = self.workers.single() {
            return worker;
        }
        let mut candidates: Vec<WorkerId> = Vec::with_capacity(INPUTS_WEIGHED + 1);
        candidates.extend(self.workers.least_loaded());
        for place in 0..self.tasks.dependency_count(task).min(INPUTS_WEIGHED) {
            let holder = self.tasks.worker[self.tasks.dependency(task, place).index()];
            let Some(entry) = self.workers.get(holder) else { continue };
            let runs = entry.threads > 0;
            let near = if runs { Some(holder) } else { self.workers.least_loaded_on(entry.host) };
            candidates.extend(near.filter(|near| !candidates.contains(near)));
        }
        let cost = |&worker: &WorkerId| self.expected_start(worker, task);
        candidates
            .into_iter()
            .min_by(|a, b| cost(a).total_cmp(&cost(b)).then(a.cmp(b)))
            .expect("there is a least loaded worker when there are workers")
    }

    /// Seconds until the task could start on the worker.
    fn expected_start(&self, worker: WorkerId, task: TaskId) -> f64 {
        let entry = self.workers.get(worker).expect("candidates are alive");
        let group = &self.groups[self.tasks.group[task.index()].index()];
        let duration = group.mean_duration.unwrap_or(UNKNOWN_DURATION);
        let ahead = f64::from(entry.occupied) + entry.queue.len() as f64;
        let rounds = (ahead / f64::from(entry.threads.max(1))).floor();
        let inputs = (0..self.tasks.dependency_count(task).min(INPUTS_WEIGHED))
            .map(|place| self.tasks.dependency(task, place));
        let transfers: f64 = inputs.map(|input| self.transfer_time(input, worker)).sum();
        rounds * duration + transfers
    }

    /// Seconds until the worker would have the result of another task.
    fn transfer_time(&self, input: TaskId, worker: WorkerId) -> f64 {
        if self.holds(worker, input) {
            return 0.0;
        }
        let host = self.workers.alive(worker).host;
        if self.holders_of(input).any(|holder| self.workers.alive(holder).host == host) {
            return MAPPING_TIME;
        }
        // A message costs as much as some kilobytes.
        (self.tasks.nbytes[input.index()] + 10_000) as f64 / self.settings.bandwidth
    }

    /// Whom a worker gets a result from: rather from its own host, and rather from whoever only
    /// holds results.
    pub(super) fn source_of(&self, input: TaskId, worker: WorkerId) -> WorkerId {
        let first = self.tasks.worker[input.index()];
        if !self.tasks.has(input, flag::REPLICATED) {
            return first;
        }
        let host = self.workers.alive(worker).host;
        let preference = |&holder: &WorkerId| {
            let entry = self.workers.alive(holder);
            (entry.host != host, entry.threads > 0, holder != first)
        };
        self.holders_of(input).min_by_key(preference).expect("the result is in memory")
    }
}
