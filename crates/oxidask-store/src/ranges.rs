//! A set of numbers, kept as ranges that neither overlap nor touch.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// A set of numbers. Ranges that touch become one.
#[derive(Debug, Default, Clone)]
pub(crate) struct Ranges {
    /// The end of each range, by its start.
    ends: BTreeMap<u64, u64>,
    /// Length and start of each range.
    lengths: BTreeSet<(u64, u64)>,
    /// Numbers in the set.
    total: u64,
}

impl Ranges {
    /// How many numbers there are.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// The shortest range of at least this length, and of several the first.
    pub(crate) fn best_fit(&self, length: u64) -> Option<Range<u64>> {
        self.lengths.range((length, 0)..).next().map(|&(length, start)| start..start + length)
    }

    /// The longest range.
    pub(crate) fn longest(&self) -> Option<Range<u64>> {
        self.lengths.last().map(|&(length, start)| start..start + length)
    }

    /// The last range that begins before this number.
    pub(crate) fn last_before(&self, number: u64) -> Option<Range<u64>> {
        self.ends.range(..number).next_back().map(|(&start, &end)| start..end)
    }

    /// The ranges in ascending order.
    #[cfg(test)]
    pub(crate) fn all(&self) -> Vec<Range<u64>> {
        self.ends.iter().map(|(&start, &end)| start..end).collect()
    }

    /// The range that holds this number.
    pub(crate) fn range_with(&self, number: u64) -> Option<Range<u64>> {
        let (&start, &end) = self.ends.range(..=number).next_back()?;
        (number < end).then_some(start..end)
    }

    /// Adds a range of which nothing is in the set.
    pub(crate) fn insert(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let mut joined = range.clone();
        if let Some((&start, &end)) = self.ends.range(..=range.start).next_back() {
            assert!(end <= range.start, "{range:?} overlaps {:?}", start..end);
            if end == range.start {
                self.take(start..end);
                joined.start = start;
            }
        }
        if let Some((&start, &end)) = self.ends.range(range.start..).next() {
            assert!(range.end <= start, "{range:?} overlaps {:?}", start..end);
            if range.end == start {
                self.take(start..end);
                joined.end = end;
            }
        }
        self.put(joined);
    }

    /// Removes what is in this range; returns it in order.
    pub(crate) fn remove(&mut self, range: Range<u64>) -> Vec<Range<u64>> {
        if range.is_empty() {
            return Vec::new();
        }
        let first = self.range_with(range.start).map_or(range.start, |first| first.start);
        let touched: Vec<Range<u64>> =
            self.ends.range(first..range.end).map(|(&start, &end)| start..end).collect();
        let mut removed = Vec::with_capacity(touched.len());
        for old in touched {
            self.take(old.clone());
            self.put(old.start..range.start);
            self.put(range.end..old.end);
            removed.push(old.start.max(range.start)..old.end.min(range.end));
        }
        removed
    }

    fn put(&mut self, range: Range<u64>) {
        if !range.is_empty() {
            self.ends.insert(range.start, range.end);
            self.lengths.insert((range.end - range.start, range.start));
            self.total += range.end - range.start;
        }
    }

    /// Takes out a range that is there exactly so.
    fn take(&mut self, range: Range<u64>) {
        self.ends.remove(&range.start);
        self.lengths.remove(&(range.end - range.start, range.start));
        self.total -= range.end - range.start;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ranges_that_touch_become_one() {
        let mut ranges = Ranges::default();
        ranges.insert(0..2);
        ranges.insert(4..6);
        assert_eq!(ranges.all(), [0..2, 4..6]);
        ranges.insert(2..4);
        assert_eq!(ranges.longest(), Some(0..6));
        ranges.remove(1..3);
        assert_eq!(ranges.all(), [0..1, 3..6]);
        assert_eq!(ranges.best_fit(1), Some(0..1));
        assert_eq!(ranges.best_fit(2), Some(3..6));
        assert_eq!(ranges.best_fit(4), None);
        assert_eq!(ranges.longest(), Some(3..6));
    }

    proptest! {
        #[test]
        fn a_set_of_ranges_is_a_set_of_numbers(
            steps in proptest::collection::vec((any::<bool>(), 0_u64..40, 0_u64..12), 0..60),
        ) {
            let mut ranges = Ranges::default();
            let mut model = [false; 64];
            for (adds, start, length) in steps {
                let range = start..start + length;
                let numbers = start as usize..(start + length) as usize;
                if adds {
                    if model[numbers.clone()].iter().any(|&there| there) {
                        continue;
                    }
                    ranges.insert(range);
                } else {
                    let removed: u64 =
                        ranges.remove(range).iter().map(|range| range.end - range.start).sum();
                    let there = model[numbers.clone()].iter().filter(|&&there| there).count();
                    prop_assert_eq!(removed, there as u64);
                }
                model[numbers].fill(adds);

                let contents = ranges.all();
                for pair in contents.windows(2) {
                    prop_assert!(pair[0].end < pair[1].start, "they touch: {:?}", pair);
                }
                let mut found = [false; 64];
                for range in &contents {
                    found[range.start as usize..range.end as usize].fill(true);
                }
                prop_assert_eq!(found, model);
                prop_assert_eq!(ranges.total(), model.iter().filter(|&&there| there).count() as u64);
                for length in 1..20 {
                    let fits = contents.iter().map(|range| range.end - range.start);
                    let best = fits.filter(|&fit| fit >= length).min();
                    let found = ranges.best_fit(length).map(|range| range.end - range.start);
                    prop_assert_eq!(found, best);
                }
            }
        }
    }
}
