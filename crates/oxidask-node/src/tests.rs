//! Orders and messages in, outputs out.

use std::time::Duration;

use bytes::Bytes;

use oxidask_protocol::{
    Attempt, NextUse, Objects, SPILL_FILES, Stored, TaskId, ToWorker, Value, WorkerId,
};

use crate::{MemoryLimits, NodeState, Order, Output, Reader, Refusal, Report};

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
        last_reads: Vec::new(),
        time_limit: None,
    }
}

fn inline(text: &'static str) -> Value {
    Value::Inline(Bytes::from_static(text.as_bytes()))
}

fn stored(arena: u32, offset: u64) -> Value {
    Value::Stored(Box::new(Stored {
        arena,
        offset,
        len: 100,
        buffers: vec![100],
        head: Bytes::new(),
    }))
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
        Output::Report(Report::Pressure { pressure }) => format!("pressure {pressure:?}"),
        Output::Report(Report::Refused { task, refusal, .. }) => {
            let Refusal { needed, available, disk } = refusal;
            let why = disk.as_deref().unwrap_or("too large");
            format!("{task} refused: {needed} of {available}, {why}")
        }
        Output::Spill { task, .. } => format!("spill {task}"),
        Output::FreeOnDisk { offset, .. } => format!("disk free {offset}"),
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
        self.returned_large(worker, task, value, 100)
    }

    fn returned_large(
        &mut self,
        worker: WorkerId,
        task: u32,
        value: Value,
        nbytes: u64,
    ) -> Vec<String> {
        let version = (TaskId(task), FIRST);
        self.node.returned(worker, version, value, nbytes, &mut self.outputs);
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
    let version = (TaskId(0), Attempt(1));
    scene.node.returned(BOB, version, inline("1"), 1, &mut scene.outputs);
    assert_eq!(told(&mut scene.outputs), ["client 7 gets t0 inline"]);
}

#[test]
fn nothing_that_was_asked_of_a_forgotten_task_is_asked_of_the_next_one_with_its_number() {
    let mut scene = Scene::new();
    scene.returned(ALICE, 0, Value::Live);
    scene.fetch(0);
    scene.lost(ALICE);
    scene.node.forget(TaskId(0));
    scene.node.returned(BOB, (TaskId(0), FIRST), inline("1"), 1, &mut scene.outputs);
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
    node.returned(ALICE, (TaskId(0), FIRST), Value::Live, 100, &mut outputs);
    node.run(BOB, order(1, &[0]), &mut outputs);
    node.fetch(CLIENT, TaskId(0), FIRST, &mut outputs);
    assert_eq!(told(&mut outputs), ["w2 run t1 live", "client 7 gets t0 live"]);
}

// ---- Memory ----

const MIB: u64 = 1 << 20;
const LIMITS: MemoryLimits =
    MemoryLimits { budget: 100 * MIB, spill_at: 60 * MIB, roots_at: 75 * MIB, pause_at: 90 * MIB };

/// A node whose results have 10 MiB each.
struct Tight {
    scene: Scene,
    now: Duration,
    /// When results are needed; never those that are not here.
    uses: Vec<(u32, NextUse)>,
}

impl Tight {
    fn new() -> Self {
        let mut scene = Scene::new();
        scene.node.set_memory_limits(LIMITS);
        scene.node.spill_file_added(SPILL_FILES);
        Self { scene, now: Duration::ZERO, uses: Vec::new() }
    }

    /// Results that are in shared memory, by number.
    fn with_results(count: u32) -> Self {
        let mut tight = Self::new();
        for task in 0..count {
            tight.scene.returned(ALICE, task, Self::large(ALICE.0, task));
        }
        tight
    }

    fn large(arena: u32, task: u32) -> Value {
        Value::Stored(Box::new(Self::stored(arena, task)))
    }

    fn stored(arena: u32, task: u32) -> Stored {
        let (offset, len) = (u64::from(task) * 10 * MIB, 10 * MIB);
        Stored { arena, offset, len, buffers: vec![len], head: Bytes::new() }
    }

    fn relieve(&mut self) -> Vec<String> {
        let uses = self.uses.clone();
        let next_use = |task: TaskId| {
            let found = uses.iter().find(|&&(one, _)| TaskId(one) == task);
            found.map_or(NextUse::Never, |&(_, next)| next)
        };
        self.scene.node.relieve_memory(self.now, next_use, &mut self.scene.outputs);
        told(&mut self.scene.outputs)
    }

    fn written(&mut self, task: u32) -> Vec<String> {
        self.spilled(task, Ok(Self::stored(SPILL_FILES, task)))
    }

    fn spilled(&mut self, task: u32, written: Result<Stored, String>) -> Vec<String> {
        let Scene { node, outputs } = &mut self.scene;
        node.spilled(TaskId(task), FIRST, written, self.now, outputs);
        told(outputs)
    }
}

fn later(rank: u32) -> NextUse {
    NextUse::Later { priority: 0, sequence: 0, rank }
}

#[test]
fn results_that_are_needed_last_go_to_disk_first_and_no_more_than_necessary() {
    let mut tight = Tight::with_results(8);
    tight.uses = (0..7).map(|task| (task, later(task))).collect();
    tight.uses.push((6, NextUse::Now));
    tight.uses.retain(|&(task, next)| task != 6 || next == NextUse::Now);
    assert_eq!(tight.relieve(), ["spill t7", "pressure NoRoots"]);
    assert_eq!(tight.relieve(), Vec::<String>::new(), "as much as may be is on its way");
    assert_eq!(tight.written(7), [format!("w1 free {}", 70 * MIB)]);
    assert_eq!(tight.relieve(), ["spill t5", "pressure None"], "t6 is needed now");
    tight.written(5);
    assert_eq!(tight.relieve(), Vec::<String>::new());
    assert_eq!(tight.scene.node.memory_use().spilled, 20 * MIB);
}

#[test]
fn without_limits_nothing_moves() {
    let mut scene = Scene::new();
    for task in 0..100 {
        scene.returned(ALICE, task, Tight::large(ALICE.0, task));
    }
    assert!(!scene.node.is_memory_short());
}

#[test]
fn what_is_on_disk_is_read_from_there_and_counts_as_memory_meanwhile() {
    let mut tight = Tight::with_results(7);
    assert_eq!(tight.relieve(), ["spill t6"]);
    tight.written(6);
    let used = tight.scene.node.memory_use().used;
    let place = 60 * MIB;
    assert_eq!(
        tight.scene.run(BOB, 9, &[6]),
        [format!("arena {SPILL_FILES} to Worker(w2)"), format!("w2 run t9 stored@{place}"),]
    );
    assert_eq!(tight.scene.node.memory_use().used, used + 10 * MIB);
    assert_eq!(tight.scene.drop_kept(6), Vec::<String>::new(), "it is looked at");
    assert_eq!(
        tight.scene.unpinned(Reader::Worker(BOB), (SPILL_FILES, place)),
        [format!("disk free {place}")]
    );
    assert_eq!(tight.scene.node.memory_use().used, used);
}

#[test]
fn a_result_that_is_looked_at_stays_in_memory() {
    let mut tight = Tight::with_results(7);
    for task in 1..7 {
        tight.scene.run(BOB, 10 + task, &[task]);
    }
    assert_eq!(tight.relieve(), ["spill t0"]);
    tight.written(0);
    assert_eq!(tight.relieve(), Vec::<String>::new());
}

#[test]
fn what_a_client_looks_at_is_memory_of_the_client() {
    let mut tight = Tight::with_results(7);
    for task in 0..3 {
        tight.scene.fetch(task);
    }
    assert_eq!(tight.scene.node.memory_use().used, 40 * MIB);
}

#[test]
fn a_result_that_is_dropped_while_it_is_written_leaves_memory_and_disk() {
    let mut tight = Tight::with_results(7);
    assert_eq!(tight.relieve(), ["spill t6"]);
    assert_eq!(tight.scene.drop_kept(6), Vec::<String>::new(), "it is being read");
    let place = 60 * MIB;
    assert_eq!(tight.written(6), [format!("disk free {place}"), format!("w1 free {place}")]);
    assert_eq!(tight.scene.node.memory_use().spilled, 0);
}

#[test]
fn objects_of_workers_are_published_then_dropped_there_then_written() {
    let mut tight = Tight::new();
    tight.scene.returned_large(ALICE, 0, Value::Live, 20 * MIB);
    tight.scene.node.memory_measured(80 * MIB, 0);
    assert_eq!(tight.relieve(), ["w1 publish t0", "pressure NoRoots"]);
    let published = tight.scene.published(0, Ok(Tight::large(ALICE.0, 0)));
    assert_eq!(published, ["kept t0"]);
    assert_eq!(tight.relieve(), ["w1 drop t0", "spill t0", "pressure None"]);
    assert_eq!(tight.scene.node.memory_use().used, 70 * MIB);
    assert_eq!(tight.written(0), ["w1 free 0"]);
    assert_eq!(tight.scene.node.memory_use().used, 60 * MIB);
}

#[test]
fn an_object_that_cannot_be_published_stays_and_is_not_asked_for_again() {
    let mut tight = Tight::new();
    tight.scene.returned_large(ALICE, 0, Value::Live, 20 * MIB);
    tight.scene.node.memory_measured(80 * MIB, 0);
    assert_eq!(tight.relieve(), ["w1 publish t0", "pressure NoRoots"]);
    tight.scene.published(0, Err(Bytes::from_static(b"no pickle")));
    assert_eq!(tight.relieve(), ["pressure RootsAlone"]);
}

#[test]
fn what_a_lost_worker_was_to_publish_is_not_waited_for() {
    let mut tight = Tight::new();
    tight.scene.returned_large(ALICE, 0, Value::Live, 20 * MIB);
    tight.scene.node.memory_measured(80 * MIB, 0);
    tight.relieve();
    tight.scene.lost(ALICE);
    assert_eq!(tight.relieve(), ["pressure RootsAlone"]);
}

#[test]
fn the_less_memory_there_is_the_less_is_started_and_at_last_one_task_at_a_time() {
    let mut tight = Tight::new();
    for (used, pressure) in [(76, "RootsAlone"), (91, "Alone"), (80, "RootsAlone"), (50, "None")] {
        tight.scene.node.memory_measured(used * MIB, 0);
        assert_eq!(tight.relieve(), [format!("pressure {pressure}")], "{used}");
    }
}

#[test]
fn idle_memory_of_arenas_counts() {
    let mut tight = Tight::with_results(3);
    tight.scene.node.memory_measured(5 * MIB, 50 * MIB);
    assert_eq!(tight.scene.node.memory_use().used, 55 * MIB);
}

#[test]
fn a_task_whose_inputs_never_fit_is_refused_with_both_numbers() {
    let mut tight = Tight::with_results(11);
    let inputs: Vec<u32> = (0..11).collect();
    let (needed, available) = (110 * MIB, 100 * MIB);
    assert_eq!(
        tight.scene.run(BOB, 20, &inputs),
        [format!("t20 refused: {needed} of {available}, too large")]
    );
    assert_eq!(tight.scene.run(BOB, 21, &inputs[..2]).len(), 2, "others start");
}

#[test]
fn a_disk_that_stays_full_makes_tasks_fail_and_is_tried_again() {
    let mut tight = Tight::with_results(10);
    assert_eq!(tight.relieve(), ["spill t9", "pressure Paused"]);
    let no_room = || Err("no room".to_owned());
    tight.spilled(9, no_room());
    assert_eq!(tight.relieve(), Vec::<String>::new(), "there may be room soon");
    for _ in 0..2 {
        tight.now += Duration::from_secs(1);
        assert_eq!(tight.relieve(), ["spill t9"]);
        tight.spilled(9, no_room());
    }
    assert_eq!(tight.relieve(), ["pressure Alone"]);
    let (needed, available) = (100 * MIB, 100 * MIB);
    let root = tight.scene.run(BOB, 20, &[]);
    assert_eq!(root, [format!("t20 refused: {needed} of {available}, no room")]);
    assert_eq!(tight.scene.run(BOB, 21, &[0]).len(), 2, "it may free what it reads");
    tight.now += Duration::from_secs(1);
    assert_eq!(tight.relieve()[0], "spill t9");
    tight.written(9);
    assert_eq!(tight.scene.run(BOB, 22, &[]).len(), 1, "the disk works again");
}

#[test]
fn a_worker_that_is_given_up_ends_what_it_has_and_its_inputs_stay_meanwhile() {
    let mut scene = Scene::new();
    scene.returned(BOB, 0, stored(BOB.0, 64));
    scene.returned(ALICE, 1, Value::Live);
    scene.returned(BOB, 2, Value::Live);
    scene.run(ALICE, 3, &[0, 1]);
    scene.run(ALICE, 4, &[2]);
    let attempts = [(TaskId(3), FIRST), (TaskId(4), FIRST)];
    let sent = scene.node.worker_given_up(ALICE, &attempts, &mut scene.outputs);
    // The second one waits here for its input, so the worker knows nothing of it.
    assert_eq!(sent, [(TaskId(3), FIRST)]);
    let told = told(&mut scene.outputs);
    assert!(told[0].contains("Cancel"), "{told:?}");
    assert_eq!(told[1..], ["w1 drop t1"]);
    assert!(scene.drop_kept(0).is_empty(), "the worker may read it when it goes on");
    let value = stored(ALICE.0, 128);
    scene.node.returned_in_vain(ALICE, (TaskId(3), FIRST), &value, &mut scene.outputs);
    assert_eq!(self::told(&mut scene.outputs), ["w1 free 128"]);
    assert_eq!(scene.unpinned(Reader::Worker(ALICE), (BOB.0, 64)), ["w2 free 64"]);
}
