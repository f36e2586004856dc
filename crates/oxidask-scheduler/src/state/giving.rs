//! Giving tasks to workers with free slots, and taking them back for idle ones.

use oxidask_protocol::{Cause, TaskId, TaskState, WorkerId};

use super::{Retraction, SchedulerState, urgency};
use crate::tasks::{NOWHERE, flag};
use crate::{Action, Outbox};

/// A task with more inputs than this does not draw them all to one worker.
const SIBLINGS_DRAWN: usize = 32;

impl SchedulerState {
    /// Fills free slots until there is no slot or no task.
    pub(super) fn give_out_tasks(&mut self, outbox: &mut Outbox) {
        loop {
            while let Some(worker) = self.open_workers.pop() {
                while self.workers.get(worker).is_some_and(|entry| !entry.queue.is_empty())
                    && self.fill_slot(worker, outbox)
                {}
            }
            // One at a time to whoever has least to do, so that a few tasks spread over all
            // workers.
            while !self.common_queue.is_empty() {
                let Some(worker) = self.workers.least_loaded() else { break };
                if !self.fill_slot(worker, outbox) {
                    break;
                }
            }
            if self.workers.len() > 1 {
                self.share_out(outbox);
            }
            // A task from the common queue may have drawn others into the queue of its worker.
            if self.open_workers.is_empty() {
                return;
            }
        }
    }

    /// Gives a worker the most urgent task that it may run; `false` if it has no slot or none
    /// waits.
    pub(super) fn fill_slot(&mut self, worker: WorkerId, outbox: &mut Outbox) -> bool {
        let Some(entry) = self.workers.get(worker) else { return false };
        if !entry.has_free_slot() {
            return false;
        }
        let own = entry.queue.first().copied();
        let common = self
            .common_queue
            .first_key_value()
            .map(|(&key, queue)| (key, queue.ranks.first().expect("an empty queue is removed")));
        let task = match (own, common) {
            (None, None) => return false,
            (Some((own, task)), common) if common.is_none_or(|common| own < common) => {
                self.workers.alive_mut(worker).queue.pop_first();
                task
            }
            (_, Some(common)) => {
                let task = self.take_from_common_queue(common);
                if self.workers.len() > 1 {
                    self.draw_siblings(worker, task, outbox);
                }
                task
            }
            (Some(_), None) => unreachable!("covered by the guard above"),
        };
        self.give(worker, task, outbox);
        true
    }

    /// Queues the tasks that are read together with `task` at the worker that got `task`.
    pub(super) fn draw_siblings(&mut self, worker: WorkerId, task: TaskId, outbox: &mut Outbox) {
        if self.tasks.dependent_count(task) == 0 {
            return;
        }
        let reader = self.tasks.dependent(task, 0);
        let siblings = self.tasks.dependency_count(reader);
        if siblings > SIBLINGS_DRAWN {
            return;
        }
        for place in 0..siblings {
            let sibling = self.tasks.dependency(reader, place);
            if sibling != task
                && self.tasks.state(sibling) == TaskState::Queued
                && self.tasks.worker[sibling.index()] == NOWHERE
            {
                let urgency = urgency(&self.submissions, &self.tasks, sibling);
                self.take_from_common_queue(urgency);
                self.queue_at(worker, sibling, Cause::SlotFree, outbox);
            }
        }
    }

    pub(super) fn give(&mut self, worker: WorkerId, task: TaskId, outbox: &mut Outbox) {
        self.tasks.worker[task.index()] = worker;
        self.transition(task, TaskState::Processing, Cause::SlotFree, outbox);
        let entry = self.workers.alive_mut(worker);
        entry.occupied += 1;
        if entry.prefetches() {
            let urgency = urgency(&self.submissions, &self.tasks, task);
            entry.given.insert((urgency, task));
        }
        self.workers.load_changed(worker);
        if self.workers.single().is_none() {
            for place in 0..self.tasks.dependency_count(task) {
                let input = self.tasks.dependency(task, place);
                if !self.holds(worker, input) {
                    outbox.actions.push(Action::Fetch {
                        task: input,
                        attempt: self.tasks.attempt(input),
                        from: self.tasks.worker[input.index()],
                        to: worker,
                    });
                }
            }
        }
        outbox.actions.push(Action::Run { worker, task, attempt: self.tasks.attempt(task) });
    }

    /// Gives idle workers what waits elsewhere: first from queues, then by asking workers for tasks
    /// that they have not started.
    pub(super) fn share_out(&mut self, outbox: &mut Outbox) {
        while let (Some(idle), Some(busy)) =
            (self.workers.least_loaded(), self.workers.most_loaded())
        {
            if idle == busy
                || !self.workers.get(idle).is_some_and(crate::workers::Worker::is_starving)
            {
                return;
            }
            let entry = self.workers.alive_mut(busy);
            if let Some((_, task)) = entry.queue.pop_last() {
                self.workers.load_changed(busy);
                self.give(idle, task, outbox);
                continue;
            }
            if entry.occupied <= entry.threads + entry.asked_back {
                return;
            }
            let flags = &self.tasks.flags;
            let candidate = entry.given.iter().rev().map(|&(_, task)| task);
            let Some(task) =
                candidate.into_iter().find(|task| flags[task.index()] & flag::RETRACTING == 0)
            else {
                return;
            };
            entry.asked_back += 1;
            self.tasks.set(task, flag::RETRACTING);
            self.retracting.insert(task, Retraction { from: busy, to: idle });
            self.workers.alive_mut(idle).expected += 1;
            outbox.actions.push(Action::Retract {
                worker: busy,
                task,
                attempt: self.tasks.attempt(task),
            });
        }
    }
}
