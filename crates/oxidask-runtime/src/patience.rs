//! Waiting awake for a moment, where that is sooner than to sleep and be woken.
//!
//! To wake a thread costs 5 to 50 µs, more than a short task takes. So who waits first looks for a
//! while, but only as long as that has been worth it lately: a wait that lasted longer than anybody
//! would look halves the while, and a short one, asleep or awake, makes it whole again. On a busy
//! machine, where looking takes the processor away from those who are looked for, waits are long, and
//! nobody looks.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// So long is looked at most.
const LONGEST: u32 = 40_000;
/// For less it is not worth beginning.
const SHORTEST: u32 = 2_000;

/// How long it has been worth looking, in nanoseconds.
#[derive(Debug)]
pub(crate) struct Patience(AtomicU32);

impl Default for Patience {
    fn default() -> Self {
        Self(AtomicU32::new(LONGEST))
    }
}

impl Patience {
    /// Looks until `is_there`, or until it is not worth it any more; says whether it is there.
    pub(crate) fn look(&self, at_most: Duration, is_there: impl Fn() -> bool) -> bool {
        let nanoseconds = self.0.load(Ordering::Relaxed);
        if nanoseconds < SHORTEST {
            return is_there();
        }
        let begin = Instant::now();
        let at_most = at_most.min(Duration::from_nanos(nanoseconds.into()));
        loop {
            for _ in 0..16 {
                if is_there() {
                    return true;
                }
                std::hint::spin_loop();
            }
            if begin.elapsed() >= at_most {
                return false;
            }
        }
    }

    /// Learns from a wait that is over, however it was spent.
    pub(crate) fn learn(&self, waited: Duration) {
        let is_short = waited <= Duration::from_nanos((2 * LONGEST).into());
        let before = self.0.load(Ordering::Relaxed);
        let after = if is_short { LONGEST } else { before / 2 };
        if after != before {
            self.0.store(after, Ordering::Relaxed);
        }
    }
}

/// Clients of this process that wait.
static WAITING_CLIENTS: AtomicUsize = AtomicUsize::new(0);

/// A client waits as long as this lives.
pub(crate) struct ClientWaits(());

/// A client begins to wait.
pub(crate) fn client_waits() -> ClientWaits {
    WAITING_CLIENTS.fetch_add(1, Ordering::Relaxed);
    ClientWaits(())
}

impl Drop for ClientWaits {
    fn drop(&mut self) {
        WAITING_CLIENTS.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Looks, for a moment, until a client of this process waits.
pub(crate) fn let_client_wait() {
    const MOMENT: Duration = Duration::from_micros(10);
    let begin = Instant::now();
    while WAITING_CLIENTS.load(Ordering::Relaxed) == 0 && begin.elapsed() < MOMENT {
        std::hint::spin_loop();
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn long_waits_end_the_looking_and_a_short_one_brings_it_back() {
        let patience = Patience::default();
        let looks = Cell::new(0);
        let look = || {
            looks.set(looks.get() + 1);
            false
        };
        for _ in 0..8 {
            patience.learn(Duration::from_millis(5));
        }
        assert!(!patience.look(Duration::from_secs(1), look));
        assert_eq!(looks.get(), 1);
        patience.learn(Duration::from_micros(10));
        assert!(!patience.look(Duration::from_secs(1), look));
        assert!(looks.get() > 2);
    }
}
