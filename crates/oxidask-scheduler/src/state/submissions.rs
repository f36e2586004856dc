//! Clients: what they submit and let go of, and what is forgotten then.

use oxidask_protocol::{Cause, GroupId, RecordBody, TaskId, TaskState};

use super::{Group, SchedulerState, SubmissionInfo};
use crate::tasks::flag;
use crate::{Action, Outbox, Submission};

impl SchedulerState {
    pub(super) fn graph_submitted(&mut self, submission: &Submission, outbox: &mut Outbox) {
        let number = self.submissions.len() as u32;
        let groups_from = self.groups.len() as u32;
        let count = submission.rank.len();
        let base = self.tasks.append(submission, number, groups_from);
        let mut by_rank = vec![u32::MAX; count];
        for (task, &rank) in submission.rank.iter().enumerate() {
            by_rank[rank as usize] = base + task as u32;
        }
        // Larger priorities first, then earlier submissions.
        let priority_key = (i64::from(i32::MAX) - i64::from(submission.priority)) as u64;
        let priority_key = priority_key << 31 | u64::from(number);
        self.submissions.push(SubmissionInfo { priority_key, by_rank });
        for (&task, &retries) in &submission.retries {
            self.retries_left.insert(TaskId(base + task), retries);
        }
        for &task in &submission.wanted {
            self.tasks.set(TaskId(base + task), flag::WANTED);
        }
        self.add_groups(submission, groups_from, outbox);
        // All are needed, so the general walk from the wanted tasks would visit each: do it in a
        // row instead.
        let range = base..base + count as u32;
        for task in range.clone() {
            self.tasks.missing_inputs[task as usize] =
                self.tasks.dependencies.row(task).len() as u32;
            self.tasks.readers[task as usize] = self.tasks.dependents.row(task).len() as u32;
            self.transition(TaskId(task), TaskState::Waiting, Cause::Submitted, outbox);
        }
        for task in range {
            if self.tasks.missing_inputs[task as usize] == 0 {
                self.make_ready(TaskId(task), Cause::Submitted, outbox);
            }
        }
    }

    pub(super) fn add_groups(&mut self, submission: &Submission, from: u32, outbox: &mut Outbox) {
        let count = submission.groups.iter().max().map_or(0, |&last| last as usize + 1);
        let mut sizes = vec![0; count];
        for &group in &submission.groups {
            sizes[group as usize] += 1;
        }
        for (group, tasks) in sizes.into_iter().enumerate() {
            let mut entry = Group::default();
            entry.counts[TaskState::Released as usize] = tasks;
            self.groups.push(entry);
            let group = GroupId(from + group as u32);
            self.record(RecordBody::Group { group, tasks }, outbox);
        }
    }

    pub(super) fn tasks_released(&mut self, tasks: &[TaskId], outbox: &mut Outbox) {
        for &task in tasks {
            if !self.tasks.has(task, flag::WANTED) {
                continue;
            }
            self.tasks.clear(task, flag::WANTED);
            self.release_if_unneeded(task, outbox);
            self.forget_if_unneeded(task, outbox);
        }
    }

    /// Drops the result of a task, or stops it, if nobody will read the result; then the same for
    /// what only it needed.
    pub(super) fn release_if_unneeded(&mut self, task: TaskId, outbox: &mut Outbox) {
        let mut stack = vec![task];
        while let Some(task) = stack.pop() {
            if self.tasks.readers[task.index()] > 0 || self.tasks.has(task, flag::WANTED) {
                continue;
            }
            let state = self.tasks.state(task);
            if state == TaskState::Memory {
                self.drop_result(task, Cause::Unneeded, outbox);
            } else if state.is_unfinished() {
                self.stop(task, outbox);
                self.transition(task, TaskState::Released, Cause::Unneeded, outbox);
                for place in 0..self.tasks.dependency_count(task) {
                    let input = self.tasks.dependency(task, place);
                    self.tasks.readers[input.index()] -= 1;
                    stack.push(input);
                }
            }
        }
    }

    /// Forgets a task that nobody wants and that nothing remembered was made from; then the same
    /// for its inputs.
    pub(super) fn forget_if_unneeded(&mut self, task: TaskId, outbox: &mut Outbox) {
        let mut stack = vec![task];
        while let Some(task) = stack.pop() {
            let at_rest = matches!(self.tasks.state(task), TaskState::Released | TaskState::Erred);
            if !at_rest
                || self.tasks.unforgotten_dependents[task.index()] > 0
                || self.tasks.has(task, flag::WANTED)
            {
                continue;
            }
            self.transition(task, TaskState::Forgotten, Cause::Unneeded, outbox);
            self.blame.remove(&task);
            self.failures.remove(&task);
            self.crashes.remove(&task);
            self.retries_left.remove(&task);
            outbox.actions.push(Action::Forget { task });
            for place in 0..self.tasks.dependency_count(task) {
                let input = self.tasks.dependency(task, place);
                self.tasks.unforgotten_dependents[input.index()] -= 1;
                stack.push(input);
            }
        }
    }
}
