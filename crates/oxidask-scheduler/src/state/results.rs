//! Results: made, read, copied, dropped, lost, and made again.

use std::time::Duration;

use oxidask_protocol::{Attempt, Cause, TaskId, TaskState, WorkerId};

use super::{SchedulerState, attempts::Ended};
use crate::planted::Bug;
use crate::tasks::{NOWHERE, flag};
use crate::{Action, Outbox, Outcome};

impl SchedulerState {
    pub(super) fn task_finished(
        &mut self,
        (worker, task, attempt): (WorkerId, TaskId, Attempt),
        nbytes: u64,
        duration: Duration,
        held_by: WorkerId,
        outbox: &mut Outbox,
    ) {
        let Some(was) = self.end_attempt(worker, task, attempt) else {
            // Its worker was taken for lost, but not who holds the result.
            self.drop_at(held_by, task, attempt, outbox);
            return;
        };
        if was == Ended::Current && !self.crashes.is_empty() {
            self.clear_suspicion(task);
        }
        let holds = self.workers.get(held_by).is_some();
        if was == Ended::Cancelled {
            let state = self.tasks.state(task);
            if !state.is_unfinished() {
                self.drop_at(held_by, task, attempt, outbox);
                return;
            }
            if !holds {
                self.go_on_without_ghost(task, outbox);
                return;
            }
            // The cancelled attempt returned after all, and the result is needed again: it counts.
            self.unqueue(task);
            self.tasks.attempt[task.index()] = attempt.0;
        } else if !holds {
            self.run_again(task, Cause::WorkerLost, outbox);
            return;
        }
        let group = &mut self.groups[self.tasks.group[task.index()].index()];
        let seconds = duration.as_secs_f64();
        group.mean_duration =
            Some(group.mean_duration.map_or(seconds, |mean| mean + 0.2 * (seconds - mean)));
        let stored_elsewhere = !self.planted.has(Bug::StoredResultGoesWithItsMaker);
        self.tasks.worker[task.index()] = if stored_elsewhere { held_by } else { worker };
        self.tasks.nbytes[task.index()] = nbytes;
        self.transition(task, TaskState::Memory, Cause::Finished, outbox);
        self.inputs_were_read(task, outbox);
        let mut dependents = self.tasks.dependents(task);
        if self.planted.has(Bug::LateReadersAreNotTold) {
            dependents.has_late = false;
        }
        while let Some(dependent) = self.tasks.next_dependent(&mut dependents) {
            if self.tasks.state(dependent) == TaskState::Waiting {
                let missing = &mut self.tasks.missing_inputs[dependent.index()];
                *missing -= 1;
                if *missing == 0 {
                    self.make_ready(dependent, Cause::InputReady, outbox);
                }
            }
        }
        if self.tasks.has(task, flag::WANTED) {
            self.report(task, Outcome::Finished, outbox);
        } else if self.tasks.readers[task.index()] == 0 {
            self.release_if_unneeded(task, outbox);
            self.forget_if_unneeded(task, outbox);
        }
    }

    /// Makes a worker that is still there forget a result.
    fn drop_at(&self, worker: WorkerId, task: TaskId, attempt: Attempt, outbox: &mut Outbox) {
        if self.workers.get(worker).is_some() {
            outbox.actions.push(Action::Drop { worker, task, attempt });
        }
    }

    /// A task left the unfinished states: its inputs have one reader less.
    pub(super) fn inputs_were_read(&mut self, task: TaskId, outbox: &mut Outbox) {
        let last_readers = u32::from(self.planted.has(Bug::ResultsAreDroppedEarly));
        for place in 0..self.tasks.dependency_count(task) {
            let input = self.tasks.dependency(task, place);
            let readers = &mut self.tasks.readers[input.index()];
            *readers -= 1;
            if *readers <= last_readers && !self.tasks.has(input, flag::WANTED) {
                if self.planted.has(Bug::ResultsAreNeverDropped) {
                    continue;
                }
                if last_readers == 1 && self.tasks.state(input) == TaskState::Memory {
                    self.drop_result(input, Cause::Unneeded, outbox);
                    continue;
                }
                self.release_if_unneeded(input, outbox);
                self.forget_if_unneeded(input, outbox);
            }
        }
    }

    /// Tells the client once; a second time only if a finished result was lost and cannot be made
    /// again, because the client could not know otherwise.
    pub(super) fn report(&mut self, task: TaskId, outcome: Outcome, outbox: &mut Outbox) {
        if !self.tasks.has(task, flag::REPORTED) || outcome != Outcome::Finished {
            self.tasks.set(task, flag::REPORTED);
            outbox.actions.push(Action::Report { task, outcome });
        }
    }

    pub(super) fn drop_result(&mut self, task: TaskId, cause: Cause, outbox: &mut Outbox) {
        let attempt = self.tasks.attempt(task);
        let worker = self.tasks.worker[task.index()];
        outbox.actions.push(Action::Drop { worker, task, attempt });
        if self.tasks.has(task, flag::REPLICATED) {
            self.tasks.clear(task, flag::REPLICATED);
            for worker in self.replicas.remove(&task).unwrap_or_default() {
                outbox.actions.push(Action::Drop { worker, task, attempt });
            }
        }
        self.tasks.worker[task.index()] = NOWHERE;
        self.tasks.attempt[task.index()] += 1;
        self.transition(task, TaskState::Released, cause, outbox);
    }

    pub(super) fn replica_added(
        &mut self,
        worker: WorkerId,
        task: TaskId,
        attempt: Attempt,
        outbox: &mut Outbox,
    ) {
        if self.workers.get(worker).is_none() {
            return;
        }
        let is_current = self.tasks.state(task) == TaskState::Memory
            && (self.tasks.attempt(task) == attempt || self.planted.has(Bug::OldReplicaCounts));
        if !is_current {
            outbox.actions.push(Action::Drop { worker, task, attempt });
        } else if !self.holds(worker, task) {
            self.tasks.set(task, flag::REPLICATED);
            self.replicas.entry(task).or_default().insert(worker);
        }
    }

    pub(crate) fn holds(&self, worker: WorkerId, task: TaskId) -> bool {
        self.tasks.worker[task.index()] == worker
            || self.tasks.has(task, flag::REPLICATED)
                && self.replicas.get(&task).is_some_and(|workers| workers.contains(&worker))
    }

    /// Strikes a holder of a result; gives back the task if that was the last one.
    pub(super) fn remove_holder(&mut self, worker: WorkerId, task: TaskId) -> Option<TaskId> {
        let mut others = self.replicas.remove(&task).unwrap_or_default();
        others.remove(&worker);
        if self.tasks.worker[task.index()] == worker {
            let Some(next) = others.pop_first() else {
                self.tasks.clear(task, flag::REPLICATED);
                self.tasks.worker[task.index()] = NOWHERE;
                return Some(task);
            };
            self.tasks.worker[task.index()] = next;
        }
        if others.is_empty() {
            self.tasks.clear(task, flag::REPLICATED);
        } else {
            self.replicas.insert(task, others);
        }
        None
    }

    /// Results are gone from everywhere: who waits for them waits again, and those that are needed
    /// are made again.
    pub(super) fn results_were_lost(&mut self, lost: &[TaskId], cause: Cause, outbox: &mut Outbox) {
        for &task in lost {
            self.tasks.attempt[task.index()] += 1;
            self.transition(task, TaskState::Released, cause, outbox);
            let mut dependents = self.tasks.dependents(task);
            while let Some(dependent) = self.tasks.next_dependent(&mut dependents) {
                let state = self.tasks.state(dependent);
                if !state.is_unfinished() || self.planted.has(Bug::LostInputIsNotAwaited) {
                    continue;
                }
                if state != TaskState::Waiting {
                    self.stop(dependent, outbox);
                    self.transition(dependent, TaskState::Waiting, cause, outbox);
                    self.tasks.missing_inputs[dependent.index()] = 0;
                }
                self.tasks.missing_inputs[dependent.index()] += 1;
            }
        }
        for &task in lost {
            if self.tasks.readers[task.index()] > 0 || self.tasks.has(task, flag::WANTED) {
                self.make_again(task, cause, outbox);
            }
        }
    }

    /// Starts a released task anew, and what it needs that is not in memory. An input may have
    /// failed since it was read; then the task fails too.
    pub(super) fn make_again(&mut self, task: TaskId, cause: Cause, outbox: &mut Outbox) {
        let mut stack = vec![task];
        let mut without_input = Vec::new();
        while let Some(task) = stack.pop() {
            if self.tasks.state(task) != TaskState::Released {
                continue;
            }
            self.transition(task, TaskState::Waiting, cause, outbox);
            let mut missing = 0;
            for place in 0..self.tasks.dependency_count(task) {
                let input = self.tasks.dependency(task, place);
                self.tasks.readers[input.index()] += 1;
                match self.tasks.state(input) {
                    TaskState::Memory => continue,
                    TaskState::Erred => without_input.push((task, input)),
                    _ => stack.push(input),
                }
                missing += 1;
            }
            self.tasks.missing_inputs[task.index()] = missing;
            if missing == 0 {
                self.make_ready(task, cause, outbox);
            }
        }
        for (task, input) in without_input {
            let blame = self.errors[&input];
            self.err_from(task, Cause::InputErred, blame, outbox);
        }
    }
}
