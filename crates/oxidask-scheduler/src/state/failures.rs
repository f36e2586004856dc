//! Failures: who fails, and who fails with them.

use oxidask_protocol::{Attempt, Cause, TaskId, TaskState, WorkerId};

use super::{SchedulerState, attempts::Ended};
use crate::planted::Bug;
use crate::tasks::flag;
use crate::{Failure, Outbox, Outcome};

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
                if let Some(retries) = self.retries_left.get_mut(&task)
                    && *retries > 0
                {
                    *retries -= 1;
                    self.run_again(task, Cause::Raised, outbox);
                } else {
                    self.fail(task, Failure::Raised, Cause::Raised, outbox);
                }
            }
        }
    }

    /// A task failed for good, and with it all that need it.
    pub(super) fn fail(
        &mut self,
        culprit: TaskId,
        failure: Failure,
        cause: Cause,
        outbox: &mut Outbox,
    ) {
        self.failures.insert(culprit, failure);
        self.err_from(culprit, cause, culprit, failure, outbox);
    }

    /// A task cannot run because of the culprit, and neither can all that need it.
    pub(super) fn err_from(
        &mut self,
        first: TaskId,
        cause: Cause,
        culprit: TaskId,
        failure: Failure,
        outbox: &mut Outbox,
    ) {
        let mut stack = vec![(first, cause)];
        while let Some((task, cause)) = stack.pop() {
            if !self.tasks.state(task).is_unfinished() {
                continue;
            }
            self.stop(task, outbox);
            if task != culprit {
                self.blame.insert(task, culprit);
            }
            self.transition(task, TaskState::Erred, cause, outbox);
            if self.tasks.has(task, flag::WANTED) {
                self.report(task, Outcome::Erred { blame: culprit, failure }, outbox);
            }
            if !(self.planted.has(Bug::ErrorStopsAtFirstDependent) && task != culprit) {
                for place in 0..self.tasks.dependent_count(task) {
                    stack.push((self.tasks.dependent(task, place), Cause::InputErred));
                }
            }
            self.inputs_were_read(task, outbox);
            self.forget_if_unneeded(task, outbox);
        }
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
