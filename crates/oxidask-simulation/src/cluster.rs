//! What is yet to happen: a heap of happenings, and links that keep the order of their messages.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use oxidask_protocol::{TaskId, WorkerId};
use oxidask_scheduler::{Action, Event};

use crate::random::Random;
use crate::worker::{Transfer, Version};

/// Something that happens at a time, somewhere.
#[derive(Debug)]
pub(crate) enum Happening {
    /// The next step of the scenario: clients and faults.
    Step(usize),
    /// A message from a worker reaches the scheduler.
    Told(WorkerId, Event),
    /// The scheduler notices that a worker is gone.
    LossNoticed {
        worker: WorkerId,
        crashed: bool,
        running: Vec<TaskId>,
        overdue: Vec<TaskId>,
        returns_after_us: Option<u64>,
    },
    /// A worker that was taken for dead goes on.
    GoesOn(WorkerId),
    /// A worker that is taken for dead hears that it is, behind all that it was told before.
    GivenUp(WorkerId),
    /// It has let go of all that it had, and the scheduler hears that, behind all that it said.
    Returned(WorkerId),
    /// An order of the scheduler reaches a worker.
    Ordered(WorkerId, Action),
    /// A request for a copy reaches its source.
    CopyAsked(Transfer),
    /// The answer reaches who asked.
    CopyAnswered(Transfer, Option<u64>),
    /// A task comes to its end on a thread of a worker.
    TaskEnds(WorkerId, Version),
}

/// Directions of the links between the scheduler and a worker; each keeps its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Link {
    ToWorker(WorkerId),
    FromWorker(WorkerId),
}

#[derive(Debug)]
struct Entry {
    at_us: u64,
    number: u64,
    happening: Happening,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at_us, self.number).cmp(&(other.at_us, other.number))
    }
}

/// The virtual clock and all that is to come.
#[derive(Debug, Default)]
pub(crate) struct Calendar {
    entries: BinaryHeap<Reverse<Entry>>,
    last_arrivals: BTreeMap<Link, u64>,
    latencies_us: BTreeMap<WorkerId, u64>,
    pub(crate) now_us: u64,
    numbered: u64,
    /// Everything to come but steps of the scenario: messages, transfers, running tasks.
    under_way: usize,
}

impl Calendar {
    pub(crate) fn is_at_rest(&self) -> bool {
        self.under_way == 0
    }

    pub(crate) fn set_latency(&mut self, worker: WorkerId, latency_us: u64) {
        self.latencies_us.insert(worker, latency_us);
    }

    pub(crate) fn at(&mut self, at_us: u64, happening: Happening) {
        self.under_way += usize::from(!matches!(happening, Happening::Step(_)));
        self.numbered += 1;
        self.entries.push(Reverse(Entry { at_us, number: self.numbered, happening }));
    }

    pub(crate) fn after(&mut self, delay_us: u64, happening: Happening) {
        self.at(self.now_us + delay_us, happening);
    }

    /// Sends a message: it arrives after a random time, but never before one sent earlier.
    pub(crate) fn send(&mut self, link: Link, happening: Happening, random: &mut Random) {
        let (Link::ToWorker(worker) | Link::FromWorker(worker)) = link;
        let arrival = self.now_us + self.delay_us(worker, random);
        let last = self.last_arrivals.entry(link).or_default();
        *last = arrival.max(*last);
        let at_us = *last;
        self.at(at_us, happening);
    }

    /// Sends between workers, where nothing keeps the order.
    pub(crate) fn send_between(
        &mut self,
        (one, other): (WorkerId, WorkerId),
        happening: Happening,
        random: &mut Random,
    ) {
        let delay_us = self.delay_us(one, random).max(self.delay_us(other, random));
        self.after(delay_us, happening);
    }

    fn delay_us(&self, worker: WorkerId, random: &mut Random) -> u64 {
        let latency_us = self.latencies_us.get(&worker).copied().unwrap_or(1);
        let factor = [1, 1, 1, 2, 2, 4, 8, 16][random.index(8)];
        random.between(latency_us / 2, latency_us * factor)
    }

    pub(crate) fn next(&mut self) -> Option<Happening> {
        let Reverse(Entry { at_us, happening, .. }) = self.entries.pop()?;
        self.now_us = at_us;
        self.under_way -= usize::from(!matches!(happening, Happening::Step(_)));
        Some(happening)
    }
}
