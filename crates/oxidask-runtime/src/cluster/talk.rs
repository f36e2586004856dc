//! Answers to questions about a cluster, as JSON.

use std::collections::BTreeMap;

use oxidask_protocol::{ClientTask, GroupTally, Question, TaskId, TaskState};
use serde_json::{Value, json};

use super::core::Core;
use super::submissions::Submitted;

/// Tasks that are looked at one by one to say how far they are, at most.
const MOST_COUNTED: usize = 200_000;

impl Core {
    pub(super) fn answer_to(&self, client: u64, question: Question) -> String {
        let answer = match question {
            Question::Workers => self.describe_workers(),
            Question::Why(task) => self.why(self.find(client, task)),
            Question::WhyKey(key) => self.why(self.find_by_key(&key)),
            Question::Holders(task) => self.holders(client, task),
            Question::Progress(tasks) => self.progress(client, &tasks),
        };
        answer.to_string()
    }

    fn describe_workers(&self) -> Value {
        let workers: Vec<Value> = self
            .workers()
            .into_iter()
            .map(|(worker, info)| {
                json!({
                    "worker": worker.0,
                    "name": info.name,
                    "pid": info.pid,
                    "threads": info.threads,
                    "finished": self.finished_by(worker),
                    "resources": self.offers.resources(),
                    "memory": self.memory_of(worker),
                    "stopped": self.still_for(worker).map(|time| time.as_secs_f64()),
                })
            })
            .collect();
        let states = self.states_of_groups();
        let memory = self.node.memory_use();
        json!({
            "workers": workers,
            "stored_nbytes": self.node.stored_nbytes(),
            "memory_nbytes": memory.used,
            "spilled_nbytes": memory.spilled,
            "pressure": memory.pressure.name(),
            "states": states,
        })
    }

    /// Tasks by state, over all groups.
    fn states_of_groups(&self) -> Value {
        let shown = [
            TaskState::Waiting,
            TaskState::NoWorker,
            TaskState::Queued,
            TaskState::Processing,
            TaskState::Memory,
            TaskState::Erred,
        ];
        let count = |state| -> u32 {
            self.groups().map(|(_, group)| self.scheduler.group_count(group, state)).sum()
        };
        shown.into_iter().map(|state| (state.name().to_owned(), json!(count(state)))).collect()
    }

    /// How far all is that was submitted together with these tasks, by group: of very many tasks, how
    /// far their groups are, whoever submitted them.
    fn progress(&self, client: u64, tasks: &[ClientTask]) -> Value {
        let found = tasks.iter().filter_map(|&task| self.submission_of(self.find(client, task)?));
        let submissions: BTreeMap<TaskId, &Submitted> =
            found.map(|submitted| (submitted.base, submitted)).collect();
        let count: usize = submissions.values().map(|submitted| submitted.graph.len()).sum();
        let mut tallies: BTreeMap<&str, GroupTally> = BTreeMap::new();
        for submitted in submissions.values() {
            let names = &submitted.graph.names;
            if count > MOST_COUNTED {
                for name in names {
                    let group = self.groups.get(name);
                    let tally = group.map(|&group| self.scheduler.group_tally(group));
                    tallies.insert(name, tally.unwrap_or_default());
                }
                continue;
            }
            for (local, &group) in submitted.graph.groups.iter().enumerate() {
                let tally = tallies.entry(&names[group as usize]).or_default();
                let task = TaskId(submitted.base.0 + local as u32);
                tally.tasks += 1;
                let owner = self.submission_of(task).map(|other| other.base);
                if owner != Some(submitted.base) || self.scheduler.has_finished(task) {
                    // What is forgotten was not needed any more: its result was made, and read.
                    tally.finished += 1;
                    continue;
                }
                match self.scheduler.state_of(task) {
                    TaskState::Erred => tally.erred += 1,
                    TaskState::Processing => tally.processing += 1,
                    TaskState::NoWorker => tally.no_worker += 1,
                    _ => tally.waiting += 1,
                }
            }
        }
        let row = |(name, tally): (&str, GroupTally)| {
            json!({
                "name": name,
                "tasks": tally.tasks,
                "finished": tally.finished,
                "processing": tally.processing,
                "waiting": tally.waiting + tally.no_worker,
                "erred": tally.erred,
            })
        };
        tallies.into_iter().map(row).collect()
    }

    fn holders(&self, client: u64, task: ClientTask) -> Value {
        let Some(task) = self.find(client, task) else { return json!([]) };
        let holders: Vec<u32> = self.scheduler.holders_of(task).map(|holder| holder.0).collect();
        json!(holders)
    }

    /// The task of any client with a key; of several, one that is not done.
    fn find_by_key(&self, key: &str) -> Option<TaskId> {
        let found = self.submissions.with_key(key);
        let is_done = |task: &TaskId| self.scheduler.state_of(*task) == TaskState::Memory;
        found.iter().copied().find(|task| !is_done(task)).or_else(|| found.first().copied())
    }

    /// Why a task is not done: the state of what it waits for, down to what does not wait itself.
    fn why(&self, task: Option<TaskId>) -> Value {
        let Some(task) = task else {
            return json!({ "state": "forgotten" });
        };
        let mut chain = Vec::new();
        let mut current = task;
        loop {
            let state = self.scheduler.state_of(current);
            let inputs: Vec<TaskId> = self.scheduler.dependencies_of(current).collect();
            let missing: Vec<TaskId> = inputs
                .iter()
                .copied()
                .filter(|&input| self.scheduler.state_of(input) != TaskState::Memory)
                .collect();
            let at = self.scheduler.worker_of(current);
            let worker = at.map(|worker| worker.0);
            let stopped = at.and_then(|worker| self.still_for(worker));
            let key = self.submission_of(current).map(|one| one.key(current));
            chain.push(json!({
                "key": key,
                "state": state.name(),
                "worker": worker,
                "inputs": inputs.len(),
                "missing": missing.len(),
                "asks_for": self.asked_by(current),
                "reason": self.why_no_worker(current),
                "stopped": stopped.map(|time| time.as_secs_f64()),
                "pid": at.and_then(|worker| Some(self.workers.get(&worker)?.info.pid)),
            }));
            let waits_at_node = self
                .scheduler
                .worker_of(current)
                .and_then(|worker| self.node.waits_for(worker, current));
            if let Some(input) = waits_at_node {
                let key = self.submission_of(input).map(|one| one.key(input));
                chain.push(json!({ "key": key, "state": "publishing" }));
                break;
            }
            match missing.first() {
                Some(&next) if state == TaskState::Waiting && chain.len() < 100 => current = next,
                _ => break,
            }
        }
        let threads: u32 = self.workers().iter().map(|(_, info)| info.threads).sum();
        let ttl = self.worker_ttl.map(|time| time.as_secs_f64());
        json!({ "chain": chain, "threads": threads, "worker_ttl": ttl })
    }
}
