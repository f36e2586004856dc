//! The engine with tasks that are Rust: what Python tasks rely on.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use oxidask_graph::{Edges, order};
use oxidask_protocol::TaskId;
use oxidask_scheduler::Submission;

use super::{Addition, Outcome, Pool, Run, RunState, Tasks, Watching};

/// Each task adds one to the sum of its inputs; `failing` fails; at `meeting`, two tasks meet.
struct Sums {
    dependencies: Edges,
    results: Vec<AtomicU64>,
    is_kept: Vec<AtomicBool>,
    live: AtomicUsize,
    most_live: AtomicUsize,
    failing: Option<u32>,
    meeting: Option<Barrier>,
}

impl Sums {
    fn new(rows: &[Vec<u32>]) -> Self {
        Self {
            dependencies: Edges::from_rows(rows),
            results: rows.iter().map(|_| AtomicU64::new(0)).collect(),
            is_kept: rows.iter().map(|_| AtomicBool::new(false)).collect(),
            live: AtomicUsize::new(0),
            most_live: AtomicUsize::new(0),
            failing: None,
            meeting: None,
        }
    }

    fn run(self, wanted: &[u32], threads: u32) -> Arc<Run<Self>> {
        let dependencies = self.dependencies.clone();
        let rank = order(&dependencies, &dependencies.reversed()).expect("no cycle").rank;
        let groups = vec![0; rank.len()];
        let wanted = wanted.to_vec();
        let submission = Submission { dependencies, rank, groups, wanted, ..Submission::default() };
        Arc::new(Run::new(self, submission, threads, Watching::Spans))
    }
}

impl Tasks for Sums {
    fn execute(&self, _run: &Run<Self>, task: u32) -> Outcome {
        if self.failing == Some(task) {
            return Outcome::Failed;
        }
        if let Some(meeting) = &self.meeting {
            meeting.wait();
        }
        let mut sum = 1;
        for &input in self.dependencies.row(task) {
            assert!(self.is_kept[input as usize].load(Ordering::SeqCst), "an input was released");
            sum += self.results[input as usize].load(Ordering::SeqCst);
        }
        self.results[task as usize].store(sum, Ordering::SeqCst);
        assert!(!self.is_kept[task as usize].swap(true, Ordering::SeqCst), "a task ran twice");
        let live = self.live.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_live.fetch_max(live, Ordering::SeqCst);
        Outcome::Finished
    }

    fn release(&self, tasks: &[u32]) {
        for &task in tasks {
            if self.is_kept[task as usize].swap(false, Ordering::SeqCst) {
                self.live.fetch_sub(1, Ordering::SeqCst);
            }
        }
    }

    fn while_waiting<R: Send>(wait: impl FnOnce() -> R + Send) -> R {
        wait()
    }
}

/// A pool of so many threads, stopped and joined at the end.
fn with_pool(threads: usize, body: impl FnOnce(&Arc<Pool<Sums>>)) {
    let pool: Arc<Pool<Sums>> = Arc::default();
    assert_eq!(pool.threads_to_start(threads), threads);
    let handles: Vec<_> = (0..threads)
        .map(|_| {
            let pool = Arc::clone(&pool);
            std::thread::spawn(move || pool.serve())
        })
        .collect();
    body(&pool);
    pool.stop();
    assert_eq!(pool.join(Duration::from_secs(60)), 0);
    for handle in handles {
        handle.join().expect("a thread of the pool does not panic");
    }
}

fn wait_for(run: &Run<Sums>) -> RunState {
    loop {
        let state = run.wait(Duration::from_secs(1), || false);
        if state != RunState::Running {
            return state;
        }
    }
}

/// A binary tree over `leaves`, the root last.
fn tree(leaves: u32) -> Vec<Vec<u32>> {
    let mut rows: Vec<Vec<u32>> = vec![vec![]; leaves as usize];
    let mut level: Vec<u32> = (0..leaves).collect();
    while level.len() > 1 {
        level = level
            .chunks(2)
            .map(|pair| {
                rows.push(pair.to_vec());
                rows.len() as u32 - 1
            })
            .collect();
    }
    rows
}

#[test]
fn a_tree_is_summed_by_three_threads_with_few_results_alive() {
    with_pool(3, |pool| {
        let rows = tree(1 << 12);
        let root = rows.len() as u32 - 1;
        let run = Sums::new(&rows).run(&[root], 3);
        pool.add(Arc::clone(&run));
        assert_eq!(wait_for(&run), RunState::Done);
        assert_eq!(run.tasks.results[root as usize].load(Ordering::SeqCst), rows.len() as u64);
        let most = run.tasks.most_live.load(Ordering::SeqCst);
        assert!(most <= 3 * 14, "{most} results were alive at once");
        let progress = run.watched_progress().expect("it is watched");
        assert_eq!((progress.finished(), progress.tasks()), (rows.len() as u64, rows.len() as u64));
        assert!(pool.remove(&run).is_some());
    });
}

#[test]
fn a_client_runs_everything_by_itself_if_there_is_no_pool() {
    let rows = tree(256);
    let root = rows.len() as u32 - 1;
    let run = Sums::new(&rows).run(&[root], 1);
    let tick = Duration::from_secs(60);
    let state = run.help(tick, || false, || unreachable!("one slot"), || Ok::<_, ()>(()));
    assert_eq!(state, Ok(RunState::Done));
}

#[test]
fn a_failure_ends_the_run_and_starts_nothing_more() {
    let mut sums = Sums::new(&[vec![], vec![], vec![0, 1], vec![]]);
    sums.failing = Some(0);
    let run = sums.run(&[2, 3], 1);
    assert!(!run.work(0, || ()));
    assert_eq!(run.state(), RunState::Failed { task: 0 });
    assert_eq!(run.progress(), (1, 0));
    assert_eq!(run.tasks.live.load(Ordering::SeqCst), 0);
}

#[test]
fn what_a_task_reads_stays_until_it_ends_when_the_run_fails_or_is_cancelled() {
    let now = Instant::now();
    for is_cancelled in [false, true] {
        let run = Sums::new(&[vec![], vec![0], vec![0], vec![1, 2]]).run(&[3], 2);
        let mut released = Vec::new();
        let first = run.take(0).assigned.expect("it has no inputs");
        let next = run.complete(first, Outcome::Finished, 0, now..now, &mut released);
        let (one, other) = (next.assigned.expect("two wait"), run.take(1).assigned.expect("one"));
        if is_cancelled {
            run.cancel();
            run.complete(one, Outcome::Finished, 0, now..now, &mut released);
            // Its own result is of no use; the other one still reads.
            assert_eq!(released, [one.task]);
            released.clear();
        } else {
            run.complete(one, Outcome::Failed, 0, now..now, &mut released);
            assert_eq!(released, [0; 0]);
        }
        run.complete(other, Outcome::Finished, 1, now..now, &mut released);
        assert_eq!(released, [other.task, 0]);
    }
}

#[test]
fn a_cancelled_run_releases_everything_and_starts_nothing() {
    let run = Sums::new(&[vec![], vec![0]]).run(&[1], 2);
    run.cancel();
    assert_eq!(run.state(), RunState::Cancelled);
    assert_eq!(run.waiting(), 0);
    assert_eq!(run.take(0).assigned, None);
}

#[test]
fn a_thread_that_is_stuck_in_an_abandoned_run_is_replaced() {
    with_pool(1, |pool| {
        let mut sums = Sums::new(&[vec![]]);
        sums.meeting = Some(Barrier::new(2));
        let run = sums.run(&[0], 1);
        pool.add(Arc::clone(&run));
        while run.progress().1 == 0 {
            std::thread::yield_now();
        }
        run.cancel();
        assert!(pool.remove(&run).is_some());
        // Its only thread is stuck, so another one is due; it serves the next run.
        assert_eq!(pool.threads_to_start(1), 1);
        std::thread::scope(|scope| {
            scope.spawn(|| pool.serve());
            let next = Sums::new(&[vec![], vec![0]]).run(&[1], 1);
            pool.add(Arc::clone(&next));
            assert_eq!(wait_for(&next), RunState::Done);
            // The stuck one comes back, and leaves.
            run.tasks.meeting.as_ref().expect("set above").wait();
            pool.stop();
        });
    });
}

/// The additions of a graph whose tasks stand in the order to run, so many tasks each.
fn additions(rows: &[Vec<u32>], wanted: &[u32], size: usize) -> Vec<Addition> {
    let mut last_reader = vec![0; rows.len()];
    for (task, row) in rows.iter().enumerate() {
        for &input in row {
            last_reader[input as usize] = task;
        }
    }
    let pieces = rows.chunks(size).enumerate().map(|(place, piece)| {
        let (first, end) = (place * size, place * size + piece.len());
        let mut externals: Vec<u32> = Vec::new();
        let mut local = |&input: &u32| {
            if let Some(local) = (input as usize).checked_sub(first) {
                local as u32
            } else {
                externals.push(input);
                (piece.len() + externals.len() - 1) as u32
            }
        };
        let dependencies: Vec<Vec<u32>> =
            piece.iter().map(|row| row.iter().map(&mut local).collect()).collect();
        let of_piece = |task: &u32| (first..end).contains(&(*task as usize));
        let finals: Vec<u32> = wanted.iter().copied().filter(of_piece).collect();
        let is_kept = |task: &usize| last_reader[*task] >= end || finals.contains(&(*task as u32));
        let kept = (first..end).filter(is_kept).map(|task| (task - first) as u32);
        let is_settled = |task: &u32| (first..end).contains(&last_reader[*task as usize]);
        let mut settled: Vec<u32> = externals.iter().copied().filter(is_settled).collect();
        settled.retain(|task| !wanted.contains(task));
        settled.sort_unstable();
        settled.dedup();
        Addition {
            submission: Submission {
                dependencies: Edges::from_rows(dependencies),
                rank: (0..piece.len() as u32).collect(),
                groups: vec![0; piece.len()],
                wanted: kept.collect(),
                externals: externals.into_iter().map(TaskId).collect(),
                ..Submission::default()
            },
            wanted: finals,
            settled,
            is_last: end == rows.len(),
        }
    });
    pieces.collect()
}

/// Adds the pieces one by one when they are asked for; says how the run ended and how many were added.
fn grow(run: &Run<Sums>, additions: Vec<Addition>, wake: impl Fn()) -> (RunState, usize) {
    let mut additions = additions.into_iter();
    let mut count = 0;
    loop {
        while run.is_short() {
            run.grow(additions.next().expect("a run is not short once it has all tasks"));
            count += 1;
            wake();
        }
        let state = run.wait(Duration::from_secs(1), || false);
        if state != RunState::Running {
            return (state, count);
        }
    }
}

#[test]
fn a_run_is_given_its_tasks_piece_by_piece() {
    let rows = depth_first_tree(1 << 15);
    let (last, early) = (rows.len() as u32 - 1, 6);
    let run = Arc::new(Run::growing(Sums::new(&rows), 2, Watching::Nothing));
    with_pool(2, |pool| {
        pool.add(Arc::clone(&run));
        let pieces = additions(&rows, &[early, last], 1_000);
        let all = pieces.len();
        let outcome = grow(&run, pieces, || (0..2).for_each(|_| pool.wake_one()));
        assert_eq!(outcome, (RunState::Done, all));
        pool.remove(&run);
    });
    assert_eq!(run.tasks.results[last as usize].load(Ordering::SeqCst), u64::from(last) + 1);
    // Nothing but what was asked for is kept, and what was kept was never much.
    assert_eq!(run.tasks.live.load(Ordering::SeqCst), 2);
    let most = run.tasks.most_live.load(Ordering::SeqCst);
    assert!(most < 40, "{most} results at once");
}

#[test]
fn a_run_that_fails_is_given_no_more_tasks() {
    let rows = depth_first_tree(1 << 16);
    with_pool(2, |pool| {
        let tasks = Sums { failing: Some(700), ..Sums::new(&rows) };
        let run = Arc::new(Run::growing(tasks, 2, Watching::Nothing));
        pool.add(Arc::clone(&run));
        let pieces = additions(&rows, &[rows.len() as u32 - 1], 1_000);
        let all = pieces.len();
        let (state, count) = grow(&run, pieces, || pool.wake_one());
        assert_eq!(state, RunState::Failed { task: 700 });
        assert!(count < all, "all {all} pieces were added");
        pool.remove(&run);
    });
}

#[test]
fn a_run_that_grows_can_be_cancelled_and_done_in_the_calling_thread() {
    let rows = depth_first_tree(1 << 10);
    let wanted = [rows.len() as u32 - 1];
    let mut pieces = additions(&rows, &wanted, 100);
    let run = Run::growing(Sums::new(&rows), 1, Watching::Nothing);
    let rest = pieces.split_off(3);
    for piece in pieces {
        run.grow(piece);
        run.work(0, || ());
    }
    assert!(run.tasks.live.load(Ordering::SeqCst) > 0);
    run.cancel();
    assert_eq!(run.tasks.live.load(Ordering::SeqCst), 0);
    for piece in rest {
        run.grow(piece);
    }
    assert_eq!(run.state(), RunState::Cancelled);

    let run = Run::growing(Sums::new(&rows), 1, Watching::Nothing);
    let pieces = std::cell::RefCell::new(additions(&rows, &wanted, 100).into_iter());
    let more = || {
        while run.is_short() {
            run.grow(pieces.borrow_mut().next().expect("it has not all tasks"));
        }
        Ok::<(), ()>(())
    };
    assert_eq!(run.help(Duration::from_secs(1), || false, || (), more), Ok(RunState::Done));
    assert_eq!(run.tasks.live.load(Ordering::SeqCst), 1);
}

/// A binary tree over `leaves`, each task behind what it needs and no other in between.
fn depth_first_tree(leaves: u32) -> Vec<Vec<u32>> {
    fn add(rows: &mut Vec<Vec<u32>>, leaves: u32) -> u32 {
        let row =
            if leaves == 1 { vec![] } else { vec![add(rows, leaves / 2), add(rows, leaves / 2)] };
        rows.push(row);
        rows.len() as u32 - 1
    }
    let mut rows = Vec::new();
    add(&mut rows, leaves);
    rows
}
