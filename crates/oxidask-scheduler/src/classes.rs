//! Tasks that ask for something of the worker that runs them. Those that ask for the same are a
//! class, with a queue of its own and the workers that can meet it.

use std::collections::{BTreeMap, BTreeSet};

use oxidask_protocol::{TaskId, WorkerId};

use crate::Restriction;
use crate::workers::{Urgency, Worker, Workers};

/// A class, by its place in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ClassId(u32);

/// Tasks that ask for the same.
#[derive(Debug, Default)]
pub(crate) struct Class {
    pub(crate) restriction: Restriction,
    /// Tasks of remembered submissions. Without any, the class may be used anew.
    tasks: u32,
    /// Living workers that could run its tasks, if not now then later.
    pub(crate) candidates: BTreeSet<WorkerId>,
    /// Tasks that wait for one of them.
    pub(crate) queue: BTreeSet<(Urgency, TaskId)>,
}

/// All classes.
#[derive(Debug, Default)]
pub(crate) struct Classes {
    table: Vec<Class>,
    free: Vec<ClassId>,
    by_restriction: BTreeMap<Restriction, ClassId>,
    /// Those in whose queue a task waits.
    waiting: BTreeSet<ClassId>,
}

/// Who can meet a restriction: those that it names, or others while none of those is there.
fn candidates_of(restriction: &Restriction, workers: &Workers) -> BTreeSet<WorkerId> {
    let able: Vec<(WorkerId, &Worker)> = workers
        .ids()
        .map(|worker| (worker, workers.alive(worker)))
        .filter(|(_, entry)| entry.threads > 0 && entry.has_ever(&restriction.resources))
        .collect();
    let named: BTreeSet<WorkerId> = able
        .iter()
        .filter(|(_, entry)| {
            restriction.names.is_empty() || !restriction.names.is_disjoint(&entry.offer.names)
        })
        .map(|&(worker, _)| worker)
        .collect();
    if named.is_empty() && restriction.allow_others {
        return able.into_iter().map(|(worker, _)| worker).collect();
    }
    named
}

impl Classes {
    pub(crate) fn get(&self, class: ClassId) -> &Class {
        &self.table[class.0 as usize]
    }

    /// Whether no task waits that asks for something.
    pub(crate) fn is_quiet(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Those in whose queue a task waits.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = ClassId> + '_ {
        self.waiting.iter().copied()
    }

    /// The class of one more task that asks for this.
    pub(crate) fn add_task(&mut self, restriction: &Restriction, workers: &Workers) -> ClassId {
        let id = match self.by_restriction.get(restriction) {
            Some(&id) => id,
            None => self.new_class(restriction, workers),
        };
        self.table[id.0 as usize].tasks += 1;
        id
    }

    fn new_class(&mut self, restriction: &Restriction, workers: &Workers) -> ClassId {
        let candidates = candidates_of(restriction, workers);
        let class = Class { restriction: restriction.clone(), candidates, ..Class::default() };
        let id = if let Some(id) = self.free.pop() {
            self.table[id.0 as usize] = class;
            id
        } else {
            self.table.push(class);
            ClassId(self.table.len() as u32 - 1)
        };
        self.by_restriction.insert(restriction.clone(), id);
        id
    }

    /// A task of the class is not remembered any more.
    pub(crate) fn remove_task(&mut self, id: ClassId) {
        let class = &mut self.table[id.0 as usize];
        class.tasks -= 1;
        if class.tasks == 0 {
            let class = std::mem::take(class);
            self.by_restriction.remove(&class.restriction);
            self.free.push(id);
        }
    }

    pub(crate) fn enqueue(&mut self, id: ClassId, urgency: Urgency, task: TaskId) {
        self.table[id.0 as usize].queue.insert((urgency, task));
        self.waiting.insert(id);
    }

    /// Takes a task out of the queue, if it is there.
    pub(crate) fn dequeue(&mut self, id: ClassId, urgency: Urgency, task: TaskId) {
        let queue = &mut self.table[id.0 as usize].queue;
        queue.remove(&(urgency, task));
        if queue.is_empty() {
            self.waiting.remove(&id);
        }
    }

    /// The most urgent task that waits and that this worker may run now.
    pub(crate) fn first_for(
        &self,
        worker: WorkerId,
        entry: &Worker,
        may_start: impl Fn(TaskId) -> bool,
    ) -> Option<(Urgency, ClassId)> {
        self.waiting
            .iter()
            .map(|&id| (id, self.get(id)))
            .filter(|(_, class)| {
                class.candidates.contains(&worker) && entry.has_now(&class.restriction.resources)
            })
            .filter_map(|(id, class)| {
                let &(urgency, task) = class.queue.first()?;
                may_start(task).then_some((urgency, id))
            })
            .min()
    }

    /// Workers came or went. Returns the tasks of queues for which nobody is left.
    pub(crate) fn workers_changed(&mut self, workers: &Workers) -> Vec<TaskId> {
        let mut stranded = Vec::new();
        for &id in self.by_restriction.values() {
            let class = &mut self.table[id.0 as usize];
            class.candidates = candidates_of(&class.restriction, workers);
            if class.candidates.is_empty() && self.waiting.remove(&id) {
                stranded.extend(std::mem::take(&mut class.queue).into_iter().map(|(_, task)| task));
            }
        }
        stranded
    }
}
