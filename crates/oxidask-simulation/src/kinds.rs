//! Names and numbers of events and actions, for counts and for the hash of a run.

use oxidask_protocol::{NodeId, TaskId};
use oxidask_scheduler::{Action, Event};

/// Every kind of event that the scheduler knows.
pub const EVENT_KINDS: [&str; 10] = [
    "NodeJoined",
    "NodeLost",
    "GraphSubmitted",
    "TaskFinished",
    "TaskErred",
    "AttemptEnded",
    "InputMissing",
    "ReplicaAdded",
    "TasksReleased",
    "TimePassed",
];

/// Every kind of action that the scheduler knows.
pub const ACTION_KINDS: [&str; 7] =
    ["Fetch", "Run", "Retract", "Cancel", "Drop", "Report", "Forget"];

/// Place in [`EVENT_KINDS`], and a number made of whom it concerns.
pub(crate) fn of_event(event: &Event) -> (usize, u64) {
    let ids = |node: NodeId, task: TaskId, number: u32| {
        u64::from(node.0) << 48 ^ u64::from(task.0) << 16 ^ u64::from(number)
    };
    match event {
        Event::NodeJoined { node, threads, window } => (0, ids(*node, TaskId(*window), *threads)),
        Event::NodeLost { node, crashed } => (1, ids(*node, TaskId(0), u32::from(*crashed))),
        Event::GraphSubmitted(graph) => (2, graph.rank.len() as u64),
        Event::TaskFinished { node, task, attempt, .. } => (3, ids(*node, *task, attempt.0)),
        Event::TaskErred { node, task, attempt } => (4, ids(*node, *task, attempt.0)),
        Event::AttemptEnded { node, task, attempt } => (5, ids(*node, *task, attempt.0)),
        Event::InputMissing { node, task, attempt, .. } => (6, ids(*node, *task, attempt.0)),
        Event::ReplicaAdded { node, task, attempt } => (7, ids(*node, *task, attempt.0)),
        Event::TasksReleased { tasks } => (8, tasks.len() as u64),
        Event::TimePassed => (9, 0),
    }
}

/// Place in [`ACTION_KINDS`], and a number made of whom it concerns.
pub(crate) fn of_action(action: &Action) -> (usize, u64) {
    let ids = |node: NodeId, task: TaskId, number: u32| {
        u64::from(node.0) << 48 ^ u64::from(task.0) << 16 ^ u64::from(number)
    };
    match action {
        Action::Fetch { task, attempt, to, .. } => (0, ids(*to, *task, attempt.0)),
        Action::Run { node, task, attempt } => (1, ids(*node, *task, attempt.0)),
        Action::Retract { node, task, attempt } => (2, ids(*node, *task, attempt.0)),
        Action::Cancel { node, task, attempt } => (3, ids(*node, *task, attempt.0)),
        Action::Drop { node, task, attempt } => (4, ids(*node, *task, attempt.0)),
        Action::Report { task, .. } => (5, ids(NodeId(0), *task, 0)),
        Action::Forget { task } => (6, ids(NodeId(0), *task, 0)),
    }
}
