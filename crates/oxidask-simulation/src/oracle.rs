//! What must hold, by a model that is simpler than the scheduler: who wants what, what a sequential
//! run would return, and which attempts workers were given and have not answered.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use oxidask_protocol::{Attempt, Pressure, TaskId, TaskState, WorkerId};
use oxidask_scheduler::{
    Action, Event, Failure, Offer, Outcome, Restriction, SchedulerState, Settings, Submission,
};

use crate::graph::{Behaviour, Graph};
use crate::worker::{ModelWorker, Version, Waiting, value_of};

/// Something that must hold and does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// What, with the names of tasks and workers that it concerns.
    pub invariant: String,
}

pub(crate) type Checked = Result<(), Broken>;

pub(crate) fn ensure(holds: bool, invariant: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(Broken { invariant: invariant() }) }
}

impl From<String> for Broken {
    fn from(invariant: String) -> Self {
        Self { invariant }
    }
}

/// What is known of a task without running a cluster.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "four facts that do not follow from each other")]
pub(crate) struct TaskModel {
    id: TaskId,
    pub(crate) inputs: Vec<TaskId>,
    /// Serial numbers: some of them may be forgotten, and their ids used anew.
    dependents: Vec<usize>,
    /// What a sequential run returns.
    value: u64,
    /// Whether it, or something that it needs, raises each time.
    must_err: bool,
    pub(crate) behaviour: Behaviour,
    pub(crate) times_raised: u32,
    pub(crate) duration_us: u64,
    pub(crate) nbytes: u64,
    retries: u32,
    /// How often the scheduler was told that the attempt that counts raised, or was overdue.
    raises_told: u32,
    was_overdue: bool,
    /// Deaths of workers that it ran on, alone and beside others.
    crashes: (u32, u32),
    pub(crate) is_wanted: bool,
    reported: Option<Outcome>,
    is_forgotten: bool,
    failure: Option<Failure>,
    is_cancelled: bool,
    /// What it asks of its worker, if it does.
    restriction: Option<Restriction>,
    /// Since when nobody could run it, as far as is known.
    stuck_since: Option<Duration>,
}

/// An attempt that was given to a worker which has not answered.
#[derive(Debug)]
struct Given {
    worker: WorkerId,
    attempt: Attempt,
    is_cancelled: bool,
    /// Whether nothing may run beside it, for it may kill its worker.
    is_alone: bool,
    /// The inputs as they were in memory when it was given.
    inputs: Vec<Version>,
}

/// A worker that the scheduler takes to be alive.
#[derive(Debug)]
struct KnownWorker {
    /// With those of slots that are lent.
    threads: u32,
    lent: u32,
    window: u32,
    prefetches: bool,
    given: BTreeSet<TaskId>,
    offer: Offer,
}

#[derive(Debug)]
pub(crate) struct Oracle {
    settings: Settings,
    /// All tasks ever submitted, by serial number.
    models: Vec<TaskModel>,
    /// The serial number of the task that has an id now.
    serials: Vec<usize>,
    /// By id.
    given: Vec<Option<Given>>,
    workers: BTreeMap<WorkerId, KnownWorker>,
    /// Since when there is no worker.
    empty_since: Duration,
    /// Tasks that were part of more crashes than allowed, or overdue more often, when the last event
    /// came.
    too_often: Vec<TaskId>,
    /// When tasks ended by themselves that had been alone in a crash.
    mistakes: Vec<Duration>,
    /// Tasks that were cancelled or retried by the last event; `true` for retried.
    called: Vec<(TaskId, bool)>,
    /// Tasks that had failed before it.
    erred_before: Vec<TaskId>,
    /// Serial numbers of tasks that ask for something of their worker.
    restricted: Vec<usize>,
    pressure: Pressure,
}

impl Oracle {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            settings,
            models: Vec::new(),
            serials: Vec::new(),
            given: Vec::new(),
            workers: BTreeMap::new(),
            empty_since: Duration::ZERO,
            too_often: Vec::new(),
            mistakes: Vec::new(),
            called: Vec::new(),
            erred_before: Vec::new(),
            restricted: Vec::new(),
            pressure: Pressure::None,
        }
    }

    /// The task that has this id now.
    pub(crate) fn model(&self, task: TaskId) -> &TaskModel {
        &self.models[self.serials[task.index()]]
    }

    pub(crate) fn model_mut(&mut self, task: TaskId) -> &mut TaskModel {
        &mut self.models[self.serials[task.index()]]
    }

    /// What a task is told apart by from all others that ever had its id.
    pub(crate) fn serial(&self, task: TaskId) -> usize {
        self.serials[task.index()]
    }

    /// How many tasks were submitted.
    pub(crate) fn submitted(&self) -> usize {
        self.models.len()
    }

    /// Whether some worker can run tasks.
    pub(crate) fn knows_a_worker(&self) -> bool {
        self.workers.values().any(|known| known.threads > 0)
    }

    /// Tasks that are not forgotten.
    pub(crate) fn remembered(&self) -> Vec<TaskId> {
        self.models.iter().filter(|model| !model.is_forgotten).map(|model| model.id).collect()
    }

    /// Runs the graph sequentially, task after task.
    pub(crate) fn add(&mut self, graph: &Graph, submission: &Submission, base: u32) {
        let count = graph.len();
        let first = self.models.len();
        let end = base as usize + count;
        if self.serials.len() < end {
            self.serials.resize(end, usize::MAX);
            self.given.resize_with(end, || None);
        }
        let global = |&number: &u32| {
            let external = (number as usize).checked_sub(count);
            external.map_or(TaskId(base + number), |place| submission.externals[place])
        };
        for task in 0..count {
            self.serials[base as usize + task] = first + task;
            self.models.push(TaskModel {
                id: TaskId(base + task as u32),
                inputs: submission.dependencies.row(task as u32).iter().map(global).collect(),
                dependents: Vec::new(),
                value: 0,
                must_err: graph.behaviours[task] == Behaviour::Raises,
                behaviour: graph.behaviours[task],
                times_raised: 0,
                duration_us: graph.durations_us[task],
                nbytes: graph.nbytes[task],
                retries: submission.retries.get(&(task as u32)).copied().unwrap_or(0),
                raises_told: 0,
                was_overdue: false,
                crashes: (0, 0),
                is_wanted: false,
                reported: None,
                is_forgotten: false,
                failure: None,
                is_cancelled: false,
                restriction: submission
                    .restricted
                    .get(&(task as u32))
                    .map(|&place| submission.restrictions[place as usize].clone()),
                stuck_since: None,
            });
        }
        self.restricted.extend(submission.restricted.keys().map(|&task| first + task as usize));
        for serial in first..first + count {
            for input in self.models[serial].inputs.clone() {
                self.model_mut(input).dependents.push(serial);
            }
        }
        for task in submission.wanted.iter().map(global) {
            let model = self.model_mut(task);
            if !model.is_wanted {
                model.is_wanted = true;
                model.reported = None;
            }
        }
        for task in graph.sequence.iter().map(|task| TaskId(base + task)) {
            let serial = self.serial(task);
            let inputs = &self.models[serial].inputs;
            let value = value_of(serial, inputs.iter().map(|&input| self.model(input).value));
            let input_errs = inputs.iter().any(|&input| self.model(input).must_err);
            self.models[serial].value = value;
            self.models[serial].must_err |= input_errs;
        }
    }

    // ---- Before the scheduler sees an event ----

    pub(crate) fn expect(&mut self, event: &Event, now: Duration) -> Checked {
        match event {
            Event::WorkerJoined { worker, threads, window, offer, .. } => {
                let (threads, window) = (*threads, *(window.max(threads)));
                let prefetches = window > threads;
                let given = BTreeSet::new();
                let offer = Offer::clone(offer);
                let known = KnownWorker { threads, lent: 0, window, prefetches, given, offer };
                self.workers.insert(*worker, known);
                Ok(())
            }
            Event::WorkerLost { worker, crashed, running, overdue } => {
                self.lose(*worker, if *crashed { running } else { &[] }, overdue, now);
                Ok(())
            }
            Event::TaskErred { worker, task, attempt } => {
                if self.answer(*worker, *task, *attempt)? == Some(Answered::Current) {
                    self.model_mut(*task).raises_told += 1;
                    self.clear_suspicion(*task, now);
                }
                Ok(())
            }
            Event::TaskFinished { worker, task, attempt, .. } => {
                if self.answer(*worker, *task, *attempt)? == Some(Answered::Current) {
                    self.clear_suspicion(*task, now);
                }
                Ok(())
            }
            Event::AttemptEnded { worker, task, attempt }
            | Event::InputMissing { worker, task, attempt, .. } => {
                self.answer(*worker, *task, *attempt).map(drop)
            }
            Event::SlotsLent { worker, lent } => {
                if let Some(known) = self.workers.get_mut(worker) {
                    known.threads = known.threads - known.lent + lent;
                    known.lent = *lent;
                    let window = if known.prefetches { known.window } else { 0 };
                    known.window = window.max(known.threads);
                    if *lent > 0 {
                        for task in &known.given {
                            if let Some(given) = &mut self.given[task.index()] {
                                given.is_alone = false;
                            }
                        }
                    }
                }
                Ok(())
            }
            Event::TaskWanted { task } => {
                let model = self.model_mut(*task);
                if !model.is_wanted {
                    model.is_wanted = true;
                    model.reported = None;
                }
                Ok(())
            }
            Event::TasksReleased { tasks } => {
                for &task in tasks {
                    self.model_mut(task).is_wanted = false;
                }
                Ok(())
            }
            Event::TasksCancelled { tasks } => {
                for &task in tasks {
                    self.model_mut(task).is_cancelled = true;
                    self.called.push((task, false));
                }
                Ok(())
            }
            Event::TasksRetried { tasks } => {
                self.called.extend(tasks.iter().map(|&task| (task, true)));
                Ok(())
            }
            // A refusal changes nothing of what must become of the task.
            Event::RetractRefused { .. }
            | Event::GraphSubmitted(_)
            | Event::GroupsReleased { .. }
            | Event::ReplicaAdded { .. }
            | Event::TimePassed => Ok(()),
            Event::PressureChanged { pressure } => {
                self.pressure = *pressure;
                Ok(())
            }
        }
    }

    /// A task that ends by itself has killed nobody.
    fn clear_suspicion(&mut self, task: TaskId, now: Duration) {
        let (alone, _) = std::mem::take(&mut self.model_mut(task).crashes);
        self.mistakes.extend((0..alone).map(|_| now));
    }

    /// In how many crashes a task may have run alone.
    fn crashes_allowed(&self, now: Duration) -> u32 {
        let is_late = |&&at: &&Duration| at + Duration::from_secs(60) >= now;
        let mistakes = self.mistakes.iter().rev().take_while(is_late).count().min(64) as u32;
        let allowed = self.settings.allowed_failures;
        (allowed + mistakes).min((allowed + 1) * 16)
    }

    fn lose(&mut self, worker: WorkerId, suspects: &[TaskId], overdue: &[TaskId], now: Duration) {
        let knew_one = self.knows_a_worker();
        let Some(known) = self.workers.remove(&worker) else { return };
        let allowed = self.crashes_allowed(now);
        for task in known.given {
            let given = self.given[task.index()].take().expect("a worker's tasks are listed twice");
            if overdue.contains(&task) && !given.is_cancelled {
                let model = self.model_mut(task);
                model.raises_told += 1;
                model.was_overdue = true;
                if model.raises_told > model.retries {
                    self.too_often.push(task);
                }
            } else if suspects.contains(&task) && !given.is_cancelled {
                let (alone, beside_others) = &mut self.model_mut(task).crashes;
                if given.is_alone || suspects.len() == 1 {
                    *alone += 1;
                    if *alone > allowed {
                        self.too_often.push(task);
                    }
                } else {
                    *beside_others += 1;
                }
            }
        }
        if knew_one && !self.knows_a_worker() {
            self.empty_since = now;
        }
    }

    /// A worker answers an attempt: it must have been given, and not answered before.
    fn answer(
        &mut self,
        worker: WorkerId,
        task: TaskId,
        attempt: Attempt,
    ) -> Result<Option<Answered>, Broken> {
        let Some(known) = self.workers.get_mut(&worker) else { return Ok(None) };
        let entry = &mut self.given[task.index()];
        let matches = |given: &Given| given.worker == worker && given.attempt == attempt;
        ensure(entry.as_ref().is_some_and(matches), || {
            format!("{worker} answers {attempt} of {task}, which it does not have: {entry:?}")
        })?;
        known.given.remove(&task);
        let is_cancelled = entry.take().is_some_and(|given| given.is_cancelled);
        Ok(Some(if is_cancelled { Answered::Cancelled } else { Answered::Current }))
    }

    // ---- What the scheduler decided ----

    pub(crate) fn check_action(
        &mut self,
        action: &Action,
        why: &Event,
        scheduler: &SchedulerState,
        now: Duration,
    ) -> Checked {
        match *action {
            Action::Fetch { task, from, to, .. } => {
                ensure(self.workers.contains_key(&from) && self.workers.contains_key(&to), || {
                    format!("{task} is to be copied from {from} to {to}; one of them is gone")
                })?;
                ensure(from != to, || format!("{task} is to be copied from {from} to itself"))
            }
            Action::Run { worker, task, attempt } => {
                self.check_run(worker, task, attempt, scheduler)
            }
            Action::Retract { worker, task, attempt } => {
                let given = self.given[task.index()].as_ref();
                let matches = given.is_some_and(|given| {
                    given.worker == worker && given.attempt == attempt && !given.is_cancelled
                });
                ensure(matches, || {
                    format!(
                        "{task} {attempt} is asked back from {worker}, which lacks it: {given:?}"
                    )
                })
            }
            Action::Cancel { worker, task, attempt } => {
                let given = self.given[task.index()].as_mut().filter(|given| {
                    given.worker == worker && given.attempt == attempt && !given.is_cancelled
                });
                let Some(given) = given else {
                    return Err(
                        format!("{task} {attempt} is not on {worker} to be cancelled").into()
                    );
                };
                given.is_cancelled = true;
                Ok(())
            }
            Action::Drop { worker, task, attempt } => {
                self.check_drop(worker, (task, attempt), why, scheduler)
            }
            Action::Report { task, outcome } => self.check_report(task, outcome, now),
            Action::Forget { task } => self.check_forget(task),
        }
    }

    fn check_run(
        &mut self,
        worker: WorkerId,
        task: TaskId,
        attempt: Attempt,
        scheduler: &SchedulerState,
    ) -> Checked {
        let model = &self.models[self.serials[task.index()]];
        ensure(!model.is_forgotten, || format!("{task} is to run, but was forgotten"))?;
        let is_root = model.inputs.is_empty();
        // Those that have lent their slots wait for others.
        let running = |known: &KnownWorker| known.given.len().saturating_sub(known.lent as usize);
        let runs: usize = self.workers.values().map(running).sum();
        let pressure = self.pressure;
        let may_start = match pressure {
            Pressure::None => true,
            Pressure::NoRoots => !is_root,
            Pressure::RootsAlone => !is_root || runs == 0,
            Pressure::Paused => false,
            Pressure::Alone => runs == 0,
        };
        ensure(may_start, || {
            format!("{task} starts beside {runs} others under the pressure {pressure:?}")
        })?;
        let Some(known) = self.workers.get_mut(&worker) else {
            return Err(format!("{task} is to run on {worker}, which is gone").into());
        };
        if let Some(given) = &self.given[task.index()] {
            return Err(
                format!("{task} is to run on {worker} beside another attempt: {given:?}").into()
            );
        }
        let others: Vec<&Given> =
            known.given.iter().filter_map(|other| self.given[other.index()].as_ref()).collect();
        ensure(others.iter().all(|other| !other.is_alone), || {
            format!("{task} is to run on {worker} beside one that may kill it: {others:?}")
        })?;
        // What is tried once more because a client wants it begins anew.
        let is_alone = model.crashes != (0, 0) && !self.erred_before.contains(&task);
        ensure(!is_alone || others.len() <= known.lent as usize, || {
            format!("{task} may kill {worker}, and is to run beside others: {others:?}")
        })?;
        known.given.insert(task);
        self.check_restriction(worker, task)?;
        let Some(known) = self.workers.get(&worker) else { return Ok(()) };
        let model = &self.models[self.serials[task.index()]];
        ensure(known.given.len() <= known.window as usize, || {
            format!("{worker} has {} tasks with a window of {}", known.given.len(), known.window)
        })?;
        for &input in &model.inputs {
            let state = scheduler.state_of(input);
            ensure(state == TaskState::Memory, || {
                format!("{task} is to run, but its input {input} is {state}")
            })?;
        }
        let inputs = model.inputs.iter().map(|&input| (input, scheduler.attempt_of(input)));
        let inputs = inputs.collect();
        let given = Given { worker, attempt, is_cancelled: false, is_alone, inputs };
        self.given[task.index()] = Some(given);
        Ok(())
    }

    /// Whether a worker meets what a task asks for, but for the names of workers.
    fn has(known: &KnownWorker, asked: &Restriction) -> bool {
        let offered = |what| known.offer.resources.get(what).copied().unwrap_or_default();
        known.threads > 0 && asked.resources.iter().all(|(what, &amount)| offered(what) >= amount)
    }

    fn is_named(known: &KnownWorker, asked: &Restriction) -> bool {
        asked.names.is_empty() || !asked.names.is_disjoint(&known.offer.names)
    }

    /// Whether some worker that is known could run a task.
    fn can_be_run(&self, model: &TaskModel) -> bool {
        let Some(asked) = &model.restriction else { return self.knows_a_worker() };
        self.workers.values().any(|known| {
            Self::has(known, asked) && (asked.allow_others || Self::is_named(known, asked))
        })
    }

    /// A task was given to a worker: that one has what it asks for, and all its tasks together take
    /// no more than it has.
    fn check_restriction(&self, worker: WorkerId, task: TaskId) -> Checked {
        let Some(asked) = &self.model(task).restriction else { return Ok(()) };
        let known = &self.workers[&worker];
        let is_named_there = || {
            let mut others = self.workers.values();
            others.any(|known| Self::has(known, asked) && Self::is_named(known, asked))
        };
        let is_allowed = Self::is_named(known, asked) || asked.allow_others && !is_named_there();
        ensure(Self::has(known, asked) && is_allowed, || {
            format!("{task} is to run on {worker}, but asks for {asked:?}: {:?}", known.offer)
        })?;
        for what in asked.resources.keys() {
            let taken: u64 = known
                .given
                .iter()
                .filter_map(|&other| self.model(other).restriction.as_ref())
                .filter_map(|asked| asked.resources.get(what))
                .sum();
            let offered = known.offer.resources.get(what).copied().unwrap_or_default();
            ensure(taken <= offered, || {
                format!("{task} is to run on {worker}, whose tasks then take {taken} of {what}")
            })?;
        }
        Ok(())
    }

    /// Whether a task waits for a worker that could run it.
    pub(crate) fn is_anything_stuck(&self, scheduler: &SchedulerState) -> bool {
        self.models
            .iter()
            .any(|model| !model.is_forgotten && scheduler.state_of(model.id) == TaskState::NoWorker)
    }

    /// Whether a task waits for a worker that could run it, or needs one that does.
    fn is_stuck(&self, task: TaskId, scheduler: &SchedulerState) -> bool {
        let mut seen = BTreeSet::from([task]);
        let mut stack = vec![task];
        while let Some(task) = stack.pop() {
            if !scheduler.state_of(task).is_unfinished() {
                continue;
            }
            let model = self.model(task);
            let all_there =
                model.inputs.iter().all(|&input| scheduler.state_of(input) == TaskState::Memory);
            if all_there && !self.can_be_run(model) {
                return true;
            }
            stack.extend(model.inputs.iter().filter(|&&input| seen.insert(input)));
        }
        false
    }

    fn check_drop(
        &self,
        worker: WorkerId,
        (task, attempt): Version,
        why: &Event,
        scheduler: &SchedulerState,
    ) -> Checked {
        let model = self.model(task);
        let state = scheduler.state_of(task);
        if state == TaskState::Released {
            ensure(!model.is_wanted, || format!("{task} is dropped from {worker}, but wanted"))?;
            for dependent in self.remembered_dependents(model) {
                let unfinished = scheduler.state_of(dependent);
                ensure(!unfinished.is_unfinished(), || {
                    format!("{task} is dropped, but {dependent} is {unfinished} and needs it")
                })?;
            }
        }
        // A worker that says that it cannot hand a result out is made to forget it.
        if matches!(*why, Event::InputMissing { input, from, .. } if (input, from) == (task, worker))
        {
            return Ok(());
        }
        ensure(state != TaskState::Memory || scheduler.attempt_of(task) != attempt, || {
            format!("{task} is in memory, and is dropped from {worker}")
        })?;
        for dependent in self.remembered_dependents(model) {
            let Some(given) = &self.given[dependent.index()] else { continue };
            ensure(given.is_cancelled || !given.inputs.contains(&(task, attempt)), || {
                format!("{task} is dropped from {worker} while {dependent} may read it: {given:?}")
            })?;
        }
        Ok(())
    }

    fn remembered_dependents<'a>(
        &'a self,
        model: &'a TaskModel,
    ) -> impl Iterator<Item = TaskId> + 'a {
        let dependents = model.dependents.iter().map(|&serial| &self.models[serial]);
        dependents.filter(|dependent| !dependent.is_forgotten).map(|dependent| dependent.id)
    }

    fn check_forget(&mut self, task: TaskId) -> Checked {
        let model = self.model(task);
        ensure(!model.is_wanted, || format!("{task} is forgotten, but wanted"))?;
        ensure(!model.is_forgotten, || format!("{task} is forgotten twice"))?;
        for &serial in &model.dependents {
            let dependent = &self.models[serial];
            ensure(dependent.is_forgotten, || {
                format!("{task} is forgotten before {}, which was made from it", dependent.id)
            })?;
        }
        let given = &self.given[task.index()];
        ensure(given.as_ref().is_none_or(|given| given.is_cancelled), || {
            format!("{task} is forgotten while it runs: {given:?}")
        })?;
        self.model_mut(task).is_forgotten = true;
        Ok(())
    }

    fn check_report(&mut self, task: TaskId, outcome: Outcome, now: Duration) -> Checked {
        let model = self.model(task);
        ensure(model.is_wanted, || format!("{task} is reported, but nobody wants it"))?;
        match (model.reported, outcome) {
            // A result can be lost with its worker for good.
            (None, _) | (Some(Outcome::Finished), Outcome::Erred { .. }) => {}
            (Some(before), _) => {
                return Err(format!("{task} is reported again: {before:?}, {outcome:?}").into());
            }
        }
        match outcome {
            Outcome::Finished => ensure(!model.must_err, || {
                format!("{task} is reported finished, but it or an input raises")
            })?,
            Outcome::Erred { blame, failure } => self.check_blame(task, blame, failure, now)?,
        }
        self.model_mut(task).reported = Some(outcome);
        Ok(())
    }

    fn check_blame(
        &mut self,
        task: TaskId,
        blame: TaskId,
        failure: Failure,
        now: Duration,
    ) -> Checked {
        ensure(self.needs(task, blame), || {
            format!("{task} is reported erred because of {blame}, which it does not need")
        })?;
        let culprit = self.model(blame);
        if let Some(known) = culprit.failure {
            return ensure(known == failure, || {
                format!("{blame} failed of {known:?}, but {task} is told {failure:?}")
            });
        }
        let is_true = match failure {
            Failure::Raised => {
                let may_fail = culprit.behaviour != Behaviour::Returns || culprit.was_overdue;
                may_fail && culprit.raises_told > culprit.retries
            }
            Failure::WorkersCrashed { times } => {
                culprit.crashes.0 == times && times > self.crashes_allowed(now)
            }
            Failure::NoWorker => {
                let since = culprit.stuck_since.unwrap_or(self.empty_since);
                !self.can_be_run(culprit) && now >= since + self.settings.no_worker_timeout
            }
            Failure::Cancelled => culprit.is_cancelled,
        };
        ensure(is_true, || {
            format!(
                "{task} is reported erred because of {blame}: {failure:?}, but see: {culprit:?}"
            )
        })?;
        self.model_mut(blame).failure = Some(failure);
        Ok(())
    }

    /// Whether `task` is `other`, or needs it.
    fn needs(&self, task: TaskId, other: TaskId) -> bool {
        let mut seen = BTreeSet::from([task]);
        let mut stack = vec![task];
        while let Some(task) = stack.pop() {
            if task == other {
                return true;
            }
            let inputs = &self.model(task).inputs;
            stack.extend(inputs.iter().filter(|&&input| seen.insert(input)));
        }
        false
    }

    /// After the actions of an event.
    pub(crate) fn check_after(&mut self, scheduler: &SchedulerState, now: Duration) -> Checked {
        for place in 0..self.restricted.len() {
            let serial = self.restricted[place];
            let can_be_run = self.can_be_run(&self.models[serial]);
            let since = &mut self.models[serial].stuck_since;
            *since = if can_be_run { None } else { since.or(Some(now)) };
        }
        for task in std::mem::take(&mut self.too_often) {
            let state = scheduler.state_of(task);
            // Released, if all that needed it failed with the same worker.
            ensure(!state.is_unfinished() && state != TaskState::Memory, || {
                format!("{task} was part of too many crashes, or overdue, but is {state}")
            })?;
        }
        let erred_before = std::mem::take(&mut self.erred_before);
        for (task, is_retried) in std::mem::take(&mut self.called) {
            let state = scheduler.state_of(task);
            if is_retried {
                let failed = erred_before.contains(&task);
                ensure(!failed || state.is_unfinished(), || {
                    format!("{task} was retried, but is {state}")
                })?;
            } else {
                ensure(matches!(state, TaskState::Erred | TaskState::Forgotten), || {
                    format!("{task} was cancelled, but is {state}")
                })?;
            }
        }
        // What is tried once more begins anew.
        for task in erred_before {
            if scheduler.state_of(task) != TaskState::Erred {
                let model = self.model_mut(task);
                (model.reported, model.failure) = (None, None);
                (model.crashes, model.is_cancelled) = ((0, 0), false);
            }
        }
        Ok(())
    }

    /// Takes note of what has failed, before a client has tasks tried once more.
    pub(crate) fn note_failures(&mut self, scheduler: &SchedulerState) {
        self.erred_before = self.remembered();
        self.erred_before.retain(|&task| scheduler.state_of(task) == TaskState::Erred);
    }

    /// That each slot is accounted for: what the scheduler takes to run is what workers were given.
    pub(crate) fn check_slots(&self, scheduler: &SchedulerState) -> Checked {
        for (task, given) in self.given.iter().enumerate() {
            let task = TaskId(task as u32);
            let state = scheduler.state_of(task);
            let runs = given.as_ref().is_some_and(|given| !given.is_cancelled);
            ensure(runs == (state == TaskState::Processing), || {
                format!("{task} is {state}, but given: {given:?}")
            })?;
        }
        Ok(())
    }

    // ---- What workers do ----

    /// A worker has accepted a task: what it will read must be what the scheduler meant.
    pub(crate) fn check_accepted(&self, worker: WorkerId, waiting: &Waiting) -> Checked {
        let (task, attempt) = waiting.version;
        let Some(given) = &self.given[task.index()] else { return Ok(()) };
        let counts = given.worker == worker && given.attempt == attempt && !given.is_cancelled;
        ensure(!counts || given.inputs == waiting.inputs, || {
            format!("{task} on {worker} would read {:?} instead of {given:?}", waiting.inputs)
        })
    }

    /// A worker says that it lacks an input although it was not told to copy it.
    pub(crate) fn check_refusal(&self, event: &Event) -> Checked {
        let Event::InputMissing { worker, task, attempt, input, from } = event else {
            return Ok(());
        };
        let counts = self.given[task.index()]
            .as_ref()
            .is_some_and(|given| given.attempt == *attempt && !given.is_cancelled);
        ensure(from != worker || !counts, || {
            format!("{task} was given to {worker} without its input {input}")
        })
    }

    pub(crate) fn check_value(&self, (task, _): Version, value: u64, worker: WorkerId) -> Checked {
        let expected = self.model(task).value;
        ensure(value == expected, || {
            format!("{task} returned {value:x} on {worker}, but {expected:x} in a sequential run")
        })
    }

    // ---- At rest ----

    /// Nothing runs and no message is on its way.
    pub(crate) fn check_rest(
        &self,
        scheduler: &SchedulerState,
        workers: &[ModelWorker],
    ) -> Checked {
        scheduler.validate_at_rest()?;
        self.check_slots(scheduler)?;
        if let Some(given) = self.given.iter().flatten().next() {
            return Err(format!("an attempt was never answered: {given:?}").into());
        }
        for worker in workers.iter().filter(|worker| worker.is_alive) {
            let id = worker.id;
            ensure(self.workers.contains_key(&id), || format!("{id} is taken to be gone"))?;
            ensure(worker.is_idle(), || format!("{id} is busy at rest: {worker:?}"))?;
            for ((task, attempt), _) in worker.held() {
                // Without workers, what unfinished tasks will read is kept too.
                let is_kept = self.model(task).is_wanted || self.is_anything_stuck(scheduler);
                let is_the_result = is_kept
                    && scheduler.state_of(task) == TaskState::Memory
                    && scheduler.attempt_of(task) == attempt
                    && scheduler.holders_of(task).any(|holder| holder == id);
                ensure(is_the_result, || {
                    format!("{id} holds {attempt} of {task} at rest, which nobody needs: a leak")
                })?;
            }
        }
        for serial in 0..self.models.len() {
            self.check_task_at_rest(serial, scheduler, workers)?;
        }
        Ok(())
    }

    fn check_task_at_rest(
        &self,
        serial: usize,
        scheduler: &SchedulerState,
        workers: &[ModelWorker],
    ) -> Checked {
        let model = &self.models[serial];
        let task = model.id;
        if self.serial(task) != serial {
            return ensure(model.is_forgotten, || format!("the id of {task} was used too early"));
        }
        let state = scheduler.state_of(task);
        ensure(model.is_forgotten == (state == TaskState::Forgotten), || {
            format!("{task} is {state} at rest, but a Forget was sent or is missing")
        })?;
        if !model.is_wanted {
            return Ok(());
        }
        match (state, model.reported) {
            (TaskState::Memory, Some(Outcome::Finished)) => {
                let mut holders = scheduler.holders_of(task).peekable();
                ensure(holders.peek().is_some(), || format!("{task} is held by no worker"))?;
                for holder in holders {
                    let version = (task, scheduler.attempt_of(task));
                    let value = workers[holder.index()].value(version);
                    ensure(value == Some(model.value), || {
                        format!("{task} cannot be had from {holder}: {value:x?}")
                    })?;
                }
                Ok(())
            }
            (TaskState::Erred, Some(Outcome::Erred { .. })) => Ok(()),
            (state, reported) => {
                let waits = state.is_unfinished()
                    && self.is_stuck(task, scheduler)
                    && !matches!(reported, Some(Outcome::Erred { .. }));
                ensure(waits, || {
                    format!("{task} is wanted and {state} at rest; reported: {reported:?}")
                })
            }
        }
    }

    /// Everything was released and all has come to rest.
    pub(crate) fn check_end(&self, scheduler: &SchedulerState, workers: &[ModelWorker]) -> Checked {
        for task in (0..self.serials.len() as u32).map(TaskId) {
            let state = scheduler.state_of(task);
            ensure(state == TaskState::Forgotten, || {
                format!("{task} is {state} after everything was released")
            })?;
        }
        for worker in workers.iter().filter(|worker| worker.is_alive) {
            let left = worker.held().next();
            ensure(left.is_none(), || {
                format!("{} holds {left:?} after everything was released", worker.id)
            })?;
        }
        Ok(())
    }

    /// Those of the tasks with these serial numbers that a client wants.
    pub(crate) fn wanted_tasks(&self, serials: std::ops::Range<usize>) -> Vec<TaskId> {
        let wanted = self.models[serials].iter().filter(|model| model.is_wanted);
        wanted.map(|model| model.id).collect()
    }

    pub(crate) fn is_reported(&self, task: TaskId) -> bool {
        self.model(task).reported.is_some()
    }
}

/// A task starts on a worker: on no other living one, and on a thread of its own.
pub(crate) fn check_start((task, _): Version, on: WorkerId, workers: &[ModelWorker]) -> Checked {
    let others = workers.iter().filter(|worker| worker.is_alive && worker.id != on);
    let beside = others.into_iter().find(|worker| worker.running_tasks().any(|one| one == task));
    ensure(beside.is_none(), || {
        format!("{task} starts on {on}, but runs on {:?}", beside.map(|worker| worker.id))
    })?;
    let here = &workers[on.index()];
    ensure(here.running_tasks().filter(|&one| one == task).count() == 1, || {
        format!("{task} runs twice on {on}")
    })?;
    ensure(here.running_tasks().count() <= here.slots(), || {
        format!("{on} runs more tasks than its {} slots", here.slots())
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answered {
    Current,
    Cancelled,
}
