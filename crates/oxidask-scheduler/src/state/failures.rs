//! Failures: who fails, and who fails with them.

use std::collections::BTreeSet;

use oxidask_protocol::{Attempt, Cause, TaskId, TaskState, WorkerId};

use super::{Blame, SchedulerState, attempts::Ended};
use crate::planted::Bug;
use crate::tasks::flag;
use crate::{Failure, Outbox};

impl SchedulerState {
    pub(super) fn task_erred(
        &mut self,
        worker: WorkerId,
        task: TaskId,
        attempt: Attempt,
        outbox: &mut Outbox,
    ) {
        let keeps_slot = self.planted.has(Bug::RaisingTaskKeepsItsSlot);
        let Some(was) = self.end_attempt(worker, task, attempt) else { return };
        if keeps_slot && let Some(entry) = self.workers.get_mut(worker) {
            entry.occupied += 1;
        }
        match was {
            Ended::Cancelled => self.go_on_without_ghost(task, outbox),
            Ended::Current => {
                self.clear_suspicion(task);
                if self.take_retry(task) {
                    self.run_again(task, Cause::Raised, outbox);
                } else {
                    self.fail(task, Failure::Raised, Cause::Raised, outbox);
                }
            }
        }
    }

    /// Whether a task that failed may be tried again; this counts as one time.
    pub(super) fn take_retry(&mut self, task: TaskId) -> bool {
        let left = self.retries_left.get_mut(&task).filter(|left| **left > 0);
        left.map(|left| *left -= 1).is_some()
    }

    /// A task failed for good, and with it all that need it.
    pub(super) fn fail(
        &mut self,
        culprit: TaskId,
        failure: Failure,
        cause: Cause,
        outbox: &mut Outbox,
    ) {
        self.err_from(culprit, cause, Blame { culprit, failure }, outbox);
    }

    /// A task cannot run because of the culprit, and neither can all that need it.
    pub(super) fn err_from(
        &mut self,
        first: TaskId,
        cause: Cause,
        blame: Blame,
        outbox: &mut Outbox,
    ) {
        let mut stack = vec![(first, cause)];
        while let Some((task, cause)) = stack.pop() {
            if !self.tasks.state(task).is_unfinished() {
                continue;
            }
            self.stop(task, outbox);
            self.err(task, cause, blame, outbox);
            let stops = self.planted.has(Bug::ErrorStopsAtFirstDependent) && task != blame.culprit
                || self.planted.has(Bug::CancelStopsAtTheTask) && cause == Cause::Cancelled;
            if !stops {
                let mut dependents = self.tasks.dependents(task);
                while let Some(dependent) = self.tasks.next_dependent(&mut dependents) {
                    stack.push((dependent, Cause::InputErred));
                }
            }
            self.inputs_were_read(task, outbox);
            self.forget_if_unneeded(task, outbox);
        }
    }

    /// Marks a task as failed, and tells the client.
    fn err(&mut self, task: TaskId, cause: Cause, blame: Blame, outbox: &mut Outbox) {
        self.errors.insert(task, blame);
        self.transition(task, TaskState::Erred, cause, outbox);
        if self.tasks.has(task, flag::WANTED) {
            self.report(task, blame.outcome(), outbox);
        }
    }

    /// A task that has failed keeps those that need it from running.
    fn err_readers_of(&mut self, task: TaskId, blame: Blame, outbox: &mut Outbox) {
        let mut unfinished = Vec::new();
        let mut dependents = self.tasks.dependents(task);
        while let Some(dependent) = self.tasks.next_dependent(&mut dependents) {
            if self.tasks.state(dependent).is_unfinished() {
                unfinished.push(dependent);
            }
        }
        for dependent in unfinished {
            self.err_from(dependent, Cause::InputErred, blame, outbox);
        }
    }

    /// A client has cancelled tasks: they fail, whether they still run or have returned.
    pub(super) fn tasks_cancelled(&mut self, tasks: &[TaskId], outbox: &mut Outbox) {
        for &task in tasks {
            let blame = Blame { culprit: task, failure: Failure::Cancelled };
            match self.tasks.state(task) {
                TaskState::Forgotten | TaskState::Erred => {}
                TaskState::Memory | TaskState::Released => {
                    self.err_readers_of(task, blame, outbox);
                    if self.tasks.state(task) == TaskState::Memory {
                        self.drop_result(task, Cause::Cancelled, outbox);
                    }
                    if self.tasks.state(task) == TaskState::Released {
                        self.err(task, Cause::Cancelled, blame, outbox);
                        self.forget_if_unneeded(task, outbox);
                    }
                }
                _ => self.err_from(task, Cause::Cancelled, blame, outbox),
            }
        }
    }

    /// A client wants failed tasks to be tried once more: with them all failed ones that they need,
    /// and those that failed because of the same ones.
    pub(super) fn tasks_retried(&mut self, tasks: &[TaskId], outbox: &mut Outbox) {
        let mut stack = tasks.to_vec();
        let (mut cleared, mut seen) = (Vec::new(), BTreeSet::new());
        while let Some(task) = stack.pop() {
            match self.tasks.state(task) {
                TaskState::Erred => {
                    let blame = self.clear_error(task, outbox);
                    cleared.push(task);
                    let mut dependents = self.tasks.dependents(task);
                    while let Some(dependent) = self.tasks.next_dependent(&mut dependents) {
                        let error = self.errors.get(&dependent);
                        if error.is_some_and(|error| error.culprit == blame.culprit) {
                            stack.push(dependent);
                        }
                    }
                }
                // It has to be made again, and may need something that has failed.
                TaskState::Released if seen.insert(task) => {}
                _ => continue,
            }
            for place in 0..self.tasks.dependency_count(task) {
                stack.push(self.tasks.dependency(task, place));
            }
        }
        for &task in &cleared {
            if self.tasks.has(task, flag::WANTED) {
                self.make_again(task, Cause::Retried, outbox);
            }
        }
        for task in cleared {
            self.forget_if_unneeded(task, outbox);
        }
    }

    /// A failed task is released, as if it had not been tried.
    fn clear_error(&mut self, task: TaskId, outbox: &mut Outbox) -> Blame {
        let blame = self.errors.remove(&task).expect("an erred task is listed");
        self.crashes.remove(&task);
        if !self.planted.has(Bug::RetriedTaskIsNotReported) {
            self.tasks.clear(task, flag::REPORTED);
        }
        self.tasks.attempt[task.index()] += 1;
        self.transition(task, TaskState::Released, Cause::Retried, outbox);
        blame
    }

    pub(super) fn give_up_on_tasks_without_worker(&mut self, outbox: &mut Outbox) {
        let timeout = self.settings.no_worker_timeout;
        let late: Vec<TaskId> = self
            .no_worker
            .iter()
            .filter(|&(_, &since)| since + timeout <= self.now)
            .map(|(&task, _)| task)
            .collect();
        for task in late {
            self.fail(task, Failure::NoWorker, Cause::NoWorkerInTime, outbox);
        }
    }
}
