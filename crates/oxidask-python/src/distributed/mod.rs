//! Futures: a client of a cluster, and what runs tasks for one.
//!
//! - `program`: calls and values as bytes, and how they are evaluated.
//! - `serialize`: what `oxidask._serialize` does for values that `program` does not know.
//! - `writer`: calls become a graph. `session`: a client's connection; `future`: a handle of a result.
//! - `executor`: the loops of a worker's threads; `objects`: results that stay objects.
//! - `nested`: tasks that wait for others. `time_limits`: how long tasks may run.
//! - `local`: a cluster inside this process. `process`: one of worker processes, and such a worker.
//! - `output`: what tasks print. `views`: values in shared memory. `page`: a look at the cluster.

pub(crate) mod executor;
pub(crate) mod future;
pub(crate) mod local;
pub(crate) mod nested;
pub(crate) mod objects;
mod output;
pub(crate) mod page;
pub(crate) mod process;
pub(crate) mod program;
pub(crate) mod serialize;
pub(crate) mod session;
mod sharing;
mod time_limits;
pub(crate) mod views;
pub(crate) mod writer;
