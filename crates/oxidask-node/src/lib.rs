//! The node: what knows the results of one host, where each is, and who reads it.
//!
//! [`NodeState`] is a state machine without I/O. The scheduler's orders and the workers' messages go
//! in; messages to workers and reports to the scheduler come out. It decides how an input reaches
//! the worker that needs it: in the message, through shared memory, or, if it is an object in
//! another worker's process, by asking that worker to publish it first.

mod memory;
mod shared;
mod state;
mod store;
#[cfg(test)]
mod tests;

pub use memory::{MemoryLimits, MemoryUse, Refusal};
pub use state::{NodeState, Order, Output, Reader, Report};
