//! The thread that writes results to disk.

use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use oxidask_protocol::{Attempt, SPILL_FILES, Stored, TaskId};
use oxidask_store::{Extent, SpillFile, StoreError};

use crate::cluster::{Cluster, Disk};

enum Job {
    Write { task: TaskId, attempt: Attempt, stored: Stored },
    Free { arena: u32, extent: Extent },
}

/// The way to the thread.
#[derive(Debug)]
struct Line(Sender<Job>);

impl Disk for Line {
    fn write(&self, task: TaskId, attempt: Attempt, stored: Stored) {
        // The thread ends only after the cluster has let go of this.
        drop(self.0.send(Job::Write { task, attempt, stored }));
    }

    fn free(&self, arena: u32, offset: u64, length: u64) {
        drop(self.0.send(Job::Free { arena, extent: Extent { offset, length } }));
    }
}

/// Writes results of a cluster into files of a folder.
#[derive(Debug)]
pub(super) struct Spiller(Mutex<Option<JoinHandle<()>>>);

impl Spiller {
    pub(super) fn start(cluster: &Arc<Cluster>, folder: PathBuf) -> std::io::Result<Self> {
        let (sender, jobs) = channel();
        let writer = Writer { cluster: Arc::clone(cluster), folder, files: Vec::new() };
        let thread = std::thread::Builder::new()
            .name("oxidask-spill".to_owned())
            .spawn(move || writer.serve(&jobs))?;
        cluster.set_disk(Some(Arc::new(Line(sender))));
        Ok(Self(Mutex::new(Some(thread))))
    }

    /// Ends the thread and with it the files.
    pub(super) fn stop(&self, cluster: &Cluster) {
        cluster.set_disk(None);
        let thread = self.0.lock().expect("nothing panics while the lock is held").take();
        if let Some(thread) = thread {
            // A panic there was printed there.
            drop(thread.join());
        }
    }
}

struct Writer {
    cluster: Arc<Cluster>,
    folder: PathBuf,
    /// The last one grows.
    files: Vec<SpillFile>,
}

impl Writer {
    fn serve(mut self, jobs: &Receiver<Job>) {
        while let Ok(job) = jobs.recv() {
            match job {
                Job::Write { task, attempt, stored } => {
                    let written = self.write(&stored).map_err(|error| error.to_string());
                    self.cluster.spilled(task, attempt, written);
                }
                Job::Free { arena, extent } => {
                    if let Some(file) = self.files.get((arena - SPILL_FILES) as usize) {
                        file.free(extent);
                    }
                }
            }
        }
    }

    fn write(&mut self, stored: &Stored) -> Result<Stored, StoreError> {
        if self.files.last().is_none_or(|file| file.is_full_for(stored.len)) {
            let file = SpillFile::create(&self.folder)?;
            let number = SPILL_FILES + self.files.len() as u32;
            self.cluster.spill_file_added(number, file.reader()?);
            self.files.push(file);
        }
        let number = SPILL_FILES + self.files.len() as u32 - 1;
        let file = self.files.last_mut().expect("it was made above");
        let Some(arena) = self.cluster.arenas().get(stored.arena) else {
            unreachable!("an arena stays while there is an object in it");
        };
        let extent = Extent { offset: stored.offset, length: stored.len };
        let copy = file.append(arena.as_fd(), extent)?;
        Ok(Stored { arena: number, offset: copy.offset, ..stored.clone() })
    }
}
