//! Names and numbers of events and actions, for counts and for the hash of a run.

use oxidask_protocol::{TaskId, WorkerId};
use oxidask_scheduler::{Action, Event};

/// Every kind of event that the scheduler knows.
pub const EVENT_KINDS: [&str; 17] = [
    "WorkerJoined",
    "WorkerLost",
    "GraphSubmitted",
    "TaskFinished",
    "TaskErred",
    "AttemptEnded",
    "RetractRefused",
    "InputMissing",
    "ReplicaAdded",
    "TasksReleased",
    "TasksCancelled",
    "TasksRetried",
    "GroupsReleased",
    "TimePassed",
    "SlotsLent",
    "TaskWanted",
    "PressureChanged",
];

/// Every kind of action that the scheduler knows.
pub const ACTION_KINDS: [&str; 7] =
    ["Fetch", "Run", "Retract", "Cancel", "Drop", "Report", "Forget"];

/// Place in [`EVENT_KINDS`], and a number made of whom it concerns.
pub(crate) fn of_event(event: &Event) -> (usize, u64) {
    let ids = |worker: WorkerId, task: TaskId, number: u32| {
        u64::from(worker.0) << 48 ^ u64::from(task.0) << 16 ^ u64::from(number)
    };
    match event {
        Event::WorkerJoined { worker, threads, window, .. } => {
            (0, ids(*worker, TaskId(*window), *threads))
        }
        Event::WorkerLost { worker, crashed, .. } => {
            (1, ids(*worker, TaskId(0), u32::from(*crashed)))
        }
        Event::GraphSubmitted(graph) => (2, graph.rank.len() as u64),
        Event::TaskFinished { worker, task, attempt, .. } => (3, ids(*worker, *task, attempt.0)),
        Event::TaskErred { worker, task, attempt } => (4, ids(*worker, *task, attempt.0)),
        Event::AttemptEnded { worker, task, attempt } => (5, ids(*worker, *task, attempt.0)),
        Event::RetractRefused { worker, task, attempt } => (6, ids(*worker, *task, attempt.0)),
        Event::InputMissing { worker, task, attempt, .. } => (7, ids(*worker, *task, attempt.0)),
        Event::ReplicaAdded { worker, task, attempt } => (8, ids(*worker, *task, attempt.0)),
        Event::TasksReleased { tasks } => (9, tasks.len() as u64),
        Event::TasksCancelled { tasks } => (10, tasks.len() as u64),
        Event::TasksRetried { tasks } => (11, tasks.len() as u64),
        Event::GroupsReleased { groups } => (12, groups.len() as u64),
        Event::TimePassed => (13, 0),
        Event::SlotsLent { worker, lent } => (14, ids(*worker, TaskId(0), *lent)),
        Event::TaskWanted { task } => (15, u64::from(task.0)),
        Event::PressureChanged { pressure } => (16, *pressure as u64),
    }
}

/// Place in [`ACTION_KINDS`], and a number made of whom it concerns.
pub(crate) fn of_action(action: &Action) -> (usize, u64) {
    let ids = |worker: WorkerId, task: TaskId, number: u32| {
        u64::from(worker.0) << 48 ^ u64::from(task.0) << 16 ^ u64::from(number)
    };
    match action {
        Action::Fetch { task, attempt, to, .. } => (0, ids(*to, *task, attempt.0)),
        Action::Run { worker, task, attempt } => (1, ids(*worker, *task, attempt.0)),
        Action::Retract { worker, task, attempt } => (2, ids(*worker, *task, attempt.0)),
        Action::Cancel { worker, task, attempt } => (3, ids(*worker, *task, attempt.0)),
        Action::Drop { worker, task, attempt } => (4, ids(*worker, *task, attempt.0)),
        Action::Report { task, .. } => (5, ids(WorkerId(0), *task, 0)),
        Action::Forget { task } => (6, ids(WorkerId(0), *task, 0)),
    }
}
