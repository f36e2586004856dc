//! What a client puts into shared memory.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};

use oxidask_store::{Arena, ArenaSettings, Extent, StoreError};

#[derive(Debug, Default)]
enum State {
    #[default]
    Unknown,
    /// Workers cannot see memory of this process, or the client was closed.
    Impossible,
    Open(Arc<Arena>, u32),
}

/// The arena that a client writes to, once it is needed.
#[derive(Debug, Default)]
pub(super) struct OwnArena(Mutex<State>);

impl OwnArena {
    /// The arena and its number. `give` gives the cluster a descriptor that reads it.
    pub(super) fn get(
        &self,
        give: impl FnOnce(OwnedFd) -> Option<u32>,
    ) -> Result<Option<(Arc<Arena>, u32)>, StoreError> {
        let mut state = self.0.lock().expect("nothing panics while the lock is held");
        if matches!(*state, State::Unknown) {
            let arena = Arena::new("oxidask-client", ArenaSettings::default())?;
            // Nothing is freed before the arena is known, so nobody who has the cluster's lock waits
            // for this one now.
            *state = match give(arena.reader()?) {
                Some(number) => State::Open(Arc::new(arena), number),
                None => State::Impossible,
            };
        }
        Ok(match &*state {
            State::Open(arena, number) => Some((Arc::clone(arena), *number)),
            State::Unknown | State::Impossible => None,
        })
    }

    /// Lets go of the memory; what others look at stays as long as they do. Not to be called by
    /// whoever has the cluster's lock, for which somebody in `get` may wait.
    pub(super) fn close(&self) {
        *self.0.lock().expect("nothing panics while the lock is held") = State::Impossible;
    }

    pub(super) fn free(&self, offset: u64, length: u64) {
        if let State::Open(arena, _) =
            &*self.0.lock().expect("nothing panics while the lock is held")
        {
            // Memory that could not be given back to the system is used again all the same.
            drop(arena.free(Extent { offset, length }));
        }
    }
}
