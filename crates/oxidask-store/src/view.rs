//! Reading an extent: a private mapping of it, or a copy.
#![expect(unsafe_code, reason = "memory is mapped and unmapped")]

use std::os::fd::BorrowedFd;
use std::ptr::{self, NonNull};
use std::slice;

use rustix::mm::{MapFlags, ProtFlags};

use crate::error::StoreError;
use crate::extent::Extent;
use crate::os;

/// A private, writable mapping of an extent.
///
/// Reading costs no memory: the pages are those of the arena. Writing works, costs the pages that
/// are touched, and reaches nobody else. The view stays when the descriptor is closed and when the
/// process that wrote the extent dies.
#[derive(Debug)]
pub struct View {
    /// Where the mapping begins: the page that holds the first byte. None if there are no bytes.
    mapping: Option<NonNull<u8>>,
    /// Bytes of the mapping before the first byte of the extent.
    skipped: usize,
    length: usize,
}

// SAFETY: the mapping is this view's own, and no thread is special to it.
unsafe impl Send for View {}
// SAFETY: as above; writing needs `&mut`.
unsafe impl Sync for View {}

impl View {
    /// Maps an extent of the arena that this descriptor reads.
    ///
    /// # Safety
    ///
    /// The descriptor comes from [`Arena::reader`](crate::Arena::reader), and the writer does not
    /// free the extent while the view lives.
    pub unsafe fn map(file: BorrowedFd<'_>, extent: Extent) -> Result<Self, StoreError> {
        if extent.length == 0 {
            return Ok(Self { mapping: None, skipped: 0, length: 0 });
        }
        check_inside(file, extent)?;
        let skipped = extent.offset % rustix::param::page_size() as u64;
        let (skipped, length) = (skipped as usize, extent.length as usize);
        // SAFETY: a new mapping at an address that the system chooses.
        let address = unsafe {
            rustix::mm::mmap(
                ptr::null_mut(),
                skipped + length,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE,
                file,
                extent.offset - skipped as u64,
            )
        }
        .map_err(StoreError::system("map shared memory"))?;
        let mapping = NonNull::new(address.cast()).expect("the system maps nothing at address 0");
        Ok(Self { mapping: Some(mapping), skipped, length })
    }

    /// The first byte. Aligned as in the arena: at least to [`ALIGNMENT`](crate::ALIGNMENT).
    pub fn as_mut_ptr(&self) -> *mut u8 {
        match self.mapping {
            None => ptr::without_provenance_mut(crate::ALIGNMENT as usize),
            // SAFETY: the mapping has more bytes than are skipped.
            Some(mapping) => unsafe { mapping.as_ptr().add(self.skipped) },
        }
    }

    /// How many bytes there are.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether there is no byte.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The bytes, to read.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: mapped as long as the view lives; nobody else changes it, by `map`'s contract.
        unsafe { slice::from_raw_parts(self.as_mut_ptr(), self.length) }
    }

    /// The bytes, to write.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`, and nobody else has this view.
        unsafe { slice::from_raw_parts_mut(self.as_mut_ptr(), self.length) }
    }
}

impl Drop for View {
    fn drop(&mut self) {
        let Some(mapping) = self.mapping else { return };
        // SAFETY: this is what `map` mapped, and nobody has a reference into it any more.
        let unmapped =
            unsafe { rustix::mm::munmap(mapping.as_ptr().cast(), self.skipped + self.length) };
        debug_assert_eq!(unmapped, Ok(()));
    }
}

/// A copy of an extent: cheaper than a view where it is small.
pub fn copy_out(file: BorrowedFd<'_>, extent: Extent) -> Result<Vec<u8>, StoreError> {
    check_inside(file, extent)?;
    let mut bytes = Vec::new();
    os::read_at(file, extent.offset, extent.length as usize, &mut bytes)
        .map_err(StoreError::system("read shared memory"))?;
    Ok(bytes)
}

/// Bytes of an arena for which the system keeps memory.
pub fn resident_nbytes(file: BorrowedFd<'_>) -> u64 {
    rustix::fs::fstat(file).map_or(0, |status| status.st_blocks as u64 * 512)
}

/// Beyond the end of the arena a mapping would be there but could not be read.
fn check_inside(file: BorrowedFd<'_>, extent: Extent) -> Result<(), StoreError> {
    let status = rustix::fs::fstat(file).map_err(StoreError::system("look at shared memory"))?;
    let capacity = status.st_size as u64;
    let end = extent.offset.saturating_add(extent.length);
    if end > capacity {
        return Err(StoreError::OutsideArena { offset: extent.offset, end, capacity });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;
    use crate::{Arena, ArenaSettings};

    const MIB: usize = 1 << 20;

    fn arena() -> Arena {
        Arena::new("test", ArenaSettings::default()).expect("memory is there")
    }

    fn view(arena: &Arena, extent: Extent) -> View {
        let reader = arena.reader().expect("can be opened");
        // SAFETY: each test keeps what it reads.
        unsafe { View::map(reader.as_fd(), extent) }.expect("is there")
    }

    #[test]
    fn writing_in_a_view_reaches_nobody_else() {
        let arena = arena();
        for length in [100, 5 * MIB] {
            let extent = arena.write(&[&vec![1; length]]).expect("fits");
            let mut written = view(&arena, extent);
            let other = view(&arena, extent);
            written.bytes_mut().fill(2);
            assert!(other.bytes().iter().all(|&byte| byte == 1));
            assert!(view(&arena, extent).bytes().iter().all(|&byte| byte == 1));
            assert!(written.bytes().iter().all(|&byte| byte == 2));
        }
    }

    #[test]
    fn a_view_does_not_see_what_happens_beside_it() {
        let arena = arena();
        let extents: Vec<Extent> =
            (0..100).map(|byte| arena.write(&[&[byte; 100]]).expect("fits")).collect();
        let mut views: Vec<View> =
            extents.iter().step_by(2).map(|&extent| view(&arena, extent)).collect();
        views[1].bytes_mut()[0] = 77; // This one has its own copy of the page now.
        for &extent in extents.iter().skip(1).step_by(2) {
            arena.free(extent).expect("is there");
        }
        for _ in 0..50 {
            let recycled = arena.write(&[&[255; 100]]).expect("fits");
            assert!(extents.contains(&recycled), "{recycled:?} is new");
        }
        for (view, byte) in views.iter().zip((0..100).step_by(2)) {
            assert_eq!(view.bytes()[1..], [byte; 99]);
        }
    }

    #[test]
    fn parts_are_aligned_in_memory() {
        let arena = arena();
        arena.write(&[b"x"]).expect("fits");
        for length in [1, 65, MIB - 1] {
            let extent = arena.write(&[&vec![1; length]]).expect("fits");
            assert!(view(&arena, extent).as_mut_ptr().addr().is_multiple_of(64));
        }
        let extent = arena.write(&[&vec![1; MIB]]).expect("fits");
        assert!(
            view(&arena, extent).as_mut_ptr().addr().is_multiple_of(rustix::param::page_size())
        );
    }

    #[test]
    fn a_view_of_nothing_has_no_bytes() {
        let arena = arena();
        let mut view = view(&arena, arena.write(&[]).expect("fits"));
        assert!(view.is_empty());
        assert_eq!(view.bytes(), b"");
        assert_eq!(view.bytes_mut(), b"");
    }

    #[test]
    fn an_extent_beyond_the_arena_is_an_error() {
        let arena = arena();
        let reader = arena.reader().expect("can be opened");
        let extent = Extent { offset: 1 << 40, length: 1 };
        // SAFETY: nothing is there to be freed.
        let error = unsafe { View::map(reader.as_fd(), extent) }.expect_err("is not there");
        assert!(error.to_string().contains("are not in this arena"), "{error}");
        assert!(copy_out(reader.as_fd(), extent).is_err());
    }
}
