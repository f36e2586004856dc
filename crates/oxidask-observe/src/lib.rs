//! Makes visible what happened: records of a run, and drawings of task graphs. It cannot steer.
//!
//! - [`Progress`] counts what records tell.
//! - [`picture`]: a [`picture::TaskGraph`] goes in, a self-contained SVG comes out.

pub mod collapse;
pub mod layout;
pub mod palette;
pub mod picture;
mod progress;
pub mod svg;
pub mod text;

pub use progress::{GroupProgress, Progress};
