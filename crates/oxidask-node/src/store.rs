//! Objects in shared memory: who has views of them, and when their memory may be used again.

use std::collections::{BTreeMap, BTreeSet};

use oxidask_protocol::Stored;

use crate::Reader;

/// Arena and offset: what names an object in shared memory.
pub(crate) type ObjectId = (u32, u64);

#[derive(Debug)]
struct Object {
    len: u64,
    /// Views of it, by reader.
    pins: BTreeMap<Reader, u32>,
    /// Whether nobody will ask for it again: its memory goes with the last view.
    is_doomed: bool,
}

/// The arenas of a host and the objects in them.
#[derive(Debug, Default)]
pub(crate) struct Store {
    objects: BTreeMap<ObjectId, Object>,
    /// Who may use an arena's memory again; none once that process is gone.
    owners: BTreeMap<u32, Option<Reader>>,
    /// Which arenas a reader has been given.
    known: BTreeSet<(Reader, u32)>,
    nbytes: u64,
}

/// Memory that may be used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Freed {
    /// A piece, which its owner is to be told.
    Piece { owner: Reader, offset: u64, len: u64 },
    /// All of an arena whose owner is gone.
    Arena(u32),
}

impl Store {
    pub(crate) fn add_arena(&mut self, arena: u32, owner: Reader) {
        self.owners.insert(arena, Some(owner));
        self.known.insert((owner, arena));
    }

    /// Who writes to the arena of an object.
    pub(crate) fn owner_of(&self, stored: &Stored) -> Option<Reader> {
        self.owners.get(&stored.arena).copied().flatten()
    }

    /// Bytes of all objects.
    pub(crate) fn nbytes(&self) -> u64 {
        self.nbytes
    }

    pub(crate) fn add(&mut self, stored: &Stored) {
        let object = Object { len: stored.len, pins: BTreeMap::new(), is_doomed: false };
        self.objects.insert((stored.arena, stored.offset), object);
        self.nbytes += stored.len;
    }

    /// A reader gets a view. Says whether it needs the arena's descriptor first.
    pub(crate) fn pin(&mut self, stored: &Stored, reader: Reader) -> bool {
        let object = self
            .objects
            .get_mut(&(stored.arena, stored.offset))
            .expect("an object is kept while results point to it");
        *object.pins.entry(reader).or_default() += 1;
        self.known.insert((reader, stored.arena))
    }

    /// A view is gone.
    pub(crate) fn unpin(&mut self, id: ObjectId, reader: Reader) -> Option<Freed> {
        // A reader that was lost may have sent this before.
        let object = self.objects.get_mut(&id)?;
        let pins = object.pins.get_mut(&reader)?;
        *pins -= 1;
        if *pins == 0 {
            object.pins.remove(&reader);
        }
        self.free_if_unused(id)
    }

    /// Nobody will ask for the object again.
    pub(crate) fn doom(&mut self, stored: &Stored) -> Option<Freed> {
        let id = (stored.arena, stored.offset);
        self.objects.get_mut(&id)?.is_doomed = true;
        self.free_if_unused(id)
    }

    fn free_if_unused(&mut self, id: ObjectId) -> Option<Freed> {
        let object = self.objects.get(&id)?;
        if !object.is_doomed || !object.pins.is_empty() {
            return None;
        }
        let len = object.len;
        self.objects.remove(&id);
        self.nbytes -= len;
        match self.owners.get(&id.0).copied().flatten() {
            Some(owner) => Some(Freed::Piece { owner, offset: id.1, len }),
            None => self.close_if_empty(id.0),
        }
    }

    fn close_if_empty(&mut self, arena: u32) -> Option<Freed> {
        let is_empty = self.objects.range((arena, 0)..=(arena, u64::MAX)).next().is_none();
        if !is_empty {
            return None;
        }
        self.owners.remove(&arena);
        self.known.retain(|&(_, known)| known != arena);
        Some(Freed::Arena(arena))
    }

    /// A process is gone: its views with it, and nobody writes to its arenas any more.
    pub(crate) fn reader_lost(&mut self, reader: Reader) -> Vec<Freed> {
        let mut freed = Vec::new();
        let pinned: Vec<ObjectId> = self
            .objects
            .iter()
            .filter(|(_, object)| object.pins.contains_key(&reader))
            .map(|(&id, _)| id)
            .collect();
        for id in pinned {
            if let Some(object) = self.objects.get_mut(&id) {
                object.pins.remove(&reader);
            }
            freed.extend(self.free_if_unused(id));
        }
        self.known.retain(|&(known, _)| known != reader);
        let orphaned: Vec<u32> = self
            .owners
            .iter()
            .filter(|&(_, &owner)| owner == Some(reader))
            .map(|(&arena, _)| arena)
            .collect();
        freed.retain(|piece| !matches!(piece, Freed::Piece { owner, .. } if *owner == reader));
        for arena in orphaned {
            self.owners.insert(arena, None);
            freed.extend(self.close_if_empty(arena));
        }
        freed
    }
}
