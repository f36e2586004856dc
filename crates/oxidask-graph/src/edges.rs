//! Ties between tasks in compressed rows: 4 bytes a task and 4 bytes an edge.

/// For each task, in order, the tasks that it is tied to.
///
/// The same type serves both directions: dependencies, and by [`Edges::reversed`] dependents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edges {
    offsets: Vec<u32>,
    targets: Vec<u32>,
}

impl Default for Edges {
    fn default() -> Self {
        Self { offsets: vec![0], targets: Vec::new() }
    }
}

impl Edges {
    /// One row a task, from any nested lists.
    pub fn from_rows<R: AsRef<[u32]>>(rows: impl IntoIterator<Item = R>) -> Self {
        let mut builder = EdgesBuilder::default();
        for row in rows {
            for &target in row.as_ref() {
                builder.push_target(target);
            }
            builder.end_row();
        }
        builder.finish()
    }

    /// Number of tasks.
    pub fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Whether there is no task.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of edges.
    pub fn edge_count(&self) -> usize {
        self.targets.len()
    }

    /// The rows of `kept` only, in which those tasks are numbered anew from 0.
    ///
    /// `kept` rises, and holds all tasks that its own rows name, as [`cull`](crate::cull()) gives it.
    #[must_use]
    pub fn restricted_to(&self, kept: &[u32]) -> Self {
        let mut number = vec![0; self.len()];
        for (new, &old) in kept.iter().enumerate() {
            number[old as usize] = new as u32;
        }
        let mut builder = EdgesBuilder::default();
        for &old in kept {
            for &target in self.row(old) {
                builder.push_target(number[target as usize]);
            }
            builder.end_row();
        }
        builder.finish()
    }

    /// The tasks that `task` is tied to.
    pub fn row(&self, task: u32) -> &[u32] {
        &self.targets[self.row_range(task)]
    }

    /// Where the row of `task` begins in [`Edges::targets`].
    pub fn row_start(&self, task: u32) -> usize {
        self.offsets[task as usize] as usize
    }

    /// All rows behind each other.
    pub fn targets(&self) -> &[u32] {
        &self.targets
    }

    /// All rows, in order.
    pub fn rows(&self) -> impl Iterator<Item = &[u32]> {
        self.offsets.windows(2).map(|pair| &self.targets[pair[0] as usize..pair[1] as usize])
    }

    /// The same edges from the other end; each row is in rising order.
    ///
    /// Targets must be tasks of this graph.
    #[must_use]
    pub fn reversed(&self) -> Self {
        self.reversed_onto(self.len())
    }

    /// The same edges from the other end, with a row for each of `targets` targets, of which some
    /// may be no tasks of this graph.
    #[must_use]
    pub fn reversed_onto(&self, targets: usize) -> Self {
        let mut offsets = vec![0_u32; targets + 1];
        for &target in &self.targets {
            offsets[target as usize + 1] += 1;
        }
        for target in 0..targets {
            offsets[target + 1] += offsets[target];
        }
        let mut next = offsets.clone();
        let mut sources = vec![0; self.targets.len()];
        for (source, row) in self.rows().enumerate() {
            for &target in row {
                let slot = &mut next[target as usize];
                sources[*slot as usize] = source as u32;
                *slot += 1;
            }
        }
        Self { offsets, targets: sources }
    }

    /// Where the row of `task` lies in [`Edges::targets`].
    pub fn row_range(&self, task: u32) -> std::ops::Range<usize> {
        let task = task as usize;
        self.offsets[task] as usize..self.offsets[task + 1] as usize
    }

    /// Bytes on the heap.
    pub fn nbytes(&self) -> usize {
        (self.offsets.capacity() + self.targets.capacity()) * size_of::<u32>()
    }
}

/// Writes [`Edges`] row by row.
#[derive(Clone, Debug, Default)]
pub struct EdgesBuilder {
    edges: Edges,
}

impl EdgesBuilder {
    /// A builder with room for so many rows and edges.
    pub fn with_capacity(rows: usize, edges: usize) -> Self {
        let mut offsets = Vec::with_capacity(rows + 1);
        offsets.push(0);
        Self { edges: Edges { offsets, targets: Vec::with_capacity(edges) } }
    }

    /// Adds an edge to the open row.
    pub fn push_target(&mut self, target: u32) {
        self.edges.targets.push(target);
    }

    /// Closes the open row and opens the next.
    pub fn end_row(&mut self) {
        let end = u32::try_from(self.edges.targets.len())
            .expect("a graph of more than 2³² edges does not fit in memory");
        self.edges.offsets.push(end);
    }

    /// Number of closed rows.
    pub fn len(&self) -> usize {
        self.edges.len()
    }

    /// Whether no row was closed yet.
    pub fn is_empty(&self) -> bool {
        self.edges.is_empty()
    }

    /// The rows that were closed so far.
    pub fn edges(&self) -> &Edges {
        &self.edges
    }

    /// The rows that were closed.
    pub fn finish(self) -> Edges {
        self.edges
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reversing_twice_gives_the_same_edges() {
        let edges = Edges::from_rows([vec![], vec![0], vec![0, 1], vec![2]]);
        assert_eq!(edges.reversed().row(0), [1, 2]);
        assert_eq!(edges.reversed().reversed(), edges);
    }

    #[test]
    fn targets_that_are_no_tasks_have_rows_of_their_own_when_reversed() {
        let edges = Edges::from_rows([vec![3], vec![0, 2]]);
        assert_eq!(edges.reversed_onto(4), Edges::from_rows([vec![1], vec![], vec![1], vec![0]]));
    }
}
