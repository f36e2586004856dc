//! How short memory is, and when a result is needed: what scheduler and node say of memory.

/// How much may be started while memory is short.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pressure {
    /// Memory is not short.
    #[default]
    None,
    /// Tasks without inputs do not start: they only add results. Memory will get free without them.
    NoRoots,
    /// Tasks without inputs start one at a time, when nothing else runs: nothing else helps.
    RootsAlone,
    /// No task starts; memory will get free without that.
    Paused,
    /// Tasks start one at a time: nothing else helps.
    Alone,
}

impl Pressure {
    /// How users are told.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "running",
            Self::NoRoots | Self::RootsAlone => "short of memory",
            Self::Paused | Self::Alone => "paused",
        }
    }
}

/// When a result will be read next: the smallest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NextUse {
    /// By a task that a worker has.
    Now,
    /// By a task that waits.
    Later {
        /// Of its submission: the larger, the later.
        priority: u64,
        /// How many submissions came before its own.
        sequence: u64,
        /// Its place in its submission.
        rank: u32,
    },
    /// By no task that is known.
    Never,
}
