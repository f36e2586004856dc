//! The vocabulary that scheduler, workers and observer share: ids, task states and records.
//!
//! Nothing here acts: no I/O, no clock, no thread. Whoever makes a value of these types passes the
//! time in.

mod ids;
mod record;
mod state;

pub use ids::{Attempt, GroupId, HostId, TaskId, WorkerId};
pub use record::{Cause, Record, RecordBody, SpanKind};
pub use state::TaskState;
