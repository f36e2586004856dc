//! What running tasks print and log, as far as it is worth telling if they kill their workers.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use oxidask_protocol::TaskId;

/// So many messages of a task are kept at most, and of so many bytes together.
const MOST_MESSAGES: usize = 8;
const MOST_BYTES: usize = 16 << 10;

/// The last that each running task has said. Costs nothing for tasks that say nothing.
#[derive(Debug, Default)]
pub(super) struct LastWords(BTreeMap<TaskId, VecDeque<Bytes>>);

impl LastWords {
    /// A task has said something.
    pub(super) fn add(&mut self, task: TaskId, body: &Bytes) {
        let words = self.0.entry(task).or_default();
        words.push_back(body.clone());
        while words.len() > MOST_MESSAGES
            || words.len() > 1 && words.iter().map(Bytes::len).sum::<usize>() > MOST_BYTES
        {
            words.pop_front();
        }
    }

    /// The last that a task has said, which has ended.
    pub(super) fn take(&mut self, task: TaskId) -> Vec<Bytes> {
        if self.0.is_empty() {
            return Vec::new();
        }
        self.0.remove(&task).map(Vec::from).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_is_kept() {
        let mut words = LastWords::default();
        for number in 0..=u8::MAX {
            words.add(TaskId(1), &Bytes::copy_from_slice(&[number]));
        }
        let kept = words.take(TaskId(1));
        assert_eq!(kept.len(), MOST_MESSAGES);
        assert_eq!(kept.last().map(|body| body[0]), Some(u8::MAX));
        assert!(words.take(TaskId(1)).is_empty());
        for size in [MOST_BYTES, 10, 2 * MOST_BYTES] {
            words.add(TaskId(2), &Bytes::from(vec![0; size]));
        }
        assert_eq!(words.take(TaskId(2)).len(), 1);
    }
}
