//! Watches a cluster: asks it for news many times a second, looks what its threads do, and keeps the
//! [`Model`] of the run. It never waits for the cluster for longer than a record takes to copy.

mod looking;

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use oxidask_observe::model::Model;
use oxidask_observe::news::{News, Notice, Origin};
use oxidask_protocol::{TaskId, WorkerId};

use self::looking::look_at;
use crate::cluster::{Cluster, Look};
use crate::resources::processor_time_of;

/// How often it looks while tasks run, and how often while there are none.
const OFTEN: Duration = Duration::from_millis(50);
const SELDOM: Duration = Duration::from_millis(250);
/// Threads that are looked at in a second, at most: with more, it looks less often.
const MOST_LOOKS: u64 = 4000;

/// Whoever watches a cluster.
pub struct Observer {
    cluster: Weak<Cluster>,
    model: Model,
    /// Tasks that threads were seen to run the last time.
    seen: BTreeMap<(WorkerId, u32), TaskId>,
}

impl Observer {
    /// Begins to watch.
    pub fn new(cluster: &Arc<Cluster>, origin: Origin) -> Self {
        cluster.watch();
        let mut observer = Self {
            cluster: Arc::downgrade(cluster),
            model: Model::default(),
            seen: BTreeMap::new(),
        };
        let notices = vec![(0, Notice::Began(Box::new(origin)))];
        observer.model.hear(&News { notices, ..News::default() });
        observer.look();
        observer
    }

    /// What is known.
    pub fn model(&mut self) -> &mut Model {
        &mut self.model
    }

    /// Whether the cluster is still there.
    pub fn is_live(&self) -> bool {
        self.cluster.strong_count() > 0
    }

    /// The cluster, if it is still there.
    pub fn cluster(&self) -> Option<Arc<Cluster>> {
        self.cluster.upgrade()
    }

    /// Looks once. Returns how long nobody needs to look, none if the cluster has ended.
    pub fn look(&mut self) -> Option<Duration> {
        let Some(cluster) = self.cluster.upgrade() else {
            if !self.model.has_ended {
                let at_ns = self.model.now_ns;
                let notices = vec![(at_ns, Notice::Ended)];
                self.model.hear(&News { at_ns, notices, ..News::default() });
            }
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
        self.model.hear(&cluster.news(looks));
        let often = OFTEN.max(Duration::from_secs(1) * threads as u32 / MOST_LOOKS as u32);
        Some(if self.model.is_busy() { often } else { SELDOM })
    }
}
