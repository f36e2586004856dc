//! The process from which workers are forked: started, told what to do, and watched.
//!
//! `python/oxidask/_zygote.py` is its other half and says why there is one. The thread that starts it
//! stays to receive its reports, because the system ends it when that thread ends. Nothing here waits
//! for a worker: their ends are reports.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};

/// How long a zygote may take to end its workers and itself before it is killed.
const GRACE: Duration = Duration::from_secs(5);

/// No message is longer: a search path has to fit.
const LONGEST_MESSAGE: usize = 1 << 24;

/// How to start a zygote. `_zygote.interpreter()` describes the running interpreter so.
#[derive(Debug, Clone)]
pub struct ZygoteOptions {
    /// The interpreter.
    pub python: PathBuf,
    /// Its flags (`-X`, `-W`, `-O` and the like).
    pub arguments: Vec<OsString>,
    /// Where `_zygote.py` is.
    pub script: PathBuf,
    /// All environment variables.
    pub environment: Vec<(OsString, OsString)>,
    /// The working directory.
    pub folder: PathBuf,
    /// `sys.path`.
    pub search_path: Vec<OsString>,
    /// `PYTHONHASHSEED`: the same in all workers of a cluster. Interpreters with the flag `-E` or
    /// `-I` ignore it; then it is one in all workers of this zygote.
    pub hash_seed: u32,
    /// Modules to import before workers are forked; one that is not installed is left out.
    pub imports: Vec<String>,
    /// `module:function`, which each worker calls with a socket's path, its number and its threads.
    pub worker_main: String,
}

/// What a worker is called as long as it lives; whoever starts it chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerNumber(pub u32);

/// A worker to start.
#[derive(Debug, Clone)]
pub struct WorkerOptions {
    /// No other worker that runs has it.
    pub number: WorkerNumber,
    /// Where the worker connects to.
    pub socket_path: PathBuf,
    /// Threads that run tasks.
    pub threads: u32,
    /// Threads that a numerical library may use at once, unless the environment says how many.
    pub blas_threads: u32,
}

/// What happened to a zygote or its workers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ZygoteEvent {
    /// All is imported. Orders given earlier are carried out now.
    Ready,
    /// A worker exists.
    WorkerStarted {
        /// Which.
        number: WorkerNumber,
        /// Its process id.
        process: u32,
    },
    /// A worker could not be started.
    WorkerNotStarted {
        /// Which.
        number: WorkerNumber,
        /// Why.
        reason: String,
    },
    /// A worker has ended, and what was left of what it had started was killed.
    WorkerExited {
        /// Which.
        number: WorkerNumber,
        /// Its process id.
        process: u32,
        /// How.
        cause: ExitCause,
    },
    /// The zygote has ended, and with it all workers. This is the last event.
    Ended {
        /// How.
        cause: ExitCause,
        /// What it said before, if it could not be made ready.
        reason: Option<String>,
    },
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitCause {
    /// It exited with this code.
    Code(i32),
    /// This signal killed it.
    Signal(i32),
    /// Somebody else has waited for it, and knows.
    Unknown,
}

impl From<ExitStatus> for ExitCause {
    fn from(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(code), _) => Self::Code(code),
            (None, Some(signal)) => Self::Signal(signal),
            (None, None) => Self::Unknown,
        }
    }
}

/// A running zygote. To drop it ends it and all its workers, and waits for that.
#[derive(Debug)]
pub struct Zygote {
    commands: Mutex<UnixStream>,
    process: Arc<Process>,
    thread: Option<JoinHandle<()>>,
    /// The process that started it. A fork of that has a copy of this, but no right to end it.
    owner: u32,
}

/// The zygote's process, which can be killed until somebody has waited for it.
#[derive(Debug)]
struct Process {
    id: Pid,
    /// None when its end is known.
    running: Mutex<Option<Child>>,
    has_ended: Condvar,
}

impl Process {
    fn new(child: Child) -> Self {
        let id = Pid::from_child(&child);
        Self { id, running: Mutex::new(Some(child)), has_ended: Condvar::new() }
    }

    fn signal(&self, signal: Signal) {
        if self.lock().is_some() {
            // If this fails it has ended, and that is what the signal is for.
            let _ = rustix::process::kill_process(self.id, signal);
        }
    }

    /// Whether it ends within this time.
    fn ends_within(&self, time: Duration) -> bool {
        let waiting = self.has_ended.wait_timeout_while(self.lock(), time, |child| child.is_some());
        waiting.expect("nobody panics with the lock").0.is_none()
    }

    fn wait(&self) -> ExitCause {
        // Without the lock, so that it can be killed meanwhile. If this fails, so does what follows.
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        let _ =
            rustix::io::retry_on_intr(|| rustix::process::waitid(WaitId::Pid(self.id), options));
        let mut child = self.lock().take().expect("it is waited for once");
        let cause = child.wait().map_or(ExitCause::Unknown, ExitCause::from);
        self.has_ended.notify_all();
        cause
    }

    fn lock(&self) -> MutexGuard<'_, Option<Child>> {
        self.running.lock().expect("nobody panics with the lock")
    }
}

impl Zygote {
    /// Starts a zygote. Workers can be ordered at once.
    ///
    /// Events come in a thread of their own, in order, the last of them
    /// [`Ended`](ZygoteEvent::Ended). That thread must not drop the zygote.
    pub fn start(
        options: ZygoteOptions,
        on_event: impl FnMut(ZygoteEvent) + Send + 'static,
    ) -> io::Result<Self> {
        let (ours, theirs) = UnixStream::pair()?;
        let reports = ours.try_clone()?;
        let preparation = prepare_message(&options)?;
        let (started, start) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("oxidask-zygote".into())
            .spawn(move || start_and_watch(options, theirs, reports, &started, on_event))?;
        let process = start.recv().expect("the thread says whether it could start the process")?;
        let zygote = Self {
            commands: Mutex::new(ours),
            process,
            thread: Some(thread),
            owner: std::process::id(),
        };
        zygote.send(&preparation)?;
        Ok(zygote)
    }

    /// Starts a worker. A report says whether it could be started.
    pub fn start_worker(&self, worker: &WorkerOptions) -> io::Result<()> {
        let WorkerOptions { number, socket_path, threads, blas_threads } = worker;
        self.send(&message([
            "fork".into(),
            number.0.to_string().into(),
            socket_path.into(),
            threads.to_string().into(),
            blas_threads.to_string().into(),
        ])?)
    }

    /// Sends a signal to a worker. If it has ended, nothing happens.
    pub fn signal_worker(&self, number: WorkerNumber, signal: i32) -> io::Result<()> {
        self.send(&message([
            "kill".into(),
            number.0.to_string().into(),
            signal.to_string().into(),
        ])?)
    }

    /// The zygote's process id.
    pub fn process(&self) -> u32 {
        self.process.id.as_raw_nonzero().get().cast_unsigned()
    }

    fn send(&self, message: &[u8]) -> io::Result<()> {
        self.commands.lock().expect("sending does not panic").write_all(message)
    }
}

impl Drop for Zygote {
    fn drop(&mut self) {
        if self.owner != std::process::id() {
            return;
        }
        // While it imports modules it has no workers, and the signal ends it at once.
        self.process.signal(Signal::TERM);
        // If that signal is ignored, it reads this. If it was closed by an end, that is no error.
        let _ = self.commands.lock().expect("sending does not panic").shutdown(Shutdown::Write);
        if !self.process.ends_within(GRACE) {
            self.process.signal(Signal::KILL);
        }
        let thread = self.thread.take().expect("it is taken here only");
        // An event handler that panicked has told so on the standard error.
        let _ = thread.join();
    }
}

/// What the zygote's thread does: start it, pass its reports on, wait for it.
fn start_and_watch(
    options: ZygoteOptions,
    theirs: UnixStream,
    reports: UnixStream,
    started: &Sender<io::Result<Arc<Process>>>,
    mut on_event: impl FnMut(ZygoteEvent),
) {
    let child = match spawn(options, theirs) {
        Ok(child) => child,
        Err(error) => {
            // If nobody wants to know, nobody waits.
            let _ = started.send(Err(error));
            return;
        }
    };
    let process = Arc::new(Process::new(child));
    let _ = started.send(Ok(Arc::clone(&process)));
    let reason = pass_reports_on(reports, &mut on_event);
    let cause = process.wait();
    on_event(ZygoteEvent::Ended { cause, reason });
}

fn spawn(options: ZygoteOptions, control: UnixStream) -> io::Result<Child> {
    Command::new(options.python)
        .args(options.arguments)
        .arg("-P") // The script's folder is not on the search path: our modules shadow Python's there.
        .arg(options.script)
        .env_clear()
        .envs(options.environment)
        .env("PYTHONHASHSEED", options.hash_seed.to_string())
        .current_dir(options.folder)
        .process_group(0) // Ctrl-C does not reach it.
        .stdin(Stdio::from(OwnedFd::from(control)))
        .spawn()
}

/// Ends when the zygote closes its end; returns why it could not be made ready.
fn pass_reports_on(
    mut reports: UnixStream,
    on_event: &mut impl FnMut(ZygoteEvent),
) -> Option<String> {
    let mut reason = None;
    while let Ok(fields) = receive(&mut reports) {
        match Report::of(&fields) {
            Some(Report::Event(event)) => on_event(event),
            Some(Report::Broken(why)) => reason = Some(why),
            None => {
                // Whoever writes there is not the zygote; it ends when it cannot report.
                reason = Some(format!("its report makes no sense: {fields:?}"));
                break;
            }
        }
    }
    // After an error above it must not wait for us.
    let _ = reports.shutdown(Shutdown::Both);
    reason
}

enum Report {
    Event(ZygoteEvent),
    Broken(String),
}

impl Report {
    fn of(fields: &[String]) -> Option<Self> {
        let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
        let number = |text: &str| text.parse().ok().map(WorkerNumber);
        Some(Self::Event(match fields[..] {
            ["ready"] => ZygoteEvent::Ready,
            ["broken", reason] => return Some(Self::Broken(reason.to_owned())),
            ["started", worker, process] => ZygoteEvent::WorkerStarted {
                number: number(worker)?,
                process: process.parse().ok()?,
            },
            ["failed", worker, reason] => {
                ZygoteEvent::WorkerNotStarted { number: number(worker)?, reason: reason.to_owned() }
            }
            ["exited", worker, process, kind, value] => {
                let value = value.parse().ok()?;
                ZygoteEvent::WorkerExited {
                    number: number(worker)?,
                    process: process.parse().ok()?,
                    cause: match kind {
                        "code" => ExitCause::Code(value),
                        "signal" => ExitCause::Signal(value),
                        _ => return None,
                    },
                }
            }
            _ => return None,
        }))
    }
}

fn prepare_message(options: &ZygoteOptions) -> io::Result<Vec<u8>> {
    let first = ["prepare".into(), options.worker_main.clone().into()];
    let imports = options.imports.iter().map(OsString::from);
    let search_path = options.search_path.iter().cloned();
    message(first.into_iter().chain(imports).chain(["-".into()]).chain(search_path))
}

/// Four bytes of length, and fields with a zero byte between each two.
fn message(fields: impl IntoIterator<Item = OsString>) -> io::Result<Vec<u8>> {
    let fields: Vec<Vec<u8>> = fields.into_iter().map(OsString::into_vec).collect();
    let body = fields.join(&0);
    if fields.iter().any(|field| field.contains(&0)) || body.len() > LONGEST_MESSAGE {
        let problem = "a worker's name or path has a zero byte in it, or is far too long";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
    }
    Ok([&(body.len() as u32).to_le_bytes(), &body[..]].concat())
}

/// The fields of the next message.
fn receive(reports: &mut UnixStream) -> io::Result<Vec<String>> {
    let mut length = [0; 4];
    reports.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length) as usize;
    if length > LONGEST_MESSAGE {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut body = vec![0; length];
    reports.read_exact(&mut body)?;
    Ok(body.split(|&byte| byte == 0).map(|field| String::from_utf8_lossy(field).into()).collect())
}
