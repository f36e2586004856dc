//! The table of tasks that the engine runs: closures that turn into results.

use std::any::Any;
use std::error::Error;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard};

use oxidask_runtime::engine::{Outcome, Run, Tasks};

use crate::error::ComputeError;

/// A result of any type.
pub(crate) type Value = Arc<dyn Any + Send + Sync>;

/// A closure that reads its inputs from the table.
pub(crate) type Call =
    Box<dyn FnOnce(&Closures) -> Result<Value, Box<dyn Error + Send + Sync>> + Send>;

/// Each task as far as it has come. Public for the sake of a hidden method, not exported.
pub struct Closures {
    stages: Vec<Mutex<Stage>>,
    /// Which tasks the scheduler knows, if not all: it numbers those that are kept.
    kept: Option<Vec<u32>>,
    made_at: Vec<&'static Location<'static>>,
}

enum Stage {
    Waiting(Call),
    /// Runs, or its result was released.
    Gone,
    Finished(Value),
    Failed(ComputeError),
}

impl Closures {
    pub(crate) fn new(calls: Vec<Call>, made_at: Vec<&'static Location<'static>>) -> Self {
        let stages = calls.into_iter().map(Stage::Waiting).map(Mutex::new).collect();
        Self { stages, kept: None, made_at }
    }

    /// Drops the closures of all other tasks.
    pub(crate) fn keep_only(&mut self, kept: Vec<u32>) {
        let mut next = kept.iter().copied().peekable();
        for task in 0..self.stages.len() as u32 {
            if next.next_if_eq(&task).is_none() {
                drop_apart(self.replace(task, Stage::Gone));
            }
        }
        self.kept = Some(kept);
    }

    /// The place in the table of a task of the scheduler.
    fn place(&self, task: u32) -> u32 {
        self.kept.as_ref().map_or(task, |kept| kept[task as usize])
    }

    fn stage(&self, task: u32) -> MutexGuard<'_, Stage> {
        self.stages[task as usize].lock().expect("nothing panics while a stage is locked")
    }

    fn replace(&self, task: u32, stage: Stage) -> Stage {
        std::mem::replace(&mut *self.stage(task), stage)
    }

    /// The result of a task that the scheduler keeps.
    pub(crate) fn result(&self, task: u32) -> Value {
        match &*self.stage(task) {
            Stage::Finished(value) => Arc::clone(value),
            _ => unreachable!("a task runs, and a client asks, only while the results are kept"),
        }
    }

    /// Why a task of the scheduler failed; it can be asked once.
    pub(crate) fn take_error(&self, task: u32) -> ComputeError {
        match self.replace(self.place(task), Stage::Gone) {
            Stage::Failed(error) => error,
            _ => unreachable!("the task that is to blame has failed, and is asked once"),
        }
    }

    fn failed(&self, task: u32, outcome: Result<Box<dyn Error + Send + Sync>, String>) -> Stage {
        let made_at = self.made_at[task as usize];
        Stage::Failed(match outcome {
            Ok(source) => ComputeError::Failed { made_at, source },
            Err(message) => ComputeError::Panicked { made_at, message },
        })
    }
}

impl Drop for Closures {
    fn drop(&mut self) {
        // Whichever thread is the last one to know the graph does this.
        self.stages.drain(..).for_each(drop_apart);
    }
}

impl Tasks for Closures {
    fn execute(&self, _run: &Run<Self>, task: u32) -> Outcome {
        let task = self.place(task);
        let Stage::Waiting(call) = self.replace(task, Stage::Gone) else {
            unreachable!("each task is run once")
        };
        // A closure that panics leaves nothing behind that anybody will look at: its result is not
        // there, and no other task starts.
        let (stage, outcome) = match catch_unwind(AssertUnwindSafe(|| call(self))) {
            Ok(Ok(value)) => (Stage::Finished(value), Outcome::Finished),
            Ok(Err(error)) => (self.failed(task, Ok(error)), Outcome::Failed),
            Err(panic) => {
                let message = message_of(&*panic);
                drop_apart(panic);
                (self.failed(task, Err(message)), Outcome::Failed)
            }
        };
        self.replace(task, stage);
        outcome
    }

    fn release(&self, tasks: &[u32]) {
        for &task in tasks {
            // Dropped after the lock: a result may do anything in its `Drop`.
            drop_apart(self.replace(self.place(task), Stage::Gone));
        }
    }

    fn while_waiting<R: Send>(wait: impl FnOnce() -> R + Send) -> R {
        wait()
    }

    fn yield_now() {}
}

/// Drops something of the user's, which may panic, in a thread that has other tasks to run.
fn drop_apart<T>(value: T) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(value))) {
        // The panic's value may be such a thing too.
        std::mem::forget(panic);
    }
}

fn message_of(panic: &(dyn Any + Send)) -> String {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(message), _) => (*message).to_owned(),
        (_, Some(message)) => message.clone(),
        _ => "it did not say why".to_owned(),
    }
}
