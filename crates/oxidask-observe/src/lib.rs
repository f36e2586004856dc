//! Makes visible what happened: records of a run, and drawings of task graphs. It cannot steer.
//!
//! - [`Progress`] counts what records tell.
//! - [`picture`]: a [`picture::TaskGraph`] goes in, a [`drawing::Drawing`] comes out, which
//!   [`formats`] write as SVG, PNG, PDF, HTML, DOT or JSON.
//! - [`page`]: an [`page::Overview`] of a cluster as HTML.

pub mod collapse;
pub mod drawing;
mod font;
pub mod formats;
pub mod layout;
pub mod page;
pub mod palette;
pub mod picture;
mod progress;
pub mod scene;
pub mod text;

pub use progress::{GroupProgress, Progress};
