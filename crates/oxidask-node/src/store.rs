//! Objects in shared memory and on disk: who has views of them, and when their place may be used
//! again.

use std::collections::{BTreeMap, BTreeSet};

use oxidask_protocol::{Stored, TaskId};

use crate::Reader;

/// Arena and offset: what names an object in shared memory.
pub(crate) type ObjectId = (u32, u64);

#[derive(Debug)]
struct Object {
    /// Whose result it is, or was; none of what calls share.
    task: Option<TaskId>,
    len: u64,
    is_on_disk: bool,
    /// Views of it, by reader.
    pins: BTreeMap<Reader, u32>,
    /// Whether nobody will ask for it again: its memory goes with the last view.
    is_doomed: bool,
}

impl Object {
    /// What it adds to all that is kept.
    fn sizes(&self) -> Sizes {
        let if_so = |holds: bool| if holds { self.len } else { 0 };
        // What a client looks at is part of the user's process.
        let client_has = self.pins.keys().any(|reader| matches!(reader, Reader::Client(_)));
        let worker_has = self.pins.keys().any(|reader| matches!(reader, Reader::Worker(_)));
        Sizes {
            in_arenas: if_so(!self.is_on_disk),
            on_disk: if_so(self.is_on_disk),
            in_memory: if_so(if self.is_on_disk { worker_has } else { !client_has }),
        }
    }
}

/// Bytes of objects.
#[derive(Clone, Copy, Debug, Default)]
struct Sizes {
    in_arenas: u64,
    on_disk: u64,
    /// Of those what counts as memory of this host's workers.
    in_memory: u64,
}

/// The arenas of a host and the objects in them.
#[derive(Debug, Default)]
pub(crate) struct Store {
    objects: BTreeMap<ObjectId, Object>,
    /// Who may use an arena's memory again; none once that process is gone.
    owners: BTreeMap<u32, Option<Reader>>,
    /// Which arenas a reader has been given.
    known: BTreeSet<(Reader, u32)>,
    sizes: Sizes,
}

/// Memory that may be used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Freed {
    /// A piece, which its owner is to be told.
    Piece { owner: Reader, arena: u32, offset: u64, len: u64 },
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
        self.sizes.in_arenas + self.sizes.on_disk
    }

    /// Bytes of objects in shared memory.
    pub(crate) fn nbytes_in_arenas(&self) -> u64 {
        self.sizes.in_arenas
    }

    /// Bytes of objects that are in the memory of the workers of this host: of those on disk what
    /// workers look at, and nothing that clients look at.
    pub(crate) fn nbytes_in_memory(&self) -> u64 {
        self.sizes.in_memory
    }

    /// Bytes of objects on disk.
    pub(crate) fn spilled_nbytes(&self) -> u64 {
        self.sizes.on_disk
    }

    /// Results in shared memory that nobody looks at, with their lengths.
    pub(crate) fn spillable(&self) -> impl Iterator<Item = (TaskId, u64)> + '_ {
        self.objects
            .values()
            .filter(|object| !object.is_on_disk && !object.is_doomed && object.pins.is_empty())
            .filter_map(|object| Some((object.task?, object.len)))
    }

    pub(crate) fn add(&mut self, stored: &Stored, task: Option<TaskId>) {
        let is_on_disk = self.owners.get(&stored.arena) == Some(&Some(Reader::Disk));
        let (len, pins) = (stored.len, BTreeMap::new());
        let object = Object { task, len, is_on_disk, pins, is_doomed: false };
        self.count(object.sizes(), true);
        self.objects.insert((stored.arena, stored.offset), object);
    }

    fn count(&mut self, sizes: Sizes, comes: bool) {
        let change = |all: &mut u64, one: u64| if comes { *all += one } else { *all -= one };
        change(&mut self.sizes.in_arenas, sizes.in_arenas);
        change(&mut self.sizes.on_disk, sizes.on_disk);
        change(&mut self.sizes.in_memory, sizes.in_memory);
    }

    /// Changes an object and what is counted.
    fn change<R>(&mut self, id: ObjectId, change: impl FnOnce(&mut Object) -> R) -> Option<R> {
        let object = self.objects.get_mut(&id)?;
        let before = object.sizes();
        let result = change(object);
        let after = object.sizes();
        self.count(before, false);
        self.count(after, true);
        Some(result)
    }

    /// A reader gets a view. Says whether it needs the arena's descriptor first.
    pub(crate) fn pin(&mut self, stored: &Stored, reader: Reader) -> bool {
        self.change((stored.arena, stored.offset), |object| {
            *object.pins.entry(reader).or_default() += 1;
        })
        .expect("an object is kept while results point to it");
        self.known.insert((reader, stored.arena))
    }

    /// A view is gone.
    pub(crate) fn unpin(&mut self, id: ObjectId, reader: Reader) -> Option<Freed> {
        // A reader that was lost may have sent this before.
        self.change(id, |object| {
            let pins = object.pins.get_mut(&reader)?;
            *pins -= 1;
            if *pins == 0 {
                object.pins.remove(&reader);
            }
            Some(())
        })??;
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
        let (len, sizes) = (object.len, object.sizes());
        self.objects.remove(&id);
        self.count(sizes, false);
        match self.owners.get(&id.0).copied().flatten() {
            Some(owner) => Some(Freed::Piece { owner, arena: id.0, offset: id.1, len }),
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
            self.change(id, |object| object.pins.remove(&reader));
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
