//! Attempts: how they end, are stopped, and start anew.

use oxidask_protocol::{Attempt, Cause, TaskId, TaskState, WorkerId};

use super::{Retraction, SchedulerState};
use crate::planted::Bug;
use crate::tasks::{NOWHERE, flag};
use crate::{Action, Outbox};

impl SchedulerState {
    /// Frees the slot of an attempt that the worker says has ended; `None` if it was not running.
    pub(super) fn end_attempt(
        &mut self,
        worker: WorkerId,
        task: TaskId,
        attempt: Attempt,
    ) -> Option<Ended> {
        let is_current = self.tasks.state(task) == TaskState::Processing
            && (self.tasks.worker[task.index()] == worker && self.tasks.attempt(task) == attempt
                || self.planted.has(Bug::OldAttemptCounts));
        let worker = if is_current { self.tasks.worker[task.index()] } else { worker };
        let ended = if is_current {
            let entry = self.workers.alive_mut(worker);
            if entry.prefetches() {
                let is_bound = self.tasks.has(task, flag::RESTRICTED);
                entry.strike_given(self.tasks.urgency(task), task, is_bound);
            }
            // So that `stop` knows that there is nothing to stop.
            self.tasks.worker[task.index()] = NOWHERE;
            Ended::Current
        } else if self.tasks.has(task, flag::GHOST)
            && self.ghosts.get(&task) == Some(&(worker, attempt))
        {
            self.remove_ghost(task);
            Ended::Cancelled
        } else {
            return None;
        };
        self.end_retraction(task);
        self.give_back_resources(worker, task);
        let entry = self.workers.alive_mut(worker);
        entry.occupied -= 1;
        if entry.alone == Some(task) {
            entry.alone = None;
        }
        self.workers.load_changed(worker);
        self.open_workers.push(worker);
        Some(ended)
    }

    /// The cancelled attempt of a task holds no slot any more.
    pub(super) fn remove_ghost(&mut self, task: TaskId) {
        self.ghosts.remove(&task);
        self.tasks.clear(task, flag::GHOST);
        if !self.planted.has(Bug::IdsAreUsedTooEarly) {
            self.tasks.unpin(task);
        }
    }

    pub(super) fn end_retraction(&mut self, task: TaskId) {
        if self.tasks.has(task, flag::RETRACTING) {
            self.tasks.clear(task, flag::RETRACTING);
            let Retraction { from, to } =
                self.retracting.remove(&task).expect("a task marked RETRACTING is listed");
            if let Some(entry) = self.workers.get_mut(from) {
                entry.asked_back -= 1;
                self.workers.load_changed(from);
            }
            if let Some(entry) = self.workers.get_mut(to) {
                entry.expected -= 1;
                self.workers.load_changed(to);
                self.open_workers.push(to);
            }
        }
    }

    pub(super) fn attempt_ended(
        &mut self,
        worker: WorkerId,
        task: TaskId,
        attempt: Attempt,
        outbox: &mut Outbox,
    ) {
        let for_whom = self.retracting.get(&task).map(|retraction| retraction.to);
        match self.end_attempt(worker, task, attempt) {
            None => {}
            Some(Ended::Cancelled) => self.go_on_without_ghost(task, outbox),
            Some(Ended::Current) => {
                if self.planted.has(Bug::RetractedTaskIsLost) {
                    return;
                }
                self.tasks.attempt[task.index()] += 1;
                self.transition(task, TaskState::Waiting, Cause::Retracted, outbox);
                match for_whom {
                    Some(thief)
                        if self
                            .workers
                            .get(thief)
                            .is_some_and(crate::workers::Worker::has_free_thread) =>
                    {
                        self.queue_at(thief, task, Cause::Retracted, outbox);
                    }
                    _ => self.make_ready(task, Cause::Retracted, outbox),
                }
            }
        }
    }

    /// A task that was asked back runs already: another is to be asked back in its place.
    pub(super) fn retract_refused(&mut self, worker: WorkerId, task: TaskId, attempt: Attempt) {
        let is_current = self.tasks.state(task) == TaskState::Processing
            && self.tasks.worker[task.index()] == worker
            && self.tasks.attempt(task) == attempt;
        if !is_current {
            return;
        }
        // It is not among those that may be asked back any more.
        let urgency = self.tasks.urgency(task);
        self.workers.alive_mut(worker).strike_given(urgency, task, false);
        self.end_retraction(task);
        self.workers.load_changed(worker);
    }

    /// The cancelled attempt of a task has ended without a result: a new one may start.
    pub(super) fn go_on_without_ghost(&mut self, task: TaskId, outbox: &mut Outbox) {
        if self.tasks.state(task) == TaskState::Waiting
            && self.tasks.missing_inputs[task.index()] == 0
        {
            self.make_ready(task, Cause::InputReady, outbox);
        }
    }

    pub(super) fn input_missing(
        &mut self,
        worker: WorkerId,
        task: TaskId,
        attempt: Attempt,
        input: TaskId,
        from: WorkerId,
        outbox: &mut Outbox,
    ) {
        let Some(was) = self.end_attempt(worker, task, attempt) else { return };
        // The inputs of a forgotten task may be forgotten too, and their ids be those of others.
        if self.tasks.state(task) != TaskState::Forgotten
            && self.tasks.state(input) == TaskState::Memory
            && self.workers.get(from).is_some()
            && self.holds(from, input)
        {
            let attempt = self.tasks.attempt(input);
            outbox.actions.push(Action::Drop { worker: from, task: input, attempt });
            if let Some(lost) = self.remove_holder(from, input) {
                // The attempt that has just ended waits for the input like any other.
                if was == Ended::Current {
                    self.tasks.attempt[task.index()] += 1;
                    self.transition(task, TaskState::Waiting, Cause::InputMissing, outbox);
                }
                self.results_were_lost(&[lost], Cause::InputMissing, outbox);
                self.go_on_without_ghost(task, outbox);
                return;
            }
        }
        match was {
            Ended::Cancelled => self.go_on_without_ghost(task, outbox),
            Ended::Current => self.run_again(task, Cause::InputMissing, outbox),
        }
    }

    /// A task whose attempt has ended starts anew.
    pub(super) fn run_again(&mut self, task: TaskId, cause: Cause, outbox: &mut Outbox) {
        self.tasks.attempt[task.index()] += 1;
        self.transition(task, TaskState::Waiting, cause, outbox);
        self.make_ready(task, cause, outbox);
    }

    /// Takes a task out of wherever it waits or runs. The caller gives it its next state.
    pub(super) fn stop(&mut self, task: TaskId, outbox: &mut Outbox) {
        if self.tasks.state(task) != TaskState::Processing {
            self.unqueue(task);
            return;
        }
        let worker = self.tasks.worker[task.index()];
        if worker == NOWHERE {
            return;
        }
        let entry = self.workers.alive_mut(worker);
        if entry.prefetches() {
            let is_bound = self.tasks.has(task, flag::RESTRICTED);
            entry.strike_given(self.tasks.urgency(task), task, is_bound);
            self.workers.load_changed(worker);
        }
        let attempt = self.tasks.attempt(task);
        self.ghosts.insert(task, (worker, attempt));
        self.tasks.set(task, flag::GHOST);
        if !self.planted.has(Bug::IdsAreUsedTooEarly) {
            self.tasks.pin(task);
        }
        self.tasks.attempt[task.index()] += 1;
        self.tasks.worker[task.index()] = NOWHERE;
        outbox.actions.push(Action::Cancel { worker, task, attempt });
    }
}

/// How an attempt stood when it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// It was the one that counts.
    Current,
    /// It had been cancelled.
    Cancelled,
}
