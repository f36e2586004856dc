//! A table by the numbers of a client's tasks.
//!
//! Numbers go up, and neighbours come and go together. So entries stand in small pages in the order
//! of their numbers: to go through many futures reads memory in order, and a table of millions of
//! them never moves to a larger place.

use oxidask_protocol::ClientTask;
use rustc_hash::FxHashMap;

/// Entries of a page: few, for a future by itself takes a page, too.
const PAGE: u64 = 64;

#[derive(Debug)]
struct Page<T> {
    /// As many as were needed so far.
    entries: Vec<Option<T>>,
    used: usize,
}

/// The table.
#[derive(Debug)]
pub(super) struct Slots<T> {
    pages: FxHashMap<u64, Page<T>>,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self { pages: FxHashMap::default() }
    }
}

fn place(task: ClientTask) -> usize {
    (task % PAGE) as usize
}

impl<T> Slots<T> {
    pub(super) fn get(&self, task: ClientTask) -> Option<&T> {
        self.pages.get(&(task / PAGE))?.entries.get(place(task))?.as_ref()
    }

    pub(super) fn get_mut(&mut self, task: ClientTask) -> Option<&mut T> {
        self.pages.get_mut(&(task / PAGE))?.entries.get_mut(place(task))?.as_mut()
    }

    /// Puts an entry there, in place of an older one.
    pub(super) fn insert(&mut self, task: ClientTask, entry: T) {
        let new = || Page { entries: Vec::new(), used: 0 };
        let page = self.pages.entry(task / PAGE).or_insert_with(new);
        let place = place(task);
        if page.entries.len() <= place {
            page.entries.resize_with(place + 1, || None);
        }
        page.used += usize::from(page.entries[place].replace(entry).is_none());
    }

    pub(super) fn remove(&mut self, task: ClientTask) -> Option<T> {
        let page = self.pages.get_mut(&(task / PAGE))?;
        let entry = page.entries.get_mut(place(task))?.take()?;
        page.used -= 1;
        if page.used == 0 {
            self.pages.remove(&(task / PAGE));
        }
        Some(entry)
    }

    /// All entries, in any order.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (ClientTask, &mut T)> {
        self.pages.iter_mut().flat_map(|(&page, Page { entries, .. })| {
            let used = entries.iter_mut().enumerate();
            used.filter_map(move |(place, entry)| {
                Some((page * PAGE + place as u64, entry.as_mut()?))
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_found_under_their_numbers_until_they_are_removed() {
        let mut slots = Slots::default();
        let numbers = [0, 1, 63, 64, 1000, u64::MAX];
        for number in numbers {
            slots.insert(number, number);
            slots.insert(number, number ^ 1);
        }
        for number in numbers {
            assert_eq!(slots.get(number), Some(&(number ^ 1)));
            assert_eq!(slots.get_mut(number), Some(&mut (number ^ 1)));
        }
        assert_eq!(slots.get(2), None);
        assert_eq!(slots.get(65), None);
        let mut all: Vec<u64> = slots.iter_mut().map(|(number, _)| number).collect();
        all.sort_unstable();
        assert_eq!(all, numbers);
        assert_eq!(slots.remove(63), Some(62));
        assert_eq!(slots.remove(63), None);
        assert_eq!(slots.get(63), None);
        assert_eq!(slots.get(1), Some(&0));
    }

    #[test]
    fn nothing_is_kept_of_what_was_removed() {
        let mut slots = Slots::default();
        for number in 0..10_000 {
            slots.insert(number, ());
        }
        assert_eq!(slots.pages.len() as u64, 10_000_u64.div_ceil(PAGE));
        for number in 0..10_000 {
            slots.remove(number);
        }
        assert!(slots.pages.is_empty());
    }
}
