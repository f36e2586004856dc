//! What to do when memory gets short: which results go to disk, and how much may start.
//!
//! First results go to disk, those that are needed last before the others. Objects of workers are
//! published first, for only what is in shared memory can be written. If that does not help fast
//! enough less is started, and in the end nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use oxidask_protocol::{Attempt, NextUse, Pressure, Stored, TaskId, ToWorker, Value};

use crate::state::Entry;
use crate::{NodeState, Output, Reader, Report};

/// Bytes that are on their way to disk, or being published, at once: so many, and no larger part
/// of the budget, for what is being published is in memory twice. One result may be larger.
const IN_FLIGHT: u64 = 64 << 20;
const IN_FLIGHT_SHARE: u64 = 16;
/// Objects smaller than this stay where they are.
pub(crate) const WORTH_MOVING: u64 = 16 << 10;
/// How long nobody looks again for results that may leave memory where there was none.
const LOOK_PAUSE: Duration = Duration::from_millis(5);
/// How long tasks wait for a disk that takes nothing before they fail.
const DISK_PATIENCE: Duration = Duration::from_secs(2);
/// How long nothing is written after the disk refused something.
const DISK_PAUSE: Duration = Duration::from_secs(1);

/// How much memory the workers of a host may use together, and what happens before it is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryLimits {
    /// All that there is.
    pub budget: u64,
    /// From here on results go to disk.
    pub spill_at: u64,
    /// From here on tasks without inputs do not start.
    pub roots_at: u64,
    /// From here on no task starts.
    pub pause_at: u64,
}

/// What the host's memory holds, as far as this node knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryUse {
    /// Bytes of all that counts against the budget.
    pub used: u64,
    /// Bytes of results on disk.
    pub spilled: u64,
    /// How much may be started.
    pub pressure: Pressure,
}

/// A result that is being written to disk.
#[derive(Clone, Debug)]
struct Writing {
    attempt: Attempt,
    stored: Stored,
}

/// The disk takes nothing.
#[derive(Debug)]
struct DiskProblem {
    /// Why, in words.
    reason: String,
    since: Duration,
    /// Until when it is left alone.
    until: Duration,
}

/// What a node does about memory.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    limits: Option<MemoryLimits>,
    /// Memory of the workers' processes that nobody else has, when it was last looked at.
    anonymous: u64,
    /// Memory of arenas that holds no object, when it was last looked at.
    idle: u64,
    /// Objects of workers' processes that are worth moving, with their sizes.
    live: BTreeMap<TaskId, u64>,
    /// Objects that cannot be published.
    stuck: BTreeSet<TaskId>,
    publishing: BTreeMap<TaskId, u64>,
    writing: BTreeMap<TaskId, Writing>,
    in_flight: u64,
    disk_problem: Option<DiskProblem>,
    /// Whether the disk has had its time: tasks that there is no memory for fail.
    is_disk_given_up: bool,
    pressure: Pressure,
    /// Until when nobody looks for results to move, because there were none just now.
    look_again: Duration,
}

/// Why a task is not started at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Bytes that it needs at least.
    pub needed: u64,
    /// Bytes that there are for it.
    pub available: u64,
    /// Why results cannot go to disk, if that is the reason.
    pub disk: Option<String>,
}

impl Memory {
    /// An object of a worker is there that may be worth moving.
    pub(crate) fn live_object_added(&mut self, task: TaskId, nbytes: u64) {
        if self.limits.is_some() && nbytes >= WORTH_MOVING {
            self.live.insert(task, nbytes);
            // The next look at the processes will tell what it really is.
            self.anonymous += nbytes;
        }
    }

    /// A result is gone, or a new one takes its place.
    pub(crate) fn result_gone(&mut self, task: TaskId) {
        if self.limits.is_some() {
            self.live.remove(&task);
            self.stuck.remove(&task);
            self.ended_publishing(task);
        }
    }

    fn ended_publishing(&mut self, task: TaskId) {
        if let Some(nbytes) = self.publishing.remove(&task) {
            self.in_flight -= nbytes;
        }
    }

    /// A worker has answered that it published an object, or could not.
    pub(crate) fn published(&mut self, task: TaskId, is_good: bool) {
        self.ended_publishing(task);
        if !is_good && self.limits.is_some() {
            self.stuck.insert(task);
        }
    }
}

impl NodeState {
    /// Sets how much memory there is. Without this, as much as is wanted.
    pub fn set_memory_limits(&mut self, limits: MemoryLimits) {
        self.memory.limits = Some(limits);
    }

    /// Whether results may be needing more memory than is good, so that
    /// [`relieve_memory`](Self::relieve_memory) is to be called.
    pub fn is_memory_short(&self) -> bool {
        let Some(limits) = self.memory.limits else { return false };
        self.memory.pressure != Pressure::None || self.memory_used() > limits.spill_at
    }

    /// What is in memory and on disk.
    pub fn memory_use(&self) -> MemoryUse {
        MemoryUse {
            used: self.memory_used(),
            spilled: self.store.spilled_nbytes(),
            pressure: self.memory.pressure,
        }
    }

    fn memory_used(&self) -> u64 {
        self.memory.anonymous + self.memory.idle + self.store.nbytes_in_memory()
    }

    /// Somebody looked: workers' processes have so many bytes that nobody else has, and arenas so
    /// many bytes of memory.
    pub fn memory_measured(&mut self, anonymous: u64, arenas: u64) {
        self.memory.anonymous = anonymous;
        self.memory.idle = arenas.saturating_sub(self.store.nbytes_in_arenas());
    }

    /// Writes results to disk if memory is short, and says how much may be started.
    ///
    /// To be called when something has changed and [`is_memory_short`](Self::is_memory_short).
    pub fn relieve_memory(
        &mut self,
        now: Duration,
        next_use: impl Fn(TaskId) -> NextUse,
        outputs: &mut Vec<Output>,
    ) {
        let Some(limits) = self.memory.limits else { return };
        if self.memory_used() <= limits.spill_at {
            self.memory.disk_problem = None;
        }
        self.move_results(limits, now, next_use, outputs);
        let problem = self.memory.disk_problem.as_ref();
        let is_waited_for = problem.is_some_and(|problem| now < problem.since + DISK_PATIENCE);
        self.memory.is_disk_given_up = problem.is_some() && !is_waited_for;
        let pressure = self.pressure(limits, is_waited_for);
        if pressure != self.memory.pressure {
            self.memory.pressure = pressure;
            outputs.push(Output::Report(Report::Pressure { pressure }));
        }
    }

    fn pressure(&self, limits: MemoryLimits, is_disk_waited_for: bool) -> Pressure {
        let used = self.memory_used();
        let gets_better = self.memory.in_flight > 0 || is_disk_waited_for;
        match (used > limits.pause_at, used > limits.roots_at, gets_better) {
            (true, _, true) => Pressure::Paused,
            (true, _, false) => Pressure::Alone,
            (false, true, true) => Pressure::NoRoots,
            (false, true, false) => Pressure::RootsAlone,
            (false, false, _) => Pressure::None,
        }
    }

    /// Starts to move results out of memory, those that are needed last first, until enough are on
    /// their way.
    fn move_results(
        &mut self,
        limits: MemoryLimits,
        now: Duration,
        next_use: impl Fn(TaskId) -> NextUse,
        outputs: &mut Vec<Output>,
    ) {
        let excess = |node: &Self| {
            node.memory_used().saturating_sub(node.memory.in_flight) > limits.spill_at
        };
        let most = IN_FLIGHT.min(limits.budget / IN_FLIGHT_SHARE);
        if !excess(self) || self.memory.in_flight >= most || now < self.memory.look_again {
            return;
        }
        let disk_works =
            self.memory.disk_problem.as_ref().is_none_or(|problem| now >= problem.until);
        let mut movable = self.movable(disk_works, next_use);
        if movable.is_empty() {
            self.memory.look_again = now + LOOK_PAUSE;
        }
        movable.sort_unstable_by(|a, b| b.cmp(a));
        for (_, nbytes, task) in movable {
            if !excess(self) || self.memory.in_flight >= most {
                break;
            }
            self.move_result(task, nbytes, disk_works, outputs);
        }
    }

    /// Results that may leave memory, with their next use and their size.
    fn movable(
        &self,
        disk_works: bool,
        next_use: impl Fn(TaskId) -> NextUse,
    ) -> Vec<(NextUse, u64, TaskId)> {
        let on_disk_next = self.store.spillable().filter(|_| disk_works);
        let live = self.memory.live.iter().map(|(&task, &nbytes)| (task, nbytes));
        let live = live.filter(|&(task, _)| {
            disk_works && !self.memory.stuck.contains(&task) || self.is_twice(task)
        });
        on_disk_next
            .chain(live)
            .filter(|(task, _)| {
                !self.memory.writing.contains_key(task)
                    && !self.memory.publishing.contains_key(task)
            })
            .map(|(task, nbytes)| (next_use(task), nbytes, task))
            .filter(|&(next, _, _)| next != NextUse::Now)
            .collect()
    }

    /// Whether a worker has a result as an object, and the node has it too.
    fn is_twice(&self, task: TaskId) -> bool {
        self.result(task).is_some_and(|entry| entry.value.is_some() && entry.live_at.is_some())
    }

    fn result(&self, task: TaskId) -> Option<&Entry> {
        self.entries.get(task.index())?.as_deref()
    }

    /// Starts to move one result out of memory: a second copy is dropped, an object is published,
    /// what is in shared memory is written.
    fn move_result(
        &mut self,
        task: TaskId,
        nbytes: u64,
        disk_works: bool,
        outputs: &mut Vec<Output>,
    ) {
        let Some(entry) = self.entries.get_mut(task.index()).and_then(Option::as_deref_mut) else {
            return;
        };
        let attempt = entry.attempt;
        match (entry.live_at, &entry.value) {
            (Some(worker), Some(_)) => {
                entry.live_at = None;
                self.memory.live.remove(&task);
                // The next look at the processes will tell what it really was.
                self.memory.anonymous = self.memory.anonymous.saturating_sub(nbytes);
                let message = ToWorker::Drop { task, attempt };
                outputs.push(Output::Send { worker, message });
            }
            (Some(_), None) => {
                Self::publish(entry, task, outputs);
                self.memory.publishing.insert(task, nbytes);
                self.memory.in_flight += nbytes;
            }
            (None, Some(Value::Stored(stored))) if disk_works => {
                let stored = Stored::clone(stored);
                self.store.pin(&stored, Reader::Disk);
                self.memory.in_flight += stored.len;
                self.memory.writing.insert(task, Writing { attempt, stored: stored.clone() });
                outputs.push(Output::Spill { task, attempt, stored });
            }
            (None, _) => {}
        }
    }

    /// A result was written to disk, or could not be: why.
    pub fn spilled(
        &mut self,
        task: TaskId,
        attempt: Attempt,
        written: Result<Stored, String>,
        now: Duration,
        outputs: &mut Vec<Output>,
    ) {
        let is_this = |writing: &Writing| writing.attempt == attempt;
        if !self.memory.writing.get(&task).is_some_and(is_this) {
            return;
        }
        let Writing { stored, .. } =
            self.memory.writing.remove(&task).expect("it was there just now");
        self.memory.in_flight -= stored.len;
        match written {
            Ok(copy) => {
                self.memory.disk_problem = None;
                self.store.add(&copy, Some(task));
                let is_kept = match self.entry(task, attempt) {
                    Some(Entry { value: Some(Value::Stored(value)), .. }) if **value == stored => {
                        **value = copy.clone();
                        true
                    }
                    _ => false,
                };
                let gone = if is_kept { &stored } else { &copy };
                let freed = self.store.doom(gone);
                Self::freed(freed, outputs);
            }
            Err(reason) => {
                let before = self.memory.disk_problem.take();
                let since = before.map_or(now, |problem| problem.since);
                let until = now + DISK_PAUSE;
                self.memory.disk_problem = Some(DiskProblem { reason, since, until });
            }
        }
        let freed = self.store.unpin((stored.arena, stored.offset), Reader::Disk);
        Self::freed(freed, outputs);
    }

    /// Why a task with these inputs is not to start, if it is not.
    pub(crate) fn refuses(&self, inputs: &[(TaskId, Attempt)]) -> Option<Refusal> {
        let limits = self.memory.limits?;
        let needed = inputs.iter().map(|&(input, _)| self.nbytes_of(input)).sum::<u64>();
        if needed > limits.budget {
            return Some(Refusal { needed, available: limits.budget, disk: None });
        }
        let problem = self.memory.disk_problem.as_ref().filter(|_| self.memory.is_disk_given_up)?;
        let used = self.memory_used();
        let bound = if inputs.is_empty() { limits.pause_at } else { limits.budget };
        (used > bound).then(|| Refusal {
            needed: used,
            available: limits.budget,
            disk: Some(problem.reason.clone()),
        })
    }

    fn nbytes_of(&self, task: TaskId) -> u64 {
        match self.result(task).and_then(|entry| entry.value.as_ref()) {
            Some(Value::Stored(stored)) => stored.len,
            Some(Value::Inline(bytes)) => bytes.len() as u64,
            Some(Value::Live) | None => self.memory.live.get(&task).copied().unwrap_or(0),
        }
    }

    /// A worker is gone, and its objects are no results any more.
    pub(crate) fn live_objects_lost(&mut self) {
        let entries = &self.entries;
        let is_live = |task: &TaskId| {
            let entry = entries.get(task.index()).and_then(Option::as_deref);
            entry.is_some_and(|entry| entry.live_at.is_some())
        };
        self.memory.live.retain(|task, _| is_live(task));
        self.memory.stuck.retain(is_live);
        let gone: Vec<TaskId> =
            self.memory.publishing.keys().filter(|task| !is_live(task)).copied().collect();
        for task in gone {
            self.memory.ended_publishing(task);
        }
    }
}
