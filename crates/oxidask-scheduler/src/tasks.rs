//! The table of tasks: one array a column, about 40 bytes a task, beside what each submission keeps
//! of its own tasks: their ties and their order.

use std::collections::BTreeMap;

use oxidask_graph::Edges;
use oxidask_protocol::{Attempt, GroupId, TaskId, TaskState, WorkerId};

use crate::Submission;
use crate::classes::ClassId;
use crate::spaces::Spaces;
use crate::workers::Urgency;

/// Bits of [`Tasks::flags`].
pub(crate) mod flag {
    /// A client keeps the result.
    pub(crate) const WANTED: u8 = 1;
    /// The client was told how the task ended.
    pub(crate) const REPORTED: u8 = 2;
    /// A cancelled attempt of it still holds a slot; see `SchedulerState::ghosts`.
    pub(crate) const GHOST: u8 = 4;
    /// More than one worker holds its result; see `SchedulerState::replicas`.
    pub(crate) const REPLICATED: u8 = 8;
    /// It was asked back from its worker.
    pub(crate) const RETRACTING: u8 = 16;
    /// It counts among the finished tasks of its group.
    pub(crate) const FINISHED: u8 = 32;
    /// Later submissions read it; see [`Tasks::late`](super::Tasks::late).
    pub(crate) const LATE: u8 = 64;
    /// It asks for something of the worker that runs it.
    pub(crate) const RESTRICTED: u8 = 128;
}

/// No task.
const NOBODY: TaskId = TaskId(u32::MAX);
/// An id whose attempts have been counted so far is not used anew: messages about old attempts must
/// never look like news.
pub(crate) const LAST_ATTEMPT: u32 = u32::MAX / 2;
/// No worker.
pub(crate) const NOWHERE: WorkerId = WorkerId(u32::MAX);

/// All tasks, by id.
#[derive(Debug, Default)]
pub(crate) struct Tasks {
    pub(crate) state: Vec<TaskState>,
    pub(crate) flags: Vec<u8>,
    pub(crate) attempt: Vec<u32>,
    /// Inputs that are not in memory; of meaning in unfinished states.
    pub(crate) missing_inputs: Vec<u32>,
    /// Dependents in unfinished states: they will read the result.
    pub(crate) readers: Vec<u32>,
    /// Dependents that are not forgotten: they may have to run again.
    pub(crate) unforgotten_dependents: Vec<u32>,
    /// Where it is queued, runs, or is held (the first holder).
    pub(crate) worker: Vec<WorkerId>,
    pub(crate) nbytes: Vec<u64>,
    pub(crate) group: Vec<GroupId>,
    pub(crate) submission: Vec<u32>,
    /// Submissions of which something is remembered; the others are empty and listed in
    /// `free_submissions`.
    pub(crate) submissions: Vec<Submitted>,
    free_submissions: Vec<u32>,
    /// Ids that belong to no submission.
    pub(crate) spaces: Spaces,
    /// Submissions of which nothing is remembered any more, still to be taken apart.
    unpinned: Vec<u32>,
    /// Who reads the tasks that are external to a later submission. Tasks without such readers are
    /// not listed.
    pub(crate) late: BTreeMap<TaskId, Vec<Link>>,
}

/// One submission, and how its tasks hang together.
#[derive(Debug, Default)]
pub(crate) struct Submitted {
    /// Tasks that are not forgotten, and cancelled attempts that hold a slot.
    pub(crate) pins: u32,
    /// The larger, the later.
    priority: u64,
    /// How many submissions came before.
    sequence: u64,
    /// Id of its first task; the others follow.
    base: u32,
    /// By number in the submission; numbers behind the last task are places in `externals`.
    dependencies: Edges,
    /// Dependents of the tasks, and then those of the externals.
    dependents: Edges,
    /// [`NOBODY`] once it is forgotten.
    externals: Vec<TaskId>,
    /// For each external, the place of the link to it in [`Tasks::late`].
    places: Vec<u32>,
    pub(crate) rank: Vec<u32>,
    by_rank: Vec<u32>,
    /// The classes of tasks that ask for something of their worker.
    pub(crate) classes: BTreeMap<TaskId, ClassId>,
}

/// That a submission names a task as an external.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    submission: u32,
    /// Its place there.
    external: u32,
}

/// A walk over the dependents of a task; see [`Tasks::dependents`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dependents {
    task: TaskId,
    submission: u32,
    at: usize,
    end: usize,
    /// Whether those of later submissions follow.
    pub(crate) has_late: bool,
    next_link: usize,
}

impl Submitted {
    pub(crate) fn len(&self) -> usize {
        self.rank.len()
    }

    /// The ids of its tasks.
    pub(crate) fn ids(&self) -> std::ops::Range<u32> {
        self.base..self.base + self.len() as u32
    }

    pub(crate) fn queue_key(&self) -> (u64, u64) {
        (self.priority, self.sequence)
    }

    pub(crate) fn task_of_rank(&self, rank: u32) -> TaskId {
        TaskId(self.base + self.by_rank[rank as usize])
    }
}

impl Tasks {
    pub(crate) fn len(&self) -> usize {
        self.state.len()
    }

    /// Where the tasks of a submission of this size will be.
    pub(crate) fn place_for(&self, count: usize) -> u32 {
        self.spaces.place_for(count as u32, self.len() as u32)
    }

    /// Adds the tasks of a submission, released, in groups of these ids, and returns the first id.
    pub(crate) fn append(
        &mut self,
        submission: Submission,
        sequence: u64,
        groups: &[GroupId],
    ) -> u32 {
        let count = submission.rank.len();
        assert!(
            submission.dependencies.len() == count && submission.groups.len() == count,
            "a submission has one row of inputs and one group for each of its {count} tasks"
        );
        let base = self.place_for(count);
        self.spaces.take(base, count as u32);
        let number = self.free_submissions.pop().unwrap_or(self.submissions.len() as u32);
        let externals = submission.externals;
        let dependents = submission.dependencies.reversed_onto(count + externals.len());
        self.make_rows(base as usize..base as usize + count, number);
        let rows = base as usize..;
        for (task, row) in rows.clone().zip(dependents.rows().take(count)) {
            self.unforgotten_dependents[task] = row.len() as u32;
        }
        for (task, &group) in rows.zip(&submission.groups) {
            self.group[task] = groups[group as usize];
        }
        let places = self.link(number, &externals);
        for (external, row) in externals.iter().zip(dependents.rows().skip(count)) {
            self.unforgotten_dependents[external.index()] += row.len() as u32;
        }
        let mut by_rank = vec![u32::MAX; count];
        for (task, &rank) in submission.rank.iter().enumerate() {
            by_rank[rank as usize] = task as u32;
        }
        let submitted = Submitted {
            pins: count as u32,
            // Larger priorities first.
            priority: !(submission.priority as u64 ^ 1 << 63),
            sequence,
            base,
            dependencies: submission.dependencies,
            dependents,
            externals,
            places,
            rank: submission.rank,
            by_rank,
            classes: BTreeMap::new(),
        };
        if number as usize == self.submissions.len() {
            self.submissions.push(submitted);
        } else {
            self.submissions[number as usize] = submitted;
        }
        if count == 0 {
            self.unpinned.push(number);
        }
        base
    }

    /// Makes the rows of new tasks. Attempts of ids that are used anew are counted on.
    fn make_rows(&mut self, rows: std::ops::Range<usize>, submission: u32) {
        let used = self.len().clamp(rows.start, rows.end);
        self.state[rows.start..used].fill(TaskState::Released);
        self.flags[rows.start..used].fill(0);
        self.worker[rows.start..used].fill(NOWHERE);
        self.nbytes[rows.start..used].fill(0);
        self.submission[rows.start..used].fill(submission);
        if used < rows.end {
            let end = rows.end;
            self.state.resize(end, TaskState::Released);
            self.flags.resize(end, 0);
            self.attempt.resize(end, 0);
            self.missing_inputs.resize(end, 0);
            self.readers.resize(end, 0);
            self.unforgotten_dependents.resize(end, 0);
            self.worker.resize(end, NOWHERE);
            self.nbytes.resize(end, 0);
            self.group.resize(end, GroupId(0));
            self.submission.resize(end, submission);
        }
    }

    /// Something of the task's submission must be remembered: a cancelled attempt of it holds a
    /// slot, so its id must not be used anew.
    pub(crate) fn pin(&mut self, task: TaskId) {
        self.submissions[self.submission[task.index()] as usize].pins += 1;
    }

    pub(crate) fn unpin(&mut self, task: TaskId) {
        let number = self.submission[task.index()];
        let submission = &mut self.submissions[number as usize];
        submission.pins -= 1;
        if submission.pins == 0 {
            self.unpinned.push(number);
        }
    }

    /// A task was forgotten: those that read it are too, and need not know it.
    pub(crate) fn forget(&mut self, task: TaskId) {
        self.attempt[task.index()] += 1;
        if self.has(task, flag::LATE) {
            for link in self.late.remove(&task).unwrap_or_default() {
                let submission = &mut self.submissions[link.submission as usize];
                submission.externals[link.external as usize] = NOBODY;
            }
        }
        self.unpin(task);
    }

    /// A submission of which nothing is remembered, and its tasks.
    pub(crate) fn next_unpinned(&mut self) -> Option<(u32, std::ops::Range<u32>)> {
        let number = self.unpinned.pop()?;
        Some((number, self.submissions[number as usize].ids()))
    }

    /// Takes a submission apart of which nothing is remembered: its number and ids may be used anew.
    pub(crate) fn take_apart(&mut self, number: u32) {
        let submission = std::mem::take(&mut self.submissions[number as usize]);
        for (&task, &place) in submission.externals.iter().zip(&submission.places) {
            if task != NOBODY {
                self.unlink(task, place);
            }
        }
        let (base, count) = (submission.base, submission.len() as u32);
        let attempts = &self.attempt[base as usize..(base + count) as usize];
        if attempts.iter().all(|&attempt| attempt < LAST_ATTEMPT) {
            self.spaces.give_back(base, count);
        }
        self.free_submissions.push(number);
    }

    /// Whether the link at this place leads to a submission that leads back to it.
    pub(crate) fn link_fits(&self, task: TaskId, place: usize) -> bool {
        let link = self.late[&task][place];
        let submission = &self.submissions[link.submission as usize];
        let external = link.external as usize;
        submission.externals.get(external) == Some(&task)
            && submission.places.get(external) == Some(&(place as u32))
    }

    fn unlink(&mut self, task: TaskId, place: u32) {
        let links = self.late.get_mut(&task).expect("an external knows who reads it");
        links.swap_remove(place as usize);
        if let Some(moved) = links.get(place as usize) {
            self.submissions[moved.submission as usize].places[moved.external as usize] = place;
        } else if links.is_empty() {
            self.late.remove(&task);
            self.clear(task, flag::LATE);
        }
    }

    /// Notes at each external that the submission reads it; says where.
    fn link(&mut self, submission: u32, externals: &[TaskId]) -> Vec<u32> {
        let mut places = Vec::with_capacity(externals.len());
        for (external, &task) in externals.iter().enumerate() {
            assert!(
                task.index() < self.len() && self.state(task) != TaskState::Forgotten,
                "a submission reads {task}, which is forgotten"
            );
            self.set(task, flag::LATE);
            let links = self.late.entry(task).or_default();
            places.push(links.len() as u32);
            links.push(Link { submission, external: external as u32 });
        }
        places
    }

    /// A task that has just been submitted asks for something of its worker.
    pub(crate) fn restrict(&mut self, task: TaskId, class: ClassId) {
        self.set(task, flag::RESTRICTED);
        let submission = self.submission[task.index()];
        self.submissions[submission as usize].classes.insert(task, class);
    }

    /// The class of a task that is marked RESTRICTED.
    pub(crate) fn class_of(&self, task: TaskId) -> ClassId {
        self.submission_of(task).classes[&task]
    }

    pub(crate) fn state(&self, task: TaskId) -> TaskState {
        self.state[task.index()]
    }

    pub(crate) fn attempt(&self, task: TaskId) -> Attempt {
        Attempt(self.attempt[task.index()])
    }

    pub(crate) fn has(&self, task: TaskId, flag: u8) -> bool {
        self.flags[task.index()] & flag != 0
    }

    pub(crate) fn set(&mut self, task: TaskId, flag: u8) {
        self.flags[task.index()] |= flag;
    }

    pub(crate) fn clear(&mut self, task: TaskId, flag: u8) {
        self.flags[task.index()] &= !flag;
    }

    pub(crate) fn submission_of(&self, task: TaskId) -> &Submitted {
        &self.submissions[self.submission[task.index()] as usize]
    }

    pub(crate) fn rank(&self, task: TaskId) -> u32 {
        let submission = self.submission_of(task);
        submission.rank[(task.0 - submission.base) as usize]
    }

    /// When the task runs among all that wait.
    pub(crate) fn urgency(&self, task: TaskId) -> Urgency {
        let submission = self.submission_of(task);
        let rank = submission.rank[(task.0 - submission.base) as usize];
        Urgency { priority: submission.priority, sequence: submission.sequence, rank }
    }

    pub(crate) fn dependency_count(&self, task: TaskId) -> usize {
        let submission = self.submission_of(task);
        submission.dependencies.row_range(task.0 - submission.base).len()
    }

    pub(crate) fn dependency(&self, task: TaskId, place: usize) -> TaskId {
        let submission = self.submission_of(task);
        let number = submission.dependencies.row(task.0 - submission.base)[place];
        match (number as usize).checked_sub(submission.len()) {
            None => TaskId(submission.base + number),
            Some(external) => submission.externals[external],
        }
    }

    /// A walk over those that read the task, of its own submission and of later ones.
    pub(crate) fn dependents(&self, task: TaskId) -> Dependents {
        let submission = self.submission_of(task);
        let row = submission.dependents.row_range(task.0 - submission.base);
        Dependents {
            task,
            submission: self.submission[task.index()],
            at: row.start,
            end: row.end,
            has_late: self.has(task, flag::LATE),
            next_link: 0,
        }
    }

    /// The next one of a walk.
    pub(crate) fn next_dependent(&self, walk: &mut Dependents) -> Option<TaskId> {
        loop {
            if walk.at < walk.end {
                let submission = &self.submissions[walk.submission as usize];
                let number = submission.dependents.targets()[walk.at];
                walk.at += 1;
                return Some(TaskId(submission.base + number));
            }
            if !walk.has_late {
                return None;
            }
            let link = *self.late.get(&walk.task)?.get(walk.next_link)?;
            walk.next_link += 1;
            let submission = &self.submissions[link.submission as usize];
            let row = submission.dependents.row_range(submission.len() as u32 + link.external);
            (walk.submission, walk.at, walk.end) = (link.submission, row.start, row.end);
        }
    }

    /// Bytes on the heap.
    pub(crate) fn nbytes_used(&self) -> usize {
        let submissions = self.submissions.iter().map(|submission| {
            submission.dependencies.nbytes()
                + submission.dependents.nbytes()
                + 4 * (submission.externals.capacity()
                    + submission.places.capacity()
                    + submission.rank.capacity()
                    + submission.by_rank.capacity())
                + submission.len() / 8
        });
        submissions.sum::<usize>()
            + self.state.capacity()
            + self.flags.capacity()
            + 8 * self.nbytes.capacity()
            + 4 * (self.attempt.capacity()
                + self.missing_inputs.capacity()
                + self.readers.capacity()
                + self.unforgotten_dependents.capacity()
                + self.worker.capacity()
                + self.group.capacity()
                + self.submission.capacity())
    }
}
