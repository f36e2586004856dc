//! Makes visible what happened: records of a run, and drawings of task graphs. It cannot steer.
//!
//! - [`Ring`] keeps the newest records of a run, [`Progress`] counts what they tell.
//! - [`picture`]: a [`picture::TaskGraph`] goes in, a self-contained SVG comes out.

pub mod collapse;
pub mod layout;
pub mod palette;
pub mod picture;
mod progress;
mod ring;
pub mod svg;
pub mod text;

pub use progress::Progress;
pub use ring::Ring;
