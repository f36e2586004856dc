//! What is known of a run, from its [`News`]: groups, workers, threads, memory, events. It has the same
//! size however long the run lasts, and is the same whether the news come from a cluster or a file.

pub mod bins;
pub mod groups;
pub mod shapes;
pub mod steps;
pub mod threads;
pub mod tiles;

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use oxidask_protocol::{GroupId, Record, RecordBody, SpanKind, WorkerId};

use self::bins::{Bin, Bins};
use self::groups::{Group, Groups};
use self::shapes::{Progress, Shapes};
use self::steps::{FINEST_NS, Levels};
use self::threads::Threads;
use crate::news::{Gap, News, Notice, Origin, Shortage, Sight, WorkerSight};

/// Spans, events and errors that are kept at most.
const MOST_SPANS: usize = 2_000_000;
const MOST_MARKS: usize = 10_000;
const MOST_ERRORS: usize = 1000;
/// Looks at a worker that are kept for its spark lines, and how far they are apart.
const SPARKS: usize = 60;
const SPARK_NS: u64 = 1_000_000_000;

/// A stretch of a thread's time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Span {
    /// The thread's place among the threads of the run.
    pub row: u32,
    /// Group of the task.
    pub group: GroupId,
    /// The task.
    pub task: u32,
    /// What the thread did.
    pub kind: SpanKind,
    /// When it began, in nanoseconds since the run did.
    pub begin_ns: u64,
    /// When it ended.
    pub end_ns: u64,
}

/// Something worth knowing that happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    /// When, in nanoseconds since the run began.
    pub at_ns: u64,
    /// How bad it is.
    pub level: MarkLevel,
    /// What kind of event it is.
    pub kind: &'static str,
    /// In words.
    pub text: String,
    /// The worker that it concerns.
    pub worker: Option<WorkerId>,
    /// The task that it concerns.
    pub key: Option<String>,
}

/// How bad an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MarkLevel {
    /// Not at all.
    Info,
    /// Somebody should know.
    Warning,
    /// Something was lost.
    Error,
}

/// Errors of one kind in one group.
#[derive(Clone, Debug, PartialEq)]
pub struct ErrorKind {
    /// The exception, in a line.
    pub exception: String,
    /// The group of the tasks that raised it.
    pub group: GroupId,
    /// How often.
    pub count: u64,
    /// When first and last, in nanoseconds since the run began.
    pub first_ns: u64,
    /// As above.
    pub last_ns: u64,
    /// The key of the first.
    pub key: String,
    /// Where that was raised.
    pub traceback: String,
}

/// What is known of a worker.
#[derive(Clone, Debug, Default)]
pub struct Worker {
    /// How users call it.
    pub name: String,
    /// Its process.
    pub pid: u32,
    /// Threads that run tasks.
    pub threads: u32,
    /// Bytes that it may have for itself.
    pub memory_limit: Option<u64>,
    /// When it joined, in nanoseconds since the run began.
    pub joined_ns: u64,
    /// When it left, and why.
    pub left: Option<(u64, String)>,
    /// How it was seen last.
    pub sight: WorkerSight,
    /// Cores that it used lately.
    pub cores: f64,
    /// Cores and bytes by the second, the oldest first.
    pub sparks: VecDeque<(f32, u64)>,
    /// Where the time of its threads went.
    pub bins: Levels<Bins>,
    seen_ns: Option<u64>,
    /// Whether `cores` is a measurement.
    is_measured: bool,
    spark_ns: u64,
}

/// What goes on in the whole cluster, times nanoseconds.
#[derive(Clone, Debug, Default)]
pub struct Gauges {
    /// Nanoseconds of it that somebody looked.
    pub weight: f64,
    /// Cores in use.
    pub cpu: f64,
    /// Bytes of memory, in shared memory, on disk.
    pub memory: f64,
    /// As above.
    pub stored: f64,
    /// As above.
    pub spilled: f64,
    /// Threads that run a task.
    pub busy: f64,
    /// Tasks that could run if there were a thread.
    pub ready: f64,
    /// 1 while memory is short.
    pub short: f64,
    /// Tasks that ended; not times anything.
    pub ended: f64,
}

/// What is known of a run.
#[derive(Clone, Debug, Default)]
pub struct Model {
    /// Where and when the run began.
    pub origin: Origin,
    /// Whether the news come from a file.
    pub is_replay: bool,
    /// When the news were written last, in nanoseconds since the run began.
    pub now_ns: u64,
    /// Groups by their number.
    pub groups: Groups,
    /// Graphs that are small enough to be drawn.
    pub shapes: Shapes,
    /// Workers by their number; those that left, too.
    pub workers: BTreeMap<WorkerId, Worker>,
    /// Threads of workers, and what they did.
    pub threads: Threads,
    /// The newest spans, about in the order of their ends.
    pub spans: VecDeque<Span>,
    /// Where the time of all threads went.
    pub bins: Levels<Bins>,
    /// The cluster as a whole, by time.
    pub gauges: Levels<Gauges>,
    /// The newest events.
    pub marks: VecDeque<Mark>,
    /// Errors by kind.
    pub errors: Vec<ErrorKind>,
    /// Errors of all kinds.
    pub error_count: u64,
    /// How the cluster was seen last.
    pub sight: Sight,
    /// Records that were lost.
    pub dropped: u64,
    /// Spans that made room for newer ones.
    pub old_spans: u64,
    /// Whether the run has ended.
    pub has_ended: bool,
    /// When the first task began that ended.
    pub first_ns: Option<u64>,
    /// When a task ran last.
    pub active_ns: u64,
    /// Changes so far.
    pub version: u64,
    colors: u32,
    seen_ns: u64,
    /// A step of time, and tasks that ended in it that are not counted yet.
    ends: (u64, u32),
}

impl Model {
    /// Takes in what has happened.
    pub fn hear(&mut self, news: &News) {
        let is_new = !news.records.is_empty()
            || !news.groups.is_empty()
            || !news.notices.is_empty()
            || news.sight.as_ref().is_some_and(|sight| *sight != self.sight)
            || news.dropped > self.dropped;
        self.version += u64::from(is_new);
        self.now_ns = self.now_ns.max(news.at_ns);
        self.dropped = self.dropped.max(news.dropped);
        // What was written before a notice is taken in before it: the scheduler uses numbers of tasks
        // anew. A record that was written later tells of a later time.
        let mut records = news.records.as_slice();
        for (at_ns, notice) in &news.notices {
            let before = records.iter().take_while(|record| record.at_ns <= *at_ns).count();
            let (first, rest) = records.split_at(before);
            for record in first {
                self.take_in(record);
            }
            records = rest;
            self.take_note(*at_ns, notice);
        }
        for record in records {
            self.take_in(record);
        }
        for &(group, tally) in &news.groups {
            self.group_mut(group).tally = tally;
        }
        if let Some(sight) = &news.sight {
            self.see(news.at_ns, sight);
        }
        self.threads.settle(&mut Ledger { bins: &mut self.bins, workers: &mut self.workers });
        self.settle_ends();
        self.groups.fold();
    }

    fn take_in(&mut self, record: &Record) {
        if let RecordBody::Span { kind, task, group, worker, thread, nbytes, duration_ns } =
            record.body
        {
            let row = self.threads.place_of(worker, thread);
            let begin_ns = record.at_ns.saturating_sub(duration_ns);
            let end_ns = record.at_ns;
            let task = task.0;
            self.add_span(Span { row, group, task, kind, begin_ns, end_ns }, nbytes);
        }
    }

    /// What is known of a group; nothing yet if it is new.
    pub fn group_mut(&mut self, group: GroupId) -> &mut Group {
        self.groups.get_mut(group.index())
    }

    /// A task has ended: many do in one step of time, which is told of them at once.
    fn count_end(&mut self, at_ns: u64) {
        let step = at_ns / FINEST_NS;
        if self.ends.0 != step {
            self.settle_ends();
            self.ends.0 = step;
        }
        self.ends.1 += 1;
    }

    fn settle_ends(&mut self) {
        let (step, count) = self.ends;
        if count > 0 {
            let begin = step * FINEST_NS;
            self.gauges.over(&(begin..begin + 1), |gauges, _| gauges.ended += f64::from(count));
            self.ends.1 = 0;
        }
    }

    /// The last stretch of time, at most so long, in which tasks ran; the whole run once it has ended.
    pub fn last_window(&self, at_most_ns: u64) -> Range<u64> {
        let first_ns = self.first_ns.unwrap_or(0);
        if self.has_ended {
            return first_ns..self.active_ns.max(first_ns + 1);
        }
        let end = if self.is_busy() { self.now_ns } else { self.active_ns.min(self.now_ns) };
        let begin = end.saturating_sub(at_most_ns).max(first_ns);
        begin..end.max(begin + 1)
    }

    /// Whether tasks run or wait.
    pub fn is_busy(&self) -> bool {
        self.groups.iter().any(|group| group.left() > 0)
    }

    /// Threads of workers that are there, or of all once the run has ended.
    pub fn most_threads(&self) -> u32 {
        match self.thread_count() {
            0 => self.workers.values().map(|worker| worker.threads).sum(),
            count => count,
        }
    }

    /// Threads of workers that are there.
    pub fn thread_count(&self) -> u32 {
        let there = self.workers.values().filter(|worker| worker.left.is_none());
        there.map(|worker| worker.threads).sum()
    }

    fn add_span(&mut self, span: Span, nbytes: u64) {
        let colors = self.colors;
        let group = self.group_mut(span.group);
        if span.kind != SpanKind::Pack {
            let duration_ns = span.end_ns - span.begin_ns;
            let color = *group.color.get_or_insert(colors);
            group.seconds += duration_ns as f64 / 1e9;
            group.durations.add(duration_ns);
            group.out_bytes += nbytes;
            group.first_ns = Some(group.first_ns.map_or(span.begin_ns, |at| at.min(span.begin_ns)));
            group.last_ns = group.last_ns.max(span.end_ns);
            self.colors = colors.max(color + 1);
            self.count_end(span.end_ns);
        }
        let progress = match span.kind {
            SpanKind::Compute => Some(Progress::Finished),
            SpanKind::Failed => Some(Progress::Failed),
            SpanKind::Stopped => Some(Progress::Stopped),
            SpanKind::Pack => None,
        };
        if let Some(progress) = progress {
            self.shapes.ended(span.task, progress, span.end_ns - span.begin_ns, nbytes);
        }
        self.first_ns = Some(self.first_ns.map_or(span.begin_ns, |at| at.min(span.begin_ns)));
        self.active_ns = self.active_ns.max(span.end_ns);
        self.threads
            .add_span(&span, &mut Ledger { bins: &mut self.bins, workers: &mut self.workers });
        if self.spans.len() == MOST_SPANS {
            self.spans.pop_front();
            self.old_spans += 1;
        }
        self.spans.push_back(span);
    }

    fn see(&mut self, at_ns: u64, sight: &Sight) {
        let passed_ns = at_ns.saturating_sub(std::mem::replace(&mut self.seen_ns, at_ns));
        self.mark_shortage(at_ns, sight);
        let is_given = |seen: &WorkerSight| seen.processing > 0;
        let is_active = sight.queued > 0 || sight.workers.iter().any(is_given) || self.is_busy();
        let (mut cores, mut busy, mut given) = (0.0, 0, 0);
        for seen in &sight.workers {
            let Some(worker) = self.workers.get_mut(&seen.worker) else { continue };
            worker.see(at_ns, seen);
            cores += worker.cores;
            given += seen.processing;
            let running = seen.threads.iter().filter(|thread| thread.task.is_some()).count() as u32;
            busy += running;
            let idle = is_active.then(|| why_idle(sight, seen, running));
            for thread in &seen.threads {
                let row = self.threads.place_of(seen.worker, thread.thread);
                let (bins, workers) = (&mut self.bins, &mut self.workers);
                self.threads.see(row, at_ns, thread, idle, &mut Ledger { bins, workers });
                if thread.task.is_some() {
                    self.active_ns = self.active_ns.max(at_ns);
                }
            }
        }
        let (busy, ready) = (f64::from(busy), f64::from(sight.queued + given) - f64::from(busy));
        self.gauges.over(&(at_ns.saturating_sub(passed_ns)..at_ns), |gauges, nanoseconds| {
            let weight = nanoseconds as f64;
            gauges.weight += weight;
            gauges.cpu += cores * weight;
            gauges.memory += sight.memory as f64 * weight;
            gauges.stored += sight.stored as f64 * weight;
            gauges.spilled += sight.spilled as f64 * weight;
            gauges.busy += busy * weight;
            gauges.ready += ready.max(0.0) * weight;
            gauges.short += if sight.pressure > Shortage::None { weight } else { 0.0 };
        });
        self.sight.clone_from(sight);
    }

    fn mark_shortage(&mut self, at_ns: u64, sight: &Sight) {
        let (level, kind, text) = match (self.sight.pressure, sight.pressure) {
            (before, now) if before == now => return,
            (_, Shortage::Paused) => {
                (MarkLevel::Warning, "paused", "memory is short: nothing is started")
            }
            (Shortage::None, Shortage::Some) => {
                (MarkLevel::Warning, "short-of-memory", "memory is short: less is started")
            }
            (_, Shortage::Some) => (MarkLevel::Info, "resumed", "some tasks are started again"),
            (_, Shortage::None) => (MarkLevel::Info, "resumed", "memory is not short any more"),
        };
        self.mark(Mark { at_ns, level, kind, text: text.to_owned(), worker: None, key: None });
    }

    fn mark(&mut self, mark: Mark) {
        if self.marks.len() == MOST_MARKS {
            self.marks.pop_front();
        }
        self.marks.push_back(mark);
    }

    fn take_note(&mut self, at_ns: u64, notice: &Notice) {
        match notice {
            Notice::Group { group, name } => {
                self.group_mut(*group).name.clone_from(name);
            }
            Notice::Reads { group, input, edges } => {
                let inputs = &mut self.group_mut(*group).inputs;
                *inputs.entry(*input).or_default() += edges;
            }
            Notice::Shape { base, groups, starts, inputs } => {
                self.shapes.add(*base, groups, starts, inputs);
            }
            Notice::Joined { worker, name, pid, threads, memory_limit } => {
                let noun = if *threads == 1 { "thread" } else { "threads" };
                let text = format!("worker {name} joined, with {threads} {noun} (process {pid})");
                let is_back = self.workers.contains_key(worker);
                let new = || Worker { bins: Levels::small(), ..Worker::default() };
                let entry = self.workers.entry(*worker).or_insert_with(new);
                entry.name.clone_from(name);
                (entry.pid, entry.threads, entry.memory_limit) = (*pid, *threads, *memory_limit);
                entry.left = None;
                if !is_back {
                    entry.joined_ns = at_ns;
                    entry.spark_ns = at_ns;
                }
                for thread in 0..*threads {
                    let row = self.threads.place_of(*worker, thread);
                    self.threads.begins(row, at_ns);
                }
                let (level, kind) = (MarkLevel::Info, "worker-joined");
                self.mark(Mark { at_ns, level, kind, text, worker: Some(*worker), key: None });
            }
            Notice::Left { worker, cause, crashed } => {
                let Some(entry) = self.workers.get_mut(worker) else { return };
                entry.left = Some((at_ns, cause.clone()));
                entry.sight = WorkerSight { worker: *worker, ..WorkerSight::default() };
                entry.cores = 0.0;
                let text = format!("worker {} {cause}", entry.name);
                self.threads.end(*worker, at_ns);
                let level = if *crashed { MarkLevel::Error } else { MarkLevel::Info };
                let kind = "worker-left";
                self.mark(Mark { at_ns, level, kind, text, worker: Some(*worker), key: None });
            }
            Notice::Raised { group, key, exception, traceback } => {
                self.error_count += 1;
                let is_same =
                    |kind: &&mut ErrorKind| kind.group == *group && kind.exception == *exception;
                if let Some(kind) = self.errors.iter_mut().find(is_same) {
                    kind.count += 1;
                    kind.last_ns = at_ns;
                } else if self.errors.len() < MOST_ERRORS {
                    self.errors.push(ErrorKind {
                        exception: exception.clone(),
                        group: *group,
                        count: 1,
                        first_ns: at_ns,
                        last_ns: at_ns,
                        key: key.clone(),
                        traceback: traceback.clone(),
                    });
                }
            }
            Notice::Began(origin) => self.origin = (**origin).clone(),
            Notice::Gap { gap, text } => {
                let kind = match gap {
                    Gap::Stopped => "recording-stopped",
                    Gap::Full => "file-full",
                    Gap::Torn => "file-torn",
                };
                let (level, text) = (MarkLevel::Warning, text.clone());
                self.mark(Mark { at_ns, level, kind, text, worker: None, key: None });
            }
            Notice::Ended => self.has_ended = true,
        }
    }
}

impl Worker {
    fn see(&mut self, at_ns: u64, sight: &WorkerSight) {
        if let Some(seen_ns) = self.seen_ns
            && at_ns > seen_ns
        {
            let used = sight.cpu_ns.saturating_sub(self.sight.cpu_ns) as f64;
            let cores = used / (at_ns - seen_ns) as f64;
            // The system counts in hundredths of a second: one look alone says little.
            let share =
                if self.is_measured { ((at_ns - seen_ns) as f64 / 5e8).min(1.0) } else { 1.0 };
            self.is_measured = true;
            self.cores += share * (cores - self.cores);
        }
        self.seen_ns = Some(at_ns);
        self.sight.clone_from(sight);
        while at_ns >= self.spark_ns + SPARK_NS {
            self.spark_ns += SPARK_NS;
            if self.sparks.len() == SPARKS {
                self.sparks.pop_front();
            }
            self.sparks.push_back((self.cores as f32, sight.memory));
        }
    }

    /// When the first of its sparks began, in nanoseconds since the run did.
    pub fn sparks_begin_ns(&self) -> u64 {
        self.spark_ns - self.sparks.len() as u64 * SPARK_NS
    }
}

/// Where seconds of threads are booked: for all, and for their workers.
pub(crate) struct Ledger<'a> {
    bins: &'a mut Levels<Bins>,
    workers: &'a mut BTreeMap<WorkerId, Worker>,
}

impl Ledger<'_> {
    /// Books seconds of a thread at a moment.
    fn book_at(&mut self, worker: WorkerId, at_ns: u64, seconds: &Bins) {
        let moment = at_ns..at_ns + 1;
        self.bins.over(&moment, |bins, _| bins.merge(seconds));
        if let Some(worker) = self.workers.get_mut(&worker) {
            worker.bins.over(&moment, |bins, _| bins.merge(seconds));
        }
    }

    /// Books a stretch of a thread's time.
    fn book(&mut self, worker: WorkerId, stretch: &Range<u64>, shares: &[(Bin, f32)]) {
        let mut add = |bins: &mut Bins, nanoseconds| bins.add_shares(shares, nanoseconds);
        self.bins.over(stretch, &mut add);
        if let Some(worker) = self.workers.get_mut(&worker) {
            worker.bins.over(stretch, &mut add);
        }
    }
}

/// Why threads of a worker that run no task do not, that was seen so.
fn why_idle(sight: &Sight, worker: &WorkerSight, running: u32) -> Bin {
    if worker.processing > running + worker.fetching {
        Bin::Overhead
    } else if worker.fetching > 0 {
        Bin::Transfer
    } else if sight.queued > 0 && sight.pressure > Shortage::None {
        Bin::Paused
    } else if sight.queued > 0 {
        Bin::Scheduler
    } else {
        Bin::Starved
    }
}
