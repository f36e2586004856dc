//! What the calls of a graph share, while it is written: functions, large arguments.

use std::collections::HashMap;
use std::sync::Arc;

use oxidask_protocol::{ContentHash, Value};
use oxidask_runtime::client::Client;
use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyFunction, PyType};
use rustc_hash::FxHashMap;
use xxhash_rust::xxh3::xxh3_128;

use super::program::{write_object, write_part, write_pickle, write_plain};
use super::views::{Packed, pack};

/// Pickles longer than this are shared between the calls of a graph.
const LONGEST_OWN_PICKLE: usize = 256;

/// A literal that was written before.
struct Written {
    steps: Box<[u8]>,
    part: Option<u32>,
    /// Keeps the address from being used anew.
    _object: Py<PyAny>,
}

/// The parts that the calls of a graph share, and which task refers to which.
pub(crate) struct Sharing {
    /// Puts large parts into shared memory.
    client: Arc<Client>,
    pub(crate) parts: Vec<(ContentHash, Value)>,
    place_of: FxHashMap<ContentHash, u32>,
    written: FxHashMap<usize, Written>,
    /// Objects of this process, if calls stay in it.
    pub(crate) objects: Option<Vec<Py<PyAny>>>,
    /// What the task that is being written refers to.
    used: Vec<u32>,
    tasks: usize,
    last_set: u32,
    pub(crate) sets: Vec<Vec<u32>>,
    number_of_set: HashMap<Vec<u32>, u32>,
    /// The set of each task; empty while all have the first.
    pub(crate) set_of: Vec<u32>,
}

impl Sharing {
    pub(crate) fn new(client: &Arc<Client>, is_one_process: bool) -> Self {
        Self {
            client: Arc::clone(client),
            parts: Vec::new(),
            place_of: FxHashMap::default(),
            written: FxHashMap::default(),
            objects: is_one_process.then(Vec::new),
            used: Vec::new(),
            tasks: 0,
            last_set: 0,
            sets: Vec::new(),
            number_of_set: HashMap::new(),
            set_of: Vec::new(),
        }
    }

    /// Writes a literal of a call.
    pub(crate) fn write_literal(
        &mut self,
        value: &Bound<'_, PyAny>,
        out: &mut Vec<u8>,
    ) -> PyResult<()> {
        if write_plain(value, out)? {
            return Ok(());
        }
        let address = value.as_ptr() as usize;
        if let Some(Written { steps, part, .. }) = self.written.get(&address) {
            out.extend_from_slice(steps);
            self.used.extend(part);
            return Ok(());
        }
        let start = out.len();
        let mut part = None;
        if let Some(objects) = &mut self.objects {
            write_object(objects.len(), out);
            objects.push(value.clone().unbind());
        } else {
            let is_function = is_function(value);
            let (hash, body) = match pack(value, &self.client)? {
                Packed::Pickle(pickle) if pickle.len() <= LONGEST_OWN_PICKLE && !is_function => {
                    write_pickle(&pickle, out);
                    // Short, and seldom the same object twice.
                    return Ok(());
                }
                Packed::Pickle(pickle) => (xxh3_128(&pickle), Value::Inline(pickle.into())),
                Packed::Stored(hash, stored) => (hash, Value::Stored(Box::new(stored))),
            };
            part = Some(self.use_part(hash, body));
            write_part(hash, is_function, out);
        }
        let (steps, object) = (out[start..].into(), value.clone().unbind());
        self.written.insert(address, Written { steps, part, _object: object });
        Ok(())
    }

    fn use_part(&mut self, hash: ContentHash, body: Value) -> u32 {
        let next = self.parts.len() as u32;
        let place = *self.place_of.entry(hash).or_insert(next);
        if place == next {
            self.parts.push((hash, body));
        } else if let Value::Stored(stored) = body {
            // Two equal arguments: one copy is enough.
            self.client.free(stored.offset, stored.len);
        }
        self.used.push(place);
        place
    }

    /// The task that was written is complete.
    pub(crate) fn end_task(&mut self) {
        self.used.sort_unstable();
        self.used.dedup();
        if self.sets.get(self.last_set as usize) != Some(&self.used) {
            let next = self.sets.len() as u32;
            self.last_set = *self.number_of_set.entry(self.used.clone()).or_insert(next);
            if self.last_set == next {
                self.sets.push(self.used.clone());
            }
        }
        if self.last_set != 0 || !self.set_of.is_empty() {
            self.set_of.resize(self.tasks, 0);
            self.set_of.push(self.last_set);
        }
        self.tasks += 1;
        self.used.clear();
    }

    /// The task that was being written is given up.
    pub(crate) fn abandon_task(&mut self) {
        self.used.clear();
    }
}

impl Drop for Sharing {
    fn drop(&mut self) {
        // A graph that was given up: nobody will free these.
        for (_, body) in &self.parts {
            if let Value::Stored(stored) = body {
                self.client.free(stored.offset, stored.len);
            }
        }
    }
}

/// Whether a value is code: the same for all calls, so that a worker makes it once.
fn is_function(value: &Bound<'_, PyAny>) -> bool {
    value.is_exact_instance_of::<PyFunction>()
        || value.is_instance_of::<PyType>()
        || value.is_exact_instance_of::<PyCFunction>()
}
