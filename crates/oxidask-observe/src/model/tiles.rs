//! What a thread did, as a strip of pixels: a pyramid of cells, each level four times as coarse.
//!
//! A cell says which group had the largest share of it, and what share of it was busy at all. A thread's
//! stretches come in the order of time, so each level has one cell that is not complete.

use std::ops::Range;

use super::steps::Steps;

/// The finest cells, and how many levels there are.
const FINEST_NS: u64 = 1_000_000;
const FACTOR: u64 = 4;
const LEVELS: u32 = 10;
/// Cells that a level keeps: more than a screen has pixels.
const MOST: usize = 2048;

/// A stretch of a strip that is drawn as one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    /// The group with the largest share, plus one; 0 if nothing ran.
    pub group: u16,
    /// The share of all groups, of 255.
    pub busy: u8,
    /// Whether a task failed in it.
    pub has_failed: bool,
}

/// The largest number of a group that a cell can name; groups with larger ones share it.
pub const LAST_GROUP: u32 = u16::MAX as u32 - 1;

/// Nanoseconds by group, of a cell that is not complete.
#[derive(Clone, Debug, Default)]
struct Shares {
    number: u64,
    groups: Vec<(u16, u64)>,
    has_failed: bool,
}

impl Shares {
    fn add(&mut self, group: u16, nanoseconds: u64) {
        match self.groups.iter_mut().find(|entry| entry.0 == group) {
            Some(entry) => entry.1 += nanoseconds,
            None => self.groups.push((group, nanoseconds)),
        }
    }

    fn cell(&self, step_ns: u64) -> Cell {
        let Some(&(group, _)) = self.groups.iter().max_by_key(|entry| entry.1) else {
            return Cell { has_failed: self.has_failed, ..Cell::default() };
        };
        let busy: u64 = self.groups.iter().map(|entry| entry.1).sum();
        // What ran at all is seen.
        let busy = (busy * 255 / step_ns).clamp(1, 255) as u8;
        Cell { group, busy, has_failed: self.has_failed }
    }
}

#[derive(Clone, Debug)]
struct Level {
    cells: Steps<Cell>,
    open: Shares,
}

impl Level {
    /// Begins the cell with this number, if another one is open.
    fn turn_to(&mut self, number: u64) {
        if self.open.number != number {
            self.complete();
            self.open.number = number;
        }
    }

    fn complete(&mut self) {
        if !self.open.groups.is_empty() || self.open.has_failed {
            let cell = self.open.cell(self.cells.step_ns());
            if let Some(place) = self.cells.get_mut(self.open.number) {
                *place = cell;
            }
        }
        self.open.groups.clear();
        self.open.has_failed = false;
    }

    /// Adds a stretch of one group; the cells that it fills need no sums.
    fn add(&mut self, group: u16, has_failed: bool, stretch: Range<u64>) {
        let step = self.cells.step_ns();
        let (first, last) = (stretch.start / step, (stretch.end - 1) / step);
        self.turn_to(first);
        let head = stretch.end.min((first + 1) * step);
        self.open.add(group, head - stretch.start);
        if last > first {
            self.turn_to(last);
            let tail = last * step;
            let full = Cell { group, busy: 255, has_failed: false };
            self.cells.over(head..tail, |cell, _| *cell = full);
            self.open.add(group, stretch.end - tail);
        }
        self.open.has_failed |= has_failed;
    }

    fn cell(&self, number: u64) -> Cell {
        if number == self.open.number && !self.open.groups.is_empty() {
            return self.open.cell(self.cells.step_ns());
        }
        self.cells.get(number).copied().unwrap_or_default()
    }
}

/// The strip of one thread.
#[derive(Clone, Debug)]
pub struct Strip {
    levels: Vec<Level>,
    /// A cell of the finest level that the others have not been told of.
    pending: Shares,
}

impl Default for Strip {
    fn default() -> Self {
        let level = |power| Level {
            cells: Steps::new(FINEST_NS * FACTOR.pow(power), MOST),
            open: Shares::default(),
        };
        Self { levels: (0..LEVELS).map(level).collect(), pending: Shares::default() }
    }
}

impl Strip {
    /// Adds a stretch of a group, which begins where the last one ended or later.
    pub fn add(&mut self, group: u32, has_failed: bool, stretch: Range<u64>) {
        if stretch.is_empty() {
            return;
        }
        let group = group.min(LAST_GROUP) as u16 + 1;
        let (first, last) = (stretch.start / FINEST_NS, (stretch.end - 1) / FINEST_NS);
        if first == last {
            // The usual case where tasks are short: one sum, and nothing for the other levels yet.
            if self.pending.number != first {
                self.settle();
                self.pending.number = first;
            }
            self.pending.add(group, stretch.end - stretch.start);
            self.pending.has_failed |= has_failed;
            return;
        }
        self.settle();
        for level in &mut self.levels {
            level.add(group, has_failed, stretch.clone());
        }
    }

    /// Tells all levels of the cell that was kept back.
    fn settle(&mut self) {
        let begin = self.pending.number * FINEST_NS;
        for level in &mut self.levels {
            if self.pending.groups.is_empty() {
                break;
            }
            level.turn_to(begin / level.cells.step_ns());
            for &(group, nanoseconds) in &self.pending.groups {
                level.open.add(group, nanoseconds);
            }
            level.open.has_failed |= self.pending.has_failed;
        }
        self.pending.groups.clear();
        self.pending.has_failed = false;
    }

    /// The time before which nothing is kept.
    pub fn oldest_ns(&self) -> u64 {
        self.levels.iter().map(|level| level.cells.oldest_ns()).min().unwrap_or(0)
    }

    /// Cells that divide a window into so many pixels of equal length.
    pub fn draw(&mut self, window: &Range<u64>, pixels: usize) -> Vec<Cell> {
        self.settle();
        let width = (window.end - window.start) as f64 / pixels as f64;
        let fits = |level: &&Level| level.cells.step_ns() as f64 <= width;
        let kept = |level: &&Level| level.cells.oldest_ns() <= window.start;
        // The coarsest that is fine enough, or finer if need be; coarser if it is too old for that.
        let levels = &self.levels;
        let wanted = levels.iter().rposition(|level| fits(&level)).unwrap_or(0);
        let level = (wanted..levels.len()).find(|&place| kept(&&levels[place]));
        let level = &levels[level.unwrap_or(levels.len() - 1)];
        let bound = |pixel: usize| window.start + (pixel as f64 * width) as u64;
        (0..pixels).map(|pixel| merged(level, bound(pixel)..bound(pixel + 1))).collect()
    }
}

/// What a stretch of a level looks like as one cell.
fn merged(level: &Level, stretch: Range<u64>) -> Cell {
    let step = level.cells.step_ns();
    let (first, last) = (stretch.start / step, stretch.end.saturating_sub(1) / step);
    if first >= last {
        return level.cell(first);
    }
    let mut shares = Shares::default();
    for number in first..=last {
        let cell = level.cell(number);
        let begin = (number * step).max(stretch.start);
        let end = ((number + 1) * step).min(stretch.end);
        if cell.group > 0 {
            shares.add(cell.group, (end - begin) * u64::from(cell.busy) / 255);
        }
        shares.has_failed |= cell.has_failed;
    }
    shares.cell(stretch.end - stretch.start)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn groups(strip: &mut Strip, window: Range<u64>, pixels: usize) -> Vec<u16> {
        strip.draw(&window, pixels).iter().map(|cell| cell.group).collect()
    }

    #[test]
    fn stretches_are_seen_where_they_are() {
        let mut strip = Strip::default();
        strip.add(0, false, 0..16 * MS);
        strip.add(1, false, 32 * MS..48 * MS);
        assert_eq!(groups(&mut strip, 0..64 * MS, 4), [1, 0, 2, 0]);
        let cells = strip.draw(&(0..64 * MS), 2);
        assert!(cells.iter().all(|cell| (126..=128).contains(&cell.busy)), "{cells:?}");
    }

    #[test]
    fn the_group_with_the_largest_share_gives_the_colour() {
        let mut strip = Strip::default();
        for task in 0..1000 {
            let begin = task * 4000;
            strip.add(
                u32::from(task % 2 == 0),
                false,
                begin..begin + if task % 2 == 0 { 3000 } else { 1000 },
            );
        }
        let cells = strip.draw(&(0..4 * MS), 4);
        assert!(cells.iter().all(|cell| cell.group == 2), "{cells:?}");
        assert!(cells.iter().all(|cell| (126..=129).contains(&cell.busy)), "{cells:?}");
    }

    #[test]
    fn a_long_stretch_fills_what_is_kept_of_each_level() {
        let mut strip = Strip::default();
        let hour = 3_600_000 * MS;
        strip.add(3, false, 0..hour);
        assert_eq!(groups(&mut strip, 0..hour, 8), [4; 8]);
        assert_eq!(groups(&mut strip, hour - 8 * MS..hour, 8), [4; 8]);
    }

    #[test]
    fn a_failure_in_the_midst_of_many_tasks_is_seen() {
        let mut strip = Strip::default();
        for task in 0..160_000_u64 {
            strip.add(0, task == 81_000, task * 1000..task * 1000 + 900);
        }
        let cells = strip.draw(&(0..160 * MS), 10);
        let failed: Vec<bool> = cells.iter().map(|cell| cell.has_failed).collect();
        assert_eq!(failed.iter().filter(|&&failed| failed).count(), 1, "{failed:?}");
        assert!(failed[5], "{failed:?}");
    }

    #[test]
    fn it_keeps_the_same_memory_however_much_is_drawn() {
        let mut strip = Strip::default();
        for task in 0..200_000_u64 {
            strip.add((task % 7) as u32, false, task * 5 * MS..task * 5 * MS + 4 * MS);
        }
        for level in &strip.levels {
            assert!(
                level
                    .cells
                    .get(level.cells.oldest_ns() / level.cells.step_ns() + MOST as u64)
                    .is_none()
            );
        }
        assert_eq!(strip.oldest_ns(), 0, "the coarsest level has it all");
    }
}
