//! Why the store could not do something.

use std::io;
use std::path::PathBuf;

/// Why the store could not do something.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No free stretch of the arena is long enough.
    #[error(
        "no room for {needed} bytes in shared memory: {used} of {capacity} bytes are in use and \
         the longest free stretch has {longest}; release results, or raise the memory limit"
    )]
    ArenaFull {
        /// Bytes asked for.
        needed: u64,
        /// Bytes in use.
        used: u64,
        /// Bytes that the arena may hold.
        capacity: u64,
        /// Bytes of the longest free stretch.
        longest: u64,
    },
    /// The operating system has no memory left.
    #[error(
        "the system has no memory for {needed} bytes of shared memory beside the {used} bytes in \
         use: {source}; release results, or use smaller chunks"
    )]
    OutOfMemory {
        /// Bytes asked for.
        needed: u64,
        /// Bytes of the arena in use.
        used: u64,
        /// What the system said.
        source: io::Error,
    },
    /// The arena was made before this process was forked.
    #[error(
        "this shared memory belongs to process {owner}: a fork cannot write into it; start processes \
         with another method than fork, or let the task that forks return the result"
    )]
    NotOurs {
        /// The process that made it.
        owner: u32,
    },
    /// The extent is not inside the arena.
    #[error("bytes {offset} to {end} are not in this arena, which has {capacity} bytes")]
    OutsideArena {
        /// Where the extent begins.
        offset: u64,
        /// Where it ends.
        end: u64,
        /// Bytes that the arena may hold.
        capacity: u64,
    },
    /// A folder for sockets is not safe to use.
    #[error("sockets cannot be kept in {}: {problem}; {cure}", .folder.display())]
    UnsafeFolder {
        /// The folder.
        folder: PathBuf,
        /// What is wrong with it.
        problem: &'static str,
        /// What to do.
        cure: &'static str,
    },
    /// The system takes no path of this length for a socket.
    #[error(
        "the path of a socket may have {most} bytes, and {} has more; choose a folder with a shorter \
         path", .path.display()
    )]
    SocketPathTooLong {
        /// The path.
        path: PathBuf,
        /// Bytes that it may have.
        most: usize,
    },
    /// Another process listens there.
    #[error("{} is in use by another process; choose another name", .path.display())]
    SocketInUse {
        /// The path of the socket.
        path: PathBuf,
    },
    /// No room on disk.
    #[error(
        "{} has no room for {needed} bytes of results ({source}); free disk space, choose another \
         folder with local_directory=, or raise the memory limit", .folder.display()
    )]
    DiskFull {
        /// Bytes of the object.
        needed: u64,
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Results cannot be written to disk.
    #[error("cannot {action} in {}: {source}; choose another folder with local_directory=", .folder.display())]
    Disk {
        /// What was tried.
        action: &'static str,
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What was read from disk is not what was written.
    #[error(
        "the {nbytes} bytes on disk were changed since they were written there: the disk may be damaged"
    )]
    Damaged {
        /// Bytes of the object.
        nbytes: u64,
    },
    /// A call of the operating system failed.
    #[error("cannot {action}: {source}")]
    System {
        /// What was tried.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

impl StoreError {
    /// For `map_err`: the system failed to do this.
    pub(crate) fn system<E: Into<io::Error>>(action: &'static str) -> impl FnOnce(E) -> Self {
        move |error| Self::System { action, source: error.into() }
    }
}
