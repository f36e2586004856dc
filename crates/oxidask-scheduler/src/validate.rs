//! What must hold after every event. For tests: it looks at everything.

use std::collections::BTreeMap;

use oxidask_protocol::{TaskId, TaskState, WorkerId};

use crate::SchedulerState;
use crate::state::urgency;
use crate::tasks::{NOWHERE, flag};

impl SchedulerState {
    /// Checks every invariant; takes time proportional to the graph.
    ///
    /// # Errors
    /// Says which invariant does not hold, for which task or worker.
    pub fn validate(&self) -> Result<(), String> {
        for task in (0..self.tasks.len() as u32).map(TaskId) {
            self.validate_counts(task)?;
            self.validate_state(task)?;
        }
        self.validate_workers()?;
        self.validate_groups()
    }

    /// Checks what must hold besides when nothing runs and no message is on its way: no slot is
    /// taken, nothing waits that a worker could run, and nothing is kept of forgotten tasks.
    ///
    /// # Errors
    /// Says which invariant does not hold, for which task or worker.
    pub fn validate_at_rest(&self) -> Result<(), String> {
        self.validate()?;
        for worker in self.workers.ids() {
            let entry = self.workers.get(worker).expect("ids() gives living workers");
            ensure(
                entry.occupied == 0 && entry.given.is_empty() && entry.queue.is_empty(),
                || format!("{worker} has work at rest: {entry:?}"),
            )?;
            ensure(entry.expected == 0 && entry.asked_back == 0, || {
                format!("{worker} waits at rest for tasks that were asked back: {entry:?}")
            })?;
        }
        ensure(self.common_queue.is_empty(), || "the common queue is not empty at rest".into())?;
        if let Some((task, (worker, attempt))) = self.ghosts.first_key_value() {
            return Err(format!("{task} has a cancelled attempt {attempt} on {worker} at rest"));
        }
        if let Some((task, retraction)) = self.retracting.first_key_value() {
            return Err(format!("{task} is being asked back at rest: {retraction:?}"));
        }
        for task in (0..self.tasks.len() as u32).map(TaskId) {
            let state = self.tasks.state(task);
            ensure(self.workers.is_empty() || !state.is_unfinished(), || {
                format!("{task} is {state} at rest, though there are workers: it hangs")
            })?;
            ensure(state != TaskState::Processing && state != TaskState::Queued, || {
                format!("{task} is {state} at rest")
            })?;
            let is_remembered = self.failures.contains_key(&task)
                || self.blame.contains_key(&task)
                || self.crashes.contains_key(&task)
                || self.retries_left.contains_key(&task);
            ensure(state != TaskState::Forgotten || !is_remembered, || {
                format!("{task} is forgotten, but its failures are not")
            })?;
        }
        let mut replicated = self.replicas.keys();
        match replicated.find(|&&task| self.tasks.state(task) != TaskState::Memory) {
            Some(task) => Err(format!("{task} has copies, but is {}", self.tasks.state(*task))),
            None => Ok(()),
        }
    }

    fn validate_counts(&self, task: TaskId) -> Result<(), String> {
        let dependents = || {
            (0..self.tasks.dependent_count(task))
                .map(|place| self.tasks.state(self.tasks.dependent(task, place)))
        };
        let readers = dependents().filter(|state| state.is_unfinished()).count();
        ensure(self.tasks.readers[task.index()] as usize == readers, || {
            format!("{task} counts {} readers of {readers}", self.tasks.readers[task.index()])
        })?;
        let unforgotten = dependents().filter(|&state| state != TaskState::Forgotten).count();
        ensure(self.tasks.unforgotten_dependents[task.index()] as usize == unforgotten, || {
            format!("{task} has {unforgotten} dependents that are not forgotten, and counts others")
        })?;
        ensure(self.tasks.has(task, flag::GHOST) == self.ghosts.contains_key(&task), || {
            format!("{task} is marked wrongly as having a cancelled attempt")
        })
    }

    fn validate_state(&self, task: TaskId) -> Result<(), String> {
        let state = self.tasks.state(task);
        let worker = self.tasks.worker[task.index()];
        let is_needed = self.tasks.readers[task.index()] > 0 || self.tasks.has(task, flag::WANTED);
        let missing = (0..self.tasks.dependency_count(task))
            .filter(|&place| {
                self.tasks.state(self.tasks.dependency(task, place)) != TaskState::Memory
            })
            .count();
        let alive = |worker: WorkerId| self.workers.get(worker).is_some();
        if state.is_unfinished() || state == TaskState::Memory {
            ensure(is_needed, || format!("{task} is {state}, but nobody needs it"))?;
        }
        match state {
            TaskState::Waiting => {
                let counted = self.tasks.missing_inputs[task.index()] as usize;
                ensure(counted == missing, || {
                    format!("{task} waits for {counted} inputs, but {missing} are missing")
                })?;
                ensure(missing > 0 || self.tasks.has(task, flag::GHOST), || {
                    format!("{task} waits for nothing")
                })
            }
            TaskState::NoWorker => {
                ensure(self.no_worker.contains_key(&task) && self.workers.is_empty(), || {
                    format!("{task} is no-worker, but there are workers or it is not listed")
                })
            }
            TaskState::Queued => {
                ensure(missing == 0, || format!("{task} is queued without {missing} inputs"))?;
                let urgency = urgency(&self.submissions, &self.tasks, task);
                let is_listed = if worker == NOWHERE {
                    self.common_queue
                        .get(&urgency.0)
                        .is_some_and(|queue| queue.ranks.contains(urgency.1))
                } else {
                    self.workers
                        .get(worker)
                        .is_some_and(|entry| entry.queue.contains(&(urgency, task)))
                };
                ensure(is_listed, || format!("{task} is queued, but in no queue of {worker}"))
            }
            TaskState::Processing => {
                ensure(missing == 0, || format!("{task} runs without {missing} inputs"))?;
                ensure(!self.tasks.has(task, flag::GHOST), || {
                    format!("{task} runs beside its cancelled attempt")
                })?;
                ensure(alive(worker), || format!("{task} runs on {worker}, which is gone"))
            }
            TaskState::Memory => {
                ensure(alive(worker), || format!("{task} is held by {worker}, which is gone"))?;
                let mut copies = self.replicas.get(&task).into_iter().flatten();
                ensure(copies.all(|&copy| alive(copy) && copy != worker), || {
                    format!("{task} has a copy on a worker that is gone, or is counted twice")
                })
            }
            TaskState::Released | TaskState::Erred => Ok(()),
            TaskState::Forgotten => ensure(!self.tasks.has(task, flag::WANTED), || {
                format!("{task} is forgotten, but wanted")
            }),
        }
    }

    fn validate_workers(&self) -> Result<(), String> {
        let mut occupied: BTreeMap<WorkerId, u32> = BTreeMap::new();
        for task in (0..self.tasks.len() as u32).map(TaskId) {
            if self.tasks.state(task) == TaskState::Processing {
                *occupied.entry(self.tasks.worker[task.index()]).or_default() += 1;
            }
        }
        for (worker, _) in self.ghosts.values() {
            *occupied.entry(*worker).or_default() += 1;
        }
        for worker in self.workers.ids() {
            let entry = self.workers.get(worker).expect("ids() gives living workers");
            let counted = occupied.get(&worker).copied().unwrap_or_default();
            ensure(entry.occupied == counted, || {
                format!("{worker} counts {} slots as taken, {counted} are", entry.occupied)
            })?;
            ensure(entry.occupied <= entry.window, || format!("{worker} was given too much"))?;
            ensure(!entry.has_free_slot() || entry.queue.is_empty(), || {
                format!("{worker} has a free slot and a queue")
            })?;
            ensure(!entry.has_free_slot() || self.common_queue.is_empty(), || {
                format!("{worker} has a free slot while tasks wait for any")
            })?;
            let asked = self.retracting.values().filter(|one| one.to == worker).count();
            ensure(entry.expected as usize == asked, || {
                format!("{worker} expects {} tasks back, {asked} were asked for", entry.expected)
            })?;
        }
        Ok(())
    }

    fn validate_groups(&self) -> Result<(), String> {
        let mut counts = vec![[0_u32; TaskState::ALL.len()]; self.groups.len()];
        for task in (0..self.tasks.len() as u32).map(TaskId) {
            counts[self.tasks.group[task.index()].index()][self.tasks.state(task) as usize] += 1;
        }
        for (group, counted) in self.groups.iter().zip(counts) {
            ensure(group.counts == counted, || format!("a group counts {:?}", group.counts))?;
        }
        Ok(())
    }
}

fn ensure(holds: bool, message: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(message()) }
}
