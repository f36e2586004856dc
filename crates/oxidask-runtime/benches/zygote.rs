//! How long it takes until workers run Python code.
//!
//! `PYTHON=.venv/bin/python cargo bench -p oxidask-runtime --bench zygote`. Claims: on an idle machine
//! two workers are there a quarter of a second after the zygote was started, with everything imported;
//! and when a worker has died, the next is there after 30 ms.

use std::fs;
use std::io::Read;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use oxidask_runtime::node::zygote::{
    WorkerNumber, WorkerOptions, Zygote, ZygoteEvent, ZygoteOptions,
};

const STARTS: usize = 5;
const RESTARTS: usize = 20;

/// Connects and waits for the end.
const WORKER: &str = "
import socket
def main(path, number, threads):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        connection.recv(1)
";

fn main() {
    let folder = std::env::temp_dir().join(format!("oxidask-bench-{}", std::process::id()));
    fs::create_dir(&folder).expect("the name is new");
    fs::write(folder.join("stand_in.py"), WORKER).expect("the folder is ours");
    let socket_path = folder.join("socket");
    let listener = UnixListener::bind(&socket_path).expect("the folder is ours");
    let options = options(&folder);

    let mut ready = Vec::new();
    let mut restarted = Vec::new();
    for _ in 0..STARTS {
        let begin = Instant::now();
        let (sender, events) = mpsc::channel();
        let zygote = Zygote::start(options.clone(), move |event| {
            let _ = sender.send(event);
        })
        .expect("Python is there");
        for number in [0, 1] {
            zygote.start_worker(&worker(number, &socket_path)).expect("it runs");
        }
        let accept = || listener.accept().expect("a worker connects").0;
        let mut workers = vec![accept(), accept()];
        ready.push(begin.elapsed());
        for _ in 0..RESTARTS {
            zygote.signal_worker(WorkerNumber(0), 9).expect("it runs");
            while !matches!(events.recv(), Ok(ZygoteEvent::WorkerExited { .. })) {}
            let begin = Instant::now();
            zygote.start_worker(&worker(0, &socket_path)).expect("it runs");
            workers.push(accept());
            restarted.push(begin.elapsed());
        }
        drop(zygote);
        for mut worker in workers {
            assert_eq!(worker.read(&mut [0]).unwrap_or(0), 0, "it ended with the zygote");
        }
    }
    report("start, until two workers run", ready);
    report("a worker in the place of another", restarted);
    fs::remove_dir_all(&folder).expect("it is there");
}

fn options(folder: &Path) -> ZygoteOptions {
    let python = std::env::var_os("PYTHON").unwrap_or_else(|| "python3".into());
    // Cargo runs benches in the folder of the crate.
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let looked_up = Command::new(python)
        .args(["-c", "import sys; print(sys.executable, *sys.path, sep='\\n', end='')"])
        .current_dir(&root)
        .output()
        .expect("Python is installed, or PYTHON says where");
    let looked_up = String::from_utf8(looked_up.stdout).expect("paths here are text");
    let (python, search_path) = looked_up.split_once('\n').expect("there are several lines");
    let mut search_path: Vec<_> = search_path.lines().map(Into::into).collect();
    search_path.push(folder.into());
    ZygoteOptions {
        python: PathBuf::from(python),
        arguments: Vec::new(),
        script: root.join("python/oxidask/_zygote.py"),
        environment: std::env::vars_os().collect(),
        folder: folder.to_owned(),
        search_path,
        hash_seed: 0,
        imports: ["oxidask", "numpy", "numpy.random", "cloudpickle"].map(Into::into).into(),
        worker_main: "stand_in:main".into(),
    }
}

fn worker(number: u32, socket_path: &Path) -> WorkerOptions {
    let (number, socket_path) = (WorkerNumber(number), socket_path.to_owned());
    WorkerOptions { number, socket_path, threads: 1, blas_threads: 1 }
}

fn report(name: &str, mut times: Vec<Duration>) {
    times.sort();
    let [best, median] = [times[0], times[times.len() / 2]].map(|time| time.as_secs_f64() * 1e3);
    println!("{name:<36} best {best:>6.1} ms, median {median:>6.1} ms");
}
