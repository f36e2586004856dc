//! What limits a run now, in one sentence, and what to do about it.
//!
//! [`Facts`] are what a window of a run's [`Model`] amounts to; [`judge`] is a pure function of them. It
//! says no more than they tell: what it does not know is called unknown.

use std::ops::Range;

use crate::model::Model;
use crate::model::bins::{Bin, Bins};
use crate::model::groups::Durations;
use crate::words::{bytes, duration, percent};

/// What limits a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Processors: all threads compute.
    Compute,
    /// The interpreter, which one thread at a time has.
    Gil,
    /// Tasks sleep, or wait for something outside.
    Waiting,
    /// Inputs that have to be brought.
    Transfer,
    /// The disk.
    Disk,
    /// Memory: less is started, or results go to disk.
    Memory,
    /// Results that have to be packed for others.
    Serialize,
    /// The scheduler: it gives tasks out too slowly.
    Scheduler,
    /// There are too few tasks at a time.
    Starved,
    /// Tasks are so short that what is done around them lasts longer.
    SmallTasks,
    /// Some threads have work and others none.
    Imbalance,
    /// More threads compute than there are processors.
    Oversubscribed,
    /// Nothing runs.
    Idle,
    /// Nobody knows.
    Unknown,
}

impl Limit {
    /// Its name in answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Compute => "compute-bound",
            Self::Gil => "gil-bound",
            Self::Waiting => "waiting-tasks",
            Self::Transfer => "transfer-bound",
            Self::Disk => "disk-bound",
            Self::Memory => "memory-bound",
            Self::Serialize => "serialize-bound",
            Self::Scheduler => "scheduler-bound",
            Self::Starved => "starved",
            Self::SmallTasks => "too-small-tasks",
            Self::Imbalance => "imbalanced",
            Self::Oversubscribed => "oversubscribed",
            Self::Idle => "idle",
            Self::Unknown => "unknown",
        }
    }
}

/// How sure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Confidence {
    /// It may be something else.
    Low,
    /// It is likely.
    Medium,
    /// It is so.
    High,
}

impl Confidence {
    /// Its name in answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// What a window of a run amounts to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// Where the time of threads went.
    pub bins: Bins,
    /// Threads that run tasks, and workers that have them.
    pub threads: u32,
    /// As above.
    pub workers: u32,
    /// Whether workers are processes of their own, so that each has an interpreter.
    pub has_processes: bool,
    /// Processors of the machine.
    pub processors: u32,
    /// Processors that were in use on average.
    pub cores: f64,
    /// Tasks that ended.
    pub ended: f64,
    /// Half of the tasks were shorter, in seconds.
    pub median: Option<f64>,
    /// The share of time in which all threads ran tasks.
    pub full: f64,
    /// Threads that ran tasks on average.
    pub running: f64,
    /// Tasks that could have run besides, on average.
    pub ready: f64,
    /// Seconds in tasks, of the busiest thread and of the one that was least busy.
    pub busiest: f64,
    /// As above.
    pub idlest: f64,
    /// The share of time in which memory was short.
    pub short: f64,
    /// Bytes on disk.
    pub spilled: u64,
    /// Bytes of memory in use, and how many there may be.
    pub memory: u64,
    /// As above.
    pub memory_limit: Option<u64>,
    /// Records that were lost.
    pub dropped: u64,
}

/// Something that was measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Evidence {
    /// In words.
    pub text: String,
    /// The number in it.
    pub value: f64,
}

/// What limits a run, why that is thought, and what to do.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// The limit.
    pub limit: Limit,
    /// The share of threads' time that it took.
    pub share: f64,
    /// How sure that is.
    pub confidence: Confidence,
    /// In one sentence.
    pub sentence: String,
    /// What to do.
    pub advice: Vec<String>,
    /// What was measured.
    pub evidence: Vec<Evidence>,
    /// Where the time of threads went.
    pub bins: Bins,
}

/// A share of time from which on a bin is the limit.
const WORTH_TELLING: f64 = 0.15;
/// Less than so many seconds of threads say nothing.
const LEAST_SECONDS: f64 = 0.05;
/// Tasks are short if half of them are shorter than this, in seconds.
const SHORT: f64 = 2e-3;
/// Tasks are many if a thread could run so many in a second.
const MANY_A_SECOND: f64 = 200.0;
/// Memory is the limit if it was short for this share of time, and threads waited then.
const LONG_SHORT: f64 = 0.25;
/// What is beside tasks is too much from this share of all time on.
const TOO_MUCH_BESIDE: f64 = 0.2;

impl Facts {
    /// What a window of a run amounts to.
    pub fn of(model: &Model, window: &Range<u64>) -> Self {
        let mut bins = Bins::default();
        model.bins.visit(window, |step| bins.merge(step));
        let (mut weight, mut cores, mut busy, mut ready, mut ended) = (0.0, 0.0, 0.0, 0.0, 0.0);
        let (mut full, mut short) = (0.0, 0.0);
        let threads = model.most_threads();
        model.gauges.visit(window, |step| {
            ended += step.ended;
            // Times without tasks say nothing of a run.
            if step.busy > 0.0 || step.ready > 0.0 {
                weight += step.weight;
                cores += step.cpu;
                busy += step.busy;
                ready += step.ready;
                short += step.short;
                if step.busy >= step.weight * (f64::from(threads) - 0.25) {
                    full += step.weight;
                }
            }
        });
        let mean = |sum: f64| if weight > 0.0 { sum / weight } else { 0.0 };
        let mut durations = Durations::default();
        for group in model.groups.iter().filter(|group| group.last_ns >= window.start) {
            durations.merge(&group.durations);
        }
        let rows = model.threads.rows().iter().filter(|row| row.ended_ns.is_none());
        let busy_seconds: Vec<f64> = rows.map(|row| row.busy).collect();
        let workers: Vec<_> = model.workers.values().filter(|one| one.left.is_none()).collect();
        Self {
            bins,
            threads,
            workers: workers.len() as u32,
            has_processes: workers.iter().any(|worker| worker.pid != model.origin.pid),
            processors: model.origin.processors,
            cores: mean(cores),
            ended,
            median: durations.quantile(0.5),
            full: mean(full),
            running: mean(busy),
            ready: mean(ready),
            busiest: busy_seconds.iter().copied().fold(0.0, f64::max),
            idlest: busy_seconds.iter().copied().fold(f64::INFINITY, f64::min),
            short: mean(short),
            spilled: model.sight.spilled,
            memory: model.sight.memory,
            memory_limit: model.sight.limit,
            dropped: model.dropped,
        }
    }

    /// The share of time in which tasks ran, whatever they did.
    fn in_tasks(&self) -> f64 {
        let bins = [Bin::Compute, Bin::Gil, Bin::Blocked, Bin::Unknown];
        bins.iter().map(|&bin| self.bins.share(bin)).sum()
    }

    fn has_short_tasks(&self) -> bool {
        let total = self.bins.total();
        self.ended >= 100.0
            && self.ended / total >= MANY_A_SECOND
            && self.median.is_some_and(|median| median < SHORT)
            && 1.0 - self.in_tasks() >= TOO_MUCH_BESIDE
            && self.bins.share(Bin::Paused) + self.bins.share(Bin::Disk) < WORTH_TELLING
    }

    fn limit(&self) -> (Limit, f64) {
        let total = self.bins.total();
        let share = |bin| self.bins.share(bin);
        if total < LEAST_SECONDS {
            return (Limit::Idle, 0.0);
        }
        if self.has_short_tasks() {
            return (Limit::SmallTasks, 1.0 - self.in_tasks());
        }
        let held_back = share(Bin::Paused) + share(Bin::Disk);
        if share(Bin::Paused) > 0.02 && held_back >= WORTH_TELLING {
            return (Limit::Memory, held_back);
        }
        // Results go to disk then, packed before, and what waits is not given out.
        let for_memory = held_back + share(Bin::Pack) + share(Bin::Scheduler);
        if self.short >= LONG_SHORT && for_memory >= WORTH_TELLING {
            return (Limit::Memory, for_memory);
        }
        let others = Bin::ALL.into_iter().filter(|&bin| bin != Bin::Compute);
        let largest = others.max_by(|&a, &b| share(a).total_cmp(&share(b)));
        let largest = largest.expect("there are bins");
        if share(largest) < WORTH_TELLING {
            let nearly_all = f64::from(self.processors) * 0.9;
            if self.cores > self.running * 1.3 + 0.5 && self.cores >= nearly_all && nearly_all > 0.0
            {
                return (Limit::Oversubscribed, self.cores / f64::from(self.processors));
            }
            return (Limit::Compute, share(Bin::Compute));
        }
        let limit = match largest {
            Bin::Gil => Limit::Gil,
            Bin::Blocked => Limit::Waiting,
            Bin::Transfer => Limit::Transfer,
            Bin::Disk => Limit::Disk,
            Bin::Paused => Limit::Memory,
            Bin::Pack => Limit::Serialize,
            // What waits at the scheduler while a thread is free is for another one.
            Bin::Scheduler | Bin::Starved if self.is_imbalanced() => Limit::Imbalance,
            Bin::Overhead | Bin::Scheduler => Limit::Scheduler,
            Bin::Starved => Limit::Starved,
            Bin::Unknown | Bin::Compute => Limit::Unknown,
        };
        (limit, share(largest))
    }

    /// Whether some threads have nothing to do although there was enough for all: at another time, or
    /// for others.
    fn is_imbalanced(&self) -> bool {
        let is_uneven = self.threads > 1 && self.busiest > 1.3 * self.idlest;
        is_uneven && (self.full > 0.1 || self.ready > 0.5)
    }

    /// Whether what could compute gets much less than a processor each.
    fn is_crowded_out(&self) -> bool {
        let wanted = self.running * self.bins.share(Bin::Compute);
        self.bins.total() >= 2.0 && self.cores < 0.7 * wanted
    }

    fn confidence(&self, limit: Limit, share: f64) -> Confidence {
        let total = self.bins.total();
        let is_clear = match limit {
            Limit::Compute => share > 0.9,
            Limit::SmallTasks => share > 0.5,
            _ => share > 2.0 * WORTH_TELLING,
        };
        if matches!(limit, Limit::Idle | Limit::Unknown) || self.dropped > 0 || total < 0.5 {
            Confidence::Low
        } else if is_clear && total >= 2.0 {
            Confidence::High
        } else {
            Confidence::Medium
        }
    }

    fn sentence(&self, limit: Limit, share: f64) -> String {
        let part = percent(share);
        let median = self.median.map_or_else(String::new, duration);
        match limit {
            Limit::Compute => {
                format!("Processors limit this run: threads compute {part} of the time.")
            }
            Limit::Gil => {
                format!("The GIL limits this run: threads wait for it {part} of the time.")
            }
            Limit::Waiting => {
                format!("Tasks sleep or wait for something outside {part} of the time.")
            }
            Limit::Transfer => format!("Threads wait for their inputs {part} of the time."),
            Limit::Disk => {
                format!("The disk limits this run: threads wait for it {part} of the time.")
            }
            Limit::Memory => {
                format!("Memory limits this run: threads are held back for it {part} of the time.")
            }
            Limit::Serialize => {
                format!("Packing results for other processes takes {part} of the time.")
            }
            Limit::Scheduler => format!("Threads wait for the next task {part} of the time."),
            Limit::Starved => format!(
                "There are too few tasks: {:.1} of {} threads work on average.",
                self.running, self.threads
            ),
            Limit::SmallTasks => format!(
                "Tasks are too small: half of them last less than {median}, and {part} of the time \
                 goes into what is around them."
            ),
            Limit::Imbalance => format!(
                "Work is uneven: threads have nothing to do {part} of the time while others work."
            ),
            Limit::Oversubscribed => format!(
                "More threads compute than there are processors: {:.1} of {} are in use by {:.1} tasks.",
                self.cores, self.processors, self.running
            ),
            Limit::Idle => "Nothing has run yet.".to_owned(),
            Limit::Unknown => format!("It is not known what threads did {part} of the time."),
        }
    }

    fn advice(&self, limit: Limit) -> Vec<String> {
        let threads = self.threads;
        let workers = self.workers.max(1);
        let each = threads / workers;
        let one = |text: String| vec![text];
        match limit {
            Limit::Compute if self.is_crowded_out() => one(format!(
                "Other programs take the processors: {:.1} tasks compute on {:.1} of them. End those, or \
                 use fewer threads.",
                self.running, self.cores
            )),
            Limit::Compute if threads < self.processors => one(format!(
                "More threads will help: {threads} of {} processors have one.",
                self.processors
            )),
            Limit::Compute => one("More or faster processors will help, or less work.".to_owned()),
            Limit::Gil => one(format!(
                "Use processes with one thread each: LocalCluster(n_workers={threads}, \
                 threads_per_worker=1) instead of {workers} × {each}{}.",
                if self.has_processes { "" } else { " threads of one process" }
            )),
            Limit::Waiting => one(format!(
                "More threads will help, for waiting needs no processor: threads_per_worker={}.",
                (each * 4).max(4)
            )),
            Limit::Transfer => one("Make tasks that share inputs larger, or fewer.".to_owned()),
            Limit::Disk => {
                one("Use a faster disk for local_directory, or less data at a time.".to_owned())
            }
            Limit::Memory => {
                let text = match self.memory_limit {
                    Some(limit) => format!(
                        "Use smaller chunks, or raise memory_limit: {} of {} are in use, {} are on disk.",
                        bytes(self.memory),
                        bytes(limit),
                        bytes(self.spilled)
                    ),
                    None => "Use smaller chunks, or more memory.".to_owned(),
                };
                one(text)
            }
            Limit::Serialize => {
                one("Return arrays and frames instead of other objects, or use threads.".to_owned())
            }
            Limit::Scheduler => one("Make tasks larger: use larger chunks or batches.".to_owned()),
            Limit::Starved => one(format!(
                "Divide the work into more tasks at a time, {} or more: use smaller chunks or partitions.",
                2 * threads
            )),
            Limit::SmallTasks => {
                one("Make tasks larger: use larger chunks, or let a task do many steps in a loop."
                    .to_owned())
            }
            Limit::Imbalance => {
                one("Divide the longest tasks, submit them first, or let all workers run them."
                    .to_owned())
            }
            Limit::Oversubscribed => {
                one("Let libraries use one thread each: OMP_NUM_THREADS=1, or use fewer workers."
                    .to_owned())
            }
            Limit::Idle | Limit::Unknown => Vec::new(),
        }
    }

    fn evidence(&self) -> Vec<Evidence> {
        let mut evidence = Vec::new();
        let mut say = |text: String, value: f64| evidence.push(Evidence { text, value });
        let total = self.bins.total();
        if total < LEAST_SECONDS {
            return evidence;
        }
        say(
            format!("{:.1} of {} threads run tasks on average", self.running, self.threads),
            self.running,
        );
        say(format!("{:.1} processors are in use", self.cores), self.cores);
        if let Some(median) = self.median {
            say(format!("half of the tasks last less than {}", duration(median)), median);
        }
        say(format!("{:.1} tasks more could run at a time", self.ready), self.ready);
        if self.spilled > 0 {
            say(format!("{} of results are on disk", bytes(self.spilled)), self.spilled as f64);
        }
        if self.dropped > 0 {
            say(format!("{} records were lost", self.dropped), self.dropped as f64);
        }
        evidence
    }
}

/// What limits a run.
pub fn judge(facts: &Facts) -> Verdict {
    let (limit, share) = facts.limit();
    Verdict {
        limit,
        share,
        confidence: facts.confidence(limit, share),
        sentence: facts.sentence(limit, share),
        advice: facts.advice(limit),
        evidence: facts.evidence(),
        bins: facts.bins,
    }
}
