//! The scheduler core among simulated workers, links, clocks and clients, all from one seed.
//!
//! [`simulate`] makes up a scenario, runs it in one thread and checks after every event what a
//! simple model says must hold. It never looks at the time or at the machine, so a seed that fails
//! fails again. Start reading at `simulation.rs`; `README.md` says what is modelled and what is
//! not.

mod cluster;
mod graph;
mod kinds;
mod oracle;
mod random;
mod scenario;
mod simulation;
mod worker;

pub use kinds::{ACTION_KINDS, EVENT_KINDS};
pub use oracle::Broken;
pub use simulation::{Finding, Summary, hunt, simulate, story};
