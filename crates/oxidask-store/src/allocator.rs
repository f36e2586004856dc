//! Which bytes of an arena are taken. Decides only: it touches no memory.
//!
//! Two kinds of extents share the arena. Those of [`LARGE`] bytes or more begin on a page and have
//! whole pages, so that each can be mapped and given back to the system by itself. Smaller ones lie
//! side by side in chunks, so that many of them do not waste a page each. A chunk is itself taken
//! from the pages, and goes back to them when nothing is in it.
//!
//! Freed bytes that were written once are *warm*: the system keeps memory for them, and writing
//! there again costs no page fault. So they are preferred, and [`Allocator::cool`] says what to give
//! back when there are too many.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::extent::ALIGNMENT;
use crate::ranges::Ranges;

/// Extents of at least so many bytes have pages of their own.
pub(crate) const LARGE: u64 = 1 << 20;

/// What small extents are taken from.
const CHUNK: u64 = 4 << 20;

#[derive(Debug)]
pub(crate) struct Allocator {
    page_size: u64,
    capacity: u64,
    used: u64,
    pages: Space,
    small: Space,
    /// Where the chunks begin.
    chunks: BTreeSet<u64>,
}

impl Allocator {
    /// An arena of so many bytes, rounded down to pages. No byte of it was written yet.
    pub(crate) fn new(capacity: u64, page_size: u64) -> Self {
        assert!(page_size.is_multiple_of(ALIGNMENT), "parts are aligned inside pages");
        let capacity = capacity - capacity % page_size;
        let mut pages = Space::default();
        pages.free.insert(0..capacity);
        let (small, chunks) = (Space::default(), BTreeSet::new());
        Self { page_size, capacity, used: 0, pages, small, chunks }
    }

    /// Bytes that the arena may hold.
    pub(crate) fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Bytes taken.
    pub(crate) fn used(&self) -> u64 {
        self.used
    }

    /// Freed bytes for which the system keeps memory.
    pub(crate) fn warm(&self) -> u64 {
        self.pages.warm.total() + self.small.warm.total()
    }

    /// Bytes of the longest stretch of free pages.
    pub(crate) fn longest_free(&self) -> u64 {
        self.pages.free.longest().map_or(0, |range| range.end - range.start)
    }

    /// Takes a range of at least this length, 1 or more; returns it whole. None if there is none.
    pub(crate) fn allocate(&mut self, length: u64) -> Option<Range<u64>> {
        assert!(length > 0, "nothing needs no room");
        let range = if length >= LARGE {
            self.pages.allocate(length.checked_next_multiple_of(self.page_size)?)
        } else {
            let rounded = length.next_multiple_of(ALIGNMENT);
            self.small.allocate(rounded).or_else(|| {
                if self.add_chunk() {
                    self.small.allocate(rounded)
                } else {
                    self.pages.allocate(length.next_multiple_of(self.page_size))
                }
            })
        }?;
        self.used += range.end - range.start;
        Some(range)
    }

    /// Takes back what [`allocate`](Self::allocate) returned for this offset and length.
    pub(crate) fn free(&mut self, offset: u64, length: u64) {
        let unit = if self.chunk_of(offset).is_some() { ALIGNMENT } else { self.page_size };
        let range = offset..offset + length.next_multiple_of(unit);
        assert!(range.end <= self.capacity, "{range:?} is not in the arena");
        self.used -= range.end - range.start;
        self.give(range.clone(), Some(range));
    }

    /// Takes whole pages out of what is free until at most `limit` warm bytes are left. They are
    /// neither free nor used until [`cooled`](Self::cooled) is called.
    ///
    /// Pages at the end go first, so that what is in use gathers at the beginning.
    pub(crate) fn cool(&mut self, limit: u64) -> Vec<Range<u64>> {
        let mut cooled = Vec::new();
        // Of a chunk, pages in which something is left stay warm, a few at most in each chunk.
        for pool in [Pool::Pages, Pool::Small] {
            let mut excess = self.warm().saturating_sub(limit);
            let page_size = self.page_size;
            let space = self.space(pool);
            let mut end = u64::MAX;
            while excess > 0 {
                let Some(warm) = space.warm.last_before(end) else { break };
                end = warm.start;
                let mut range = space.whole_free_pages(&warm, page_size);
                let enough = range.end.min(warm.end).saturating_sub(excess);
                range.start = range.start.max(enough - enough % page_size);
                if !range.is_empty() {
                    let taken: u64 = space.take(range.clone()).iter().map(length_of).sum();
                    excess = excess.saturating_sub(taken);
                    cooled.push(range);
                }
            }
        }
        cooled
    }

    /// The system has taken back the memory of a range that [`cool`](Self::cool) returned.
    pub(crate) fn cooled(&mut self, range: Range<u64>) {
        self.give(range, None);
    }

    fn give(&mut self, range: Range<u64>, warm: Option<Range<u64>>) {
        // In chunks that lie side by side it may reach from one into the other.
        let chunks = [self.chunk_of(range.start), self.chunk_of(range.end - 1)];
        let space = if chunks[0].is_some() { &mut self.small } else { &mut self.pages };
        space.give(range, warm);
        for chunk in chunks.into_iter().flatten() {
            self.remove_if_empty(chunk);
        }
    }

    fn space(&mut self, pool: Pool) -> &mut Space {
        match pool {
            Pool::Pages => &mut self.pages,
            Pool::Small => &mut self.small,
        }
    }

    /// Where the chunk begins that holds this offset.
    fn chunk_of(&self, offset: u64) -> Option<u64> {
        let &chunk = self.chunks.range(..=offset).next_back()?;
        (offset < chunk + CHUNK).then_some(chunk)
    }

    /// Makes room for small extents; false if no chunk fits.
    fn add_chunk(&mut self) -> bool {
        let Some(fit) = self.pages.fit(CHUNK) else { return false };
        let chunk = fit.start..fit.start + CHUNK;
        let warm = self.pages.take(chunk.clone());
        self.chunks.insert(chunk.start);
        self.small.give(chunk, warm);
        true
    }

    /// Gives a chunk back to the pages if nothing is in it.
    fn remove_if_empty(&mut self, start: u64) {
        let chunk = start..start + CHUNK;
        let free = self.small.free.range_with(start);
        if free.is_some_and(|free| free.start <= chunk.start && chunk.end <= free.end)
            && self.chunks.remove(&start)
        {
            let warm = self.small.take(chunk.clone());
            self.pages.give(chunk, touched_pages(&warm, self.page_size));
        }
    }
}

fn length_of(range: &Range<u64>) -> u64 {
    range.end - range.start
}

/// The pages that ranges in ascending order touch.
fn touched_pages(ranges: &[Range<u64>], page_size: u64) -> Vec<Range<u64>> {
    let mut end = 0;
    let mut pages = Vec::with_capacity(ranges.len());
    for range in ranges {
        let start = (range.start - range.start % page_size).max(end);
        end = range.end.next_multiple_of(page_size);
        if start < end {
            pages.push(start..end);
        }
    }
    pages
}

#[derive(Clone, Copy)]
enum Pool {
    Pages,
    Small,
}

/// What is free for one kind of extents.
#[derive(Debug, Default)]
struct Space {
    free: Ranges,
    /// The part of `free` for which the system keeps memory.
    warm: Ranges,
}

impl Space {
    fn allocate(&mut self, length: u64) -> Option<Range<u64>> {
        let fit = self.fit(length)?;
        let range = fit.start..fit.start + length;
        self.take(range.clone());
        Some(range)
    }

    /// The best place for so many bytes: warm if possible, and as short as possible.
    fn fit(&self, length: u64) -> Option<Range<u64>> {
        self.warm.best_fit(length).or_else(|| self.free.best_fit(length))
    }

    /// Takes a free range out; returns what was warm in it.
    fn take(&mut self, range: Range<u64>) -> Vec<Range<u64>> {
        self.free.remove(range.clone());
        self.warm.remove(range)
    }

    fn give(&mut self, range: Range<u64>, warm: impl IntoIterator<Item = Range<u64>>) {
        self.free.insert(range);
        for range in warm {
            self.warm.insert(range);
        }
    }

    /// The pages that this warm range touches and of which all is free.
    fn whole_free_pages(&self, warm: &Range<u64>, page_size: u64) -> Range<u64> {
        let free = self.free.range_with(warm.start).expect("what is warm is free");
        let start =
            (warm.start - warm.start % page_size).max(free.start.next_multiple_of(page_size));
        let end = warm.end.next_multiple_of(page_size).min(free.end - free.end % page_size);
        start..end.max(start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PAGE: u64 = 4096;

    /// What an allocator was told and answered, kept in the simplest way.
    struct Model {
        allocator: Allocator,
        /// Offset, length asked for, and the whole range, of what is taken.
        taken: Vec<(u64, u64, Range<u64>)>,
        /// Ranges being given back to the system.
        cooling: Vec<Range<u64>>,
    }

    #[derive(Debug, Clone)]
    enum Step {
        Allocate(u64),
        Free(usize),
        Cool(u64),
        Cooled(usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let length = prop_oneof![1_u64..300, 1_u64..LARGE, LARGE - 2..LARGE + 2, 1_u64..(8 << 20)];
        let step = prop_oneof![
            4 => length.prop_map(Step::Allocate),
            3 => any::<usize>().prop_map(Step::Free),
            1 => (0_u64..(16 << 20)).prop_map(Step::Cool),
            1 => any::<usize>().prop_map(Step::Cooled),
        ];
        proptest::collection::vec(step, 0..120)
    }

    impl Model {
        fn new(capacity: u64) -> Self {
            let allocator = Allocator::new(capacity, PAGE);
            Self { allocator, taken: Vec::new(), cooling: Vec::new() }
        }

        fn step(&mut self, step: &Step) {
            match *step {
                Step::Allocate(length) => self.allocate(length),
                Step::Free(index) if !self.taken.is_empty() => {
                    let (offset, length, _) = self.taken.swap_remove(index % self.taken.len());
                    self.allocator.free(offset, length);
                }
                Step::Cool(limit) => {
                    let ranges = self.allocator.cool(limit);
                    for range in &ranges {
                        assert!(range.start % PAGE == 0 && range.end % PAGE == 0, "{range:?}");
                    }
                    self.cooling.extend(ranges);
                }
                Step::Cooled(index) if !self.cooling.is_empty() => {
                    let range = self.cooling.swap_remove(index % self.cooling.len());
                    self.allocator.cooled(range);
                }
                Step::Free(_) | Step::Cooled(_) => {}
            }
            self.check();
        }

        fn allocate(&mut self, length: u64) {
            let unit = if length >= LARGE { PAGE } else { ALIGNMENT };
            let Some(range) = self.allocator.allocate(length) else {
                let longest = self.allocator.longest_free();
                assert!(longest < length.next_multiple_of(PAGE), "{length} fits in {longest}");
                return;
            };
            assert!(range.start.is_multiple_of(unit), "{range:?} is not aligned");
            assert!(range.end - range.start >= length);
            self.taken.push((range.start, length, range));
        }

        fn check(&self) {
            let mut ranges: Vec<_> = self.taken.iter().map(|(.., range)| range.clone()).collect();
            let used: u64 = ranges.iter().map(length_of).sum();
            assert_eq!(self.allocator.used(), used);
            ranges.extend(self.cooling.iter().cloned());
            ranges.extend(self.allocator.pages.free.all());
            ranges.extend(self.allocator.small.free.all());
            ranges.sort_by_key(|range| range.start);
            // Taken, free and cooling cover the arena, and no byte is two of them.
            let mut end = 0;
            for range in ranges {
                assert_eq!(range.start, end);
                end = range.end;
            }
            assert_eq!(end, self.allocator.capacity());
        }

        fn free_all(&mut self) {
            while !self.taken.is_empty() {
                self.step(&Step::Free(0));
            }
            while !self.cooling.is_empty() {
                self.step(&Step::Cooled(0));
            }
        }
    }

    proptest! {
        #[test]
        fn no_byte_is_given_twice_and_none_is_lost(
            steps in steps(),
            capacity in prop_oneof![Just(0), 1_u64..(1 << 20), (1_u64 << 20)..(64 << 20)],
        ) {
            let mut model = Model::new(capacity);
            for step in &steps {
                model.step(step);
            }
            model.free_all();
            prop_assert!(model.allocator.chunks.is_empty());
            let pages = model.allocator.pages.free.all();
            let all = 0..model.allocator.capacity();
            prop_assert_eq!(pages, if all.is_empty() { vec![] } else { vec![all] });
            // And all that was written can be given back.
            model.step(&Step::Cool(0));
            prop_assert_eq!(model.allocator.warm(), 0);
        }

        #[test]
        fn what_is_kept_warm_has_a_bound(steps in steps(), limit in 0_u64..(16 << 20)) {
            let mut model = Model::new(64 << 20);
            for step in &steps {
                model.step(step);
                model.step(&Step::Cool(limit));
                // Pages of which a part is taken cannot be given back: two at each small extent.
                let shared = 2 * PAGE * model.taken.len() as u64;
                prop_assert!(model.allocator.warm() <= limit + shared);
            }
        }
    }

    #[test]
    fn warm_bytes_are_used_again_before_fresh_ones() {
        let mut allocator = Allocator::new(1 << 30, PAGE);
        let first = allocator.allocate(LARGE).expect("fits");
        let second = allocator.allocate(4 * LARGE).expect("fits");
        let third = allocator.allocate(LARGE).expect("fits");
        allocator.free(second.start, 4 * LARGE);
        assert_eq!(allocator.allocate(3 * LARGE).map(|range| range.start), Some(second.start));
        assert_eq!(allocator.allocate(2 * LARGE).map(|range| range.start), Some(third.end));
        assert_eq!(first.start, 0);
    }

    #[test]
    fn the_end_is_cooled_first() {
        let mut allocator = Allocator::new(1 << 30, PAGE);
        let first = allocator.allocate(2 * LARGE).expect("fits");
        let second = allocator.allocate(2 * LARGE).expect("fits");
        allocator.free(first.start, 2 * LARGE);
        allocator.free(second.start, 2 * LARGE);
        assert_eq!(allocator.warm(), 4 * LARGE);
        assert_eq!(allocator.cool(LARGE), vec![LARGE..4 * LARGE]);
        assert_eq!(allocator.warm(), LARGE);
    }

    #[test]
    fn many_small_extents_share_pages() {
        let mut allocator = Allocator::new(1 << 30, PAGE);
        for _ in 0..1000 {
            allocator.allocate(100).expect("fits");
        }
        assert_eq!(allocator.used(), 128_000);
    }
}
