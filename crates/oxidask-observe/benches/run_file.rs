//! How long it takes to write a million spans to a run file, and to make the model of them again.

#![expect(clippy::disallowed_methods, reason = "a bench looks at the clock")]

use std::time::Instant;

use oxidask_observe::model::Model;
use oxidask_observe::news::{News, Notice};
use oxidask_observe::run_file::{Reader, Writer};
use oxidask_protocol::{GroupId, Record, RecordBody, SpanKind, TaskId, WorkerId};

const SPANS: u64 = 1_000_000;
const THREADS: u64 = 8;

fn main() {
    let joined = |worker: u64| Notice::Joined {
        worker: WorkerId(worker as u32),
        name: worker.to_string(),
        pid: 1,
        threads: 2,
        memory_limit: None,
    };
    let notices = (0..THREADS / 2).map(|worker| (0, joined(worker))).collect();
    let mut all = vec![News { notices, ..News::default() }];
    let mut seed = 1_u64;
    let mut ends = [0_u64; THREADS as usize];
    for first in (0..SPANS).step_by(5000) {
        let mut news = News::default();
        for task in first..first + 5000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let row = (seed >> 60) % THREADS;
            // Tasks of some hundred microseconds, ten apart, in four groups.
            let (gap, duration_ns) = (8000 + (seed >> 52) % 5000, 100_000 + (seed >> 40) % 300_000);
            ends[row as usize] += gap + duration_ns;
            news.at_ns = ends[row as usize].max(news.at_ns);
            let body = RecordBody::Span {
                kind: SpanKind::Compute,
                task: TaskId(task as u32),
                group: GroupId((task / 1000 % 4) as u32),
                worker: WorkerId((row / 2) as u32),
                thread: (row % 2) as u32,
                nbytes: 28,
                duration_ns,
            };
            news.records.push(Record { at_ns: ends[row as usize], body });
        }
        all.push(news);
    }
    let begin = Instant::now();
    let mut writer = Writer::new(u64::MAX);
    let mut file = Vec::new();
    for news in &all {
        writer.add(news);
        file.extend(writer.take());
    }
    let each = file.len() as f64 / SPANS as f64;
    println!("write {SPANS} spans: {:.0} ms, {each:.1} bytes each", milliseconds(begin));
    let begin = Instant::now();
    let mut live = Model::default();
    for news in &all {
        live.hear(news);
    }
    println!("hear them live: {:.0} ms", milliseconds(begin));
    let begin = Instant::now();
    let mut model = Model::default();
    let mut reader = Reader::default();
    for piece in file.chunks(1 << 20) {
        reader.read(piece, &mut model).expect("it is a run file");
    }
    reader.end(&mut model).expect("it is a run file");
    println!("replay them: {:.0} ms", milliseconds(begin));
    assert_eq!(model.spans.len() as u64, SPANS);
}

fn milliseconds(begin: Instant) -> f64 {
    begin.elapsed().as_secs_f64() * 1e3
}
