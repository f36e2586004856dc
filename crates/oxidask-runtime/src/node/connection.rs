//! One end of a unix socket: messages and descriptors on their way out and in.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard};

use oxidask_protocol::frame::{FrameError, Incoming, Outgoing};
use oxidask_store::pass;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::poller::Poller;

/// Bytes that are read at once.
const PIECE: usize = 256 << 10;

/// Messages that wait to be sent.
#[derive(Debug, Default)]
struct Out {
    outgoing: Outgoing,
    /// Bytes sent since the beginning.
    sent: u64,
    /// Descriptors, each with the number of bytes before the message that it goes with.
    descriptors: VecDeque<(u64, Vec<Arc<OwnedFd>>)>,
    is_broken: bool,
    /// Somebody sends the rest when the socket takes more.
    is_watched: bool,
    /// No poller is to look at the socket any more.
    is_over: bool,
}

/// The sending half of a connection. Any thread may use it.
#[derive(Debug)]
pub(super) struct Sender {
    socket: UnixStream,
    out: Mutex<Out>,
}

/// What became of a flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flushed {
    /// All was sent.
    All,
    /// The socket is full.
    Partly,
    /// The other end is gone.
    Broken,
}

impl Sender {
    pub(super) fn new(socket: UnixStream) -> Self {
        Self { socket, out: Mutex::default() }
    }

    pub(super) fn socket(&self) -> &UnixStream {
        &self.socket
    }

    fn lock(&self) -> MutexGuard<'_, Out> {
        self.out.lock().expect("nothing panics while the lock is held")
    }

    /// Adds a message.
    pub(super) fn push(&self, message: &impl Serialize) {
        let mut out = self.lock();
        if !out.is_broken {
            out.outgoing.push(message);
        }
    }

    /// Adds a message with descriptors.
    pub(super) fn push_with(&self, message: &impl Serialize, descriptors: Vec<Arc<OwnedFd>>) {
        let mut out = self.lock();
        if out.is_broken {
            return;
        }
        let before = out.sent + out.outgoing.unsent().len() as u64;
        out.outgoing.push(message);
        out.descriptors.push_back((before, descriptors));
    }

    /// Sends what waits, as far as the socket takes it.
    pub(super) fn flush(&self) -> Flushed {
        self.flush_out(&mut self.lock())
    }

    /// Sends what waits; if there is a rest, a poller is to call this again when the socket takes more.
    pub(super) fn flush_with(&self, poller: &Poller, number: u64) {
        let mut out = self.lock();
        let is_left = match self.flush_out(&mut out) {
            Flushed::All => false,
            Flushed::Partly => true,
            Flushed::Broken => return,
        };
        if is_left != out.is_watched && !out.is_over {
            out.is_watched = is_left;
            // Where it cannot be watched any more, the other end is as good as gone.
            drop(poller.watch(number, &self.socket, is_left));
        }
    }

    /// Adds the socket to a poller that is to come before this one.
    pub(super) fn add_before(&self, first: &Poller, poller: &Poller, number: u64) {
        let out = self.lock();
        // If the system has no memory for it, there is the second one, as before.
        if !out.is_over && first.add(number, &self.socket).is_ok() {
            drop(poller.watch(number, &self.socket, out.is_watched));
        }
    }

    /// Lets a poller look at the socket anew: whoever is told first has left something there.
    pub(super) fn leave_to(&self, poller: &Poller, number: u64) {
        let out = self.lock();
        if !out.is_over {
            drop(poller.watch(number, &self.socket, out.is_watched));
        }
    }

    /// The socket is of no use any more to a poller.
    pub(super) fn end(&self, poller: &Poller) {
        self.lock().is_over = true;
        poller.remove(&self.socket);
    }

    fn flush_out(&self, out: &mut Out) -> Flushed {
        while !out.is_broken && !out.outgoing.is_empty() {
            let bytes = out.outgoing.unsent();
            let mut len = bytes.len();
            let mut descriptors = Vec::new();
            if let Some((before, with)) = out.descriptors.front() {
                if *before == out.sent {
                    descriptors = with.iter().map(|one| one.as_fd()).collect();
                    // Up to the next message that has descriptors of its own.
                    if let Some((next, _)) = out.descriptors.get(1) {
                        len = len.min((next - out.sent) as usize);
                    }
                } else {
                    len = len.min((before - out.sent) as usize);
                }
            }
            match pass::send(&self.socket, &bytes[..len], &descriptors) {
                Ok(count) => {
                    if !descriptors.is_empty() {
                        out.descriptors.pop_front();
                    }
                    out.sent += count as u64;
                    out.outgoing.advance(count);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Flushed::Partly,
                Err(_) => {
                    out.is_broken = true;
                    out.descriptors.clear();
                    out.outgoing = Outgoing::default();
                }
            }
        }
        if out.is_broken { Flushed::Broken } else { Flushed::All }
    }
}

/// What is wrong with a connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectionError {
    /// The system says so.
    #[error("a connection broke: {0}")]
    System(#[from] io::Error),
    /// The other end does not speak our protocol.
    #[error(transparent)]
    Frame(#[from] FrameError),
}

/// What became of an attempt to receive something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// Some bytes; there may be more.
    Some,
    /// There is nothing now.
    Nothing,
    /// The other end is gone.
    End,
}

/// The receiving half of a connection.
#[derive(Debug, Default)]
pub(super) struct Receiver {
    incoming: Incoming,
    pub(super) descriptors: Vec<OwnedFd>,
    buffer: Vec<u8>,
}

impl Receiver {
    /// Takes in what is there, waiting for something if the socket does; `false` if the other end is
    /// gone.
    pub(super) fn receive(&mut self, socket: &UnixStream) -> Result<bool, ConnectionError> {
        self.buffer.resize(PIECE, 0);
        let received = pass::receive(socket, &mut self.buffer, &mut self.descriptors);
        Ok(self.take_in(received)? != Received::End)
    }

    /// Takes in what is there, without waiting.
    pub(super) fn receive_now(&mut self, socket: &UnixStream) -> Result<Received, ConnectionError> {
        self.buffer.resize(PIECE, 0);
        let received = pass::receive_now(socket, &mut self.buffer, &mut self.descriptors);
        self.take_in(received)
    }

    fn take_in(&mut self, received: io::Result<usize>) -> Result<Received, ConnectionError> {
        match received {
            Ok(0) => Ok(Received::End),
            Ok(count) => {
                self.incoming.extend(&self.buffer[..count]);
                Ok(Received::Some)
            }
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => Ok(Received::Nothing),
                io::ErrorKind::ConnectionReset => Ok(Received::End),
                _ => Err(error.into()),
            },
        }
    }

    /// The next whole message.
    pub(super) fn next_message<M: DeserializeOwned>(
        &mut self,
    ) -> Result<Option<M>, ConnectionError> {
        Ok(self.incoming.next_message()?)
    }

    /// The descriptor that comes with the message that was just read.
    pub(super) fn take_descriptor(&mut self) -> Option<OwnedFd> {
        if self.descriptors.is_empty() { None } else { Some(self.descriptors.remove(0)) }
    }
}
