//! The table of nodes: slots, queues, and which of them is least or most loaded.

use std::collections::BTreeSet;

use oxidask_protocol::{NodeId, TaskId};

/// When a task runs: the priority of its submission, then its rank there. The smallest runs first.
pub(crate) type Urgency = (u64, u32);

/// What the scheduler knows of one node.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) threads: u32,
    pub(crate) window: u32,
    /// Attempts that hold a slot here: given and not ended, cancelled ones included.
    pub(crate) occupied: u32,
    /// Tasks that wait for a slot here, because their inputs are here.
    pub(crate) queue: BTreeSet<(Urgency, TaskId)>,
    /// Tasks given to the node, where more are given than it has threads; those may be asked back.
    pub(crate) given: BTreeSet<(Urgency, TaskId)>,
    /// Tasks asked back from others on behalf of this node.
    pub(crate) expected: u32,
    /// Tasks asked back from this node that have not come.
    pub(crate) asked_back: u32,
    load_key: u64,
}

impl Node {
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
        // In 1/1024 of its window, so that a large node counts as less loaded by the same tasks, and
        // a node with a free slot and no queue as less loaded than any without a free slot.
        (u64::from(self.occupied) + self.queue.len() as u64) * 1024 / u64::from(self.window.max(1))
    }
}

/// All nodes that are alive.
#[derive(Debug, Default)]
pub(crate) struct Nodes {
    table: Vec<Option<Node>>,
    alive: usize,
    /// Nodes from least to most loaded; kept only while there are two or more.
    by_load: BTreeSet<(u64, NodeId)>,
    /// The only node, if there is one.
    single: Option<NodeId>,
}

impl Nodes {
    pub(crate) fn len(&self) -> usize {
        self.alive
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.alive == 0
    }

    /// The only node, if there is just one.
    pub(crate) fn single(&self) -> Option<NodeId> {
        self.single
    }

    pub(crate) fn get(&self, node: NodeId) -> Option<&Node> {
        self.table.get(node.index())?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, node: NodeId) -> Option<&mut Node> {
        self.table.get_mut(node.index())?.as_mut()
    }

    /// A node that is known to be alive.
    pub(crate) fn alive_mut(&mut self, node: NodeId) -> &mut Node {
        self.get_mut(node).expect("tasks point to living nodes only")
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = NodeId> + '_ {
        (0..self.table.len() as u32).map(NodeId).filter(|&node| self.get(node).is_some())
    }

    pub(crate) fn insert(&mut self, node: NodeId, threads: u32, window: u32) {
        assert!(self.get(node).is_none(), "node {node} has joined already; ids are used once");
        if self.table.len() <= node.index() {
            self.table.resize_with(node.index() + 1, || None);
        }
        self.table[node.index()] = Some(Node {
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

    pub(crate) fn remove(&mut self, node: NodeId) -> Option<Node> {
        let removed = self.table.get_mut(node.index())?.take()?;
        self.alive -= 1;
        self.rebuild_loads();
        Some(removed)
    }

    fn rebuild_loads(&mut self) {
        self.by_load.clear();
        let ids: Vec<NodeId> = self.ids().collect();
        self.single = if let &[only] = ids.as_slice() { Some(only) } else { None };
        if ids.len() < 2 {
            return;
        }
        for node in ids {
            let entry = self.alive_mut(node);
            entry.load_key = entry.load();
            let key = entry.load_key;
            self.by_load.insert((key, node));
        }
    }

    /// To be called after a node's queue or slots have changed.
    pub(crate) fn load_changed(&mut self, node: NodeId) {
        if self.alive < 2 {
            return;
        }
        let Some(entry) = self.table.get_mut(node.index()).and_then(Option::as_mut) else { return };
        let (before, now) = (entry.load_key, entry.load());
        if before != now {
            entry.load_key = now;
            self.by_load.remove(&(before, node));
            self.by_load.insert((now, node));
        }
    }

    /// The node that has least to do for its size.
    pub(crate) fn least_loaded(&self) -> Option<NodeId> {
        self.single.or_else(|| self.by_load.first().map(|&(_, node)| node))
    }

    /// The node that has most to do for its size.
    pub(crate) fn most_loaded(&self) -> Option<NodeId> {
        self.by_load.last().map(|&(_, node)| node)
    }
}
