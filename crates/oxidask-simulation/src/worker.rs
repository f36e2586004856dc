//! A worker as the scheduler may expect it: it holds results, copies what it is told to copy, runs
//! what it is given on so many threads, and answers each attempt exactly once.

use std::collections::BTreeMap;

use oxidask_protocol::{Attempt, HostId, TaskId, WorkerId};
use oxidask_scheduler::{Action, Event};

use crate::random::mix;

/// A result, by the attempt that made it.
pub(crate) type Version = (TaskId, Attempt);

/// A result on its way from one worker to another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Transfer {
    pub(crate) version: Version,
    pub(crate) from: WorkerId,
    pub(crate) to: WorkerId,
}

/// What a worker does in answer to something.
#[derive(Debug)]
pub(crate) enum Effect {
    Tell(Event),
    Ask(Transfer),
    Start(Version),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Copying {
    UnderWay,
    Failed { from: WorkerId },
}

/// A task that was given to the worker and has not started.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) version: Version,
    serial: usize,
    pub(crate) inputs: Vec<Version>,
}

#[derive(Debug)]
struct Running {
    version: Version,
    /// What it will return. Inputs are read at the start.
    value: u64,
}

#[derive(Debug)]
pub(crate) struct ModelWorker {
    pub(crate) id: WorkerId,
    pub(crate) host: HostId,
    pub(crate) is_alive: bool,
    pub(crate) threads: usize,
    /// Slots that tasks have lent to others.
    pub(crate) lent: usize,
    held: BTreeMap<Version, u64>,
    copying: BTreeMap<Version, Copying>,
    waiting: Vec<Waiting>,
    running: Vec<Running>,
}

/// What a task returns for these inputs.
pub(crate) fn value_of(serial: usize, inputs: impl Iterator<Item = u64>) -> u64 {
    inputs.fold(mix(serial as u64 + 1), |value, input| mix(value ^ input.rotate_left(17)))
}

impl ModelWorker {
    pub(crate) fn new(id: WorkerId, host: HostId, threads: usize) -> Self {
        Self {
            id,
            host,
            is_alive: true,
            threads,
            lent: 0,
            held: BTreeMap::new(),
            copying: BTreeMap::new(),
            waiting: Vec::new(),
            running: Vec::new(),
        }
    }

    /// How many tasks may run.
    pub(crate) fn slots(&self) -> usize {
        self.threads + self.lent
    }

    pub(crate) fn held(&self) -> impl Iterator<Item = (Version, u64)> + '_ {
        self.held.iter().map(|(&version, &value)| (version, value))
    }

    pub(crate) fn value(&self, version: Version) -> Option<u64> {
        self.held.get(&version).copied()
    }

    pub(crate) fn waiting(&self) -> &[Waiting] {
        &self.waiting
    }

    pub(crate) fn running_tasks(&self) -> impl Iterator<Item = TaskId> + '_ {
        self.running.iter().map(|running| running.version.0)
    }

    pub(crate) fn is_idle(&self) -> bool {
        let copies = self.copying.values().any(|&state| state == Copying::UnderWay);
        self.waiting.is_empty() && self.running.is_empty() && !copies
    }

    /// Whether it has asked for a copy that has not come.
    pub(crate) fn awaits_copy(&self, version: Version) -> bool {
        self.copying.get(&version) == Some(&Copying::UnderWay)
    }

    /// Carries out an order of the scheduler. `serial` and `inputs` are those of the task to run;
    /// `stops` says whether a task that is cancelled while it runs can be stopped.
    pub(crate) fn obey(
        &mut self,
        order: &Action,
        serial: usize,
        inputs: &[TaskId],
        stops: bool,
        effects: &mut Vec<Effect>,
    ) {
        match *order {
            Action::Fetch { task, attempt, from, to } => {
                let version = (task, attempt);
                let is_going = self.copying.get(&version) == Some(&Copying::UnderWay);
                if !self.held.contains_key(&version) && !is_going {
                    self.copying.insert(version, Copying::UnderWay);
                    effects.push(Effect::Ask(Transfer { version, from, to }));
                }
            }
            Action::Run { task, attempt, .. } => {
                self.take((task, attempt), serial, inputs, effects);
            }
            Action::Retract { task, attempt, .. } => {
                let version = (task, attempt);
                self.give_back(version, effects);
                if self.running.iter().any(|running| running.version == version) {
                    let worker = self.id;
                    effects.push(Effect::Tell(Event::RetractRefused { worker, task, attempt }));
                }
            }
            Action::Cancel { task, attempt, .. } => {
                self.give_back((task, attempt), effects);
                if stops && self.end((task, attempt)).is_some() {
                    effects.push(Effect::Tell(self.ended((task, attempt))));
                }
            }
            Action::Drop { task, attempt, .. } => {
                self.held.remove(&(task, attempt));
                self.refuse_readers((task, attempt), self.id, effects);
            }
            Action::Report { .. } | Action::Forget { .. } => {}
        }
        self.start_what_can(effects);
    }

    /// Accepts a task; each of its inputs is the newest version that is here or on its way.
    fn take(
        &mut self,
        version: Version,
        serial: usize,
        inputs: &[TaskId],
        effects: &mut Vec<Effect>,
    ) {
        let mut found = Vec::with_capacity(inputs.len());
        for &input in inputs {
            let versions = (input, Attempt(0))..=(input, Attempt(u32::MAX));
            let held = self.held.range(versions.clone()).next_back().map(|(&version, _)| version);
            let copied = self.copying.range(versions).next_back();
            let copied = copied.map(|(&version, &state)| (version, state));
            match (held, copied) {
                (Some(held), None) => found.push(held),
                (Some(held), Some((copied, _))) if held > copied => found.push(held),
                (_, Some((copied, Copying::UnderWay))) => found.push(copied),
                (_, Some((_, Copying::Failed { from }))) => {
                    effects.push(Effect::Tell(self.missing(version, input, from)));
                    return;
                }
                (None, None) => {
                    effects.push(Effect::Tell(self.missing(version, input, self.id)));
                    return;
                }
            }
        }
        self.waiting.push(Waiting { version, serial, inputs: found });
    }

    fn give_back(&mut self, version: Version, effects: &mut Vec<Effect>) {
        if let Some(place) = self.waiting.iter().position(|given| given.version == version) {
            self.waiting.remove(place);
            effects.push(Effect::Tell(self.ended(version)));
        }
    }

    /// Tasks that have not started and wanted to read this version end here.
    fn refuse_readers(&mut self, version: Version, from: WorkerId, effects: &mut Vec<Effect>) {
        let (refused, kept) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|given: &Waiting| given.inputs.contains(&version));
        self.waiting = kept;
        for given in refused {
            effects.push(Effect::Tell(self.missing(given.version, version.0, from)));
        }
    }

    fn start_what_can(&mut self, effects: &mut Vec<Effect>) {
        while self.running.len() < self.slots() {
            let is_ready =
                |given: &Waiting| given.inputs.iter().all(|input| self.held.contains_key(input));
            let Some(place) = self.waiting.iter().position(is_ready) else { return };
            let Waiting { version, serial, inputs } = self.waiting.remove(place);
            let value = value_of(serial, inputs.iter().map(|input| self.held[input]));
            self.running.push(Running { version, value });
            effects.push(Effect::Start(version));
        }
    }

    /// A copy has come, or cannot come.
    pub(crate) fn copied(
        &mut self,
        transfer: Transfer,
        value: Option<u64>,
        effects: &mut Vec<Effect>,
    ) {
        let (version, worker) = (transfer.version, self.id);
        if let Some(value) = value {
            self.copying.remove(&version);
            self.held.insert(version, value);
            let (task, attempt) = version;
            effects.push(Effect::Tell(Event::ReplicaAdded { worker, task, attempt }));
            self.start_what_can(effects);
        } else {
            self.copying.insert(version, Copying::Failed { from: transfer.from });
            self.refuse_readers(version, transfer.from, effects);
        }
    }

    /// Takes a running task from its thread, with what it would return.
    pub(crate) fn end(&mut self, version: Version) -> Option<u64> {
        let place = self.running.iter().position(|running| running.version == version)?;
        Some(self.running.swap_remove(place).value)
    }

    /// Forgets a result whose maker died before it could tell of it.
    pub(crate) fn forget(&mut self, version: Version) {
        self.held.remove(&version);
    }

    /// Keeps what a task returned.
    pub(crate) fn keep(&mut self, version: Version, value: u64) {
        self.held.insert(version, value);
    }

    /// Uses the thread that an ended task has freed.
    pub(crate) fn go_on(&mut self, effects: &mut Vec<Effect>) {
        self.start_what_can(effects);
    }

    fn ended(&self, (task, attempt): Version) -> Event {
        Event::AttemptEnded { worker: self.id, task, attempt }
    }

    fn missing(&self, (task, attempt): Version, input: TaskId, from: WorkerId) -> Event {
        Event::InputMissing { worker: self.id, task, attempt, input, from }
    }
}
