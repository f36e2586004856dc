//! A scenario: which cluster, which graphs, and what goes wrong when.

use std::time::Duration;

use oxidask_protocol::Pressure;
use oxidask_scheduler::{Offer, Settings};

use crate::graph::{Graph, GraphStyle, offer};
use crate::random::Random;

/// Of what a worker dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Death {
    /// Perhaps of a task that it ran.
    Crash,
    /// A task that it ran did not stop when its time was up.
    Overdue,
    /// Somebody ended it.
    FromOutside,
}

/// Something that clients, fate or the clock do.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Join {
        host: u32,
        threads: u32,
        window: u32,
        latency_us: u64,
        offer: Offer,
    },
    /// A worker dies; the scheduler hears of it later, and perhaps of what was already sent. It may
    /// have been taken for dead only: then it returns, without what it had.
    Kill {
        death: Death,
        notice_us: u64,
        messages_survive: bool,
        returns_after_us: Option<u64>,
    },
    Submit {
        graph: usize,
    },
    /// A client cancels so many percent of what it wants of one submission.
    Cancel {
        percent: u64,
    },
    /// A client has half of what failed tried once more.
    Retry,
    /// A client lets go of so many percent of what it wants of one submission.
    Release {
        percent: u64,
    },
    /// The clock jumps forward.
    Jump {
        by_us: u64,
    },
    /// Some worker lends so many slots.
    Lend {
        lent: u32,
    },
    /// A client wants some task that is known.
    Want,
    /// Memory gets short, or free.
    Press {
        pressure: Pressure,
    },
    Tick,
}

#[derive(Debug)]
pub(crate) struct Scenario {
    pub(crate) settings: Settings,
    pub(crate) graphs: Vec<Graph>,
    /// In order of time, in microseconds.
    pub(crate) steps: Vec<(u64, Step)>,
    /// How often, in a thousand, a living worker fails to hand out a result, and how often in all.
    pub(crate) fetch_failures: (u64, u32),
    /// How often, in a hundred, a cancelled task can be stopped while it runs.
    pub(crate) stops_percent: u64,
    pub(crate) initial_workers: u32,
    pub(crate) hosts: u32,
    /// How often, in a hundred, a result is kept by the holder of the host, if it has one.
    pub(crate) stored_percent: u64,
}

impl Scenario {
    pub(crate) fn random(random: &mut Random) -> Self {
        let timeout = [Duration::from_millis(20), Duration::from_secs(300)][random.index(2)];
        let settings = Settings {
            allowed_failures: random.between(0, 3) as u32,
            no_worker_timeout: timeout,
            bandwidth: [1e7, 1e9, 1e11][random.index(3)],
            give_ahead: Duration::from_micros([0, 2_000, 100_000][random.index(3)]),
            // With one timeout of the two, so that all else stays as it is.
            gives_away: timeout < Duration::from_secs(1),
        };
        let style = GraphStyle {
            tasks: 0,
            mean_duration_us: random.scale(10, 2000),
            raising: [0, 0, 10, 50][random.index(4)],
            slow: [0, 20, 100][random.index(3)],
            externals: 0,
        };
        let mut graphs: Vec<Graph> = (0..random.between(1, 3))
            .map(|number| {
                let tasks = random.scale(4, 300) as usize;
                let externals = if number == 0 { 0 } else { [0, 1, 5][random.index(3)] };
                Graph::random(random, GraphStyle { tasks, externals, ..style })
            })
            .collect();
        // What comes bit by bit, as futures do.
        for _ in 0..[0, 2, 6, 24][random.index(4)] {
            let tasks = random.scale(1, 6) as usize;
            let externals = random.index(4);
            graphs.push(Graph::random(random, GraphStyle { tasks, externals, ..style }));
        }
        let mut scenario = Self {
            settings,
            graphs,
            steps: Vec::new(),
            fetch_failures: [(0, 0), (10, 5), (200, 5)][random.index(3)],
            stops_percent: [0, 50, 100][random.index(3)],
            initial_workers: random.scale(1, 16) as u32,
            hosts: random.between(1, 3) as u32,
            stored_percent: [0, 50, 100][random.index(3)],
        };
        scenario.plan(random);
        scenario
    }

    fn plan(&mut self, random: &mut Random) {
        let latency_us = random.scale(5, 1000);
        let work_us: u64 = self.graphs.iter().flat_map(|graph| &graph.durations_us).sum();
        let messages_us = latency_us * self.graphs.iter().map(Graph::len).sum::<usize>() as u64;
        // About as long as the run takes, so that most of what happens falls into it.
        let span_us = (work_us + messages_us) / (3 * u64::from(self.initial_workers)) + 100;
        let time = |random: &mut Random| random.between(0, span_us);
        for _ in 0..self.initial_workers {
            let at = if random.chance(80) { 0 } else { time(random) };
            let join = join(random, self.hosts, latency_us);
            self.steps.push((at, join));
        }
        for host in 0..self.hosts {
            if random.chance(60) {
                let at = if random.chance(80) { 0 } else { time(random) };
                let offer = Offer::default();
                let holder = Step::Join { host, threads: 0, window: 0, latency_us, offer };
                self.steps.push((at, holder));
            }
        }
        for graph in 0..self.graphs.len() {
            let at = if graph == 0 { 0 } else { time(random) };
            self.steps.push((at, Step::Submit { graph }));
            if random.chance(10) {
                self.steps.push((time(random), Step::Submit { graph }));
            }
        }
        for _ in 0..[0, 1, 1, 2, 3, u64::from(self.initial_workers) + 1][random.index(6)] {
            let latencies = [1, 4, 50][random.index(3)];
            let deaths =
                [Death::Crash, Death::Crash, Death::Crash, Death::Overdue, Death::FromOutside];
            let kill = Step::Kill {
                death: deaths[random.index(deaths.len())],
                notice_us: random.between(0, latencies * latency_us),
                messages_survive: random.chance(50),
                returns_after_us: random.chance(30).then(|| random.between(0, 50 * latency_us)),
            };
            self.steps.push((time(random), kill));
        }
        for _ in 0..[0, 0, 1, 1, 3][random.index(5)] {
            let join = join(random, self.hosts, latency_us);
            self.steps.push((time(random), join));
        }
        for _ in 0..[0, 1, 1, 4][random.index(4)] {
            let percent = [10, 50, 100][random.index(3)];
            self.steps.push((time(random), Step::Release { percent }));
        }
        let futures = self.graphs.iter().filter(|graph| graph.len() <= 6).count();
        for _ in 0..futures {
            self.steps.push((time(random), Step::Release { percent: 100 }));
        }
        for _ in 0..[0, 0, 1, 3][random.index(4)] {
            let percent = [10, 50, 100][random.index(3)];
            self.steps.push((time(random), Step::Cancel { percent }));
        }
        for _ in 0..[0, 1, 3][random.index(3)] {
            self.steps.push((time(random), Step::Retry));
        }
        for _ in 0..[0, 0, 1, 2][random.index(4)] {
            let timeout_us = self.settings.no_worker_timeout.as_micros() as u64;
            let by_us = random.between(1, 3 * timeout_us);
            self.steps.push((time(random), Step::Jump { by_us }));
        }
        for _ in 0..[0, 0, 2, 6][random.index(4)] {
            let lent = [0, 1, 1, 3][random.index(4)];
            self.steps.push((time(random), Step::Lend { lent }));
        }
        for _ in 0..[0, 0, 1, 3][random.index(4)] {
            self.steps.push((time(random), Step::Want));
        }
        for _ in 0..[0, 0, 2, 6][random.index(4)] {
            let pressure = [
                Pressure::None,
                Pressure::NoRoots,
                Pressure::RootsAlone,
                Pressure::Paused,
                Pressure::Alone,
            ][random.index(5)];
            self.steps.push((time(random), Step::Press { pressure }));
        }
        for _ in 0..random.between(0, 3) {
            self.steps.push((time(random), Step::Tick));
        }
        self.steps.sort_by_key(|&(at, _)| at);
    }
}

pub(crate) fn join(random: &mut Random, hosts: u32, latency_us: u64) -> Step {
    let host = random.index(hosts as usize) as u32;
    let threads = random.between(1, 4) as u32;
    let window = threads * random.scale(1, 8) as u32;
    let factor = if random.chance(10) { 50 } else { 1 };
    let offer = offer(random);
    Step::Join { host, threads, window, latency_us: latency_us * factor, offer }
}
