//! The table of workers: slots, queues, and which of them is least or most loaded.

use std::collections::{BTreeMap, BTreeSet};

use oxidask_protocol::{HostId, ResourceId, TaskId, WorkerId};

use crate::Offer;

/// When a task runs. The smallest runs first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Urgency {
    /// Of its submission: the larger, the later.
    pub(crate) priority: u64,
    /// How many submissions came before its own.
    pub(crate) sequence: u64,
    /// Its place in its submission.
    pub(crate) rank: u32,
}

impl Urgency {
    /// That of the submission.
    pub(crate) fn queue_key(self) -> (u64, u64) {
        (self.priority, self.sequence)
    }
}

/// What the scheduler knows of one worker.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) host: HostId,
    /// Without threads it only holds results. Those of tasks that wait for others are counted
    /// twice, because they lend their slots.
    pub(crate) threads: u32,
    /// How many slots are lent now.
    lent: u32,
    /// Whether one was ever lent: it may have more tasks than slots after that.
    pub(crate) has_lent: bool,
    pub(crate) window: u32,
    prefetches: bool,
    /// Attempts that hold a slot here: given and not ended, cancelled ones included.
    pub(crate) occupied: u32,
    /// Tasks that wait for a slot here, because their inputs are here.
    pub(crate) queue: BTreeSet<(Urgency, TaskId)>,
    /// Tasks given to the worker, and how many nanoseconds each was expected to last; kept where
    /// more are given than it has threads. Those may be asked back.
    pub(crate) given: BTreeMap<(Urgency, TaskId), u32>,
    /// The sum of those nanoseconds.
    pub(crate) work_ns: u64,
    /// Tasks asked back from others on behalf of this worker.
    pub(crate) expected: u32,
    /// Tasks asked back from this worker that have not come.
    pub(crate) asked_back: u32,
    /// Tasks among `given` that may not be asked back, for not every worker may run them.
    pub(crate) bound: u32,
    /// What it has for tasks that ask for something.
    pub(crate) offer: Box<Offer>,
    /// What is taken of that.
    pub(crate) taken: BTreeMap<ResourceId, u64>,
    /// A task that may kill it, and so is given nothing for company.
    pub(crate) alone: Option<TaskId>,
    /// Whether it is given nothing, so that such a task can come.
    pub(crate) is_emptied: bool,
    standing: Standing,
}

/// What a task is taken to last whose group has not run: so long that nothing is given behind it.
pub(crate) const UNKNOWN_NS: u32 = u32::MAX;

/// How a worker stands among the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Standing {
    load: u64,
    /// Whether a thread has nothing to do, and nothing is on its way.
    starves: bool,
    /// Tasks that wait here and may be taken away.
    surplus: u32,
}

impl Worker {
    /// Whether it may be given more tasks than it has threads.
    pub(crate) fn prefetches(&self) -> bool {
        self.prefetches
    }

    /// Whether no task runs here but those that wait for others.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.occupied <= self.lent
    }

    pub(crate) fn has_free_thread(&self) -> bool {
        self.occupied < self.threads && self.is_open()
    }

    /// Whether it may be given tasks at all.
    pub(crate) fn is_open(&self) -> bool {
        self.alone.is_none() && !self.is_emptied
    }

    /// Whether all tasks that it has wait for others.
    pub(crate) fn runs_nothing(&self) -> bool {
        self.occupied <= self.lent
    }

    /// Whether it has this much when no task takes any.
    pub(crate) fn has_ever(&self, needs: &BTreeMap<ResourceId, u64>) -> bool {
        needs.iter().all(|(what, &needed)| self.offered(*what) >= needed)
    }

    /// Whether it has this much now.
    pub(crate) fn has_now(&self, needs: &BTreeMap<ResourceId, u64>) -> bool {
        needs.iter().all(|(what, &needed)| {
            let taken = self.taken.get(what).copied().unwrap_or_default();
            self.offered(*what) - taken >= needed
        })
    }

    fn offered(&self, what: ResourceId) -> u64 {
        self.offer.resources.get(&what).copied().unwrap_or_default()
    }

    /// A task begins that needs this much.
    pub(crate) fn take(&mut self, needs: &BTreeMap<ResourceId, u64>) {
        for (&what, needed) in needs {
            *self.taken.entry(what).or_default() += needed;
        }
    }

    /// A task has ended that needed this much.
    pub(crate) fn give_back(&mut self, needs: &BTreeMap<ResourceId, u64>) {
        for (what, needed) in needs {
            *self.taken.get_mut(what).expect("what was taken is counted") -= needed;
        }
    }

    /// Whether it may be given a task that waits there for a thread: while that takes a moment only.
    pub(crate) fn may_be_given_ahead(&self, expected_ns: u32, give_ahead_ns: u64) -> bool {
        self.occupied < self.window
            && self.is_open()
            && u64::from(expected_ns) < give_ahead_ns
            && self.work_ns / u64::from(self.threads) < give_ahead_ns
    }

    /// Takes down how many of its tasks wait for others and lend their slots.
    pub(crate) fn set_lent(&mut self, lent: u32) {
        self.threads = self.threads - self.lent + lent;
        self.lent = lent;
        self.has_lent |= lent > 0;
        let window = if self.prefetches { self.window } else { 0 };
        self.window = window.max(self.threads);
    }

    /// Notes a task that was given; a bound one may not be asked back.
    pub(crate) fn note_given(
        &mut self,
        urgency: Urgency,
        task: TaskId,
        expected_ns: u32,
        is_bound: bool,
    ) {
        self.bound += u32::from(is_bound);
        self.work_ns += u64::from(expected_ns);
        self.given.insert((urgency, task), expected_ns);
    }

    /// Strikes a task that was given, if it is noted.
    pub(crate) fn strike_given(&mut self, urgency: Urgency, task: TaskId, is_bound: bool) {
        if let Some(expected_ns) = self.given.remove(&(urgency, task)) {
            self.bound -= u32::from(is_bound);
            self.work_ns -= u64::from(expected_ns);
        }
    }

    /// First those with a free thread and no queue, by how much of their threads is taken; then
    /// those that may be given more, by how long that would wait; then all others.
    pub(crate) fn load(&self) -> u64 {
        if !self.is_open() {
            return 1 << 42;
        }
        let threads = u64::from(self.threads.max(1));
        let taken = (u64::from(self.occupied) + self.queue.len() as u64) * 1024 / threads;
        if taken < 1024 {
            taken
        } else if self.queue.is_empty() && self.occupied < self.window {
            1 << 40 | (self.work_ns / threads).min((1 << 40) - 1)
        } else {
            1 << 41 | taken
        }
    }

    fn standing(&self) -> Standing {
        let not_started = self.occupied.saturating_sub(self.threads + self.asked_back);
        let may_be_asked_back =
            (self.given.len() as u32).saturating_sub(self.asked_back + self.bound);
        Standing {
            load: self.load(),
            starves: self.queue.is_empty()
                && self.occupied + self.expected < self.threads
                && self.is_open(),
            surplus: self.queue.len() as u32 + not_started.min(may_be_asked_back),
        }
    }
}

/// All workers that are alive.
#[derive(Debug, Default)]
pub(crate) struct Workers {
    table: Vec<Option<Worker>>,
    alive: usize,
    /// Those with threads.
    runners: usize,
    /// Those with threads from least to most loaded; kept only while there are two or more, as is
    /// all that follows.
    by_load: BTreeSet<(u64, WorkerId)>,
    /// Those of them that starve.
    starving: BTreeSet<(u64, WorkerId)>,
    /// Those that have a surplus, from the least to the most.
    by_surplus: BTreeSet<(u32, WorkerId)>,
    /// As `by_load`, for each host; kept only while there are two hosts or more.
    hosts: BTreeMap<HostId, BTreeSet<(u64, WorkerId)>>,
    /// The only one with threads, if it is the only one.
    single: Option<WorkerId>,
}

impl Workers {
    /// How many can run tasks.
    pub(crate) fn runners(&self) -> usize {
        self.runners
    }

    /// The only one that can run tasks, if there is just one.
    pub(crate) fn single(&self) -> Option<WorkerId> {
        self.single
    }

    /// Whether there is one worker and nobody else holds results.
    pub(crate) fn is_alone(&self) -> bool {
        self.alive == 1
    }

    pub(crate) fn get(&self, worker: WorkerId) -> Option<&Worker> {
        self.table.get(worker.index())?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, worker: WorkerId) -> Option<&mut Worker> {
        self.table.get_mut(worker.index())?.as_mut()
    }

    /// A worker that is known to be alive.
    pub(crate) fn alive(&self, worker: WorkerId) -> &Worker {
        self.get(worker).expect("tasks point to living workers only")
    }

    /// A worker that is known to be alive.
    pub(crate) fn alive_mut(&mut self, worker: WorkerId) -> &mut Worker {
        self.get_mut(worker).expect("tasks point to living workers only")
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = WorkerId> + '_ {
        (0..self.table.len() as u32).map(WorkerId).filter(|&worker| self.get(worker).is_some())
    }

    pub(crate) fn insert(
        &mut self,
        worker: WorkerId,
        host: HostId,
        threads: u32,
        window: u32,
        offer: Box<Offer>,
    ) {
        assert!(
            self.get(worker).is_none(),
            "worker {worker} has joined already; ids are used once"
        );
        if self.table.len() <= worker.index() {
            self.table.resize_with(worker.index() + 1, || None);
        }
        self.table[worker.index()] = Some(Worker {
            host,
            threads,
            lent: 0,
            has_lent: false,
            prefetches: threads > 0 && window > threads,
            window: if threads == 0 { 0 } else { window.max(threads) },
            occupied: 0,
            queue: BTreeSet::new(),
            given: BTreeMap::new(),
            work_ns: 0,
            expected: 0,
            asked_back: 0,
            bound: 0,
            offer,
            taken: BTreeMap::new(),
            alone: None,
            is_emptied: false,
            standing: Standing::default(),
        });
        self.alive += 1;
        self.rebuild_standings();
    }

    pub(crate) fn remove(&mut self, worker: WorkerId) -> Option<Worker> {
        let removed = self.table.get_mut(worker.index())?.take()?;
        self.alive -= 1;
        self.rebuild_standings();
        Some(removed)
    }

    fn rebuild_standings(&mut self) {
        self.by_load.clear();
        self.starving.clear();
        self.by_surplus.clear();
        self.hosts.clear();
        let runners: Vec<WorkerId> =
            self.ids().filter(|&worker| self.alive(worker).threads > 0).collect();
        self.runners = runners.len();
        self.single = if let &[only] = runners.as_slice() { Some(only) } else { None };
        if runners.len() < 2 {
            return;
        }
        let hosts: BTreeSet<HostId> =
            runners.iter().map(|&worker| self.alive(worker).host).collect();
        if hosts.len() > 1 {
            self.hosts = hosts.into_iter().map(|host| (host, BTreeSet::new())).collect();
        }
        for worker in runners {
            let entry = self.alive_mut(worker);
            entry.standing = entry.standing();
            let (standing, host) = (entry.standing, entry.host);
            self.list(worker, host, standing);
        }
    }

    fn list(&mut self, worker: WorkerId, host: HostId, standing: Standing) {
        let place = (standing.load, worker);
        self.by_load.insert(place);
        if let Some(neighbours) = self.hosts.get_mut(&host) {
            neighbours.insert(place);
        }
        if standing.starves {
            self.starving.insert(place);
        }
        if standing.surplus > 0 {
            self.by_surplus.insert((standing.surplus, worker));
        }
    }

    fn unlist(&mut self, worker: WorkerId, host: HostId, standing: Standing) {
        let place = (standing.load, worker);
        self.by_load.remove(&place);
        if let Some(neighbours) = self.hosts.get_mut(&host) {
            neighbours.remove(&place);
        }
        if standing.starves {
            self.starving.remove(&place);
        }
        if standing.surplus > 0 {
            self.by_surplus.remove(&(standing.surplus, worker));
        }
    }

    /// To be called after a worker's queue or slots have changed.
    pub(crate) fn load_changed(&mut self, worker: WorkerId) {
        if self.runners < 2 {
            return;
        }
        let Some(entry) = self.get_mut(worker) else { return };
        let (before, now, host) = (entry.standing, entry.standing(), entry.host);
        if before != now {
            entry.standing = now;
            self.unlist(worker, host, before);
            self.list(worker, host, now);
        }
    }

    /// The worker that has least to do for its size.
    pub(crate) fn least_loaded(&self) -> Option<WorkerId> {
        self.single.or_else(|| self.by_load.first().map(|&(_, worker)| worker))
    }

    /// The same among those of a host; perhaps there is none.
    pub(crate) fn least_loaded_on(&self, host: HostId) -> Option<WorkerId> {
        if self.hosts.is_empty() {
            return self.least_loaded().filter(|&worker| self.alive(worker).host == host);
        }
        self.hosts.get(&host)?.first().map(|&(_, worker)| worker)
    }

    /// A worker that has nothing to do for a thread.
    pub(crate) fn starving(&self) -> Option<WorkerId> {
        self.starving.first().map(|&(_, worker)| worker)
    }

    /// The worker where most tasks wait that another may take.
    pub(crate) fn most_surplus(&self) -> Option<WorkerId> {
        self.by_surplus.last().map(|&(_, worker)| worker)
    }
}
