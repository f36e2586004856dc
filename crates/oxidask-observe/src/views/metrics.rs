//! The state of a run in the text format of Prometheus. Names that Dask has mean what they mean there;
//! ours begin with `oxidask_`.

use std::fmt::Write;

use crate::model::Model;
use crate::model::bins::{Bin, Bins};
use crate::news::Shortage;

/// The media type of the text.
pub const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All metrics.
pub fn metrics(model: &Model) -> String {
    let mut out = Text::default();
    scheduler(model, &mut out);
    workers(model, &mut out);
    threads(model, &mut out);
    out.0
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn value(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        self.0.push_str(name);
        for (place, (label, text)) in labels.iter().enumerate() {
            let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.0, "{}{label}=\"{text}\"", if place == 0 { '{' } else { ',' });
        }
        self.0.push_str(if labels.is_empty() { " " } else { "} " });
        let _ = writeln!(self.0, "{value}");
    }

    /// A family with one value.
    fn single(&mut self, name: &str, kind: &str, help: &str, value: f64) {
        self.family(name, kind, help);
        self.value(name, &[], value);
    }
}

fn scheduler(model: &Model, out: &mut Text) {
    let there = model.workers.values().filter(|worker| worker.left.is_none());
    let stopped = there.clone().filter(|worker| worker.sight.stopped_ns.is_some()).count();
    let all = there.count() - stopped;
    let is_paused = model.sight.pressure == Shortage::Paused;
    let (running, paused) = if is_paused { (0, all) } else { (all, 0) };
    out.single(
        "dask_scheduler_clients",
        "gauge",
        "Clients that are connected.",
        f64::from(model.sight.clients),
    );
    let name = "dask_scheduler_workers";
    out.family(name, "gauge", "Workers by state.");
    for (state, count) in [("running", running), ("paused", paused), ("stopped", stopped)] {
        out.value(name, &[("state", state)], count as f64);
    }
    let groups = || model.groups.iter().chain([model.groups.older().0]);
    let sum = |of: fn(&oxidask_protocol::GroupTally) -> u64| {
        groups().map(|group| of(&group.tally)).sum::<u64>() as f64
    };
    let name = "dask_scheduler_tasks";
    out.family(name, "gauge", "Tasks that are not forgotten, by state.");
    for (state, count) in [
        ("waiting", sum(|tally| tally.waiting.into())),
        ("no-worker", sum(|tally| tally.no_worker.into())),
        ("processing", sum(|tally| tally.processing.into())),
        ("memory", sum(|tally| tally.in_memory.into())),
    ] {
        out.value(name, &[("state", state)], count);
    }
    let name = "oxidask_tasks_total";
    out.family(name, "counter", "Tasks so far, by how far they came.");
    for (state, count) in [
        ("submitted", sum(|tally| tally.tasks)),
        ("finished", sum(|tally| tally.finished)),
        ("erred", sum(|tally| tally.erred)),
    ] {
        out.value(name, &[("state", state)], count);
    }
    let seconds: f64 = groups().map(|group| group.seconds).sum();
    out.single("oxidask_task_seconds_total", "counter", "Seconds that tasks ran.", seconds);
    out.single(
        "oxidask_records_dropped_total",
        "counter",
        "Records that were lost because there were too many.",
        model.dropped as f64,
    );
    out.single(
        "oxidask_stored_bytes",
        "gauge",
        "Bytes of results in shared memory.",
        model.sight.stored as f64,
    );
    out.single(
        "oxidask_spilled_bytes",
        "gauge",
        "Bytes of results on disk.",
        model.sight.spilled as f64,
    );
}

fn workers(model: &Model, out: &mut Text) {
    let there = || model.workers.values().filter(|worker| worker.left.is_none());
    let mut family = |name: &str, help: &str, of: fn(&crate::model::Worker) -> f64| {
        out.family(name, "gauge", help);
        for worker in there() {
            out.value(name, &[("worker", &worker.name)], of(worker));
        }
    };
    family("dask_worker_threads", "Threads that run tasks.", |worker| worker.threads.into());
    family("oxidask_worker_memory_bytes", "Bytes that only its process has.", |worker| {
        worker.sight.memory as f64
    });
    family("oxidask_worker_cores", "Processors that its process uses.", |worker| worker.cores);
    family("oxidask_worker_tasks", "Tasks that it was given and has not ended.", |worker| {
        worker.sight.processing.into()
    });
}

fn threads(model: &Model, out: &mut Text) {
    let name = "oxidask_thread_seconds_total";
    out.family(name, "counter", "Seconds of threads, by what they did.");
    let mut bins = Bins::default();
    model.bins.visit(&(0..model.now_ns.max(1)), |step| bins.merge(step));
    for bin in Bin::ALL {
        out.value(name, &[("state", bin.name())], bins.seconds(bin));
    }
}

#[cfg(test)]
mod tests {
    use oxidask_protocol::{GroupId, GroupTally, WorkerId};

    use super::*;
    use crate::news::{News, Notice};

    #[test]
    fn names_are_those_that_are_promised_and_labels_are_escaped() {
        let mut model = Model::default();
        let joined = Notice::Joined {
            worker: WorkerId(1),
            name: "a \"quoted\"\nname".to_owned(),
            pid: 1,
            threads: 2,
            memory_limit: None,
        };
        let tally = GroupTally { tasks: 3, finished: 1, waiting: 2, ..GroupTally::default() };
        let groups = vec![(GroupId(0), tally)];
        model.hear(&News { notices: vec![(0, joined)], groups, ..News::default() });
        let text = metrics(&model);
        let names: Vec<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE "))
            .filter_map(|line| line.split(' ').next())
            .collect();
        let golden = [
            "dask_scheduler_clients",
            "dask_scheduler_workers",
            "dask_scheduler_tasks",
            "oxidask_tasks_total",
            "oxidask_task_seconds_total",
            "oxidask_records_dropped_total",
            "oxidask_stored_bytes",
            "oxidask_spilled_bytes",
            "dask_worker_threads",
            "oxidask_worker_memory_bytes",
            "oxidask_worker_cores",
            "oxidask_worker_tasks",
            "oxidask_thread_seconds_total",
        ];
        assert_eq!(names, golden);
        assert!(text.contains("dask_scheduler_tasks{state=\"waiting\"} 2\n"), "{text}");
        let label = "dask_worker_threads{worker=\"a \\\"quoted\\\"\\nname\"} 2\n";
        assert!(text.contains(label), "{text}");
    }
}
