//! Writes a run into a file while it goes on, and reads it again.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use oxidask_observe::model::Model;
use oxidask_observe::news::News;
use oxidask_observe::run_file::{MAGIC, Reader, RunFileError, Writer};
use rustix::fs::{FlockOperation, flock};

/// Nanoseconds after which what has happened is in the file; looks that saw nothing new may wait longer.
const SOON_NS: u64 = 1_000_000_000;
const LATER_NS: u64 = 10_000_000_000;
/// Bytes that are read at a time.
const PIECE: usize = 1 << 20;

/// A file that a run is written into.
#[derive(Debug)]
pub struct Recording {
    file: File,
    /// Bytes that are in the file, whole frames only.
    length: u64,
    writer: Writer,
    written_ns: u64,
}

/// Why a run could not be read from a file.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The system does not let us.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is no file of a run.
    #[error(transparent)]
    RunFile(#[from] RunFileError),
}

impl Recording {
    /// Begins a file of about so many bytes at most, for its owner to read. An older run's makes room
    /// for it; anything else stays.
    pub fn create(path: &Path, room: u64) -> io::Result<Self> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)?;
        let refuse = |why: &str| {
            let place = path.display();
            Err(io::Error::other(format!("{place}: {why}; name another file to record into")))
        };
        if !file.metadata()?.is_file() {
            return refuse("it is no ordinary file");
        }
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            return refuse("another cluster records into it");
        }
        let mut begin = Vec::new();
        Read::by_ref(&mut file).take(MAGIC.len() as u64).read_to_end(&mut begin)?;
        if !begin.is_empty() && begin != MAGIC {
            return refuse("there is a file that is no run file");
        }
        file.set_len(0)?;
        file.rewind()?;
        let mut recording = Self { file, length: 0, writer: Writer::new(room), written_ns: 0 };
        recording.flush()?;
        Ok(recording)
    }

    /// Takes in what has happened, and writes what has waited for long enough.
    pub(super) fn add(&mut self, news: &News) -> io::Result<()> {
        self.writer.add(news);
        let wait_ns = if self.writer.has_news() { SOON_NS } else { LATER_NS };
        // When somebody looks again it may be too late.
        let next_ns = news.at_ns + super::SELDOM.as_nanos() as u64;
        if next_ns < self.written_ns + wait_ns {
            return Ok(());
        }
        self.written_ns = news.at_ns;
        self.flush()
    }

    /// Writes all that was added.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        let bytes = self.writer.take();
        let result = self.file.write_all(&bytes);
        match &result {
            Ok(()) => self.length += bytes.len() as u64,
            // The disk is full, say: what was written of the frame is of no use.
            Err(_) => drop(self.file.set_len(self.length)),
        }
        result
    }
}

/// Reads the file of a run.
pub(super) fn replay(path: &Path) -> Result<Model, ReplayError> {
    let mut file = File::open(path)?;
    let mut model = Model::default();
    model.is_replay = true;
    let mut reader = Reader::default();
    let mut piece = vec![0; PIECE];
    loop {
        match file.read(&mut piece) {
            Ok(0) => break,
            Ok(length) => reader.read(&piece[..length], &mut model)?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    reader.end(&mut model)?;
    Ok(model)
}
