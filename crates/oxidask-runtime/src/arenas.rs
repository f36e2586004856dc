//! Descriptors of arenas that other processes write to.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard};

use oxidask_protocol::{CLIENT_ARENAS, SPILL_FILES};
use oxidask_store::resident_nbytes;

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

    /// Bytes of memory that all arenas take; what is on disk takes none.
    pub fn resident_nbytes(&self) -> u64 {
        let in_memory = |number: &u32| !(SPILL_FILES..CLIENT_ARENAS).contains(number);
        let arenas: Vec<Arc<OwnedFd>> = {
            let all = self.lock();
            let chosen = all.iter().filter(|(number, _)| in_memory(number));
            chosen.map(|(_, arena)| Arc::clone(arena)).collect()
        };
        arenas.iter().map(|arena| resident_nbytes(arena.as_fd())).sum()
    }

    /// Forgets an arena; its memory goes with the last view of it.
    pub fn remove(&self, arena: u32) {
        self.lock().remove(&arena);
    }
}
