//! The states of a task, with Dask's names.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a task stands.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[repr(u8)]
pub enum TaskState {
    /// Known, but nobody needs its result now.
    #[default]
    Released,
    /// Needed; some input is not in memory yet.
    Waiting,
    /// All inputs are there, but no worker may run it.
    NoWorker,
    /// All inputs are there; it waits for a free slot.
    Queued,
    /// Given to a worker.
    Processing,
    /// Its result exists on at least one worker.
    Memory,
    /// It failed, or something that it needs failed.
    Erred,
    /// Gone; its id means nothing any more.
    Forgotten,
}

impl TaskState {
    /// Every state, in the order of their numbers.
    pub const ALL: [Self; 8] = [
        Self::Released,
        Self::Waiting,
        Self::NoWorker,
        Self::Queued,
        Self::Processing,
        Self::Memory,
        Self::Erred,
        Self::Forgotten,
    ];

    /// Whether the task still has to run, so that its inputs are needed.
    pub const fn is_unfinished(self) -> bool {
        matches!(self, Self::Waiting | Self::NoWorker | Self::Queued | Self::Processing)
    }

    /// The name that users see.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Released => "released",
            Self::Waiting => "waiting",
            Self::NoWorker => "no-worker",
            Self::Queued => "queued",
            Self::Processing => "processing",
            Self::Memory => "memory",
            Self::Erred => "erred",
            Self::Forgotten => "forgotten",
        }
    }
}

impl fmt::Display for TaskState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}
