//! Events in, actions out.

use oxidask_graph::{Edges, order};

use std::collections::BTreeMap;
use std::time::Duration;

use oxidask_protocol::{Attempt, GroupId, HostId, NameId, ResourceId, TaskId, TaskState, WorkerId};

use super::{SchedulerState, Settings};
use crate::{Action, Event, Failure, Offer, Outbox, Outcome, Restriction, Submission};

const ALICE: WorkerId = WorkerId(0);
const BOB: WorkerId = WorkerId(1);
const HOST: HostId = HostId(0);

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
    Event::WorkerJoined { worker, host: HOST, threads: 1, window: 1, offer: Box::default() }
}

fn lost(worker: WorkerId) -> Event {
    Event::WorkerLost { worker, crashed: true, running: vec![], overdue: vec![] }
}

/// The worker has died of one of these tasks.
fn crashed(worker: WorkerId, running: &[u32]) -> Event {
    let running = running.iter().copied().map(TaskId).collect();
    Event::WorkerLost { worker, crashed: true, running, overdue: vec![] }
}

/// The worker was ended for the sake of this task.
fn ended_for(worker: WorkerId, task: u32, running: &[u32]) -> Event {
    let running = running.iter().copied().map(TaskId).collect();
    Event::WorkerLost { worker, crashed: false, running, overdue: vec![TaskId(task)] }
}

/// Who only holds results.
fn holder_joined(worker: WorkerId, host: u32) -> Event {
    Event::WorkerJoined { worker, host: HostId(host), threads: 0, window: 0, offer: Box::default() }
}

/// A submission that reads tasks of earlier ones: numbers behind its own are places in `externals`.
fn reading(rows: &[&[u32]], externals: &[u32], wanted: &[u32]) -> Event {
    Event::GraphSubmitted(Box::new(Submission {
        dependencies: Edges::from_rows(rows),
        externals: externals.iter().copied().map(TaskId).collect(),
        rank: (0..rows.len() as u32).collect(),
        groups: vec![0; rows.len()],
        wanted: wanted.to_vec(),
        ..Submission::default()
    }))
}

fn released(tasks: &[u32]) -> Event {
    Event::TasksReleased { tasks: tasks.iter().copied().map(TaskId).collect() }
}

fn cancelled(tasks: &[u32]) -> Event {
    Event::TasksCancelled { tasks: tasks.iter().copied().map(TaskId).collect() }
}

fn retried(tasks: &[u32]) -> Event {
    Event::TasksRetried { tasks: tasks.iter().copied().map(TaskId).collect() }
}

fn failed(blame: u32, failure: Failure) -> Outcome {
    Outcome::Erred { blame: TaskId(blame), failure }
}

fn finished(worker: WorkerId, task: u32, attempt: u32) -> Event {
    let (task, attempt) = (TaskId(task), Attempt(attempt));
    Event::TaskFinished {
        worker,
        task,
        attempt,
        nbytes: 8,
        duration: Duration::ZERO,
        held_by: worker,
    }
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

/// What the last of these events leads to where results are given away.
fn state_that_gives_away(events: impl IntoIterator<Item = Event>) -> (SchedulerState, Vec<Action>) {
    let settings = Settings { gives_away: true, ..Settings::default() };
    let mut state = SchedulerState::new(settings);
    let mut outbox = Outbox::default();
    for event in events {
        outbox.clear();
        state.handle(event, Duration::ZERO, &mut outbox);
        state.validate().unwrap_or_else(|broken| panic!("{broken}"));
    }
    (state, outbox.actions)
}

#[test]
fn a_task_is_the_last_reader_of_what_nobody_else_can_ask_for() {
    let is_last = |wanted: &[u32], rows: &[&[u32]], retries: u32| {
        let mut submission = submission(rows, wanted);
        submission.retries = [(1, retries)].into();
        let submitted = Event::GraphSubmitted(Box::new(submission));
        let state = state_after([joined(ALICE), submitted, finished(ALICE, 0, 0)]);
        assert_eq!(state.state_of(TaskId(1)), TaskState::Processing);
        state.is_last_reader(TaskId(1), TaskId(0))
    };
    assert!(is_last(&[1], &[&[], &[0]], 0));
    assert!(!is_last(&[1], &[&[], &[0]], 1), "it may be tried again");
    assert!(!is_last(&[0, 1], &[&[], &[0]], 0), "a client has it");
    assert!(!is_last(&[1, 2], &[&[], &[0], &[0]], 0), "another task reads it");
}

#[test]
fn a_result_that_was_given_away_is_made_again_for_who_wants_it_later() {
    let events = || {
        [joined(ALICE), submitted(&[&[], &[0]], &[1]), finished(ALICE, 0, 0)]
            .into_iter()
            .chain([Event::TaskWanted { task: TaskId(0) }])
    };
    let (state, actions) = state_that_gives_away(events());
    assert_eq!(state.state_of(TaskId(0)), TaskState::Queued);
    let cancel = Action::Cancel { worker: ALICE, task: TaskId(1), attempt: Attempt(0) };
    assert_eq!(actions, [cancel, drop(ALICE, 0, 0)]);
    // Its reader returned after all: that counts, and the result is made again all the same.
    let (state, actions) = state_that_gives_away(events().chain([finished(ALICE, 1, 0)]));
    assert_eq!(state.state_of(TaskId(1)), TaskState::Memory);
    assert_eq!(actions, [report(1, Outcome::Finished), run(ALICE, 0, 1)]);
    let (_, actions) =
        state_that_gives_away(events().chain([finished(ALICE, 1, 0), finished(ALICE, 0, 1)]));
    assert_eq!(actions, [report(0, Outcome::Finished)]);
    // Where each reader gets a copy there is no need.
    assert_eq!(actions_after(events()), [report(0, Outcome::Finished)]);
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
fn a_task_for_which_its_worker_was_ended_has_failed_and_those_beside_it_have_not() {
    let two_threads = Event::WorkerJoined {
        worker: ALICE,
        host: HOST,
        threads: 2,
        window: 2,
        offer: Box::default(),
    };
    let events =
        [two_threads, submitted(&[&[], &[]], &[0, 1]), joined(BOB), ended_for(ALICE, 0, &[0, 1])];
    let outcome = Outcome::Erred { blame: TaskId(0), failure: Failure::Raised };
    assert_eq!(actions_after(events.clone()), [report(0, outcome), run(BOB, 1, 1)]);
    // It is no suspect, which would be left alone at its worker.
    let state = state_after(events);
    assert!(!state.is_suspect(TaskId(1)));
}

#[test]
fn a_task_for_which_its_worker_was_ended_is_tried_as_often_as_if_it_had_raised() {
    let mut graph = submission(&[&[]], &[0]);
    graph.retries.insert(0, 1);
    let submitted = Event::GraphSubmitted(Box::new(graph));
    let once = [joined(ALICE), submitted, joined(BOB), ended_for(ALICE, 0, &[0])];
    assert_eq!(actions_after(once.clone()), [run(BOB, 0, 1)]);
    let twice = once.into_iter().chain([ended_for(BOB, 0, &[0])]);
    let outcome = Outcome::Erred { blame: TaskId(0), failure: Failure::Raised };
    assert_eq!(actions_after(twice), [report(0, outcome)]);
}

#[test]
fn a_cancelled_task_for_which_its_worker_was_ended_has_failed_already() {
    let actions = actions_after([
        joined(ALICE),
        submitted(&[&[]], &[0]),
        Event::TasksCancelled { tasks: vec![TaskId(0)] },
        ended_for(ALICE, 0, &[0]),
    ]);
    assert_eq!(actions, []);
}

#[test]
fn a_result_of_an_old_attempt_is_dropped() {
    let actions = actions_after([
        joined(ALICE),
        submitted(&[&[]], &[0]),
        joined(BOB),
        lost(ALICE),
        finished(BOB, 0, 0),
    ]);
    assert_eq!(actions, [drop(BOB, 0, 0)]);
}

#[test]
fn a_released_task_is_cancelled_and_keeps_its_slot_until_it_ends() {
    let events = [joined(ALICE), submitted(&[&[], &[]], &[0, 1]), released(&[0])];
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
        events.extend([joined(worker), crashed(worker, &[0])]);
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

/// A worker that is given up to four tasks, and is known to run those of group 0 within no time.
fn prefetching(worker: WorkerId) -> [Event; 3] {
    lasting(worker, Duration::ZERO)
}

/// A worker that is given up to four tasks, and has run task 0 of group 0 in this time.
fn lasting(worker: WorkerId, duration: Duration) -> [Event; 3] {
    let (task, attempt) = (TaskId(0), Attempt(0));
    let held_by = worker;
    [
        Event::WorkerJoined { worker, host: HOST, threads: 1, window: 4, offer: Box::default() },
        submitted(&[&[]], &[0]),
        Event::TaskFinished { worker, task, attempt, nbytes: 8, duration, held_by },
    ]
}

/// More tasks of group 0.
fn alike(rows: &[&[u32]], wanted: &[u32]) -> Event {
    let shared_groups = vec![GroupId(0)];
    Event::GraphSubmitted(Box::new(Submission { shared_groups, ..submission(rows, wanted) }))
}

#[test]
fn tasks_that_are_known_to_be_short_are_given_ahead() {
    let more = alike(&[&[], &[], &[], &[], &[]], &[0, 1, 2, 3, 4]);
    let actions = actions_after(prefetching(ALICE).into_iter().chain([more]));
    assert_eq!(actions, [1, 2, 3, 4].map(|task| run(ALICE, task, 0)));
}

#[test]
fn tasks_that_last_long_are_not_given_ahead() {
    let more = alike(&[&[], &[]], &[0, 1]);
    let events = lasting(ALICE, Duration::from_millis(3)).into_iter().chain([more]);
    assert_eq!(actions_after(events), [run(ALICE, 1, 0)]);
}

#[test]
fn no_more_is_given_ahead_than_is_done_in_a_moment() {
    let more = alike(&[&[], &[], &[], &[]], &[0, 1, 2, 3]);
    let events = lasting(ALICE, Duration::from_millis(1)).into_iter().chain([more]);
    // The third would wait for two milliseconds.
    assert_eq!(actions_after(events), [run(ALICE, 1, 0), run(ALICE, 2, 0)]);
}

#[test]
fn tasks_of_unknown_length_are_not_given_ahead_and_nothing_is_given_behind_them() {
    let unknown = submitted(&[&[], &[]], &[0, 1]);
    let more = alike(&[&[]], &[0]);
    let events = prefetching(ALICE).into_iter().chain([unknown]);
    assert_eq!(actions_after(events.clone()), [run(ALICE, 1, 0)]);
    assert_eq!(actions_after(events.chain([more])), []);
}

#[test]
fn nobody_waits_for_a_cancelled_task_that_was_asked_back_from_a_lost_worker() {
    let more =
        [alike(&[&[], &[], &[]], &[0, 1, 2]), joined(BOB), released(&[0, 1, 2, 3]), lost(ALICE)];
    let state = state_after(prefetching(ALICE).into_iter().chain(more));
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
        crashed(BOB, &[0]),
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
fn siblings_drawn_to_a_worker_do_not_wait_while_it_has_a_free_thread() {
    let joined = |worker| Event::WorkerJoined {
        worker,
        host: HOST,
        threads: 2,
        window: 2,
        offer: Box::default(),
    };
    let graph: &[&[u32]] = &[&[], &[], &[], &[0, 1, 2]];
    let actions = actions_after([joined(ALICE), joined(BOB), submitted(graph, &[3])]);
    assert_eq!(actions, [run(ALICE, 0, 0), run(ALICE, 1, 0), run(BOB, 2, 0)]);
}

#[test]
fn an_idle_worker_gets_a_task_back_that_another_has_not_started() {
    let more = [alike(&[&[], &[], &[]], &[0, 1, 2]), joined(BOB)];
    let events = prefetching(ALICE).into_iter().chain(more);
    let retract = Action::Retract { worker: ALICE, task: TaskId(3), attempt: Attempt(0) };
    assert_eq!(actions_after(events.clone()), [retract]);
    let given_back = Event::AttemptEnded { worker: ALICE, task: TaskId(3), attempt: Attempt(0) };
    assert_eq!(actions_after(events.chain([given_back])), [run(BOB, 3, 1)]);
}

#[test]
fn another_task_is_asked_back_where_the_first_one_runs_already() {
    let more = [alike(&[&[], &[], &[]], &[0, 1, 2]), joined(BOB)];
    let refused =
        |task| Event::RetractRefused { worker: ALICE, task: TaskId(task), attempt: Attempt(0) };
    let events = prefetching(ALICE).into_iter().chain(more).chain([refused(3)]);
    let retract = Action::Retract { worker: ALICE, task: TaskId(2), attempt: Attempt(0) };
    assert_eq!(actions_after(events.clone()), [retract]);
    let given_back = Event::AttemptEnded { worker: ALICE, task: TaskId(2), attempt: Attempt(0) };
    assert_eq!(actions_after(events.chain([given_back])), [run(BOB, 2, 1)]);
}

#[test]
fn a_task_that_was_given_to_a_crashed_worker_but_did_not_run_there_is_not_blamed() {
    let mut events = vec![submitted(&[&[], &[]], &[0, 1])];
    for worker in (0..4).map(WorkerId) {
        let joined = Event::WorkerJoined {
            worker,
            host: HOST,
            threads: 1,
            window: 4,
            offer: Box::default(),
        };
        events.extend([joined, crashed(worker, &[0])]);
    }
    let (state, actions) = state_and_actions_after(events);
    assert_eq!(actions, [report(0, failed(0, Failure::WorkersCrashed { times: 4 }))]);
    assert_eq!(state.state_of(TaskId(1)), TaskState::NoWorker);
}

#[test]
fn a_later_submission_reads_a_result_that_is_in_memory() {
    let events = [joined(ALICE), submitted(&[&[]], &[0]), finished(ALICE, 0, 0)];
    let reads = reading(&[&[1]], &[0], &[0]);
    assert_eq!(actions_after(events.into_iter().chain([reads])), [run(ALICE, 1, 0)]);
}

#[test]
fn a_later_submission_waits_for_a_task_that_still_runs() {
    let events = [joined(ALICE), submitted(&[&[]], &[0]), reading(&[&[1]], &[0], &[0])];
    assert_eq!(actions_after(events.clone()), []);
    let actions = actions_after(events.into_iter().chain([finished(ALICE, 0, 0)]));
    assert_eq!(actions, [report(0, Outcome::Finished), run(ALICE, 1, 0)]);
}

#[test]
fn a_later_submission_that_reads_a_failed_task_fails_at_once_with_the_same_blame() {
    let events = [joined(ALICE), submitted(&[&[], &[0]], &[1]), erred(ALICE, 0, 0)];
    let reads = reading(&[&[2], &[0]], &[1], &[1]);
    let outcome = failed(0, Failure::Raised);
    // The first of the two is read by the other one only, but remembered with it.
    assert_eq!(actions_after(events.into_iter().chain([reads])), [report(3, outcome)]);
}

#[test]
fn a_later_submission_that_reads_a_dropped_result_has_it_made_again() {
    let events = [
        joined(ALICE),
        submitted(&[&[], &[0]], &[1]),
        finished(ALICE, 0, 0),
        finished(ALICE, 1, 0),
    ];
    let reads = reading(&[&[1]], &[0], &[0]);
    assert_eq!(actions_after(events.into_iter().chain([reads])), [run(ALICE, 0, 1)]);
}

#[test]
fn a_result_stays_for_late_readers_after_the_client_has_let_go_of_it() {
    let mut events = vec![
        joined(ALICE),
        submitted(&[&[]], &[0]),
        finished(ALICE, 0, 0),
        reading(&[&[1]], &[0], &[0]),
        released(&[0]),
    ];
    assert_eq!(actions_after(events.clone()), []);
    events.push(finished(ALICE, 1, 0));
    assert_eq!(actions_after(events), [drop(ALICE, 0, 0), report(1, Outcome::Finished)]);
}

#[test]
fn a_known_task_that_is_wanted_later_is_reported_if_it_has_finished() {
    let events = [joined(ALICE), submitted(&[&[]], &[0]), finished(ALICE, 0, 0)];
    let wants = reading(&[], &[0], &[0]);
    // It was wanted and reported already.
    assert_eq!(actions_after(events.clone().into_iter().chain([wants])), []);
    let reads = reading(&[&[1]], &[0], &[0]);
    let wants = reading(&[], &[0], &[0]);
    let more = [reads, released(&[0]), wants];
    let actions = actions_after(events.into_iter().chain(more));
    assert_eq!(actions, [report(0, Outcome::Finished)]);
}

#[test]
fn cancelled_tasks_and_all_that_need_them_fail_and_what_runs_is_stopped() {
    let graph: &[&[u32]] = &[&[], &[0], &[]];
    let actions = actions_after([joined(ALICE), submitted(graph, &[1, 2]), cancelled(&[0])]);
    let cancel = Action::Cancel { worker: ALICE, task: TaskId(0), attempt: Attempt(0) };
    assert_eq!(actions, [cancel, report(1, failed(0, Failure::Cancelled))]);
}

#[test]
fn a_cancelled_result_is_dropped_after_its_readers_were_stopped() {
    let actions = actions_after([
        joined(ALICE),
        submitted(&[&[], &[0]], &[0, 1]),
        finished(ALICE, 0, 0),
        cancelled(&[0]),
    ]);
    let cancel = Action::Cancel { worker: ALICE, task: TaskId(1), attempt: Attempt(0) };
    let outcome = failed(0, Failure::Cancelled);
    assert_eq!(actions, [cancel, report(1, outcome), drop(ALICE, 0, 0), report(0, outcome)]);
}

#[test]
fn a_retried_task_runs_again_with_what_failed_before_it_and_is_reported_again() {
    let mut events = vec![
        joined(ALICE),
        submitted(&[&[], &[0], &[0]], &[1, 2]),
        erred(ALICE, 0, 0),
        retried(&[1]),
    ];
    assert_eq!(actions_after(events.clone()), [run(ALICE, 0, 1)]);
    events.extend([finished(ALICE, 0, 1), finished(ALICE, 1, 1)]);
    assert_eq!(actions_after(events.clone()), [report(1, Outcome::Finished), run(ALICE, 2, 1)]);
    events.push(finished(ALICE, 2, 1));
    assert_eq!(actions_after(events), [drop(ALICE, 0, 1), report(2, Outcome::Finished)]);
}

#[test]
fn a_cancelled_task_that_is_retried_waits_for_its_old_attempt_and_takes_its_result() {
    let events = [joined(ALICE), submitted(&[&[]], &[0]), cancelled(&[0]), retried(&[0])];
    assert_eq!(actions_after(events.clone()), []);
    let actions = actions_after(events.into_iter().chain([finished(ALICE, 0, 0)]));
    assert_eq!(actions, [report(0, Outcome::Finished)]);
}

const STORE: WorkerId = WorkerId(9);

/// A task returned, and its result is kept by the holder.
fn stored(worker: WorkerId, task: u32, attempt: u32) -> Event {
    let (task, attempt) = (TaskId(task), Attempt(attempt));
    let duration = Duration::from_millis(1);
    Event::TaskFinished { worker, task, attempt, nbytes: 1 << 30, duration, held_by: STORE }
}

#[test]
fn who_only_holds_results_is_never_given_a_task() {
    let events = [holder_joined(STORE, 0), submitted(&[&[], &[0]], &[1])];
    let state = state_after(events.clone());
    assert_eq!(state.state_of(TaskId(0)), TaskState::NoWorker);
    let events = events.into_iter().chain([joined(ALICE), stored(ALICE, 0, 0)]);
    let fetch = Action::Fetch { task: TaskId(0), attempt: Attempt(0), from: STORE, to: ALICE };
    assert_eq!(actions_after(events), [fetch, run(ALICE, 1, 0)]);
}

#[test]
fn a_result_in_the_store_survives_the_worker_that_made_it() {
    let events = [
        joined(ALICE),
        holder_joined(STORE, 0),
        submitted(&[&[]], &[0]),
        stored(ALICE, 0, 0),
        lost(ALICE),
    ];
    let (state, actions) = state_and_actions_after(events);
    assert_eq!(actions, []);
    assert!(state.holders_of(TaskId(0)).eq([STORE]));
}

#[test]
fn a_result_whose_holder_is_gone_is_made_again() {
    let events = [joined(ALICE), submitted(&[&[]], &[0]), stored(ALICE, 0, 0)];
    assert_eq!(actions_after(events), [run(ALICE, 0, 1)]);
}

#[test]
fn the_holder_forgets_a_result_that_is_reported_after_the_loss_of_its_maker() {
    let actions = actions_after([
        joined(ALICE),
        holder_joined(STORE, 0),
        submitted(&[&[]], &[0]),
        lost(ALICE),
        stored(ALICE, 0, 0),
    ]);
    assert_eq!(actions, [drop(STORE, 0, 0)]);
}

#[test]
fn a_task_runs_on_the_host_that_holds_its_large_input() {
    let elsewhere = |worker| Event::WorkerJoined {
        worker,
        host: HostId(1),
        threads: 1,
        window: 1,
        offer: Box::default(),
    };
    let (carol, dave) = (WorkerId(2), WorkerId(3));
    let actions = actions_after([
        joined(ALICE),
        holder_joined(STORE, 1),
        submitted(&[&[]], &[0]),
        elsewhere(carol),
        elsewhere(dave),
        stored(ALICE, 0, 0),
        reading(&[&[1]], &[0], &[0]),
    ]);
    let fetch = Action::Fetch { task: TaskId(0), attempt: Attempt(0), from: STORE, to: carol };
    assert_eq!(actions, [fetch, run(carol, 1, 0)]);
}

#[test]
fn a_group_goes_on_over_submissions_that_name_it() {
    let mut state = SchedulerState::new(Settings::default());
    let mut outbox = Outbox::default();
    for _ in 0..2 {
        let mut graph = submission(&[&[]], &[0]);
        graph.shared_groups = vec![GroupId(0)];
        state.handle(Event::GraphSubmitted(Box::new(graph)), Duration::ZERO, &mut outbox);
    }
    assert_eq!(state.group_count(GroupId(0), TaskState::NoWorker), 2);
    assert_eq!(state.next_group_id(), GroupId(1));
}

#[test]
fn a_cluster_that_has_forgotten_everything_is_as_small_as_before() {
    let mut state = SchedulerState::new(Settings::default());
    let mut outbox = Outbox::default();
    let mut handle = |state: &mut SchedulerState, event: Event| {
        outbox.clear();
        state.handle(event, Duration::ZERO, &mut outbox);
    };
    handle(&mut state, joined(ALICE));
    let (mut kept, mut nbytes) = (TaskId(0), Vec::new());
    for round in 0..100_000 {
        let task = state.place_for(1);
        handle(&mut state, submitted(&[&[]], &[0]));
        let attempt = state.attempt_of(task).0;
        handle(&mut state, finished(ALICE, task.0, attempt));
        if round == 500 {
            // One that stays, and is read by another that stays.
            kept = task;
            continue;
        }
        if round == 600 {
            let reader = state.place_for(1);
            handle(&mut state, reading(&[&[1]], &[kept.0], &[0]));
            let attempt = state.attempt_of(reader).0;
            handle(&mut state, finished(ALICE, reader.0, attempt));
        }
        handle(&mut state, released(&[task.0]));
        if round % 1000 == 999 {
            state.validate().unwrap_or_else(|broken| panic!("{broken}"));
            nbytes.push(state.nbytes());
        }
    }
    assert!(nbytes.iter().all(|&other| other == nbytes[0]), "{nbytes:?}");
    assert_eq!(state.state_of(kept), TaskState::Memory);
}

#[test]
fn an_id_is_not_used_anew_while_a_cancelled_attempt_runs() {
    let events = [joined(ALICE), submitted(&[&[]], &[0]), released(&[0])];
    assert_eq!(state_after(events.clone()).place_for(1), TaskId(1));
    let ended = Event::AttemptEnded { worker: ALICE, task: TaskId(0), attempt: Attempt(0) };
    assert_eq!(state_after(events.into_iter().chain([ended])).place_for(1), TaskId(0));
}

#[test]
fn a_message_about_the_task_that_had_an_id_before_is_out_of_date() {
    let actions = actions_after([
        joined(ALICE),
        submitted(&[&[]], &[0]),
        finished(ALICE, 0, 0),
        released(&[0]),
        submitted(&[&[]], &[0]),
        Event::ReplicaAdded { worker: ALICE, task: TaskId(0), attempt: Attempt(0) },
    ]);
    assert_eq!(actions, [drop(ALICE, 0, 0)]);
}

#[test]
fn a_group_that_is_shared_stays_until_it_is_released() {
    let mut events = vec![
        joined(ALICE),
        alike(&[&[]], &[0]),
        finished(ALICE, 0, 0),
        released(&[0]),
        submitted(&[&[]], &[0]),
    ];
    assert_eq!(state_after(events.clone()).group_of(TaskId(0)), GroupId(1));
    events.push(Event::GroupsReleased { groups: vec![GroupId(0)] });
    events.push(submitted(&[&[]], &[0]));
    assert_eq!(state_after(events).group_of(TaskId(1)), GroupId(0));
}

#[test]
fn a_retried_task_runs_though_an_input_of_an_input_was_cancelled_with_it() {
    let actions = actions_after([
        joined(ALICE),
        submitted(&[&[], &[0], &[1]], &[0, 2]),
        cancelled(&[2, 0]),
        Event::AttemptEnded { worker: ALICE, task: TaskId(0), attempt: Attempt(0) },
        retried(&[2]),
    ]);
    assert_eq!(actions, [run(ALICE, 0, 2)]);
}

#[test]
fn a_forgotten_reader_draws_nothing_to_a_worker() {
    let graph: &[&[u32]] = &[&[], &[]];
    let actions = actions_after([
        submitted(graph, &[0, 1]),
        reading(&[&[1, 2]], &[0, 1], &[0]),
        released(&[2]),
        released(&[1]),
        joined(ALICE),
        joined(BOB),
    ]);
    assert_eq!(actions, []);
}

#[test]
fn an_input_is_not_made_again_for_a_task_that_fails_of_another_input() {
    let graph: &[&[u32]] = &[&[], &[0], &[1], &[], &[3]];
    let mut events = vec![
        Event::WorkerJoined {
            worker: ALICE,
            host: HOST,
            threads: 8,
            window: 8,
            offer: Box::default(),
        },
        submitted(graph, &[0, 2, 4]),
    ];
    events.extend((0..5).map(|task| finished(ALICE, task, 0)));
    events.extend([cancelled(&[0]), reading(&[&[1, 2]], &[1, 3], &[0])]);
    assert_eq!(actions_after(events), [report(5, failed(0, Failure::Cancelled))]);
}

#[test]
fn an_id_that_has_had_two_billion_attempts_is_retired() {
    let mut state = state_after([joined(ALICE), submitted(&[&[]], &[0]), finished(ALICE, 0, 0)]);
    state.tasks.attempt[0] = u32::MAX / 2;
    state.handle(released(&[0]), Duration::ZERO, &mut Outbox::default());
    assert_eq!(state.place_for(1), TaskId(1));
    assert_eq!(state.validate_at_rest(), Ok(()));
}

// ---- Slots that are lent ----

#[test]
fn a_lent_slot_is_given_to_the_next_task_until_it_is_taken_back() {
    let lent = |lent| Event::SlotsLent { worker: ALICE, lent };
    let begin = || vec![joined(ALICE), submitted(&[&[], &[], &[]], &[0, 1, 2]), lent(1)];
    assert_eq!(actions_after(begin()), [run(ALICE, 1, 0)]);
    let mut events = begin();
    events.extend([lent(0), finished(ALICE, 1, 0)]);
    let (state, actions) = state_and_actions_after(events);
    assert_eq!(actions, [report(1, Outcome::Finished)], "the first one has its slot again");
    assert_eq!(state.state_of(TaskId(2)), TaskState::Queued);
}

#[test]
fn a_result_that_was_released_but_is_known_can_be_wanted_again() {
    let begin = || {
        vec![
            joined(ALICE),
            submitted(&[&[], &[0]], &[0, 1]),
            finished(ALICE, 0, 0),
            finished(ALICE, 1, 0),
            released(&[0]),
        ]
    };
    assert_eq!(actions_after(begin()), [drop(ALICE, 0, 0)]);
    let mut events = begin();
    events.push(Event::TaskWanted { task: TaskId(0) });
    let (state, actions) = state_and_actions_after(events);
    assert!(state.is_wanted(TaskId(0)));
    assert_eq!(actions, [run(ALICE, 0, 1)]);
    assert_eq!(state.outcome_of(TaskId(1)), Some(Outcome::Finished));
    assert_eq!(state.outcome_of(TaskId(0)), None);
}

// ---- Tasks that ask for something of their worker ----

const GPU: ResourceId = ResourceId(0);

/// A worker with threads, so many GPUs, and a name for each number.
fn offering(worker: WorkerId, threads: u32, gpus: u64, names: &[u32]) -> Event {
    let offer = Offer {
        names: names.iter().copied().map(NameId).collect(),
        resources: if gpus > 0 { BTreeMap::from([(GPU, gpus)]) } else { BTreeMap::new() },
    };
    Event::WorkerJoined { worker, host: HOST, threads, window: threads, offer: Box::new(offer) }
}

/// Independent tasks that all ask for this.
fn asking(tasks: u32, restriction: Restriction) -> Event {
    let rows: Vec<&[u32]> = (0..tasks).map(|_| &[][..]).collect();
    let wanted: Vec<u32> = (0..tasks).collect();
    Event::GraphSubmitted(Box::new(Submission {
        restrictions: vec![restriction],
        restricted: wanted.iter().map(|&task| (task, 0)).collect(),
        ..submission(&rows, &wanted)
    }))
}

fn gpus(count: u64) -> Restriction {
    Restriction { resources: BTreeMap::from([(GPU, count)]), ..Restriction::default() }
}

fn named(name: u32, allow_others: bool) -> Restriction {
    Restriction { names: [NameId(name)].into(), allow_others, ..Restriction::default() }
}

#[test]
fn tasks_take_no_more_of_a_resource_than_there_is() {
    let begin = || vec![offering(ALICE, 4, 2, &[]), joined(BOB), asking(3, gpus(1))];
    assert_eq!(actions_after(begin()), [run(ALICE, 0, 0), run(ALICE, 1, 0)]);
    let mut events = begin();
    events.push(finished(ALICE, 1, 0));
    assert_eq!(actions_after(events), [report(1, Outcome::Finished), run(ALICE, 2, 0)]);
}

#[test]
fn a_cancelled_task_holds_its_resources_until_it_has_ended() {
    let begin = || vec![offering(ALICE, 4, 1, &[]), asking(2, gpus(1)), released(&[0])];
    assert!(!actions_after(begin()).iter().any(|action| matches!(action, Action::Run { .. })));
    let mut events = begin();
    let (worker, task, attempt) = (ALICE, TaskId(0), Attempt(0));
    events.push(Event::AttemptEnded { worker, task, attempt });
    assert_eq!(actions_after(events), [run(ALICE, 1, 0)]);
}

#[test]
fn a_task_runs_on_the_worker_that_it_names() {
    let workers = [offering(ALICE, 1, 0, &[7]), offering(BOB, 1, 0, &[8])];
    let events = workers.clone().into_iter().chain([asking(2, named(8, false))]);
    assert_eq!(actions_after(events), [run(BOB, 0, 0)]);
    // Others will do only while none of those is there.
    let events = workers.into_iter().chain([asking(2, named(8, true))]);
    assert_eq!(actions_after(events), [run(BOB, 0, 0)]);
    let events = [offering(ALICE, 1, 0, &[7]), asking(1, named(8, true))];
    assert_eq!(actions_after(events), [run(ALICE, 0, 0)]);
}

#[test]
fn what_nobody_can_run_is_told_apart_and_fails_in_time() {
    let settings = Settings { no_worker_timeout: Duration::from_secs(5), ..Settings::default() };
    let mut state = SchedulerState::new(settings);
    let mut outbox = Outbox::default();
    let mut at = |seconds, event| {
        outbox.clear();
        state.handle(event, Duration::from_secs(seconds), &mut outbox);
        state.validate().unwrap_or_else(|broken| panic!("{broken}"));
        let is_known = state.nbytes() > 0;
        (is_known.then(|| state.state_of(TaskId(0))), outbox.actions.clone())
    };
    at(0, joined(ALICE));
    assert_eq!(at(0, asking(1, gpus(3))).0, Some(TaskState::NoWorker));
    // Workers that have too little change nothing, nor since when it waits.
    assert_eq!(at(4, offering(BOB, 1, 2, &[])).0, Some(TaskState::NoWorker));
    assert_eq!(at(4, Event::TimePassed).1, []);
    assert_eq!(at(5, Event::TimePassed).1, [report(0, failed(0, Failure::NoWorker))]);
}

#[test]
fn a_worker_that_joins_gets_what_waited_for_it() {
    let events = [joined(ALICE), asking(1, gpus(1)), offering(BOB, 1, 1, &[])];
    assert_eq!(actions_after(events), [run(BOB, 0, 0)]);
    let (state, _) = state_and_actions_after([
        offering(BOB, 1, 1, &[]),
        joined(ALICE),
        asking(2, gpus(1)),
        lost(BOB),
    ]);
    assert_eq!(state.state_of(TaskId(0)), TaskState::NoWorker);
    assert_eq!(state.state_of(TaskId(1)), TaskState::NoWorker);
}

#[test]
fn more_urgent_tasks_go_first_whether_they_ask_for_something_or_not() {
    let urgent =
        Event::GraphSubmitted(Box::new(Submission { priority: 1, ..submission(&[&[]], &[0]) }));
    let events =
        vec![offering(ALICE, 1, 1, &[]), asking(2, gpus(1)), urgent, finished(ALICE, 0, 0)];
    assert_eq!(actions_after(events), [report(0, Outcome::Finished), run(ALICE, 2, 0)]);
}

// ---- Suspects ----

#[test]
fn tasks_that_may_have_killed_a_worker_run_alone() {
    let two_threads = |worker| Event::WorkerJoined {
        worker,
        host: HOST,
        threads: 2,
        window: 2,
        offer: Box::default(),
    };
    let graph: &[&[u32]] = &[&[], &[], &[], &[]];
    let begin =
        || vec![two_threads(ALICE), submitted(graph, &[0, 1, 2, 3]), crashed(ALICE, &[0, 1])];
    let mut events = begin();
    events.push(two_threads(BOB));
    // One of them, and nothing beside it.
    assert_eq!(actions_after(events.clone()), [run(BOB, 0, 1)]);
    events.push(finished(BOB, 0, 1));
    assert_eq!(actions_after(events.clone()), [report(0, Outcome::Finished), run(BOB, 1, 1)]);
    events.push(finished(BOB, 1, 1));
    let others = [report(1, Outcome::Finished), run(BOB, 2, 0), run(BOB, 3, 0)];
    assert_eq!(actions_after(events), others);
}

#[test]
fn a_worker_is_emptied_for_a_suspect_when_all_are_busy() {
    let two_threads = |worker| Event::WorkerJoined {
        worker,
        host: HOST,
        threads: 2,
        window: 2,
        offer: Box::default(),
    };
    let graph: &[&[u32]] = &[&[], &[], &[], &[], &[], &[]];
    let mut events = vec![
        two_threads(ALICE),
        two_threads(BOB),
        submitted(graph, &[0, 1, 2, 3, 4, 5]),
        crashed(ALICE, &[0]),
    ];
    assert!(!actions_after(events.clone()).contains(&run(BOB, 0, 1)));
    events.push(finished(BOB, 1, 0));
    // The slot stays free although tasks wait.
    assert_eq!(actions_after(events.clone()), [report(1, Outcome::Finished)]);
    events.push(finished(BOB, 3, 0));
    assert_eq!(actions_after(events), [report(3, Outcome::Finished), run(BOB, 0, 1)]);
}

#[test]
fn only_deaths_that_a_task_was_alone_in_count_against_it() {
    let joined_with_two = |number| Event::WorkerJoined {
        worker: WorkerId(number),
        host: HOST,
        threads: 2,
        window: 2,
        offer: Box::default(),
    };
    let mut state = SchedulerState::new(Settings { allowed_failures: 1, ..Settings::default() });
    let mut outbox = Outbox::default();
    let mut handle = |event| {
        outbox.clear();
        state.handle(event, Duration::ZERO, &mut outbox);
        state.validate().unwrap_or_else(|broken| panic!("{broken}"));
        outbox.actions.clone()
    };
    handle(joined_with_two(0));
    handle(submitted(&[&[], &[]], &[0, 1]));
    handle(crashed(WorkerId(0), &[0, 1]));
    // The first kills, the second is innocent.
    handle(joined_with_two(1));
    handle(crashed(WorkerId(1), &[0]));
    handle(joined_with_two(2));
    let actions = handle(crashed(WorkerId(2), &[0]));
    assert!(actions.contains(&report(0, failed(0, Failure::WorkersCrashed { times: 2 }))));
    assert_eq!(handle(joined_with_two(3)), [run(WorkerId(3), 1, 1)]);
    assert_eq!(handle(finished(WorkerId(3), 1, 1)), [report(1, Outcome::Finished)]);
}

#[test]
fn while_something_else_kills_workers_a_task_may_be_in_more_crashes() {
    let mut state = SchedulerState::new(Settings { allowed_failures: 1, ..Settings::default() });
    let mut outbox = Outbox::default();
    let mut handle = |event, seconds| {
        outbox.clear();
        state.handle(event, Duration::from_secs(seconds), &mut outbox);
        state.validate().unwrap_or_else(|broken| panic!("{broken}"));
        outbox.actions.clone()
    };
    let crash = |number, task| crashed(WorkerId(number), &[task]);
    handle(submitted(&[&[], &[], &[]], &[0, 1, 2]), 0);
    handle(joined(WorkerId(0)), 0);
    handle(crash(0, 0), 0);
    // The first task was innocent: it ends well.
    handle(joined(WorkerId(1)), 0);
    handle(finished(WorkerId(1), 0, 1), 0);
    handle(released(&[0]), 0);
    handle(crash(1, 1), 50);
    handle(joined(WorkerId(2)), 50);
    assert_eq!(handle(crash(2, 1), 50), []);
    handle(joined(WorkerId(3)), 50);
    let given_up = report(1, failed(1, Failure::WorkersCrashed { times: 3 }));
    assert!(handle(crash(3, 1), 50).contains(&given_up));
    // A minute later nothing is known of who else might be to blame.
    handle(joined(WorkerId(4)), 61);
    handle(crash(4, 2), 61);
    handle(joined(WorkerId(5)), 61);
    let given_up = report(2, failed(2, Failure::WorkersCrashed { times: 2 }));
    let actions = handle(crash(5, 2), 61);
    assert!(actions.contains(&given_up), "{actions:?}");
}

#[test]
fn a_worker_that_was_taken_for_lost_may_come_back_by_its_id() {
    // Bob is to get a task back from Alice when he is taken for lost.
    let with_window = |worker, window| Event::WorkerJoined {
        worker,
        host: HOST,
        threads: 1,
        window,
        offer: Box::default(),
    };
    let gone = Event::WorkerLost { worker: BOB, crashed: false, running: vec![], overdue: vec![] };
    let (task, attempt) = (TaskId(2), Attempt(0));
    let given_back = Event::AttemptEnded { worker: ALICE, task, attempt };
    // Tasks are known to be short, so that more than one is given.
    let short = [with_window(ALICE, 4), submitted(&[&[], &[], &[]], &[0, 1, 2])];
    let short = short.into_iter().chain([finished(ALICE, 0, 0)]);
    let asked = actions_after(short.clone().chain([with_window(BOB, 4)]));
    assert_eq!(asked, [Action::Retract { worker: ALICE, task, attempt }]);
    let events = [with_window(BOB, 4), gone, with_window(BOB, 4), given_back];
    assert_eq!(actions_after(short.chain(events)), [run(BOB, 2, 1)]);
}
