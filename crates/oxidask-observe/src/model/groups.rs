//! Groups of tasks: how far each is, what its tasks last, what they read.

use std::collections::BTreeMap;

use oxidask_protocol::{GroupId, GroupTally};

/// What is known of the tasks with one name.
#[derive(Clone, Debug, Default)]
pub struct Group {
    /// The first part of their keys.
    pub name: String,
    /// Its place among the groups that ran, by their first task; none before.
    pub color: Option<u32>,
    /// How far they are.
    pub tally: GroupTally,
    /// Seconds that those ran that ended.
    pub seconds: f64,
    /// Bytes of their results.
    pub out_bytes: u64,
    /// How long they lasted.
    pub durations: Durations,
    /// When the first began and the last ended that ended, in nanoseconds since the run began.
    pub first_ns: Option<u64>,
    /// As above.
    pub last_ns: u64,
    /// What they read: how many results of which group.
    pub inputs: BTreeMap<GroupId, u64>,
}

impl Group {
    /// Tasks that have yet to run.
    pub fn left(&self) -> u64 {
        let GroupTally { waiting, processing, no_worker, .. } = self.tally;
        u64::from(waiting) + u64::from(processing) + u64::from(no_worker)
    }

    /// Seconds that a task lasts on average, once one has ended.
    pub fn mean_seconds(&self) -> Option<f64> {
        let count = self.durations.count();
        (count > 0).then(|| self.seconds / count as f64)
    }
}

/// How many tasks lasted how long, in steps of a twelfth.
#[derive(Clone, Debug, Default)]
pub struct Durations {
    /// Tasks by step; grows with the longest.
    steps: Vec<u32>,
    count: u64,
}

/// Steps of one factor of two.
const STEPS_A_DOUBLING: f64 = 6.0;

impl Durations {
    /// One more.
    pub fn add(&mut self, nanoseconds: u64) {
        let step = step_of(nanoseconds);
        if self.steps.len() <= step {
            self.steps.resize(step + 1, 0);
        }
        self.steps[step] += 1;
        self.count += 1;
    }

    /// Adds those of others.
    pub fn merge(&mut self, other: &Self) {
        if self.steps.len() < other.steps.len() {
            self.steps.resize(other.steps.len(), 0);
        }
        for (own, theirs) in self.steps.iter_mut().zip(&other.steps) {
            *own += theirs;
        }
        self.count += other.count;
    }

    /// How many.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The seconds that a share of them did not exceed; none if there are none.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let wanted = (share * self.count as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (step, &count) in self.steps.iter().enumerate() {
            seen += u64::from(count);
            if seen >= wanted {
                return Some(middle_of(step));
            }
        }
        None
    }

    /// How many lasted less than so many seconds, about.
    pub fn shorter_than(&self, seconds: f64) -> u64 {
        let below = self.steps.iter().enumerate().filter(|&(step, _)| middle_of(step) < seconds);
        below.map(|(_, &count)| u64::from(count)).sum()
    }
}

fn step_of(nanoseconds: u64) -> usize {
    ((nanoseconds.max(1) as f64).log2() * STEPS_A_DOUBLING) as usize
}

fn middle_of(step: usize) -> f64 {
    ((step as f64 + 0.5) / STEPS_A_DOUBLING).exp2() / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_right_within_a_twelfth() {
        let mut durations = Durations::default();
        for milliseconds in 1..=1000 {
            durations.add(milliseconds * 1_000_000);
        }
        for (share, seconds) in [(0.5, 0.5), (0.95, 0.95), (1.0, 1.0)] {
            let found = durations.quantile(share).expect("there are some");
            assert!((found / seconds - 1.0).abs() < 1.0 / 12.0, "{share}: {found}");
        }
        assert_eq!(Durations::default().quantile(0.5), None);
        let below = durations.shorter_than(0.1);
        assert!((90..=110).contains(&below), "{below}");
    }
}
