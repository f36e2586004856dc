//! Ranges of ids that are free again.

use std::collections::{BTreeMap, BTreeSet};

/// Free ranges, none of which touches another.
#[derive(Debug, Default)]
pub(crate) struct Spaces {
    /// Length of each range, by its start.
    by_start: BTreeMap<u32, u32>,
    by_length: BTreeSet<(u32, u32)>,
}

impl Spaces {
    /// Where a range of so many ids is taken from: the smallest space that is large enough, or else
    /// the `end` of all ids, with the space before it.
    pub(crate) fn place_for(&self, count: u32, end: u32) -> u32 {
        if count == 0 {
            return end;
        }
        if let Some(&(_, start)) = self.by_length.range((count, 0)..).next() {
            return start;
        }
        match self.by_start.last_key_value() {
            Some((&start, &length)) if start + length == end => start,
            _ => end,
        }
    }

    /// Takes what [`Spaces::place_for`] has found.
    pub(crate) fn take(&mut self, start: u32, count: u32) {
        let Some(length) = self.by_start.remove(&start) else { return };
        self.by_length.remove(&(length, start));
        if length > count {
            self.insert(start + count, length - count);
        }
    }

    /// Gives a range back.
    pub(crate) fn give_back(&mut self, mut start: u32, mut count: u32) {
        if count == 0 {
            return;
        }
        if let Some((&before, &length)) = self.by_start.range(..start).next_back()
            && before + length == start
        {
            self.by_start.remove(&before);
            self.by_length.remove(&(length, before));
            (start, count) = (before, length + count);
        }
        if let Some(length) = self.by_start.remove(&(start + count)) {
            self.by_length.remove(&(length, start + count));
            count += length;
        }
        self.insert(start, count);
    }

    fn insert(&mut self, start: u32, length: u32) {
        self.by_start.insert(start, length);
        self.by_length.insert((length, start));
    }

    /// All free ranges, as start and length.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        self.by_start.iter().map(|(&start, &length)| (start, length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_space_that_is_large_enough_is_taken() {
        let mut spaces = Spaces::default();
        spaces.give_back(0, 10);
        spaces.give_back(20, 3);
        assert_eq!(spaces.place_for(2, 30), 20);
        assert_eq!(spaces.place_for(5, 30), 0);
        spaces.take(20, 2);
        assert_eq!(spaces.ranges().collect::<Vec<_>>(), [(0, 10), (22, 1)]);
    }

    #[test]
    fn spaces_that_touch_become_one() {
        let mut spaces = Spaces::default();
        for start in [4, 0, 2] {
            spaces.give_back(start, 2);
        }
        assert_eq!(spaces.ranges().collect::<Vec<_>>(), [(0, 6)]);
    }

    #[test]
    fn a_range_that_fits_nowhere_begins_in_the_space_before_the_end() {
        let mut spaces = Spaces::default();
        spaces.give_back(7, 3);
        assert_eq!(spaces.place_for(5, 10), 7);
        assert_eq!(spaces.place_for(5, 11), 11);
        spaces.take(7, 5);
        assert_eq!(spaces.ranges().next(), None);
    }
}
