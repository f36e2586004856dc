//! [`SchedulerState`]: events in, actions out.
//!
//! The life of a task: *waiting* until its inputs are in memory; then *queued*, either in the
//! common queue (tasks without inputs, which any worker may start) or in that of the worker that
//! suits it best; *processing* once a worker has it; *memory* when it returned. A result that no
//! unfinished task and no client needs is dropped and its task *released*; it may have to run again
//! when a worker is lost, until all that was made from it is *forgotten*.
//!
//! A cancelled attempt holds its slot until the worker has answered. Until then the task's new
//! attempt waits; if the old one returns after all, its result is taken. So two attempts of a task
//! never run beside each other on living workers.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use oxidask_protocol::{Attempt, Cause, GroupId, Record, RecordBody, TaskId, TaskState, WorkerId};

use crate::planted::{Bug, Planted};
use crate::queue::RankSet;
use crate::tasks::{NOWHERE, Tasks, flag};
use crate::workers::{Urgency, Workers};
use crate::{Action, Event, Failure, Outbox, Outcome, Submission};

/// What can be set.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How many crashes of workers a task may be part of before it is given up.
    pub allowed_failures: u32,
    /// How long a task may wait for a worker that can run it.
    pub no_worker_timeout: Duration,
    /// Bytes a second between workers, for weighing a transfer against waiting.
    pub bandwidth: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { allowed_failures: 3, no_worker_timeout: Duration::from_secs(300), bandwidth: 1e9 }
    }
}

/// Inputs looked at when a worker is chosen; more would cost time and change little.
const INPUTS_WEIGHED: usize = 8;
/// A task with more inputs than this does not draw them all to one worker.
const SIBLINGS_DRAWN: usize = 32;
/// What a group's tasks are taken to last before one has run.
const UNKNOWN_DURATION: f64 = 1e-3;

/// All that the scheduler knows.
#[derive(Debug, Default)]
pub struct SchedulerState {
    pub(crate) tasks: Tasks,
    pub(crate) workers: Workers,
    settings: Settings,
    pub(crate) submissions: Vec<SubmissionInfo>,
    /// Tasks without inputs that wait for a slot anywhere.
    pub(crate) common_queue: BTreeMap<u64, CommonQueue>,
    /// Tasks that no living worker may run, since when.
    pub(crate) no_worker: BTreeMap<TaskId, Duration>,
    /// Holders beside the first, for results that have several.
    pub(crate) replicas: BTreeMap<TaskId, BTreeSet<WorkerId>>,
    /// Cancelled attempts that hold a slot.
    pub(crate) ghosts: BTreeMap<TaskId, (WorkerId, Attempt)>,
    /// Tasks that were asked back.
    pub(crate) retracting: BTreeMap<TaskId, Retraction>,
    /// The task that is to blame for an erred one, if that is another one.
    pub(crate) blame: BTreeMap<TaskId, TaskId>,
    pub(crate) failures: BTreeMap<TaskId, Failure>,
    pub(crate) retries_left: BTreeMap<TaskId, u32>,
    pub(crate) crashes: BTreeMap<TaskId, u32>,
    pub(crate) groups: Vec<Group>,
    /// Workers that may take tasks since the last look.
    open_workers: Vec<WorkerId>,
    now: Duration,
    planted: Planted,
}

/// A task that was asked back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retraction {
    from: WorkerId,
    pub(crate) to: WorkerId,
}

#[derive(Debug)]
pub(crate) struct SubmissionInfo {
    priority_key: u64,
    by_rank: Vec<u32>,
}

#[derive(Debug)]
pub(crate) struct CommonQueue {
    pub(crate) submission: u32,
    pub(crate) ranks: RankSet,
}

/// What is known of tasks with the same prefix.
#[derive(Debug, Default)]
pub(crate) struct Group {
    pub(crate) counts: [u32; TaskState::ALL.len()],
    finished: u32,
    mean_duration: Option<f64>,
}

impl SchedulerState {
    /// A scheduler without workers and tasks.
    pub fn new(settings: Settings) -> Self {
        Self { settings, ..Self::default() }
    }

    /// Plants a mistake, for the tests of the simulation.
    #[cfg(feature = "planted-bugs")]
    pub fn plant(&mut self, bug: Bug) {
        self.planted.bug = Some(bug);
    }

    /// Takes in one event and appends what follows from it to `outbox`.
    ///
    /// `now` never goes back. Reports of attempts that are out of date change nothing.
    pub fn handle(&mut self, event: Event, now: Duration, outbox: &mut Outbox) {
        self.now = now;
        match event {
            Event::TaskFinished { worker, task, attempt, nbytes, duration } => {
                self.task_finished(worker, task, attempt, nbytes, duration, outbox);
            }
            Event::TaskErred { worker, task, attempt } => {
                self.task_erred(worker, task, attempt, outbox);
            }
            Event::AttemptEnded { worker, task, attempt } => {
                self.attempt_ended(worker, task, attempt, outbox);
            }
            Event::InputMissing { worker, task, attempt, input, from } => {
                self.input_missing(worker, task, attempt, input, from, outbox);
            }
            Event::ReplicaAdded { worker, task, attempt } => {
                self.replica_added(worker, task, attempt, outbox);
            }
            Event::GraphSubmitted(submission) => {
                self.graph_submitted(&submission, outbox);
            }
            Event::WorkerJoined { worker, threads, window } => {
                self.worker_joined(worker, threads, window, outbox);
            }
            Event::WorkerLost { worker, crashed } => self.worker_lost(worker, crashed, outbox),
            Event::TasksReleased { tasks } => self.tasks_released(&tasks, outbox),
            Event::TimePassed => self.give_up_on_tasks_without_worker(outbox),
        }
        self.give_out_tasks(outbox);
    }

    /// The id that the first task of the next submission will have; the others follow.
    pub fn next_task_id(&self) -> TaskId {
        TaskId(self.tasks.len() as u32)
    }

    /// The id that the first group of the next submission will have; the others follow.
    pub fn next_group_id(&self) -> GroupId {
        GroupId(self.groups.len() as u32)
    }

    /// Where a task stands.
    pub fn state_of(&self, task: TaskId) -> TaskState {
        self.tasks.state(task)
    }

    /// How many tasks of a group are in a state.
    pub fn group_count(&self, group: GroupId, state: TaskState) -> u32 {
        self.groups[group.index()].counts[state as usize]
    }

    /// What the tasks of a group last on average, once one has run.
    pub fn group_duration(&self, group: GroupId) -> Option<Duration> {
        self.groups[group.index()].mean_duration.map(Duration::from_secs_f64)
    }

    /// The group of a task.
    pub fn group_of(&self, task: TaskId) -> GroupId {
        self.tasks.group[task.index()]
    }

    /// What the task's inputs are.
    pub fn dependencies_of(&self, task: TaskId) -> &[u32] {
        self.tasks.dependencies.row(task.0)
    }

    /// The task's place in the order of its submission.
    pub fn rank_of(&self, task: TaskId) -> u32 {
        self.tasks.rank[task.index()]
    }

    /// The attempt that made the task's result, or that runs now, or that will run next.
    pub fn attempt_of(&self, task: TaskId) -> Attempt {
        self.tasks.attempt(task)
    }

    /// The workers that hold the task's result, as far as is known; none unless it is in memory.
    pub fn holders_of(&self, task: TaskId) -> impl Iterator<Item = WorkerId> + '_ {
        let in_memory = self.tasks.state(task) == TaskState::Memory;
        let first = in_memory.then(|| self.tasks.worker[task.index()]);
        first.into_iter().chain(self.replicas.get(&task).into_iter().flatten().copied())
    }

    /// Bytes used for tasks and their edges.
    pub fn nbytes(&self) -> usize {
        let queues = self
            .submissions
            .iter()
            .map(|info| 4 * info.by_rank.capacity() + info.by_rank.len() / 8);
        self.tasks.nbytes_used() + queues.sum::<usize>()
    }

    // ---- Submissions and releases ----

    fn graph_submitted(&mut self, submission: &Submission, outbox: &mut Outbox) {
        let number = self.submissions.len() as u32;
        let groups_from = self.groups.len() as u32;
        let count = submission.rank.len();
        let base = self.tasks.append(submission, number, groups_from);
        let mut by_rank = vec![u32::MAX; count];
        for (task, &rank) in submission.rank.iter().enumerate() {
            by_rank[rank as usize] = base + task as u32;
        }
        // Larger priorities first, then earlier submissions.
        let priority_key = (i64::from(i32::MAX) - i64::from(submission.priority)) as u64;
        let priority_key = priority_key << 31 | u64::from(number);
        self.submissions.push(SubmissionInfo { priority_key, by_rank });
        for (&task, &retries) in &submission.retries {
            self.retries_left.insert(TaskId(base + task), retries);
        }
        for &task in &submission.wanted {
            self.tasks.set(TaskId(base + task), flag::WANTED);
        }
        self.add_groups(submission, groups_from, outbox);
        // All are needed, so the general walk from the wanted tasks would visit each: do it in a
        // row instead.
        let range = base..base + count as u32;
        for task in range.clone() {
            self.tasks.missing_inputs[task as usize] =
                self.tasks.dependencies.row(task).len() as u32;
            self.tasks.readers[task as usize] = self.tasks.dependents.row(task).len() as u32;
            self.transition(TaskId(task), TaskState::Waiting, Cause::Submitted, outbox);
        }
        for task in range {
            if self.tasks.missing_inputs[task as usize] == 0 {
                self.make_ready(TaskId(task), Cause::Submitted, outbox);
            }
        }
    }

    fn add_groups(&mut self, submission: &Submission, from: u32, outbox: &mut Outbox) {
        let count = submission.groups.iter().max().map_or(0, |&last| last as usize + 1);
        let mut sizes = vec![0; count];
        for &group in &submission.groups {
            sizes[group as usize] += 1;
        }
        for (group, tasks) in sizes.into_iter().enumerate() {
            let mut entry = Group::default();
            entry.counts[TaskState::Released as usize] = tasks;
            self.groups.push(entry);
            let group = GroupId(from + group as u32);
            self.record(RecordBody::Group { group, tasks }, outbox);
        }
    }

    fn tasks_released(&mut self, tasks: &[TaskId], outbox: &mut Outbox) {
        for &task in tasks {
            if !self.tasks.has(task, flag::WANTED) {
                continue;
            }
            self.tasks.clear(task, flag::WANTED);
            self.release_if_unneeded(task, outbox);
            self.forget_if_unneeded(task, outbox);
        }
    }

    /// Drops the result of a task, or stops it, if nobody will read the result; then the same for
    /// what only it needed.
    fn release_if_unneeded(&mut self, task: TaskId, outbox: &mut Outbox) {
        let mut stack = vec![task];
        while let Some(task) = stack.pop() {
            if self.tasks.readers[task.index()] > 0 || self.tasks.has(task, flag::WANTED) {
                continue;
            }
            let state = self.tasks.state(task);
            if state == TaskState::Memory {
                self.drop_result(task, Cause::Unneeded, outbox);
            } else if state.is_unfinished() {
                self.stop(task, outbox);
                self.transition(task, TaskState::Released, Cause::Unneeded, outbox);
                for place in 0..self.tasks.dependency_count(task) {
                    let input = self.tasks.dependency(task, place);
                    self.tasks.readers[input.index()] -= 1;
                    stack.push(input);
                }
            }
        }
    }

    /// Forgets a task that nobody wants and that nothing remembered was made from; then the same
    /// for its inputs.
    fn forget_if_unneeded(&mut self, task: TaskId, outbox: &mut Outbox) {
        let mut stack = vec![task];
        while let Some(task) = stack.pop() {
            let at_rest = matches!(self.tasks.state(task), TaskState::Released | TaskState::Erred);
            if !at_rest
                || self.tasks.unforgotten_dependents[task.index()] > 0
                || self.tasks.has(task, flag::WANTED)
            {
                continue;
            }
            self.transition(task, TaskState::Forgotten, Cause::Unneeded, outbox);
            self.blame.remove(&task);
            self.failures.remove(&task);
            self.crashes.remove(&task);
            self.retries_left.remove(&task);
            outbox.actions.push(Action::Forget { task });
            for place in 0..self.tasks.dependency_count(task) {
                let input = self.tasks.dependency(task, place);
                self.tasks.unforgotten_dependents[input.index()] -= 1;
                stack.push(input);
            }
        }
    }

    // ---- Results ----

    fn task_finished(
        &mut self,
        worker: WorkerId,
        task: TaskId,
        attempt: Attempt,
        nbytes: u64,
        duration: Duration,
        outbox: &mut Outbox,
    ) {
        let Some(was) = self.end_attempt(worker, task, attempt) else {
            return;
        };
        if was == Ended::Cancelled {
            let state = self.tasks.state(task);
            if !state.is_unfinished() {
                outbox.actions.push(Action::Drop { worker, task, attempt });
                return;
            }
            // The cancelled attempt returned after all, and the result is needed again: it counts.
            self.unqueue(task);
            self.tasks.attempt[task.index()] = attempt.0;
        }
        let group = &mut self.groups[self.tasks.group[task.index()].index()];
        let seconds = duration.as_secs_f64();
        group.mean_duration =
            Some(group.mean_duration.map_or(seconds, |mean| mean + 0.2 * (seconds - mean)));
        self.tasks.worker[task.index()] = worker;
        self.tasks.nbytes[task.index()] = nbytes;
        self.transition(task, TaskState::Memory, Cause::Finished, outbox);
        self.inputs_were_read(task, outbox);
        for place in 0..self.tasks.dependent_count(task) {
            let dependent = self.tasks.dependent(task, place);
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

    /// A task left the unfinished states: its inputs have one reader less.
    fn inputs_were_read(&mut self, task: TaskId, outbox: &mut Outbox) {
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

    fn task_erred(
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
    fn fail(&mut self, culprit: TaskId, failure: Failure, cause: Cause, outbox: &mut Outbox) {
        self.failures.insert(culprit, failure);
        self.err_from(culprit, cause, culprit, failure, outbox);
    }

    /// A task cannot run because of the culprit, and neither can all that need it.
    fn err_from(
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

    /// Tells the client once; a second time only if a finished result was lost and cannot be made
    /// again, because the client could not know otherwise.
    fn report(&mut self, task: TaskId, outcome: Outcome, outbox: &mut Outbox) {
        if !self.tasks.has(task, flag::REPORTED) || outcome != Outcome::Finished {
            self.tasks.set(task, flag::REPORTED);
            outbox.actions.push(Action::Report { task, outcome });
        }
    }

    fn drop_result(&mut self, task: TaskId, cause: Cause, outbox: &mut Outbox) {
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

    fn replica_added(
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

    // ---- Attempts ----

    /// Frees the slot of an attempt that the worker says has ended; `None` if it was not running.
    fn end_attempt(&mut self, worker: WorkerId, task: TaskId, attempt: Attempt) -> Option<Ended> {
        let is_current = self.tasks.state(task) == TaskState::Processing
            && (self.tasks.worker[task.index()] == worker && self.tasks.attempt(task) == attempt
                || self.planted.has(Bug::OldAttemptCounts));
        let worker = if is_current { self.tasks.worker[task.index()] } else { worker };
        let ended = if is_current {
            let entry = self.workers.alive_mut(worker);
            if entry.prefetches() {
                let urgency = urgency(&self.submissions, &self.tasks, task);
                entry.given.remove(&(urgency, task));
            }
            // So that `stop` knows that there is nothing to stop.
            self.tasks.worker[task.index()] = NOWHERE;
            Ended::Current
        } else if self.tasks.has(task, flag::GHOST)
            && self.ghosts.get(&task) == Some(&(worker, attempt))
        {
            self.ghosts.remove(&task);
            self.tasks.clear(task, flag::GHOST);
            Ended::Cancelled
        } else {
            return None;
        };
        self.end_retraction(task);
        self.workers.alive_mut(worker).occupied -= 1;
        self.workers.load_changed(worker);
        self.open_workers.push(worker);
        Some(ended)
    }

    fn end_retraction(&mut self, task: TaskId) {
        if self.tasks.has(task, flag::RETRACTING) {
            self.tasks.clear(task, flag::RETRACTING);
            let Retraction { from, to } =
                self.retracting.remove(&task).expect("a task marked RETRACTING is listed");
            if let Some(entry) = self.workers.get_mut(from) {
                entry.asked_back -= 1;
            }
            if let Some(entry) = self.workers.get_mut(to) {
                entry.expected -= 1;
                self.open_workers.push(to);
            }
        }
    }

    fn attempt_ended(
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
                            .is_some_and(crate::workers::Worker::has_free_slot) =>
                    {
                        self.queue_at(thief, task, Cause::Retracted, outbox);
                    }
                    _ => self.make_ready(task, Cause::Retracted, outbox),
                }
            }
        }
    }

    /// The cancelled attempt of a task has ended without a result: a new one may start.
    fn go_on_without_ghost(&mut self, task: TaskId, outbox: &mut Outbox) {
        if self.tasks.state(task) == TaskState::Waiting
            && self.tasks.missing_inputs[task.index()] == 0
        {
            self.make_ready(task, Cause::InputReady, outbox);
        }
    }

    fn input_missing(
        &mut self,
        worker: WorkerId,
        task: TaskId,
        attempt: Attempt,
        input: TaskId,
        from: WorkerId,
        outbox: &mut Outbox,
    ) {
        let Some(was) = self.end_attempt(worker, task, attempt) else { return };
        if self.tasks.state(input) == TaskState::Memory
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
    fn run_again(&mut self, task: TaskId, cause: Cause, outbox: &mut Outbox) {
        self.tasks.attempt[task.index()] += 1;
        self.transition(task, TaskState::Waiting, cause, outbox);
        self.make_ready(task, cause, outbox);
    }

    /// Takes a task out of wherever it waits or runs. The caller gives it its next state.
    fn stop(&mut self, task: TaskId, outbox: &mut Outbox) {
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
            let urgency = urgency(&self.submissions, &self.tasks, task);
            entry.given.remove(&(urgency, task));
        }
        let attempt = self.tasks.attempt(task);
        self.ghosts.insert(task, (worker, attempt));
        self.tasks.set(task, flag::GHOST);
        self.tasks.attempt[task.index()] += 1;
        self.tasks.worker[task.index()] = NOWHERE;
        outbox.actions.push(Action::Cancel { worker, task, attempt });
    }

    // ---- Readiness and placement ----

    /// All inputs of a waiting task are in memory: it may run as soon as there is a slot.
    fn make_ready(&mut self, task: TaskId, cause: Cause, outbox: &mut Outbox) {
        if self.tasks.has(task, flag::GHOST) && !self.planted.has(Bug::CancelledAttemptIsIgnored) {
            return;
        }
        if self.workers.is_empty() {
            self.no_worker.insert(task, self.now);
            self.transition(task, TaskState::NoWorker, cause, outbox);
        } else if self.tasks.dependency_count(task) == 0 {
            self.queue_anywhere(task, cause, outbox);
        } else {
            let worker = self.best_worker(task);
            self.queue_at(worker, task, cause, outbox);
        }
    }

    fn queue_anywhere(&mut self, task: TaskId, cause: Cause, outbox: &mut Outbox) {
        let number = self.tasks.submission[task.index()];
        let info = &self.submissions[number as usize];
        let bound = info.by_rank.len();
        self.common_queue
            .entry(info.priority_key)
            .or_insert_with(|| CommonQueue { submission: number, ranks: RankSet::new(bound) })
            .ranks
            .insert(self.tasks.rank[task.index()]);
        self.tasks.worker[task.index()] = NOWHERE;
        self.transition(task, TaskState::Queued, cause, outbox);
    }

    fn queue_at(&mut self, worker: WorkerId, task: TaskId, cause: Cause, outbox: &mut Outbox) {
        let urgency = urgency(&self.submissions, &self.tasks, task);
        self.workers.alive_mut(worker).queue.insert((urgency, task));
        self.workers.load_changed(worker);
        self.open_workers.push(worker);
        self.tasks.worker[task.index()] = worker;
        self.transition(task, TaskState::Queued, cause, outbox);
    }

    /// Takes a task out of the queue that it is in, if any.
    fn unqueue(&mut self, task: TaskId) {
        match self.tasks.state(task) {
            TaskState::NoWorker => {
                self.no_worker.remove(&task);
            }
            TaskState::Queued => {
                let urgency = urgency(&self.submissions, &self.tasks, task);
                let worker = self.tasks.worker[task.index()];
                if worker == NOWHERE {
                    self.take_from_common_queue(urgency);
                } else if let Some(entry) = self.workers.get_mut(worker) {
                    entry.queue.remove(&(urgency, task));
                    self.workers.load_changed(worker);
                }
                self.tasks.worker[task.index()] = NOWHERE;
            }
            _ => {}
        }
    }

    fn take_from_common_queue(&mut self, urgency: Urgency) -> TaskId {
        let queue = self.common_queue.get_mut(&urgency.0).expect("a queued task is in its queue");
        queue.ranks.remove(urgency.1);
        let task = self.submissions[queue.submission as usize].by_rank[urgency.1 as usize];
        if queue.ranks.is_empty() {
            self.common_queue.remove(&urgency.0);
        }
        TaskId(task)
    }

    /// The worker on which a task with inputs starts first, by what is known: one of those that
    /// hold its largest inputs, or the least loaded one.
    fn best_worker(&self, task: TaskId) -> WorkerId {
        if let Some(worker) = self.workers.single() {
            return worker;
        }
        let mut candidates: Vec<WorkerId> = Vec::with_capacity(INPUTS_WEIGHED + 1);
        candidates.extend(self.workers.least_loaded());
        for place in 0..self.tasks.dependency_count(task).min(INPUTS_WEIGHED) {
            let holder = self.tasks.worker[self.tasks.dependency(task, place).index()];
            if holder != NOWHERE && !candidates.contains(&holder) {
                candidates.push(holder);
            }
        }
        let cost = |&worker: &WorkerId| self.expected_start(worker, task);
        candidates
            .into_iter()
            .min_by(|a, b| cost(a).total_cmp(&cost(b)).then(a.cmp(b)))
            .expect("there is a least loaded worker when there are workers")
    }

    /// Seconds until the task could start on the worker.
    fn expected_start(&self, worker: WorkerId, task: TaskId) -> f64 {
        let entry = self.workers.get(worker).expect("candidates are alive");
        let group = &self.groups[self.tasks.group[task.index()].index()];
        let duration = group.mean_duration.unwrap_or(UNKNOWN_DURATION);
        let ahead = f64::from(entry.occupied) + entry.queue.len() as f64;
        let rounds = (ahead / f64::from(entry.threads.max(1))).floor();
        let missing: u64 = (0..self.tasks.dependency_count(task).min(INPUTS_WEIGHED))
            .map(|place| self.tasks.dependency(task, place))
            .filter(|&input| !self.holds(worker, input))
            // A message costs as much as some kilobytes.
            .map(|input| self.tasks.nbytes[input.index()] + 10_000)
            .sum();
        rounds * duration + missing as f64 / self.settings.bandwidth
    }

    // ---- Giving out ----

    /// Fills free slots until there is no slot or no task.
    fn give_out_tasks(&mut self, outbox: &mut Outbox) {
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
    fn fill_slot(&mut self, worker: WorkerId, outbox: &mut Outbox) -> bool {
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
    fn draw_siblings(&mut self, worker: WorkerId, task: TaskId, outbox: &mut Outbox) {
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

    fn give(&mut self, worker: WorkerId, task: TaskId, outbox: &mut Outbox) {
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
    fn share_out(&mut self, outbox: &mut Outbox) {
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

    // ---- Workers ----

    fn worker_joined(&mut self, worker: WorkerId, threads: u32, window: u32, outbox: &mut Outbox) {
        self.workers.insert(worker, threads, window);
        self.record(RecordBody::Worker { worker, threads }, outbox);
        self.open_workers.push(worker);
        if self.planted.has(Bug::JoiningWorkerGetsNoOldWork) {
            return;
        }
        for (task, _) in std::mem::take(&mut self.no_worker) {
            self.make_ready(task, Cause::WorkerJoined, outbox);
        }
    }

    fn worker_lost(&mut self, worker: WorkerId, crashed: bool, outbox: &mut Outbox) {
        if self.workers.remove(worker).is_none() {
            return;
        }
        self.record(RecordBody::Worker { worker, threads: 0 }, outbox);
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
                TaskState::Processing | TaskState::Queued => interrupted.push(task),
                TaskState::Memory => lost.extend(self.remove_holder(worker, task)),
                _ => {}
            }
        }
        let mut given_up = Vec::new();
        for &task in &interrupted {
            self.end_retraction(task);
            if self.tasks.state(task) == TaskState::Processing {
                self.tasks.attempt[task.index()] += 1;
                let times = self.crashes.entry(task).or_default();
                *times += u32::from(crashed);
                if *times > self.settings.allowed_failures {
                    given_up.push((task, *times));
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
            self.ghosts.remove(&task);
            self.tasks.clear(task, flag::GHOST);
        }
        self.results_were_lost(&lost, Cause::WorkerLost, outbox);
        for (task, times) in given_up {
            self.fail(task, Failure::WorkersCrashed { times }, Cause::WorkerLost, outbox);
        }
        for task in interrupted.into_iter().chain(freed) {
            self.go_on_without_ghost(task, outbox);
        }
        if self.workers.is_empty() {
            self.park_common_queue(outbox);
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
        while let Some((&key, queue)) = self.common_queue.first_key_value() {
            let rank = queue.ranks.first().expect("an empty queue is removed");
            let task = self.take_from_common_queue((key, rank));
            self.no_worker.insert(task, self.now);
            self.transition(task, TaskState::NoWorker, Cause::WorkerLost, outbox);
        }
    }

    /// Strikes a holder of a result; gives back the task if that was the last one.
    fn remove_holder(&mut self, worker: WorkerId, task: TaskId) -> Option<TaskId> {
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
    fn results_were_lost(&mut self, lost: &[TaskId], cause: Cause, outbox: &mut Outbox) {
        for &task in lost {
            self.tasks.attempt[task.index()] += 1;
            self.transition(task, TaskState::Released, cause, outbox);
            for place in 0..self.tasks.dependent_count(task) {
                let dependent = self.tasks.dependent(task, place);
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
    fn make_again(&mut self, task: TaskId, cause: Cause, outbox: &mut Outbox) {
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
            let culprit = self.blame.get(&input).copied().unwrap_or(input);
            let failure = self.failures[&culprit];
            self.err_from(task, Cause::InputErred, culprit, failure, outbox);
        }
    }

    fn give_up_on_tasks_without_worker(&mut self, outbox: &mut Outbox) {
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

    // ---- Bookkeeping ----

    fn transition(&mut self, task: TaskId, to: TaskState, cause: Cause, outbox: &mut Outbox) {
        let from = std::mem::replace(&mut self.tasks.state[task.index()], to);
        let group = self.tasks.group[task.index()];
        let entry = &mut self.groups[group.index()];
        entry.counts[from as usize] -= 1;
        entry.counts[to as usize] += 1;
        let flags = &mut self.tasks.flags[task.index()];
        if to == TaskState::Memory && *flags & flag::FINISHED == 0 {
            *flags |= flag::FINISHED;
            entry.finished += 1;
        } else if to == TaskState::Waiting && *flags & flag::FINISHED != 0 {
            // Its result was lost, or dropped and is needed once more.
            *flags &= !flag::FINISHED;
            entry.finished -= 1;
        }
        let (count, finished) = (entry.counts[to as usize], entry.finished);
        let worker = self.tasks.worker[task.index()];
        self.record(
            RecordBody::Task { task, group, worker, from, to, cause, count, finished },
            outbox,
        );
    }

    fn record(&self, body: RecordBody, outbox: &mut Outbox) {
        outbox.records.push(Record { at_ns: self.now.as_nanos() as u64, body });
    }
}

/// How an attempt stood when it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// It was the one that counts.
    Current,
    /// It had been cancelled.
    Cancelled,
}

pub(crate) fn urgency(submissions: &[SubmissionInfo], tasks: &Tasks, task: TaskId) -> Urgency {
    let submission = tasks.submission[task.index()];
    (submissions[submission as usize].priority_key, tasks.rank[task.index()])
}

#[cfg(test)]
mod tests {
    use oxidask_graph::{Edges, order};

    use super::*;

    const ALICE: WorkerId = WorkerId(0);
    const BOB: WorkerId = WorkerId(1);

    /// A submission of the tasks with these inputs, in the order that the graph crate finds.
    fn submission(rows: &[&[u32]], wanted: &[u32]) -> Submission {
        let dependencies = Edges::from_rows(rows);
        let rank = order(&dependencies, &dependencies.reversed()).expect("no cycle").rank;
        let groups = vec![0; rows.len()];
        Submission { dependencies, rank, groups, wanted: wanted.to_vec(), ..Submission::default() }
    }

    fn submitted(rows: &[&[u32]], wanted: &[u32]) -> Event {
        Event::GraphSubmitted(Box::new(submission(rows, wanted)))
    }

    fn joined(worker: WorkerId) -> Event {
        Event::WorkerJoined { worker, threads: 1, window: 1 }
    }

    fn lost(worker: WorkerId) -> Event {
        Event::WorkerLost { worker, crashed: true }
    }

    fn finished(worker: WorkerId, task: u32, attempt: u32) -> Event {
        let (task, attempt) = (TaskId(task), Attempt(attempt));
        Event::TaskFinished { worker, task, attempt, nbytes: 8, duration: Duration::ZERO }
    }

    fn erred(worker: WorkerId, task: u32, attempt: u32) -> Event {
        Event::TaskErred { worker, task: TaskId(task), attempt: Attempt(attempt) }
    }

    fn run(worker: WorkerId, task: u32, attempt: u32) -> Action {
        Action::Run { worker, task: TaskId(task), attempt: Attempt(attempt) }
    }

    fn drop(worker: WorkerId, task: u32, attempt: u32) -> Action {
        Action::Drop { worker, task: TaskId(task), attempt: Attempt(attempt) }
    }

    fn report(task: u32, outcome: Outcome) -> Action {
        Action::Report { task: TaskId(task), outcome }
    }

    fn state_after(events: impl IntoIterator<Item = Event>) -> SchedulerState {
        state_and_actions_after(events).0
    }

    /// What the last of these events leads to.
    fn actions_after(events: impl IntoIterator<Item = Event>) -> Vec<Action> {
        state_and_actions_after(events).1
    }

    fn state_and_actions_after(
        events: impl IntoIterator<Item = Event>,
    ) -> (SchedulerState, Vec<Action>) {
        let mut state = SchedulerState::new(Settings::default());
        let mut outbox = Outbox::default();
        for event in events {
            outbox.clear();
            state.handle(event, Duration::ZERO, &mut outbox);
            state.validate().unwrap_or_else(|broken| panic!("{broken}"));
        }
        (state, outbox.actions)
    }

    #[test]
    fn a_result_is_dropped_when_its_last_reader_ran() {
        let graph: &[&[u32]] = &[&[], &[0], &[0]];
        let actions = actions_after([
            joined(ALICE),
            submitted(graph, &[1, 2]),
            finished(ALICE, 0, 0),
            finished(ALICE, 1, 0),
        ]);
        assert_eq!(actions, [report(1, Outcome::Finished), run(ALICE, 2, 0)]);
        let actions = actions_after([
            joined(ALICE),
            submitted(graph, &[1, 2]),
            finished(ALICE, 0, 0),
            finished(ALICE, 1, 0),
            finished(ALICE, 2, 0),
        ]);
        assert_eq!(actions, [drop(ALICE, 0, 0), report(2, Outcome::Finished)]);
    }

    #[test]
    fn tasks_of_a_lost_worker_move_to_the_one_that_is_left() {
        let actions =
            actions_after([joined(ALICE), submitted(&[&[], &[0]], &[1]), joined(BOB), lost(ALICE)]);
        assert_eq!(actions, [run(BOB, 0, 1)]);
    }

    #[test]
    fn a_lost_result_that_is_still_needed_is_made_again() {
        let graph: &[&[u32]] = &[&[], &[0], &[], &[1, 2]];
        let actions = actions_after([
            joined(ALICE),
            submitted(graph, &[3]),
            finished(ALICE, 0, 0),
            finished(ALICE, 1, 0),
            joined(BOB),
            lost(ALICE),
        ]);
        // Task 1 was in memory, its input 0 already dropped: both run again.
        assert!(
            actions.contains(&run(BOB, 0, 1)) || actions.contains(&run(BOB, 2, 1)),
            "{actions:?}"
        );
    }

    #[test]
    fn an_error_reaches_all_that_need_the_task_and_nothing_else() {
        let actions = actions_after([
            joined(ALICE),
            submitted(&[&[], &[0], &[1], &[]], &[2, 3]),
            erred(ALICE, 0, 0),
        ]);
        let outcome = Outcome::Erred { blame: TaskId(0), failure: Failure::Raised };
        assert_eq!(actions, [report(2, outcome), run(ALICE, 3, 0)]);
    }

    #[test]
    fn a_task_with_retries_is_tried_again() {
        let mut graph = submission(&[&[]], &[0]);
        graph.retries.insert(0, 1);
        let submitted = Event::GraphSubmitted(Box::new(graph));
        let once = [joined(ALICE), submitted.clone(), erred(ALICE, 0, 0)];
        assert_eq!(actions_after(once), [run(ALICE, 0, 1)]);
        let twice = [joined(ALICE), submitted, erred(ALICE, 0, 0), erred(ALICE, 0, 1)];
        let outcome = Outcome::Erred { blame: TaskId(0), failure: Failure::Raised };
        assert_eq!(actions_after(twice), [report(0, outcome)]);
    }

    #[test]
    fn a_report_of_an_old_attempt_changes_nothing() {
        let actions = actions_after([
            joined(ALICE),
            submitted(&[&[]], &[0]),
            joined(BOB),
            lost(ALICE),
            finished(BOB, 0, 0),
        ]);
        assert_eq!(actions, []);
    }

    #[test]
    fn a_released_task_is_cancelled_and_keeps_its_slot_until_it_ends() {
        let released = Event::TasksReleased { tasks: vec![TaskId(0)] };
        let events = [joined(ALICE), submitted(&[&[], &[]], &[0, 1]), released];
        let cancel = Action::Cancel { worker: ALICE, task: TaskId(0), attempt: Attempt(0) };
        let forget = Action::Forget { task: TaskId(0) };
        assert_eq!(actions_after(events.clone()), [cancel, forget]);
        let ended = Event::AttemptEnded { worker: ALICE, task: TaskId(0), attempt: Attempt(0) };
        assert_eq!(actions_after(events.into_iter().chain([ended])), [run(ALICE, 1, 0)]);
    }

    #[test]
    fn a_task_that_keeps_killing_workers_is_given_up() {
        let mut events = vec![submitted(&[&[]], &[0])];
        for worker in (0..4).map(WorkerId) {
            events.extend([joined(worker), lost(worker)]);
        }
        let failure = Failure::WorkersCrashed { times: 4 };
        let outcome = Outcome::Erred { blame: TaskId(0), failure };
        assert_eq!(actions_after(events), [report(0, outcome)]);
    }

    #[test]
    fn without_a_worker_tasks_fail_after_the_timeout_and_not_before() {
        let mut state = SchedulerState::new(Settings::default());
        let mut outbox = Outbox::default();
        state.handle(submitted(&[&[]], &[0]), Duration::ZERO, &mut outbox);
        assert_eq!(state.state_of(TaskId(0)), TaskState::NoWorker);
        state.handle(Event::TimePassed, Duration::from_secs(299), &mut outbox);
        assert_eq!(outbox.actions, []);
        state.handle(Event::TimePassed, Duration::from_secs(300), &mut outbox);
        let outcome = Outcome::Erred { blame: TaskId(0), failure: Failure::NoWorker };
        assert_eq!(outbox.actions, [report(0, outcome)]);
    }

    #[test]
    fn a_lost_result_that_cannot_be_made_again_is_reported_as_erred() {
        let mut state = SchedulerState::new(Settings::default());
        let mut outbox = Outbox::default();
        let events = [joined(ALICE), submitted(&[&[]], &[0]), finished(ALICE, 0, 0), lost(ALICE)];
        for event in events {
            state.handle(event, Duration::ZERO, &mut outbox);
        }
        outbox.clear();
        state.handle(Event::TimePassed, Duration::from_secs(300), &mut outbox);
        let outcome = Outcome::Erred { blame: TaskId(0), failure: Failure::NoWorker };
        assert_eq!(outbox.actions, [report(0, outcome)]);
    }

    #[test]
    fn nobody_waits_for_a_cancelled_task_that_was_asked_back_from_a_lost_worker() {
        let prefetching = Event::WorkerJoined { worker: ALICE, threads: 1, window: 4 };
        let rows: &[&[u32]] = &[&[], &[], &[]];
        let state = state_after([
            prefetching,
            submitted(rows, &[0, 1, 2]),
            joined(BOB),
            Event::TasksReleased { tasks: vec![TaskId(0), TaskId(1), TaskId(2)] },
            lost(ALICE),
        ]);
        assert_eq!(state.validate_at_rest(), Ok(()));
    }

    #[test]
    fn a_lost_result_whose_input_has_failed_meanwhile_fails_too() {
        let carol = WorkerId(2);
        let settings = Settings { allowed_failures: 0, ..Settings::default() };
        let mut state = SchedulerState::new(settings);
        let mut outbox = Outbox::default();
        for event in [
            joined(ALICE),
            joined(carol),
            submitted(&[&[], &[0], &[0]], &[1, 2]),
            finished(ALICE, 0, 0),
            finished(ALICE, 1, 0),
            finished(carol, 2, 0),
            joined(BOB),
            // Result 1 is lost; its input runs again on Bob, and dies with him for good.
            lost(ALICE),
            lost(BOB),
            lost(carol),
        ] {
            outbox.clear();
            state.handle(event, Duration::ZERO, &mut outbox);
            state.validate().unwrap_or_else(|broken| panic!("{broken}"));
        }
        let failure = Failure::WorkersCrashed { times: 1 };
        let outcome = Outcome::Erred { blame: TaskId(0), failure };
        assert_eq!(outbox.actions, [report(2, outcome)]);
    }

    #[test]
    fn siblings_drawn_to_a_worker_do_not_wait_while_it_has_a_free_slot() {
        let joined = |worker| Event::WorkerJoined { worker, threads: 1, window: 4 };
        let graph: &[&[u32]] = &[&[], &[], &[], &[0, 1, 2]];
        let actions = actions_after([joined(ALICE), joined(BOB), submitted(graph, &[3])]);
        assert_eq!(actions, [run(ALICE, 0, 0), run(BOB, 2, 0), run(ALICE, 1, 0)]);
    }

    #[test]
    fn an_idle_worker_gets_a_task_back_that_another_has_not_started() {
        let prefetching = Event::WorkerJoined { worker: ALICE, threads: 1, window: 4 };
        let rows: &[&[u32]] = &[&[], &[], &[]];
        let actions =
            actions_after([prefetching.clone(), submitted(rows, &[0, 1, 2]), joined(BOB)]);
        let retract = Action::Retract { worker: ALICE, task: TaskId(2), attempt: Attempt(0) };
        assert_eq!(actions, [retract]);
        let given_back =
            Event::AttemptEnded { worker: ALICE, task: TaskId(2), attempt: Attempt(0) };
        let actions =
            actions_after([prefetching, submitted(rows, &[0, 1, 2]), joined(BOB), given_back]);
        assert_eq!(actions, [run(BOB, 2, 1)]);
    }
}
