//! Writes down what happens in a cluster, for whoever watches: nothing as long as nobody does, and never
//! more than fits. Called with the cluster's lock held, so it only takes notes.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use oxidask_graph::Edges;
use oxidask_node::MemoryLimits;
use oxidask_observe::news::{
    Activity, News, Notice, Shortage, Sight, TaskSight, ThreadSight, WorkerSight,
};
use oxidask_protocol::{
    Ending, Graph, GroupId, Pressure, Record, RecordBody, SpanKind, Stretch, TaskId, TaskState,
    WorkerId,
};

use super::core::{Core, Death};
use crate::resources::machine_time;

/// Records and notices that wait for whoever watches, at most: the oldest make room.
const MOST_RECORDS: usize = 1 << 18;
const MOST_NOTICES: usize = 1 << 14;

/// Tasks of a graph that may be drawn, at most.
const MOST_DRAWN: usize = 20_000;

/// How a worker's threads were seen.
#[derive(Clone, Debug)]
pub struct Look {
    /// The worker.
    pub worker: WorkerId,
    /// Processor time of its process so far, in nanoseconds.
    pub cpu_ns: u64,
    /// Each thread, its task, and what the system says that it does.
    pub threads: Vec<(u32, Option<TaskId>, Activity)>,
    /// Tasks of which the key is wanted.
    pub keys_of: Vec<TaskId>,
}

/// What waits to be told.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    is_on: bool,
    records: VecDeque<Record>,
    notices: Vec<(u64, Notice)>,
    dropped: u64,
    /// Groups whose tasks went on, and whether each group is among them.
    touched: Vec<GroupId>,
    is_touched: Vec<bool>,
    /// Tasks that wait for a slot at the scheduler.
    queued: i64,
    /// The machine's time when the cluster began.
    begun: Duration,
}

impl Recorder {
    pub(super) fn stop(&mut self) {
        *self = Self::default();
    }

    /// What the scheduler has done.
    pub(super) fn hear(&mut self, records: &[Record]) {
        if !self.is_on {
            return;
        }
        for record in records {
            match record.body {
                RecordBody::Task { group, from, to, .. } => {
                    self.queued += i64::from(to == TaskState::Queued);
                    self.queued -= i64::from(from == TaskState::Queued);
                    self.touch(group);
                }
                RecordBody::Group { group, .. } => self.touch(group),
                RecordBody::Span { .. } | RecordBody::Worker { .. } => {}
            }
        }
    }

    fn touch(&mut self, group: GroupId) {
        if self.is_touched.len() <= group.index() {
            self.is_touched.resize(group.index() + 1, false);
        }
        if !std::mem::replace(&mut self.is_touched[group.index()], true) {
            self.touched.push(group);
        }
    }

    /// A group has its name.
    pub(super) fn name_group(&mut self, group: GroupId, name: &str, now: Duration) {
        self.note(now, || Notice::Group { group, name: name.to_owned() });
    }

    fn note(&mut self, now: Duration, notice: impl FnOnce() -> Notice) {
        if !self.is_on {
            return;
        }
        if self.notices.len() == MOST_NOTICES {
            self.dropped += 1;
            return;
        }
        self.notices.push((now.as_nanos() as u64, notice()));
    }

    fn push(&mut self, record: Record) {
        if self.records.len() == MOST_RECORDS {
            self.records.pop_front();
            self.dropped += 1;
        }
        self.records.push_back(record);
    }
}

impl Core {
    /// Somebody watches from now on, and is told how it stands.
    pub(super) fn watch(&mut self) {
        if self.recorder.is_on {
            return;
        }
        let queued: u32 = self
            .groups()
            .map(|(_, group)| self.scheduler.group_count(group, TaskState::Queued))
            .sum();
        self.recorder = Recorder {
            is_on: true,
            queued: i64::from(queued),
            begun: machine_time().saturating_sub(self.now),
            ..Recorder::default()
        };
        let groups: Vec<(String, GroupId)> =
            self.groups().map(|(name, group)| (name.to_owned(), group)).collect();
        for (name, group) in groups {
            self.recorder.name_group(group, &name, self.now);
            self.recorder.touch(group);
        }
        let workers: Vec<WorkerId> = self.workers.keys().copied().collect();
        for worker in workers {
            self.note_joined(worker);
        }
    }

    /// A worker has come.
    pub(super) fn note_joined(&mut self, worker: WorkerId) {
        let count = self.workers.len().max(1) as u64;
        let Some(entry) = self.workers.get(&worker) else { return };
        let (name, pid, threads) = (&entry.info.name, entry.info.pid, entry.info.threads);
        let memory_limit = self.memory.map(|MemoryLimits { budget, .. }| budget / count);
        self.recorder.note(self.now, || Notice::Joined {
            worker,
            name: name.clone(),
            pid,
            threads,
            memory_limit,
        });
    }

    /// A worker is gone.
    pub(super) fn note_left(&mut self, worker: WorkerId, death: &Death) {
        let (cause, crashed) = (&death.cause, death.crashed);
        self.recorder.note(self.now, || Notice::Left { worker, cause: cause.clone(), crashed });
    }

    /// A task has ended, or an attempt of it. What the worker says may make no sense.
    pub(super) fn note_stretch(
        &mut self,
        worker: WorkerId,
        task: TaskId,
        ending: &Ending,
        stretch: &Stretch,
    ) {
        if !self.recorder.is_on
            || stretch.began_ns == 0
            || stretch.thread as usize >= oxidask_store::SLOTS
            || self.submissions.get(task).is_none()
        {
            return;
        }
        let (kind, nbytes) = match ending {
            Ending::Returned { nbytes, .. } => (SpanKind::Compute, *nbytes),
            Ending::Raised { .. } | Ending::OutOfTime { .. } => (SpanKind::Failed, 0),
            Ending::Stopped => (SpanKind::Stopped, 0),
        };
        let group = self.scheduler.group_of(task);
        if let Ending::Raised { said, .. } = ending {
            let key = self.submission_of(task).map_or_else(String::new, |one| one.key(task));
            let (exception, traceback) = (said.line.clone(), said.traceback.clone());
            self.recorder.note(self.now, || Notice::Raised { group, key, exception, traceback });
        }
        let now_ns = self.now.as_nanos() as u64;
        let begin_ns = stretch.began_ns.saturating_sub(self.recorder.begun.as_nanos() as u64);
        let thread = stretch.thread;
        let mut write = |kind, from_ns: u64, duration_ns: u64, nbytes| {
            let at_ns = from_ns.saturating_add(duration_ns).min(now_ns);
            let duration_ns = at_ns.saturating_sub(from_ns);
            let body = RecordBody::Span { kind, task, group, worker, thread, nbytes, duration_ns };
            self.recorder.push(Record { at_ns, body });
        };
        write(kind, begin_ns, stretch.duration_ns, nbytes);
        if stretch.packing_ns > 0 {
            let from_ns = begin_ns.saturating_add(stretch.duration_ns);
            write(SpanKind::Pack, from_ns, stretch.packing_ns, 0);
        }
    }

    /// Tasks are submitted: what groups they have, and of which they read.
    pub(super) fn note_reads(
        &mut self,
        base: TaskId,
        graph: &Graph,
        dependencies: &Edges,
        groups: &[GroupId],
        externals: &[Option<TaskId>],
    ) {
        if !self.recorder.is_on {
            return;
        }
        let count = graph.len();
        if count <= MOST_DRAWN && self.recorder.notices.len() < MOST_NOTICES / 2 {
            let shape = shape_of(base, graph, dependencies, groups, externals);
            self.recorder.note(self.now, || shape);
        }
        let mut reads: BTreeMap<(GroupId, GroupId), u64> = BTreeMap::new();
        // Neighbours read alike, so most edges are counted without a look into the map.
        let mut last = ((GroupId(0), GroupId(0)), 0);
        for (task, &group) in graph.groups.iter().enumerate() {
            let group = groups[group as usize];
            for &input in dependencies.row(task as u32) {
                let input = if (input as usize) < count {
                    groups[graph.groups[input as usize] as usize]
                } else {
                    match externals[input as usize - count] {
                        Some(task) => self.scheduler.group_of(task),
                        None => continue,
                    }
                };
                if last.0 != (group, input) {
                    *reads.entry(last.0).or_default() += last.1;
                    last = ((group, input), 0);
                }
                last.1 += 1;
            }
        }
        *reads.entry(last.0).or_default() += last.1;
        for ((group, input), edges) in reads {
            if edges > 0 {
                self.recorder.note(self.now, || Notice::Reads { group, input, edges });
            }
        }
    }

    /// What has happened since the last call, and how it stands now.
    pub(super) fn news(&mut self, looks: Vec<Look>) -> News {
        let recorder = &mut self.recorder;
        let records = std::mem::take(&mut recorder.records).into();
        let notices = std::mem::take(&mut recorder.notices);
        let touched = std::mem::take(&mut recorder.touched);
        for group in &touched {
            recorder.is_touched[group.index()] = false;
        }
        let dropped = recorder.dropped;
        let tally = |group| (group, self.scheduler.group_tally(group));
        let groups = touched.into_iter().map(tally).collect();
        let sight = Some(self.sight(looks));
        News { at_ns: self.now.as_nanos() as u64, records, groups, notices, sight, dropped }
    }

    fn sight(&self, looks: Vec<Look>) -> Sight {
        let memory = self.node.memory_use();
        Sight {
            queued: self.recorder.queued.max(0) as u32,
            stored: self.node.stored_nbytes(),
            spilled: memory.spilled,
            memory: memory.used,
            limit: self.memory.map(|limits| limits.budget),
            pressure: match memory.pressure {
                Pressure::None => Shortage::None,
                Pressure::NoRoots | Pressure::RootsAlone => Shortage::Some,
                Pressure::Paused | Pressure::Alone => Shortage::Paused,
            },
            clients: self.client_count() as u32,
            workers: looks.into_iter().filter_map(|look| self.worker_sight(look)).collect(),
        }
    }

    fn worker_sight(&self, look: Look) -> Option<WorkerSight> {
        let Look { worker, cpu_ns, threads, keys_of } = look;
        let entry = self.workers.get(&worker)?;
        let task_sight = |task: TaskId| {
            let submitted = self.submission_of(task)?;
            let key = if keys_of.contains(&task) { submitted.key(task) } else { String::new() };
            Some(TaskSight { task: task.0, group: self.scheduler.group_of(task), key })
        };
        let thread = |(thread, task, activity): (u32, Option<TaskId>, Activity)| ThreadSight {
            thread,
            task: task.and_then(task_sight),
            activity,
        };
        Some(WorkerSight {
            worker,
            processing: self.scheduler.given_to(worker),
            fetching: self.node.waiting_at(worker) as u32,
            ended: entry.finished,
            cpu_ns,
            memory: entry.anonymous,
            stopped_ns: self.still_for(worker).map(|time| time.as_nanos() as u64),
            threads: threads.into_iter().map(thread).collect(),
        })
    }
}

/// Which task of a graph reads which.
fn shape_of(
    base: TaskId,
    graph: &Graph,
    dependencies: &Edges,
    groups: &[GroupId],
    externals: &[Option<TaskId>],
) -> Notice {
    let count = graph.len() as u32;
    let mut starts = Vec::with_capacity(graph.len() + 1);
    let mut inputs = Vec::with_capacity(dependencies.edge_count());
    starts.push(0);
    for row in dependencies.rows() {
        inputs.extend(row.iter().map(|&input| match input.checked_sub(count) {
            None => base.0 + input,
            Some(place) => externals[place as usize].map_or(u32::MAX, |task| task.0),
        }));
        starts.push(inputs.len() as u32);
    }
    let groups = graph.groups.iter().map(|&group| groups[group as usize]).collect();
    Notice::Shape { base: base.0, groups, starts, inputs }
}
