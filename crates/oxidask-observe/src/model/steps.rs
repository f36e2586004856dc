//! Values by time, in steps: fine ones for the last minutes, coarser ones for all before. The memory is
//! the same however long a run lasts.

use std::collections::VecDeque;
use std::ops::Range;

/// Values of equal steps of time, the newest so many.
#[derive(Clone, Debug)]
pub struct Steps<T> {
    step_ns: u64,
    most: usize,
    first: u64,
    kept: VecDeque<T>,
}

impl<T: Clone + Default> Steps<T> {
    /// Without values.
    pub fn new(step_ns: u64, most: usize) -> Self {
        Self { step_ns, most, first: 0, kept: VecDeque::new() }
    }

    /// How long a step is.
    pub fn step_ns(&self) -> u64 {
        self.step_ns
    }

    /// The time before which nothing is kept.
    pub fn oldest_ns(&self) -> u64 {
        self.first * self.step_ns
    }

    /// The value of the step with this number, counted from the beginning of the run; none if it is
    /// too old, or was not written.
    pub fn get(&self, number: u64) -> Option<&T> {
        self.kept.get(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    /// The value of a step, made if it was not written; none if it is too old.
    pub fn get_mut(&mut self, number: u64) -> Option<&mut T> {
        let missing = (number + 1).saturating_sub(self.first + self.kept.len() as u64);
        if missing > self.most as u64 {
            // For so long nothing was written that all that is kept is too old.
            self.kept.clear();
            self.first = (number + 1).saturating_sub(self.most as u64);
            self.kept.resize((number + 1 - self.first) as usize, T::default());
        } else {
            for _ in 0..missing {
                if self.kept.len() == self.most {
                    self.kept.pop_front();
                    self.first += 1;
                }
                self.kept.push_back(T::default());
            }
        }
        self.kept.get_mut(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    /// Calls with each step that a stretch touches that is not too old, and with the nanoseconds of
    /// the stretch in it.
    pub fn over(&mut self, stretch: Range<u64>, mut act: impl FnMut(&mut T, u64)) {
        if stretch.is_empty() {
            return;
        }
        let last = (stretch.end - 1) / self.step_ns;
        // What would be pushed out again by the end of the stretch is not written.
        let oldest = (last + 1).saturating_sub(self.most as u64).max(self.first);
        for number in (stretch.start / self.step_ns).max(oldest)..=last {
            let begin = (number * self.step_ns).max(stretch.start);
            let end = ((number + 1) * self.step_ns).min(stretch.end);
            if let Some(step) = self.get_mut(number) {
                act(step, end - begin);
            }
        }
    }
}

/// Values in steps of several lengths, each a few times longer than the one before.
#[derive(Clone, Debug)]
pub struct Levels<T>(Vec<Steps<T>>);

/// The shortest steps of [`Levels`].
pub const FINEST_NS: u64 = 250_000_000;
const FACTOR: u64 = 8;
const LEVELS: u32 = 5;
const MOST: usize = 2400;

impl<T: Clone + Default> Default for Levels<T> {
    fn default() -> Self {
        Self((0..LEVELS).map(|power| Steps::new(FINEST_NS * FACTOR.pow(power), MOST)).collect())
    }
}

impl<T: Clone + Default> Levels<T> {
    /// For one of many: a minute in fine steps, and two hours in coarse ones.
    pub fn small() -> Self {
        Self(vec![Steps::new(FINEST_NS, 300), Steps::new(64 * FINEST_NS, 450)])
    }

    /// Calls with each step that a stretch touches, on each level, and with the nanoseconds of the
    /// stretch in it.
    pub fn over(&mut self, stretch: &Range<u64>, mut act: impl FnMut(&mut T, u64)) {
        for steps in &mut self.0 {
            steps.over(stretch.clone(), &mut act);
        }
    }

    /// The finest steps that are not finer than so many nanoseconds and reach back to a time; the
    /// coarsest if none do.
    pub fn reaching(&self, back_to_ns: u64, at_least_ns: u64) -> &Steps<T> {
        let reach =
            |steps: &&Steps<T>| steps.step_ns() >= at_least_ns && steps.oldest_ns() <= back_to_ns;
        let coarsest = self.0.last().expect("there are levels");
        self.0.iter().find(reach).unwrap_or(coarsest)
    }

    /// Calls with each step of a window, from the finest level that reaches back to its beginning.
    pub fn visit(&self, window: &Range<u64>, mut act: impl FnMut(&T)) {
        let steps = self.reaching(window.start, 0);
        let numbers = window.start / steps.step_ns()..window.end.div_ceil(steps.step_ns());
        for number in numbers.start.max(steps.first)..numbers.end {
            match steps.get(number) {
                Some(step) => act(step),
                None => break,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretch_is_spread_over_the_steps_that_it_touches() {
        let mut steps = Steps::<u64>::new(10, 100);
        steps.over(5..32, |step, nanoseconds| *step += nanoseconds);
        let found: Vec<Option<u64>> = (0..5).map(|number| steps.get(number).copied()).collect();
        assert_eq!(found, [Some(5), Some(10), Some(10), Some(2), None]);
    }

    #[test]
    fn the_oldest_steps_make_room() {
        let mut steps = Steps::<u64>::new(10, 3);
        steps.over(0..60, |step, nanoseconds| *step += nanoseconds);
        assert_eq!((steps.oldest_ns(), steps.get(2), steps.get(3)), (30, None, Some(&10)));
        steps.over(1_000_000..1_000_005, |step, nanoseconds| *step += nanoseconds);
        assert_eq!(steps.kept.len(), 3);
        assert_eq!(steps.get(100_000), Some(&5));
        assert_eq!(steps.get(99_999), Some(&0));
        steps.over(0..60, |_, _| panic!("that is too old"));
    }

    #[test]
    fn what_is_too_old_for_the_finest_steps_is_in_coarser_ones() {
        let second = 1_000_000_000;
        let mut levels = Levels::<u64>::default();
        levels.over(&(0..second), |step, nanoseconds| *step += nanoseconds);
        levels.over(&(2999 * second..3000 * second), |step, nanoseconds| *step += nanoseconds);
        let mut sum = 0;
        levels.visit(&(0..3000 * second), |step| sum += step);
        assert_eq!(sum, 2 * second);
    }
}
