//! Values in shared memory: how they are written, and how they are seen.
#![expect(unsafe_code, reason = "memory is lent to Python, and Python's to the store")]

use std::os::fd::{AsFd, BorrowedFd};
use std::os::raw::c_int;
use std::sync::Arc;

use bytes::Bytes;
use oxidask_protocol::{ContentHash, Stored, Value};
use oxidask_runtime::arenas::Arenas;
use oxidask_runtime::client::Client;
use oxidask_store::{Arena, Extent, StoreError, View, check_spilled, copy_out, part_offsets};
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::{PyMemoryError, PyOSError, PyRuntimeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyMemoryView, PySlice};
use xxhash_rust::xxh3::Xxh3;

use super::program::write_pickle;
use super::serialize;

use crate::evaluate::let_others_run;

/// Objects smaller than this are copied out of shared memory: a mapping would cost more.
const WORTH_A_MAPPING: u64 = 1 << 20;
/// Objects smaller than this are sent along with messages.
const WORTH_SHARING: usize = 64 << 10;

/// Who hears that an object is not looked at any more.
pub(crate) trait LetGo: Send + Sync + 'static {
    /// A delivery of the object is over.
    fn let_go(&self, arena: u32, offset: u64);
}

/// Keeps an object in shared memory where it is.
pub(crate) struct Pin {
    keeper: Arc<dyn LetGo>,
    arena: u32,
    offset: u64,
}

impl Pin {
    pub(crate) fn new(keeper: Arc<dyn LetGo>, stored: &Stored) -> Arc<Self> {
        Arc::new(Self { keeper, arena: stored.arena, offset: stored.offset })
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        self.keeper.let_go(self.arena, self.offset);
    }
}

/// A private view of an object in shared memory: writing to it reaches nobody else.
#[pyclass(frozen, module = "oxidask._core")]
struct SharedMemory {
    view: View,
    _pin: Arc<Pin>,
}

#[pymethods]
impl SharedMemory {
    unsafe fn __getbuffer__(
        slf: Bound<'_, Self>,
        buffer: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        let this = slf.get();
        let (start, length) = (this.view.as_mut_ptr(), this.view.len() as ffi::Py_ssize_t);
        // SAFETY: the memory is mapped as long as the view is, and the buffer holds a reference to
        // its owner.
        let outcome =
            unsafe { ffi::PyBuffer_FillInfo(buffer, slf.as_ptr(), start.cast(), length, 0, flags) };
        if outcome == 0 { Ok(()) } else { Err(PyErr::fetch(slf.py())) }
    }
}

pub(crate) fn store_error(error: StoreError) -> PyErr {
    PyMemoryError::new_err(error.to_string())
}

/// The value of an object in shared memory.
pub(crate) fn view<'py>(
    py: Python<'py>,
    arenas: &Arenas,
    stored: &Stored,
    pin: &Arc<Pin>,
) -> PyResult<Bound<'py, PyAny>> {
    let file = arenas.get(stored.arena).ok_or_else(|| {
        PyRuntimeError::new_err("a value is in memory that this process does not know")
    })?;
    let extent = Extent { offset: stored.offset, length: stored.len };
    let offsets = part_offsets(stored.buffers.iter().copied());
    let places = offsets.zip(&stored.buffers).map(|(start, &len)| (start as usize, len as usize));
    let mut buffers: Vec<Bound<'py, PyAny>> = Vec::with_capacity(stored.buffers.len());
    if stored.len < WORTH_A_MAPPING {
        let bytes = copy_out(file.as_fd(), extent).map_err(store_error)?;
        check(file.as_fd(), stored, &bytes)?;
        buffers.extend(
            places.map(|(start, len)| PyByteArray::new(py, &bytes[start..start + len]).into_any()),
        );
    } else {
        // SAFETY: the arena's writer frees the extent only after the pin was let go of.
        let view = unsafe { View::map(file.as_fd(), extent) }.map_err(store_error)?;
        let_others_run(py, || check(file.as_fd(), stored, view.bytes()))?;
        let memory = Bound::new(py, SharedMemory { view, _pin: Arc::clone(pin) })?;
        let whole = PyMemoryView::from(memory.as_any())?;
        for (start, len) in places {
            let part = PySlice::new(py, start as isize, (start + len) as isize, 1);
            buffers.push(whole.get_item(part)?);
        }
    }
    let head = if stored.head.is_empty() {
        buffers.remove(0)
    } else {
        PyBytes::new(py, &stored.head).into_any()
    };
    serialize::load_apart(py, &head, buffers)
}

/// What comes from disk is compared with its checksum.
fn check(file: BorrowedFd<'_>, stored: &Stored, bytes: &[u8]) -> PyResult<()> {
    if !stored.is_on_disk() {
        return Ok(());
    }
    let extent = Extent { offset: stored.offset, length: stored.len };
    check_spilled(file, extent, bytes).map_err(|error| PyOSError::new_err(error.to_string()))
}

/// Writes a value into an arena; a small one becomes part of messages.
pub(crate) fn store(
    value: &Bound<'_, PyAny>,
    arena: &Arena,
    number: u32,
) -> PyResult<(Value, u64)> {
    let apart = Apart::new(value)?;
    let total = apart.len();
    if total < WORTH_SHARING {
        let pickle = if apart.buffers.is_empty() { apart.head } else { serialize::dump(value)? };
        let mut plain = Vec::with_capacity(pickle.len() + 8);
        write_pickle(&pickle, &mut plain);
        return Ok((Value::Inline(plain.into()), total as u64));
    }
    let (stored, _) = apart.write(value.py(), arena, number, false)?;
    Ok((Value::Stored(Box::new(stored)), total as u64))
}

/// A value on its way into calls of other processes.
pub(crate) enum Packed {
    /// Its pickle.
    Pickle(Vec<u8>),
    /// Its place in shared memory, for one that is large.
    Stored(ContentHash, Stored),
}

/// Pickles a value for calls; puts a large one into the client's shared memory.
pub(crate) fn pack(value: &Bound<'_, PyAny>, client: &Client) -> PyResult<Packed> {
    if serialize::nbytes(value) < WORTH_SHARING as u64 {
        let pickle = serialize::dump(value)?;
        if pickle.len() < WORTH_SHARING {
            return Ok(Packed::Pickle(pickle));
        }
    }
    let Some((arena, number)) = client.arena().map_err(store_error)? else {
        return Ok(Packed::Pickle(serialize::dump(value)?));
    };
    let (stored, hash) = Apart::new(value)?.write(value.py(), &arena, number, true)?;
    Ok(Packed::Stored(hash, stored))
}

/// A pickle, and the buffers that stand beside it.
struct Apart {
    head: Vec<u8>,
    buffers: Vec<PyBuffer<u8>>,
}

impl Apart {
    fn new(value: &Bound<'_, PyAny>) -> PyResult<Self> {
        let (head, buffers) = serialize::dump_apart(value)?;
        let buffers = buffers.iter().map(PyBuffer::get).collect::<PyResult<_>>()?;
        Ok(Self { head, buffers })
    }

    fn len(&self) -> usize {
        self.head.len() + self.buffers.iter().map(|buffer| buffer.len_bytes()).sum::<usize>()
    }

    /// Writes it into an arena; the hash of all bytes is 0 unless it is asked for.
    fn write(
        mut self,
        py: Python<'_>,
        arena: &Arena,
        number: u32,
        is_hashed: bool,
    ) -> PyResult<(Stored, ContentHash)> {
        let mut parts: Vec<&[u8]> = Vec::with_capacity(self.buffers.len() + 1);
        let long_head = (self.head.len() >= WORTH_SHARING).then(|| std::mem::take(&mut self.head));
        parts.extend(long_head.as_deref());
        for buffer in &self.buffers {
            // SAFETY: the buffer is held until the end of this function, and its bytes are
            // contiguous, for pickle gives out none that are not. Somebody who writes to it
            // meanwhile gets what they would have got in one process.
            parts.push(unsafe {
                std::slice::from_raw_parts(buffer.buf_ptr().cast(), buffer.len_bytes())
            });
        }
        let lengths = parts.iter().map(|part| part.len() as u64).collect();
        let (head, written) = (&self.head, Parts(&parts));
        let (extent, hash) = py
            .detach(|| {
                let hash = if is_hashed { written.hash(head) } else { 0 };
                Ok((written.write(arena)?, hash))
            })
            .map_err(store_error)?;
        let stored = Stored {
            arena: number,
            offset: extent.offset,
            len: extent.length,
            buffers: lengths,
            head: Bytes::from(self.head),
        };
        Ok((stored, hash))
    }
}

/// Bytes of Python objects, for a copy without the GIL.
struct Parts<'a>(&'a [&'a [u8]]);

impl Parts<'_> {
    fn write(&self, arena: &Arena) -> Result<Extent, StoreError> {
        arena.write(self.0)
    }

    fn hash(&self, head: &[u8]) -> ContentHash {
        let mut hash = Xxh3::new();
        hash.update(head);
        for part in self.0 {
            hash.update(&(part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        hash.digest128()
    }
}
