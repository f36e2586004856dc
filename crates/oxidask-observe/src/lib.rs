//! What a person sees of a computation: for now, drawings of task graphs.
//!
//! [`picture`] is where to start: a [`picture::TaskGraph`] goes in, a self-contained SVG comes out.
//! Everything here is a pure function of its arguments: no clock, no thread, no environment.

pub mod collapse;
pub mod layout;
pub mod palette;
pub mod picture;
pub mod svg;
pub mod text;
