//! What must hold after every event. For tests: it looks at everything.

use std::collections::{BTreeMap, BTreeSet};

use oxidask_protocol::{GroupId, ResourceId, TaskId, TaskState, WorkerId};

use crate::SchedulerState;
use crate::tasks::{LAST_ATTEMPT, NOWHERE, Submitted, flag};

impl SchedulerState {
    /// Checks every invariant; takes time proportional to the graph.
    ///
    /// # Errors
    /// Says which invariant does not hold, for which task or worker.
    pub fn validate(&self) -> Result<(), String> {
        self.validate_submissions()?;
        for task in self.task_ids() {
            self.validate_counts(task)?;
            self.validate_state(task)?;
        }
        self.validate_workers()?;
        self.validate_restrictions()?;
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
        for task in self.task_ids() {
            let state = self.tasks.state(task);
            ensure(!state.is_unfinished() || self.needs_what_nobody_can_run(task), || {
                format!("{task} is {state} at rest, though there are workers: it hangs")
            })?;
            ensure(state != TaskState::Processing && state != TaskState::Queued, || {
                format!("{task} is {state} at rest")
            })?;
            let is_remembered = self.errors.contains_key(&task)
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

    /// The tasks of all submissions that are remembered.
    fn task_ids(&self) -> impl Iterator<Item = TaskId> + '_ {
        self.tasks.submissions.iter().flat_map(Submitted::ids).map(TaskId)
    }

    /// Each id belongs to one submission or is free, and what is free is forgotten.
    fn validate_submissions(&self) -> Result<(), String> {
        let mut owners = vec![0_u32; self.tasks.len()];
        for submission in &self.tasks.submissions {
            let ids = submission.ids();
            let remembered =
                ids.clone().filter(|&id| self.tasks.state(TaskId(id)) != TaskState::Forgotten);
            let ghosts = ids.clone().filter(|&id| self.tasks.has(TaskId(id), flag::GHOST));
            let pins = (remembered.count() + ghosts.count()) as u32;
            ensure(submission.pins == pins && (pins > 0 || ids.is_empty()), || {
                format!(
                    "a submission of the tasks {ids:?} counts {} pins of {pins}",
                    submission.pins
                )
            })?;
            for id in ids {
                owners[id as usize] += 1;
            }
        }
        for (start, length) in self.tasks.spaces.ranges() {
            for id in start..start + length {
                owners[id as usize] += 1;
                let state = self.tasks.state(TaskId(id));
                ensure(state == TaskState::Forgotten, || format!("t{id} is {state}, but free"))?;
            }
        }
        for (&task, links) in &self.tasks.late {
            ensure(self.tasks.has(task, flag::LATE) && !links.is_empty(), || {
                format!("{task} is listed as read by later submissions, but is not")
            })?;
            let fits = (0..links.len()).all(|place| self.tasks.link_fits(task, place));
            ensure(fits, || format!("{task} is not what those read that it lists: {links:?}"))?;
        }
        let is_retired = |id: usize| self.tasks.attempt[id] >= LAST_ATTEMPT;
        let mut owners = owners.iter().enumerate();
        match owners.find(|&(id, &owners)| owners != 1 && !(owners == 0 && is_retired(id))) {
            Some((id, owners)) => Err(format!("t{id} belongs to {owners} submissions or spaces")),
            None => Ok(()),
        }
    }

    fn validate_counts(&self, task: TaskId) -> Result<(), String> {
        let dependents = || {
            let mut walk = self.tasks.dependents(task);
            std::iter::from_fn(move || self.tasks.next_dependent(&mut walk))
                .map(|dependent| self.tasks.state(dependent))
        };
        let readers = dependents().filter(|state| state.is_unfinished()).count();
        ensure(self.tasks.readers[task.index()] as usize == readers, || {
            format!("{task} counts {} readers of {readers}", self.tasks.readers[task.index()])
        })?;
        let is_late = self.tasks.has(task, flag::LATE);
        ensure(
            self.tasks.state(task) == TaskState::Forgotten
                || is_late == self.tasks.late.contains_key(&task),
            || format!("{task} is marked wrongly as being read by later submissions"),
        )?;
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
        let missing = if state == TaskState::Forgotten {
            0
        } else {
            self.dependencies_of(task)
                .filter(|&input| self.tasks.state(input) != TaskState::Memory)
                .count()
        };
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
                ensure(self.no_worker.contains_key(&task) && !self.can_be_met(task), || {
                    format!("{task} is no-worker, but there are workers or it is not listed")
                })
            }
            TaskState::Queued => {
                ensure(missing == 0, || format!("{task} is queued without {missing} inputs"))?;
                let urgency = self.tasks.urgency(task);
                let is_listed = if worker == NOWHERE && self.suspects.contains(&(urgency, task)) {
                    self.is_suspect(task)
                } else if let (NOWHERE, Some(class)) = (worker, self.class_of(task)) {
                    self.classes.get(class).queue.contains(&(urgency, task))
                } else if worker == NOWHERE {
                    self.common_queue
                        .get(&urgency.queue_key())
                        .is_some_and(|queue| queue.ranks.contains(urgency.rank))
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
            TaskState::Released => Ok(()),
            TaskState::Erred => {
                let blame = self.errors.get(&task);
                ensure(blame.is_some(), || format!("{task} is erred, but nobody knows why"))
            }
            TaskState::Forgotten => ensure(!self.tasks.has(task, flag::WANTED), || {
                format!("{task} is forgotten, but wanted")
            }),
        }
    }

    fn validate_workers(&self) -> Result<(), String> {
        let mut occupied: BTreeMap<WorkerId, u32> = BTreeMap::new();
        for task in self.task_ids() {
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
            ensure(entry.occupied <= entry.window || entry.has_lent, || {
                format!("{worker} was given too much")
            })?;
            let mut queue = entry.queue.iter();
            let may_all_wait = queue.all(|&(_, task)| !self.may_start(task));
            ensure(!entry.has_free_thread() || may_all_wait, || {
                format!("{worker} has a free thread and a queue")
            })?;
            let common = self.first_in_common_queue();
            let may_wait =
                common.is_none_or(|first| !self.may_start(self.task_in_common_queue(first)));
            ensure(!entry.has_free_thread() || may_wait, || {
                format!("{worker} has a free thread while tasks wait for any")
            })?;
            let work_ns: u64 = entry.given.values().map(|&one| u64::from(one)).sum();
            ensure(entry.work_ns == work_ns, || {
                format!("{worker} counts {} ns of work of {work_ns}", entry.work_ns)
            })?;
            let bound = self.give_ahead_ns().saturating_mul(u64::from(entry.threads) + 1);
            let is_bound = entry.occupied > entry.threads && !entry.has_lent;
            ensure(!is_bound || work_ns < bound, || {
                format!("{worker} was given {work_ns} ns of work ahead: {entry:?}")
            })?;
            let asked = self.retracting.values().filter(|one| one.to == worker).count();
            ensure(entry.expected as usize == asked, || {
                format!("{worker} expects {} tasks back, {asked} were asked for", entry.expected)
            })?;
        }
        Ok(())
    }

    /// What tasks ask for is met, what they take is there, and none waits that could run.
    fn validate_restrictions(&self) -> Result<(), String> {
        let mut taken: BTreeMap<(WorkerId, ResourceId), u64> = BTreeMap::new();
        let processing = self
            .task_ids()
            .filter(|&task| self.tasks.state(task) == TaskState::Processing)
            .map(|task| (task, self.tasks.worker[task.index()]));
        let ghosts = self.ghosts.iter().map(|(&task, &(worker, _))| (task, worker));
        for (task, worker) in processing.chain(ghosts) {
            let Some(asked) = self.restriction_of(task) else { continue };
            for (&what, amount) in &asked.resources {
                *taken.entry((worker, what)).or_default() += amount;
            }
        }
        for worker in self.workers.ids() {
            let entry = self.workers.alive(worker);
            for (&what, &counted) in &entry.taken {
                let really = taken.get(&(worker, what)).copied().unwrap_or_default();
                let offered = entry.offer.resources.get(&what).copied().unwrap_or_default();
                ensure(counted == really && counted <= offered, || {
                    format!("{worker} counts {counted} of {what} as taken; {really} of {offered}")
                })?;
            }
        }
        for class in self.classes.waiting() {
            ensure(self.free_candidate(class).is_none(), || {
                let class = self.classes.get(class);
                format!("a task waits although a worker could run it: {class:?}")
            })?;
        }
        for &(_, task) in &self.suspects {
            ensure(self.tasks.state(task) == TaskState::Queued, || {
                format!("{task} waits to run alone, but is {}", self.tasks.state(task))
            })?;
        }
        let emptied = self.workers.ids().filter(|&worker| self.workers.alive(worker).is_emptied);
        for worker in emptied {
            ensure(self.emptied == Some(worker) && !self.suspects.is_empty(), || {
                format!("{worker} is given nothing, but nobody waits for it")
            })?;
        }
        Ok(())
    }

    /// Whether the task, or one that it needs, asks for what no worker has.
    fn needs_what_nobody_can_run(&self, task: TaskId) -> bool {
        let mut seen = BTreeSet::from([task]);
        let mut stack = vec![task];
        while let Some(task) = stack.pop() {
            if self.tasks.state(task) == TaskState::NoWorker {
                return true;
            }
            let inputs = self.dependencies_of(task);
            let unfinished = inputs.filter(|&input| self.tasks.state(input).is_unfinished());
            stack.extend(unfinished.filter(|&input| seen.insert(input)));
        }
        false
    }

    fn validate_groups(&self) -> Result<(), String> {
        let mut counts = vec![[0_u32; TaskState::ALL.len()]; self.groups.len()];
        for task in self.task_ids() {
            counts[self.tasks.group[task.index()].index()][self.tasks.state(task) as usize] += 1;
        }
        for (number, (group, counted)) in self.groups.iter().zip(counts).enumerate() {
            ensure(group.counts == counted && group.tasks == counted.iter().sum(), || {
                format!("a group counts {} tasks: {:?}", group.tasks, group.counts)
            })?;
            let is_free = self.free_groups.contains(&GroupId(number as u32));
            ensure(is_free == (group.tasks == 0 && !group.is_shared), || {
                format!("a group of {} tasks is free: {is_free}", group.tasks)
            })?;
        }
        Ok(())
    }
}

fn ensure(holds: bool, message: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(message()) }
}
