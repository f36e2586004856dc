//! The loops of a worker's threads: one that runs tasks, one for everything else.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use oxidask_protocol::{
    Attempt, ContentHash, Ending, FromWorker, Input, Run, Said, Source, Stored, Stretch, TaskId,
    Value,
};
use oxidask_runtime::resources::{machine_time_of, system_thread};
use oxidask_runtime::worker::{Chore, Inbox, Mouth, Taken};
use pyo3::exceptions::{PyKeyboardInterrupt, PyRuntimeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyString, PyType};
use rustc_hash::FxHashMap;

use super::nested;
use super::objects::{CallObjects, Objects, Read};
use super::output::{Budget, Printed};
use super::program::{Context, NoContext, evaluate, garbled, outline, write_pickle, write_plain};
use super::serialize;
use super::time_limits::TimeLimit;
use super::views::Pin;
use crate::evaluate::{
    drop_what_others_gave_up, let_exceptions_in, let_others_run, raise_in_thread,
    take_in_exception, thread_number,
};
use crate::ownership::{self, Given, Memory};

/// How long a thread keeps the GIL before it lets others have it.
const TURN: Duration = Duration::from_micros(200);
/// How long a wait lasts before a thread looks around.
const GLANCE: Duration = Duration::from_millis(500);
/// How often somebody looks whether a task waits behind a long one.
const TICK: Duration = Duration::from_millis(10);
/// Values larger than this are not copied along with messages.
const LARGEST_INLINE: usize = 64 << 10;

/// Stops of tasks that have just ended are remembered, too, until so many others came.
const MOST_EARLY_STOPS: usize = 256;

pub(super) const NO_PANIC: &str = "nothing panics while the lock is held";

/// Where results are kept that are not sent along.
pub(crate) trait Home: Send + Sync + 'static {
    /// A result that is no plain value, or how else it is kept; `None` keeps it as an object.
    fn encode(&self, value: &Bound<'_, PyAny>) -> PyResult<Option<(Value, u64)>>;

    /// An object that others need.
    fn publish(&self, value: &Bound<'_, PyAny>) -> PyResult<Value>;

    /// What keeps an object in shared memory that was delivered; dropping all copies of it lets go.
    fn pin(&self, _stored: &Stored) -> Option<Arc<Pin>> {
        None
    }

    /// A value from shared memory.
    fn view<'py>(
        &self,
        py: Python<'py>,
        stored: &Stored,
        pin: &Arc<Pin>,
    ) -> PyResult<Bound<'py, PyAny>>;

    /// Whether results stay objects that all tasks and clients share.
    fn is_one_process(&self) -> bool {
        true
    }

    /// An exception.
    fn encode_error(&self, py: Python<'_>, error: PyErr) -> Bytes;

    /// Which thread of the system has a number, 0 for none.
    fn set_thread(&self, _thread: usize, _system_thread: u32) {}

    /// A task will begin, or has ended, in a thread.
    fn now_running(&self, _thread: usize, _task: Option<TaskId>) {}

    /// Whether the node ends the worker when a task misses its deadline.
    fn ends_when_overdue(&self) -> bool {
        false
    }

    /// A task has to end within so much time; the place is its own until then.
    fn set_deadline(&self, _place: usize, _task: TaskId, _left: Duration) {}

    /// It has.
    fn clear_deadline(&self, _place: usize) {}

    /// A piece of the arena is free.
    fn free(&self, _offset: u64, _len: u64) {}

    /// At most so much of the arena is to be kept for reuse.
    fn keep_idle(&self, _nbytes: u64) {}
}

pub(super) struct Running {
    pub(super) thread: u64,
    pub(super) source: Source,
    pub(super) attempt: Attempt,
    /// It was told to stop.
    is_interrupted: bool,
    /// Its time is limited, and has begun.
    pub(super) limit: Option<TimeLimit>,
    /// Its thread has been given the exception.
    is_raised: bool,
    /// Its thread does something in which it is not to be stopped.
    is_undisturbed: bool,
    /// What it has printed, once it has.
    printed: Option<Box<Printed>>,
}

impl Running {
    /// Whether it was told to stop, or its time is up.
    fn is_to_stop(&self) -> bool {
        self.is_interrupted || self.limit.as_ref().is_some_and(TimeLimit::is_up)
    }
}

/// How something that ran has ended, apart from what it returned or raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// By itself.
    Freely,
    /// It was told to stop.
    Interrupted,
    /// Its time was up.
    OutOfTime,
    /// Its time was up, and it was given up before it ended.
    TooLate,
}

/// What runs the tasks of one worker.
#[pyclass(frozen, module = "oxidask._core")]
pub(crate) struct Executor {
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) mouth: Arc<dyn Mouth>,
    pub(crate) objects: Arc<Objects>,
    pub(crate) home: Arc<dyn Home>,
    functions: Mutex<FxHashMap<ContentHash, Py<PyAny>>>,
    /// What keeps shared parts that are in shared memory.
    pins: Mutex<FxHashMap<ContentHash, Arc<Pin>>>,
    pub(super) running: Mutex<Vec<Running>>,
    /// Tasks that were told to stop while none of that name ran. Locked within `running`.
    early_stops: Mutex<VecDeque<(TaskId, Attempt)>>,
    /// Numbers of threads, for the page of what runs: those in use.
    numbers: Mutex<BTreeSet<usize>>,
    /// Those of tasks whose time is limited, and how many there are.
    pub(super) limited: Mutex<BTreeSet<usize>>,
    pub(super) limited_count: AtomicUsize,
    number: u64,
    /// Locked after `running`.
    budget: Mutex<Budget>,
    /// Where exceptions were raised is told of a few a second: it takes longer than to raise them.
    tracebacks: Mutex<Few>,
    /// Where coroutines run: an `EventLoop` of `_coroutines`, once there was one.
    event_loop: PyOnceLock<Py<PyAny>>,
}

impl Executor {
    pub(crate) fn new(
        inbox: Arc<Inbox>,
        mouth: Arc<dyn Mouth>,
        objects: Arc<Objects>,
        home: Arc<dyn Home>,
    ) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let (functions, pins, running, early_stops) = Default::default();
        let (numbers, limited, budget, tracebacks) = Default::default();
        let limited_count = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let event_loop = PyOnceLock::new();
        Self {
            inbox,
            mouth,
            objects,
            home,
            functions,
            pins,
            running,
            early_stops,
            numbers,
            limited,
            limited_count,
            number,
            budget,
            tracebacks,
            event_loop,
        }
    }
}

#[pymethods]
impl Executor {
    /// The life of a thread that runs tasks.
    fn serve(slf: &Bound<'_, Self>) {
        let (this, py) = (slf.get(), slf.py());
        let number = this.take_number();
        this.inbox.thread_begins();
        this.home.set_thread(number, system_thread());
        let _thread = nested::Thread::enter(slf, number);
        let mut dropped = Vec::new();
        let mut turn = Instant::now();
        loop {
            let taken = match this.inbox.try_next_run() {
                Taken::Nothing => {
                    this.tidy(py, &mut dropped);
                    if this.inbox.may_leave(GLANCE) {
                        break;
                    }
                    let taken = let_others_run(py, || {
                        this.mouth.flush();
                        this.inbox.next_run(GLANCE)
                    });
                    turn = Instant::now();
                    taken
                }
                taken => taken,
            };
            match taken {
                Taken::Closed => {
                    this.inbox.thread_ends();
                    break;
                }
                Taken::Nothing => drop_what_others_gave_up(py),
                Taken::Run(run) => {
                    let end = this.execute(py, number, run);
                    if end - turn > TURN {
                        this.tidy(py, &mut dropped);
                        let_others_run(py, || this.mouth.flush());
                        turn = Instant::now();
                    }
                }
            }
        }
        this.home.set_thread(number, 0);
        this.numbers.lock().expect(NO_PANIC).remove(&number);
    }

    /// The life of the thread for everything else. Returns when the worker is to end.
    fn serve_chores(slf: &Bound<'_, Self>) -> PyResult<()> {
        let (this, py) = (slf.get(), slf.py());
        let mut dropped = Vec::new();
        let mut seen = None;
        while !this.inbox.is_closed() {
            py.check_signals()?;
            Self::look_at_the_clock(slf);
            let chore = let_others_run(py, || {
                let chore = this.inbox.next_chore(TICK);
                if chore.is_none() {
                    this.inbox.wake_if_stuck(&mut seen);
                }
                chore
            });
            match chore {
                Some(Chore::Call { call, program, objects }) => {
                    // It may wait for whatever needs this thread.
                    let outside =
                        OutsideCall { executor: slf.clone().unbind(), call, program, objects };
                    let started = Py::new(py, outside)
                        .and_then(|outside| outside.getattr(py, "answer"))
                        .and_then(|answer| start_thread(py, answer, "oxidask-call"));
                    if let Err(error) = started {
                        // The system gives no more threads: whoever asked is told.
                        let answer = Err(this.home.encode_error(py, error));
                        this.mouth.say(FromWorker::Answer { call, answer });
                    }
                }
                Some(chore) => {
                    this.work(py, chore);
                    // What was published for want of memory is to go now, not after the others.
                    this.tidy(py, &mut dropped);
                }
                None => {
                    this.tidy(py, &mut dropped);
                    // And what others gave up of what this thread has made goes now.
                    let_exceptions_in(py)?;
                }
            }
            let_others_run(py, || this.mouth.flush());
        }
        if let Some(event_loop) = this.event_loop.get(py) {
            event_loop.call_method0(py, intern!(py, "close"))?;
        }
        Ok(())
    }

    /// What tells it from others of this process.
    #[getter]
    fn number(&self) -> u64 {
        self.number
    }

    /// Numbers of tasks that run now, by the number of their thread.
    fn running(&self) -> Vec<(u64, u32)> {
        let running = self.running.lock().expect(NO_PANIC);
        let tasks = running.iter().filter_map(|entry| match entry.source {
            Source::Task(task) => Some((entry.thread, task.0)),
            Source::Call(_) => None,
        });
        tasks.collect()
    }

    /// Objects that are kept.
    fn kept(&self) -> usize {
        self.objects.len()
    }

    /// Allows so many lines of output a second.
    fn limit_output(&self, lines_per_second: f64) {
        *self.budget.lock().expect(NO_PANIC) = Budget::new(lines_per_second);
    }

    /// Takes text that was written to a stream in a thread, 0 for the calling one; `false` if no task
    /// runs there. Complete lines go to the task's client.
    fn write_output(&self, py: Python<'_>, thread: u64, kind: u8, text: &str) -> bool {
        self.say_of(py, thread, |printed, budget, out| {
            printed.add(kind, text, budget, Instant::now(), out);
        })
    }

    /// Sends text without a line end, too.
    fn flush_output(&self, py: Python<'_>, thread: u64, kind: u8) {
        self.say_of(py, thread, |printed, budget, out| {
            printed.flush(kind, budget, Instant::now(), out);
        });
    }

    /// Sends something else that a task says, as a pickle; `false` if no task runs in the thread.
    fn say_output(&self, py: Python<'_>, thread: u64, kind: u8, pickle: &[u8]) -> bool {
        self.say_of(py, thread, |printed, budget, out| {
            printed.say(kind, pickle, budget, Instant::now(), out);
        })
    }
}

impl Executor {
    /// Runs a task and says how it ended. Returns when that was.
    pub(super) fn execute(&self, py: Python<'_>, thread: usize, run: Run) -> Instant {
        let begin = Instant::now();
        let (task, attempt, urgency) = (run.task, run.attempt, run.urgency);
        let is_stopped = self.begin(Source::Task(task), attempt);
        let outer = nested::task_begins(nested::Task { task, urgency });
        self.home.now_running(thread, Some(task));
        let context = TaskContext::new(self, &run);
        let outcome = if is_stopped {
            Err(PyKeyboardInterrupt::new_err("the task was stopped before it began"))
        } else {
            evaluate(py, &run.call, &context)
        };
        let given = context.given.take();
        let is_lent = given.is_lent();
        let has_seceded = nested::task_ends(outer);
        let ended = self.end(py, Source::Task(task));
        let end = Instant::now();
        let ending = match (outcome, ended) {
            (_, Ended::TooLate) => None,
            (outcome, Ended::OutOfTime) => Some(self.out_of_time(py, outcome)),
            (Ok(value), _) => Some(self.ending_of(value.into_bound(py), &run, given)),
            (Err(_), Ended::Interrupted) => Some(Ending::Stopped),
            (Err(error), Ended::Freely) => {
                let error = if is_lent { ownership::with_cure(py, error) } else { error };
                Some(self.raised(py, error))
            }
        };
        self.home.now_running(thread, nested::current_task().map(|outer| outer.task));
        let duration_ns = (end - begin).as_nanos() as u64;
        let is_plain = matches!(&ending, Some(Ending::Returned { value: Value::Inline(_), .. }));
        let packing_ns = if is_plain { 0 } else { end.elapsed().as_nanos() as u64 };
        let began_ns = machine_time_of(begin);
        let stretch = Stretch { thread: thread as u32, began_ns, duration_ns, packing_ns };
        // Before the news of its end is out, for the inputs may be dropped then.
        drop(context);
        drop(run);
        let is_late = ending.is_none();
        if let Some(ending) = ending {
            self.mouth.say(FromWorker::Ended { task, attempt, ending, stretch });
        }
        if has_seceded {
            self.inbox.lender_ended();
            self.mouth.say(FromWorker::Lends { is_lent: false });
        } else {
            self.inbox.task_ended(urgency, duration_ns);
        }
        if is_late {
            self.inbox.remove_slot();
        }
        end
    }

    fn take_number(&self) -> usize {
        let mut numbers = self.numbers.lock().expect(NO_PANIC);
        let free = (0..=numbers.len()).find(|number| !numbers.contains(number));
        let free = free.expect("of that many numbers one is free");
        numbers.insert(free);
        free
    }

    fn ending_of(&self, value: Bound<'_, PyAny>, run: &Run, given: Given) -> Ending {
        let py = value.py();
        let mut plain = Vec::new();
        let ending = (|| {
            if !is_long(&value) && write_plain(&value, &mut plain)? {
                let nbytes = plain.len() as u64;
                return Ok(Ending::Returned { value: Value::Inline(plain.into()), nbytes });
            }
            if let Some((value, nbytes)) = self.home.encode(&value)? {
                return Ok(Ending::Returned { value, nbytes });
            }
            let (value, memory) = if self.home.is_one_process() {
                settled(value, run, given)?
            } else {
                (value, Memory::Shared)
            };
            let nbytes = serialize::nbytes(&value);
            self.objects.put(run.task, run.attempt, value.unbind(), memory);
            Ok(Ending::Returned { value: Value::Live, nbytes })
        })();
        ending.unwrap_or_else(|error| self.raised(py, error))
    }

    fn raised(&self, py: Python<'_>, error: PyErr) -> Ending {
        let is_told_where = self.tracebacks.lock().expect(NO_PANIC).is_one_more(Instant::now());
        let said = said_of(py, &error, is_told_where);
        Ending::Raised { error: self.home.encode_error(py, error), said }
    }

    /// Something begins in this thread; says whether it was told to stop before that.
    fn begin(&self, source: Source, attempt: Attempt) -> bool {
        let thread = thread_number();
        let mut running = self.running.lock().expect(NO_PANIC);
        let mut early = self.early_stops.lock().expect(NO_PANIC);
        let place =
            early.iter().position(|&stop| (Source::Task(stop.0), stop.1) == (source, attempt));
        let is_interrupted = place.is_some_and(|place| early.remove(place).is_some());
        running.push(Running {
            thread,
            source,
            attempt,
            is_interrupted,
            limit: None,
            is_raised: false,
            is_undisturbed: false,
            printed: None,
        });
        is_interrupted
    }

    /// Something has ended in this thread; says how.
    fn end(&self, py: Python<'_>, source: Source) -> Ended {
        let mut running = self.running.lock().expect(NO_PANIC);
        let thread = thread_number();
        let place = running
            .iter()
            .rposition(|entry| entry.source == source && entry.thread == thread)
            .expect("what ends has begun");
        let entry = running.remove(place);
        let outer = running.iter().rfind(|entry| entry.thread == thread);
        let outer_is_to_stop = outer.is_some_and(|outer| outer.is_to_stop() && !outer.is_raised);
        drop(running);
        let ended = match &entry.limit {
            Some(limit) if limit.is_given_up => Ended::TooLate,
            _ if entry.is_interrupted => Ended::Interrupted,
            Some(limit) if limit.is_up() => Ended::OutOfTime,
            _ => Ended::Freely,
        };
        if let Some(limit) = &entry.limit {
            self.end_limit(limit);
        }
        if let Some(printed) = entry.printed.filter(|_| ended != Ended::TooLate) {
            let mut out = Vec::new();
            printed.end(&mut self.budget.lock().expect(NO_PANIC), Instant::now(), &mut out);
            for body in out {
                self.mouth.say(FromWorker::Output { source, body });
            }
        }
        if entry.is_raised {
            // The exception must not reach whatever this thread does next.
            take_in_exception(py);
        }
        if outer_is_to_stop {
            self.raise_in_innermost(py, thread);
        }
        ended
    }

    /// Whether the task that the calling thread runs was told to stop.
    pub(super) fn is_told_to_stop(&self) -> bool {
        let thread = thread_number();
        let running = self.running.lock().expect(NO_PANIC);
        running.iter().rfind(|entry| entry.thread == thread).is_some_and(Running::is_to_stop)
    }

    /// Stops a task that was taken from the inbox, if it has not ended.
    fn interrupt(&self, py: Python<'_>, task: TaskId, attempt: Attempt) {
        let mut running = self.running.lock().expect(NO_PANIC);
        let source = Source::Task(task);
        let found =
            running.iter_mut().find(|entry| entry.source == source && entry.attempt == attempt);
        let Some(entry) = found else {
            // It has ended, or the thread that has taken it waits for the interpreter.
            let mut early = self.early_stops.lock().expect(NO_PANIC);
            if early.len() == MOST_EARLY_STOPS {
                early.pop_front();
            }
            early.push_back((task, attempt));
            return;
        };
        entry.is_interrupted = true;
        let thread = entry.thread;
        drop(running);
        self.raise_in_innermost(py, thread);
    }

    /// Raises an exception in the task that a thread runs now, if that was told to stop. One that
    /// waits for others in the same thread gets it when they have ended.
    pub(super) fn raise_in_innermost(&self, py: Python<'_>, thread: u64) {
        let Ok(errors) = py.import(intern!(py, "oxidask._errors")) else { return };
        let exceptions = (
            errors.getattr(intern!(py, "TaskStopped")),
            errors.getattr(intern!(py, "TaskOutOfTime")),
        );
        let (Ok(stopped), Ok(out_of_time)) = exceptions else { return };
        let mut running = self.running.lock().expect(NO_PANIC);
        if let Some(entry) = running.iter_mut().rfind(|entry| entry.thread == thread)
            && entry.is_to_stop()
            && !entry.is_raised
            && !entry.is_undisturbed
        {
            entry.is_raised = true;
            let exception = if entry.is_interrupted { &stopped } else { &out_of_time };
            raise_in_thread(py, thread, exception);
            drop(running);
            if let Some(event_loop) = self.event_loop.get(py) {
                // Without a coroutine nothing happens; one that cannot be cancelled goes on.
                drop(event_loop.call_method1(py, intern!(py, "cancel"), (thread,)));
            }
        }
    }

    /// Does something in the thread of a task, which is not stopped in it. A module whose import was
    /// broken off would be of no use to later tasks; and while a thread starts another, `CPython`
    /// takes the new one for it, and raises there.
    pub(super) fn undisturbed<T>(
        &self,
        py: Python<'_>,
        act: impl FnOnce() -> PyResult<T>,
    ) -> PyResult<T> {
        let thread = thread_number();
        self.set_undisturbed(thread, true);
        let done = act();
        self.set_undisturbed(thread, false);
        if self.is_told_to_stop() {
            self.raise_in_innermost(py, thread);
        }
        done
    }

    fn set_undisturbed(&self, thread: u64, is_undisturbed: bool) {
        let mut running = self.running.lock().expect(NO_PANIC);
        if let Some(entry) = running.iter_mut().rfind(|entry| entry.thread == thread) {
            entry.is_undisturbed = is_undisturbed;
        }
    }

    /// Lets what runs in a thread, 0 for the calling one, say something; `false` if nothing runs.
    fn say_of(
        &self,
        py: Python<'_>,
        thread: u64,
        say: impl FnOnce(&mut Printed, &mut Budget, &mut Vec<Bytes>),
    ) -> bool {
        let thread = if thread == 0 { thread_number() } else { thread };
        let mut out = Vec::new();
        {
            let mut running = self.running.lock().expect(NO_PANIC);
            let of_thread = running.iter_mut().rfind(|entry| entry.thread == thread);
            // What was given up is no task of the cluster any more.
            let is_known =
                |one: &&mut Running| !one.limit.as_ref().is_some_and(|it| it.is_given_up);
            let Some(entry) = of_thread.filter(is_known) else { return false };
            let printed = entry.printed.get_or_insert_default();
            say(printed, &mut self.budget.lock().expect(NO_PANIC), &mut out);
            // Under the lock, so that two threads of a task do not overtake each other.
            for body in out.drain(..) {
                self.mouth.say(FromWorker::Output { source: entry.source, body });
            }
        }
        // At once: the task may be about to end its process.
        let_others_run(py, || self.mouth.flush());
        true
    }

    /// Runs a coroutine to its end in the worker's event loop; this thread waits.
    fn finish_coroutine(&self, py: Python<'_>, coroutine: Py<PyAny>) -> PyResult<Py<PyAny>> {
        let event_loop = self.event_loop.get_or_try_init(py, || {
            nested::coroutines_begin();
            let module = py.import(intern!(py, "oxidask._coroutines"))?;
            module.getattr(intern!(py, "EventLoop"))?.call0().map(Bound::unbind)
        })?;
        let ended = event_loop.bind(py).call_method1(intern!(py, "run"), (coroutine,))?;
        let (is_good, value): (bool, Bound<'_, PyAny>) = ended.extract()?;
        if is_good { Ok(value.unbind()) } else { Err(PyErr::from_value(value)) }
    }

    /// Forgets what is not needed any more.
    fn tidy(&self, py: Python<'_>, dropped: &mut Vec<(TaskId, Attempt)>) {
        self.inbox.take_dropped(dropped);
        self.objects.forget(py, dropped);
        dropped.clear();
        for run in self.inbox.take_discarded() {
            for input in &run.inputs {
                drop(pin_of(&*self.home, input));
            }
        }
        let unshared = self.take_unshared();
        if !unshared.is_empty() {
            let gone: Vec<Option<Py<PyAny>>> = {
                let mut functions = self.functions.lock().expect(NO_PANIC);
                unshared.iter().map(|hash| functions.remove(hash)).collect()
            };
            drop(gone);
        }
    }

    /// Parts that no call needs any more; lets go of those in shared memory.
    fn take_unshared(&self) -> Vec<ContentHash> {
        // Who pins a part looks for it under this lock, and so pins none that was given up.
        let mut pins = self.pins.lock().expect(NO_PANIC);
        let unshared = self.inbox.take_unshared();
        for (hash, body) in &unshared {
            if pins.remove(hash).is_none()
                && let Value::Stored(stored) = body
            {
                drop(self.home.pin(stored));
            }
        }
        unshared.into_iter().map(|(hash, _)| hash).collect()
    }

    fn work(&self, py: Python<'_>, chore: Chore) {
        match chore {
            Chore::Interrupt { task, attempt } => self.interrupt(py, task, attempt),
            Chore::Publish { task, attempt } => {
                let value = match self.objects.get(py, task, attempt) {
                    Some((object, _)) => self
                        .home
                        .publish(object.bind(py))
                        .map_err(|error| self.home.encode_error(py, error)),
                    // It was dropped meanwhile, so nobody waits for the answer.
                    None => return,
                };
                self.mouth.say(FromWorker::Published { task, attempt, value });
            }
            Chore::Call { .. } => unreachable!("calls have threads of their own"),
            Chore::Free { offset, len } => self.home.free(offset, len),
            Chore::KeepIdle { nbytes } => self.home.keep_idle(nbytes),
        }
    }

    fn answer_of(&self, value: Bound<'_, PyAny>) -> PyResult<Value> {
        let mut plain = Vec::new();
        if write_plain(&value, &mut plain)? {
            return Ok(Value::Inline(plain.into()));
        }
        let pickle = serialize::dump(&value)?;
        write_pickle(&pickle, &mut plain);
        Ok(Value::Inline(plain.into()))
    }

    fn known_function(&self, py: Python<'_>, hash: ContentHash) -> Option<Py<PyAny>> {
        let functions = self.functions.lock().expect(NO_PANIC);
        functions.get(&hash).map(|function| function.clone_ref(py))
    }

    fn function(&self, py: Python<'_>, hash: ContentHash) -> PyResult<Py<PyAny>> {
        let function = self.part(py, hash)?.unbind();
        let mut functions = self.functions.lock().expect(NO_PANIC);
        // Another thread may have been faster: all calls use the same one.
        let kept = functions.entry(hash).or_insert_with(|| function.clone_ref(py)).clone_ref(py);
        drop(functions);
        Ok(kept)
    }

    /// The value of a shared part, made anew.
    fn part<'py>(&self, py: Python<'py>, hash: ContentHash) -> PyResult<Bound<'py, PyAny>> {
        let mut pins = self.pins.lock().expect(NO_PANIC);
        match self.inbox.shared(hash).ok_or_else(garbled)? {
            Value::Inline(pickle) => {
                drop(pins);
                serialize::load(py, &pickle)
            }
            Value::Stored(stored) => {
                let pin = if let Some(pin) = pins.get(&hash) {
                    Arc::clone(pin)
                } else {
                    let pin = self.home.pin(&stored).ok_or_else(garbled)?;
                    pins.insert(hash, Arc::clone(&pin));
                    pin
                };
                drop(pins);
                self.home.view(py, &stored, &pin)
            }
            Value::Live => Err(garbled()),
        }
    }
}

/// A call outside of tasks, for a thread of its own.
#[pyclass(frozen, module = "oxidask._core")]
struct OutsideCall {
    executor: Py<Executor>,
    call: u64,
    program: Bytes,
    objects: oxidask_protocol::Objects,
}

#[pymethods]
impl OutsideCall {
    /// Calls the function and tells the cluster what it returned or raised.
    fn answer(&self, py: Python<'_>) {
        let executor = self.executor.get();
        let run = Run {
            task: TaskId(u32::MAX),
            attempt: Attempt(0),
            urgency: 0,
            call: self.program.clone(),
            objects: self.objects.clone(),
            inputs: Vec::new(),
            time_limit: None,
        };
        let context = TaskContext::new(executor, &run);
        executor.begin(Source::Call(self.call), run.attempt);
        let answer = evaluate(py, &run.call, &context)
            .and_then(|value| executor.answer_of(value.into_bound(py)))
            .map_err(|error| executor.home.encode_error(py, error));
        executor.end(py, Source::Call(self.call));
        executor.mouth.say(FromWorker::Answer { call: self.call, answer });
        let_others_run(py, || executor.mouth.flush());
    }
}

/// Starts a thread of Python that calls a function.
pub(super) fn start_thread(py: Python<'_>, target: Py<PyAny>, name: &str) -> PyResult<()> {
    let options = PyDict::new(py);
    options.set_item("target", target)?;
    options.set_item("name", name)?;
    options.set_item("daemon", true)?;
    let class = py.import(intern!(py, "threading"))?.getattr(intern!(py, "Thread"))?;
    class.call((), Some(&options))?.call_method0(intern!(py, "start"))?;
    Ok(())
}

/// Whether a value is text or bytes too long to be copied along.
fn is_long(value: &Bound<'_, PyAny>) -> bool {
    if let Ok(bytes) = value.cast_exact::<pyo3::types::PyBytes>() {
        return bytes.as_bytes().len() > LARGEST_INLINE;
    }
    value.cast_exact::<PyString>().is_ok_and(|text| text.len().unwrap_or(0) > LARGEST_INLINE)
}

/// Whether a value is what a call of an `async def` function returns.
fn is_coroutine(value: &Bound<'_, PyAny>) -> PyResult<bool> {
    static COROUTINE: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let class = COROUTINE.import(value.py(), "types", "CoroutineType")?;
    Ok(value.get_type().is(class))
}

/// What a task of one process returned, as it is kept.
fn settled<'py>(
    value: Bound<'py, PyAny>,
    run: &Run,
    given: Given,
) -> PyResult<(Bound<'py, PyAny>, Memory)> {
    if ownership::is_scalar(&value) {
        return Ok((value, Memory::Shared));
    }
    let py = value.py();
    let outline = outline(&run.call)?;
    if !outline.has_call && run.inputs.is_empty() {
        // A value that a client has, too.
        return Ok((value, Memory::Shared));
    }
    given.settle(value, || {
        let object = |&number: &usize| object_of(py, run, number).ok();
        outline.objects.iter().filter_map(object).collect()
    })
}

/// A value of this process that a task's program refers to.
fn object_of<'py>(py: Python<'py>, run: &Run, number: usize) -> PyResult<Bound<'py, PyAny>> {
    let objects = run.objects.0.as_ref().ok_or_else(garbled)?;
    let objects = objects.downcast_ref::<CallObjects>().ok_or_else(garbled)?;
    let value = objects.values.get(number).ok_or_else(garbled)?;
    Ok(value.bind(py).clone())
}

/// What the program of a task refers to.
struct TaskContext<'a> {
    executor: &'a Executor,
    run: &'a Run,
    /// What it was given so far.
    given: RefCell<Given>,
    /// What keeps inputs in shared memory, by their place.
    pins: Vec<Option<Arc<Pin>>>,
    /// How much time it has, until it begins.
    time_limit: Cell<Option<Duration>>,
}

impl<'a> TaskContext<'a> {
    fn new(executor: &'a Executor, run: &'a Run) -> Self {
        let pins = if run.inputs.iter().any(|input| matches!(input.value, Value::Stored(_))) {
            run.inputs.iter().map(|input| pin_of(&*executor.home, input)).collect()
        } else {
            Vec::new()
        };
        let time_limit = Cell::new(run.time_limit);
        Self { executor, run, pins, given: RefCell::default(), time_limit }
    }
}

fn pin_of(home: &dyn Home, input: &Input) -> Option<Arc<Pin>> {
    match &input.value {
        Value::Stored(stored) => home.pin(stored),
        Value::Inline(_) | Value::Live => None,
    }
}

impl Context for TaskContext<'_> {
    fn dependency<'py>(&self, py: Python<'py>, place: usize) -> PyResult<Bound<'py, PyAny>> {
        let Input { task, attempt, value, is_last } =
            self.run.inputs.get(place).ok_or_else(garbled)?;
        match value {
            Value::Inline(bytes) => Ok(evaluate(py, bytes, &NoContext)?.into_bound(py)),
            Value::Stored(stored) => {
                let pin = self.pins.get(place).and_then(Option::as_ref).ok_or_else(garbled)?;
                self.executor.home.view(py, stored, pin)
            }
            Value::Live => {
                let read = self.executor.objects.read(py, *task, *attempt, *is_last);
                let place = place as u32;
                match read {
                    Some(Read::Own(object)) => {
                        self.given.borrow_mut().give(place, object.bind(py));
                        Ok(object.into_bound(py))
                    }
                    Some(Read::Lent(object, memory)) if self.executor.home.is_one_process() => {
                        self.given.borrow_mut().lend(object.into_bound(py), memory)
                    }
                    Some(Read::Lent(object, _)) => Ok(object.into_bound(py)),
                    None => {
                        let own = self.given.borrow().own(py, place);
                        let own = own.ok_or_else(|| {
                            let bug = "an input of a task is gone; this is a bug of oxidask";
                            PyRuntimeError::new_err(bug)
                        })?;
                        Ok(own.into_bound(py))
                    }
                }
            }
        }
    }

    fn object<'py>(&self, py: Python<'py>, number: usize) -> PyResult<Bound<'py, PyAny>> {
        object_of(py, self.run, number)
    }

    fn function<'py>(&self, py: Python<'py>, hash: ContentHash) -> PyResult<Bound<'py, PyAny>> {
        if let Some(function) = self.executor.known_function(py, hash) {
            return Ok(function.into_bound(py));
        }
        let function = self.executor.undisturbed(py, || self.executor.function(py, hash))?;
        Ok(function.into_bound(py))
    }

    fn shared<'py>(&self, py: Python<'py>, hash: ContentHash) -> PyResult<Bound<'py, PyAny>> {
        self.executor.undisturbed(py, || self.executor.part(py, hash))
    }

    fn calls(&self) {
        if let Some(time) = self.time_limit.take() {
            self.executor.begin_limit(self.run.task, time);
        }
    }

    fn settled(&self, py: Python<'_>, value: Py<PyAny>) -> PyResult<Py<PyAny>> {
        if is_coroutine(value.bind(py))? {
            return self.executor.finish_coroutine(py, value);
        }
        Ok(value)
    }
}

/// What happens a few times a second at most.
#[derive(Default)]
struct Few {
    since: Option<Instant>,
    count: u32,
}

impl Few {
    const A_SECOND: u32 = 10;

    fn is_one_more(&mut self, now: Instant) -> bool {
        if self.since.is_none_or(|since| now - since > Duration::from_secs(1)) {
            *self = Self { since: Some(now), count: 0 };
        }
        self.count += 1;
        self.count <= Self::A_SECOND
    }
}

/// Bytes of what an exception says and of where it was raised that are told at most.
const LONGEST_LINE: usize = 500;
const LONGEST_TRACEBACK: usize = 8000;

/// An exception, as people read it.
fn said_of(py: Python<'_>, error: &PyErr, with_traceback: bool) -> Said {
    let name = error.get_type(py).qualname().map(|name| name.to_string());
    let name = name.unwrap_or_else(|_| "an exception".to_owned());
    // What it says may be anything, or raise in its turn.
    let line = match error.value(py).str() {
        Ok(text) if text.is_empty().unwrap_or(true) => name,
        Ok(text) => format!("{name}: {}", text.to_string_lossy()),
        Err(_) => name,
    };
    let traceback =
        if with_traceback { traceback_of(py, error).unwrap_or_default() } else { String::new() };
    Said { line: cut(line, LONGEST_LINE), traceback: cut(traceback, LONGEST_TRACEBACK) }
}

fn traceback_of(py: Python<'_>, error: &PyErr) -> PyResult<String> {
    let module = py.import(intern!(py, "traceback"))?;
    let lines = module.call_method1(
        intern!(py, "format_exception"),
        (error.get_type(py), error.value(py), error.traceback(py)),
    )?;
    PyString::new(py, "").call_method1(intern!(py, "join"), (lines,))?.extract()
}

fn cut(mut text: String, longest: usize) -> String {
    if text.len() > longest {
        let end = (0..=longest).rev().find(|&end| text.is_char_boundary(end));
        text.truncate(end.unwrap_or(0));
        text.push('…');
    }
    text
}
