//! Numbers that one process writes and another reads, also after its death.
#![expect(unsafe_code, reason = "memory is mapped, and read as numbers")]

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::mm::{MapFlags, ProtFlags};

use crate::error::StoreError;
use crate::os;

const PAGE: usize = 4096;

/// How many numbers there are, and how many numbers with a deadline.
pub const SLOTS: usize = PAGE / size_of::<AtomicU64>();

/// Behind the numbers stand those that have a deadline, two words each, and then the system's numbers
/// of threads.
const PAGES: usize = 4;

/// Numbers that outlive the process that writes them, as long as somebody has the descriptor.
#[derive(Debug)]
pub struct Slots {
    file: OwnedFd,
    words: NonNull<AtomicU64>,
}

// SAFETY: the words are shared memory of atomic numbers.
unsafe impl Send for Slots {}
// SAFETY: as above.
unsafe impl Sync for Slots {}

impl Slots {
    /// Numbers, all 0.
    pub fn new(name: &str) -> Result<Self, StoreError> {
        let file = os::memory_file(name, (PAGES * PAGE) as u64)
            .map_err(StoreError::system("make shared memory"))?;
        // SAFETY: a new mapping at an address that the system chooses, of a file as long as it.
        let words = unsafe {
            let flags = ProtFlags::READ | ProtFlags::WRITE;
            rustix::mm::mmap(ptr::null_mut(), PAGES * PAGE, flags, MapFlags::SHARED, &file, 0)
        }
        .map_err(StoreError::system("map shared memory"))?;
        let words = NonNull::new(words.cast()).expect("the system maps nothing at address 0");
        Ok(Self { file, words })
    }

    /// The descriptor, for whoever will read.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Writes a number; one that has no place is left out.
    pub fn set(&self, slot: usize, number: u64) {
        if slot < SLOTS {
            self.word(slot).store(number, Ordering::Relaxed);
        }
    }

    /// Writes a number that has a deadline, which is not 0, apart from the other ones; one that has no
    /// place is left out.
    pub fn set_deadline(&self, slot: usize, number: u64, deadline: u64) {
        if slot < SLOTS {
            self.word(SLOTS + 2 * slot).store(number, Ordering::Relaxed);
            self.word(SLOTS + 2 * slot + 1).store(deadline, Ordering::Release);
        }
    }

    /// Takes a number with a deadline away.
    pub fn clear_deadline(&self, slot: usize) {
        if slot < SLOTS {
            self.word(SLOTS + 2 * slot + 1).store(0, Ordering::Release);
        }
    }

    /// Says which thread writes the number at a place, 0 for none; one that has no place is left out.
    pub fn set_thread(&self, slot: usize, thread: u32) {
        if slot < SLOTS {
            self.word(3 * SLOTS + slot).store(u64::from(thread), Ordering::Relaxed);
        }
    }

    fn word(&self, place: usize) -> &AtomicU64 {
        assert!(place < PAGES * SLOTS, "callers know how many there are");
        // SAFETY: inside the mapping, which is there as long as `self` lives, and aligned.
        unsafe { self.words.add(place).as_ref() }
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        // SAFETY: this is what `new` mapped, and nobody has a reference into it any more.
        let unmapped = unsafe { rustix::mm::munmap(self.words.as_ptr().cast(), PAGES * PAGE) };
        debug_assert_eq!(unmapped, Ok(()));
    }
}

/// The numbers that another process wrote.
pub fn read_slots(file: BorrowedFd<'_>) -> Result<Vec<u64>, StoreError> {
    read_words(file, 0, PAGE)
}

/// The places at which threads of another process write: each with the thread and its number.
pub fn read_threads(file: BorrowedFd<'_>) -> Result<Vec<(usize, u32, u64)>, StoreError> {
    let threads = read_words(file, 3 * PAGE, PAGE)?;
    let numbers = read_slots(file)?;
    let places = threads.into_iter().zip(numbers).enumerate();
    let used = places.filter(|&(_, (thread, _))| thread != 0);
    Ok(used.map(|(place, (thread, number))| (place, thread as u32, number)).collect())
}

/// The numbers that have a deadline that another process wrote, each with that.
pub fn read_deadlines(file: BorrowedFd<'_>) -> Result<Vec<(u64, u64)>, StoreError> {
    let words = read_words(file, PAGE, 2 * PAGE)?;
    let pairs = words.chunks_exact(2).map(|pair| (pair[0], pair[1]));
    Ok(pairs.filter(|&(_, deadline)| deadline != 0).collect())
}

fn read_words(file: BorrowedFd<'_>, from: usize, len: usize) -> Result<Vec<u64>, StoreError> {
    let mut bytes = Vec::new();
    os::read_at(file, from as u64, len, &mut bytes)
        .map_err(StoreError::system("read shared memory"))?;
    let words = bytes.chunks_exact(8);
    Ok(words.map(|one| u64::from_le_bytes(one.try_into().expect("eight bytes"))).collect())
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

    #[test]
    fn threads_are_read_with_what_they_wrote() {
        let slots = Slots::new("test").expect("memory is there");
        slots.set_thread(0, 100);
        slots.set_thread(2, 102);
        slots.set(2, 7);
        let read = || read_threads(slots.descriptor()).expect("it can be read");
        assert_eq!(read(), [(0, 100, 0), (2, 102, 7)]);
        slots.set_thread(0, 0);
        assert_eq!(read(), [(2, 102, 7)]);
    }

    #[test]
    fn numbers_with_deadlines_are_read_until_they_are_taken_away() {
        let slots = Slots::new("test").expect("memory is there");
        let read = || read_deadlines(slots.descriptor()).expect("it can be read");
        slots.set(1, 5);
        assert_eq!(read(), []);
        slots.set_deadline(0, 7, 100);
        slots.set_deadline(SLOTS - 1, 9, 200);
        slots.set_deadline(SLOTS, 1, 300);
        assert_eq!(read(), [(7, 100), (9, 200)]);
        slots.clear_deadline(0);
        slots.clear_deadline(SLOTS);
        assert_eq!(read(), [(9, 200)]);
        slots.set_deadline(0, 8, 400);
        assert_eq!(read(), [(8, 400), (9, 200)]);
        let numbers = read_slots(slots.descriptor()).expect("it can be read");
        assert_eq!(numbers.iter().sum::<u64>(), 5);
    }
}
