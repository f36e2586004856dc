//! Shared memory that one process fills and others read.

use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};

use crate::allocator::Allocator;
use crate::error::StoreError;
use crate::extent::{Extent, part_offsets, total_length};
use crate::os;

/// Bounds of an [`Arena`].
#[derive(Debug, Clone, Copy)]
pub struct ArenaSettings {
    /// Bytes that it may hold at once. They cost nothing until they are written.
    pub capacity: u64,
    /// Freed bytes that it keeps for reuse; beyond them memory goes back to the system. To write
    /// into memory that is kept is several times faster than into fresh memory.
    pub idle_limit: u64,
}

impl Default for ArenaSettings {
    fn default() -> Self {
        Self { capacity: 1 << 40, idle_limit: 256 << 20 }
    }
}

/// Shared memory that one process fills and others map.
///
/// It is one sparse file in memory, so one descriptor, however many objects are in it, and it is
/// gone when no process has a descriptor or a mapping of it any more. Only the process that made
/// it writes, with system calls: nobody has a writable mapping that is shared. All methods may be
/// called from several threads at once; they copy and wait for the system without a lock.
#[derive(Debug)]
pub struct Arena {
    file: OwnedFd,
    allocator: Mutex<Allocator>,
    idle_limit: AtomicU64,
    /// The process that made it. A fork of that has a copy of the allocator but the same memory.
    owner: u32,
}

impl Arena {
    /// An empty arena. The name is for those who look at the process's open files.
    ///
    /// The capacity is cut to what the process may have in a file (`ulimit -f`).
    pub fn new(name: &str, settings: ArenaSettings) -> Result<Self, StoreError> {
        let page_size = rustix::param::page_size() as u64;
        let capacity = settings.capacity.min(os::file_size_limit()).min(i64::MAX as u64);
        let allocator = Allocator::new(capacity, page_size);
        let file = os::memory_file(name, allocator.capacity())
            .map_err(StoreError::system("make shared memory"))?;
        let idle_limit = AtomicU64::new(settings.idle_limit);
        let allocator = Mutex::new(allocator);
        Ok(Self { file, allocator, idle_limit, owner: process::id() })
    }

    /// A descriptor of this memory that can be read and mapped but not written, for others.
    pub fn reader(&self) -> Result<OwnedFd, StoreError> {
        os::reopen_for_reading(self.file.as_fd())
            .map_err(StoreError::system("open shared memory for reading; is /proc mounted?"))
    }

    /// Copies parts into one new extent, each aligned as [`part_offsets`] says.
    ///
    /// In a fork of the process that made the arena this is an error: both would write in one place.
    pub fn write(&self, parts: &[&[u8]]) -> Result<Extent, StoreError> {
        let lengths = || parts.iter().map(|part| part.len() as u64);
        let length = total_length(lengths());
        if length == 0 {
            return Ok(Extent { offset: 0, length: 0 });
        }
        if !self.is_ours() {
            return Err(StoreError::NotOurs { owner: self.owner });
        }
        let extent = self.allocate(length)?;
        for (part, begin) in parts.iter().zip(part_offsets(lengths())) {
            if let Err(error) = os::write_at(self.file.as_fd(), part, extent.offset + begin) {
                self.free(extent)?;
                return Err(self.write_error(length, error));
            }
        }
        Ok(extent)
    }

    /// Makes room for others where this extent is. Nobody may read it any more.
    ///
    /// In a fork of the process that made the arena nothing happens: that process still needs it.
    pub fn free(&self, extent: Extent) -> Result<(), StoreError> {
        if extent.length == 0 || !self.is_ours() {
            return Ok(());
        }
        let mut allocator = self.lock();
        allocator.free(extent.offset, extent.length);
        let pages = allocator.cool(self.idle_limit.load(Ordering::Relaxed));
        drop(allocator);
        self.give_back(pages)
    }

    /// Bytes in use.
    pub fn nbytes(&self) -> u64 {
        self.lock().used()
    }

    /// Bytes that are kept for reuse.
    pub fn idle_nbytes(&self) -> u64 {
        self.lock().warm()
    }

    /// Gives memory that is kept for reuse back to the system.
    pub fn trim(&self) -> Result<(), StoreError> {
        self.cool(0)
    }

    /// From now on at most so many bytes are kept for reuse.
    pub fn keep_idle(&self, nbytes: u64) -> Result<(), StoreError> {
        self.idle_limit.store(nbytes, Ordering::Relaxed);
        self.cool(nbytes)
    }

    fn cool(&self, limit: u64) -> Result<(), StoreError> {
        if !self.is_ours() {
            return Ok(());
        }
        let pages = self.lock().cool(limit);
        self.give_back(pages)
    }

    fn is_ours(&self) -> bool {
        self.owner == process::id()
    }

    fn allocate(&self, length: u64) -> Result<Extent, StoreError> {
        let mut allocator = self.lock();
        let range = allocator.allocate(length).ok_or_else(|| StoreError::ArenaFull {
            needed: length,
            used: allocator.used(),
            capacity: allocator.capacity(),
            longest: allocator.longest_free(),
        })?;
        Ok(Extent { offset: range.start, length })
    }

    fn give_back(&self, pages: Vec<Range<u64>>) -> Result<(), StoreError> {
        for range in pages {
            // Even if the system keeps the memory, the bytes can be written again.
            let punched = os::punch_hole(self.file.as_fd(), &range);
            self.lock().cooled(range);
            punched.map_err(StoreError::system("give shared memory back"))?;
        }
        Ok(())
    }

    fn write_error(&self, needed: u64, source: io::Error) -> StoreError {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::OutOfMemory => {
                StoreError::OutOfMemory { needed, used: self.nbytes(), source }
            }
            _ => StoreError::System { action: "write to shared memory", source },
        }
    }

    fn lock(&self) -> MutexGuard<'_, Allocator> {
        self.allocator.lock().expect("the allocator panics only if it is broken")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::copy_out;

    const MIB: usize = 1 << 20;

    fn arena(capacity: u64, idle_limit: u64) -> Arena {
        Arena::new("test", ArenaSettings { capacity, idle_limit }).expect("memory is there")
    }

    /// Bytes for which the system keeps memory.
    fn resident(arena: &Arena) -> u64 {
        rustix::fs::fstat(&arena.file).expect("the file is open").st_blocks as u64 * 512
    }

    #[test]
    fn what_is_written_is_read() {
        let arena = arena(1 << 40, 0);
        let reader = arena.reader().expect("can be opened");
        let parts: [&[u8]; 3] = [b"abc", b"", &[7; 100]];
        let extent = arena.write(&parts).expect("fits");
        let bytes = copy_out(reader.as_fd(), extent).expect("is there");
        assert_eq!(extent.length, 164);
        assert_eq!((&bytes[..3], &bytes[64..]), (&b"abc"[..], &[7; 100][..]));
    }

    #[test]
    fn nothing_takes_no_room() {
        let arena = arena(0, 0);
        let extent = arena.write(&[b"", b""]).expect("fits");
        let reader = arena.reader().expect("can be opened");
        assert_eq!(copy_out(reader.as_fd(), extent).expect("is there"), b"");
        arena.free(extent).expect("is there");
    }

    #[test]
    fn a_full_arena_says_how_much_is_needed() {
        let arena = arena(8 << 20, 0);
        arena.write(&[&vec![1; 6 * MIB]]).expect("fits");
        let error = arena.write(&[&vec![1; 3 * MIB]]).expect_err("does not fit");
        assert_eq!(
            error.to_string(),
            "no room for 3145728 bytes in shared memory: 6291456 of 8388608 bytes are in use and \
             the longest free stretch has 2097152; release results, or raise the memory limit"
        );
        arena.write(&[&vec![1; 2 * MIB]]).expect("fits after a failure");
    }

    #[test]
    fn freed_memory_is_kept_up_to_the_limit_and_then_given_back() {
        let arena = arena(1 << 40, 4 << 20);
        let bytes = vec![1; 3 * MIB];
        let extents = [(); 3].map(|()| arena.write(&[&bytes]).expect("fits"));
        assert_eq!((arena.nbytes(), resident(&arena)), (9 << 20, 9 << 20));
        for extent in extents {
            arena.free(extent).expect("is there");
        }
        assert_eq!((arena.nbytes(), arena.idle_nbytes(), resident(&arena)), (0, 4 << 20, 4 << 20));
        assert_eq!(arena.write(&[&bytes]).expect("fits").offset, 0, "kept memory is used again");
        assert_eq!(resident(&arena), 4 << 20);
        arena.trim().expect("can be given back");
        assert_eq!((arena.idle_nbytes(), resident(&arena)), (0, 3 << 20));
    }

    #[test]
    fn a_fork_neither_writes_nor_frees() {
        let mut arena = arena(1 << 20, 0);
        let extent = arena.write(&[&[1; 10_000]]).expect("fits");
        arena.owner += 1;
        let error = arena.write(&[b"x"]).expect_err("it belongs to another process");
        assert!(error.to_string().contains("a fork cannot write"), "{error}");
        arena.free(extent).expect("nothing happens");
        arena.trim().expect("nothing happens");
        let bytes = copy_out(arena.file.as_fd(), extent).expect("is there");
        assert_eq!(bytes, [1; 10_000]);
    }

    #[test]
    fn a_reader_cannot_write() {
        let arena = arena(1 << 20, 0);
        let reader = arena.reader().expect("can be opened");
        let error = os::write_at(reader.as_fd(), b"x", 0).expect_err("it is for reading");
        assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::BADF.raw_os_error()));
    }

    #[test]
    fn nobody_can_make_the_memory_shrink_under_a_reader() {
        let arena = arena(1 << 20, 0);
        assert_eq!(rustix::fs::ftruncate(&arena.file, 0), Err(rustix::io::Errno::PERM));
    }

    #[test]
    fn threads_write_at_the_same_time() {
        let arena = arena(1 << 40, 1 << 20);
        let reader = arena.reader().expect("can be opened");
        std::thread::scope(|scope| {
            for byte in 0..4 {
                let (arena, reader) = (&arena, &reader);
                scope.spawn(move || {
                    for length in [10, 100_000, 2 * MIB, 70].repeat(5) {
                        let extent = arena.write(&[&vec![byte; length]]).expect("fits");
                        let bytes = copy_out(reader.as_fd(), extent).expect("is there");
                        assert_eq!(bytes, vec![byte; length]);
                        arena.free(extent).expect("is there");
                    }
                });
            }
        });
        assert_eq!(arena.nbytes(), 0);
    }
}
