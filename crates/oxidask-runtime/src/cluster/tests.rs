//! A cluster whose workers and clients only take notes.

use std::collections::BTreeSet;
use std::fs::File;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use oxidask_protocol::{
    Attempt, Ending, FromClient, FromWorker, Graph, NoValue, Objects, Problem, Said, Stored,
    Stretch, TaskId, ToClient, ToWorker, Value, WorkerId,
};

use super::{ClientLine, Cluster, Death, Look, Settings, WorkerInfo, WorkerLine};

fn lasting(duration_ns: u64) -> Stretch {
    Stretch { duration_ns, ..Stretch::default() }
}

struct Notes<M>(Mutex<Vec<M>>);

impl<M> Default for Notes<M> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<M> Notes<M> {
    fn take(&self) -> Vec<M> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

impl WorkerLine for Notes<ToWorker> {
    fn say(&self, message: ToWorker) -> Option<FromWorker> {
        self.0.lock().unwrap().push(message);
        None
    }
}

impl ClientLine for Notes<ToClient> {
    fn say(&self, message: ToClient) {
        self.0.lock().unwrap().push(message);
    }
}

struct Scene {
    cluster: Cluster,
    client: u64,
    heard: Arc<Notes<ToClient>>,
}

impl Scene {
    fn new() -> Self {
        Self::with(Settings::default())
    }

    fn with(settings: Settings) -> Self {
        let cluster = Cluster::new(settings);
        let heard = Arc::<Notes<ToClient>>::default();
        let mut scene = Self { cluster, client: 0, heard };
        scene.client = scene.join(&scene.heard);
        scene
    }

    /// One more client.
    fn join(&self, heard: &Arc<Notes<ToClient>>) -> u64 {
        let number = self.cluster.client_joined(Arc::clone(heard) as _);
        let greeting = heard.take();
        let [ToClient::Welcome { client, .. }] = greeting.as_slice() else {
            panic!("{greeting:?}")
        };
        assert_eq!(*client, number);
        number
    }

    fn worker(&self) -> (WorkerId, Arc<Notes<ToWorker>>) {
        let worker = self.cluster.next_worker();
        let notes = Arc::<Notes<ToWorker>>::default();
        let info = WorkerInfo { pid: 1, threads: 1, arena: Some(worker.0), name: String::new() };
        self.cluster.worker_joined(worker, info, Arc::clone(&notes) as _);
        (worker, notes)
    }

    fn submit(&self, graph: Graph) {
        self.cluster.hear_client(self.client, FromClient::Submit(Box::new(graph)));
    }

    fn returns(&self, worker: WorkerId, run: (TaskId, Attempt), text: &'static str) {
        let value = Value::Inline(Bytes::from_static(text.as_bytes()));
        let ending = Ending::Returned { value, nbytes: 1 };
        let message =
            FromWorker::Ended { task: run.0, attempt: run.1, ending, stretch: lasting(1000) };
        self.cluster.hear_worker(worker, [message]);
    }
}

/// Tasks that read each other as `inputs` says; numbers from `count` on are externals.
fn graph(first: u64, inputs: &[&[u32]], externals: &[u64]) -> Graph {
    let count = inputs.len() as u32;
    let mut starts = vec![0];
    for row in inputs {
        starts.push(starts.last().unwrap() + row.len() as u32);
    }
    Graph {
        first,
        starts,
        inputs: inputs.concat(),
        externals: externals.to_vec(),
        rank: (0..count).collect(),
        groups: vec![0; inputs.len()],
        names: vec!["f".to_owned()],
        wanted: (0..count).collect(),
        program_ends: vec![0; inputs.len()],
        identities: (0..u128::from(count)).collect(),
        ..Graph::default()
    }
}

fn dead_of(cause: String, task: TaskId) -> Death {
    Death { cause, crashed: true, running: vec![task], overdue: Vec::new() }
}

/// A task that may run for a minute, and is tried so often.
fn limited(first: u64, tries: u32) -> Graph {
    Graph {
        time_limits: vec![(0, Duration::from_secs(60))],
        retries: vec![(0, tries - 1)],
        ..graph(first, &[&[]], &[])
    }
}

fn runs(messages: &[ToWorker]) -> Vec<(TaskId, Attempt, usize)> {
    messages
        .iter()
        .filter_map(|message| match message {
            ToWorker::Run(run) => Some((run.task, run.attempt, run.inputs.len())),
            _ => None,
        })
        .collect()
}

fn problems(messages: &[ToClient]) -> Vec<Problem> {
    messages
        .iter()
        .filter_map(|message| match message {
            ToClient::Erred { problem, .. } => Some((**problem).clone()),
            _ => None,
        })
        .collect()
}

#[test]
fn a_task_goes_to_a_worker_and_its_small_result_comes_with_the_news() {
    let scene = Scene::new();
    let (worker, notes) = scene.worker();
    scene.submit(graph(0, &[&[]], &[]));
    let &[(task, attempt, 0)] = runs(&notes.take()).as_slice() else { panic!("one task runs") };
    scene.returns(worker, (task, attempt), "4");
    let heard = scene.heard.take();
    let [ToClient::Finished { tasks }] = heard.as_slice() else { panic!("{heard:?}") };
    assert_eq!(tasks.as_slice(), [(0, Some(Bytes::from_static(b"4")))]);
}

#[test]
fn a_later_task_reads_the_result_of_an_earlier_one() {
    let scene = Scene::new();
    let (worker, notes) = scene.worker();
    scene.submit(graph(0, &[&[]], &[]));
    let (task, attempt, _) = runs(&notes.take())[0];
    scene.returns(worker, (task, attempt), "4");
    scene.submit(graph(10, &[&[1]], &[0]));
    assert_eq!(runs(&notes.take()).len(), 1);
}

#[test]
fn a_graph_that_makes_no_sense_is_refused_and_harms_nobody() {
    let scene = Scene::new();
    let (_, notes) = scene.worker();
    // It reads itself; it reads what is not there; the same twice; an earlier task that is gone.
    scene.submit(graph(0, &[&[0]], &[]));
    scene.submit(graph(1, &[&[5]], &[]));
    scene.submit(graph(2, &[&[], &[0, 0]], &[]));
    scene.submit(graph(9, &[&[1]], &[77]));
    assert!(runs(&notes.take()).is_empty());
    let problems = problems(&scene.heard.take());
    assert_eq!(problems.len(), 5);
    assert_eq!(problems[4], Problem::Unknown { task: 77 });
    scene.submit(graph(20, &[&[]], &[]));
    assert_eq!(runs(&notes.take()).len(), 1);
}

#[test]
fn a_task_that_kills_its_workers_is_given_up_with_the_cause() {
    let scene = Scene::new();
    scene.submit(graph(0, &[&[]], &[]));
    let mut deaths = 0;
    let problems = loop {
        let (worker, notes) = scene.worker();
        let Some(&(task, _, _)) = runs(&notes.take()).first() else {
            break problems(&scene.heard.take());
        };
        deaths += 1;
        let cause = "was killed by signal 9".to_owned();
        scene.cluster.worker_lost(worker, dead_of(cause, task));
    };
    assert_eq!(deaths, 4);
    let [Problem::Killed { times: 4, cause, .. }] = problems.as_slice() else {
        panic!("{problems:?}")
    };
    assert_eq!(cause, "was killed by signal 9");
}

#[test]
fn a_worker_hears_how_long_a_task_may_run() {
    let scene = Scene::new();
    let (_, notes) = scene.worker();
    scene.submit(limited(0, 1));
    let told = notes.take();
    let [ToWorker::Run(run)] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!(run.time_limit, Some(Duration::from_secs(60)));
}

#[test]
fn a_task_that_was_out_of_time_and_raises_when_it_is_tried_again_has_raised() {
    let scene = Scene::new();
    let (worker, notes) = scene.worker();
    scene.submit(limited(0, 2));
    let error = Bytes::from_static(b"error");
    for ending in [
        Ending::OutOfTime { error: None },
        Ending::Raised { error: error.clone(), said: Said::default() },
    ] {
        let (task, attempt, _) = runs(&notes.take())[0];
        let ended = FromWorker::Ended { task, attempt, ending, stretch: lasting(1) };
        scene.cluster.hear_worker(worker, [ended]);
    }
    let problems = problems(&scene.heard.take());
    let [Problem::Raised { error: told, .. }] = problems.as_slice() else { panic!("{problems:?}") };
    assert_eq!(told, &error);
}

#[test]
fn a_task_for_which_its_worker_was_ended_is_told_as_out_of_time_and_no_other() {
    let scene = Scene::new();
    let worker = scene.cluster.next_worker();
    let notes = Arc::<Notes<ToWorker>>::default();
    let info = WorkerInfo { pid: 1, threads: 2, arena: Some(worker.0), name: String::new() };
    scene.cluster.worker_joined(worker, info, Arc::clone(&notes) as _);
    scene.submit(limited(0, 1));
    scene.submit(graph(1, &[&[]], &[]));
    let tasks: Vec<TaskId> = runs(&notes.take()).iter().map(|run| run.0).collect();
    let [late, beside] = tasks[..] else { panic!("{tasks:?}") };
    // What the worker has written there may be anything.
    let overdue = vec![late, TaskId(1000)];
    let death = Death { cause: String::new(), crashed: false, running: tasks, overdue };
    scene.cluster.worker_lost(worker, death);
    let problems = problems(&scene.heard.take());
    let [Problem::OutOfTime { limit, error: None, .. }] = problems.as_slice() else {
        panic!("{problems:?}")
    };
    assert_eq!(*limit, Duration::from_secs(60));
    let (_, other_notes) = scene.worker();
    assert_eq!(runs(&other_notes.take()), [(beside, Attempt(1), 0)]);
}

#[test]
fn what_a_client_wanted_goes_with_it() {
    let scene = Scene::new();
    let (worker, notes) = scene.worker();
    scene.submit(graph(0, &[&[]], &[]));
    let (task, attempt, _) = runs(&notes.take())[0];
    scene.returns(worker, (task, attempt), "4");
    assert!(scene.cluster.is_current(task, attempt));
    scene.cluster.client_lost(scene.client);
    assert!(!scene.cluster.is_current(task, attempt));
}

#[test]
fn a_cancelled_task_and_what_needs_it_are_told_as_cancelled() {
    let scene = Scene::new();
    let (_, notes) = scene.worker();
    scene.submit(graph(0, &[&[], &[0]], &[]));
    scene
        .cluster
        .hear_client(scene.client, FromClient::Cancel { tasks: vec![0], reason: String::new() });
    let problems = problems(&scene.heard.take());
    assert!(problems.iter().all(|problem| matches!(problem, Problem::Cancelled { .. })));
    assert_eq!(problems.len(), 2);
    assert!(notes.take().iter().any(|message| matches!(message, ToWorker::Cancel { .. })));
}

#[test]
fn a_worker_is_given_the_shared_parts_of_its_tasks_and_no_others() {
    const COUNT: u32 = 100;
    let scene = Scene::new();
    let workers = [scene.worker(), scene.worker()];
    let code = |hash| (u128::from(hash), Value::Inline(Bytes::from_static(b"code")));
    scene.submit(Graph {
        // Part 0 is for all tasks, the next ones for a task each.
        shared: (0..=COUNT).map(code).collect(),
        part_sets: (0..COUNT).map(|task| vec![0, task + 1]).collect(),
        part_set_of: (0..COUNT).collect(),
        ..graph(0, &vec![&[] as &[u32]; COUNT as usize], &[])
    });
    let (mut given, mut run) = ([0; 2], [0; 2]);
    while run.iter().sum::<usize>() < COUNT as usize {
        for (place, (worker, notes)) in workers.iter().enumerate() {
            let messages = notes.take();
            let is_part = |message: &&ToWorker| matches!(message, ToWorker::Shared { .. });
            given[place] += messages.iter().filter(is_part).count();
            for (task, attempt, _) in runs(&messages) {
                run[place] += 1;
                scene.returns(*worker, (task, attempt), "4");
            }
        }
    }
    assert_eq!(given, run.map(|count| count + 1));
}

#[test]
fn a_client_shares_what_is_in_its_own_memory_only() {
    let scene = Scene::new();
    let (worker, notes) = scene.worker();
    let place = |arena, offset| {
        let (buffers, head) = (vec![100], Bytes::new());
        Value::Stored(Box::new(Stored { arena, offset, len: 100, buffers, head }))
    };
    let own = File::open("/dev/null").unwrap().into();
    let arena = scene.cluster.client_arena_added(scene.client, own);
    let with = |first, shared| Graph { shared, ..graph(first, &[&[]], &[]) };
    let frees = |heard: &[ToClient]| -> Vec<u64> {
        let offset = |message: &ToClient| match message {
            ToClient::Free { offset, .. } => Some(*offset),
            _ => None,
        };
        heard.iter().filter_map(offset).collect()
    };
    // Not the memory of a worker; what came along in its own is given back.
    scene.submit(with(0, vec![(1, place(worker.0, 0)), (2, place(arena, 500))]));
    scene.submit(with(1, vec![(1, Value::Live)]));
    assert!(runs(&notes.take()).is_empty());
    let heard = scene.heard.take();
    assert_eq!(problems(&heard).len(), 2);
    assert_eq!(frees(&heard), [500]);
    scene.submit(with(2, vec![(1, place(arena, 0))]));
    assert_eq!(runs(&notes.take()).len(), 1);
    scene.cluster.hear_client(scene.client, FromClient::Release { tasks: vec![2] });
    let (task, attempt) = (TaskId(0), Attempt(0));
    let ending = Ending::Stopped;
    scene
        .cluster
        .hear_worker(worker, [FromWorker::Ended { task, attempt, ending, stretch: lasting(0) }]);
    assert_eq!(frees(&scene.heard.take()), [0]);
}

#[test]
fn a_client_never_sees_the_tasks_of_another() {
    let scene = Scene::new();
    let (worker, notes) = scene.worker();
    let other = Arc::<Notes<ToClient>>::default();
    let second = scene.join(&other);
    scene.submit(graph(0, &[&[]], &[]));
    scene.cluster.hear_client(second, FromClient::Submit(Box::new(graph(0, &[&[]], &[]))));
    for (text, heard) in [("1", &scene.heard), ("2", &other)] {
        let (task, attempt, _) = runs(&notes.take())[0];
        scene.returns(worker, (task, attempt), text);
        let heard = heard.take();
        let [ToClient::Finished { tasks }] = heard.as_slice() else { panic!("{heard:?}") };
        assert_eq!(tasks[0].1.as_deref(), Some(text.as_bytes()));
    }
}

#[test]
fn a_client_that_adopts_a_task_hears_of_its_end_and_keeps_its_result() {
    let scene = Scene::new();
    let (worker, notes) = scene.worker();
    let other = Arc::<Notes<ToClient>>::default();
    let second = scene.join(&other);
    scene.submit(graph(0, &[&[]], &[]));
    let adopt = |task| FromClient::Adopt { task, client: scene.client, theirs: 0 };
    scene.cluster.hear_client(second, adopt(5));
    let (task, attempt, _) = runs(&notes.take())[0];
    scene.returns(worker, (task, attempt), "1");
    let is_told = |number: u64| {
        let heard = other.take();
        let [ToClient::Finished { tasks }] = heard.as_slice() else { panic!("{heard:?}") };
        tasks.as_slice() == [(number, Some(Bytes::from_static(b"1")))]
    };
    assert!(is_told(5));
    // Also one that comes late, after the client that made it has let go.
    scene.cluster.hear_client(scene.client, FromClient::Release { tasks: vec![0] });
    scene.cluster.hear_client(second, FromClient::Submit(Box::new(graph(6, &[&[1]], &[5]))));
    assert_eq!(runs(&notes.take())[0].2, 1, "its result is an input");
    scene.cluster.hear_client(second, FromClient::Release { tasks: vec![5, 6] });
    scene.cluster.hear_client(second, adopt(9));
    assert!(matches!(problems(&other.take()).as_slice(), [Problem::Lost { .. }]));
}

fn stopped_now(settings_ttl: Option<Duration>) -> (Scene, WorkerId, Arc<Notes<ToWorker>>) {
    let scene = Scene::with(Settings { worker_ttl: settings_ttl, ..Settings::default() });
    let (worker, notes) = scene.worker();
    (scene, worker, notes)
}

#[test]
fn what_a_stopped_worker_ran_runs_elsewhere_and_its_late_answer_changes_nothing() {
    let (scene, stopped, notes) = stopped_now(Some(Duration::ZERO));
    scene.submit(graph(0, &[&[]], &[]));
    let (task, attempt, _) = runs(&notes.take())[0];
    let (other, other_notes) = scene.worker();
    scene.cluster.saw_stopped(&BTreeSet::from([stopped]));
    let told = notes.take();
    assert!(matches!(told.as_slice(), [ToWorker::Cancel { .. }]), "{told:?}");
    let (again, next, _) = runs(&other_notes.take())[0];
    assert_eq!(again, task);
    assert_ne!(next, attempt);
    scene.returns(other, (task, next), "4");
    scene.heard.take();

    // It goes on, and says what it has to say; then it is given work again.
    scene.cluster.saw_stopped(&BTreeSet::new());
    scene.submit(graph(10, &[&[], &[]], &[]));
    let told = other_notes.take();
    assert_eq!(runs(&told).len(), told.len(), "the other one has not ended what it had");
    scene.returns(stopped, (task, attempt), "wrong");
    let told = other_notes.take();
    let is_asked_back = told.iter().any(|one| matches!(one, ToWorker::Retract { .. }));
    assert!(is_asked_back, "it is welcome back, and gets what waits elsewhere: {told:?}");
    assert!(scene.cluster.is_current(task, next));
    scene.cluster.hear_client(scene.client, FromClient::Fetch { tasks: vec![0] });
    let heard = scene.heard.take();
    let [ToClient::Value { value: Ok(Value::Inline(value)), .. }] = heard.as_slice() else {
        panic!("{heard:?}")
    };
    assert_eq!(value.as_ref(), b"4");
}

#[test]
fn objects_of_a_stopped_worker_are_made_again() {
    let (scene, stopped, notes) = stopped_now(Some(Duration::ZERO));
    scene.submit(graph(0, &[&[]], &[]));
    let (task, attempt, _) = runs(&notes.take())[0];
    let ending = Ending::Returned { value: Value::Live, nbytes: 1 };
    scene.cluster.hear_worker(
        stopped,
        [FromWorker::Ended { task, attempt, ending, stretch: lasting(1000) }],
    );
    scene.cluster.saw_stopped(&BTreeSet::from([stopped]));
    assert!(notes.take().iter().any(|message| matches!(message, ToWorker::Drop { .. })));
    let (_, other_notes) = scene.worker();
    assert_eq!(runs(&other_notes.take())[0].0, task);
}

#[test]
fn a_worker_that_stood_still_for_a_moment_keeps_its_tasks() {
    for ttl in [None, Some(Duration::from_secs(3600))] {
        let (scene, stopped, notes) = stopped_now(ttl);
        scene.submit(graph(0, &[&[]], &[]));
        let (task, attempt, _) = runs(&notes.take())[0];
        scene.cluster.saw_stopped(&BTreeSet::from([stopped]));
        let is_still = || {
            let look =
                Look { worker: stopped, cpu_ns: 0, threads: Vec::new(), keys_of: Vec::new() };
            let sight = scene.cluster.news(vec![look]).sight.expect("somebody looked");
            sight.workers[0].stopped_ns.is_some()
        };
        assert!(is_still());
        scene.cluster.saw_stopped(&BTreeSet::new());
        assert!(!is_still());
        assert!(notes.take().is_empty());
        scene.returns(stopped, (task, attempt), "4");
        assert!(scene.cluster.is_current(task, attempt));
    }
}

#[test]
fn a_stopped_worker_that_dies_is_gone() {
    let (scene, stopped, notes) = stopped_now(Some(Duration::ZERO));
    scene.submit(graph(0, &[&[]], &[]));
    let (task, _, _) = runs(&notes.take())[0];
    scene.cluster.saw_stopped(&BTreeSet::from([stopped]));
    let cause = "was killed by signal 9".to_owned();
    scene.cluster.worker_lost(stopped, dead_of(cause, task));
    let (_, other_notes) = scene.worker();
    assert_eq!(runs(&other_notes.take())[0].0, task);
    assert!(problems(&scene.heard.take()).is_empty());
}

/// Numbers of workers that answered a call, and how.
fn answers(messages: &[ToClient]) -> Vec<(Option<WorkerId>, Result<Value, NoValue>)> {
    let answers = messages.iter().filter_map(|message| match message {
        ToClient::Answer { worker, answer, .. } => Some((*worker, answer.clone())),
        _ => None,
    });
    answers.collect()
}

#[test]
fn a_stopped_worker_answers_no_call_and_its_late_answer_changes_nothing() {
    let (scene, stopped, notes) = stopped_now(Some(Duration::ZERO));
    let (other, _) = scene.worker();
    let call = |call, workers: &[WorkerId]| FromClient::Call {
        call,
        workers: workers.to_vec(),
        program: Bytes::new(),
        objects: Objects::default(),
    };
    let answered = |worker, call| {
        let message = FromWorker::Answer { call, answer: Ok(Value::Inline(Bytes::new())) };
        scene.cluster.hear_worker(worker, [message]);
    };
    scene.cluster.hear_client(scene.client, call(0, &[stopped, other]));
    scene.cluster.saw_stopped(&BTreeSet::from([stopped]));
    let no_value = || (Some(stopped), Err(NoValue::Stopped { pid: 1 }));
    let end = (None, Ok(Value::Live));
    assert_eq!(answers(&scene.heard.take()), [no_value()]);
    answered(stopped, 0);
    assert!(answers(&scene.heard.take()).is_empty());
    answered(other, 0);
    assert_eq!(answers(&scene.heard.take())[1], end);
    notes.take();
    scene.cluster.hear_client(scene.client, call(1, &[stopped]));
    assert_eq!(answers(&scene.heard.take()), [no_value(), end]);
    assert!(notes.take().is_empty(), "it does not call the function when nobody waits");
}
