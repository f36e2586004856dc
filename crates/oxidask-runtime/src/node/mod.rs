//! The shell of a node: sockets of workers and clients, and the processes of workers.

mod client;
mod connection;
mod hearing;
mod host;
mod memory;
mod poller;
mod spiller;
mod stopped;
mod worker;
pub mod zygote;

pub use client::connect_client;
pub use host::{Host, HostSettings, Launch, Launcher, Listeners, MemorySettings};
pub use oxidask_node::MemoryLimits;
pub use worker::{RemoteMouth, WorkerProcess};
