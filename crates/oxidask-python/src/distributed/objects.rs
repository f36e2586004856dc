//! Results that stay objects of this process.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use oxidask_protocol::{Attempt, TaskId};
use pyo3::prelude::*;
use rustc_hash::FxHashMap;

use crate::ownership::Memory;

/// Results by task and attempt, and exceptions.
#[derive(Default)]
pub(crate) struct Objects {
    results: Mutex<FxHashMap<(TaskId, Attempt), Kept>>,
    errors: Mutex<Errors>,
    /// What calls referred to, until somebody who holds the GIL drops it.
    garbage: Mutex<Vec<Py<PyAny>>>,
}

/// A result.
struct Kept {
    value: Py<PyAny>,
    memory: Memory,
}

/// A result for a task that reads it.
pub(crate) enum Read {
    /// Nobody else has it, or will.
    Own(Py<PyAny>),
    /// Others may read it too.
    Lent(Py<PyAny>, Memory),
}

/// What the calls of a graph refer to.
pub(crate) struct CallObjects {
    pub(crate) values: Vec<Py<PyAny>>,
    home: Arc<Objects>,
}

impl Drop for CallObjects {
    fn drop(&mut self) {
        // This runs wherever the last call is forgotten, perhaps under a lock: dropping a Python
        // object there could run any code.
        self.home.garbage.lock().expect(NO_PANIC).append(&mut self.values);
    }
}

#[derive(Default)]
struct Errors {
    table: FxHashMap<u64, Py<PyAny>>,
    next: u64,
    /// Exceptions that nobody refers to any more; dropped by whoever holds the GIL next.
    garbage: Vec<u64>,
}

const NO_PANIC: &str = "nothing panics while the lock is held";

impl Objects {
    pub(crate) fn put(&self, task: TaskId, attempt: Attempt, value: Py<PyAny>, memory: Memory) {
        let kept = Kept { value, memory };
        let old = self.results.lock().expect(NO_PANIC).insert((task, attempt), kept);
        // Dropping an object may run any code: not under the lock.
        drop(old);
    }

    pub(crate) fn get(
        &self,
        py: Python<'_>,
        task: TaskId,
        attempt: Attempt,
    ) -> Option<(Py<PyAny>, Memory)> {
        let results = self.results.lock().expect(NO_PANIC);
        results.get(&(task, attempt)).map(|kept| (kept.value.clone_ref(py), kept.memory))
    }

    /// A result for a task. If the task is the last to read it, and no other has had a look at it, the
    /// task gets it for good.
    pub(crate) fn read(
        &self,
        py: Python<'_>,
        task: TaskId,
        attempt: Attempt,
        is_last: bool,
    ) -> Option<Read> {
        let mut results = self.results.lock().expect(NO_PANIC);
        let kept = results.get_mut(&(task, attempt))?;
        if kept.memory == Memory::Own {
            if is_last {
                return results.remove(&(task, attempt)).map(|kept| Read::Own(kept.value));
            }
            kept.memory = Memory::Shared;
        }
        Some(Read::Lent(kept.value.clone_ref(py), kept.memory))
    }

    /// Forgets results.
    pub(crate) fn forget(&self, _py: Python<'_>, versions: &[(TaskId, Attempt)]) {
        let mut dropped = Vec::with_capacity(versions.len());
        {
            let mut results = self.results.lock().expect(NO_PANIC);
            let removed = versions.iter().filter_map(|version| results.remove(version));
            dropped.extend(removed.map(|kept| kept.value));
        }
        drop(dropped);
        self.collect_garbage();
    }

    /// Keeps what the calls of a graph refer to.
    pub(crate) fn keep_values(self: &Arc<Self>, values: Vec<Py<PyAny>>) -> CallObjects {
        CallObjects { values, home: Arc::clone(self) }
    }

    pub(crate) fn len(&self) -> usize {
        self.results.lock().expect(NO_PANIC).len()
    }

    /// Keeps an exception as long as the returned bytes, or copies of them, exist.
    pub(crate) fn keep_error(self: &Arc<Self>, error: Py<PyAny>) -> Bytes {
        let mut errors = self.errors.lock().expect(NO_PANIC);
        let number = errors.next;
        errors.next += 1;
        errors.table.insert(number, error);
        drop(errors);
        let ticket = Ticket { objects: Arc::clone(self), number: number.to_le_bytes() };
        Bytes::from_owner(ticket)
    }

    /// The exception of such bytes.
    pub(crate) fn error(&self, py: Python<'_>, ticket: &[u8]) -> Option<Py<PyAny>> {
        let number = u64::from_le_bytes(ticket.try_into().ok()?);
        self.errors.lock().expect(NO_PANIC).table.get(&number).map(|error| error.clone_ref(py))
    }

    fn collect_garbage(&self) {
        let mut dropped = std::mem::take(&mut *self.garbage.lock().expect(NO_PANIC));
        {
            let mut errors = self.errors.lock().expect(NO_PANIC);
            for number in std::mem::take(&mut errors.garbage) {
                dropped.extend(errors.table.remove(&number));
            }
        }
        drop(dropped);
    }
}

/// Stands for an exception in messages of this process.
struct Ticket {
    objects: Arc<Objects>,
    number: [u8; 8],
}

impl AsRef<[u8]> for Ticket {
    fn as_ref(&self) -> &[u8] {
        &self.number
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let number = u64::from_le_bytes(self.number);
        self.objects.errors.lock().expect(NO_PANIC).garbage.push(number);
    }
}
