//! Ids are types, so that a task is never taken for a worker.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
        )]
        pub struct $name(pub u32);

        impl $name {
            /// The id as an index into a table.
            pub const fn index(self) -> usize {
                self.0 as usize
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, concat!($prefix, "{}"), self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self, formatter)
            }
        }
    };
}

id!(
    /// A task of one scheduler. Ids are given out in order of submission.
    TaskId,
    "t"
);
id!(
    /// A worker: one process that runs tasks and holds results; in-process, the process itself. Or,
    /// if it has no threads, what only holds results: the shared memory of a host.
    /// A worker that comes back after a loss gets a new id.
    WorkerId,
    "w"
);
id!(
    /// A host: workers on the same one share memory.
    HostId,
    "h"
);
id!(
    /// Tasks that share a prefix and a submission, counted together wherever progress is shown.
    GroupId,
    "g"
);
id!(
    /// What workers are called: by a name of their own, or by the address of their host.
    NameId,
    "n"
);
id!(
    /// Something that workers have so much of, and that tasks take while they run.
    ResourceId,
    "r"
);
id!(
    /// One try of a task. A message about an attempt that is not the current one is out of date.
    Attempt,
    "a"
);
