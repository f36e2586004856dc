//! Workers that come and go.

use oxidask_protocol::{Cause, RecordBody, TaskId, TaskState, WorkerId};

use super::SchedulerState;
use crate::planted::Bug;
use crate::tasks::{NOWHERE, flag};
use crate::{Failure, Outbox};

impl SchedulerState {
    pub(super) fn worker_joined(&mut self, worker: WorkerId, threads: u32, outbox: &mut Outbox) {
        if threads == 0 {
            return;
        }
        self.record(RecordBody::Worker { worker, threads }, outbox);
        self.open_workers.push(worker);
        if self.planted.has(Bug::JoiningWorkerGetsNoOldWork) {
            return;
        }
        self.strand(Cause::WorkerJoined, outbox);
        for (task, since) in std::mem::take(&mut self.no_worker) {
            if self.can_be_met(task) {
                self.make_ready(task, Cause::WorkerJoined, outbox);
            } else {
                self.no_worker.insert(task, since);
            }
        }
    }

    /// So many tasks of a worker wait for others, or are done with that.
    pub(super) fn slots_lent(&mut self, worker: WorkerId, lent: u32) {
        let Some(entry) = self.workers.get_mut(worker) else { return };
        entry.set_lent(lent);
        if lent > 0 {
            // What it waits for may have to run beside it.
            entry.alone = None;
        }
        self.workers.load_changed(worker);
        self.open_workers.push(worker);
    }

    /// A worker is gone; one of the suspects may have killed it, or it was ended for what was overdue.
    pub(super) fn worker_lost(
        &mut self,
        worker: WorkerId,
        suspects: &[TaskId],
        overdue: &[TaskId],
        outbox: &mut Outbox,
    ) {
        let Some(gone) = self.workers.remove(worker) else { return };
        if gone.threads > 0 {
            self.record(RecordBody::Worker { worker, threads: 0 }, outbox);
        }
        self.end_promises_to(worker);
        let (mut interrupted, mut lost) = (Vec::new(), Vec::new());
        if !self.planted.has(Bug::LostWorkerKeepsItsReplicas) {
            self.remove_copies_at(worker);
        }
        for task in (0..self.tasks.len() as u32).map(TaskId) {
            if self.tasks.worker[task.index()] != worker {
                continue;
            }
            match self.tasks.state(task) {
                TaskState::Processing if self.planted.has(Bug::LostWorkerKeepsItsTasks) => {}
                TaskState::Processing | TaskState::Queued => {
                    if self.planted.has(Bug::RestrictionsEndWithTheWorker) {
                        self.tasks.clear(task, flag::RESTRICTED);
                    }
                    interrupted.push(task);
                }
                TaskState::Memory => lost.extend(self.remove_holder(worker, task)),
                _ => {}
            }
        }
        let (mut given_up, mut out_of_time) = (Vec::new(), Vec::new());
        for &task in &interrupted {
            self.end_retraction(task);
            if self.tasks.state(task) == TaskState::Processing {
                self.tasks.attempt[task.index()] += 1;
                if overdue.contains(&task) && !self.planted.has(Bug::OverdueTasksAreForgiven) {
                    if !self.take_retry(task) {
                        out_of_time.push(task);
                    }
                } else if suspects.contains(&task) || self.planted.has(Bug::InnocentsAreBlamed) {
                    let was_alone = suspects.len() == 1 || gone.alone == Some(task);
                    let allowed = self.settings.allowed_failures;
                    let mistakes = self.mistakes.lately(self.now);
                    let crashes = self.crashes.entry(task).or_default();
                    if let Some(times) = crashes.add(was_alone, allowed, mistakes) {
                        given_up.push((task, times));
                    }
                }
            }
            self.tasks.worker[task.index()] = NOWHERE;
            self.transition(task, TaskState::Waiting, Cause::WorkerLost, outbox);
        }
        let freed: Vec<TaskId> = self
            .ghosts
            .iter()
            .filter(|(_, ghost)| ghost.0 == worker)
            .map(|(&task, _)| task)
            .collect();
        for &task in &freed {
            self.end_retraction(task);
            self.remove_ghost(task);
        }
        self.strand(Cause::WorkerLost, outbox);
        self.results_were_lost(&lost, Cause::WorkerLost, outbox);
        for (task, times) in given_up {
            self.fail(task, Failure::WorkersCrashed { times }, Cause::WorkerLost, outbox);
        }
        for task in out_of_time {
            self.fail(task, Failure::Raised, Cause::Raised, outbox);
        }
        for task in interrupted.into_iter().chain(freed) {
            self.go_on_without_ghost(task, outbox);
        }
        if self.workers.runners() == 0 {
            self.park_common_queue(outbox);
        }
    }

    /// Nothing is kept for a lost worker: it may come back.
    fn end_promises_to(&mut self, worker: WorkerId) {
        if self.emptied == Some(worker) {
            self.emptied = None;
        }
        if self.planted.has(Bug::ReturningWorkerIsPromisedOldTasks) {
            return;
        }
        for retraction in self.retracting.values_mut().filter(|one| one.to == worker) {
            retraction.to = NOWHERE;
        }
    }

    /// Strikes a lost worker from the holders beside the first of every result.
    fn remove_copies_at(&mut self, worker: WorkerId) {
        let flags = &mut self.tasks.flags;
        self.replicas.retain(|task, holders| {
            holders.remove(&worker);
            if holders.is_empty() {
                flags[task.index()] &= !flag::REPLICATED;
            }
            !holders.is_empty()
        });
    }

    /// Without workers there is no queue: what waited for a slot anywhere has no worker now.
    fn park_common_queue(&mut self, outbox: &mut Outbox) {
        while let Some(urgency) = self.first_in_common_queue() {
            let task = self.take_from_common_queue(urgency);
            self.no_worker.insert(task, self.now);
            self.transition(task, TaskState::NoWorker, Cause::WorkerLost, outbox);
        }
    }
}
