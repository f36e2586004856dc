//! One run of a scenario: the real scheduler, simulated workers and links, and the checks.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use oxidask_protocol::{GroupId, HostId, Pressure, TaskId, TaskState, WorkerId};
use oxidask_scheduler::{Action, Bug, Event, Offer, Outbox, SchedulerState};

use crate::cluster::{Calendar, Happening, Link};
use crate::graph::Behaviour;
use crate::kinds::{ACTION_KINDS, EVENT_KINDS, of_action, of_event};
use crate::oracle::{Broken, Checked, Oracle, check_start, ensure};
use crate::random::{Random, mix};
use crate::scenario::{Death, Scenario, Step, join};
use crate::worker::{Effect, ModelWorker, Transfer, Version};

/// With up to so many tasks all is validated after each event; with more, as often as costs the
/// same.
const VALIDATED_ALWAYS: usize = 500;

/// What a run was like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Tasks submitted.
    pub tasks: usize,
    /// Workers at the beginning.
    pub workers: usize,
    /// Workers killed.
    pub deaths: usize,
    /// Other faults: copies refused, tasks that raised, jumps of the clock, early releases.
    pub other_faults: usize,
    /// Events by kind, as in [`EVENT_KINDS`].
    pub events: [u64; EVENT_KINDS.len()],
    /// Actions by kind, as in [`ACTION_KINDS`].
    pub actions: [u64; ACTION_KINDS.len()],
    /// Hash of all events and actions with their times.
    pub trace: u64,
}

impl Summary {
    /// Everything that went wrong.
    pub fn faults(&self) -> usize {
        self.deaths + self.other_faults
    }
}

/// A seed that breaks an invariant.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The seed.
    pub seed: u64,
    /// What is broken.
    pub broken: Broken,
}

/// Runs the scenario of a seed, with a mistake planted if one is named.
///
/// # Errors
/// Says which invariant was broken.
pub fn simulate(seed: u64, bug: Option<Bug>) -> Result<Summary, Broken> {
    run(seed, bug, &mut None)
}

/// The first of these seeds that breaks an invariant.
pub fn hunt(bug: Option<Bug>, mut seeds: impl Iterator<Item = u64>) -> Option<Finding> {
    seeds.find_map(|seed| simulate(seed, bug).err().map(|broken| Finding { seed, broken }))
}

/// Runs a scenario again and tells what happened: all of it, or the last `most` lines that name a
/// task or worker that the broken invariant names.
pub fn story(seed: u64, bug: Option<Bug>, most: Option<usize>) -> Vec<String> {
    let mut lines = Some(Vec::new());
    let outcome = run(seed, bug, &mut lines);
    let mut lines = lines.unwrap_or_default();
    let Err(broken) = outcome else { return lines };
    if let Some(most) = most {
        let names = names_in(&broken.invariant);
        lines.retain(|line| names_in(line).iter().any(|name| names.contains(name)));
        lines.drain(..lines.len().saturating_sub(most));
    }
    lines.push(format!("broken: {}", broken.invariant));
    lines
}

/// The tasks (`t12`) and workers (`w3`) that a text names.
fn names_in(text: &str) -> Vec<&str> {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric());
    words
        .filter(|word| {
            let number = word.strip_prefix('t').or_else(|| word.strip_prefix('w'));
            number.is_some_and(|number| {
                !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
            })
        })
        .collect()
}

fn run(seed: u64, bug: Option<Bug>, story: &mut Option<Vec<String>>) -> Result<Summary, Broken> {
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let mut simulation = Simulation::new(seed, bug, story);
        simulation.run().map(|()| simulation.summary)
    }));
    outcome.unwrap_or_else(|panic| Err(Broken { invariant: text_of_panic(panic.as_ref()) }))
}

fn text_of_panic(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    format!("the scheduler panics: {}", text.unwrap_or("without a text"))
}

struct Simulation<'story> {
    scheduler: SchedulerState,
    outbox: Outbox,
    oracle: Oracle,
    workers: Vec<ModelWorker>,
    /// Of each worker, whether what it sent before its death still arrives.
    messages_survive: Vec<bool>,
    /// The window and the offer with which each worker joined.
    joined: Vec<(u32, Offer)>,
    calendar: Calendar,
    scenario: Scenario,
    random: Random,
    /// Serial numbers of the tasks of each submission.
    submitted: Vec<std::ops::Range<usize>>,
    /// Who only holds results, on each host that has one.
    holders: BTreeMap<HostId, WorkerId>,
    /// The group of all that comes bit by bit, once there is one.
    shared_group: Option<GroupId>,
    jumped_us: u64,
    pressure: Pressure,
    summary: Summary,
    story: &'story mut Option<Vec<String>>,
}

impl<'story> Simulation<'story> {
    fn new(seed: u64, bug: Option<Bug>, story: &'story mut Option<Vec<String>>) -> Self {
        let mut random = Random::new(seed);
        let scenario = Scenario::random(&mut random);
        let mut scheduler = SchedulerState::new(scenario.settings);
        if let Some(bug) = bug {
            scheduler.plant(bug);
        }
        let mut calendar = Calendar::default();
        for (number, &(at_us, _)) in scenario.steps.iter().enumerate() {
            calendar.at(at_us, Happening::Step(number));
        }
        Self {
            scheduler,
            outbox: Outbox::default(),
            oracle: Oracle::new(scenario.settings),
            workers: Vec::new(),
            messages_survive: Vec::new(),
            joined: Vec::new(),
            calendar,
            summary: Summary { workers: scenario.initial_workers as usize, ..Summary::default() },
            scenario,
            random,
            submitted: Vec::new(),
            pressure: Pressure::None,
            holders: BTreeMap::new(),
            shared_group: None,
            jumped_us: 0,
            story,
        }
    }

    fn run(&mut self) -> Checked {
        self.run_until_rest()?;
        self.recover()?;
        self.run_until_rest()?;
        while self.release(60)? {
            self.run_until_rest()?;
        }
        if let Some(group) = self.shared_group {
            self.deliver(Event::GroupsReleased { groups: vec![group] })?;
        }
        self.oracle.check_end(&self.scheduler, &self.workers)
    }

    /// Goes on until nothing is to come. Whenever only clients or fate can go on, all that is
    /// wanted must be done.
    fn run_until_rest(&mut self) -> Checked {
        let mut happened = 0;
        while let Some(happening) = self.calendar.next() {
            self.happen(happening)?;
            // What a node has promised comes true: memory gets free.
            if self.calendar.is_at_rest()
                && matches!(self.pressure, Pressure::NoRoots | Pressure::Paused)
            {
                self.press(Pressure::RootsAlone)?;
            }
            if self.calendar.is_at_rest() {
                self.tell(|| "all is at rest".into());
                self.oracle.check_rest(&self.scheduler, &self.workers)?;
            }
            happened += 1;
            let bound = 20_000 + 400 * self.summary.tasks;
            ensure(happened < bound, || "the cluster does not come to rest".into())?;
        }
        if happened == 0 {
            self.oracle.check_rest(&self.scheduler, &self.workers)?;
        }
        Ok(())
    }

    /// If no worker is left, one joins, or time goes by until everything has failed.
    fn recover(&mut self) -> Checked {
        if self.oracle.knows_a_worker() && !self.oracle.is_anything_stuck(&self.scheduler) {
            return Ok(());
        }
        if !self.oracle.knows_a_worker() && self.random.chance(50) {
            let step = join(&mut self.random, self.scenario.hosts, 100);
            self.step(step)?;
            return Ok(());
        }
        self.jumped_us += self.scenario.settings.no_worker_timeout.as_micros() as u64;
        self.deliver(Event::TimePassed)?;
        if self.oracle.knows_a_worker() {
            return ensure(!self.oracle.is_anything_stuck(&self.scheduler), || {
                "a task that nobody can run is still waited for".into()
            });
        }
        for tasks in self.submitted.clone() {
            for task in self.oracle.wanted_tasks(tasks) {
                let state = self.scheduler.state_of(task);
                ensure(!state.is_unfinished(), || {
                    format!("{task} is {state}, though there has been no worker for too long")
                })?;
            }
        }
        Ok(())
    }

    fn happen(&mut self, happening: Happening) -> Checked {
        match happening {
            Happening::Step(number) => {
                let (_, step) = self.scenario.steps[number].clone();
                self.step(step)
            }
            Happening::Told(worker, event) => {
                let arrives =
                    self.workers[worker.index()].is_alive || self.messages_survive[worker.index()];
                if arrives {
                    return self.deliver(event);
                }
                if let Event::TaskFinished { task, attempt, held_by, .. } = event {
                    self.workers[held_by.index()].forget((task, attempt));
                }
                Ok(())
            }
            Happening::LossNoticed { worker, crashed, running, overdue, returns_after_us } => {
                if let Some(after_us) = returns_after_us {
                    self.calendar.after(after_us, Happening::GoesOn(worker));
                }
                self.deliver(Event::WorkerLost { worker, crashed, running, overdue })
            }
            Happening::GoesOn(worker) => {
                let order = Happening::GivenUp(worker);
                self.calendar.send(Link::ToWorker(worker), order, &mut self.random);
                Ok(())
            }
            Happening::GivenUp(worker) => {
                let answer = Happening::Returned(worker);
                self.calendar.send(Link::FromWorker(worker), answer, &mut self.random);
                Ok(())
            }
            Happening::Returned(worker) => self.rejoin(worker),
            Happening::Ordered(worker, order) => self.obey(worker, &order),
            Happening::CopyAsked(transfer) => {
                self.hand_out(transfer);
                Ok(())
            }
            Happening::CopyAnswered(transfer, value) => self.copy_answered(transfer, value),
            Happening::TaskEnds(worker, version) => self.task_ends(worker, version),
        }
    }

    // ---- Clients and faults ----

    fn step(&mut self, step: Step) -> Checked {
        match step {
            Step::Join { host, threads, window, latency_us, offer } => {
                let (worker, host) = (WorkerId(self.workers.len() as u32), HostId(host));
                self.workers.push(ModelWorker::new(worker, host, threads as usize));
                if threads == 0 {
                    self.holders.insert(host, worker);
                }
                self.messages_survive.push(true);
                self.calendar.set_latency(worker, latency_us);
                self.joined.push((window, offer.clone()));
                let offer = Box::new(offer);
                self.deliver(Event::WorkerJoined { worker, host, threads, window, offer })
            }
            Step::Kill { death, notice_us, messages_survive, returns_after_us } => {
                self.kill(death, notice_us, messages_survive, returns_after_us);
                Ok(())
            }
            Step::Submit { graph } => self.submit(graph),
            Step::Release { percent } => self.release(percent).map(drop),
            Step::Cancel { percent } => {
                let Some(tasks) = self.some_wanted(percent) else { return Ok(()) };
                self.summary.other_faults += 1;
                self.deliver(Event::TasksCancelled { tasks })
            }
            Step::Retry => {
                self.oracle.note_failures(&self.scheduler);
                let mut tasks = self.oracle.wanted_tasks(0..self.oracle.submitted());
                tasks.retain(|&task| self.scheduler.state_of(task) == TaskState::Erred);
                tasks.retain(|_| self.random.chance(50));
                self.deliver(Event::TasksRetried { tasks })
            }
            Step::Jump { by_us } => {
                self.jumped_us += by_us;
                self.summary.other_faults += 1;
                self.tell(|| format!("the clock jumps by {by_us} us"));
                self.deliver(Event::TimePassed)
            }
            Step::Lend { lent } => self.lend(lent),
            Step::Want => match self.some_remembered(1).first() {
                Some(&task) => self.deliver(Event::TaskWanted { task }),
                None => Ok(()),
            },
            Step::Press { pressure } => self.press(pressure),
            Step::Tick => self.deliver(Event::TimePassed),
        }
    }

    /// Some worker has that many slots more than threads from now on.
    fn lend(&mut self, lent: u32) -> Checked {
        let able: Vec<usize> = (0..self.workers.len())
            .filter(|&worker| self.workers[worker].is_alive && self.workers[worker].threads > 0)
            .collect();
        if able.is_empty() {
            return Ok(());
        }
        let number = able[self.random.index(able.len())];
        self.workers[number].lent = lent as usize;
        let worker = WorkerId(number as u32);
        self.deliver(Event::SlotsLent { worker, lent })?;
        let mut effects = Vec::new();
        self.workers[number].go_on(&mut effects);
        self.carry_out(worker, effects)
    }

    fn press(&mut self, pressure: Pressure) -> Checked {
        self.pressure = pressure;
        self.deliver(Event::PressureChanged { pressure })
    }

    fn kill(
        &mut self,
        death: Death,
        notice_us: u64,
        messages_survive: bool,
        returns_after_us: Option<u64>,
    ) {
        let alive: Vec<usize> =
            (0..self.workers.len()).filter(|&worker| self.workers[worker].is_alive).collect();
        if alive.is_empty() {
            return;
        }
        let mut victim = alive[self.random.index(alive.len())];
        if self.workers[victim].threads == 0 {
            // Who only holds results lives longer.
            victim = alive[self.random.index(alive.len())];
        }
        self.workers[victim].is_alive = false;
        self.messages_survive[victim] = messages_survive;
        self.summary.deaths += 1;
        let worker = WorkerId(victim as u32);
        self.tell(|| format!("{worker} dies"));
        let running: Vec<TaskId> = self.workers[victim].running_tasks().collect();
        let crashed = death == Death::Crash;
        let is_overdue = |_: &TaskId| death == Death::Overdue;
        let overdue = running.first().copied().filter(is_overdue).into_iter().collect();
        // Who only holds results does not come back without them.
        let returns_after_us = returns_after_us.filter(|_| self.workers[victim].threads > 0);
        let noticed =
            Happening::LossNoticed { worker, crashed, running, overdue, returns_after_us };
        self.calendar.after(notice_us, noticed);
    }

    /// A worker that was taken for dead joins once more, by the same id.
    fn rejoin(&mut self, worker: WorkerId) -> Checked {
        let gone = &self.workers[worker.index()];
        let (host, threads) = (gone.host, gone.threads);
        self.workers[worker.index()] = ModelWorker::new(worker, host, threads);
        let (window, offer) = self.joined[worker.index()].clone();
        let (threads, offer) = (threads as u32, Box::new(offer));
        self.deliver(Event::WorkerJoined { worker, host, threads, window, offer })
    }

    fn submit(&mut self, graph: usize) -> Checked {
        let known = self.some_remembered(self.scenario.graphs[graph].external_places());
        let graph = &self.scenario.graphs[graph];
        let mut submission = graph.reading(&known);
        if graph.len() <= 6 {
            let next = self.scheduler.next_group_id();
            let group = *self.shared_group.get_or_insert(next);
            submission.shared_groups = vec![group; 4];
        }
        let base = self.scheduler.place_for(graph.len()).0;
        self.oracle.add(graph, &submission, base);
        self.submitted.push(self.oracle.submitted() - graph.len()..self.oracle.submitted());
        self.summary.tasks += graph.len();
        self.deliver(Event::GraphSubmitted(Box::new(submission)))
    }

    /// Some tasks that a client may still know.
    fn some_remembered(&mut self, most: usize) -> Vec<TaskId> {
        if most == 0 {
            return Vec::new();
        }
        let mut tasks = self.oracle.remembered();
        if self.random.chance(70) {
            tasks.retain(|&task| self.oracle.model(task).is_wanted);
        }
        self.random.shuffle(&mut tasks);
        tasks.truncate(most);
        tasks
    }

    /// Lets go of a part of what is wanted of some submission; `false` if nothing is wanted.
    fn release(&mut self, percent: u64) -> Result<bool, Broken> {
        let Some(tasks) = self.some_wanted(percent) else { return Ok(false) };
        if tasks.iter().any(|&task| !self.oracle.is_reported(task)) {
            self.summary.other_faults += 1;
        }
        self.deliver(Event::TasksReleased { tasks })?;
        Ok(true)
    }

    /// A part of what is wanted of some submission, if anything is wanted.
    fn some_wanted(&mut self, percent: u64) -> Option<Vec<TaskId>> {
        let mut wanted: Vec<Vec<TaskId>> = Vec::new();
        for tasks in &self.submitted {
            wanted.push(self.oracle.wanted_tasks(tasks.clone()));
        }
        wanted.retain(|tasks| !tasks.is_empty());
        if wanted.is_empty() {
            return None;
        }
        let mut tasks = wanted.swap_remove(self.random.index(wanted.len()));
        self.random.shuffle(&mut tasks);
        let count = (tasks.len() as u64 * percent).div_ceil(100);
        tasks.truncate(count as usize);
        Some(tasks)
    }

    // ---- The scheduler ----

    fn now(&self) -> Duration {
        Duration::from_micros(self.calendar.now_us + self.jumped_us)
    }

    fn deliver(&mut self, event: Event) -> Checked {
        let now = self.now();
        let (kind, ids) = of_event(&event);
        self.summary.events[kind] += 1;
        self.hash(kind as u64, ids);
        self.tell(|| match &event {
            Event::GraphSubmitted(graph) => {
                format!("{} tasks are submitted, wanted: {:?}", graph.rank.len(), graph.wanted)
            }
            event => format!("{event:?}"),
        });
        self.oracle.expect(&event, now)?;
        let mut outbox = std::mem::take(&mut self.outbox);
        outbox.clear();
        // A submission is large, and what follows from it needs no second look at it.
        let why = if kind == 2 { Event::TimePassed } else { event.clone() };
        self.scheduler.handle(event, now, &mut outbox);
        for action in outbox.actions.drain(..) {
            let (kind, ids) = of_action(&action);
            self.summary.actions[kind] += 1;
            self.hash(kind as u64 + 32, ids);
            self.tell(|| format!("    {action:?}"));
            self.oracle.check_action(&action, &why, &self.scheduler, now)?;
            let (Action::Fetch { to: worker, .. }
            | Action::Run { worker, .. }
            | Action::Retract { worker, .. }
            | Action::Cancel { worker, .. }
            | Action::Drop { worker, .. }) = action
            else {
                continue;
            };
            let ordered = Happening::Ordered(worker, action);
            self.calendar.send(Link::ToWorker(worker), ordered, &mut self.random);
        }
        self.outbox = outbox;
        self.oracle.check_after(&self.scheduler, now)?;
        let size = self.summary.tasks;
        if size <= VALIDATED_ALWAYS || self.random.index(size) < VALIDATED_ALWAYS {
            self.scheduler.validate()?;
            self.oracle.check_slots(&self.scheduler)?;
        }
        Ok(())
    }

    fn hash(&mut self, kind: u64, ids: u64) {
        let here = mix(ids ^ kind << 56 ^ self.calendar.now_us << 20);
        self.summary.trace = mix(self.summary.trace.rotate_left(5) ^ here);
    }

    fn tell(&mut self, line: impl FnOnce() -> String) {
        if let Some(lines) = self.story.as_mut() {
            let at_us = self.calendar.now_us + self.jumped_us;
            lines.push(format!("{at_us:>9} us  {}", line()));
        }
    }

    // ---- Workers ----

    fn obey(&mut self, worker: WorkerId, order: &Action) -> Checked {
        if !self.workers[worker.index()].is_alive {
            return Ok(());
        }
        let stops = self.random.chance(self.scenario.stops_percent);
        let mut effects = Vec::new();
        let is_run = if let Action::Run { task, .. } = *order { Some(task) } else { None };
        let (serial, inputs) = is_run.map_or((0, &[][..]), |task| {
            (self.oracle.serial(task), self.oracle.model(task).inputs.as_slice())
        });
        self.workers[worker.index()].obey(order, serial, inputs, stops, &mut effects);
        if is_run.is_some() {
            for effect in &effects {
                if let Effect::Tell(event) = effect {
                    self.oracle.check_refusal(event)?;
                }
            }
            if let Some(waiting) = self.workers[worker.index()].waiting().last() {
                self.oracle.check_accepted(worker, waiting)?;
            }
        }
        self.carry_out(worker, effects)
    }

    fn carry_out(&mut self, worker: WorkerId, effects: Vec<Effect>) -> Checked {
        for effect in effects {
            match effect {
                Effect::Tell(event) => {
                    let told = Happening::Told(worker, event);
                    self.calendar.send(Link::FromWorker(worker), told, &mut self.random);
                }
                Effect::Ask(transfer) => {
                    let asked = Happening::CopyAsked(transfer);
                    let ends = (transfer.from, transfer.to);
                    self.calendar.send_between(ends, asked, &mut self.random);
                }
                Effect::Start(version) => {
                    self.tell(|| format!("{worker} starts {version:?}"));
                    check_start(version, worker, &self.workers)?;
                    let duration_us = self.oracle.model(version.0).duration_us;
                    self.calendar.after(duration_us, Happening::TaskEnds(worker, version));
                }
            }
        }
        Ok(())
    }

    fn hand_out(&mut self, transfer: Transfer) {
        let source = &self.workers[transfer.from.index()];
        let mut value = source.value(transfer.version).filter(|_| source.is_alive);
        let (per_mille, left) = &mut self.scenario.fetch_failures;
        if value.is_some() && *left > 0 && self.random.between(1, 1000) <= *per_mille {
            value = None;
            *left -= 1;
            self.summary.other_faults += 1;
            self.tell(|| format!("the copy fails though {} lives: {transfer:?}", transfer.from));
        }
        let ends = (transfer.from, transfer.to);
        self.calendar.send_between(
            ends,
            Happening::CopyAnswered(transfer, value),
            &mut self.random,
        );
    }

    fn copy_answered(&mut self, transfer: Transfer, value: Option<u64>) -> Checked {
        let to = &self.workers[transfer.to.index()];
        // It may have been asked for before the worker was taken for dead, and returned.
        if !to.is_alive || !to.awaits_copy(transfer.version) {
            return Ok(());
        }
        // A source that died while it sent may have sent it all.
        let arrives = self.workers[transfer.from.index()].is_alive || self.random.chance(50);
        let value = value.filter(|_| arrives);
        self.tell(|| format!("{transfer:?} {}", if value.is_some() { "is done" } else { "fails" }));
        let mut effects = Vec::new();
        self.workers[transfer.to.index()].copied(transfer, value, &mut effects);
        self.carry_out(transfer.to, effects)
    }

    /// Who keeps what a worker has made.
    fn keeper(&mut self, worker: WorkerId) -> WorkerId {
        let holder = self.holders.get(&self.workers[worker.index()].host).copied();
        let alive = holder.filter(|holder| self.workers[holder.index()].is_alive);
        match alive {
            Some(holder) if self.random.chance(self.scenario.stored_percent) => holder,
            _ => worker,
        }
    }

    fn task_ends(&mut self, worker: WorkerId, version: Version) -> Checked {
        let here = &mut self.workers[worker.index()];
        // It may have been stopped, and its worker may be dead.
        let Some(value) = here.end(version).filter(|_| here.is_alive) else { return Ok(()) };
        let (task, attempt) = version;
        let model = self.oracle.model_mut(task);
        let raises = match model.behaviour {
            Behaviour::Returns => false,
            Behaviour::Raises => true,
            Behaviour::RaisesAtFirst(times) => model.times_raised < times,
        };
        model.times_raised += u32::from(raises);
        let event = if raises {
            self.summary.other_faults += 1;
            Event::TaskErred { worker, task, attempt }
        } else {
            let nbytes = model.nbytes;
            let duration = Duration::from_micros(model.duration_us);
            self.oracle.check_value(version, value, worker)?;
            let held_by = self.keeper(worker);
            self.workers[held_by.index()].keep(version, value);
            Event::TaskFinished { worker, task, attempt, nbytes, duration, held_by }
        };
        let mut effects = vec![Effect::Tell(event)];
        self.workers[worker.index()].go_on(&mut effects);
        self.carry_out(worker, effects)
    }
}
