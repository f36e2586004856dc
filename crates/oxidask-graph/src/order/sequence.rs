//! A sequence of tasks that grows, and what it keeps alive.

use crate::Edges;

const NOT_EMITTED: u32 = u32::MAX;

/// The tasks emitted so far, and which of their results are alive.
pub(super) struct Sequence<'a> {
    pub(super) dependencies: &'a Edges,
    pub(super) dependents: &'a Edges,
    rank: Vec<u32>,
    emitted: u32,
    /// Inputs of each task that were not emitted.
    missing: Vec<u32>,
    /// Readers of each task that were not emitted: how many, and their numbers combined by xor, so
    /// that the last one is known without a search.
    readers: Vec<u32>,
    readers_xor: Vec<u32>,
    live: usize,
    peak: usize,
}

impl<'a> Sequence<'a> {
    pub(super) fn new(dependencies: &'a Edges, dependents: &'a Edges) -> Self {
        Self {
            dependencies,
            dependents,
            rank: vec![NOT_EMITTED; dependencies.len()],
            emitted: 0,
            missing: dependencies.rows().map(|row| row.len() as u32).collect(),
            readers: dependents.rows().map(|row| row.len() as u32).collect(),
            readers_xor: dependents
                .rows()
                .map(|row| row.iter().fold(0, |all, one| all ^ one))
                .collect(),
            live: 0,
            peak: 0,
        }
    }

    /// Appends a task whose inputs were emitted.
    ///
    /// Calls `worth_a_look` for each task that now may be worth running soon: those which have all
    /// their inputs since now, and those which have them and since now free one that they read.
    pub(super) fn emit(&mut self, task: u32, mut worth_a_look: impl FnMut(&Self, u32)) {
        debug_assert_eq!(self.missing[task as usize], 0);
        self.rank[task as usize] = self.emitted;
        self.emitted += 1;
        self.live += 1;
        self.peak = self.peak.max(self.live);
        for &dependent in self.dependents.row(task) {
            self.missing[dependent as usize] -= 1;
            if self.missing[dependent as usize] == 0 {
                worth_a_look(self, dependent);
            }
        }
        for &input in self.dependencies.row(task) {
            let at = input as usize;
            self.readers[at] -= 1;
            self.readers_xor[at] ^= task;
            let last = self.readers_xor[at];
            match self.readers[at] {
                0 => self.live -= 1,
                1 if self.missing[last as usize] == 0 => worth_a_look(self, last),
                _ => (),
            }
        }
    }

    /// Appends a task, then all that became worth running at once by it: what frees at least as much
    /// as it adds. Calls `emitted` for each.
    pub(super) fn emit_with_followers(
        &mut self,
        task: u32,
        followers: &mut Vec<u32>,
        mut emitted: impl FnMut(&Self, u32),
    ) {
        followers.push(task);
        while let Some(task) = followers.pop() {
            if !self.is_emitted(task) {
                self.emit(task, |graph, next| {
                    if graph.frees_any(next) {
                        followers.push(next);
                    }
                });
                emitted(self, task);
            }
        }
    }

    pub(super) fn is_emitted(&self, task: u32) -> bool {
        self.rank[task as usize] != NOT_EMITTED
    }

    pub(super) fn is_ready(&self, task: u32) -> bool {
        self.missing[task as usize] == 0
    }

    /// How many inputs of `task` were not emitted.
    pub(super) fn missing(&self, task: u32) -> usize {
        self.missing[task as usize] as usize
    }

    /// Whether nobody reads the result of `task`, so that it stays.
    pub(super) fn is_output(&self, task: u32) -> bool {
        self.dependents.row(task).is_empty()
    }

    /// How many results die when `task` runs next.
    pub(super) fn frees(&self, task: u32) -> usize {
        let inputs = self.dependencies.row(task);
        inputs.iter().filter(|&&input| self.readers[input as usize] == 1).count()
    }

    /// Whether any result dies when `task` runs next.
    pub(super) fn frees_any(&self, task: u32) -> bool {
        let inputs = self.dependencies.row(task);
        inputs.iter().any(|&input| self.readers[input as usize] == 1)
    }

    /// The largest number of results alive at once so far.
    pub(super) fn peak(&self) -> usize {
        self.peak
    }

    pub(super) fn into_rank(self) -> Vec<u32> {
        self.rank
    }
}
