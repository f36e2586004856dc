//! Orders and messages in, outputs out.

use bytes::Bytes;
use oxidask_protocol::{Attempt, Objects, Stored, TaskId, ToWorker, Value, WorkerId};

use crate::{NodeState, Order, Output, Reader, Report};

const ALICE: WorkerId = WorkerId(1);
const BOB: WorkerId = WorkerId(2);
const CLIENT: u64 = 7;
const FIRST: Attempt = Attempt(0);

fn order(task: u32, inputs: &[u32]) -> Order {
    Order {
        task: TaskId(task),
        attempt: FIRST,
        urgency: 0,
        call: Bytes::new(),
        objects: Objects::default(),
        inputs: inputs.iter().map(|&input| (TaskId(input), FIRST)).collect(),
    }
}

fn inline(text: &'static str) -> Value {
    Value::Inline(Bytes::from_static(text.as_bytes()))
}

fn stored(arena: u32, offset: u64) -> Value {
    Value::Stored(Stored { arena, offset, len: 100, buffers: vec![100], head: Bytes::new() })
}

/// What a node says, in words.
fn told(outputs: &mut Vec<Output>) -> Vec<String> {
    outputs.drain(..).map(|output| in_words(&output)).collect()
}

fn in_words(output: &Output) -> String {
    match output {
        Output::Send { worker, message } => match message {
            ToWorker::Run(run) => {
                let inputs: Vec<String> =
                    run.inputs.iter().map(|input| kind(&input.value)).collect();
                format!("{worker} run {} {}", run.task, inputs.join(" ")).trim_end().to_owned()
            }
            ToWorker::Publish { task, .. } => format!("{worker} publish {task}"),
            ToWorker::Drop { task, .. } => format!("{worker} drop {task}"),
            ToWorker::Retract { task, .. } => format!("{worker} retract {task}"),
            ToWorker::Free { offset, .. } => format!("{worker} free {offset}"),
            ToWorker::Shared { hash, .. } => format!("{worker} shared {hash}"),
            ToWorker::Unshare { hashes } => format!("{worker} unshare {hashes:?}"),
            other => format!("{worker} {other:?}"),
        },
        Output::SendArena { reader, arena } => format!("arena {arena} to {reader:?}"),
        Output::FreeOfClient { client, offset, .. } => format!("client {client} free {offset}"),
        Output::CloseArena { arena } => format!("close {arena}"),
        Output::Report(Report::Stopped { task, .. }) => format!("stopped {task}"),
        Output::Report(Report::InputUnusable { task, .. }) => format!("unusable for {task}"),
        Output::Report(Report::InputMissing { task, input, .. }) => {
            format!("{task} misses {input}")
        }
        Output::Report(Report::Kept { task, .. }) => format!("kept {task}"),
        Output::Deliver { client, task, value, .. } => {
            let value = value.as_ref().map_or_else(|_| "error".to_owned(), kind);
            format!("client {client} gets {task} {value}")
        }
    }
}

fn kind(value: &Value) -> String {
    match value {
        Value::Inline(_) => "inline".to_owned(),
        Value::Stored(stored) => format!("stored@{}", stored.offset),
        Value::Live => "live".to_owned(),
    }
}

struct Scene {
    node: NodeState,
    outputs: Vec<Output>,
}

impl Scene {
    fn new() -> Self {
        let mut node = NodeState::new(false);
        node.arena_added(ALICE.0, Reader::Worker(ALICE));
        node.arena_added(BOB.0, Reader::Worker(BOB));
        Self { node, outputs: Vec::new() }
    }

    fn returned(&mut self, worker: WorkerId, task: u32, value: Value) -> Vec<String> {
        self.node.returned(worker, TaskId(task), FIRST, value, &mut self.outputs);
        told(&mut self.outputs)
    }

    fn run(&mut self, worker: WorkerId, task: u32, inputs: &[u32]) -> Vec<String> {
        self.node.run(worker, order(task, inputs), &mut self.outputs);
        told(&mut self.outputs)
    }

    fn published(&mut self, task: u32, value: Result<Value, Bytes>) -> Vec<String> {
        self.node.published(TaskId(task), FIRST, value, &mut self.outputs);
        told(&mut self.outputs)
    }

    fn fetch(&mut self, task: u32) -> Vec<String> {
        self.node.fetch(CLIENT, TaskId(task), FIRST, &mut self.outputs);
        told(&mut self.outputs)
    }

    fn drop_kept(&mut self, task: u32) -> Vec<String> {
        self.node.drop_result(None, TaskId(task), FIRST, &mut self.outputs);
        told(&mut self.outputs)
    }

    fn unpinned(&mut self, reader: Reader, id: (u32, u64)) -> Vec<String> {
        self.node.unpinned(reader, &[id], &mut self.outputs);
        told(&mut self.outputs)
    }

    fn lost(&mut self, worker: WorkerId) -> Vec<String> {
        self.node.worker_lost(worker, &mut self.outputs);
        told(&mut self.outputs)
    }
}

#[test]
fn small_results_travel_with_the_task_that_reads_them() {
    let mut scene = Scene::new();
    scene.returned(ALICE, 0, inline("1"));
    assert_eq!(scene.run(BOB, 1, &[0]), ["w2 run t1 inline"]);
}

#[test]
fn an_object_is_used_where_it_is_and_published_for_others_once() {
    let mut scene = Scene::new();
    scene.returned(ALICE, 0, Value::Live);
    assert_eq!(scene.run(ALICE, 1, &[0]), ["w1 run t1 live"]);
    assert_eq!(scene.run(BOB, 2, &[0]), ["w1 publish t0"]);
    assert_eq!(scene.run(BOB, 3, &[0]), Vec::<String>::new());
    assert_eq!(
        scene.published(0, Ok(inline("1"))),
        ["kept t0", "w2 run t2 inline", "w2 run t3 inline"]
    );
}

#[test]
fn a_task_whose_input_cannot_be_published_fails_and_names_the_reason() {
    let mut scene = Scene::new();
    scene.returned(ALICE, 0, Value::Live);
    scene.run(BOB, 1, &[0]);
    assert_eq!(scene.fetch(0), Vec::<String>::new());
    let error = Err(Bytes::from_static(b"no pickle"));
    assert_eq!(scene.published(0, error), ["client 7 gets t0 error", "unusable for t1"]);
}

#[test]
fn memory_is_free_only_after_the_last_view_is_gone() {
    let mut scene = Scene::new();
    scene.returned(ALICE, 0, stored(ALICE.0, 64));
    assert_eq!(scene.run(BOB, 1, &[0]), ["arena 1 to Worker(w2)", "w2 run t1 stored@64"]);
    assert_eq!(scene.run(BOB, 2, &[0]), ["w2 run t2 stored@64"]);
    assert_eq!(scene.fetch(0), ["arena 1 to Client(7)", "client 7 gets t0 stored@64"]);
    assert_eq!(scene.drop_kept(0), Vec::<String>::new());
    assert_eq!(scene.unpinned(Reader::Worker(BOB), (1, 64)), Vec::<String>::new());
    assert_eq!(scene.unpinned(Reader::Client(CLIENT), (1, 64)), Vec::<String>::new());
    assert_eq!(scene.unpinned(Reader::Worker(BOB), (1, 64)), ["w1 free 64"]);
    assert_eq!(scene.node.stored_nbytes(), 0);
}

#[test]
fn what_is_in_memory_survives_the_worker_that_made_it() {
    let mut scene = Scene::new();
    scene.returned(ALICE, 0, stored(ALICE.0, 0));
    assert_eq!(scene.lost(ALICE), Vec::<String>::new());
    assert_eq!(scene.run(BOB, 1, &[0]), ["arena 1 to Worker(w2)", "w2 run t1 stored@0"]);
    assert_eq!(scene.drop_kept(0), Vec::<String>::new());
    assert_eq!(scene.unpinned(Reader::Worker(BOB), (1, 0)), ["close 1"]);
}

#[test]
fn views_of_a_lost_worker_are_gone() {
    let mut scene = Scene::new();
    scene.returned(ALICE, 0, stored(ALICE.0, 0));
    scene.run(BOB, 1, &[0]);
    scene.drop_kept(0);
    assert_eq!(scene.lost(BOB), ["w1 free 0", "close 2"]);
}

#[test]
fn a_task_that_waits_for_an_object_of_a_lost_worker_is_given_back() {
    let mut scene = Scene::new();
    scene.returned(ALICE, 0, Value::Live);
    scene.run(BOB, 1, &[0]);
    assert_eq!(scene.lost(ALICE), ["t1 misses t0", "close 1"]);
}

#[test]
fn a_client_that_asked_for_a_lost_result_gets_it_when_it_was_made_again() {
    let mut scene = Scene::new();
    scene.returned(ALICE, 0, Value::Live);
    assert_eq!(scene.fetch(0), ["w1 publish t0"]);
    assert_eq!(scene.lost(ALICE), ["close 1"]);
    scene.node.returned(BOB, TaskId(0), Attempt(1), inline("1"), &mut scene.outputs);
    assert_eq!(told(&mut scene.outputs), ["client 7 gets t0 inline"]);
}

#[test]
fn nothing_that_was_asked_of_a_forgotten_task_is_asked_of_the_next_one_with_its_number() {
    let mut scene = Scene::new();
    scene.returned(ALICE, 0, Value::Live);
    scene.fetch(0);
    scene.lost(ALICE);
    scene.node.forget(TaskId(0));
    scene.node.returned(BOB, TaskId(0), FIRST, inline("1"), &mut scene.outputs);
    assert_eq!(told(&mut scene.outputs), Vec::<String>::new());
}

#[test]
fn a_task_that_waits_for_an_input_is_taken_back_without_asking_the_worker() {
    let mut scene = Scene::new();
    scene.returned(ALICE, 0, Value::Live);
    scene.run(BOB, 1, &[0]);
    scene.node.retract(BOB, TaskId(1), FIRST, &mut scene.outputs);
    assert_eq!(told(&mut scene.outputs), ["stopped t1"]);
    assert_eq!(scene.published(0, Ok(inline("1"))), ["kept t0"]);
}

#[test]
fn a_shared_part_is_sent_to_each_worker_once_and_kept_for_the_next_calls() {
    let mut scene = Scene::new();
    let body = inline("code");
    for _ in 0..3 {
        scene.node.share(5, &body, &mut scene.outputs);
        scene.node.prepare(ALICE, 5, &mut scene.outputs);
        scene.node.unshare(5, &mut scene.outputs);
    }
    assert_eq!(told(&mut scene.outputs), ["w1 shared 5"]);
    scene.node.share(5, &body, &mut scene.outputs);
    scene.node.prepare(BOB, 5, &mut scene.outputs);
    assert_eq!(told(&mut scene.outputs), ["w2 shared 5"]);
}

#[test]
fn idle_shared_parts_are_given_up_when_there_are_too_many() {
    let mut scene = Scene::new();
    for hash in 0..2000 {
        scene.node.share(hash, &inline("code"), &mut scene.outputs);
        scene.node.prepare(ALICE, hash, &mut scene.outputs);
        scene.node.unshare(hash, &mut scene.outputs);
    }
    let given_up = told(&mut scene.outputs).iter().filter(|text| text.contains("unshare")).count();
    assert_eq!(given_up, 2000 - 1024);
}

#[test]
fn a_large_shared_part_is_there_once_until_no_call_and_no_worker_needs_it() {
    let mut scene = Scene::new();
    scene.node.arena_added(9, Reader::Client(CLIENT));
    scene.node.share(5, &stored(9, 0), &mut scene.outputs);
    scene.node.prepare(ALICE, 5, &mut scene.outputs);
    assert_eq!(told(&mut scene.outputs), ["arena 9 to Worker(w1)", "w1 shared 5"]);
    // The next graph brings a copy of its own, which nobody needs.
    scene.node.share(5, &stored(9, 100), &mut scene.outputs);
    assert_eq!(told(&mut scene.outputs), ["client 7 free 100"]);
    assert_eq!(scene.node.stored_nbytes(), 100);
    scene.node.unshare(5, &mut scene.outputs);
    assert!(told(&mut scene.outputs).is_empty());
    scene.node.unshare(5, &mut scene.outputs);
    assert_eq!(told(&mut scene.outputs), ["w1 unshare [5]"]);
    scene.node.unpinned(Reader::Worker(ALICE), &[(9, 0)], &mut scene.outputs);
    assert_eq!(told(&mut scene.outputs), ["client 7 free 0"]);
    assert_eq!(scene.node.stored_nbytes(), 0);
}

#[test]
fn in_one_process_objects_are_never_published() {
    let mut node = NodeState::new(true);
    let mut outputs = Vec::new();
    node.returned(ALICE, TaskId(0), FIRST, Value::Live, &mut outputs);
    node.run(BOB, order(1, &[0]), &mut outputs);
    node.fetch(CLIENT, TaskId(0), FIRST, &mut outputs);
    assert_eq!(told(&mut outputs), ["w2 run t1 live", "client 7 gets t0 live"]);
}
