//! Zygotes with real processes. Workers here are a few lines of Python that do what a test says.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use oxidask_runtime::node::zygote::{
    ExitCause, WorkerNumber, WorkerOptions, Zygote, ZygoteEvent, ZygoteOptions,
};

/// Much longer than anything here takes, also on a machine that is busy.
const LONG: Duration = Duration::from_secs(60);

const ROLE: &str = "OXIDASK_TEST_ROLE";

/// Runs lines of Python that come over the socket, and answers with the value of `answer`.
const WORKER: &str = r#"
import os, signal, socket, subprocess, sys

def main(path, number, threads):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        stream = connection.makefile("rw")
        print(number, os.getpid(), file=stream, flush=True)
        names = {"threads": threads, **globals()}
        for line in stream:
            exec(line, names)
            print(names.pop("answer", None), file=stream, flush=True)
"#;

/// A folder with the module `worker` and a socket, gone at the end of the test.
struct Place(PathBuf);

impl Place {
    fn new(test: &str) -> Self {
        let name = format!("oxidask-zygote-{test}-{}", std::process::id());
        let place = std::env::temp_dir().join(name);
        fs::create_dir(&place).expect("the name is new");
        fs::write(place.join("stand_in.py"), WORKER).expect("the folder is ours");
        Self(place)
    }

    fn socket(&self) -> PathBuf {
        self.0.join("socket")
    }

    fn listen(&self) -> UnixListener {
        UnixListener::bind(self.socket()).expect("the folder is ours")
    }

    fn options(&self) -> ZygoteOptions {
        options(&self.0)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).expect("it is there");
    }
}

fn options(place: &Path) -> ZygoteOptions {
    let python = std::env::var_os("PYTHON").unwrap_or_else(|| "python3".into());
    let looked_up = Command::new(python)
        .args(["-c", "import sys; print(sys.executable, *sys.path, sep='\\n', end='')"])
        .output()
        .expect("Python is installed, or PYTHON says where");
    let looked_up = String::from_utf8(looked_up.stdout).expect("paths here are text");
    let (python, search_path) = looked_up.split_once('\n').expect("there are several lines");
    let mut search_path: Vec<_> = search_path.lines().map(Into::into).collect();
    search_path.insert(0, place.into());
    ZygoteOptions {
        python: python.into(),
        arguments: vec!["-B".into()],
        script: Path::new(env!("CARGO_MANIFEST_DIR")).join("../../python/oxidask/_zygote.py"),
        environment: std::env::vars_os().collect(),
        folder: place.to_owned(),
        search_path,
        hash_seed: 7,
        imports: vec!["random".into(), "surely_not_installed".into()],
        worker_main: "stand_in:main".into(),
    }
}

fn start(options: ZygoteOptions) -> (Zygote, Receiver<ZygoteEvent>) {
    let (sender, events) = mpsc::channel();
    let zygote = Zygote::start(options, move |event| {
        // A test that has seen enough does not listen any more.
        let _ = sender.send(event);
    });
    (zygote.expect("Python is there"), events)
}

fn next(events: &Receiver<ZygoteEvent>) -> ZygoteEvent {
    events.recv_timeout(LONG).expect("something happens")
}

/// The next event is a worker's start; returns its process.
fn started(events: &Receiver<ZygoteEvent>, number: u32) -> u32 {
    match next(events) {
        ZygoteEvent::WorkerStarted { number: WorkerNumber(its_number), process }
            if its_number == number =>
        {
            process
        }
        event => panic!("expected the start of worker {number}, got {event:?}"),
    }
}

/// The next event is a worker's end; returns how.
fn exited(events: &Receiver<ZygoteEvent>, number: u32) -> ExitCause {
    match next(events) {
        ZygoteEvent::WorkerExited { number: WorkerNumber(its_number), cause, .. }
            if its_number == number =>
        {
            cause
        }
        event => panic!("expected the end of worker {number}, got {event:?}"),
    }
}

fn order(zygote: &Zygote, place: &Place, number: u32) {
    let worker = WorkerOptions {
        number: WorkerNumber(number),
        socket_path: place.socket(),
        threads: 3,
        blas_threads: 1,
    };
    zygote.start_worker(&worker).expect("the zygote runs");
}

/// A worker that has connected.
struct Worker {
    stream: BufReader<UnixStream>,
    number: u32,
    process: u32,
}

impl Worker {
    fn accept(listener: &UnixListener) -> Self {
        let mut stream = BufReader::new(listener.accept().expect("a worker connects").0);
        stream.get_ref().set_read_timeout(Some(LONG)).expect("it is not zero");
        let mut line = String::new();
        stream.read_line(&mut line).expect("it says who it is");
        let mut numbers = line.split_whitespace().map(|word| word.parse().expect("a number"));
        let mut number = || numbers.next().expect("two numbers");
        Self { number: number(), process: number(), stream }
    }

    fn tell(&mut self, line: &str) {
        writeln!(self.stream.get_ref(), "{line}").expect("it runs");
    }

    /// The value of a Python expression in the worker.
    fn ask(&mut self, expression: &str) -> String {
        self.tell(&format!("answer = {expression}"));
        let mut answer = String::new();
        self.stream.read_line(&mut answer).expect("it answers");
        answer.trim_end().to_owned()
    }

    /// Waits until it has ended, or at least closed its connection.
    fn ends(mut self) -> bool {
        matches!(self.stream.read_line(&mut String::new()), Ok(0) | Err(_))
    }
}

/// Waits until a process has ended. That somebody waits for it is not needed.
fn ends(process: u32) -> bool {
    let stat = PathBuf::from(format!("/proc/{process}/stat"));
    for _ in 0..LONG.as_millis() / 5 {
        match fs::read_to_string(&stat) {
            Ok(stat) if !stat.contains(") Z ") => std::thread::sleep(Duration::from_millis(5)),
            _ => return true,
        }
    }
    false
}

#[test]
fn workers_get_what_they_need_to_know() {
    let place = Place::new("start");
    let listener = place.listen();
    let (zygote, events) = start(place.options());
    order(&zygote, &place, 4);
    assert_eq!(next(&events), ZygoteEvent::Ready);
    let process = started(&events, 4);
    let mut worker = Worker::accept(&listener);
    assert_eq!((worker.number, worker.process), (4, process));
    assert_eq!(worker.ask("threads"), "3");
    assert_eq!(worker.ask("os.getppid()"), zygote.process().to_string());
    assert_eq!(worker.ask("os.getcwd()"), place.0.to_string_lossy());
    assert_eq!(worker.ask("os.environ['PYTHONHASHSEED']"), "7");
    assert_eq!(worker.ask("sys.dont_write_bytecode"), "True");
    assert_eq!(worker.ask("os.getsid(0) == os.getpid()"), "True");
    drop(zygote);
    assert_eq!(exited(&events, 4), ExitCause::Signal(9));
    assert_eq!(next(&events), ZygoteEvent::Ended { cause: ExitCause::Code(0), reason: None });
    assert!(worker.ends());
}

#[test]
fn ends_of_workers_are_reported_as_they_were() {
    let place = Place::new("exit");
    let listener = place.listen();
    let (zygote, events) = start(place.options());
    assert_eq!(next(&events), ZygoteEvent::Ready);
    let ways = [
        ("sys.exit(3)", ExitCause::Code(3)),
        ("os._exit(200)", ExitCause::Code(200)),
        ("raise SystemExit", ExitCause::Code(0)),
        ("os.kill(os.getpid(), signal.SIGSEGV)", ExitCause::Signal(11)),
        ("1 / 0", ExitCause::Code(1)),
    ];
    // One after the other under one number: it is free again when the end is reported.
    for (line, cause) in ways {
        order(&zygote, &place, 0);
        started(&events, 0);
        let mut worker = Worker::accept(&listener);
        worker.tell(&format!("sys.stderr = None; {line}"));
        assert_eq!(exited(&events, 0), cause, "{line}");
    }
}

#[test]
fn one_of_two_workers_can_be_killed() {
    let place = Place::new("kill");
    let listener = place.listen();
    let (zygote, events) = start(place.options());
    assert_eq!(next(&events), ZygoteEvent::Ready);
    for number in [0, 1] {
        order(&zygote, &place, number);
        started(&events, number);
    }
    let mut workers = [(); 2].map(|()| Worker::accept(&listener));
    workers.sort_by_key(|worker| worker.number);
    let [first, mut second] = workers;
    zygote.signal_worker(WorkerNumber(0), 15).expect("the zygote runs");
    assert_eq!(exited(&events, 0), ExitCause::Signal(15));
    assert!(first.ends());
    zygote.signal_worker(WorkerNumber(0), 15).expect("it is no error that it has ended");
    assert_eq!(second.ask("1 + 1"), "2");
}

#[test]
fn a_number_is_given_to_one_worker_at_a_time() {
    let place = Place::new("twice");
    let _listener = place.listen();
    let (zygote, events) = start(place.options());
    assert_eq!(next(&events), ZygoteEvent::Ready);
    order(&zygote, &place, 5);
    started(&events, 5);
    order(&zygote, &place, 5);
    let reason = "there is a worker 5 already".to_owned();
    assert_eq!(next(&events), ZygoteEvent::WorkerNotStarted { number: WorkerNumber(5), reason });
}

#[test]
fn what_a_task_started_ends_with_its_worker() {
    let place = Place::new("group");
    let listener = place.listen();
    let (zygote, events) = start(place.options());
    assert_eq!(next(&events), ZygoteEvent::Ready);
    let mut sleepers = Vec::new();
    for number in [0, 1] {
        order(&zygote, &place, number);
        started(&events, number);
        let mut worker = Worker::accept(&listener);
        let sleeper = worker.ask("subprocess.Popen(['sleep', '1000']).pid");
        sleepers.push(sleeper.parse().expect("a process id"));
        if number == 0 {
            worker.tell("os.kill(os.getpid(), 9)");
            assert_eq!(exited(&events, 0), ExitCause::Signal(9));
            assert!(ends(sleepers[0]));
        }
    }
    drop(zygote);
    assert!(ends(sleepers[1]));
}

#[test]
fn a_killed_zygote_is_reported_and_takes_its_workers_along() {
    let place = Place::new("killed");
    let listener = place.listen();
    let (zygote, events) = start(place.options());
    assert_eq!(next(&events), ZygoteEvent::Ready);
    order(&zygote, &place, 0);
    let process = started(&events, 0);
    let worker = Worker::accept(&listener);
    kill(zygote.process());
    assert_eq!(next(&events), ZygoteEvent::Ended { cause: ExitCause::Signal(9), reason: None });
    assert!(worker.ends());
    assert!(ends(process));
    let worker = WorkerOptions {
        number: WorkerNumber(1),
        socket_path: place.socket(),
        threads: 1,
        blas_threads: 1,
    };
    assert!(zygote.start_worker(&worker).is_err());
}

#[test]
fn a_worker_stuck_in_native_code_ends_with_the_zygote() {
    let place = Place::new("stopped");
    let listener = place.listen();
    let (zygote, events) = start(place.options());
    assert_eq!(next(&events), ZygoteEvent::Ready);
    order(&zygote, &place, 0);
    let process = started(&events, 0);
    let mut worker = Worker::accept(&listener);
    worker.tell("os.kill(os.getpid(), signal.SIGSTOP)");
    kill(zygote.process());
    assert!(ends(process));
}

#[test]
fn what_is_wrong_with_the_modules_is_said() {
    let place = Place::new("broken");
    fs::write(place.0.join("stand_in.py"), "import surely_not_there").expect("is ours");
    let (_zygote, events) = start(place.options());
    match next(&events) {
        ZygoteEvent::Ended { cause: ExitCause::Code(1), reason: Some(reason) } => {
            assert!(reason.contains("No module named 'surely_not_there'"), "{reason}");
        }
        event => panic!("expected the end, got {event:?}"),
    }
}

#[test]
fn an_interpreter_that_is_not_there_is_an_error() {
    let place = Place::new("python");
    let options = ZygoteOptions { python: place.0.join("python"), ..place.options() };
    let error = Zygote::start(options, |event| panic!("{event:?}")).expect_err("it is not there");
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
}

#[test]
fn a_path_with_a_zero_byte_is_an_error() {
    let place = Place::new("zero");
    let (zygote, _events) = start(place.options());
    let worker = WorkerOptions {
        number: WorkerNumber(1),
        socket_path: "a\0b".into(),
        threads: 1,
        blas_threads: 1,
    };
    let error = zygote.start_worker(&worker).expect_err("no file has such a name");
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
}

#[test]
fn a_zygote_can_be_dropped_while_it_imports() {
    let place = Place::new("early");
    fs::write(place.0.join("stand_in.py"), "import time; time.sleep(1000)").expect("is ours");
    let (zygote, events) = start(place.options());
    order(&zygote, &place, 0);
    drop(zygote);
    assert!(matches!(next(&events), ZygoteEvent::Ended { reason: None, .. }));
}

#[test]
fn nothing_survives_a_killed_parent() {
    let place = Place::new("orphans");
    let listener = place.listen();
    let mut parent = start_again("parent", &place);
    let mut workers = [(); 2].map(|()| Worker::accept(&listener));
    let zygote = workers[0].ask("os.getppid()").parse().expect("a process id");
    workers[1].tell("os.kill(os.getpid(), signal.SIGSTOP)");
    parent.kill().expect("is ours");
    parent.wait().expect("is ours");
    assert!(ends(zygote));
    for worker in workers {
        assert!(ends(worker.process));
    }
}

/// Starts this program again in a role of `other_process`.
fn start_again(role: &str, place: &Place) -> Child {
    Command::new(std::env::current_exe().expect("is known"))
        .args(["--ignored", "--exact", "other_process", "--nocapture"])
        .env(ROLE, role)
        .current_dir(&place.0)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("can be started")
}

#[test]
#[ignore = "the other process of the tests above"]
fn other_process() {
    assert_eq!(std::env::var(ROLE).as_deref(), Ok("parent"), "a test says what to do");
    let folder = std::env::current_dir().expect("a test says where");
    let (zygote, events) = start(options(&folder));
    for number in [0, 1] {
        let socket_path = folder.join("socket");
        let number = WorkerNumber(number);
        let worker = WorkerOptions { number, socket_path, threads: 1, blas_threads: 1 };
        zygote.start_worker(&worker).expect("the zygote runs");
    }
    // Until it is killed.
    while events.recv().is_ok() {}
}

fn kill(process: u32) {
    let process = rustix::process::Pid::from_raw(process.cast_signed()).expect("it is not 0");
    rustix::process::kill_process(process, rustix::process::Signal::KILL).expect("it is ours");
}
