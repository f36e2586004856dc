//! Why a computation failed.

use std::error::Error;
use std::panic::Location;

/// Why a computation failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ComputeError {
    /// A closure of [`Graph::try_call`](crate::Graph::try_call) returned an error.
    #[error("the task made at {made_at} failed: {source}")]
    Failed {
        /// The line that made the task.
        made_at: &'static Location<'static>,
        /// What the closure returned.
        source: Box<dyn Error + Send + Sync>,
    },
    /// A closure panicked.
    #[error("the task made at {made_at} panicked: {message}")]
    Panicked {
        /// The line that made the task.
        made_at: &'static Location<'static>,
        /// What it said.
        message: String,
    },
}
