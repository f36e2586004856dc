//! Mistakes on purpose: what the simulation must be able to find.
//!
//! Without the feature `planted-bugs` the question is answered "no" at compile time.

/// A mistake that can be planted into the scheduler by the tests of the simulation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// Tasks that ran on a lost worker are not started again.
    LostWorkerKeepsItsTasks,
    /// A lost worker is still named as a holder of results that others hold too.
    LostWorkerKeepsItsReplicas,
    /// Tasks whose input was lost while they waited run without it.
    LostInputIsNotAwaited,
    /// What an out-of-date attempt reports is taken for the current one.
    OldAttemptCounts,
    /// Results that nobody needs stay.
    ResultsAreNeverDropped,
    /// A result is dropped when one reader is left.
    ResultsAreDroppedEarly,
    /// A new attempt starts beside a cancelled one that still runs.
    CancelledAttemptIsIgnored,
    /// A task that raised keeps its slot.
    RaisingTaskKeepsItsSlot,
    /// An error reaches only the direct dependents.
    ErrorStopsAtFirstDependent,
    /// A copy of an out-of-date result is taken for a copy of the current one.
    OldReplicaCounts,
    /// Tasks that had no worker are forgotten when one joins.
    JoiningWorkerGetsNoOldWork,
    /// A task taken back from a busy worker is not given to anybody.
    RetractedTaskIsLost,
    /// Tasks of later submissions are not told that an input is there.
    LateReadersAreNotTold,
    /// A submission that reads a task that has failed waits for it.
    FailedExternalIsAwaited,
    /// Tasks that need a cancelled one go on.
    CancelStopsAtTheTask,
    /// A task that failed and is tried once more is not reported again.
    RetriedTaskIsNotReported,
    /// A result that a holder keeps is taken to be where it was made.
    StoredResultGoesWithItsMaker,
    /// A crash counts against all tasks that the worker was given.
    InnocentsAreBlamed,
    /// Long tasks too are given to workers that have no thread for them.
    AnythingIsGivenAhead,
    /// The id of a forgotten task is used anew while a cancelled attempt runs.
    IdsAreUsedTooEarly,
    /// Attempts of an id that is used anew are counted from 0.
    AttemptsBeginAnew,
    /// Groups of forgotten submissions are never used anew.
    ForgottenGroupsStay,
    /// What a task takes of its worker is not counted.
    ResourcesAreNotCounted,
    /// Tasks that may have killed a worker run beside others.
    SuspectsRunBesideOthers,
    /// What a task asks of its worker is forgotten when its worker is lost.
    RestrictionsEndWithTheWorker,
    /// Tasks start however short memory is.
    PressureIsIgnored,
    /// Tasks that were asked back for a lost worker are still meant for it when it returns.
    ReturningWorkerIsPromisedOldTasks,
    /// Tasks that did not stop when their time was up are tried for ever.
    OverdueTasksAreForgiven,
}

impl Bug {
    /// Every one.
    pub const ALL: [Self; 28] = [
        Self::LostWorkerKeepsItsTasks,
        Self::LostWorkerKeepsItsReplicas,
        Self::LostInputIsNotAwaited,
        Self::OldAttemptCounts,
        Self::ResultsAreNeverDropped,
        Self::ResultsAreDroppedEarly,
        Self::CancelledAttemptIsIgnored,
        Self::RaisingTaskKeepsItsSlot,
        Self::ErrorStopsAtFirstDependent,
        Self::OldReplicaCounts,
        Self::JoiningWorkerGetsNoOldWork,
        Self::RetractedTaskIsLost,
        Self::LateReadersAreNotTold,
        Self::FailedExternalIsAwaited,
        Self::CancelStopsAtTheTask,
        Self::RetriedTaskIsNotReported,
        Self::StoredResultGoesWithItsMaker,
        Self::InnocentsAreBlamed,
        Self::AnythingIsGivenAhead,
        Self::IdsAreUsedTooEarly,
        Self::AttemptsBeginAnew,
        Self::ForgottenGroupsStay,
        Self::ResourcesAreNotCounted,
        Self::SuspectsRunBesideOthers,
        Self::RestrictionsEndWithTheWorker,
        Self::PressureIsIgnored,
        Self::ReturningWorkerIsPromisedOldTasks,
        Self::OverdueTasksAreForgiven,
    ];
}

/// The mistake that is planted, if any.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Planted {
    #[cfg(feature = "planted-bugs")]
    pub(crate) bug: Option<Bug>,
}

impl Planted {
    #[cfg(feature = "planted-bugs")]
    pub(crate) fn has(self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    #[cfg(not(feature = "planted-bugs"))]
    #[expect(clippy::unused_self, reason = "the same call with and without the feature")]
    pub(crate) const fn has(self, _bug: Bug) -> bool {
        false
    }
}
