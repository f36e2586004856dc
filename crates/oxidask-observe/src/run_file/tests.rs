//! Files are made of the news of a run that has all there is, and read again.

use serde_json::Value;

use super::*;
use crate::news::{Activity, Origin, Shortage, TaskSight, ThreadSight, WorkerSight};
use crate::views::{Query, answer};

const MS: u64 = 1_000_000;

/// Numbers that look random, from a seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % sides
    }
}

fn sight(dice: &mut Dice, at_ns: u64) -> Sight {
    let thread = |thread: u32, dice: &mut Dice| ThreadSight {
        thread,
        task: (dice.roll(3) > 0).then(|| TaskSight {
            task: dice.roll(1000) as u32,
            group: GroupId(dice.roll(3) as u32),
            key: if dice.roll(2) > 0 { "inc-é🦀-12345".to_owned() } else { String::new() },
        }),
        activity: [Activity::Runs, Activity::WaitsForInterpreter, Activity::Sleeps]
            [dice.roll(3) as usize],
    };
    let worker = |number: u32, dice: &mut Dice| WorkerSight {
        worker: WorkerId(number),
        processing: dice.roll(4) as u32,
        fetching: dice.roll(2) as u32,
        ended: at_ns / MS,
        cpu_ns: at_ns,
        memory: 1 << 20,
        stopped_ns: None,
        threads: vec![thread(0, dice), thread(1, dice)],
    };
    Sight {
        queued: dice.roll(10) as u32,
        stored: dice.roll(1 << 30),
        spilled: 0,
        memory: dice.roll(1 << 32),
        limit: Some(1 << 33),
        pressure: if dice.roll(20) == 0 { Shortage::Some } else { Shortage::None },
        clients: 1,
        workers: vec![worker(1, dice), worker(2, dice)],
    }
}

/// The news of a run of two workers, with so many spans about.
fn news_of_a_run(spans: u32) -> Vec<News> {
    let mut dice = Dice(7);
    let origin = Origin {
        unix_ns: 1_800_000_000_000_000_000,
        pid: 17,
        host: "here".to_owned(),
        processors: 2,
        versions: vec![("oxidask".to_owned(), "0.1.0".to_owned())],
        command: "run.py --fast".to_owned(),
    };
    let joined = |number: u32| Notice::Joined {
        worker: WorkerId(number),
        name: number.to_string(),
        pid: 100 + number,
        threads: 2,
        memory_limit: None,
    };
    let group =
        |number: u32, name: &str| Notice::Group { group: GroupId(number), name: name.to_owned() };
    let mut all = vec![
        News { notices: vec![(0, Notice::Began(Box::new(origin)))], ..News::default() },
        News {
            at_ns: MS,
            notices: vec![
                (MS, joined(1)),
                (MS, joined(2)),
                (MS, group(0, "load")),
                (MS, group(1, "<b>sum</b>")),
                (MS, group(2, "inc")),
                (MS, Notice::Reads { group: GroupId(1), input: GroupId(0), edges: 12 }),
                (
                    MS,
                    Notice::Shape {
                        base: 1,
                        groups: vec![GroupId(0), GroupId(0), GroupId(1)],
                        starts: vec![0, 0, 0, 2],
                        inputs: vec![1, 2],
                    },
                ),
            ],
            ..News::default()
        },
    ];
    let mut ends = [2 * MS; 4];
    let mut told = 0;
    let mut at_ns = 2 * MS;
    while told < spans {
        at_ns += 50 * MS;
        let mut news = News { at_ns, ..News::default() };
        while let Some(row) = (0..4).find(|&row| ends[row] + 3 * MS < at_ns) {
            let (gap, duration_ns) = (dice.roll(20_000), dice.roll(2 * MS));
            let end_ns = ends[row] + gap + duration_ns;
            ends[row] = end_ns;
            told += 1;
            let kind = match dice.roll(50) {
                0 => SpanKind::Failed,
                1 => SpanKind::Pack,
                2 => SpanKind::Stopped,
                _ => SpanKind::Compute,
            };
            news.records.push(Record {
                at_ns: end_ns,
                body: RecordBody::Span {
                    kind,
                    task: TaskId(told),
                    group: GroupId(dice.roll(3) as u32),
                    worker: WorkerId(1 + row as u32 / 2),
                    thread: row as u32 % 2,
                    nbytes: if dice.roll(10) == 0 { dice.roll(1 << 40) } else { 28 },
                    duration_ns,
                },
            });
        }
        let tally = GroupTally { tasks: 1000, finished: told.into(), ..GroupTally::default() };
        news.groups.push((GroupId(dice.roll(3) as u32), tally));
        if dice.roll(10) == 0 {
            let raised = Notice::Raised {
                group: GroupId(1),
                key: "sum-1".to_owned(),
                exception: "ValueError: 1".to_owned(),
                traceback: "line 1\nline 2".to_owned(),
            };
            news.notices.push((at_ns, raised));
        }
        news.sight = if dice.roll(4) == 0 {
            all.iter().rev().find_map(|before: &News| before.sight.clone())
        } else {
            Some(sight(&mut dice, at_ns))
        };
        all.push(news);
    }
    let cause = "was killed by signal 9".to_owned();
    let left = Notice::Left { worker: WorkerId(2), cause, crashed: true };
    let notices = vec![(at_ns, left), (at_ns + MS, Notice::Ended)];
    all.push(News { at_ns: at_ns + MS, notices, dropped: 3, ..News::default() });
    all
}

/// The file of news, each so many of which are a frame.
fn file_of(all: &[News], frame: usize, room: u64) -> Vec<u8> {
    let mut writer = Writer::new(room);
    let mut bytes = Vec::new();
    for some in all.chunks(frame) {
        for news in some {
            writer.add(news);
        }
        bytes.extend(writer.take());
    }
    bytes
}

fn model_of(bytes: &[u8], piece: usize) -> Result<Model, RunFileError> {
    let mut model = Model::default();
    let mut reader = Reader::default();
    for piece in bytes.chunks(piece) {
        reader.read(piece, &mut model)?;
    }
    reader.end(&mut model)?;
    Ok(model)
}

fn live_model(all: &[News]) -> Model {
    let mut model = Model::default();
    for news in all {
        model.hear(news);
    }
    model
}

/// All that can be asked of a model; an answer that is not there yet is null.
fn answers(model: &mut Model) -> Vec<Value> {
    let windows = [(None, None), (Some(0.0), Some(2.0)), (Some(0.5), None)];
    let names = [
        "overview", "verdict", "groups", "workers", "stream", "series", "graph", "headroom",
        "marks", "errors", "about",
    ];
    let mut all = Vec::new();
    for name in names {
        for (from, to) in windows {
            let query = Query { from, to, ..Query::default() };
            let mut value = answer(model, name, &query).unwrap_or_default();
            if let Some(fields) = value.as_object_mut() {
                for differs in ["source", "state", "version"] {
                    fields.remove(differs);
                }
                if let Some(verdict) = fields.get_mut("verdict").and_then(Value::as_object_mut) {
                    verdict.remove("version");
                }
            }
            all.push(value);
        }
    }
    all
}

#[test]
fn a_model_from_a_file_answers_as_the_one_from_the_cluster() {
    for spans in [0, 1, 3000, 60_000] {
        let all = news_of_a_run(spans);
        let mut live = live_model(&all);
        for (frame, piece) in [(1, usize::MAX), (20, 1000), (all.len(), 7 << 10)] {
            let file = file_of(&all, frame, u64::MAX);
            let mut replay = model_of(&file, piece).expect("it is a run file");
            assert_eq!(answers(&mut live), answers(&mut replay), "{spans} spans, {frame} a frame");
        }
    }
}

#[test]
fn a_span_costs_ten_to_twenty_bytes_with_all_that_is_beside_it() {
    let all = news_of_a_run(60_000);
    let file = file_of(&all, 20, u64::MAX);
    let spans: usize = all.iter().map(|news| news.records.len()).sum();
    let each = file.len() as f64 / spans as f64;
    assert!(each < 16.0, "{each} bytes a span");
}

#[test]
fn a_file_that_ends_anywhere_is_read_up_to_the_last_whole_frame() {
    let all = news_of_a_run(500);
    let whole = file_of(&all, 1, u64::MAX);
    let mut before = 0;
    for length in HEAD..whole.len() {
        let model = model_of(&whole[..length], usize::MAX).expect("it begins as a run file");
        assert!(model.spans.len() >= before, "{length}");
        before = model.spans.len();
        assert!(model.has_ended);
        assert_eq!(model.marks.back().map(|mark| mark.kind), Some("file-torn"), "{length}");
    }
    assert_eq!(before, live_model(&all).spans.len());
    let model = model_of(&whole, usize::MAX).expect("it is a run file");
    assert!(model.marks.iter().all(|mark| mark.kind != "file-torn"));
}

#[test]
fn a_damaged_frame_ends_what_is_read() {
    let all = news_of_a_run(500);
    let whole = file_of(&all, 1, u64::MAX);
    let spans = live_model(&all).spans.len();
    for at in (HEAD..whole.len()).step_by(7) {
        let mut damaged = whole.clone();
        damaged[at] ^= 1 << (at % 8);
        let model = model_of(&damaged, 100).expect("its head is whole");
        assert!(model.spans.len() <= spans);
        assert_eq!(model.marks.back().map(|mark| mark.kind), Some("file-torn"), "{at}");
    }
}

/// A frame with these bytes and a right checksum, in a file.
fn file_with(plain: &[u8]) -> Vec<u8> {
    let packed = compress_to_vec(plain, LEVEL);
    let mut bytes = Writer::new(0).take();
    bytes.extend((packed.len() as u32).to_le_bytes());
    bytes.extend(xxh3_64(&packed).to_le_bytes());
    bytes.extend(packed);
    bytes
}

#[test]
fn frames_that_make_no_sense_are_damaged_ones() {
    let entry = |notice| Batch {
        entries: vec![Entry {
            after_ns: 1,
            spans: 0,
            groups: Vec::new(),
            notices: vec![(0, notice)],
            look: Look::None,
            dropped: 0,
        }],
        ..Batch::default()
    };
    let columns = |place| Columns {
        places: vec![place],
        kinds: vec![SpanKind::Pack],
        groups: vec![0],
        tasks: vec![0],
        gaps_ns: vec![0],
        durations_ns: vec![0],
        nbytes: vec![0],
    };
    let huge = Notice::Group { group: GroupId(u32::MAX), name: String::new() };
    let mut missing = entry(Notice::Ended);
    missing.entries[0].spans = u32::MAX;
    let mut strange = missing_thread();
    strange.spans = columns(3);
    let mut uneven = entry(Notice::Ended);
    uneven.spans = Columns { nbytes: Vec::new(), ..columns(0) };
    let circle =
        Notice::Shape { base: 0, groups: vec![GroupId(0)], starts: vec![0, 1], inputs: vec![0] };
    for batch in [entry(huge), entry(circle), missing, strange, uneven] {
        let plain = postcard::to_stdvec(&batch).expect("it can be written");
        let model = model_of(&file_with(&plain), 10).expect("its head is whole");
        assert_eq!(model.marks.back().map(|mark| mark.kind), Some("file-torn"), "{batch:?}");
        assert_eq!(model.groups.len(), 0);
    }
    let mut dice = Dice(1);
    for length in 0..200 {
        let noise: Vec<u8> = (0..length).map(|_| dice.roll(256) as u8).collect();
        drop(model_of(&file_with(&noise), usize::MAX).expect("its head is whole"));
    }
}

fn missing_thread() -> Batch {
    Batch {
        entries: vec![Entry {
            after_ns: 1,
            spans: 1,
            groups: Vec::new(),
            notices: Vec::new(),
            look: Look::None,
            dropped: 0,
        }],
        ..Batch::default()
    }
}

#[test]
fn other_files_and_other_versions_are_refused() {
    for bytes in [&b""[..], b"OXRUN", b"{\"schema\": 1}, and more of it", &[0; 100]] {
        assert_eq!(model_of(bytes, usize::MAX).err(), Some(RunFileError::NotOne));
    }
    let mut newer = file_of(&news_of_a_run(1), 1, u64::MAX);
    newer[MAGIC.len()] = VERSION as u8 + 1;
    let error = model_of(&newer, 3).expect_err("it is of another version");
    assert_eq!(error, RunFileError::OtherVersion(VERSION + 1));
    assert!(error.to_string().contains(&format!("version {}", VERSION + 1)));
}

#[test]
fn a_full_file_goes_on_without_spans() {
    let all = news_of_a_run(20_000);
    let whole = file_of(&all, 20, u64::MAX);
    let file = file_of(&all, 20, 20_000);
    assert!(file.len() < whole.len() / 2, "{} bytes", file.len());
    let (live, model) = (live_model(&all), model_of(&file, usize::MAX).expect("it is a run file"));
    assert!(!model.spans.is_empty());
    assert_eq!(model.dropped, (live.spans.len() - model.spans.len()) as u64 + live.dropped);
    assert!(model.marks.iter().any(|mark| mark.kind == "file-full"));
    assert_eq!(model.error_count, live.error_count);
    assert_eq!(model.now_ns, live.now_ns);
    for (live, replay) in live.groups.iter().zip(model.groups.iter()) {
        assert_eq!(live.tally, replay.tally);
    }
}

#[test]
fn looks_that_see_nothing_new_cost_next_to_nothing() {
    let seen = sight(&mut Dice(1), 0);
    let looks = (1..=1000)
        .map(|number| News {
            at_ns: number * 250 * MS + number * 977 % MS,
            sight: Some(seen.clone()),
            ..News::default()
        })
        .collect::<Vec<_>>();
    let mut writer = Writer::new(u64::MAX);
    for news in looks.iter().take(2) {
        writer.add(news);
    }
    drop(writer.take());
    for news in looks.iter().skip(2) {
        writer.add(news);
    }
    assert!(!writer.has_news());
    let length = writer.take().len();
    assert!(length < 10_000, "{length} bytes");
}

/// What is written today is read by all later programs, or they say that they cannot: whoever changes
/// how news are written raises [`VERSION`].
#[test]
fn the_bytes_of_a_version_stay_as_they_are() {
    let plain = {
        let mut writer = Writer::new(u64::MAX);
        for news in &news_of_a_run(20) {
            writer.add(news);
        }
        postcard::to_stdvec(&writer.batch).expect("it can be written")
    };
    assert_eq!(
        (VERSION, xxh3_64(&plain)),
        (1, 13_739_373_565_458_802_527),
        "news are written differently: raise VERSION, and put the new sum here"
    );
}
