//! Events in, actions out.

use oxidask_graph::{Edges, order};

use std::time::Duration;

use oxidask_protocol::{Attempt, TaskId, TaskState, WorkerId};

use super::{SchedulerState, Settings};
use crate::{Action, Event, Failure, Outbox, Outcome, Submission};

const ALICE: WorkerId = WorkerId(0);
const BOB: WorkerId = WorkerId(1);

/// A submission of the tasks with these inputs, in the order that the graph crate finds.
fn submission(rows: &[&[u32]], wanted: &[u32]) -> Submission {
    let dependencies = Edges::from_rows(rows);
    let rank = order(&dependencies, &dependencies.reversed()).expect("no cycle").rank;
    let groups = vec![0; rows.len()];
    Submission { dependencies, rank, groups, wanted: wanted.to_vec(), ..Submission::default() }
}

fn submitted(rows: &[&[u32]], wanted: &[u32]) -> Event {
    Event::GraphSubmitted(Box::new(submission(rows, wanted)))
}

fn joined(worker: WorkerId) -> Event {
    Event::WorkerJoined { worker, threads: 1, window: 1 }
}

fn lost(worker: WorkerId) -> Event {
    Event::WorkerLost { worker, crashed: true }
}

fn finished(worker: WorkerId, task: u32, attempt: u32) -> Event {
    let (task, attempt) = (TaskId(task), Attempt(attempt));
    Event::TaskFinished { worker, task, attempt, nbytes: 8, duration: Duration::ZERO }
}

fn erred(worker: WorkerId, task: u32, attempt: u32) -> Event {
    Event::TaskErred { worker, task: TaskId(task), attempt: Attempt(attempt) }
}

fn run(worker: WorkerId, task: u32, attempt: u32) -> Action {
    Action::Run { worker, task: TaskId(task), attempt: Attempt(attempt) }
}

fn drop(worker: WorkerId, task: u32, attempt: u32) -> Action {
    Action::Drop { worker, task: TaskId(task), attempt: Attempt(attempt) }
}

fn report(task: u32, outcome: Outcome) -> Action {
    Action::Report { task: TaskId(task), outcome }
}

fn state_after(events: impl IntoIterator<Item = Event>) -> SchedulerState {
    state_and_actions_after(events).0
}

/// What the last of these events leads to.
fn actions_after(events: impl IntoIterator<Item = Event>) -> Vec<Action> {
    state_and_actions_after(events).1
}

fn state_and_actions_after(
    events: impl IntoIterator<Item = Event>,
) -> (SchedulerState, Vec<Action>) {
    let mut state = SchedulerState::new(Settings::default());
    let mut outbox = Outbox::default();
    for event in events {
        outbox.clear();
        state.handle(event, Duration::ZERO, &mut outbox);
        state.validate().unwrap_or_else(|broken| panic!("{broken}"));
    }
    (state, outbox.actions)
}

#[test]
fn a_result_is_dropped_when_its_last_reader_ran() {
    let graph: &[&[u32]] = &[&[], &[0], &[0]];
    let actions = actions_after([
        joined(ALICE),
        submitted(graph, &[1, 2]),
        finished(ALICE, 0, 0),
        finished(ALICE, 1, 0),
    ]);
    assert_eq!(actions, [report(1, Outcome::Finished), run(ALICE, 2, 0)]);
    let actions = actions_after([
        joined(ALICE),
        submitted(graph, &[1, 2]),
        finished(ALICE, 0, 0),
        finished(ALICE, 1, 0),
        finished(ALICE, 2, 0),
    ]);
    assert_eq!(actions, [drop(ALICE, 0, 0), report(2, Outcome::Finished)]);
}

#[test]
fn tasks_of_a_lost_worker_move_to_the_one_that_is_left() {
    let actions =
        actions_after([joined(ALICE), submitted(&[&[], &[0]], &[1]), joined(BOB), lost(ALICE)]);
    assert_eq!(actions, [run(BOB, 0, 1)]);
}

#[test]
fn a_lost_result_that_is_still_needed_is_made_again() {
    let graph: &[&[u32]] = &[&[], &[0], &[], &[1, 2]];
    let actions = actions_after([
        joined(ALICE),
        submitted(graph, &[3]),
        finished(ALICE, 0, 0),
        finished(ALICE, 1, 0),
        joined(BOB),
        lost(ALICE),
    ]);
    // Task 1 was in memory, its input 0 already dropped: both run again.
    assert!(actions.contains(&run(BOB, 0, 1)) || actions.contains(&run(BOB, 2, 1)), "{actions:?}");
}

#[test]
fn an_error_reaches_all_that_need_the_task_and_nothing_else() {
    let actions = actions_after([
        joined(ALICE),
        submitted(&[&[], &[0], &[1], &[]], &[2, 3]),
        erred(ALICE, 0, 0),
    ]);
    let outcome = Outcome::Erred { blame: TaskId(0), failure: Failure::Raised };
    assert_eq!(actions, [report(2, outcome), run(ALICE, 3, 0)]);
}

#[test]
fn a_task_with_retries_is_tried_again() {
    let mut graph = submission(&[&[]], &[0]);
    graph.retries.insert(0, 1);
    let submitted = Event::GraphSubmitted(Box::new(graph));
    let once = [joined(ALICE), submitted.clone(), erred(ALICE, 0, 0)];
    assert_eq!(actions_after(once), [run(ALICE, 0, 1)]);
    let twice = [joined(ALICE), submitted, erred(ALICE, 0, 0), erred(ALICE, 0, 1)];
    let outcome = Outcome::Erred { blame: TaskId(0), failure: Failure::Raised };
    assert_eq!(actions_after(twice), [report(0, outcome)]);
}

#[test]
fn a_report_of_an_old_attempt_changes_nothing() {
    let actions = actions_after([
        joined(ALICE),
        submitted(&[&[]], &[0]),
        joined(BOB),
        lost(ALICE),
        finished(BOB, 0, 0),
    ]);
    assert_eq!(actions, []);
}

#[test]
fn a_released_task_is_cancelled_and_keeps_its_slot_until_it_ends() {
    let released = Event::TasksReleased { tasks: vec![TaskId(0)] };
    let events = [joined(ALICE), submitted(&[&[], &[]], &[0, 1]), released];
    let cancel = Action::Cancel { worker: ALICE, task: TaskId(0), attempt: Attempt(0) };
    let forget = Action::Forget { task: TaskId(0) };
    assert_eq!(actions_after(events.clone()), [cancel, forget]);
    let ended = Event::AttemptEnded { worker: ALICE, task: TaskId(0), attempt: Attempt(0) };
    assert_eq!(actions_after(events.into_iter().chain([ended])), [run(ALICE, 1, 0)]);
}

#[test]
fn a_task_that_keeps_killing_workers_is_given_up() {
    let mut events = vec![submitted(&[&[]], &[0])];
    for worker in (0..4).map(WorkerId) {
        events.extend([joined(worker), lost(worker)]);
    }
    let failure = Failure::WorkersCrashed { times: 4 };
    let outcome = Outcome::Erred { blame: TaskId(0), failure };
    assert_eq!(actions_after(events), [report(0, outcome)]);
}

#[test]
fn without_a_worker_tasks_fail_after_the_timeout_and_not_before() {
    let mut state = SchedulerState::new(Settings::default());
    let mut outbox = Outbox::default();
    state.handle(submitted(&[&[]], &[0]), Duration::ZERO, &mut outbox);
    assert_eq!(state.state_of(TaskId(0)), TaskState::NoWorker);
    state.handle(Event::TimePassed, Duration::from_secs(299), &mut outbox);
    assert_eq!(outbox.actions, []);
    state.handle(Event::TimePassed, Duration::from_secs(300), &mut outbox);
    let outcome = Outcome::Erred { blame: TaskId(0), failure: Failure::NoWorker };
    assert_eq!(outbox.actions, [report(0, outcome)]);
}

#[test]
fn a_lost_result_that_cannot_be_made_again_is_reported_as_erred() {
    let mut state = SchedulerState::new(Settings::default());
    let mut outbox = Outbox::default();
    let events = [joined(ALICE), submitted(&[&[]], &[0]), finished(ALICE, 0, 0), lost(ALICE)];
    for event in events {
        state.handle(event, Duration::ZERO, &mut outbox);
    }
    outbox.clear();
    state.handle(Event::TimePassed, Duration::from_secs(300), &mut outbox);
    let outcome = Outcome::Erred { blame: TaskId(0), failure: Failure::NoWorker };
    assert_eq!(outbox.actions, [report(0, outcome)]);
}

#[test]
fn nobody_waits_for_a_cancelled_task_that_was_asked_back_from_a_lost_worker() {
    let prefetching = Event::WorkerJoined { worker: ALICE, threads: 1, window: 4 };
    let rows: &[&[u32]] = &[&[], &[], &[]];
    let state = state_after([
        prefetching,
        submitted(rows, &[0, 1, 2]),
        joined(BOB),
        Event::TasksReleased { tasks: vec![TaskId(0), TaskId(1), TaskId(2)] },
        lost(ALICE),
    ]);
    assert_eq!(state.validate_at_rest(), Ok(()));
}

#[test]
fn a_lost_result_whose_input_has_failed_meanwhile_fails_too() {
    let carol = WorkerId(2);
    let settings = Settings { allowed_failures: 0, ..Settings::default() };
    let mut state = SchedulerState::new(settings);
    let mut outbox = Outbox::default();
    for event in [
        joined(ALICE),
        joined(carol),
        submitted(&[&[], &[0], &[0]], &[1, 2]),
        finished(ALICE, 0, 0),
        finished(ALICE, 1, 0),
        finished(carol, 2, 0),
        joined(BOB),
        // Result 1 is lost; its input runs again on Bob, and dies with him for good.
        lost(ALICE),
        lost(BOB),
        lost(carol),
    ] {
        outbox.clear();
        state.handle(event, Duration::ZERO, &mut outbox);
        state.validate().unwrap_or_else(|broken| panic!("{broken}"));
    }
    let failure = Failure::WorkersCrashed { times: 1 };
    let outcome = Outcome::Erred { blame: TaskId(0), failure };
    assert_eq!(outbox.actions, [report(2, outcome)]);
}

#[test]
fn siblings_drawn_to_a_worker_do_not_wait_while_it_has_a_free_slot() {
    let joined = |worker| Event::WorkerJoined { worker, threads: 1, window: 4 };
    let graph: &[&[u32]] = &[&[], &[], &[], &[0, 1, 2]];
    let actions = actions_after([joined(ALICE), joined(BOB), submitted(graph, &[3])]);
    assert_eq!(actions, [run(ALICE, 0, 0), run(BOB, 2, 0), run(ALICE, 1, 0)]);
}

#[test]
fn an_idle_worker_gets_a_task_back_that_another_has_not_started() {
    let prefetching = Event::WorkerJoined { worker: ALICE, threads: 1, window: 4 };
    let rows: &[&[u32]] = &[&[], &[], &[]];
    let actions = actions_after([prefetching.clone(), submitted(rows, &[0, 1, 2]), joined(BOB)]);
    let retract = Action::Retract { worker: ALICE, task: TaskId(2), attempt: Attempt(0) };
    assert_eq!(actions, [retract]);
    let given_back = Event::AttemptEnded { worker: ALICE, task: TaskId(2), attempt: Attempt(0) };
    let actions =
        actions_after([prefetching, submitted(rows, &[0, 1, 2]), joined(BOB), given_back]);
    assert_eq!(actions, [run(BOB, 2, 1)]);
}
