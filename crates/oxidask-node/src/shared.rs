//! Functions and other parts that many calls share: sent to each worker once.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use oxidask_protocol::{ContentHash, WorkerId};

/// Parts that no call needs are kept in case that the next one does: so many, or so many bytes.
const IDLE_PARTS: usize = 1024;
const IDLE_BYTES: usize = 64 << 20;

#[derive(Debug)]
struct Part {
    body: Bytes,
    users: u32,
    /// When its last user went, if it has none.
    idle_since: u64,
    known_to: BTreeSet<WorkerId>,
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
    /// Counts a user of a part.
    pub(crate) fn add_user(&mut self, hash: ContentHash, body: &Bytes) {
        let part = self.parts.entry(hash).or_insert_with(|| Part {
            body: body.clone(),
            users: 0,
            idle_since: 0,
            known_to: BTreeSet::new(),
        });
        if part.users == 0 && self.idle.remove(&part.idle_since).is_some() {
            self.idle_bytes -= part.body.len();
        }
        part.users += 1;
    }

    /// A user has gone. Returns parts that are given up, with the workers that have them.
    pub(crate) fn remove_user(&mut self, hash: ContentHash) -> Vec<(ContentHash, Vec<WorkerId>)> {
        let part = self.parts.get_mut(&hash).expect("a part that has users is kept");
        part.users -= 1;
        if part.users > 0 {
            return Vec::new();
        }
        self.clock += 1;
        part.idle_since = self.clock;
        self.idle_bytes += part.body.len();
        self.idle.insert(self.clock, hash);
        let mut given_up = Vec::new();
        while self.idle.len() > IDLE_PARTS || self.idle_bytes > IDLE_BYTES {
            let Some((_, oldest)) = self.idle.pop_first() else { break };
            let part = self.parts.remove(&oldest).expect("an idle part is a part");
            self.idle_bytes -= part.body.len();
            given_up.push((oldest, part.known_to.into_iter().collect()));
        }
        given_up
    }

    /// The body, if the worker does not have the part; it counts as sent from now on.
    pub(crate) fn take_for(&mut self, hash: ContentHash, worker: WorkerId) -> Option<Bytes> {
        let part = self.parts.get_mut(&hash)?;
        part.known_to.insert(worker).then(|| part.body.clone())
    }

    pub(crate) fn worker_lost(&mut self, worker: WorkerId) {
        for part in self.parts.values_mut() {
            part.known_to.remove(&worker);
        }
    }
}
