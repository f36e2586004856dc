//! Tasks that clients want besides the one that submitted them: futures that travelled.

use std::collections::BTreeMap;

use oxidask_protocol::{ClientTask, TaskId};

/// Who wants a task that another client has adopted.
#[derive(Debug)]
struct Holders {
    /// Whether the client that submitted it still does.
    owner: bool,
    /// The others: each with its number for the task.
    others: Vec<(u64, ClientTask)>,
}

/// All tasks that clients have adopted.
#[derive(Debug, Default)]
pub(super) struct Adopted {
    /// By client and its number.
    tasks: BTreeMap<(u64, ClientTask), TaskId>,
    holders: BTreeMap<TaskId, Holders>,
}

impl Adopted {
    /// A client wants a task, too, and calls it so.
    pub(super) fn add(&mut self, task: TaskId, by: (u64, ClientTask), owner_wants: bool) {
        let holders = self
            .holders
            .entry(task)
            .or_insert_with(|| Holders { owner: owner_wants, others: Vec::new() });
        holders.others.push(by);
        self.tasks.insert(by, task);
    }

    /// The task that a client calls so.
    pub(super) fn find(&self, client: u64, number: ClientTask) -> Option<TaskId> {
        self.tasks.get(&(client, number)).copied()
    }

    /// Those who have adopted a task.
    pub(super) fn of(&self, task: TaskId) -> &[(u64, ClientTask)] {
        self.holders.get(&task).map_or(&[], |holders| &holders.others)
    }

    /// What a client that has adopted a task calls it, where that is how it knows the task.
    pub(super) fn number(&self, client: u64, task: TaskId, is_owner: bool) -> Option<ClientTask> {
        let holders = self.holders.get(&task)?;
        if is_owner && holders.owner {
            return None;
        }
        holders.others.iter().find(|&&(other, _)| other == client).map(|&(_, number)| number)
    }

    /// The client that submitted a task wants it no more; says whether nobody does.
    pub(super) fn owner_releases(&mut self, task: TaskId) -> bool {
        let Some(holders) = self.holders.get_mut(&task) else { return true };
        holders.owner = false;
        false
    }

    /// A client that adopted a task wants it no more; the task, if nobody does.
    pub(super) fn release(&mut self, client: u64, number: ClientTask) -> Option<TaskId> {
        let task = self.tasks.remove(&(client, number))?;
        let holders = self.holders.get_mut(&task)?;
        holders.others.retain(|&other| other != (client, number));
        if !holders.others.is_empty() {
            return None;
        }
        let owner = holders.owner;
        self.holders.remove(&task);
        (!owner).then_some(task)
    }

    /// A client is gone; the tasks that nobody wants now.
    pub(super) fn client_lost(&mut self, client: u64) -> Vec<TaskId> {
        let range = (client, 0)..=(client, ClientTask::MAX);
        let numbers: Vec<ClientTask> = self.tasks.range(range).map(|(&(_, one), _)| one).collect();
        numbers.into_iter().filter_map(|number| self.release(client, number)).collect()
    }

    /// A task is forgotten.
    pub(super) fn forget(&mut self, task: TaskId) {
        if let Some(holders) = self.holders.remove(&task) {
            for by in holders.others {
                self.tasks.remove(&by);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TASK: TaskId = TaskId(7);

    #[test]
    fn a_task_is_wanted_until_the_last_of_all_releases_it() {
        let mut adopted = Adopted::default();
        adopted.add(TASK, (1, 10), true);
        adopted.add(TASK, (2, 20), true);
        assert_eq!(adopted.find(1, 10), Some(TASK));
        assert_eq!(adopted.release(1, 10), None);
        assert!(!adopted.owner_releases(TASK));
        assert_eq!(adopted.release(2, 20), Some(TASK));
        assert_eq!(adopted.find(2, 20), None);
        assert!(adopted.owner_releases(TASK), "nothing is remembered of it");
    }

    #[test]
    fn a_client_that_goes_releases_what_it_adopted() {
        let mut adopted = Adopted::default();
        adopted.add(TASK, (1, 10), false);
        adopted.add(TaskId(8), (1, 11), true);
        assert_eq!(adopted.client_lost(1), [TASK]);
        assert_eq!(adopted.find(1, 11), None);
    }

    #[test]
    fn the_owner_knows_a_task_by_its_own_number_as_long_as_it_wants_it() {
        let mut adopted = Adopted::default();
        adopted.add(TASK, (0, 10), true);
        assert_eq!(adopted.number(0, TASK, true), None);
        adopted.owner_releases(TASK);
        assert_eq!(adopted.number(0, TASK, true), Some(10));
        assert_eq!(adopted.number(1, TASK, false), None);
    }
}
