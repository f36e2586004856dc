//! Digests of whole buffers, at memory speed and without the GIL when they are large.

use std::sync::atomic::{AtomicUsize, Ordering};

use pyo3::buffer::PyBuffer;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyMemoryView, PyString};
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use super::atom::{self, Tag};

/// Buffers above this size are hashed with the GIL released.
const RELEASE_GIL_ABOVE_BYTES: usize = 1 << 20;

/// Longer content is hashed in blocks of this size, by several threads, and then the digests of the
/// blocks.
const BLOCK_BYTES: usize = 8 << 20;

/// More threads would wait for memory.
const MOST_THREADS: usize = 4;

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

/// Content that is fed piece by piece: its digest does not depend on where the pieces end.
pub(super) struct Content<'a> {
    hasher: &'a mut Xxh3,
    /// The block that is being filled, of content that has several.
    block: Option<Box<Xxh3>>,
    filled: usize,
}

impl<'a> Content<'a> {
    /// Content of so many bytes.
    pub(super) fn new(hasher: &'a mut Xxh3, length: usize) -> Self {
        let block = (length > BLOCK_BYTES).then(|| Box::new(Xxh3::new()));
        Self { hasher, block, filled: 0 }
    }

    /// Feeds a C-contiguous buffer.
    pub(super) fn update(&mut self, py: Python<'_>, buffer: &PyBuffer<u8>) {
        assert!(buffer.is_c_contiguous(), "callers ask for contiguous buffers only");
        let length = buffer.len_bytes();
        if length > RELEASE_GIL_ABOVE_BYTES {
            py.detach(|| self.update_with(&Bytes(buffer), length));
        } else {
            self.update_with(&Bytes(buffer), length);
        }
    }

    fn update_with(&mut self, bytes: &Bytes<'_>, length: usize) {
        let Some(block) = &mut self.block else {
            bytes.feed(0..length, self.hasher);
            return;
        };
        let mut done = 0;
        while done < length {
            let whole_blocks = (length - done) / BLOCK_BYTES;
            if self.filled == 0 && whole_blocks > 0 {
                for digest in bytes.digests(done, whole_blocks) {
                    self.hasher.update(&digest.to_le_bytes());
                }
                done += whole_blocks * BLOCK_BYTES;
                continue;
            }
            let size = (BLOCK_BYTES - self.filled).min(length - done);
            bytes.feed(done..done + size, block);
            done += size;
            self.filled += size;
            if self.filled == BLOCK_BYTES {
                self.hasher.update(&block.digest128().to_le_bytes());
                block.reset();
                self.filled = 0;
            }
        }
    }

    /// Ends the last block.
    pub(super) fn finish(self) {
        if let Some(block) = self.block.filter(|_| self.filled > 0) {
            self.hasher.update(&block.digest128().to_le_bytes());
        }
    }
}

/// Feeds a C-contiguous buffer to the hash.
fn update(py: Python<'_>, hasher: &mut Xxh3, buffer: &PyBuffer<u8>) {
    let mut content = Content::new(hasher, buffer.len_bytes());
    content.update(py, buffer);
    content.finish();
}

/// The bytes of a buffer, for several threads at once.
struct Bytes<'a>(&'a PyBuffer<u8>);

impl Bytes<'_> {
    /// The digests of some blocks, the first of which begins at `start`.
    fn digests(&self, start: usize, blocks: usize) -> Vec<u128> {
        let digest = |block: usize| {
            let mut hasher = Xxh3::new();
            let begin = start + block * BLOCK_BYTES;
            self.feed(begin..begin + BLOCK_BYTES, &mut hasher);
            hasher.digest128()
        };
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let next = AtomicUsize::new(0);
        // Each takes the next block that nobody has.
        let work = || {
            let mut own = Vec::new();
            loop {
                let block = next.fetch_add(1, Ordering::Relaxed);
                if block >= blocks {
                    return own;
                }
                own.push((block, digest(block)));
            }
        };
        let mut digests = std::thread::scope(|scope| {
            // Where the system gives no more threads, this one does the work.
            let helpers: Vec<_> = (1..threads.min(MOST_THREADS).min(blocks))
                .map_while(|_| std::thread::Builder::new().spawn_scoped(scope, work).ok())
                .collect();
            let mut digests = work();
            for helper in helpers {
                digests.extend(helper.join().expect("hashing does not panic"));
            }
            digests
        });
        digests.sort_unstable_by_key(|(block, _)| *block);
        digests.into_iter().map(|(_, digest)| digest).collect()
    }

    #[expect(unsafe_code, reason = "PyO3's safe view of a buffer needs the GIL for its whole life")]
    fn feed(&self, range: std::ops::Range<usize>, hasher: &mut Xxh3) {
        assert!(range.end <= self.0.len_bytes(), "a range of the buffer");
        let source = self.0.buf_ptr().cast::<u8>().cast_const();
        let mut piece = [0_u8; COPY_BYTES];
        let mut done = range.start;
        while done < range.end {
            let size = COPY_BYTES.min(range.end - done);
            // SAFETY: the buffer pins its bytes at `source` until it is dropped, the range is within
            // them, and the callers have checked that they are contiguous. They are copied out,
            // never borrowed: another thread that writes to the array meanwhile gets a meaningless
            // token, as with NumPy's own functions that release the GIL, and nothing else.
            unsafe {
                source.add(done).copy_to_nonoverlapping(piece.as_mut_ptr(), size);
            }
            hasher.update(&piece[..size]);
            done += size;
        }
    }
}
