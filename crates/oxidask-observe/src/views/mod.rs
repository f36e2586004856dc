//! Answers about a run, as JSON: the same for the page, the command line and a file. Each has a `schema`
//! with its version, and its size does not depend on how many tasks there were.

mod graph;
mod metrics;
mod stream;

use std::collections::BTreeSet;
use std::ops::Range;

use oxidask_protocol::GroupId;
use serde_json::{Map, Value, json};

pub use self::metrics::{METRICS_TYPE, metrics};
pub use self::stream::{StreamQuery, stream};
use crate::model::bins::{Bin, Bins};
use crate::model::groups::{Durations, Group};
use crate::model::{Mark, MarkLevel, Model, Worker};
use crate::news::Shortage;
use crate::verdict::{Facts, Verdict, judge};

/// So far back reaches what is said of now, in nanoseconds.
const LATELY_NS: u64 = 60_000_000_000;
/// Rows of a table at a time if nobody says how many, and at most.
const ROWS: usize = 100;
const MOST_ROWS: usize = 1000;
/// Groups and events on the first page.
const FIRST_GROUPS: usize = 12;
const FIRST_MARKS: usize = 20;
/// Characters of a name or a text at most.
const LONGEST: usize = 2000;

/// What is asked of an answer: the part of the address behind the question mark, taken apart.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// The window, in seconds since the run began.
    pub from: Option<f64>,
    /// As above.
    pub to: Option<f64>,
    /// Rows at most.
    pub limit: Option<usize>,
    /// Rows that are left out at first.
    pub offset: usize,
    /// What rows are sorted by.
    pub sort: String,
    /// Pixels.
    pub pixels: Option<usize>,
    /// The group whose tasks are wanted.
    pub expand: Option<GroupId>,
    /// Names of what is wanted.
    pub names: Vec<String>,
}

impl Query {
    /// Takes pairs of names and values, which may be anything.
    pub fn from_pairs<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let mut query = Self::default();
        let number = |text: &str| text.parse::<f64>().ok().filter(|number| number.is_finite());
        for (name, value) in pairs {
            match name {
                "t0" => query.from = number(value),
                "t1" => query.to = number(value),
                "limit" | "rows" => query.limit = value.parse().ok(),
                "offset" => query.offset = value.parse().unwrap_or(0),
                "sort" => value.clone_into(&mut query.sort),
                "px" => query.pixels = value.parse().ok(),
                "expand" => query.expand = value.parse().ok().map(GroupId),
                "names" => query.names = value.split(',').map(str::to_owned).collect(),
                _ => {}
            }
        }
        query
    }

    /// The window in nanoseconds, if one is asked for.
    pub(crate) fn window(&self, model: &Model) -> Option<Range<u64>> {
        if self.from.is_none() && self.to.is_none() {
            return None;
        }
        let nanoseconds = |seconds: f64| (seconds.max(0.0) * 1e9) as u64;
        let begin = self.from.map_or(0, nanoseconds);
        let end = self.to.map_or(model.now_ns, nanoseconds);
        Some(begin..end.max(begin + 1))
    }

    fn rows(&self) -> usize {
        self.limit.unwrap_or(ROWS).min(MOST_ROWS)
    }
}

/// An answer by its name; none if there is no such one.
pub fn answer(model: &mut Model, name: &str, query: &Query) -> Option<Value> {
    Some(match name {
        "overview" => overview(model),
        "verdict" => verdict(model, query),
        "groups" => groups(model, query),
        "workers" => workers(model, query),
        "graph" => graph::graph(model, query),
        "stream" => stream(model, &StreamQuery::of(query, model)),
        "series" => series(model, query),
        "headroom" => headroom(model),
        "marks" => marks(model, query),
        "errors" => errors(model, query),
        "about" => about(model),
        _ => return None,
    })
}

pub(crate) fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}

/// A text that is not longer than a page can use.
pub(crate) fn clipped(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// How all stands, for the first page.
fn overview(model: &Model) -> Value {
    let window = model.last_window(LATELY_NS);
    let verdict = judge(&Facts::of(model, &window));
    let mut order: Vec<usize> = (0..model.groups.len()).collect();
    order.retain(|&place| model.groups[place].tally.tasks > 0);
    let total = order.len();
    // What is not done first, then what ended last.
    order.sort_by_key(|&place| {
        let group = &model.groups[place];
        (group.left() == 0, std::cmp::Reverse(group.last_ns), place)
    });
    order.truncate(FIRST_GROUPS);
    order.sort_by_key(|&place| (model.groups[place].first_ns.unwrap_or(u64::MAX), place));
    let rows: Vec<Value> = order.iter().map(|&place| group_row(model, place)).collect();
    let (sums, older_count) = model.groups.older();
    let total = total + older_count;
    let sum = |of: fn(&Group) -> u64| model.groups.iter().map(of).sum::<u64>() + of(sums);
    let busy = model.threads.rows().iter().filter(|row| row.open.is_some()).count();
    json!({
        "schema": "oxidask.overview/1",
        "version": model.version,
        "now": seconds(model.now_ns),
        "started_at": model.origin.unix_ns as f64 / 1e9,
        "state": state(model),
        "source": if model.is_replay { "file" } else { "live" },
        "workers": model.workers.values().filter(|worker| worker.left.is_none()).count(),
        "threads": model.thread_count(),
        "busy": busy,
        "memory": {
            "used": model.sight.memory,
            "limit": model.sight.limit,
            "stored": model.sight.stored,
            "spilled": model.sight.spilled,
            "pressure": shortage(model.sight.pressure),
        },
        "tasks": {
            "total": sum(|group| group.tally.tasks),
            "finished": sum(|group| group.tally.finished),
            "processing": sum(|group| group.tally.processing.into()),
            "waiting": sum(|group| group.tally.waiting.into()),
            "erred": sum(|group| group.tally.erred),
            "no_worker": sum(|group| group.tally.no_worker.into()),
        },
        "remaining": remaining(model, model.groups.iter()),
        "verdict": verdict_value(model, &window, &verdict),
        "groups": rows,
        "groups_total": total,
        "marks": newest_marks(model, FIRST_MARKS),
        "dropped": model.dropped,
    })
}

fn state(model: &Model) -> &'static str {
    if model.is_replay {
        "replay"
    } else if model.has_ended {
        "ended"
    } else if model.is_busy() {
        "running"
    } else {
        "idle"
    }
}

const fn shortage(pressure: Shortage) -> &'static str {
    match pressure {
        Shortage::None => "none",
        Shortage::Some => "short",
        Shortage::Paused => "paused",
    }
}

/// Seconds until tasks are done, if all threads work on them; none if nobody can say.
fn remaining<'a>(model: &Model, groups: impl Iterator<Item = &'a Group>) -> Value {
    let threads = f64::from(model.thread_count());
    let (mut work, mut longest, mut known, mut left) = (0.0, 0.0_f64, 0.0, 0.0);
    for group in groups.filter(|group| group.left() > 0) {
        left += group.left() as f64;
        let Some(mean) = group.mean_seconds() else { continue };
        known += group.left() as f64;
        work += mean * group.left() as f64;
        longest = longest.max(group.durations.quantile(0.95).unwrap_or(mean));
    }
    if known == 0.0 || threads == 0.0 {
        return Value::Null;
    }
    // Of what never ran nobody knows how long it takes: as long as the rest, or nothing.
    let low = work / threads;
    let high = 1.15 * low * left / known + longest;
    json!({ "low": low, "high": high })
}

/// What limits the run.
fn verdict(model: &Model, query: &Query) -> Value {
    let window = query.window(model).unwrap_or_else(|| model.last_window(LATELY_NS));
    let verdict = judge(&Facts::of(model, &window));
    verdict_value(model, &window, &verdict)
}

fn verdict_value(model: &Model, window: &Range<u64>, verdict: &Verdict) -> Value {
    let evidence: Vec<Value> = verdict
        .evidence
        .iter()
        .map(|one| json!({ "text": one.text, "value": one.value, "link": null }))
        .collect();
    json!({
        "schema": "oxidask.verdict/1",
        "version": model.version,
        "window": [seconds(window.start), seconds(window.end)],
        "verdict": verdict.limit.name(),
        "sentence": verdict.sentence,
        "advice": verdict.advice,
        "share": verdict.share,
        "confidence": verdict.confidence.name(),
        "evidence": evidence,
        "bins": bins_value(&verdict.bins),
        "thread_seconds": verdict.bins.total(),
        "dropped": model.dropped,
    })
}

fn bins_value(bins: &Bins) -> Value {
    let shares = Bin::ALL.into_iter().map(|bin| (bin.name().to_owned(), json!(bins.share(bin))));
    Value::Object(shares.collect())
}

/// How far each group is.
fn groups(model: &Model, query: &Query) -> Value {
    let mut order: Vec<usize> = (0..model.groups.len()).collect();
    order.retain(|&place| model.groups[place].tally.tasks > 0);
    let of = |place: &usize| &model.groups[*place];
    match query.sort.as_str() {
        "tasks" => order.sort_by_key(|place| std::cmp::Reverse(of(place).tally.tasks)),
        "time" => order.sort_by(|a, b| of(b).seconds.total_cmp(&of(a).seconds)),
        "name" => order.sort_by(|a, b| of(a).name.cmp(&of(b).name)),
        _ => order.sort_by_key(|place| (of(place).first_ns.unwrap_or(u64::MAX), *place)),
    }
    let total = order.len();
    let shown = order.iter().skip(query.offset).take(query.rows());
    let rows: Vec<Value> = shown.map(|&place| group_row(model, place)).collect();
    let (sums, older_count) = model.groups.older();
    json!({
        "schema": "oxidask.groups/1",
        "older": {
            "groups": older_count,
            "tasks": sums.tally.tasks,
            "finished": sums.tally.finished,
            "erred": sums.tally.erred,
            "seconds": sums.seconds,
        },
        "version": model.version,
        "total": total,
        "groups": rows,
    })
}

fn group_row(model: &Model, place: usize) -> Value {
    let group = &model.groups[place];
    let inputs: Vec<Value> = group
        .inputs
        .iter()
        .map(|(input, edges)| json!({ "group": input.0, "edges": edges }))
        .collect();
    json!({
        "id": place,
        "name": clipped(&group.name),
        "color": group.color,
        "tasks": group.tally.tasks,
        "finished": group.tally.finished,
        "processing": group.tally.processing,
        "waiting": group.tally.waiting,
        "erred": group.tally.erred,
        "no_worker": group.tally.no_worker,
        "seconds": group.seconds,
        "median": group.durations.quantile(0.5),
        "p95": group.durations.quantile(0.95),
        "out_bytes": group.out_bytes,
        "in_memory": group.tally.in_memory,
        "first": group.first_ns.map(seconds),
        "last": (group.last_ns > 0).then(|| seconds(group.last_ns)),
        "remaining": remaining(model, std::iter::once(group)),
        "inputs": inputs,
    })
}

/// How each worker is.
fn workers(model: &Model, query: &Query) -> Value {
    let window = model.last_window(LATELY_NS);
    let total = model.workers.len();
    let rows: Vec<Value> = model
        .workers
        .iter()
        .skip(query.offset)
        .take(query.rows())
        .map(|(id, worker)| worker_row(model, id.0, worker, &window))
        .collect();
    json!({
        "schema": "oxidask.workers/1",
        "version": model.version,
        "total": total,
        "workers": rows,
    })
}

fn worker_row(model: &Model, id: u32, worker: &Worker, window: &Range<u64>) -> Value {
    let mut bins = Bins::default();
    worker.bins.visit(window, |step| bins.merge(step));
    let rows = model.threads.rows().iter().filter(|row| row.worker.0 == id);
    let running: Vec<Value> = rows
        .filter_map(|row| {
            let (task, since_ns) = row.running()?;
            Some(json!({
                "thread": row.thread,
                "key": clipped(&task.key),
                "group": task.group.0,
                "since": seconds(since_ns),
            }))
        })
        .collect();
    let state = match (&worker.left, worker.sight.stopped_ns) {
        (Some(_), _) => "lost",
        (None, Some(_)) => "stopped",
        (None, None) if model.sight.pressure == Shortage::Paused => "paused",
        (None, None) => "running",
    };
    let cpu: Vec<f32> = worker.sparks.iter().map(|spark| spark.0).collect();
    let memory: Vec<u64> = worker.sparks.iter().map(|spark| spark.1).collect();
    json!({
        "id": id,
        "name": clipped(&worker.name),
        "pid": worker.pid,
        "host": model.origin.host,
        "threads": worker.threads,
        "state": state,
        "busy": running.len(),
        "ended": worker.sight.ended,
        "cpu": worker.cores,
        "memory": { "process": worker.sight.memory, "limit": worker.memory_limit },
        "bins": bins_value(&bins),
        "running": running,
        "spark": {
            "step": 1.0,
            "t0": seconds(worker.sparks_begin_ns()),
            "cpu": cpu,
            "memory": memory,
        },
        "joined": seconds(worker.joined_ns),
        "left": worker.left.as_ref().map(|left| seconds(left.0)),
        "cause": worker.left.as_ref().map(|left| left.1.clone()),
    })
}

/// Numbers by time.
fn series(model: &Model, query: &Query) -> Value {
    let window = query.window(model).unwrap_or_else(|| model.last_window(LATELY_NS));
    let pixels = query.pixels.unwrap_or(600).clamp(1, 4000) as u64;
    let steps = model.gauges.reaching(window.start, (window.end - window.start) / pixels);
    let step_ns = steps.step_ns();
    let numbers = window.start / step_ns..window.end.div_ceil(step_ns);
    let all = ["cpu", "memory", "stored", "spilled", "busy", "ready", "tasks_per_s"];
    let mut series = Map::new();
    for name in all {
        if !query.names.is_empty() && !query.names.iter().any(|wanted| wanted == name) {
            continue;
        }
        let value = |number| {
            let gauges = steps.get(number)?;
            if name == "tasks_per_s" {
                return Some(gauges.ended / seconds(step_ns));
            }
            let sum = match name {
                "cpu" => gauges.cpu,
                "memory" => gauges.memory,
                "stored" => gauges.stored,
                "spilled" => gauges.spilled,
                "busy" => gauges.busy,
                _ => gauges.ready,
            };
            (gauges.weight > 0.0).then(|| sum / gauges.weight)
        };
        let values: Vec<Option<f64>> = numbers.clone().take(4000).map(value).collect();
        series.insert(name.to_owned(), json!(values));
    }
    json!({
        "schema": "oxidask.series/1",
        "version": model.version,
        "t0": seconds(numbers.start * step_ns),
        "step": seconds(step_ns),
        "series": series,
        "limits": {
            "cpu": model.origin.processors,
            "memory": model.sight.limit,
            "busy": model.most_threads(),
        },
    })
}

/// How many more threads would help, from what tasks lasted.
fn headroom(model: &Model) -> Value {
    let mut durations = Durations::default();
    let mut t1 = 0.0;
    for group in model.groups.iter().chain([model.groups.older().0]) {
        durations.merge(&group.durations);
        t1 += group.seconds;
    }
    let edges = [1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0];
    let below: Vec<u64> = edges.iter().map(|&edge| durations.shorter_than(edge)).collect();
    let mut counts = Vec::new();
    let mut before = 0;
    for &count in below.iter().chain([&durations.count()]) {
        counts.push(count - before);
        before = count;
    }
    let CriticalPath { groups, seconds: tinf, is_exact } = CriticalPath::of(model);
    let critical: Vec<Value> = groups
        .iter()
        .map(|&(group, seconds)| {
            let name = clipped(&model.groups[group.index()].name);
            json!({ "group": group.0, "name": name, "seconds": seconds })
        })
        .collect();
    let cores = model.most_threads();
    let sentence = headroom_sentence(t1, tinf, cores);
    let predicted: Vec<Value> = [0.5, 1.0, 2.0, 4.0, 8.0]
        .iter()
        .map(|factor| (f64::from(cores) * factor).round().max(1.0))
        .map(|cores| {
            let low = (t1 / cores).max(tinf);
            json!({ "cores": cores, "low": low, "high": t1 / cores + tinf })
        })
        .collect();
    let window = 0..model.active_ns.max(1);
    let steps = model.gauges.reaching(0, (window.end - window.start) / 400);
    let numbers = 0..window.end.div_ceil(steps.step_ns()).min(4000);
    let mean = |of: fn(&crate::model::Gauges) -> f64| -> Vec<Option<f64>> {
        let value = |number| {
            let gauges = steps.get(number)?;
            (gauges.weight > 0.0).then(|| of(gauges) / gauges.weight)
        };
        numbers.clone().map(value).collect()
    };
    json!({
        "schema": "oxidask.headroom/1",
        "version": model.version,
        "t1": t1,
        "tinf": if t1 > 0.0 { json!(tinf) } else { Value::Null },
        "tinf_error": (!is_exact).then_some(
            "counted by group, one task of each: graphs of more than 20,000 tasks are not kept"
        ),
        "parallelism": (tinf > 0.0).then(|| t1 / tinf),
        "cores": cores,
        "width": {
            "t0": 0.0,
            "step": seconds(steps.step_ns()),
            "running": mean(|gauges| gauges.busy),
            "ready": mean(|gauges| gauges.ready),
        },
        "predicted": predicted,
        "stops_helping_at": (tinf > 0.0).then(|| (t1 / tinf).ceil()),
        "critical": critical,
        "granularity": { "edges": edges, "tasks": counts },
        "sentence": sentence,
    })
}

fn headroom_sentence(t1: f64, tinf: f64, cores: u32) -> String {
    if t1 <= 0.0 || tinf <= 0.0 {
        return "No task has ended yet.".to_owned();
    }
    let wide = t1 / tinf;
    if wide > f64::from(cores) * 1.5 {
        format!("About {wide:.0} threads could work at a time; there are {cores}.")
    } else {
        format!("More than {:.0} threads would have nothing to do; there are {cores}.", wide.ceil())
    }
}

/// What has to run one after the other and takes longest.
struct CriticalPath {
    /// Its groups, each with the seconds of its tasks on it.
    groups: Vec<(GroupId, f64)>,
    seconds: f64,
    /// Whether it was found among tasks, not groups.
    is_exact: bool,
}

impl CriticalPath {
    fn of(model: &Model) -> Self {
        let all = model.groups.iter().chain([model.groups.older().0]);
        let ended: u64 = all.map(|group| group.durations.count()).sum();
        if ended > 0 && model.shapes.ended >= ended && !model.shapes.has_forgotten {
            Self::of_tasks(model)
        } else {
            Self::of_groups(model)
        }
    }

    fn of_tasks(model: &Model) -> Self {
        let (path, seconds) = model.shapes.critical_path();
        let mut groups: Vec<(GroupId, f64)> = Vec::new();
        for node in path.iter().filter_map(|&number| model.shapes.node(number)) {
            let time = node.duration_ns as f64 / 1e9;
            match groups.last_mut() {
                Some((group, seconds)) if *group == node.group => *seconds += time,
                _ => groups.push((node.group, time)),
            }
        }
        groups.retain(|(group, _)| group.index() < model.groups.len());
        Self { groups, seconds, is_exact: true }
    }

    /// Groups may read each other in circles: each is entered once.
    fn of_groups(model: &Model) -> Self {
        let count = model.groups.len();
        let mean = |place: usize| model.groups[place].mean_seconds().unwrap_or(0.0);
        let inputs = |place: usize| {
            let inputs = model.groups[place].inputs.keys().map(|input| input.index());
            inputs.filter(move |&input| input != place && input < count)
        };
        let mut longest: Vec<Option<(f64, Option<usize>)>> = vec![None; count];
        for start in 0..count {
            let mut stack = vec![(start, false)];
            while let Some((place, are_inputs_done)) = stack.pop() {
                if are_inputs_done {
                    let best = inputs(place)
                        .filter_map(|input| Some((longest[input]?.0, input)))
                        .max_by(|a, b| a.0.total_cmp(&b.0));
                    let (before, from) =
                        best.map_or((0.0, None), |(time, from)| (time, Some(from)));
                    longest[place] = Some((before + mean(place), from));
                } else if longest[place].is_none() {
                    longest[place] = Some((0.0, None));
                    stack.push((place, true));
                    stack.extend(
                        inputs(place)
                            .filter(|&input| longest[input].is_none())
                            .map(|input| (input, false)),
                    );
                }
            }
        }
        let time = |place: &usize| longest[*place].map_or(0.0, |entry| entry.0);
        let last = (0..count).max_by(|a, b| time(a).total_cmp(&time(b)));
        let seconds = last.as_ref().map_or(0.0, time);
        let mut groups = Vec::new();
        let mut next = last.filter(|_| seconds > 0.0);
        while let Some(place) = next
            && groups.len() < count
        {
            groups.push((GroupId(place as u32), mean(place)));
            next = longest[place].and_then(|entry| entry.1);
        }
        groups.reverse();
        Self { groups, seconds, is_exact: false }
    }
}

/// The groups that have to run one after the other and take longest.
pub(crate) fn critical_groups(model: &Model) -> BTreeSet<GroupId> {
    CriticalPath::of(model).groups.into_iter().map(|(group, _)| group).collect()
}

/// What happened, the newest first.
fn marks(model: &Model, query: &Query) -> Value {
    json!({
        "schema": "oxidask.marks/1",
        "version": model.version,
        "marks": newest_marks(model, query.rows()),
    })
}

fn newest_marks(model: &Model, most: usize) -> Vec<Value> {
    model.marks.iter().rev().take(most).map(mark_row).collect()
}

fn mark_row(mark: &Mark) -> Value {
    json!({
        "t": seconds(mark.at_ns),
        "level": match mark.level {
            MarkLevel::Info => "info",
            MarkLevel::Warning => "warning",
            MarkLevel::Error => "error",
        },
        "kind": mark.kind,
        "text": clipped(&mark.text),
        "worker": mark.worker.map(|worker| worker.0),
        "key": mark.key.as_deref().map(clipped),
    })
}

/// What tasks raised.
fn errors(model: &Model, query: &Query) -> Value {
    let name = |group: GroupId| {
        model.groups.get(group.index()).map_or_else(String::new, |group| clipped(&group.name))
    };
    let rows: Vec<Value> = model
        .errors
        .iter()
        .skip(query.offset)
        .take(query.rows())
        .map(|kind| {
            json!({
                "exception": clipped(&kind.exception),
                "group": kind.group.0,
                "name": name(kind.group),
                "count": kind.count,
                "first": seconds(kind.first_ns),
                "last": seconds(kind.last_ns),
                "key": clipped(&kind.key),
                "traceback": kind.traceback,
            })
        })
        .collect();
    json!({
        "schema": "oxidask.errors/1",
        "version": model.version,
        "total": model.errors.len(),
        "tasks": model.error_count,
        "errors": rows,
    })
}

/// What takes part.
fn about(model: &Model) -> Value {
    let versions: Map<String, Value> = model
        .origin
        .versions
        .iter()
        .map(|(name, version)| (name.clone(), json!(version)))
        .collect();
    json!({
        "schema": "oxidask.about/1",
        "version": model.version,
        "versions": versions,
        "scheduler": { "pid": model.origin.pid, "host": model.origin.host },
        "limits": { "processors": model.origin.processors, "memory": model.sight.limit },
        "config": {},
        "command": clipped(&model.origin.command),
        "note": null,
    })
}
