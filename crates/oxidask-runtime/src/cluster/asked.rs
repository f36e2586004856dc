//! What tasks ask of workers, and what workers have: names and amounts, and the ids that the scheduler
//! knows them by.

use std::collections::BTreeMap;

use oxidask_protocol::{Asked, NameId, ResourceId, TaskId};
use oxidask_scheduler::{Offer, Restriction};
use serde_json::{Value, json};

use super::core::Core;

/// By these names every worker of this host can be asked for.
const THIS_HOST: [&str; 2] = ["localhost", "127.0.0.1"];
/// Amounts are counted in millionths.
const MILLION: f64 = 1e6;

/// What the workers of a cluster have.
#[derive(Debug, Default)]
pub(super) struct Offers {
    each: Vec<(String, u64)>,
    names: BTreeMap<String, NameId>,
    resources: BTreeMap<String, ResourceId>,
}

impl Offers {
    /// Each worker has these resources.
    pub(super) fn new(each: Vec<(String, u64)>) -> Self {
        Self { each, ..Self::default() }
    }

    fn name(&mut self, name: &str) -> NameId {
        let next = NameId(self.names.len() as u32);
        *self.names.entry(name.to_owned()).or_insert(next)
    }

    fn amounts(&mut self, resources: &[(String, u64)]) -> BTreeMap<ResourceId, u64> {
        let id = |what: &String| {
            let next = ResourceId(self.resources.len() as u32);
            *self.resources.entry(what.clone()).or_insert(next)
        };
        let ids: Vec<ResourceId> = resources.iter().map(|(what, _)| what).map(id).collect();
        ids.into_iter().zip(resources).map(|(id, &(_, amount))| (id, amount)).collect()
    }

    /// What a worker of this name has.
    pub(super) fn of_worker(&mut self, name: &str) -> Offer {
        let names = [name].into_iter().chain(THIS_HOST).map(|name| self.name(name)).collect();
        let each = self.each.clone();
        Offer { names, resources: self.amounts(&each) }
    }

    /// What tasks ask for, in the words of the scheduler.
    pub(super) fn restriction(&mut self, asked: &Asked) -> Restriction {
        Restriction {
            names: asked.workers.iter().map(|name| self.name(name)).collect(),
            allow_others: asked.allow_others,
            resources: self.amounts(&asked.resources),
        }
    }

    /// What each worker has.
    pub(super) fn resources(&self) -> Value {
        let amounts =
            self.each.iter().map(|(what, amount)| (what.clone(), json!(*amount as f64 / MILLION)));
        amounts.collect()
    }
}

impl Core {
    /// What a task asks of its worker, in words; empty if nothing.
    pub(super) fn asked_by(&self, task: TaskId) -> String {
        let submitted = self.submission_of(task);
        let Some(asked) = submitted.and_then(|one| one.graph.asked_by(one.local(task))) else {
            return String::new();
        };
        let mut parts = Vec::new();
        if !asked.workers.is_empty() {
            let names: Vec<String> = asked.workers.iter().map(|name| format!("{name:?}")).collect();
            let else_any = if asked.allow_others { ", or else any other" } else { "" };
            parts.push(format!("worker {}{else_any}", names.join(" or ")));
        }
        if !asked.resources.is_empty() {
            parts.push(amounts(&asked.resources));
        }
        parts.join(", with ")
    }

    /// Why there is no worker for a task.
    pub(super) fn why_no_worker(&self, task: TaskId) -> String {
        let names: Vec<String> = self
            .workers
            .values()
            .filter(|entry| !entry.stillness.is_given_up())
            .map(|entry| format!("{:?}", entry.info.name))
            .collect();
        let asked = self.asked_by(task);
        let stopped = self.stopped_in_words();
        if names.is_empty() && !stopped.is_empty() {
            return format!(
                "all workers were stopped by a signal or a debugger: {stopped}; send SIGCONT to go on"
            );
        }
        if names.is_empty() {
            return "there is no worker".to_owned();
        }
        let each = match self.offers.each.as_slice() {
            [] => "without resources".to_owned(),
            each => format!("each with {}", amounts(each)),
        };
        format!("it asks for {asked}, but the workers are {}, {each}", names.join(", "))
    }
}

fn amounts(resources: &[(String, u64)]) -> String {
    let text = |(what, amount): &(String, u64)| format!("{what}={}", *amount as f64 / MILLION);
    resources.iter().map(text).collect::<Vec<_>>().join(", ")
}
