//! Answers to questions about a cluster, as JSON.

use oxidask_protocol::{ClientTask, Question, TaskId, TaskState};
use serde_json::{Value, json};

use super::core::Core;

impl Core {
    pub(super) fn answer_to(&self, client: u64, question: Question) -> String {
        let answer = match question {
            Question::Workers => self.describe_workers(),
            Question::Why(task) => self.why(self.find(client, task)),
            Question::WhyKey(key) => self.why(self.find_by_key(&key)),
            Question::Holders(task) => self.holders(client, task),
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
