//! Functions and other parts that many calls share: sent to each worker once.

use std::collections::{BTreeMap, BTreeSet};

use oxidask_protocol::{ContentHash, Value, WorkerId};

/// Parts that no call needs are kept in case that the next one does: so many, or so many bytes. Not
/// so those in shared memory: they are large.
const IDLE_PARTS: usize = 1024;
const IDLE_BYTES: usize = 64 << 20;

#[derive(Debug)]
struct Part {
    body: Value,
    users: u32,
    /// When its last user went, if it has none.
    idle_since: u64,
    known_to: BTreeSet<WorkerId>,
}

/// Bytes of a part that the node itself has.
fn nbytes(body: &Value) -> usize {
    match body {
        Value::Inline(bytes) => bytes.len(),
        Value::Stored(_) | Value::Live => 0,
    }
}

/// A part that is given up.
#[derive(Debug)]
pub(crate) struct GivenUp {
    pub(crate) hash: ContentHash,
    pub(crate) body: Value,
    /// Workers that have it.
    pub(crate) known_to: BTreeSet<WorkerId>,
}

/// All shared parts, with their users and the workers that have them.
#[derive(Debug, Default)]
pub(crate) struct SharedParts {
    parts: BTreeMap<ContentHash, Part>,
    idle: BTreeMap<u64, ContentHash>,
    idle_bytes: usize,
    clock: u64,
}

impl SharedParts {
    /// Counts a user of a part; says whether it is a new one.
    pub(crate) fn add_user(&mut self, hash: ContentHash, body: &Value) -> bool {
        let is_new = !self.parts.contains_key(&hash);
        let part = self.parts.entry(hash).or_insert_with(|| Part {
            body: body.clone(),
            users: 0,
            idle_since: 0,
            known_to: BTreeSet::new(),
        });
        if part.users == 0 && self.idle.remove(&part.idle_since).is_some() {
            self.idle_bytes -= nbytes(&part.body);
        }
        part.users += 1;
        is_new
    }

    /// A user has gone. Returns parts that are given up.
    pub(crate) fn remove_user(&mut self, hash: ContentHash) -> Vec<GivenUp> {
        let part = self.parts.get_mut(&hash).expect("a part that has users is kept");
        part.users -= 1;
        if part.users > 0 {
            return Vec::new();
        }
        let mut given_up = Vec::new();
        if matches!(part.body, Value::Stored(_)) {
            given_up.push(self.give_up(hash));
            return given_up;
        }
        self.clock += 1;
        part.idle_since = self.clock;
        self.idle_bytes += nbytes(&part.body);
        self.idle.insert(self.clock, hash);
        while self.idle.len() > IDLE_PARTS || self.idle_bytes > IDLE_BYTES {
            let Some((_, oldest)) = self.idle.pop_first() else { break };
            let part = self.give_up(oldest);
            self.idle_bytes -= nbytes(&part.body);
            given_up.push(part);
        }
        given_up
    }

    fn give_up(&mut self, hash: ContentHash) -> GivenUp {
        let part = self.parts.remove(&hash).expect("whoever calls has seen it");
        GivenUp { hash, body: part.body, known_to: part.known_to }
    }

    /// The body, if the worker does not have the part; it counts as sent from now on.
    pub(crate) fn take_for(&mut self, hash: ContentHash, worker: WorkerId) -> Option<Value> {
        let part = self.parts.get_mut(&hash)?;
        part.known_to.insert(worker).then(|| part.body.clone())
    }

    pub(crate) fn worker_lost(&mut self, worker: WorkerId) {
        for part in self.parts.values_mut() {
            part.known_to.remove(&worker);
        }
    }
}
