//! Clients: what they submit and let go of, and what is forgotten then.

use oxidask_protocol::{Cause, GroupId, RecordBody, TaskId, TaskState};

use super::{Group, SchedulerState};
use crate::planted::Bug;
use crate::tasks::flag;
use crate::{Action, Outbox, Outcome, Submission};

impl SchedulerState {
    pub(super) fn graph_submitted(&mut self, mut submission: Submission, outbox: &mut Outbox) {
        let count = submission.rank.len() as u32;
        let groups = self.add_groups(&submission, outbox);
        let wanted = std::mem::take(&mut submission.wanted);
        let retries = std::mem::take(&mut submission.retries);
        let externals = submission.externals.clone();
        let restrictions = std::mem::take(&mut submission.restrictions);
        let restricted = std::mem::take(&mut submission.restricted);
        let base = self.tasks.append(submission, self.sequence, &groups);
        self.sequence += 1;
        if self.planted.has(Bug::AttemptsBeginAnew) {
            self.tasks.attempt[base as usize..(base + count) as usize].fill(0);
        }
        for (task, retries) in retries {
            self.retries_left.insert(TaskId(base + task), retries);
        }
        for (task, place) in restricted {
            let class = self.classes.add_task(&restrictions[place as usize], &self.workers);
            self.tasks.restrict(TaskId(base + task), class);
        }
        let (wanted, wanted_externals): (Vec<u32>, Vec<u32>) =
            wanted.into_iter().partition(|&task| task < count);
        for task in wanted {
            self.tasks.set(TaskId(base + task), flag::WANTED);
        }
        // All are needed, so the general walk from the wanted tasks would visit each: do it in a
        // row instead.
        let range = base..base + count;
        for task in range.clone().map(TaskId) {
            self.tasks.missing_inputs[task.index()] = self.tasks.dependency_count(task) as u32;
            self.tasks.readers[task.index()] = self.tasks.unforgotten_dependents[task.index()];
            self.transition(task, TaskState::Waiting, Cause::Submitted, outbox);
        }
        if !externals.is_empty() {
            self.read_externals(range.clone(), outbox);
        }
        for task in range.map(TaskId) {
            if self.tasks.state(task) == TaskState::Waiting
                && self.tasks.missing_inputs[task.index()] == 0
            {
                self.make_ready(task, Cause::Submitted, outbox);
            }
        }
        for place in wanted_externals {
            self.want(externals[(place - count) as usize], outbox);
        }
    }

    /// Tasks that have just been submitted read tasks of earlier submissions, in whatever state
    /// those are.
    fn read_externals(&mut self, submitted: std::ops::Range<u32>, outbox: &mut Outbox) {
        let (mut released, mut erred) = (Vec::new(), Vec::new());
        for task in submitted.clone().map(TaskId) {
            for place in 0..self.tasks.dependency_count(task) {
                let input = self.tasks.dependency(task, place);
                if submitted.contains(&input.0) {
                    continue;
                }
                self.tasks.readers[input.index()] += 1;
                match self.tasks.state(input) {
                    TaskState::Memory => self.tasks.missing_inputs[task.index()] -= 1,
                    TaskState::Released => released.push(input),
                    TaskState::Erred => erred.push((task, input)),
                    _ => {}
                }
            }
        }
        for input in released {
            // Who reads it may have failed by now, of what another one needs.
            if self.tasks.readers[input.index()] > 0 {
                self.make_again(input, Cause::Submitted, outbox);
            }
        }
        if self.planted.has(Bug::FailedExternalIsAwaited) {
            return;
        }
        for (task, input) in erred {
            let blame = self.errors[&input];
            self.err_from(task, Cause::InputErred, blame, outbox);
        }
    }

    /// A client wants the result of a task that is known.
    pub(super) fn want(&mut self, task: TaskId, outbox: &mut Outbox) {
        if self.tasks.has(task, flag::WANTED) {
            return;
        }
        let is_given_away = self.is_given_away(task);
        self.tasks.set(task, flag::WANTED);
        self.tasks.clear(task, flag::REPORTED);
        match self.tasks.state(task) {
            TaskState::Memory if is_given_away => {
                let (holders, attempt): (Vec<_>, _) =
                    (self.holders_of(task).collect(), self.tasks.attempt(task));
                for &worker in &holders {
                    self.remove_holder(worker, task);
                }
                self.results_were_lost(&[task], Cause::InputMissing, outbox);
                // Only now was its reader told to stop.
                let drops = holders.iter().map(|&worker| Action::Drop { worker, task, attempt });
                outbox.actions.extend(drops);
            }
            TaskState::Memory => self.report(task, Outcome::Finished, outbox),
            TaskState::Erred => self.report(task, self.errors[&task].outcome(), outbox),
            TaskState::Released => self.make_again(task, Cause::Submitted, outbox),
            _ => {}
        }
    }

    /// Whether the only reader of a result runs, and has it for itself.
    fn is_given_away(&self, task: TaskId) -> bool {
        if !self.settings.gives_away || self.tasks.state(task) != TaskState::Memory {
            return false;
        }
        let mut dependents = self.tasks.dependents(task);
        while let Some(reader) = self.tasks.next_dependent(&mut dependents) {
            if self.tasks.state(reader) == TaskState::Processing {
                return self.is_last_reader(reader, task);
            }
        }
        false
    }

    /// The groups of a submission, by their number there; they have grown by its tasks.
    fn add_groups(&mut self, submission: &Submission, outbox: &mut Outbox) -> Vec<GroupId> {
        let count = submission.groups.iter().max().map_or(0, |&last| last as usize + 1);
        let mut sizes = vec![0; count];
        for &group in &submission.groups {
            sizes[group as usize] += 1;
        }
        let groups: Vec<GroupId> = if submission.shared_groups.is_empty() {
            (0..count).map(|_| self.new_group()).collect()
        } else {
            submission.shared_groups.clone()
        };
        for &id in &submission.shared_groups {
            self.share_group(id);
        }
        for (&id, size) in groups.iter().zip(sizes) {
            let entry = &mut self.groups[id.index()];
            entry.tasks += size;
            entry.counts[TaskState::Released as usize] += size;
            let tasks = entry.tasks;
            self.record(RecordBody::Group { group: id, tasks }, outbox);
        }
        groups
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
            let has_erred = self.tasks.state(task) == TaskState::Erred;
            let group = self.tasks.group[task.index()];
            self.groups[group.index()].gone.erred += u64::from(has_erred);
            self.transition(task, TaskState::Forgotten, Cause::Unneeded, outbox);
            self.errors.remove(&task);
            self.crashes.remove(&task);
            self.retries_left.remove(&task);
            self.tasks.forget(task);
            outbox.actions.push(Action::Forget { task });
            for place in 0..self.tasks.dependency_count(task) {
                let input = self.tasks.dependency(task, place);
                self.tasks.unforgotten_dependents[input.index()] -= 1;
                stack.push(input);
            }
        }
    }

    // ---- Groups and ids are used anew ----

    fn new_group(&mut self) -> GroupId {
        if let Some(id) = self.free_groups.pop_first() {
            self.groups[id.index()] = Group::default();
            return id;
        }
        self.groups.push(Group::default());
        GroupId(self.groups.len() as u32 - 1)
    }

    /// A submission names the group: it stays until clients let go of it.
    fn share_group(&mut self, id: GroupId) {
        while self.groups.len() <= id.index() {
            self.free_groups.insert(GroupId(self.groups.len() as u32));
            self.groups.push(Group::default());
        }
        if self.free_groups.remove(&id) {
            self.groups[id.index()] = Group::default();
        }
        self.groups[id.index()].is_shared = true;
    }

    /// Clients will not name these groups again.
    pub(super) fn groups_released(&mut self, groups: &[GroupId]) {
        for &id in groups {
            self.groups[id.index()].is_shared = false;
            if self.groups[id.index()].tasks == 0 {
                self.free_groups.insert(id);
            }
        }
    }

    /// Takes apart the submissions of which nothing is remembered any more. It is done after all
    /// else, so that what a walk meets is there until its end.
    pub(super) fn recycle(&mut self) {
        while let Some((number, tasks)) = self.tasks.next_unpinned() {
            for task in tasks.map(TaskId) {
                let id = self.tasks.group[task.index()];
                let group = &mut self.groups[id.index()];
                group.tasks -= 1;
                group.counts[TaskState::Forgotten as usize] -= 1;
                let is_finished = self.tasks.has(task, flag::FINISHED);
                group.finished -= u32::from(is_finished);
                group.gone.all += 1;
                group.gone.finished += u64::from(is_finished);
                if group.tasks == 0
                    && !group.is_shared
                    && !self.planted.has(Bug::ForgottenGroupsStay)
                {
                    self.free_groups.insert(id);
                }
            }
            for (_, class) in std::mem::take(&mut self.tasks.submissions[number as usize].classes) {
                self.classes.remove_task(class);
            }
            self.tasks.take_apart(number);
        }
    }
}
