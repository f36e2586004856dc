//! Watches a cluster: asks it for news many times a second, looks what its threads do, and keeps the
//! [`Model`] of the run. It never waits for the cluster for longer than a record takes to copy.

mod looking;
mod recording;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;

use oxidask_observe::model::Model;
use oxidask_observe::news::{Gap, News, Notice, Origin};
use oxidask_observe::views::{self, Query};
use oxidask_protocol::{TaskId, WorkerId};
use serde_json::Value;

use self::looking::look_at;
pub use self::recording::{Recording, ReplayError};
use crate::cluster::{Cluster, Look};
use crate::resources::processor_time_of;

/// How often it looks while tasks run, and how often while there are none.
const OFTEN: Duration = Duration::from_millis(50);
const SELDOM: Duration = Duration::from_millis(250);
/// Threads that are looked at in a second, at most: with more, it looks less often.
const MOST_LOOKS: u64 = 4000;

/// Whoever watches a cluster, or has the file of a run.
pub struct Observer {
    cluster: Weak<Cluster>,
    model: Model,
    recording: Option<Recording>,
    /// Tasks that threads were seen to run the last time.
    seen: BTreeMap<(WorkerId, u32), TaskId>,
}

impl Observer {
    /// Begins to watch, and to write all that is seen into a file, if there is one.
    pub fn new(cluster: &Arc<Cluster>, origin: Origin, recording: Option<Recording>) -> Self {
        cluster.watch();
        let mut observer = Self {
            cluster: Arc::downgrade(cluster),
            model: Model::default(),
            recording,
            seen: BTreeMap::new(),
        };
        let notices = vec![(0, Notice::Began(Box::new(origin)))];
        observer.tell(&News { notices, ..News::default() });
        observer.look();
        observer
    }

    /// Reads the file of a run.
    pub fn of_file(path: &Path) -> Result<Self, ReplayError> {
        let model = recording::replay(path)?;
        Ok(Self { cluster: Weak::new(), model, recording: None, seen: BTreeMap::new() })
    }

    /// Answers what is asked, as the part of an address behind the question mark has it; none if
    /// there is no answer of that name.
    pub fn answer(&mut self, name: &str, query: &str) -> Option<Value> {
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        views::answer(&mut self.model, name, &Query::from_pairs(pairs))
    }

    /// What is known.
    pub fn model(&mut self) -> &mut Model {
        &mut self.model
    }

    /// Whether the cluster is still there.
    pub fn is_live(&self) -> bool {
        self.cluster.strong_count() > 0
    }

    /// Looks once. Returns how long nobody needs to look, none if the cluster has ended.
    pub fn look(&mut self) -> Option<Duration> {
        let Some(cluster) = self.cluster.upgrade() else {
            self.note_end();
            return None;
        };
        let mut looks = Vec::new();
        let mut seen = BTreeMap::new();
        let mut threads = 0;
        for (worker, pid, line) in cluster.lines() {
            let seats = line.seats();
            threads += seats.len() as u64;
            let mut keys_of = Vec::new();
            for seat in &seats {
                let Some(task) = seat.task else { continue };
                seen.insert((worker, seat.thread), task);
                // Of a task that is gone in a moment nobody reads the key.
                if self.seen.get(&(worker, seat.thread)) == Some(&task) {
                    keys_of.push(task);
                }
            }
            let threads = look_at(pid, &seats);
            looks.push(Look { worker, cpu_ns: processor_time_of(pid), threads, keys_of });
        }
        self.seen = seen;
        self.tell(&cluster.news(looks));
        let often = OFTEN.max(Duration::from_secs(1) * threads as u32 / MOST_LOOKS as u32);
        Some(if self.model.is_busy() { often } else { SELDOM })
    }

    /// Looks for the last time: what is seen is the end of the run, and of its file.
    pub fn end(&mut self) {
        self.look();
        if let Some(cluster) = self.cluster.upgrade() {
            cluster.unwatch();
        }
        self.note_end();
    }

    fn note_end(&mut self) {
        if !self.model.has_ended {
            let at_ns = self.model.now_ns;
            let notices = vec![(at_ns, Notice::Ended)];
            self.tell(&News { at_ns, notices, ..News::default() });
        }
        self.note_trouble(Recording::flush);
        self.recording = None;
    }

    fn tell(&mut self, news: &News) {
        self.model.hear(news);
        self.note_trouble(|recording| recording.add(news));
    }

    /// Writes. If that fails nothing more is written, and whoever looks at the run is told.
    fn note_trouble(&mut self, write: impl FnOnce(&mut Recording) -> std::io::Result<()>) {
        let Some(recording) = &mut self.recording else { return };
        if let Err(error) = write(recording) {
            self.recording = None;
            let text = format!("the run is not recorded any more: {error}");
            let at_ns = self.model.now_ns;
            let notices = vec![(at_ns, Notice::Gap { gap: Gap::Stopped, text })];
            self.model.hear(&News { at_ns, notices, ..News::default() });
        }
    }
}
