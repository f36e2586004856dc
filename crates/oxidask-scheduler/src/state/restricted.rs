//! Tasks that not every worker may run at any time: those that ask for something, and those that
//! may have killed a worker, which run alone.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use oxidask_protocol::{Cause, TaskId, TaskState, WorkerId};

use super::SchedulerState;
use crate::classes::ClassId;
use crate::planted::Bug;
use crate::tasks::{NOWHERE, flag};
use crate::{Outbox, Restriction};

/// How a task has to do with workers that died while they ran it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Crashes {
    /// It ran alone, so it is to blame.
    alone: u32,
    /// Others ran beside it.
    beside_others: u32,
}

/// A task that is in so many times more crashes beside others than it is allowed alone is given up
/// too. It takes tasks that wait for others, and so are not left alone.
const CRASHES_IN_COMPANY: u32 = 16;

/// So long a crash is remembered of which the task that ran alone was innocent.
const MEMORY_OF_MISTAKES: Duration = Duration::from_secs(60);

impl Crashes {
    /// Counts one more; how many there are, if that is too much. Lately so many tasks were taken for
    /// the cause of a crash and were not.
    pub(super) fn add(&mut self, was_alone: bool, allowed: u32, mistakes: u32) -> Option<u32> {
        let at_most = allowed.saturating_add(1).saturating_mul(CRASHES_IN_COMPANY);
        let (times, most) = if was_alone {
            (&mut self.alone, allowed.saturating_add(mistakes).min(at_most))
        } else {
            (&mut self.beside_others, at_most)
        };
        *times += 1;
        (*times > most).then_some(*times)
    }
}

/// When tasks ended well that had been alone in a crash. Something else kills workers then, and may
/// meet any task.
#[derive(Debug, Default)]
pub(crate) struct Mistakes(VecDeque<Duration>);

impl Mistakes {
    /// How many there were lately.
    pub(super) fn lately(&mut self, now: Duration) -> u32 {
        while self.0.front().is_some_and(|&at| at + MEMORY_OF_MISTAKES < now) {
            self.0.pop_front();
        }
        self.0.len() as u32
    }

    fn add(&mut self, crashes: u32, now: Duration) {
        self.lately(now);
        let most = CRASHES_IN_COMPANY as usize * 4;
        self.0.extend((0..crashes).map(|_| now));
        self.0.drain(..self.0.len().saturating_sub(most));
    }
}

impl SchedulerState {
    /// What a task asks of its worker, if it does.
    pub fn restriction_of(&self, task: TaskId) -> Option<&Restriction> {
        Some(&self.classes.get(self.class_of(task)?).restriction)
    }

    pub(crate) fn class_of(&self, task: TaskId) -> Option<ClassId> {
        self.tasks.has(task, flag::RESTRICTED).then(|| self.tasks.class_of(task))
    }

    /// Whether there is a worker that could run the task, if not now then later.
    pub(crate) fn can_be_met(&self, task: TaskId) -> bool {
        match self.class_of(task) {
            None => self.workers.runners() > 0,
            Some(class) => !self.classes.get(class).candidates.is_empty(),
        }
    }

    /// Whether the task may have killed a worker.
    pub(crate) fn is_suspect(&self, task: TaskId) -> bool {
        !self.crashes.is_empty() && self.crashes.contains_key(&task)
    }

    /// A task has ended by itself: what it was suspected of was not its doing.
    pub(super) fn clear_suspicion(&mut self, task: TaskId) {
        if let Some(crashes) = self.crashes.remove(&task) {
            self.mistakes.add(crashes.alone, self.now);
        }
    }

    /// Queues a task apart from those that any worker may run; `false` if it is not such a task.
    pub(super) fn queue_apart(&mut self, task: TaskId, cause: Cause, outbox: &mut Outbox) -> bool {
        if self.is_suspect(task) && !self.planted.has(Bug::SuspectsRunBesideOthers) {
            self.suspects.insert((self.tasks.urgency(task), task));
        } else if let Some(class) = self.class_of(task) {
            self.classes.enqueue(class, self.tasks.urgency(task), task);
        } else {
            return false;
        }
        self.tasks.worker[task.index()] = NOWHERE;
        self.transition(task, TaskState::Queued, cause, outbox);
        true
    }

    /// Takes a queued task out of such a queue; `false` if it is in none.
    pub(super) fn unqueue_apart(&mut self, task: TaskId) -> bool {
        if !self.suspects.is_empty() && self.suspects.remove(&(self.tasks.urgency(task), task)) {
            return true;
        }
        let Some(class) = self.class_of(task) else { return false };
        self.classes.dequeue(class, self.tasks.urgency(task), task);
        true
    }

    /// Takes from the worker what the task needs while it runs.
    pub(super) fn take_resources(&mut self, worker: WorkerId, task: TaskId) {
        if let Some(class) = self.class_of(task)
            && !self.planted.has(Bug::ResourcesAreNotCounted)
        {
            let needs = &self.classes.get(class).restriction.resources;
            self.workers.alive_mut(worker).take(needs);
        }
    }

    /// The task's attempt holds nothing of the worker any more.
    pub(super) fn give_back_resources(&mut self, worker: WorkerId, task: TaskId) {
        if let Some(class) = self.class_of(task)
            && !self.planted.has(Bug::ResourcesAreNotCounted)
        {
            let needs = &self.classes.get(class).restriction.resources;
            self.workers.alive_mut(worker).give_back(needs);
        }
    }

    /// Gives tasks that ask for something to whoever can run them now and has least to do.
    pub(super) fn give_out_restricted(&mut self, outbox: &mut Outbox) {
        let waiting: Vec<ClassId> = self.classes.waiting().collect();
        for class in waiting {
            while let Some(worker) = self.free_candidate(class) {
                if !self.fill_slot(worker, outbox) {
                    break;
                }
            }
        }
    }

    /// A worker that could start a task of the class now, if one waits.
    pub(crate) fn free_candidate(&self, class: ClassId) -> Option<WorkerId> {
        let class = self.classes.get(class);
        let &(_, first) = class.queue.first()?;
        if !self.may_start(first) {
            return None;
        }
        class
            .candidates
            .iter()
            .map(|&worker| (worker, self.workers.alive(worker)))
            .filter(|(_, entry)| {
                entry.has_free_thread() && entry.has_now(&class.restriction.resources)
            })
            .min_by_key(|&(worker, entry)| (entry.load(), worker))
            .map(|(worker, _)| worker)
    }

    /// Workers came or went: tasks that nobody could run any more are told apart.
    pub(super) fn strand(&mut self, cause: Cause, outbox: &mut Outbox) {
        let mut stranded = self.classes.workers_changed(&self.workers);
        let suspects = std::mem::take(&mut self.suspects);
        for (urgency, task) in suspects {
            if self.can_be_met(task) {
                self.suspects.insert((urgency, task));
            } else {
                stranded.push(task);
            }
        }
        for task in stranded {
            self.no_worker.insert(task, self.now);
            self.transition(task, TaskState::NoWorker, cause, outbox);
        }
    }

    // ---- Suspects ----

    /// Gives suspects to workers that run nothing else, and keeps one worker from being given
    /// anything while a suspect waits for such a one.
    pub(super) fn give_out_suspects(&mut self, outbox: &mut Outbox) {
        let emptied = self.emptied.take();
        let mut to_empty = None;
        let suspects: Vec<TaskId> = self.suspects.iter().map(|&(_, task)| task).collect();
        for task in suspects {
            if !self.may_start(task) {
                continue;
            }
            let candidates = self.candidates_for_suspect(task);
            let is_empty = |&&worker: &&WorkerId| self.workers.alive(worker).runs_nothing();
            if let Some(&worker) = candidates.iter().find(is_empty) {
                self.unqueue_apart(task);
                self.workers.alive_mut(worker).alone = Some(task);
                self.give(worker, task, outbox);
            } else if to_empty.is_none() {
                let least_taken = |&&worker: &&WorkerId| self.workers.alive(worker).occupied;
                to_empty = emptied
                    .filter(|worker| candidates.contains(worker))
                    .or_else(|| candidates.iter().min_by_key(least_taken).copied());
            }
        }
        self.emptied = to_empty;
        if emptied != to_empty {
            for (worker, is_emptied) in [(emptied, false), (to_empty, true)] {
                let Some(worker) = worker else { continue };
                let Some(entry) = self.workers.get_mut(worker) else { continue };
                entry.is_emptied = is_emptied;
                self.workers.load_changed(worker);
                self.open_workers.push(worker);
            }
        }
    }

    /// Workers that could run a suspect once they run nothing else.
    fn candidates_for_suspect(&self, task: TaskId) -> BTreeSet<WorkerId> {
        let restriction = self.restriction_of(task);
        let is_able = |&worker: &WorkerId| {
            let entry = self.workers.alive(worker);
            let has_it = restriction.is_none_or(|asked| entry.has_now(&asked.resources));
            entry.threads > 0 && entry.alone.is_none() && (has_it || !entry.runs_nothing())
        };
        match self.class_of(task) {
            None => self.workers.ids().filter(is_able).collect(),
            Some(class) => {
                self.classes.get(class).candidates.iter().copied().filter(is_able).collect()
            }
        }
    }
}
