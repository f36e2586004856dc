//! Short memory: what may start meanwhile, and which result is needed last.

use oxidask_protocol::{NextUse, Pressure, TaskId, TaskState, WorkerId};

use super::SchedulerState;
use crate::planted::Bug;
use crate::workers::Urgency;

impl SchedulerState {
    pub(super) fn pressure_changed(&mut self, pressure: Pressure) {
        self.pressure = pressure;
        self.open_all_workers();
    }

    /// While tasks start one at a time, whoever ends one makes room for those of any worker.
    pub(super) fn look_around_under_pressure(&mut self) {
        let is_narrow = matches!(self.pressure, Pressure::RootsAlone | Pressure::Alone);
        if is_narrow && self.nothing_runs() {
            self.open_all_workers();
        }
    }

    fn open_all_workers(&mut self) {
        self.open_workers.extend(self.workers.ids());
    }

    fn nothing_runs(&self) -> bool {
        self.workers.ids().all(|worker| self.workers.alive(worker).is_at_rest())
    }

    /// Whether memory allows a task to start now.
    pub(crate) fn may_start(&self, task: TaskId) -> bool {
        let is_root = self.tasks.dependency_count(task) == 0;
        match self.pressure {
            Pressure::None => true,
            _ if self.planted.has(Bug::PressureIsIgnored) => true,
            Pressure::NoRoots => !is_root,
            Pressure::RootsAlone => !is_root || self.nothing_runs(),
            Pressure::Paused => false,
            Pressure::Alone => self.nothing_runs(),
        }
    }

    /// The most urgent task in a worker's queue that memory allows to start.
    pub(super) fn first_allowed(&self, worker: WorkerId) -> Option<(Urgency, TaskId)> {
        let mut queue = self.workers.get(worker)?.queue.iter().copied();
        match self.pressure {
            Pressure::None => queue.next(),
            _ => queue.find(|&(_, task)| self.may_start(task)),
        }
    }

    /// When the result of a task will be read next. Takes time proportional to its dependents.
    pub fn next_use(&self, task: TaskId) -> NextUse {
        let mut dependents = self.tasks.dependents(task);
        let mut next = NextUse::Never;
        while let Some(dependent) = self.tasks.next_dependent(&mut dependents) {
            match self.tasks.state(dependent) {
                TaskState::Processing => return NextUse::Now,
                state if state.is_unfinished() => {
                    let Urgency { priority, sequence, rank } = self.tasks.urgency(dependent);
                    next = next.min(NextUse::Later { priority, sequence, rank });
                }
                _ => {}
            }
        }
        next
    }
}
