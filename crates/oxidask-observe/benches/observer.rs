//! What the observer spends on a task, and what an answer costs when there were a million.
//!
//!     cargo bench -p oxidask-observe --bench observer

#![expect(clippy::disallowed_methods, reason = "a benchmark looks at the clock")]

use std::time::Instant;

use oxidask_observe::model::Model;
use oxidask_observe::news::{News, Notice, Sight};
use oxidask_observe::views::{Query, answer};
use oxidask_protocol::{GroupId, GroupTally, Record, RecordBody, SpanKind, TaskId, WorkerId};

const TASKS: u32 = 1_000_000;
const GROUPS: u32 = 12;

/// A run of equally long tasks on so many workers of one thread each, told in batches.
fn run(workers: u32, task_ns: u64) -> (Model, f64) {
    let mut model = Model::default();
    let joined = |worker| Notice::Joined {
        worker: WorkerId(worker),
        name: worker.to_string(),
        pid: worker,
        threads: 1,
        memory_limit: None,
    };
    let notices = (1..=workers).map(|worker| (0, joined(worker))).collect();
    model.hear(&News { notices, ..News::default() });
    let batch = 50_000_000 / task_ns.max(1) * u64::from(workers);
    let (mut task, mut seconds) = (0, 0.0);
    let mut at_ns = 0;
    while task < TASKS {
        let mut records = Vec::new();
        for place in 0..batch.max(1) {
            let worker = WorkerId((place % u64::from(workers)) as u32 + 1);
            let at_ns = at_ns + (place / u64::from(workers) + 1) * task_ns;
            let body = RecordBody::Span {
                kind: SpanKind::Compute,
                task: TaskId(task),
                group: GroupId(task / 997 % GROUPS),
                worker,
                thread: 0,
                nbytes: 8,
                duration_ns: task_ns * 9 / 10,
            };
            records.push(Record { at_ns, body });
            task += 1;
        }
        at_ns += batch.max(1).div_ceil(u64::from(workers)) * task_ns;
        let tally = GroupTally { tasks: u64::from(TASKS), ..GroupTally::default() };
        let groups = (0..GROUPS).map(|group| (GroupId(group), tally)).collect();
        let sight = Some(Sight::default());
        let news = News { at_ns, records, groups, sight, ..News::default() };
        let begin = Instant::now();
        model.hear(&news);
        seconds += begin.elapsed().as_secs_f64();
    }
    (model, 1e9 * seconds / f64::from(task))
}

fn main() {
    println!("a million tasks, told every 50 ms; nanoseconds of the observer a task, then");
    println!("milliseconds and kilobytes of each answer about the whole run");
    for (workers, task_ns) in [(2, 2_000), (2, 1_000_000), (64, 10_000_000), (1000, 100_000_000)] {
        let (mut model, each) = run(workers, task_ns);
        println!("{workers} workers, tasks of {} us: {each:.0} ns a task", task_ns / 1000);
        let end = format!("{}", model.now_ns as f64 / 1e9);
        for name in ["overview", "stream", "groups", "workers", "series", "headroom", "graph"] {
            let pairs = [("t0", "0"), ("t1", end.as_str()), ("px", "1200"), ("limit", "200")];
            let query = Query::from_pairs(pairs.into_iter());
            let begin = Instant::now();
            let text = answer(&mut model, name, &query).map_or(String::new(), |it| it.to_string());
            let milliseconds = begin.elapsed().as_secs_f64() * 1e3;
            println!("    {name:9} {milliseconds:6.2} ms  {:6.1} kB", text.len() as f64 / 1e3);
        }
    }
}
