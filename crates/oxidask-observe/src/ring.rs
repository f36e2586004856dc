//! A bounded queue of records: the oldest is dropped when it is full, and the drops are counted.

use std::collections::VecDeque;

use oxidask_protocol::Record;

/// A bounded queue of records.
#[derive(Debug)]
pub struct Ring {
    records: VecDeque<Record>,
    capacity: usize,
    dropped: u64,
}

impl Ring {
    /// An empty ring for so many records.
    ///
    /// # Panics
    /// If `capacity` is 0.
    pub fn new(capacity: usize) -> Self {
        assert!(capacity > 0, "a ring holds at least one record");
        Self { records: VecDeque::new(), capacity, dropped: 0 }
    }

    /// Adds records; where there is no room, the oldest go.
    pub fn extend(&mut self, records: &[Record]) {
        let kept = &records[records.len().saturating_sub(self.capacity)..];
        let room = self.capacity - self.records.len();
        let displaced = kept.len().saturating_sub(room);
        self.records.drain(..displaced);
        self.dropped += (displaced + records.len() - kept.len()) as u64;
        self.records.extend(kept);
    }

    /// Moves everything into `into`, and says how many records were dropped since the last call.
    pub fn drain(&mut self, into: &mut Vec<Record>) -> u64 {
        into.extend(self.records.drain(..));
        std::mem::take(&mut self.dropped)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use oxidask_protocol::{NodeId, RecordBody};

    use super::*;

    fn records(numbers: std::ops::Range<u32>) -> Vec<Record> {
        let body = |node| RecordBody::Node { node: NodeId(node), threads: 1 };
        numbers.map(|node| Record { at: Duration::ZERO, body: body(node) }).collect()
    }

    #[test]
    fn a_full_ring_drops_the_oldest_and_counts_them() {
        let mut ring = Ring::new(4);
        ring.extend(&records(0..3));
        ring.extend(&records(3..5));
        let mut seen = Vec::new();
        assert_eq!(ring.drain(&mut seen), 1);
        assert_eq!(seen, records(1..5));
        ring.extend(&records(0..10));
        seen.clear();
        assert_eq!(ring.drain(&mut seen), 6);
        assert_eq!(seen, records(6..10));
    }
}
