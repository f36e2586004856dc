//! Which client's which task a task of the scheduler is, and how it is called.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use oxidask_graph::{Edges, EdgesBuilder};
use oxidask_protocol::{ClientTask, Graph, TaskId};

/// The tasks of one submission that are not forgotten.
#[derive(Debug)]
pub(super) struct Submitted {
    pub(super) client: u64,
    pub(super) base: TaskId,
    pub(super) graph: Graph,
    /// Tasks that are not forgotten.
    left: u32,
}

impl Submitted {
    /// The number in its graph of a task of the scheduler.
    pub(super) fn local(&self, task: TaskId) -> u32 {
        task.0 - self.base.0
    }

    /// The client's number of a task of the scheduler.
    pub(super) fn client_task(&self, task: TaskId) -> ClientTask {
        self.graph.first + u64::from(self.local(task))
    }

    /// How long a task may run, if that is limited.
    pub(super) fn time_limit_of(&self, task: TaskId) -> Option<Duration> {
        self.graph.time_limit_of(self.local(task))
    }

    /// The task with a key, if there is one. It looks at all: nobody but people asks.
    fn with_key(&self, key: &str) -> Option<TaskId> {
        let Graph { keys, identities, .. } = &self.graph;
        let id = |local: u32| TaskId(self.base.0 + local);
        if let Some((local, _)) = keys.iter().find(|(_, own)| own == key) {
            return Some(id(*local));
        }
        // A client may call a task by another name than who submitted the same call before.
        let (_, identity) = key.rsplit_once('-').filter(|(_, identity)| identity.len() == 32)?;
        let identity = u128::from_str_radix(identity, 16).ok()?;
        let local = identities.iter().position(|&own| own == identity)? as u32;
        keys.binary_search_by_key(&local, |&(task, _)| task).is_err().then(|| id(local))
    }

    /// The key of a task.
    pub(super) fn key(&self, task: TaskId) -> String {
        let local = self.local(task);
        if let Ok(place) = self.graph.keys.binary_search_by_key(&local, |&(task, _)| task) {
            return self.graph.keys[place].1.clone();
        }
        let group = self.graph.groups[local as usize] as usize;
        format!("{}-{:032x}", self.graph.names[group], self.graph.identities[local as usize])
    }
}

/// All submissions of which a task is not forgotten.
#[derive(Debug, Default)]
pub(super) struct Submissions {
    table: Vec<Option<Box<Submitted>>>,
    free: Vec<u32>,
    /// Submission of each task of the scheduler.
    of_task: Vec<u32>,
    /// Submissions by client and first task.
    of_client: BTreeMap<(u64, ClientTask), u32>,
}

impl Submissions {
    pub(super) fn add(&mut self, client: u64, base: TaskId, graph: Graph) {
        let count = graph.len();
        let first = graph.first;
        let left = count as u32;
        let submitted = Some(Box::new(Submitted { client, base, graph, left }));
        let number = if let Some(number) = self.free.pop() {
            self.table[number as usize] = submitted;
            number
        } else {
            self.table.push(submitted);
            self.table.len() as u32 - 1
        };
        let end = base.index() + count;
        if self.of_task.len() < end {
            self.of_task.resize(end, u32::MAX);
        }
        self.of_task[base.index()..end].fill(number);
        self.of_client.insert((client, first), number);
    }

    pub(super) fn of(&self, task: TaskId) -> &Submitted {
        self.get(task).expect("a task that is not forgotten has its submission")
    }

    pub(super) fn get(&self, task: TaskId) -> Option<&Submitted> {
        let number = *self.of_task.get(task.index())?;
        self.table.get(number as usize)?.as_deref()
    }

    /// The scheduler's task for a client's task, if it is not forgotten.
    pub(super) fn find(&self, client: u64, task: ClientTask) -> Option<TaskId> {
        let range = (client, 0)..=(client, task);
        let (_, &number) = self.of_client.range(range).next_back()?;
        let submitted = self.table[number as usize].as_deref()?;
        let local = task - submitted.graph.first;
        let task = TaskId(submitted.base.0 + u32::try_from(local).ok()?);
        let is_there = local < submitted.graph.len() as u64 && self.of_task[task.index()] == number;
        is_there.then_some(task)
    }

    /// Tasks of all clients with a key that are not forgotten.
    pub(super) fn with_key(&self, key: &str) -> Vec<TaskId> {
        let all = self.table.iter().enumerate();
        let found = all.filter_map(|(number, submitted)| {
            let task = submitted.as_deref()?.with_key(key)?;
            (self.of_task[task.index()] == number as u32).then_some(task)
        });
        found.collect()
    }

    /// All tasks of a client that are not forgotten and that it wanted.
    pub(super) fn wanted_by(&self, client: u64) -> Vec<TaskId> {
        let numbers = self.of_client.range((client, 0)..=(client, ClientTask::MAX));
        numbers
            .filter_map(|(_, &number)| self.table[number as usize].as_deref())
            .flat_map(|submitted| {
                submitted.graph.wanted.iter().map(|task| TaskId(submitted.base.0 + task))
            })
            .filter(|task| self.of_task[task.index()] != u32::MAX)
            .collect()
    }

    /// All tasks that are not forgotten and that the clients wanted that submitted them.
    pub(super) fn wanted(&self) -> Vec<TaskId> {
        let clients: BTreeSet<u64> = self.of_client.keys().map(|&(client, _)| client).collect();
        clients.into_iter().flat_map(|client| self.wanted_by(client)).collect()
    }

    /// A task is forgotten; returns its submission if it was the last.
    pub(super) fn forget(&mut self, task: TaskId) -> Option<Box<Submitted>> {
        let number = std::mem::replace(&mut self.of_task[task.index()], u32::MAX);
        let slot = &mut self.table[number as usize];
        let submitted =
            slot.as_deref_mut().expect("a task that is not forgotten has its submission");
        submitted.left -= 1;
        if submitted.left > 0 {
            return None;
        }
        let submitted = slot.take()?;
        self.free.push(number);
        self.of_client.remove(&(submitted.client, submitted.graph.first));
        Some(submitted)
    }
}

/// The rows of inputs of a graph, and whether they are such: from a client they may be anything.
pub(super) fn edges_of(graph: &Graph) -> Option<Edges> {
    let count = graph.len();
    let limit = count + graph.externals.len();
    let starts = &graph.starts;
    let is_sound = starts.len() == count + 1
        && starts.first() == Some(&0)
        && starts.last().copied() == Some(graph.inputs.len() as u32)
        && starts.windows(2).all(|pair| pair[0] <= pair[1])
        && graph.groups.len() == count
        && graph.groups.iter().all(|&group| (group as usize) < graph.names.len())
        && graph.program_ends.len() == count
        && graph.program_ends.windows(2).all(|pair| pair[0] <= pair[1])
        && graph.program_ends.last().is_none_or(|&end| end as usize <= graph.programs.len())
        && (graph.part_set_of.is_empty() || graph.part_set_of.len() == count)
        && graph.part_set_of.iter().all(|&set| (set as usize) < graph.part_sets.len())
        && graph.part_sets.iter().flatten().all(|&part| (part as usize) < graph.shared.len())
        && graph.rank.len() == count
        && graph.wanted.iter().all(|&task| (task as usize) < count)
        && graph.retries.iter().all(|&(task, _)| (task as usize) < count)
        && graph.time_limits.iter().all(|&(task, _)| (task as usize) < count)
        && graph
            .asking
            .iter()
            .all(|&(task, place)| (task as usize) < count && (place as usize) < graph.asked.len())
        && is_permutation(&graph.rank);
    if !is_sound {
        return None;
    }
    let mut edges = EdgesBuilder::with_capacity(count, graph.inputs.len());
    // The last task that read each input, plus one: each input stands once in a row.
    let mut read_by = vec![0_u32; limit];
    for (task, row) in starts.windows(2).enumerate() {
        for &input in &graph.inputs[row[0] as usize..row[1] as usize] {
            // Tasks stand behind what they read, so there is no cycle.
            let is_behind = (input as usize) < task || input as usize >= count;
            let reader = read_by.get_mut(input as usize)?;
            if !is_behind || std::mem::replace(reader, task as u32 + 1) == task as u32 + 1 {
                return None;
            }
            edges.push_target(input);
        }
        edges.end_row();
    }
    Some(edges.finish())
}

fn is_permutation(rank: &[u32]) -> bool {
    let mut seen = vec![false; rank.len()];
    rank.iter().all(|&place| {
        seen.get_mut(place as usize).is_some_and(|seen| !std::mem::replace(seen, true))
    })
}
