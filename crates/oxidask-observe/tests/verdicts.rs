//! Made-up runs of which the limit is known, and what is said of them.

use oxidask_observe::model::Model;
use oxidask_observe::model::bins::Bin;
use oxidask_observe::news::{
    Activity, News, Notice, Origin, Shortage, Sight, TaskSight, ThreadSight, WorkerSight,
};
use oxidask_observe::verdict::{Confidence, Facts, Limit, Verdict, judge};
use oxidask_protocol::{GroupId, GroupTally, Record, RecordBody, SpanKind, TaskId, WorkerId};

const MS: u64 = 1_000_000;
/// How often somebody looks.
const TICK: u64 = 50 * MS;

/// What a thread does between two looks.
#[derive(Clone, Copy)]
enum Does {
    /// Tasks of so many nanoseconds, one after the other, each followed by a pause.
    Tasks { each: u64, pause: u64, activity: Activity },
    /// One task that does not end.
    Long(Activity),
    /// Nothing.
    Idle,
}

struct Run {
    model: Model,
    at: u64,
    task: u32,
    threads: u32,
    workers: u32,
    sight: Sight,
    given: u32,
    fetching: u32,
    cores: f64,
}

impl Run {
    fn new(workers: u32, threads: u32) -> Self {
        let mut model = Model::default();
        let origin = Origin { processors: 4, pid: 1, ..Origin::default() };
        let mut notices = vec![(0, Notice::Began(Box::new(origin)))];
        for worker in 1..=workers {
            notices.push((
                0,
                Notice::Joined {
                    worker: WorkerId(worker),
                    name: worker.to_string(),
                    pid: 100 + worker,
                    threads,
                    memory_limit: None,
                },
            ));
        }
        let tally = GroupTally { tasks: 1000, waiting: 1000, ..GroupTally::default() };
        let groups = vec![(GroupId(0), tally)];
        model.hear(&News { notices, groups, ..News::default() });
        let sight = Sight::default();
        let cores = f64::from(workers * threads);
        Self { model, at: 0, task: 0, threads, workers, sight, given: 0, fetching: 0, cores }
    }

    /// Lets some looks pass in which each thread does something.
    fn pass(&mut self, looks: u32, does: impl Fn(u32) -> Does) -> &mut Self {
        for _ in 0..looks {
            let from = self.at;
            self.at += TICK;
            let mut records = Vec::new();
            let mut sight = self.sight.clone();
            for worker in 1..=self.workers {
                let mut seen = WorkerSight {
                    worker: WorkerId(worker),
                    processing: self.given,
                    fetching: self.fetching,
                    cpu_ns: (self.at as f64 * self.cores / f64::from(self.workers)) as u64,
                    ..WorkerSight::default()
                };
                for thread in 0..self.threads {
                    let place = (worker - 1) * self.threads + thread;
                    let running =
                        self.thread(WorkerId(worker), thread, does(place), from, &mut records);
                    seen.processing += u32::from(running.task.is_some());
                    seen.threads.push(running);
                }
                sight.workers.push(seen);
            }
            records.sort_by_key(|record: &Record| record.at_ns);
            let sight = Some(sight);
            self.model.hear(&News { at_ns: self.at, records, sight, ..News::default() });
        }
        self
    }

    fn thread(
        &mut self,
        worker: WorkerId,
        thread: u32,
        does: Does,
        from: u64,
        records: &mut Vec<Record>,
    ) -> ThreadSight {
        let group = GroupId(0);
        let (task, activity) = match does {
            Does::Idle => (None, Activity::Unknown),
            Does::Long(activity) => (Some(u32::MAX - worker.0 * 100 - thread), activity),
            Does::Tasks { each, pause, activity } => {
                let mut begin = from;
                while begin + each <= self.at {
                    self.task += 1;
                    let (kind, task) = (SpanKind::Compute, TaskId(self.task));
                    let duration_ns = each;
                    let nbytes = 8;
                    let body =
                        RecordBody::Span { kind, task, group, worker, thread, nbytes, duration_ns };
                    records.push(Record { at_ns: begin + each, body });
                    begin += each + pause;
                }
                // Seen in a task as often as it is in one.
                let is_in_task = (self.at / TICK) % 100 < 100 * each / (each + pause);
                (is_in_task.then_some(self.task + 1), activity)
            }
        };
        let task = task.map(|task| TaskSight { task, group, key: String::new() });
        ThreadSight { thread, task, activity }
    }

    fn verdict(&self) -> Verdict {
        let window = self.model.last_window(60_000 * MS);
        let facts = Facts::of(&self.model, &window);
        let seconds = self.at as f64 / 1e9 * f64::from(self.workers * self.threads);
        let booked = facts.bins.total();
        assert!(
            (booked - seconds).abs() < 0.06 * seconds,
            "{booked} s of {seconds} s of threads are in a bin: {:?}",
            facts.bins
        );
        judge(&facts)
    }

    fn is(&self, limit: Limit) -> Verdict {
        let verdict = self.verdict();
        assert_eq!(verdict.limit, limit, "{verdict:#?}");
        assert_eq!(verdict.confidence, Confidence::High, "{verdict:#?}");
        verdict
    }
}

const fn tasks(each: u64, activity: Activity) -> Does {
    Does::Tasks { each, pause: 0, activity }
}

#[test]
fn threads_that_compute_are_limited_by_processors() {
    let verdict = Run::new(2, 2).pass(40, |_| tasks(10 * MS, Activity::Runs)).is(Limit::Compute);
    assert!(verdict.share > 0.95, "{verdict:#?}");
}

#[test]
fn threads_that_wait_for_the_interpreter_are_limited_by_it() {
    let mut run = Run::new(1, 2);
    for look in 0..40 {
        run.pass(1, |thread| {
            let runs = thread == look % 2;
            tasks(10 * MS, if runs { Activity::Runs } else { Activity::WaitsForInterpreter })
        });
    }
    let verdict = run.is(Limit::Gil);
    assert!((verdict.share - 0.5).abs() < 0.1, "{verdict:#?}");
    assert!(verdict.advice[0].contains("n_workers=2, threads_per_worker=1"), "{verdict:#?}");
}

#[test]
fn one_long_task_leaves_the_other_threads_without_work() {
    let one = |thread| if thread == 0 { Does::Long(Activity::Runs) } else { Does::Idle };
    Run::new(2, 1).pass(60, one).is(Limit::Starved);
}

#[test]
fn work_that_was_enough_for_all_and_is_left_to_one_is_uneven() {
    let mut run = Run::new(2, 1);
    run.pass(20, |_| tasks(25 * MS, Activity::Runs));
    run.pass(40, |thread| if thread == 0 { Does::Long(Activity::Runs) } else { Does::Idle });
    run.is(Limit::Imbalance);
}

#[test]
fn tasks_that_wait_for_a_busy_worker_are_uneven_work() {
    let mut run = Run::new(2, 1);
    run.sight.queued = 50;
    run.pass(60, |thread| if thread == 0 { tasks(25 * MS, Activity::Runs) } else { Does::Idle });
    run.is(Limit::Imbalance);
}

#[test]
fn what_is_around_tiny_tasks_limits_them() {
    let mut run = Run::new(2, 1);
    run.given = 100;
    run.cores = 2.0;
    let tiny = Does::Tasks { each: 1000, pause: 4000, activity: Activity::Runs };
    let verdict = run.pass(50, |_| tiny).is(Limit::SmallTasks);
    assert!(verdict.sentence.contains("last less than"), "{verdict:#?}");
}

#[test]
fn threads_that_are_held_back_for_memory_are_limited_by_it() {
    let mut run = Run::new(2, 1);
    run.pass(20, |_| tasks(50 * MS, Activity::Runs));
    run.sight = Sight {
        queued: 50,
        pressure: Shortage::Paused,
        spilled: 3_000_000_000,
        memory: 1_900_000_000,
        limit: Some(2_000_000_000),
        ..Sight::default()
    };
    run.pass(40, |_| Does::Idle);
    let verdict = run.is(Limit::Memory);
    assert!(verdict.advice[0].contains("1.9 GB of 2.0 GB"), "{verdict:#?}");
}

#[test]
fn tasks_that_sleep_need_more_threads() {
    Run::new(1, 2).pass(40, |_| tasks(50 * MS, Activity::Sleeps)).is(Limit::Waiting);
}

#[test]
fn inputs_that_are_on_their_way_are_waited_for() {
    let mut run = Run::new(2, 1);
    run.pass(20, |_| tasks(50 * MS, Activity::Runs));
    run.given = 1;
    run.fetching = 1;
    run.pass(30, |_| Does::Idle).is(Limit::Transfer);
}

#[test]
fn tasks_that_are_ready_and_not_given_out_are_the_scheduler_s_fault() {
    let mut run = Run::new(2, 1);
    run.pass(20, |_| tasks(50 * MS, Activity::Runs));
    run.sight.queued = 100;
    run.pass(30, |_| Does::Idle).is(Limit::Scheduler);
}

#[test]
fn a_disk_is_seen() {
    Run::new(2, 1).pass(50, |_| tasks(50 * MS, Activity::WaitsForDisk)).is(Limit::Disk);
}

#[test]
fn more_threads_than_processors_are_seen() {
    let mut run = Run::new(2, 1);
    run.cores = 4.0;
    let verdict = run.pass(60, |_| tasks(50 * MS, Activity::Runs)).is(Limit::Oversubscribed);
    assert!(verdict.advice[0].contains("OMP_NUM_THREADS"), "{verdict:#?}");
}

#[test]
fn other_programs_that_take_the_processors_are_told_of() {
    let mut run = Run::new(2, 1);
    run.cores = 0.8;
    let verdict = run.pass(60, |_| tasks(50 * MS, Activity::Runs)).is(Limit::Compute);
    assert!(verdict.advice[0].contains("on 0.8 of them"), "{verdict:#?}");
}

#[test]
fn what_was_before_the_first_task_is_not_part_of_the_run() {
    let mut run = Run::new(2, 1);
    run.pass(20, |_| Does::Idle);
    run.pass(20, |_| tasks(10 * MS, Activity::Runs));
    assert_eq!(run.model.last_window(60_000 * MS), 20 * TICK..40 * TICK);
}

#[test]
fn what_nobody_saw_is_called_unknown() {
    let mut run = Run::new(2, 1);
    let verdict = run.pass(60, |_| tasks(50 * MS, Activity::Unknown)).verdict();
    assert_eq!(verdict.limit, Limit::Unknown, "{verdict:#?}");
}

#[test]
fn lost_records_and_short_runs_make_it_less_sure() {
    let mut run = Run::new(2, 1);
    run.pass(40, |_| tasks(10 * MS, Activity::Runs));
    assert_eq!(run.verdict().confidence, Confidence::High);
    run.model.hear(&News { at_ns: run.at, dropped: 5, ..News::default() });
    assert_eq!(run.verdict().confidence, Confidence::Low);
    let mut run = Run::new(2, 1);
    run.pass(3, |_| tasks(10 * MS, Activity::Runs));
    assert_eq!(run.verdict().confidence, Confidence::Low);
}

#[test]
fn before_anything_ran_nothing_is_said() {
    let verdict = judge(&Facts::of(&Model::default(), &(0..1)));
    assert_eq!((verdict.limit, verdict.confidence), (Limit::Idle, Confidence::Low));
    assert!(verdict.evidence.is_empty());
}

#[test]
fn each_second_of_a_thread_is_in_one_bin() {
    let mut run = Run::new(2, 2);
    run.pass(10, |thread| match thread {
        0 => tasks(7 * MS, Activity::Runs),
        1 => Does::Long(Activity::Sleeps),
        2 => Does::Tasks { each: 3 * MS, pause: 2 * MS, activity: Activity::WaitsForDisk },
        _ => Does::Idle,
    });
    let facts = Facts::of(&run.model, &(0..run.at));
    let sum: f64 = Bin::ALL.into_iter().map(|bin| facts.bins.share(bin)).sum();
    assert!((sum - 1.0).abs() < 1e-6, "{sum}");
    // A verdict checks that all seconds are there.
    run.verdict();
}
