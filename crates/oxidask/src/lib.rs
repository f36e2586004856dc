//! Graphs of Rust closures, run by all cores.
//!
//! This is the engine of the Python package of the same name without Python: the same graphs, the
//! same order of running, the same scheduler and threads, for closures. Make a [`Graph`], add calls
//! that name the tasks whose results they read, and have [`Threads`] compute those that you want:
//!
//! ```
//! use oxidask::{Graph, Threads};
//!
//! let mut graph = Graph::new();
//! let numbers: Vec<_> = (1..=4_u64).map(|n| graph.call((), move |()| n * n)).collect();
//! let sum = graph.call(numbers, |squares| squares.into_iter().sum::<u64>());
//! let text = graph.call(sum, |sum| format!("the squares add up to {sum}"));
//!
//! let threads = Threads::new(2);
//! assert_eq!(*threads.compute(graph, text)?, "the squares add up to 30");
//! # Ok::<(), oxidask::ComputeError>(())
//! ```
//!
//! # What is promised
//!
//! - A closure runs once, when all that it reads is there, in any of the threads.
//! - Only what the wanted tasks need runs; the rest is dropped.
//! - A result is dropped as soon as the last closure that reads it has run, and closures run in an
//!   order that keeps few results alive ([`oxidask_graph::order`]).
//! - The first failure, be it an error or a panic, ends the computation: nothing more starts, and the
//!   error says where the task was made. The threads are as good as before.
//! - A result whose `Drop` panics does no harm: the panic is reported as any other, and ends there.
//! - A closure may itself compute a graph with the same [`Threads`]: a thread that waits for a
//!   computation takes part in it.
//!
//! # Which closures run side by side
//!
//! Calls made by the same closure are a group. As soon as the first of a group has run, the engine
//! knows how long they take; other threads are not woken for closures that are over before a thread
//! would be awake (about 30 µs).

mod bundle;
mod closures;
mod error;
mod graph;
mod threads;

pub use bundle::Bundle;
pub use error::ComputeError;
pub use graph::{Graph, Task};
pub use threads::Threads;
