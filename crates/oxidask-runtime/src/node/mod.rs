//! What one host has of a cluster: its worker processes.

pub mod zygote;
