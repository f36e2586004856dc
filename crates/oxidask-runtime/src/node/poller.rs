//! Waits for many sockets at once.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::{EventfdFlags, Timespec, epoll, eventfd};

/// The number of the poller's own event: somebody called [`Poller::wake`].
const WOKEN: u64 = u64::MAX;

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

    pub(super) fn add(&self, number: u64, descriptor: impl AsFd) -> io::Result<()> {
        let data = epoll::EventData::new_u64(number);
        Ok(epoll::add(&self.epoll, descriptor, data, epoll::EventFlags::IN)?)
    }

    /// Also waits, or waits no more, until the descriptor can be written to.
    pub(super) fn watch_writable(
        &self,
        number: u64,
        descriptor: impl AsFd,
        is_watched: bool,
    ) -> io::Result<()> {
        let data = epoll::EventData::new_u64(number);
        let mut flags = epoll::EventFlags::IN;
        flags.set(epoll::EventFlags::OUT, is_watched);
        Ok(epoll::modify(&self.epoll, descriptor, data, flags)?)
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

    /// Waits until something is ready, at most so long.
    pub(super) fn wait(&self, at_most: Duration, ready: &mut Vec<Ready>) -> io::Result<()> {
        let mut events = [epoll::Event {
            flags: epoll::EventFlags::empty(),
            data: epoll::EventData::new_u64(0),
        }; 64];
        let timeout = Timespec {
            tv_sec: at_most.as_secs() as i64,
            tv_nsec: i64::from(at_most.subsec_nanos()),
        };
        let count = match epoll::wait(&self.epoll, &mut events, Some(&timeout)) {
            Ok(count) => count,
            Err(rustix::io::Errno::INTR) => 0,
            Err(error) => return Err(error.into()),
        };
        ready.clear();
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
        Ok(())
    }
}
