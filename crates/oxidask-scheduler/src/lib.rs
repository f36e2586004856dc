//! The scheduler core: a pure state machine that decides what runs where.
//!
//! [`Event`]s go in, [`Action`]s come out; time comes in as a value. Every mode of Oxidask uses
//! this one core, from a thread pool in the user's process to a cluster; modes differ in the shells
//! around it. It holds ids and sizes, never data.
//!
//! Start reading at [`SchedulerState::handle`].

mod action;
mod classes;
mod event;
mod planted;
mod queue;
mod spaces;
mod state;
mod tasks;
mod validate;
mod workers;

pub use action::{Action, Failure, Outbox, Outcome};
pub use event::{Event, Offer, Restriction, Submission};
pub use planted::Bug;
pub use queue::RankSet;
pub use state::{SchedulerState, Settings};
