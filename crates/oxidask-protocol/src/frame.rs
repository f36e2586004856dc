//! How messages travel between processes: frames of many messages each.
//!
//! A frame is its length in four bytes, little end first, and then messages back to back. Whoever
//! sends collects messages while it is busy, so that one system call carries many.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The most that a frame may hold: a guard against garbage, not a limit that messages reach.
pub const LONGEST_FRAME: usize = 1 << 31;

/// Bytes of a length.
const HEADER: usize = 4;

/// What is wrong with bytes that should be messages.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum FrameError {
    /// The length is impossible.
    #[error("a frame of {0} bytes: the other end does not speak our protocol")]
    TooLong(usize),
    /// The bytes are no message.
    #[error("a frame holds what is no message: {0}")]
    Garbled(postcard::Error),
}

/// One value by itself as bytes.
///
/// # Panics
/// If it cannot be written down; our types can.
pub fn to_bytes(value: &impl Serialize) -> Vec<u8> {
    postcard::to_stdvec(value).expect("messages are made of plain data")
}

/// The inverse of [`to_bytes`].
///
/// # Errors
/// If the bytes are no such value.
pub fn from_bytes<M: DeserializeOwned>(bytes: &[u8]) -> Result<M, FrameError> {
    postcard::from_bytes(bytes).map_err(FrameError::Garbled)
}

/// Messages on their way out, as frames.
#[derive(Debug, Default)]
pub struct Outgoing {
    bytes: Vec<u8>,
    /// Where the open frame begins.
    open: Option<usize>,
    sent: usize,
}

impl Outgoing {
    /// Adds a message to the open frame.
    ///
    /// # Panics
    /// If the message cannot be written down; our types can.
    pub fn push(&mut self, message: &impl Serialize) {
        if self.open.is_none() {
            self.open = Some(self.bytes.len());
            self.bytes.extend_from_slice(&[0; HEADER]);
        }
        let bytes = std::mem::take(&mut self.bytes);
        self.bytes = postcard::to_extend(message, bytes).expect("messages are made of plain data");
        // Bounded frames, so that a reader can begin before a writer has finished.
        if self.bytes.len() - self.open.unwrap_or(0) > 1 << 16 {
            self.close_frame();
        }
    }

    fn close_frame(&mut self) {
        if let Some(start) = self.open.take() {
            let len = (self.bytes.len() - start - HEADER) as u32;
            self.bytes[start..start + HEADER].copy_from_slice(&len.to_le_bytes());
        }
    }

    /// What is to be sent next; nothing may be added to these bytes any more.
    pub fn unsent(&mut self) -> &[u8] {
        self.close_frame();
        &self.bytes[self.sent..]
    }

    /// So many bytes were sent.
    pub fn advance(&mut self, count: usize) {
        self.sent += count;
        if self.sent == self.bytes.len() {
            self.bytes.clear();
            self.sent = 0;
            // A large message must not hold its room for ever.
            self.bytes.shrink_to(1 << 20);
        }
    }

    /// Whether all was sent.
    pub fn is_empty(&self) -> bool {
        self.sent == self.bytes.len()
    }

    /// Bytes that wait.
    pub fn len(&self) -> usize {
        self.bytes.len() - self.sent
    }
}

/// Bytes that came in, and the messages in them.
#[derive(Debug, Default)]
pub struct Incoming {
    bytes: Vec<u8>,
    read: usize,
    /// End of the frame that is being read; `read` if there is none.
    frame_end: usize,
}

impl Incoming {
    /// Adds what was received.
    pub fn extend(&mut self, bytes: &[u8]) {
        if self.read == self.bytes.len() {
            self.clear();
        } else if self.read > 1 << 20 {
            self.bytes.drain(..self.read);
            self.frame_end -= self.read;
            self.read = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(1 << 20);
        self.read = 0;
        self.frame_end = 0;
    }

    /// The next whole message.
    ///
    /// # Errors
    /// If the bytes are no message; nothing that follows can be read then.
    pub fn next_message<M: DeserializeOwned>(&mut self) -> Result<Option<M>, FrameError> {
        while self.read >= self.frame_end {
            let Some(header) = self.bytes.get(self.read..self.read + HEADER) else {
                return Ok(None);
            };
            let len = u32::from_le_bytes(header.try_into().expect("four bytes")) as usize;
            if len > LONGEST_FRAME {
                return Err(FrameError::TooLong(len));
            }
            if self.bytes.len() - self.read - HEADER < len {
                return Ok(None);
            }
            self.read += HEADER;
            self.frame_end = self.read + len;
        }
        let (message, rest) = postcard::take_from_bytes(&self.bytes[self.read..self.frame_end])
            .map_err(FrameError::Garbled)?;
        self.read = self.frame_end - rest.len();
        Ok(Some(message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(outgoing: &mut Outgoing, piece: usize) -> Vec<(u64, String)> {
        let mut incoming = Incoming::default();
        let mut messages = Vec::new();
        while !outgoing.is_empty() {
            let bytes = outgoing.unsent();
            let count = bytes.len().min(piece);
            incoming.extend(&bytes[..count]);
            outgoing.advance(count);
            while let Some(message) = incoming.next_message().unwrap() {
                messages.push(message);
            }
        }
        messages
    }

    #[test]
    fn messages_arrive_whole_and_in_order_however_they_are_cut() {
        for piece in [1, 3, 7, 100, 1 << 20] {
            let sent: Vec<(u64, String)> =
                (0..300).map(|number| (number, "x".repeat(number as usize * 3))).collect();
            let mut outgoing = Outgoing::default();
            for message in &sent {
                outgoing.push(message);
            }
            assert_eq!(received(&mut outgoing, piece), sent);
        }
    }

    #[test]
    fn garbage_is_an_error() {
        let mut incoming = Incoming::default();
        incoming.extend(&[0xff; 8]);
        assert!(matches!(incoming.next_message::<u64>(), Err(FrameError::TooLong(_))));
        let mut incoming = Incoming::default();
        incoming.extend(&[2, 0, 0, 0, 0xff, 0xff]);
        assert!(matches!(incoming.next_message::<u32>(), Err(FrameError::Garbled(_))));
    }
}
