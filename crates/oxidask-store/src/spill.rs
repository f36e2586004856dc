//! Objects on disk: a file that is only appended to, and that has no name in any folder.
//!
//! Each object stands behind a header with its length and a checksum. Bytes are written with system
//! calls, never through a mapping: a full disk is then an error, not a signal. Others map objects
//! as they map shared memory, and compare the checksum first. The system deletes the file when
//! nobody has it open or mapped any more, however its owner ended.

use std::fmt;
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::error::StoreError;
use crate::extent::{ALIGNMENT, Extent};
use crate::os;

/// Bytes before each object.
const HEADER: u64 = 64;
const MAGIC: [u8; 8] = *b"oxispill";
/// Bytes that are copied at once.
const PIECE: usize = 1 << 20;
/// Bytes after which another file is begun, freed ones included: file systems set bounds.
const LONGEST: u64 = 1 << 40;

/// A file of objects on disk.
pub struct SpillFile {
    file: OwnedFd,
    folder: PathBuf,
    end: u64,
    longest: u64,
    piece: Vec<u8>,
}

impl fmt::Debug for SpillFile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SpillFile")
            .field("folder", &self.folder)
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}

impl SpillFile {
    /// An empty file in a folder, which is made if it is not there.
    pub fn create(folder: &Path) -> Result<Self, StoreError> {
        let failed = |source: io::Error| StoreError::Disk {
            action: "make a file for results",
            folder: folder.to_path_buf(),
            source,
        };
        fs::create_dir_all(folder).map_err(failed)?;
        let file = os::nameless_file(folder).map_err(failed)?;
        let longest = LONGEST.min(os::file_size_limit());
        Ok(Self { file, folder: folder.to_path_buf(), end: 0, longest, piece: Vec::new() })
    }

    /// A descriptor of this file that can be read and mapped but not written, for others.
    pub fn reader(&self) -> Result<OwnedFd, StoreError> {
        os::reopen_for_reading(self.file.as_fd())
            .map_err(StoreError::system("open a file for reading; is /proc mounted?"))
    }

    /// Whether an object of this length would make the file too long; then another is to be made.
    pub fn is_full_for(&self, length: u64) -> bool {
        self.end > 0 && self.end.saturating_add(HEADER + length) > self.longest
    }

    /// Copies an extent of an arena that this descriptor reads. What was written of it before an
    /// error is taken away again.
    pub fn append(&mut self, arena: BorrowedFd<'_>, extent: Extent) -> Result<Extent, StoreError> {
        let written = self.copy(arena, extent);
        match written {
            Ok(copy) => {
                self.end = (copy.offset + copy.length).next_multiple_of(ALIGNMENT);
                Ok(copy)
            }
            Err(error) => {
                // If not even that is possible, the next object is written over it.
                let _ = rustix::fs::ftruncate(&self.file, self.end);
                Err(error)
            }
        }
    }

    fn copy(&mut self, arena: BorrowedFd<'_>, extent: Extent) -> Result<Extent, StoreError> {
        let copy = Extent { offset: self.end + HEADER, length: extent.length };
        let mut hash = Xxh3::new();
        let mut done = 0;
        let mut piece = std::mem::take(&mut self.piece);
        while done < extent.length {
            let length = (extent.length - done).min(PIECE as u64) as usize;
            piece.clear();
            os::read_at(arena, extent.offset + done, length, &mut piece)
                .map_err(StoreError::system("read shared memory"))?;
            hash.update(&piece);
            self.write(&piece, copy.offset + done, extent.length)?;
            done += length as u64;
        }
        self.piece = piece;
        self.write(&header(copy.length, hash.digest()), copy.offset - HEADER, extent.length)?;
        Ok(copy)
    }

    fn write(&self, bytes: &[u8], offset: u64, needed: u64) -> Result<(), StoreError> {
        os::write_at(self.file.as_fd(), bytes, offset).map_err(|source| match source.kind() {
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => {
                StoreError::DiskFull { needed, folder: self.folder.clone(), source }
            }
            _ => StoreError::Disk { action: "write", folder: self.folder.clone(), source },
        })
    }

    /// Gives the disk space of an object back, where the file system can do that. Nobody may read
    /// it any more.
    pub fn free(&self, extent: Extent) {
        let page = rustix::param::page_size() as u64;
        let (begin, end) = (extent.offset - HEADER, extent.offset + extent.length);
        let pages = begin.next_multiple_of(page)..end - end % page;
        if pages.start < pages.end {
            // If it cannot, the space goes with the file.
            drop(os::punch_hole(self.file.as_fd(), &pages));
        }
    }
}

fn header(length: u64, checksum: u64) -> [u8; HEADER as usize] {
    let mut header = [0; HEADER as usize];
    header[..8].copy_from_slice(&MAGIC);
    header[8..16].copy_from_slice(&length.to_le_bytes());
    header[16..24].copy_from_slice(&checksum.to_le_bytes());
    header
}

/// Compares the bytes of an object, which were read from a [`SpillFile`], with their checksum.
pub fn check_spilled(file: BorrowedFd<'_>, extent: Extent, bytes: &[u8]) -> Result<(), StoreError> {
    let mut found = Vec::new();
    let begin = extent.offset.saturating_sub(HEADER);
    os::read_at(file, begin, HEADER as usize, &mut found)
        .map_err(StoreError::system("read a result from disk"))?;
    if found == header(extent.length, xxh3_64(bytes)) {
        Ok(())
    } else {
        Err(StoreError::Damaged { nbytes: extent.length })
    }
}

/// Whether files in a folder are in memory, so that nothing is gained by writing them.
pub fn is_in_memory(folder: &Path) -> bool {
    /// `TMPFS_MAGIC` and `RAMFS_MAGIC`.
    const IN_MEMORY: [u64; 2] = [0x0102_1994, 0x8584_58f6];
    rustix::fs::statfs(folder)
        .is_ok_and(|status| IN_MEMORY.contains(&(status.f_type as u64 & 0xffff_ffff)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::copy_out;
    use crate::{Arena, ArenaSettings};

    fn arena() -> (Arena, OwnedFd) {
        let arena = Arena::new("test", ArenaSettings::default()).expect("memory is there");
        let reader = arena.reader().expect("can be opened");
        (arena, reader)
    }

    fn spill_file() -> SpillFile {
        SpillFile::create(&std::env::temp_dir()).expect("there is a disk")
    }

    /// Bytes on disk.
    fn resident(file: &SpillFile) -> u64 {
        rustix::fs::fstat(&file.file).expect("the file is open").st_blocks as u64 * 512
    }

    #[test]
    fn what_is_spilled_is_read_and_checked() {
        let (arena, memory) = arena();
        let mut file = spill_file();
        let reader = file.reader().expect("can be opened");
        for length in [1, 100, 3 * PIECE + 5] {
            let bytes: Vec<u8> = (0..length).map(|number| number as u8).collect();
            let extent = arena.write(&[&bytes]).expect("fits");
            let copy = file.append(memory.as_fd(), extent).expect("there is room");
            let read = copy_out(reader.as_fd(), copy).expect("is there");
            assert_eq!(read, bytes);
            check_spilled(reader.as_fd(), copy, &read).expect("nobody changed it");
        }
    }

    #[test]
    fn a_changed_byte_is_found() {
        let (arena, memory) = arena();
        let mut file = spill_file();
        let extent = arena.write(&[&[7; 1000]]).expect("fits");
        let copy = file.append(memory.as_fd(), extent).expect("there is room");
        os::write_at(file.file.as_fd(), &[8], copy.offset + 500).expect("is there");
        let read = copy_out(file.file.as_fd(), copy).expect("is there");
        let error = check_spilled(file.file.as_fd(), copy, &read).expect_err("it was changed");
        assert!(error.to_string().contains("1000 bytes on disk were changed"), "{error}");
    }

    #[test]
    fn disk_space_of_freed_objects_is_given_back() {
        let (arena, memory) = arena();
        let mut file = spill_file();
        let extent = arena.write(&[&vec![1; 4 * PIECE]]).expect("fits");
        let copies = [(); 2].map(|()| file.append(memory.as_fd(), extent).expect("there is room"));
        let before = resident(&file);
        file.free(copies[0]);
        assert!(resident(&file) + 3 * PIECE as u64 <= before, "{before} -> {}", resident(&file));
        let read = copy_out(file.file.as_fd(), copies[1]).expect("is there");
        check_spilled(file.file.as_fd(), copies[1], &read).expect("its neighbour is untouched");
    }

    #[test]
    fn an_object_that_cannot_be_written_leaves_nothing_behind() {
        let settings = ArenaSettings { capacity: 4 << 20, idle_limit: 0 };
        let arena = Arena::new("test", settings).expect("memory is there");
        let memory = arena.reader().expect("can be opened");
        let mut file = spill_file();
        let small = arena.write(&[&[3; 100]]).expect("fits");
        let copy = file.append(memory.as_fd(), small).expect("there is room");
        let end = file.end;
        let too_long = Extent { offset: 0, length: 8 << 20 };
        let error = file.append(memory.as_fd(), too_long).expect_err("the arena is shorter");
        assert!(error.to_string().contains("read shared memory"), "{error}");
        let size = rustix::fs::fstat(&file.file).expect("is open").st_size as u64;
        assert_eq!((file.end, size), (end, end));
        let read = copy_out(file.file.as_fd(), copy).expect("is there");
        check_spilled(file.file.as_fd(), copy, &read).expect("what was there stays");
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let error = SpillFile::create(Path::new("/proc/no-such-folder")).expect_err("not there");
        assert!(error.to_string().contains("/proc/no-such-folder"), "{error}");
    }

    #[test]
    fn a_file_in_memory_is_known_as_such() {
        assert!(!is_in_memory(Path::new("/proc")));
    }
}
