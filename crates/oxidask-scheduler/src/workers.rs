//! The table of workers: slots, queues, and which of them is least or most loaded.

use std::collections::BTreeSet;

use oxidask_protocol::{TaskId, WorkerId};

/// When a task runs: the priority of its submission, then its rank there. The smallest runs first.
pub(crate) type Urgency = (u64, u32);

/// What the scheduler knows of one worker.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) threads: u32,
    pub(crate) window: u32,
    /// Attempts that hold a slot here: given and not ended, cancelled ones included.
    pub(crate) occupied: u32,
    /// Tasks that wait for a slot here, because their inputs are here.
    pub(crate) queue: BTreeSet<(Urgency, TaskId)>,
    /// Tasks given to the worker, where more are given than it has threads; those may be asked
    /// back.
    pub(crate) given: BTreeSet<(Urgency, TaskId)>,
    /// Tasks asked back from others on behalf of this worker.
    pub(crate) expected: u32,
    /// Tasks asked back from this worker that have not come.
    pub(crate) asked_back: u32,
    load_key: u64,
}

impl Worker {
    /// Whether it is given more tasks than it has threads.
    pub(crate) fn prefetches(&self) -> bool {
        self.window > self.threads
    }

    pub(crate) fn has_free_slot(&self) -> bool {
        self.occupied < self.window
    }

    /// Whether a thread has nothing to do, and nothing is on its way.
    pub(crate) fn is_starving(&self) -> bool {
        self.queue.is_empty() && self.occupied + self.expected < self.threads
    }

    fn load(&self) -> u64 {
        // In 1/1024 of its window, so that a large worker counts as less loaded by the same tasks,
        // and a worker with a free slot and no queue as less loaded than any without a free slot.
        (u64::from(self.occupied) + self.queue.len() as u64) * 1024 / u64::from(self.window.max(1))
    }
}

/// All workers that are alive.
#[derive(Debug, Default)]
pub(crate) struct Workers {
    table: Vec<Option<Worker>>,
    alive: usize,
    /// Workers from least to most loaded; kept only while there are two or more.
    by_load: BTreeSet<(u64, WorkerId)>,
    /// The only worker, if there is one.
    single: Option<WorkerId>,
}

impl Workers {
    pub(crate) fn len(&self) -> usize {
        self.alive
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.alive == 0
    }

    /// The only worker, if there is just one.
    pub(crate) fn single(&self) -> Option<WorkerId> {
        self.single
    }

    pub(crate) fn get(&self, worker: WorkerId) -> Option<&Worker> {
        self.table.get(worker.index())?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, worker: WorkerId) -> Option<&mut Worker> {
        self.table.get_mut(worker.index())?.as_mut()
    }

    /// A worker that is known to be alive.
    pub(crate) fn alive_mut(&mut self, worker: WorkerId) -> &mut Worker {
        self.get_mut(worker).expect("tasks point to living workers only")
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = WorkerId> + '_ {
        (0..self.table.len() as u32).map(WorkerId).filter(|&worker| self.get(worker).is_some())
    }

    pub(crate) fn insert(&mut self, worker: WorkerId, threads: u32, window: u32) {
        assert!(
            self.get(worker).is_none(),
            "worker {worker} has joined already; ids are used once"
        );
        if self.table.len() <= worker.index() {
            self.table.resize_with(worker.index() + 1, || None);
        }
        self.table[worker.index()] = Some(Worker {
            threads,
            window: window.max(threads),
            occupied: 0,
            queue: BTreeSet::new(),
            given: BTreeSet::new(),
            expected: 0,
            asked_back: 0,
            load_key: 0,
        });
        self.alive += 1;
        self.rebuild_loads();
    }

    pub(crate) fn remove(&mut self, worker: WorkerId) -> Option<Worker> {
        let removed = self.table.get_mut(worker.index())?.take()?;
        self.alive -= 1;
        self.rebuild_loads();
        Some(removed)
    }

    fn rebuild_loads(&mut self) {
        self.by_load.clear();
        let ids: Vec<WorkerId> = self.ids().collect();
        self.single = if let &[only] = ids.as_slice() { Some(only) } else { None };
        if ids.len() < 2 {
            return;
        }
        for worker in ids {
            let entry = self.alive_mut(worker);
            entry.load_key = entry.load();
            let key = entry.load_key;
            self.by_load.insert((key, worker));
        }
    }

    /// To be called after a worker's queue or slots have changed.
    pub(crate) fn load_changed(&mut self, worker: WorkerId) {
        if self.alive < 2 {
            return;
        }
        let Some(entry) = self.table.get_mut(worker.index()).and_then(Option::as_mut) else {
            return;
        };
        let (before, now) = (entry.load_key, entry.load());
        if before != now {
            entry.load_key = now;
            self.by_load.remove(&(before, worker));
            self.by_load.insert((now, worker));
        }
    }

    /// The worker that has least to do for its size.
    pub(crate) fn least_loaded(&self) -> Option<WorkerId> {
        self.single.or_else(|| self.by_load.first().map(|&(_, worker)| worker))
    }

    /// The worker that has most to do for its size.
    pub(crate) fn most_loaded(&self) -> Option<WorkerId> {
        self.by_load.last().map(|&(_, worker)| worker)
    }
}
