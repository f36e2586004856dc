//! The extension module `oxidask._core`: the only crate that knows Python.
//!
//! - `delayed`: the class, one task each; `arguments`: how its call is written down.
//! - `graph`: collects the tasks that are needed; `raw_graph`: reads graphs that are dictionaries.
//! - `computation`, `tasks`, `evaluate`: run them in the engine; `callbacks`, `task_states`: what users
//!   are told meanwhile.
//! - `ownership`: which task may write to what another one returned.
//! - `resources`: what the process uses meanwhile.
//! - `rewrite`: the same tasks under other keys, or with other inputs.
//! - `tokenize`: content hashes. `drawing`: pictures of graphs.
//!
//! Nothing in it relies on the GIL for exclusion: objects are immutable (`frozen`) once they are made,
//! and what threads share besides is atomic, has a lock, or belongs to one of them at a time.
#![allow(
    clippy::needless_pass_by_value,
    clippy::unused_self,
    reason = "functions that Python calls have the form that PyO3 asks for"
)]

use pyo3::prelude::*;

mod annotations;
mod arguments;
mod by_address;
mod callbacks;
mod computation;
mod contents;
mod delayed;
mod distributed;
mod drawing;
mod evaluate;
mod graph;
mod graph_view;
mod identity;
mod in_place;
mod layer;
mod layered;
mod origin;
mod ownership;
mod raw_graph;
mod resources;
mod rewrite;
mod settings;
mod task_states;
mod tasks;
mod tokenize;
mod unpack;

/// The engine of Oxidask.
#[pymodule(gil_used = false)]
mod _core {
    use pyo3::prelude::*;

    #[pymodule_export]
    use super::annotations::count_annotate_blocks;
    #[pymodule_export]
    use super::arguments::is_collection;
    #[pymodule_export]
    use super::computation::{Computation, after_fork, cpu_count, serve, shut_down};
    #[pymodule_export]
    use super::delayed::{Delayed, make_leaf};
    #[pymodule_export]
    use super::distributed::executor::Executor;
    #[pymodule_export]
    use super::distributed::future::Future;
    #[pymodule_export]
    use super::distributed::local::ThreadCluster;
    #[pymodule_export]
    use super::distributed::nested::{
        executor_of_running_task, leave_slot_of_task, return_to_slot_of_task,
    };
    #[pymodule_export]
    use super::distributed::page::{Page, Recording, RunFile};
    #[pymodule_export]
    use super::distributed::process::{ProcessCluster, is_in_memory, memory_size, worker_process};
    #[pymodule_export]
    use super::distributed::session::{Session, Watcher, futures_in_graph};
    #[pymodule_export]
    use super::drawing::{Drawing, draw_graph};
    #[pymodule_export]
    use super::graph::fused;
    #[pymodule_export]
    use super::graph_view::GraphView;
    #[pymodule_export]
    use super::layer::{Layer, along_axis, read_blocks};
    #[pymodule_export]
    use super::layered::outline;
    #[pymodule_export]
    use super::raw_graph::{persisted, task_from_parts, tasks_of_graph};
    #[pymodule_export]
    use super::resources::ResourceSampler;
    #[pymodule_export]
    use super::rewrite::{clone_key, cloned, rewritten};
    #[pymodule_export]
    use super::task_states::TaskStates;
    #[pymodule_export]
    use super::tokenize::{set_token_overrides, tokenize_objects};
    #[pymodule_export]
    use super::unpack::Unpacked;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("GROUP_FILLS", oxidask_observe::palette::GROUP_FILLS)?;
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
