//! What the processes of one host share: results in memory, and sockets to speak of them.
//!
//! This crate knows neither Python nor a scheduler: a result is a list of byte strings. Who reads
//! what, and for how long an extent must stay, is kept elsewhere.
//!
//! - [`Arena`]: the shared memory that one process fills. [`Extent`] says where in it something is.
//! - [`View`]: a private, writable mapping of an extent; [`copy_out`] is for what is small.
//! - [`SpillFile`]: objects on disk, which others map in the same way.
//! - [`Slots`]: numbers that can be read after their writer has died.
//! - [`pass`]: bytes and file descriptors over a unix socket.
//! - [`socket_folder`]: where sockets are, so that nobody else gets at them.

mod allocator;
mod arena;
mod error;
mod extent;
mod os;
pub mod pass;
mod ranges;
mod slots;
pub mod socket_folder;
mod spill;
mod view;

pub use arena::{Arena, ArenaSettings};
pub use error::StoreError;
pub use extent::{ALIGNMENT, Extent, part_offsets, total_length};
pub use slots::{SLOTS, Slots, read_deadlines, read_slots, read_threads};
pub use spill::{SpillFile, check_spilled, is_in_memory};
pub use view::{View, copy_out, resident_nbytes};
