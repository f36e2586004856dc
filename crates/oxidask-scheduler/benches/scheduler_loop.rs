//! The bare scheduler loop: nanoseconds and bytes a task on graphs of a million tasks, and on
//! submissions of one task each that come and go.
//!
//! `cargo bench -p oxidask-scheduler`. Each graph is submitted and then run on one worker of two
//! threads that finishes tasks in the order in which it got them; ordering the graph is timed
//! apart.
#![expect(clippy::disallowed_methods, reason = "a benchmark looks at the clock")]

use std::collections::VecDeque;
use std::hint::black_box;
use std::time::{Duration, Instant};

use oxidask_graph::{Edges, order, peak_live_results};
use oxidask_protocol::{Attempt, HostId, TaskId, WorkerId};
use oxidask_scheduler::{Action, Event, Outbox, SchedulerState, Settings, Submission};

const TASKS: u32 = 1_000_000;
const RUNS: usize = 5;

fn main() {
    println!(
        "{:<14} {:>9} {:>9} {:>10} {:>9} {:>10}",
        "shape", "order ns", "loop ns", "bytes", "edges", "peak live"
    );
    for (name, edges) in shapes() {
        let (mut ordering, mut looping, mut bytes) = (f64::MAX, f64::MAX, 0);
        let mut peak = 0;
        for _ in 0..RUNS {
            let begin = Instant::now();
            let dependents = edges.reversed();
            let order = order(&edges, &dependents).expect("no cycle");
            ordering = ordering.min(nanoseconds_per_task(begin, &edges));
            peak = peak_live_results(&edges, &dependents, &order);
            let wanted: Vec<u32> =
                (0..edges.len() as u32).filter(|&task| dependents.row(task).is_empty()).collect();
            let submission = Submission {
                dependencies: edges.clone(),
                rank: order.rank,
                groups: vec![0; edges.len()],
                wanted,
                ..Submission::default()
            };
            let begin = Instant::now();
            bytes = run_to_the_end(submission) / edges.len();
            looping = looping.min(nanoseconds_per_task(begin, &edges));
        }
        println!(
            "{name:<14} {ordering:>9.0} {looping:>9.0} {bytes:>10} {:>9.2} {peak:>10}",
            edges.edge_count() as f64 / edges.len() as f64
        );
    }
    // `COME_AND_GO=100000000` shows months of a cluster in two minutes.
    let tasks = std::env::var("COME_AND_GO").map_or(1_000_000, |text| {
        text.parse().unwrap_or_else(|_| panic!("COME_AND_GO={text} is not a number of tasks"))
    });
    for tasks in [1000, tasks] {
        let (nanoseconds, bytes) = come_and_go(tasks);
        println!("{tasks} tasks that come and go: {nanoseconds:.0} ns a task, {bytes} bytes");
    }
}

/// Submits, finishes and forgets one task after another, as futures do, beside one that stays and
/// that each of them reads. Nanoseconds a task, and the bytes in use then, which must not grow.
fn come_and_go(tasks: u64) -> (f64, usize) {
    let worker = WorkerId(0);
    let mut state = SchedulerState::new(Settings::default());
    let mut outbox = Outbox::default();
    let joined = Event::WorkerJoined {
        worker,
        host: HostId(0),
        threads: 2,
        window: 2,
        offer: Box::default(),
    };
    state.handle(joined, Duration::ZERO, &mut outbox);
    let mut run = |rows: &[&[u32]], externals: Vec<TaskId>, released: bool| {
        let task = state.place_for(1);
        let submission = Submission {
            dependencies: Edges::from_rows(rows),
            externals,
            rank: vec![0],
            groups: vec![0],
            wanted: vec![0],
            ..Submission::default()
        };
        state.handle(Event::GraphSubmitted(Box::new(submission)), Duration::ZERO, &mut outbox);
        let (attempt, duration) = (state.attempt_of(task), Duration::from_nanos(100));
        let event =
            Event::TaskFinished { worker, task, attempt, nbytes: 8, duration, held_by: worker };
        state.handle(event, Duration::ZERO, &mut outbox);
        if released {
            state.handle(Event::TasksReleased { tasks: vec![task] }, Duration::ZERO, &mut outbox);
        }
        outbox.clear();
        task
    };
    let kept = run(&[&[]], Vec::new(), false);
    let begin = Instant::now();
    for _ in 0..tasks {
        run(&[&[1]], vec![kept], true);
    }
    let nanoseconds = begin.elapsed().as_nanos() as f64 / tasks as f64;
    (nanoseconds, state.nbytes())
}

fn nanoseconds_per_task(begin: Instant, edges: &Edges) -> f64 {
    begin.elapsed().as_nanos() as f64 / edges.len() as f64
}

/// Runs a graph and returns the bytes that the scheduler used for it.
fn run_to_the_end(submission: Submission) -> usize {
    let worker = WorkerId(0);
    let tasks = submission.rank.len();
    let mut state = SchedulerState::new(Settings::default());
    let mut outbox = Outbox::default();
    let mut running: VecDeque<(TaskId, Attempt)> = VecDeque::new();
    let mut finished = 0;
    state.handle(
        Event::WorkerJoined {
            worker,
            host: HostId(0),
            threads: 2,
            window: 2,
            offer: Box::default(),
        },
        Duration::ZERO,
        &mut outbox,
    );
    state.handle(Event::GraphSubmitted(Box::new(submission)), Duration::ZERO, &mut outbox);
    loop {
        for action in outbox.actions.drain(..) {
            if let Action::Run { task, attempt, .. } = action {
                running.push_back((task, attempt));
            }
        }
        outbox.records.clear();
        let Some((task, attempt)) = running.pop_front() else { break };
        finished += 1;
        let duration = Duration::from_nanos(100);
        let event =
            Event::TaskFinished { worker, task, attempt, nbytes: 8, duration, held_by: worker };
        state.handle(event, Duration::from_nanos(finished), &mut outbox);
    }
    assert_eq!(finished as usize, tasks);
    black_box(state).nbytes()
}

fn shapes() -> Vec<(&'static str, Edges)> {
    vec![
        ("independent", Edges::from_rows((0..TASKS).map(|_| []))),
        ("tree", tree()),
        (
            "chain",
            Edges::from_rows(
                (0..TASKS).map(|task| task.checked_sub(1).into_iter().collect::<Vec<_>>()),
            ),
        ),
        ("stencil", stencil()),
        ("random layers", random_layers()),
        ("wavefront", wavefront()),
    ]
}

/// A binary tree of 2¹⁹ leaves: 2²⁰ - 1 tasks.
fn tree() -> Edges {
    let mut rows: Vec<Vec<u32>> = vec![vec![]; 1 << 19];
    let mut level: Vec<u32> = (0..1 << 19).collect();
    while level.len() > 1 {
        level = level
            .chunks(2)
            .map(|pair| {
                rows.push(pair.to_vec());
                rows.len() as u32 - 1
            })
            .collect();
    }
    Edges::from_rows(rows)
}

/// 1000 steps over 1000 cells; each reads its neighbours of the step before.
fn stencil() -> Edges {
    let side = 1000;
    Edges::from_rows((0..TASKS).map(|task| {
        let (step, cell) = (task / side, task % side);
        if step == 0 {
            return vec![];
        }
        let before = (step - 1) * side;
        (cell.saturating_sub(1)..=(cell + 1).min(side - 1)).map(|near| before + near).collect()
    }))
}

/// 100 layers of 10,000 tasks; each reads one to four of the layer before.
fn random_layers() -> Edges {
    let width = 10_000;
    let mut seed = 0x9E37_79B9_7F4A_7C15_u64;
    let mut random = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed >> 33) as u32
    };
    Edges::from_rows((0..TASKS).map(|task| {
        if task < width {
            return vec![];
        }
        let before = (task / width - 1) * width;
        let mut row: Vec<u32> = (0..=random() % 4).map(|_| before + random() % width).collect();
        row.sort_unstable();
        row.dedup();
        row
    }))
}

fn wavefront() -> Edges {
    let side = 1000;
    Edges::from_rows((0..TASKS).map(|task| {
        let mut row = Vec::new();
        if task >= side {
            row.push(task - side);
        }
        if task % side > 0 {
            row.push(task - 1);
        }
        row
    }))
}
