//! Digests of whole buffers, at memory speed and without the GIL when they are large.

use pyo3::buffer::PyBuffer;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyMemoryView, PyString};
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use super::atom::{self, Tag};

/// Buffers above this size are hashed with the GIL released.
const RELEASE_GIL_ABOVE_BYTES: usize = 1 << 20;

/// Bytes copied at once on their way into the hash; stays in the first cache.
const COPY_BYTES: usize = 16 << 10;

pub(super) fn digest_text(text: &Bound<'_, PyString>) -> PyResult<u128> {
    let mut header = Vec::new();
    atom::tag(&mut header, Tag::Text);
    atom::with_utf8(text, |utf8| {
        atom::length(&mut header, utf8.len());
        let mut hasher = Xxh3::new();
        hasher.update(&header);
        hasher.update(utf8);
        hasher.digest128()
    })
}

/// The digest of bytes or of a bytearray.
pub(super) fn digest_bytes_like(object: &Bound<'_, PyAny>, tag: Tag) -> PyResult<u128> {
    let buffer = PyBuffer::<u8>::get(object)?;
    let mut hasher = Xxh3::new();
    let mut header = Vec::new();
    atom::tag(&mut header, tag);
    atom::length(&mut header, buffer.len_bytes());
    hasher.update(&header);
    update(object.py(), &mut hasher, &buffer);
    Ok(hasher.digest128())
}

/// The digest of a memoryview: its format, its shape and its content in C order.
pub(super) fn digest_memoryview(view: &Bound<'_, PyMemoryView>) -> PyResult<u128> {
    let py = view.py();
    let format = view.getattr(intern!(py, "format"))?.cast_into::<PyString>()?;
    let shape: Vec<usize> = view.getattr(intern!(py, "shape"))?.extract()?;
    let mut header = Vec::new();
    atom::tag(&mut header, Tag::MemoryView);
    atom::text(&mut header, &format)?;
    atom::length(&mut header, shape.len());
    for length in shape {
        atom::length(&mut header, length);
    }
    // Views that are not contiguous, or of formats with a byte order, cannot be cast.
    let Ok(bytes) = view.call_method1(intern!(py, "cast"), ("B",)) else {
        let content = view.call_method0(intern!(py, "tobytes"))?.cast_into::<PyBytes>()?;
        header.extend_from_slice(content.as_bytes());
        return Ok(xxh3_128(&header));
    };
    let mut hasher = Xxh3::new();
    hasher.update(&header);
    update(py, &mut hasher, &PyBuffer::<u8>::get(&bytes)?);
    Ok(hasher.digest128())
}

/// Feeds a C-contiguous buffer to the hash.
pub(super) fn update(py: Python<'_>, hasher: &mut Xxh3, buffer: &PyBuffer<u8>) {
    assert!(buffer.is_c_contiguous(), "callers ask for contiguous buffers only");
    if buffer.len_bytes() > RELEASE_GIL_ABOVE_BYTES {
        py.detach(|| update_by_copy(hasher, buffer));
    } else {
        update_by_copy(hasher, buffer);
    }
}

#[expect(unsafe_code, reason = "PyO3's safe view of a buffer needs the GIL for its whole life")]
fn update_by_copy(hasher: &mut Xxh3, buffer: &PyBuffer<u8>) {
    let length = buffer.len_bytes();
    let source = buffer.buf_ptr().cast::<u8>().cast_const();
    let mut piece = [0_u8; COPY_BYTES];
    let mut done = 0;
    while done < length {
        let size = COPY_BYTES.min(length - done);
        // SAFETY: `buffer` pins `length` bytes at `source` until it is dropped, and the caller
        // checked that they are contiguous. They are copied out, never borrowed: another thread
        // that writes to the array meanwhile gets a meaningless token, as with NumPy's own
        // functions that release the GIL, and nothing else.
        unsafe {
            source.add(done).copy_to_nonoverlapping(piece.as_mut_ptr(), size);
        }
        hasher.update(&piece[..size]);
        done += size;
    }
}
