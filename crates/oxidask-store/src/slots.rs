//! A page of numbers that one process writes and another reads after its death.
#![expect(unsafe_code, reason = "memory is mapped, and read as numbers")]

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::mm::{MapFlags, ProtFlags};

use crate::error::StoreError;
use crate::os;

const PAGE: usize = 4096;

/// How many numbers there are.
pub const SLOTS: usize = PAGE / size_of::<AtomicU64>();

/// Numbers that outlive the process that writes them, as long as somebody has the descriptor.
#[derive(Debug)]
pub struct Slots {
    file: OwnedFd,
    page: NonNull<AtomicU64>,
}

// SAFETY: the page is shared memory of atomic numbers.
unsafe impl Send for Slots {}
// SAFETY: as above.
unsafe impl Sync for Slots {}

impl Slots {
    /// Numbers, all 0.
    pub fn new(name: &str) -> Result<Self, StoreError> {
        let file =
            os::memory_file(name, PAGE as u64).map_err(StoreError::system("make shared memory"))?;
        // SAFETY: a new mapping at an address that the system chooses, of a file as long as it.
        let page = unsafe {
            let flags = ProtFlags::READ | ProtFlags::WRITE;
            rustix::mm::mmap(ptr::null_mut(), PAGE, flags, MapFlags::SHARED, &file, 0)
        }
        .map_err(StoreError::system("map shared memory"))?;
        let page = NonNull::new(page.cast()).expect("the system maps nothing at address 0");
        Ok(Self { file, page })
    }

    /// The descriptor, for whoever will read.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Writes a number; one that has no place is left out.
    pub fn set(&self, slot: usize, number: u64) {
        if slot < SLOTS {
            // SAFETY: inside the page, which is mapped as long as `self` lives, and aligned.
            unsafe { self.page.add(slot).as_ref() }.store(number, Ordering::Relaxed);
        }
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        // SAFETY: this is what `new` mapped, and nobody has a reference into it any more.
        let unmapped = unsafe { rustix::mm::munmap(self.page.as_ptr().cast(), PAGE) };
        debug_assert_eq!(unmapped, Ok(()));
    }
}

/// The numbers that another process wrote.
pub fn read_slots(file: BorrowedFd<'_>) -> Result<Vec<u64>, StoreError> {
    let mut bytes = Vec::new();
    os::read_at(file, 0, PAGE, &mut bytes).map_err(StoreError::system("read shared memory"))?;
    let numbers = bytes.chunks_exact(8);
    Ok(numbers.map(|one| u64::from_le_bytes(one.try_into().expect("eight bytes"))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_from_the_descriptor() {
        let slots = Slots::new("test").expect("memory is there");
        slots.set(0, 7);
        slots.set(SLOTS - 1, 9);
        slots.set(SLOTS, 1);
        let numbers = read_slots(slots.descriptor()).expect("it can be read");
        assert_eq!((numbers[0], numbers[1], numbers[SLOTS - 1]), (7, 0, 9));
    }
}
