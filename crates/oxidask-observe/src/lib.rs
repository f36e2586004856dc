//! Makes visible what happened: records of a run, and drawings of task graphs. It cannot steer.
//!
//! - [`Progress`] counts what records tell.
//! - [`picture`]: a [`picture::TaskGraph`] goes in, a [`drawing::Drawing`] comes out, which
//!   [`formats`] write as SVG, PNG, PDF, HTML, DOT or JSON.
//! - [`model`]: what is known of a run, from its [`news`].
//! - [`verdict`] says what limits a run, [`views`] answer all else that is asked about it, as JSON.
//! - [`run_file`] keeps news as bytes, and makes them again.
//! - [`web`]: the files of the dashboard.

pub mod collapse;
pub mod drawing;
mod font;
pub mod formats;
pub mod layout;
pub mod model;
pub mod news;
pub mod palette;
pub mod picture;
mod progress;
pub mod run_file;
pub mod scene;
pub mod text;
pub mod verdict;
pub mod views;
pub mod web;
pub mod words;

pub use progress::{GroupProgress, Progress};
