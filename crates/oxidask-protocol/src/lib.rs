//! The vocabulary that scheduler, nodes, workers, clients and observer share: ids, task states,
//! messages and records.
//!
//! Nothing here acts: no I/O, no clock, no thread. Whoever makes a value of these types passes the
//! time in.

pub mod frame;
mod ids;
mod memory;
mod message;
mod record;
mod state;

pub use ids::{Attempt, GroupId, HostId, NameId, ResourceId, TaskId, WorkerId};
pub use memory::{NextUse, Pressure};
pub use message::{
    Asked, CLIENT_ARENAS, ClientTask, ContentHash, Ending, FromClient, FromWorker, Graph, Input,
    NoValue, Objects, Problem, Question, Run, SPILL_FILES, Said, Source, Stored, Stretch, ToClient,
    ToWorker, Value,
};
pub use record::{Cause, GroupTally, Record, RecordBody, SpanKind};
pub use state::TaskState;
