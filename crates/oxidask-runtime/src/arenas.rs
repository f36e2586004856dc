//! Descriptors of arenas that other processes write to.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard};

/// Descriptors by the number of the arena.
#[derive(Debug, Default)]
pub struct Arenas(Mutex<BTreeMap<u32, Arc<OwnedFd>>>);

impl Arenas {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u32, Arc<OwnedFd>>> {
        self.0.lock().expect("nothing panics while the lock is held")
    }

    /// Adds an arena.
    pub fn insert(&self, arena: u32, descriptor: OwnedFd) {
        self.lock().insert(arena, Arc::new(descriptor));
    }

    /// The descriptor of an arena.
    pub fn get(&self, arena: u32) -> Option<Arc<OwnedFd>> {
        self.lock().get(&arena).map(Arc::clone)
    }

    /// Forgets an arena; its memory goes with the last view of it.
    pub fn remove(&self, arena: u32) {
        self.lock().remove(&arena);
    }
}
