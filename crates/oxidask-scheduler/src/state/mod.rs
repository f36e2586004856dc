//! [`SchedulerState`]: events in, actions out.
//!
//! The life of a task: *waiting* until its inputs are in memory; then *queued*, either in the
//! common queue (tasks without inputs, which any worker may start), in that of the worker that suits it
//! best, or apart, if not every worker may run it; *processing* once a worker has it; *memory* when it returned. A result that no
//! unfinished task and no client needs is dropped and its task *released*; it may have to run again
//! when a worker is lost, until all that was made from it is *forgotten*.
//!
//! A cancelled attempt holds its slot until the worker has answered. Until then the task's new
//! attempt waits; if the old one returns after all, its result is taken. So two attempts of a task
//! never run beside each other on living workers.

mod attempts;
mod failures;
mod giving;
mod membership;
mod placement;
mod pressure;
mod restricted;
mod results;
mod submissions;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use oxidask_protocol::{
    Attempt, Cause, GroupId, GroupTally, Pressure, Record, RecordBody, TaskId, TaskState, WorkerId,
};

use crate::classes::Classes;
use crate::planted::Planted;
use crate::queue::RankSet;
use crate::tasks::{NOWHERE, Tasks, flag};
use crate::workers::{Urgency, Workers};
use crate::{Event, Failure, Outbox, Outcome};
use restricted::{Crashes, Mistakes};

/// What can be set.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How many crashes of workers a task may cause before it is given up. Those count in which it ran
    /// alone: a task that was in a crash beside others is tried alone after that. While something else
    /// kills workers, as is seen from tasks that end well after a crash, it may be in more.
    pub allowed_failures: u32,
    /// How long a task may wait for a worker that can run it.
    pub no_worker_timeout: Duration,
    /// Bytes a second between workers, for weighing a transfer against waiting.
    pub bandwidth: f64,
    /// A worker is given more tasks than it has threads while those that it has are expected to be
    /// done within this time; only tasks that are known to be shorter.
    pub give_ahead: Duration,
    /// Whether workers give a result to its only reader for good, as [`SchedulerState::is_last_reader`]
    /// allows it: when the reader runs, the result is gone.
    pub gives_away: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            allowed_failures: 3,
            no_worker_timeout: Duration::from_secs(300),
            bandwidth: 1e9,
            give_ahead: Duration::from_millis(2),
            gives_away: false,
        }
    }
}

/// All that the scheduler knows.
#[derive(Debug, Default)]
pub struct SchedulerState {
    pub(crate) tasks: Tasks,
    pub(crate) workers: Workers,
    settings: Settings,
    /// Submissions so far.
    sequence: u64,
    /// Tasks without inputs that wait for a slot anywhere.
    pub(crate) common_queue: BTreeMap<(u64, u64), CommonQueue>,
    /// Tasks that no living worker may run, since when.
    pub(crate) no_worker: BTreeMap<TaskId, Duration>,
    /// Holders beside the first, for results that have several.
    pub(crate) replicas: BTreeMap<TaskId, BTreeSet<WorkerId>>,
    /// Cancelled attempts that hold a slot.
    pub(crate) ghosts: BTreeMap<TaskId, (WorkerId, Attempt)>,
    /// Tasks that were asked back.
    pub(crate) retracting: BTreeMap<TaskId, Retraction>,
    /// Why each erred task failed.
    pub(crate) errors: BTreeMap<TaskId, Blame>,
    pub(crate) retries_left: BTreeMap<TaskId, u32>,
    /// Tasks that may have killed a worker, and are not forgotten.
    pub(crate) crashes: BTreeMap<TaskId, Crashes>,
    /// Those of them that wait for a worker that runs nothing else.
    pub(crate) suspects: BTreeSet<(Urgency, TaskId)>,
    /// Suspicions that turned out to be wrong.
    pub(crate) mistakes: Mistakes,
    /// The worker that is given nothing for the sake of suspects.
    pub(crate) emptied: Option<WorkerId>,
    /// Tasks that ask for something of their worker.
    pub(crate) classes: Classes,
    pub(crate) groups: Vec<Group>,
    /// Groups that are not used.
    pub(crate) free_groups: BTreeSet<GroupId>,
    /// Workers that may take tasks since the last look.
    open_workers: Vec<WorkerId>,
    /// How much may be started.
    pub(crate) pressure: Pressure,
    now: Duration,
    planted: Planted,
}

/// A task that was asked back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retraction {
    from: WorkerId,
    pub(crate) to: WorkerId,
}

/// Why a task failed: which one failed first, and of what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Blame {
    pub(crate) culprit: TaskId,
    failure: Failure,
}

impl Blame {
    fn outcome(self) -> Outcome {
        Outcome::Erred { blame: self.culprit, failure: self.failure }
    }
}

#[derive(Debug)]
pub(crate) struct CommonQueue {
    pub(crate) submission: u32,
    pub(crate) ranks: RankSet,
}

/// What is known of tasks with the same prefix.
#[derive(Debug, Default)]
pub(crate) struct Group {
    /// Tasks whose submission is remembered.
    pub(crate) tasks: u32,
    /// Whether it stays without tasks, because clients name it.
    pub(crate) is_shared: bool,
    pub(crate) counts: [u32; TaskState::ALL.len()],
    finished: u32,
    mean_duration: Option<f64>,
    /// Tasks that are not remembered any more, for whoever watches.
    gone: GoneTasks,
}

/// Tasks of a group that are not remembered any more.
#[derive(Clone, Copy, Debug, Default)]
struct GoneTasks {
    all: u64,
    finished: u64,
    erred: u64,
}

impl SchedulerState {
    /// A scheduler without workers and tasks.
    pub fn new(settings: Settings) -> Self {
        Self { settings, ..Self::default() }
    }

    /// Plants a mistake, for the tests of the simulation.
    #[cfg(feature = "planted-bugs")]
    pub fn plant(&mut self, bug: crate::Bug) {
        self.planted.bug = Some(bug);
    }

    /// Takes in one event and appends what follows from it to `outbox`.
    ///
    /// `now` never goes back. Reports of attempts that are out of date change nothing.
    pub fn handle(&mut self, event: Event, now: Duration, outbox: &mut Outbox) {
        self.now = now;
        match event {
            Event::TaskFinished { worker, task, attempt, nbytes, duration, held_by } => {
                let end = (worker, task, attempt);
                self.task_finished(end, nbytes, duration, held_by, outbox);
            }
            Event::TaskErred { worker, task, attempt } => {
                self.task_erred(worker, task, attempt, outbox);
            }
            Event::AttemptEnded { worker, task, attempt } => {
                self.attempt_ended(worker, task, attempt, outbox);
            }
            Event::RetractRefused { worker, task, attempt } => {
                self.retract_refused(worker, task, attempt);
            }
            Event::InputMissing { worker, task, attempt, input, from } => {
                self.input_missing(worker, task, attempt, input, from, outbox);
            }
            Event::ReplicaAdded { worker, task, attempt } => {
                self.replica_added(worker, task, attempt, outbox);
            }
            Event::GraphSubmitted(submission) => {
                self.graph_submitted(*submission, outbox);
            }
            Event::WorkerJoined { worker, host, threads, window, offer } => {
                self.workers.insert(worker, host, threads, window, offer);
                self.worker_joined(worker, threads, outbox);
            }
            Event::SlotsLent { worker, lent } => self.slots_lent(worker, lent),
            Event::WorkerLost { worker, crashed, running, overdue } => {
                let suspects = if crashed { running } else { Vec::new() };
                self.worker_lost(worker, &suspects, &overdue, outbox);
            }
            Event::TaskWanted { task } => self.want(task, outbox),
            Event::TasksReleased { tasks } => self.tasks_released(&tasks, outbox),
            Event::TasksCancelled { tasks } => self.tasks_cancelled(&tasks, outbox),
            Event::TasksRetried { tasks } => self.tasks_retried(&tasks, outbox),
            Event::GroupsReleased { groups } => self.groups_released(&groups),
            Event::PressureChanged { pressure } => self.pressure_changed(pressure),
            Event::TimePassed => self.give_up_on_tasks_without_worker(outbox),
        }
        self.give_out_tasks(outbox);
        self.recycle();
    }

    /// How many tasks of a group there have been, and how far they are or came.
    pub fn group_tally(&self, group: GroupId) -> GroupTally {
        let Some(entry) = self.groups.get(group.index()) else { return GroupTally::default() };
        let count = |state: TaskState| entry.counts[state as usize];
        GroupTally {
            tasks: entry.gone.all + u64::from(entry.tasks),
            finished: entry.gone.finished + u64::from(entry.finished),
            erred: entry.gone.erred + u64::from(count(TaskState::Erred)),
            waiting: count(TaskState::Waiting) + count(TaskState::Queued),
            processing: count(TaskState::Processing),
            no_worker: count(TaskState::NoWorker),
            in_memory: count(TaskState::Memory),
        }
    }

    /// The id that the first task of the next submission will have if it has so many; the others
    /// follow.
    pub fn place_for(&self, count: usize) -> TaskId {
        TaskId(self.tasks.place_for(count))
    }

    /// The first of the ids that no group has had so far, for groups that are to be shared.
    pub fn next_group_id(&self) -> GroupId {
        GroupId(self.groups.len() as u32)
    }

    /// Where a task stands. An id that was forgotten may be that of a new task.
    pub fn state_of(&self, task: TaskId) -> TaskState {
        self.tasks.state(task)
    }

    /// How many tasks of a group are in a state.
    pub fn group_count(&self, group: GroupId, state: TaskState) -> u32 {
        self.groups[group.index()].counts[state as usize]
    }

    /// Tasks of a group that are remembered, and those of them whose results were made.
    pub fn group_progress(&self, group: GroupId) -> (u32, u32) {
        let group = &self.groups[group.index()];
        (group.tasks, group.finished)
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
    pub fn dependencies_of(&self, task: TaskId) -> impl Iterator<Item = TaskId> + '_ {
        (0..self.tasks.dependency_count(task)).map(move |place| self.tasks.dependency(task, place))
    }

    /// The task's place in the order of its submission.
    pub fn rank_of(&self, task: TaskId) -> u32 {
        self.tasks.rank(task)
    }

    /// The attempt that made the task's result, or that runs now, or that will run next.
    pub fn attempt_of(&self, task: TaskId) -> Attempt {
        self.tasks.attempt(task)
    }

    /// The worker that the task waits for, runs at, or whose result it is; none if any will do.
    pub fn worker_of(&self, task: TaskId) -> Option<WorkerId> {
        let worker = self.tasks.worker[task.index()];
        (worker != NOWHERE).then_some(worker)
    }

    /// The attempts that a worker was given and has not ended, cancelled ones included. Walks over all
    /// tasks.
    pub fn attempts_at(&self, worker: WorkerId) -> Vec<(TaskId, Attempt)> {
        let given = (0..self.tasks.len() as u32).map(TaskId).filter(|&task| {
            self.tasks.worker[task.index()] == worker
                && self.tasks.state(task) == TaskState::Processing
        });
        let given = given.map(|task| (task, self.tasks.attempt(task)));
        let cancelled = self.ghosts.iter().filter(|(_, ghost)| ghost.0 == worker);
        given.chain(cancelled.map(|(&task, ghost)| (task, ghost.1))).collect()
    }

    /// Whether the task's result was made and not lost; it may have been dropped since.
    pub fn has_finished(&self, task: TaskId) -> bool {
        self.tasks.has(task, flag::FINISHED)
    }

    /// How many attempts a worker has been given and has not ended.
    pub fn given_to(&self, worker: WorkerId) -> u32 {
        self.workers.get(worker).map_or(0, |entry| entry.occupied)
    }

    /// Whether a client wants the task's result.
    pub fn is_wanted(&self, task: TaskId) -> bool {
        self.tasks.has(task, flag::WANTED)
    }

    /// Whether nobody but this task will ever read its input: no client wants the result, no other task
    /// that is remembered reads it, so that none can be submitted that does, and this one is not tried
    /// again with it.
    pub fn is_last_reader(&self, task: TaskId, input: TaskId) -> bool {
        !self.tasks.has(input, flag::WANTED)
            && self.tasks.unforgotten_dependents[input.index()] == 1
            && self.retries_left.get(&task).is_none_or(|&left| left == 0)
    }

    /// How the task has ended, if it has, as clients are told.
    pub fn outcome_of(&self, task: TaskId) -> Option<Outcome> {
        match self.tasks.state(task) {
            TaskState::Memory => Some(Outcome::Finished),
            TaskState::Erred => self.errors.get(&task).map(|blame| blame.outcome()),
            _ => None,
        }
    }

    /// The workers that hold the task's result, as far as is known; none unless it is in memory.
    pub fn holders_of(&self, task: TaskId) -> impl Iterator<Item = WorkerId> + '_ {
        let in_memory = self.tasks.state(task) == TaskState::Memory;
        let first = in_memory.then(|| self.tasks.worker[task.index()]);
        first.into_iter().chain(self.replicas.get(&task).into_iter().flatten().copied())
    }

    /// Bytes used for tasks and their edges.
    pub fn nbytes(&self) -> usize {
        self.tasks.nbytes_used()
    }

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
