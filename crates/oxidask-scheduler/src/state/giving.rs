//! Giving tasks to workers with free slots, and taking them back for idle ones.

use oxidask_protocol::{Cause, Pressure, TaskId, TaskState, WorkerId};

use super::{Retraction, SchedulerState};
use crate::classes::ClassId;
use crate::planted::Bug;
use crate::tasks::{NOWHERE, flag};
use crate::workers::UNKNOWN_NS;
use crate::{Action, Outbox};

/// A task with more inputs than this does not draw them all to one worker.
const SIBLINGS_DRAWN: usize = 32;

impl SchedulerState {
    /// Fills free slots until there is no slot or no task.
    pub(super) fn give_out_tasks(&mut self, outbox: &mut Outbox) {
        self.look_around_under_pressure();
        if !self.suspects.is_empty() || self.emptied.is_some() {
            self.give_out_suspects(outbox);
        }
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
            if !self.classes.is_quiet() {
                self.give_out_restricted(outbox);
            }
            // A task from the common queue may have drawn others into the queue of its worker.
            if self.open_workers.is_empty() {
                break;
            }
        }
        let starts_freely = !matches!(self.pressure, Pressure::Paused | Pressure::Alone);
        if self.workers.runners() > 1 && starts_freely {
            self.share_out(outbox);
        }
    }

    /// Gives a worker the most urgent task that it may run; `false` if it has no slot or none
    /// waits.
    pub(super) fn fill_slot(&mut self, worker: WorkerId, outbox: &mut Outbox) -> bool {
        let Some(entry) = self.workers.get(worker) else { return false };
        let has_free_thread = entry.has_free_thread();
        if !has_free_thread && (entry.occupied >= entry.window || !entry.is_open()) {
            return false;
        }
        let own = self.first_allowed(worker);
        let common = self
            .first_in_common_queue()
            .filter(|&common| self.may_start(self.task_in_common_queue(common)));
        let (urgency, task, from_common) = match (own, common) {
            (Some((own, task)), common) if common.is_none_or(|common| own < common) => {
                (Some(own), task, None)
            }
            (_, Some(common)) => (Some(common), self.task_in_common_queue(common), Some(common)),
            (_, None) => (None, TaskId(0), None),
        };
        if !self.classes.is_quiet()
            && let Some((first, class)) =
                self.classes.first_for(worker, entry, |task| self.may_start(task))
            && urgency.is_none_or(|urgency| first < urgency)
        {
            return self.give_restricted(worker, class, outbox);
        }
        if urgency.is_none() {
            return false;
        }
        if !has_free_thread {
            let gives_anything = self.planted.has(Bug::AnythingIsGivenAhead);
            let may = entry.may_be_given_ahead(self.expected_ns(task), self.give_ahead_ns());
            if !may && !gives_anything {
                return false;
            }
        }
        if let Some(common) = from_common {
            self.take_from_common_queue(common);
            if self.workers.runners() > 1 {
                self.draw_siblings(worker, task, outbox);
            }
        } else {
            let urgency = self.tasks.urgency(task);
            self.workers.alive_mut(worker).queue.remove(&(urgency, task));
        }
        self.give(worker, task, outbox);
        true
    }

    /// Gives a worker the first task of a class that it may run now; `false` if it has no slot.
    fn give_restricted(&mut self, worker: WorkerId, class: ClassId, outbox: &mut Outbox) -> bool {
        let &(urgency, task) = self.classes.get(class).queue.first().expect("a task waits");
        let entry = self.workers.alive(worker);
        let expected_ns = self.expected_ns(task);
        if !entry.has_free_thread() && !entry.may_be_given_ahead(expected_ns, self.give_ahead_ns())
        {
            return false;
        }
        self.classes.dequeue(class, urgency, task);
        self.give(worker, task, outbox);
        true
    }

    pub(crate) fn give_ahead_ns(&self) -> u64 {
        self.settings.give_ahead.as_nanos() as u64
    }

    /// How long a task is taken to last.
    fn expected_ns(&self, task: TaskId) -> u32 {
        let group = &self.groups[self.tasks.group[task.index()].index()];
        group.mean_duration.map_or(UNKNOWN_NS, |seconds| (seconds * 1e9) as u32)
    }

    /// Queues the tasks that are read together with `task` at the worker that got `task`.
    fn draw_siblings(&mut self, worker: WorkerId, task: TaskId, outbox: &mut Outbox) {
        let mut readers = self.tasks.dependents(task);
        let Some(reader) = self.tasks.next_dependent(&mut readers) else { return };
        if self.tasks.state(reader) != TaskState::Waiting {
            return;
        }
        let siblings = self.tasks.dependency_count(reader);
        if siblings > SIBLINGS_DRAWN {
            return;
        }
        for place in 0..siblings {
            let sibling = self.tasks.dependency(reader, place);
            if sibling != task
                && self.tasks.state(sibling) == TaskState::Queued
                && self.tasks.worker[sibling.index()] == NOWHERE
                && !self.tasks.has(sibling, flag::RESTRICTED)
                && !self.is_suspect(sibling)
            {
                let urgency = self.tasks.urgency(sibling);
                self.take_from_common_queue(urgency);
                self.queue_at(worker, sibling, Cause::SlotFree, outbox);
            }
        }
    }

    pub(super) fn give(&mut self, worker: WorkerId, task: TaskId, outbox: &mut Outbox) {
        self.take_resources(worker, task);
        self.tasks.worker[task.index()] = worker;
        self.transition(task, TaskState::Processing, Cause::SlotFree, outbox);
        let prefetches = self.workers.alive(worker).prefetches();
        let note = prefetches.then(|| (self.tasks.urgency(task), self.expected_ns(task)));
        let is_bound = self.tasks.has(task, flag::RESTRICTED);
        let entry = self.workers.alive_mut(worker);
        entry.occupied += 1;
        if let Some((urgency, expected_ns)) = note {
            entry.note_given(urgency, task, expected_ns, is_bound);
        }
        self.workers.load_changed(worker);
        if !self.workers.is_alone() {
            for place in 0..self.tasks.dependency_count(task) {
                let input = self.tasks.dependency(task, place);
                if !self.holds(worker, input) {
                    outbox.actions.push(Action::Fetch {
                        task: input,
                        attempt: self.tasks.attempt(input),
                        from: self.source_of(input, worker),
                        to: worker,
                    });
                }
            }
        }
        outbox.actions.push(Action::Run { worker, task, attempt: self.tasks.attempt(task) });
    }

    /// Gives idle workers what waits elsewhere: first from queues, then by asking workers for tasks
    /// that they have not started.
    fn share_out(&mut self, outbox: &mut Outbox) {
        while let (Some(idle), Some(busy)) = (self.workers.starving(), self.workers.most_surplus())
        {
            let last = self.workers.alive(busy).queue.last().copied();
            if last.is_some_and(|(_, task)| !self.may_start(task)) {
                return;
            }
            let entry = self.workers.alive_mut(busy);
            if let Some((_, task)) = entry.queue.pop_last() {
                self.workers.load_changed(busy);
                self.give(idle, task, outbox);
                continue;
            }
            let flags = &self.tasks.flags;
            let mut given = entry.given.keys().rev().map(|&(_, task)| task);
            let stays = flag::RETRACTING | flag::RESTRICTED;
            let Some(task) = given.find(|task| flags[task.index()] & stays == 0) else { return };
            entry.asked_back += 1;
            self.tasks.set(task, flag::RETRACTING);
            self.retracting.insert(task, Retraction { from: busy, to: idle });
            self.workers.alive_mut(idle).expected += 1;
            self.workers.load_changed(busy);
            self.workers.load_changed(idle);
            outbox.actions.push(Action::Retract {
                worker: busy,
                task,
                attempt: self.tasks.attempt(task),
            });
        }
    }
}
