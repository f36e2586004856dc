//! The shells: what touches threads, clocks and locks.
//!
//! [`engine`] runs graphs inside the user's process. It knows no Python: what a task is and how it
//! is run comes from an implementation of [`engine::Tasks`]. [`node`] starts and watches the worker
//! processes of a host. [`page`] serves the page of a cluster. [`resources`] looks at what the process
//! uses.

pub mod arenas;
pub mod client;
pub mod cluster;
pub mod engine;
pub mod listening;
pub mod node;
pub mod observer;
pub mod page;
mod patience;
pub mod resources;
pub mod worker;
