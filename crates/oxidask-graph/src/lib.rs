//! Task graphs: who needs whom, how a call is put together, and in which order to run.
//!
//! Everything is indices into flat arrays and every walk is a loop with its own stack, so that a
//! chain of a million tasks is as good as a wide graph. This crate is pure: no I/O, no clock, no
//! thread, no random state.
//!
//! - [`Edges`]: for each task the tasks it is tied to, in compressed rows.
//! - [`Explicit`]: a layer in which each task is written out, with its argument template.
//! - [`Plan`]: layers of blocks, each one call for a whole grid, that are joined and written out.
//! - [`Op`] and [`Template`]: how a call's arguments are put together, as a postfix program.
//! - [`cull()`], [`fuse_linear`], [`order()`]: what to leave out, what to join, what to run first.

mod blocks;
mod cull;
mod edges;
mod error;
mod explicit;
mod fuse;
mod order;
mod template;

pub use blocks::{
    Axis, BlockRef, Blocks, Expanded, Input, Plan, PlanPart, SLAB, Segment, Slab, Slabs, Step,
};
pub use cull::cull;
pub use edges::{Edges, EdgesBuilder};
pub use error::{GraphError, check_acyclic};
pub use explicit::{Explicit, TaskView};
pub use fuse::{Fusion, fuse_linear};
pub use order::{Order, order, peak_live_results};
pub use template::{Op, OpKind, Template, TemplateBuilder};
