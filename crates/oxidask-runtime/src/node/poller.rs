//! Waits for many sockets at once.
//!
//! A socket may be in several pollers. The system tells it to one of them that somebody waits at, the
//! one to which the socket was added first; the others find it when they look next. So a poller for
//! whoever happens to wait goes before that of a thread that is always there, and what comes while
//! nobody waits at the first goes to the second. Whom the system has told must read until there is
//! nothing more: the others sleep on.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::{EventfdFlags, Timespec, epoll, eventfd};

/// The number of the poller's own event: somebody called [`Poller::wake`].
const WOKEN: u64 = u64::MAX;
/// Events that are taken in at once.
const AT_ONCE: usize = 64;

/// Something that can be read, written, or both.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ready {
    pub(super) number: u64,
    pub(super) is_writable: bool,
}

/// A set of descriptors, each with a number.
#[derive(Debug)]
pub(super) struct Poller {
    epoll: OwnedFd,
    waker: OwnedFd,
}

impl Poller {
    pub(super) fn new() -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let waker = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let data = epoll::EventData::new_u64(WOKEN);
        epoll::add(&epoll, &waker, data, epoll::EventFlags::IN)?;
        Ok(Self { epoll, waker })
    }

    /// Adds a descriptor, behind other pollers that it is in.
    pub(super) fn add(&self, number: u64, descriptor: impl AsFd) -> io::Result<()> {
        self.add_for(number, descriptor, epoll::EventFlags::IN)
    }

    fn add_for(
        &self,
        number: u64,
        descriptor: impl AsFd,
        events: epoll::EventFlags,
    ) -> io::Result<()> {
        let data = epoll::EventData::new_u64(number);
        let flags = events | epoll::EventFlags::EXCLUSIVE;
        Ok(epoll::add(&self.epoll, descriptor, data, flags)?)
    }

    /// Adds a descriptor anew, behind other pollers that it is in; waits, or waits no more, until it
    /// can be written to, too.
    pub(super) fn watch(
        &self,
        number: u64,
        descriptor: impl AsFd,
        until_writable: bool,
    ) -> io::Result<()> {
        // The system does not let flags of one be changed that others wait for, too. What is ready
        // is found when it is added.
        self.remove(&descriptor);
        let mut events = epoll::EventFlags::IN;
        events.set(epoll::EventFlags::OUT, until_writable);
        self.add_for(number, descriptor, events)
    }

    pub(super) fn remove(&self, descriptor: impl AsFd) {
        // One that is closed by now is gone from the set.
        let _ = epoll::delete(&self.epoll, descriptor);
    }

    /// Ends the wait of whoever waits, or will.
    pub(super) fn wake(&self) {
        // A full counter wakes as well.
        let _ = rustix::io::write(&self.waker, &1_u64.to_ne_bytes());
    }

    /// Waits until something is ready, at most so long; says whether there may be more.
    pub(super) fn wait(
        &self,
        at_most: Option<Duration>,
        ready: &mut Vec<Ready>,
    ) -> io::Result<bool> {
        let mut events = [epoll::Event {
            flags: epoll::EventFlags::empty(),
            data: epoll::EventData::new_u64(0),
        }; AT_ONCE];
        let timeout = at_most.map(|at_most| Timespec {
            tv_sec: at_most.as_secs() as i64,
            tv_nsec: i64::from(at_most.subsec_nanos()),
        });
        ready.clear();
        let count = match epoll::wait(&self.epoll, &mut events, timeout.as_ref()) {
            Ok(count) => count,
            Err(rustix::io::Errno::INTR) => 0,
            Err(error) => return Err(error.into()),
        };
        for event in &events[..count] {
            let (data, flags) = (event.data, event.flags);
            let number = data.u64();
            if number == WOKEN {
                let mut bytes = [0; 8];
                let _ = rustix::io::read(&self.waker, &mut bytes);
            } else {
                let is_writable = flags.contains(epoll::EventFlags::OUT);
                ready.push(Ready { number, is_writable });
            }
        }
        Ok(count == AT_ONCE)
    }

    /// Calls `serve` for all that is ready: what ended a wait, then what else is there. Nothing is
    /// left of which only this poller was told.
    pub(super) fn serve_all(&self, ready: &mut Vec<Ready>, mut serve: impl FnMut(&Ready)) {
        loop {
            let mut is_more = ready.len() + 1 >= AT_ONCE;
            if ready.is_empty() {
                is_more = self.wait(Some(Duration::ZERO), ready).unwrap_or(false);
            }
            for one in &*ready {
                serve(one);
            }
            ready.clear();
            if !is_more {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    /// Waits until a thread of this process sleeps.
    fn wait_for_sleep(thread: &AtomicU32) {
        loop {
            let number = thread.load(Ordering::SeqCst);
            let stat = std::fs::read_to_string(format!("/proc/self/task/{number}/stat"));
            if number > 0 && stat.is_ok_and(|stat| stat.contains(") S ")) {
                return;
            }
            std::thread::yield_now();
        }
    }

    fn own_number() -> u32 {
        let own = std::fs::read_link("/proc/thread-self").expect("this is Linux");
        let number = own.file_name().expect("it has one").to_str().expect("it is a number");
        number.parse().expect("it is a number")
    }

    #[test]
    fn the_poller_that_comes_first_is_told_and_the_other_only_when_nobody_waits_there() {
        let (mut here, mut there) = UnixStream::pair().expect("can be made");
        let (first, second) = (Poller::new().expect("can be made"), Poller::new().expect("too"));
        first.add(7, &there).expect("is open");
        second.add(7, &there).expect("is open");
        let (first_sleeps, second_sleeps) = (AtomicU32::new(0), AtomicU32::new(0));
        let wait_at = |poller: &Poller, sleeps: &AtomicU32| {
            sleeps.store(own_number(), Ordering::SeqCst);
            let mut ready = Vec::new();
            poller.wait(Some(LONG), &mut ready).expect("it is open");
            ready.len()
        };
        std::thread::scope(|scope| {
            let behind = scope.spawn(|| wait_at(&second, &second_sleeps));
            wait_for_sleep(&second_sleeps);
            let ahead = scope.spawn(|| wait_at(&first, &first_sleeps));
            wait_for_sleep(&first_sleeps);
            here.write_all(b"x").expect("somebody reads");
            assert_eq!(ahead.join().expect("it only waits"), 1);
            there.read_exact(&mut [0]).expect("it is there");
            wait_for_sleep(&second_sleeps);
            assert!(!behind.is_finished());
            here.write_all(b"x").expect("somebody reads");
            assert_eq!(behind.join().expect("it only waits"), 1);
        });
    }

    #[test]
    fn who_is_woken_finds_what_is_ready_even_if_a_wait_has_not_said_so() {
        let (mut here, mut there) = UnixStream::pair().expect("can be made");
        let poller = Poller::new().expect("can be made");
        poller.add(7, &there).expect("is open");
        here.write_all(b"x").expect("there is room");
        let (mut ready, mut served) = (Vec::new(), Vec::new());
        poller.serve_all(&mut ready, |one| served.push(one.number));
        assert_eq!(served, [7]);
        there.read_exact(&mut [0]).expect("it is there");
        poller.serve_all(&mut ready, |one| served.push(one.number));
        assert_eq!(served, [7]);
    }
}
