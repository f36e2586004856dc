//! What the arena asks of the operating system. Linux only; a port replaces this file.

use std::io;
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FallocateFlags, MemfdFlags, Mode, OFlags, SealFlags};
use rustix::io::Errno;

/// Memory without a name in any folder, empty so far, which disappears with its last descriptor
/// and mapping. A child that runs another program does not get it.
pub(crate) fn memory_file(name: &str, capacity: u64) -> io::Result<OwnedFd> {
    let sealed = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let file = match rustix::fs::memfd_create(name, sealed | MemfdFlags::NOEXEC_SEAL) {
        Err(Errno::INVAL) => rustix::fs::memfd_create(name, sealed), // Linux before 6.3
        file => file,
    }?;
    rustix::fs::ftruncate(&file, capacity)?;
    // A file that cannot shrink cannot send SIGBUS to those who map it.
    rustix::fs::fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
    Ok(file)
}

/// A file on disk without a name, for reading and writing.
pub(crate) fn nameless_file(folder: &Path) -> io::Result<OwnedFd> {
    let (flags, mode) = (OFlags::RDWR | OFlags::CLOEXEC, Mode::RUSR | Mode::WUSR);
    match rustix::fs::open(folder, flags | OFlags::TMPFILE, mode) {
        // Some file systems have names only.
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::NOENT) => {}
        file => return Ok(file?),
    }
    let path = folder.join(format!("oxidask-spill-{}", std::process::id()));
    let file = rustix::fs::open(&path, flags | OFlags::CREATE | OFlags::EXCL, mode)?;
    rustix::fs::unlink(&path)?;
    Ok(file)
}

/// The largest file that this process may make. Beyond it, the system would send a signal.
pub(crate) fn file_size_limit() -> u64 {
    rustix::process::getrlimit(rustix::process::Resource::Fsize).current.unwrap_or(u64::MAX)
}

/// Another descriptor of the same memory, for reading only.
pub(crate) fn reopen_for_reading(file: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    Ok(rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?)
}

/// Writes all bytes at an offset.
pub(crate) fn write_at(file: BorrowedFd<'_>, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = rustix::io::retry_on_intr(|| rustix::io::pwrite(file, bytes, offset))?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        bytes = &bytes[written..];
        offset += written as u64;
    }
    Ok(())
}

/// Appends `length` bytes from an offset to `bytes`.
pub(crate) fn read_at(
    file: BorrowedFd<'_>,
    offset: u64,
    length: usize,
    bytes: &mut Vec<u8>,
) -> io::Result<()> {
    bytes.reserve_exact(length);
    let end = bytes.len() + length;
    while bytes.len() < end {
        let begin = offset + (length - (end - bytes.len())) as u64;
        let spare = rustix::buffer::spare_capacity(bytes);
        let read = rustix::io::pread(file, spare, begin);
        match read {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    bytes.truncate(end);
    Ok(())
}

/// Gives the memory of whole pages back; they read as zeros from now on.
pub(crate) fn punch_hole(file: BorrowedFd<'_>, pages: &Range<u64>) -> io::Result<()> {
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    let length = pages.end - pages.start;
    Ok(rustix::io::retry_on_intr(|| rustix::fs::fallocate(file, flags, pages.start, length))?)
}
