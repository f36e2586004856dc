//! The shell of a node: sockets of workers and clients, and the processes of workers.

mod client;
mod connection;
mod host;
mod poller;
mod worker;
pub mod zygote;

pub use client::connect_client;
pub use host::{Host, HostSettings, Launch, Launcher, Listeners};
pub use worker::{RemoteMouth, WorkerProcess};
