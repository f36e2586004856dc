//! Where the time of threads went: each second of each thread is in exactly one bin.

/// What a thread did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(usize)]
pub enum Bin {
    /// Ran a task, on a processor.
    Compute,
    /// Ran a task that waited for the interpreter.
    Gil,
    /// Ran a task that slept or waited for something else.
    Blocked,
    /// Had a task whose inputs were being brought.
    Transfer,
    /// Waited for a disk.
    Disk,
    /// Was given nothing, because memory is short.
    Paused,
    /// Turned a result into bytes for others.
    Pack,
    /// Was between two tasks that it had been given.
    Overhead,
    /// Waited while tasks were ready at the scheduler.
    Scheduler,
    /// Had nothing to do.
    Starved,
    /// Nobody saw.
    Unknown,
}

impl Bin {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 11] = [
        Self::Compute,
        Self::Gil,
        Self::Blocked,
        Self::Transfer,
        Self::Disk,
        Self::Paused,
        Self::Pack,
        Self::Overhead,
        Self::Scheduler,
        Self::Starved,
        Self::Unknown,
    ];

    /// Its name in answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Compute => "compute",
            Self::Gil => "gil",
            Self::Blocked => "blocked",
            Self::Transfer => "transfer",
            Self::Disk => "disk",
            Self::Paused => "paused",
            Self::Pack => "serialize",
            Self::Overhead => "overhead",
            Self::Scheduler => "scheduler",
            Self::Starved => "starved",
            Self::Unknown => "unknown",
        }
    }
}

/// Seconds of threads by bin.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bins([f32; Bin::ALL.len()]);

impl Bins {
    /// Adds seconds to a bin.
    pub fn add(&mut self, bin: Bin, seconds: f64) {
        self.0[bin as usize] += seconds as f32;
    }

    /// Adds a stretch of which bins have shares.
    pub fn add_shares(&mut self, shares: &[(Bin, f32)], nanoseconds: u64) {
        let seconds = nanoseconds as f64 / 1e9;
        for &(bin, share) in shares {
            self.add(bin, f64::from(share) * seconds);
        }
    }

    /// Adds those of others.
    pub fn merge(&mut self, other: &Self) {
        for (own, theirs) in self.0.iter_mut().zip(&other.0) {
            *own += theirs;
        }
    }

    /// Seconds in a bin.
    pub fn seconds(&self, bin: Bin) -> f64 {
        f64::from(self.0[bin as usize])
    }

    /// Seconds in all bins.
    pub fn total(&self) -> f64 {
        self.0.iter().map(|&seconds| f64::from(seconds)).sum()
    }

    /// What part of all is in a bin, 0 if there is nothing.
    pub fn share(&self, bin: Bin) -> f64 {
        let total = self.total();
        if total > 0.0 { self.seconds(bin) / total } else { 0.0 }
    }
}
