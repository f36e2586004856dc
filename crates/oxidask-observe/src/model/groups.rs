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

/// Groups that are kept one by one, at most: of older ones that are done only sums are.
const MOST_GROUPS: usize = 10_000;

/// All groups of a run, by their numbers.
#[derive(Clone, Debug, Default)]
pub struct Groups {
    slots: Vec<Slot>,
    /// How many are kept.
    here: usize,
    /// Where to look for the next that is to be folded.
    cursor: usize,
    /// The sums of those that are not kept, and how many these are.
    older: Group,
    older_count: usize,
}

#[derive(Clone, Debug, Default)]
enum Slot {
    /// Nothing was said of it.
    #[default]
    Unknown,
    /// It is kept.
    Here(Box<Group>),
    /// So much of the sums is of it.
    Older { tasks: u32, finished: u32, erred: u32 },
}

static NOTHING: Group = Group {
    name: String::new(),
    color: None,
    tally: GroupTally {
        tasks: 0,
        finished: 0,
        erred: 0,
        waiting: 0,
        processing: 0,
        no_worker: 0,
        in_memory: 0,
    },
    seconds: 0.0,
    out_bytes: 0,
    durations: Durations { steps: Vec::new(), count: 0 },
    first_ns: None,
    last_ns: 0,
    inputs: BTreeMap::new(),
};

impl Groups {
    /// One more than the largest number of a group.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there was none yet.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// A group, if it is kept.
    pub fn get(&self, place: usize) -> Option<&Group> {
        match self.slots.get(place)? {
            Slot::Here(group) => Some(group),
            Slot::Unknown | Slot::Older { .. } => None,
        }
    }

    /// Each group by its number; those that are not kept are empty.
    pub fn iter(&self) -> impl Iterator<Item = &Group> {
        (0..self.slots.len()).map(|place| &self[place])
    }

    /// The sums of groups that are not kept, and how many these are.
    pub fn older(&self) -> (&Group, usize) {
        (&self.older, self.older_count)
    }

    /// A group, which is kept from now on.
    pub fn get_mut(&mut self, place: usize) -> &mut Group {
        if self.slots.len() <= place {
            self.slots.resize_with(place + 1, Slot::default);
        }
        let slot = &mut self.slots[place];
        if !matches!(slot, Slot::Here(_)) {
            if let Slot::Older { tasks, finished, erred } = *slot {
                // Its own numbers say how many there were before.
                self.older.tally.tasks -= u64::from(tasks);
                self.older.tally.finished -= u64::from(finished);
                self.older.tally.erred -= u64::from(erred);
                self.older_count -= 1;
            }
            *slot = Slot::Here(Box::default());
            self.here += 1;
        }
        match slot {
            Slot::Here(group) => group,
            Slot::Unknown | Slot::Older { .. } => unreachable!("it was put there"),
        }
    }

    /// Adds up groups that are done, the oldest first, while there are too many.
    pub fn fold(&mut self) {
        let mut steps = self.slots.len();
        while self.here > MOST_GROUPS && steps > 0 {
            steps -= 1;
            let place = self.cursor % self.slots.len();
            self.cursor = place + 1;
            let slot = &mut self.slots[place];
            let Slot::Here(group) = &*slot else { continue };
            if group.left() > 0 || group.tally.tasks == 0 {
                continue;
            }
            let GroupTally { tasks, finished, erred, .. } = group.tally;
            let older = &mut self.older;
            older.tally.tasks += tasks;
            older.tally.finished += finished;
            older.tally.erred += erred;
            older.seconds += group.seconds;
            older.out_bytes += group.out_bytes;
            older.durations.merge(&group.durations);
            older.last_ns = older.last_ns.max(group.last_ns);
            older.first_ns = [older.first_ns, group.first_ns].into_iter().flatten().min();
            let short = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
            let (tasks, finished, erred) = (short(tasks), short(finished), short(erred));
            *slot = Slot::Older { tasks, finished, erred };
            self.here -= 1;
            self.older_count += 1;
        }
    }
}

impl std::ops::Index<usize> for Groups {
    type Output = Group;

    fn index(&self, place: usize) -> &Group {
        self.get(place).unwrap_or(&NOTHING)
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

    #[test]
    fn old_groups_are_added_up_and_nothing_is_lost_of_their_numbers() {
        let mut groups = Groups::default();
        for place in 0..3 * MOST_GROUPS {
            let group = groups.get_mut(place);
            group.tally = GroupTally { tasks: 5, finished: 4, erred: 1, ..GroupTally::default() };
            group.durations.add(1_000_000);
            groups.fold();
        }
        let (older, count) = groups.older();
        assert_eq!(count, 2 * MOST_GROUPS);
        assert_eq!(older.durations.count(), 2 * MOST_GROUPS as u64);
        let sum = |groups: &Groups| {
            let kept: u64 = groups.iter().map(|group| group.tally.tasks).sum();
            kept + groups.older().0.tally.tasks
        };
        assert_eq!(sum(&groups), 15 * MOST_GROUPS as u64);
        // One of them goes on: what is told of it counts from the beginning.
        groups.get_mut(0).tally = GroupTally { tasks: 7, waiting: 2, ..GroupTally::default() };
        groups.fold();
        assert_eq!(sum(&groups), 15 * MOST_GROUPS as u64 + 2);
        assert_eq!(groups[0].tally.tasks, 7, "it is not done");
    }
}
