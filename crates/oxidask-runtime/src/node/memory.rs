//! Looks at the memory of worker processes, and ends those that take more than they may.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use oxidask_protocol::{TaskId, WorkerId};

use crate::cluster::Cluster;

/// How often memory is looked at, and how often while a worker has much of it.
const SELDOM: Duration = Duration::from_millis(50);
const OFTEN: Duration = Duration::from_millis(10);

/// A worker that has taken more memory than it may.
pub(super) struct Overgrown {
    pub(super) worker: WorkerId,
    /// In words, for users.
    pub(super) cause: String,
}

/// What a worker was seen to run, its memory then, and its memory now.
#[derive(Default)]
struct Seen {
    running: Vec<TaskId>,
    nbytes: u64,
    last: u64,
}

/// Memory has grown that much if it is worth telling.
const WORTH_TELLING: u64 = 32 << 20;

/// Looks at workers' memory now and then.
pub(super) struct Meter {
    /// Bytes that a worker may have for itself.
    limit: u64,
    seen: BTreeMap<WorkerId, Seen>,
    next: Instant,
}

impl Meter {
    pub(super) fn new(limit: u64) -> Self {
        Self { limit, seen: BTreeMap::new(), next: Instant::now() }
    }

    /// How long nobody needs to look.
    pub(super) fn pause(&self) -> Duration {
        self.next.saturating_duration_since(Instant::now())
    }

    /// Tells the cluster how much memory these workers have, if it is time; `running` says what
    /// each runs. Returns those that have too much.
    pub(super) fn look(
        &mut self,
        cluster: &Cluster,
        workers: impl Iterator<Item = (WorkerId, Vec<TaskId>)>,
    ) -> Vec<Overgrown> {
        let pids: BTreeMap<WorkerId, u32> =
            cluster.workers().into_iter().map(|(worker, info)| (worker, info.pid)).collect();
        let (mut sizes, mut overgrown) = (Vec::new(), Vec::new());
        let mut seen = BTreeMap::new();
        for (worker, running) in workers {
            let Some(nbytes) = pids.get(&worker).and_then(|&pid| anonymous_nbytes(pid)) else {
                continue;
            };
            sizes.push((worker, nbytes));
            let before = match self.seen.remove(&worker) {
                Some(before) if before.running == running => Seen { last: nbytes, ..before },
                _ => Seen { running, nbytes, last: nbytes },
            };
            if nbytes > self.limit {
                let cause = self.cause(cluster, nbytes, &before);
                overgrown.push(Overgrown { worker, cause });
            }
            seen.insert(worker, before);
        }
        self.seen = seen;
        let is_much = sizes.iter().any(|&(_, nbytes)| nbytes > self.limit / 2);
        self.next = Instant::now() + if is_much { OFTEN } else { SELDOM };
        cluster.memory_measured(&sizes);
        overgrown
    }

    /// How the memory of a worker that died had grown while it ran these tasks, in words; empty if it
    /// had not.
    pub(super) fn growth(&self, worker: WorkerId, running: &[TaskId]) -> String {
        match self.seen.get(&worker) {
            Some(seen) if seen.running == running && seen.last > seen.nbytes + WORTH_TELLING => {
                format!(", after its memory had grown from {} to {} bytes", seen.nbytes, seen.last)
            }
            _ => String::new(),
        }
    }

    fn cause(&self, cluster: &Cluster, nbytes: u64, before: &Seen) -> String {
        let keys = cluster.keys_of(&before.running);
        let whose = match keys.as_slice() {
            [] => "while it ran no task".to_owned(),
            keys => format!("while it ran {}", keys.join(", ")),
        };
        format!(
            "was killed by its node: its memory grew from {} to {} bytes {whose}, and its limit is \
             {} bytes (memory_limit=)",
            before.nbytes, nbytes, self.limit
        )
    }
}

/// Bytes of a process that nobody else has and that no file stands behind.
fn anonymous_nbytes(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let mut pages = text.split_ascii_whitespace().skip(1).map(str::parse::<u64>);
    let (resident, shared) = (pages.next()?.ok()?, pages.next()?.ok()?);
    Some(resident.saturating_sub(shared) * rustix::param::page_size() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_of_this_process_grows_with_what_it_writes() {
        let before = anonymous_nbytes(std::process::id()).expect("this process is there");
        let bytes = vec![1_u8; 64 << 20];
        let after = anonymous_nbytes(std::process::id()).expect("this process is there");
        assert!(after > before + (32 << 20), "{before} -> {after}");
        drop(bytes);
    }

    #[test]
    fn a_process_that_is_gone_has_no_memory() {
        assert_eq!(anonymous_nbytes(u32::MAX), None);
    }
}
