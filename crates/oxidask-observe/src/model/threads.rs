//! The threads of workers: what each does now, did before, and where its time went.
//!
//! A thread's time is booked once, in order: when a task has ended, what went before and the task
//! itself; and, whenever somebody looks, all up to that moment.

use std::collections::BTreeMap;
use std::ops::Range;

use oxidask_protocol::{GroupId, SpanKind, WorkerId};

use super::bins::{Bin, Bins};
use super::steps::FINEST_NS;
use super::tiles::Strip;
use super::{Ledger, Span};
use crate::news::{Activity, TaskSight, ThreadSight};

/// Threads, each with a place of its own.
#[derive(Clone, Debug, Default)]
pub struct Threads {
    rows: Vec<Row>,
    places: BTreeMap<(WorkerId, u32), u32>,
}

/// A thread.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its worker.
    pub worker: WorkerId,
    /// Its number there.
    pub thread: u32,
    /// What it runs, as was seen last, and since when at the latest.
    pub open: Option<(TaskSight, u64)>,
    /// What it did, as a picture.
    pub strip: Strip,
    /// Until when it was there, once it is gone.
    pub ended_ns: Option<u64>,
    /// Seconds that it ran tasks.
    pub busy: f64,
    /// Until when its time is booked.
    booked_ns: u64,
    /// Until when the strip is drawn.
    drawn_ns: u64,
    /// Why it does nothing, if it does nothing; none where there is nothing to do for anybody.
    idle: Option<Bin>,
    /// What it was seen to do lately while it ran tasks: the shares of `ACTIVE`.
    activity: [f32; ACTIVE.len()],
    /// How often it was seen to run a task.
    looks: u32,
    /// Seconds in a step of time that are not booked yet.
    pending: Bins,
    pending_step: u64,
}

/// What a thread does while it runs a task.
const ACTIVE: [Bin; 5] = [Bin::Compute, Bin::Gil, Bin::Blocked, Bin::Disk, Bin::Unknown];
/// What the last look counts once there were several.
const NEWEST: f32 = 0.2;

impl Row {
    fn new(worker: WorkerId, thread: u32) -> Self {
        Self {
            worker,
            thread,
            open: None,
            strip: Strip::default(),
            ended_ns: None,
            busy: 0.0,
            booked_ns: 0,
            drawn_ns: 0,
            idle: None,
            activity: [1.0, 0.0, 0.0, 0.0, 0.0],
            looks: 0,
            pending: Bins::default(),
            pending_step: 0,
        }
    }

    fn book_idle(&mut self, until_ns: u64, ledger: &mut Ledger<'_>) {
        match self.idle {
            Some(idle) => self.book(until_ns, &[(idle, 1.0)], ledger),
            None => self.booked_ns = self.booked_ns.max(until_ns),
        }
    }

    fn book_busy(&mut self, until_ns: u64, ledger: &mut Ledger<'_>) {
        let before_ns = self.booked_ns;
        let shares: [(Bin, f32); ACTIVE.len()] =
            std::array::from_fn(|place| (ACTIVE[place], self.activity[place]));
        self.book(until_ns, &shares, ledger);
        self.busy += (self.booked_ns - before_ns) as f64 / 1e9;
    }

    /// Books all up to a time. Short stretches are added up first: many are in one step of time.
    fn book(&mut self, until_ns: u64, shares: &[(Bin, f32)], ledger: &mut Ledger<'_>) {
        if until_ns <= self.booked_ns {
            return;
        }
        let stretch = std::mem::replace(&mut self.booked_ns, until_ns)..until_ns;
        let step = stretch.start / FINEST_NS;
        if self.pending_step != step {
            self.settle(ledger);
            self.pending_step = step;
        }
        if (stretch.end - 1) / FINEST_NS == step {
            self.pending.add_shares(shares, stretch.end - stretch.start);
        } else {
            ledger.book(self.worker, &stretch, shares);
        }
    }

    fn settle(&mut self, ledger: &mut Ledger<'_>) {
        if self.pending.total() > 0.0 {
            ledger.book_at(self.worker, self.pending_step * FINEST_NS, &self.pending);
            self.pending = Bins::default();
        }
    }

    /// What it runs now, and since when.
    pub fn running(&self) -> Option<(&TaskSight, u64)> {
        self.open.as_ref().map(|(task, since_ns)| (task, *since_ns))
    }

    /// The part of what it runs now that the strip does not show.
    pub fn undrawn(&self, now_ns: u64) -> Option<(GroupId, Range<u64>)> {
        let (task, since_ns) = self.running()?;
        let begin = since_ns.max(self.drawn_ns);
        (begin < now_ns).then_some((task.group, begin..now_ns))
    }
}

impl Threads {
    /// The place of a thread; it gets one if it has none.
    pub fn place_of(&mut self, worker: WorkerId, thread: u32) -> u32 {
        *self.places.entry((worker, thread)).or_insert_with(|| {
            self.rows.push(Row::new(worker, thread));
            self.rows.len() as u32 - 1
        })
    }

    /// The worker of the thread at a place.
    pub fn worker_of(&self, place: u32) -> WorkerId {
        self.rows[place as usize].worker
    }

    /// All threads, by their places.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// A thread's row.
    pub fn row_mut(&mut self, place: u32) -> &mut Row {
        &mut self.rows[place as usize]
    }

    /// Places of all threads, by worker and number.
    pub fn in_order(&self) -> impl Iterator<Item = u32> + '_ {
        self.places.values().copied()
    }

    /// A thread is there from now on.
    pub(super) fn begins(&mut self, place: u32, at_ns: u64) {
        let row = &mut self.rows[place as usize];
        row.booked_ns = row.booked_ns.max(at_ns);
        row.ended_ns = None;
    }

    /// The threads of a worker are gone.
    pub(super) fn end(&mut self, worker: WorkerId, at_ns: u64) {
        for row in self.rows.iter_mut().filter(|row| row.worker == worker) {
            row.open = None;
            row.ended_ns = Some(at_ns);
        }
    }

    /// A thread has done something.
    pub(super) fn add_span(&mut self, span: &Span, ledger: &mut Ledger<'_>) {
        let row = &mut self.rows[span.row as usize];
        match span.kind {
            SpanKind::Pack => {
                row.book_idle(span.begin_ns, ledger);
                row.book(span.end_ns, &[(Bin::Pack, 1.0)], ledger);
            }
            SpanKind::Compute | SpanKind::Failed | SpanKind::Stopped => {
                row.book_idle(span.begin_ns, ledger);
                row.book_busy(span.end_ns, ledger);
                // A task may run in the midst of another one that waits for it.
                let begin = span.begin_ns.max(row.drawn_ns);
                if begin < span.end_ns {
                    let has_failed = span.kind == SpanKind::Failed;
                    row.strip.add(span.group.0, has_failed, begin..span.end_ns);
                    row.drawn_ns = span.end_ns;
                }
            }
        }
        if row.open.as_ref().is_some_and(|(task, _)| task.task == span.task) {
            row.open = None;
        }
    }

    /// Books all that is not booked yet.
    pub(super) fn settle(&mut self, ledger: &mut Ledger<'_>) {
        for row in &mut self.rows {
            row.settle(ledger);
        }
    }

    /// A thread was seen.
    pub(super) fn see(
        &mut self,
        place: u32,
        at_ns: u64,
        thread: &ThreadSight,
        idle: Option<Bin>,
        ledger: &mut Ledger<'_>,
    ) {
        let row = &mut self.rows[place as usize];
        row.idle = idle;
        if let Some(task) = &thread.task {
            let before = row.open.as_ref().filter(|(open, _)| open.task == task.task);
            let since_ns = before.map_or(at_ns, |&(_, since_ns)| since_ns);
            // If it is new, what went before is told with its end, or was told.
            if before.is_some() {
                row.book_busy(at_ns, ledger);
            }
            // Its key is asked for once it has lasted a while.
            row.open = Some((task.clone(), since_ns));
            let seen = match thread.activity {
                Activity::Runs => Bin::Compute,
                Activity::WaitsForInterpreter => Bin::Gil,
                Activity::WaitsForDisk => Bin::Disk,
                Activity::Sleeps => Bin::Blocked,
                Activity::Unknown => Bin::Unknown,
            };
            row.looks = row.looks.saturating_add(1);
            let newest = NEWEST.max(1.0 / row.looks as f32);
            for (share, bin) in row.activity.iter_mut().zip(ACTIVE) {
                let target = if bin == seen { 1.0 } else { 0.0 };
                *share += newest * (target - *share);
            }
        } else {
            row.open = None;
            // Its last tasks may be told of later; then it was not idle so long.
            row.book_idle(at_ns.saturating_sub(DELAY_NS), ledger);
        }
    }
}

/// So late it may be told that a task has ended.
const DELAY_NS: u64 = 50_000_000;
