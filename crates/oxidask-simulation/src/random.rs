//! The only source of chance: splitmix64, so that everything follows from the seed.

/// A generator of numbers that look random.
#[derive(Clone, Debug)]
pub(crate) struct Random {
    state: u64,
}

/// Spreads every bit of the input over the output.
pub(crate) const fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: mix(seed ^ 0x6f78_6964_6173_6b21) }
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.state)
    }

    /// A number of `from..=to`.
    pub(crate) fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.next() % (to - from + 1)
    }

    /// An index of something that has `len` places; `len` is 1 or more.
    pub(crate) fn index(&mut self, len: usize) -> usize {
        (self.next() % len as u64) as usize
    }

    /// Whether something happens that does so `percent` times in a hundred.
    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.next() % 100 < percent
    }

    /// A number of `from..=to` whose logarithm is evenly spread: small ones are as likely as large.
    pub(crate) fn scale(&mut self, from: u64, to: u64) -> u64 {
        let part = (self.next() % 1024) as f64 / 1023.0;
        let (low, high) = ((from as f64).ln(), (to as f64).ln());
        (low + part * (high - low)).exp().round() as u64
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.index(last + 1));
        }
    }
}
