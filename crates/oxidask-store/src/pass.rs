//! Bytes and file descriptors over a unix socket, and who is at its other end.
//!
//! Descriptors travel with the first byte of what is sent with them. A receiver closes those that it
//! does not want by dropping them; none survives the start of another program.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};

/// The most descriptors that can be sent at once.
pub const MAX_DESCRIPTORS: usize = 64;

/// Sends what the socket takes now; returns how many bytes. If that is one or more, the descriptors
/// were sent, too, and must not be sent again.
pub fn send(socket: impl AsFd, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<usize> {
    assert!(!bytes.is_empty(), "descriptors travel with a byte");
    assert!(descriptors.len() <= MAX_DESCRIPTORS, "{} descriptors at once", descriptors.len());
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        let fits = control.push(SendAncillaryMessage::ScmRights(descriptors));
        assert!(fits, "there is room for the most descriptors");
    }
    let parts = [IoSlice::new(bytes)];
    Ok(rustix::io::retry_on_intr(|| {
        rustix::net::sendmsg(socket.as_fd(), &parts, &mut control, SendFlags::NOSIGNAL)
    })?)
}

/// Sends all bytes and the descriptors; waits while the socket is full.
pub fn send_all(
    socket: &UnixStream,
    mut bytes: &[u8],
    mut descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    while !bytes.is_empty() {
        let sent = send(socket, bytes, descriptors)?;
        bytes = &bytes[sent..];
        descriptors = &[];
    }
    Ok(())
}

/// Receives what is there, waiting for a first byte if the socket does; appends descriptors that
/// came with it. Returns how many bytes; none if the other end is closed.
pub fn receive(
    socket: impl AsFd,
    buffer: &mut [u8],
    descriptors: &mut Vec<OwnedFd>,
) -> io::Result<usize> {
    receive_with(socket, buffer, descriptors, RecvFlags::empty())
}

/// Like [`receive`], and never waits: where there is nothing, that is an error (`WouldBlock`).
pub fn receive_now(
    socket: impl AsFd,
    buffer: &mut [u8],
    descriptors: &mut Vec<OwnedFd>,
) -> io::Result<usize> {
    receive_with(socket, buffer, descriptors, RecvFlags::DONTWAIT)
}

fn receive_with(
    socket: impl AsFd,
    buffer: &mut [u8],
    descriptors: &mut Vec<OwnedFd>,
    flags: RecvFlags,
) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut parts = [IoSliceMut::new(buffer)];
    let received = rustix::io::retry_on_intr(|| {
        rustix::net::recvmsg(
            socket.as_fd(),
            &mut parts,
            &mut control,
            flags | RecvFlags::CMSG_CLOEXEC,
        )
    })?;
    if received.flags.contains(ReturnFlags::CTRUNC) {
        return Err(io::Error::other(
            "file descriptors were lost on the way: too many at once, or this process has as many \
             open files as it may (raise `ulimit -n`)",
        ));
    }
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    Ok(received.bytes)
}

/// The user who runs the process at the other end, when it connected.
pub fn peer_uid(socket: &UnixStream) -> io::Result<u32> {
    Ok(rustix::net::sockopt::socket_peercred(socket)?.uid.as_raw())
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, Seek};

    use rustix::io::FdFlags;

    use super::*;

    fn memory_files(count: usize) -> Vec<OwnedFd> {
        (0..count)
            .map(|number| {
                let file = rustix::fs::memfd_create("test", rustix::fs::MemfdFlags::CLOEXEC)
                    .expect("memory is there");
                rustix::io::write(&file, &[number as u8]).expect("memory is there");
                file
            })
            .collect()
    }

    fn borrowed(files: &[OwnedFd]) -> Vec<BorrowedFd<'_>> {
        files.iter().map(AsFd::as_fd).collect()
    }

    #[test]
    fn descriptors_arrive_with_the_bytes_and_do_not_survive_exec() {
        let (left, right) = UnixStream::pair().expect("can be made");
        let files = memory_files(MAX_DESCRIPTORS);
        send_all(&left, b"hello", &borrowed(&files)).expect("there is room");
        let (mut buffer, mut received) = ([0; 10], Vec::new());
        assert_eq!(receive(&right, &mut buffer, &mut received).expect("came"), 5);
        assert_eq!(&buffer[..5], b"hello");
        assert_eq!(received.len(), MAX_DESCRIPTORS);
        for (number, file) in received.into_iter().enumerate() {
            let flags = rustix::io::fcntl_getfd(&file).expect("it is open");
            assert!(flags.contains(FdFlags::CLOEXEC));
            let (mut file, mut content) = (File::from(file), Vec::new());
            file.rewind().expect("it is a file");
            file.read_to_end(&mut content).expect("it is a file");
            assert_eq!(content, [number as u8]);
        }
    }

    #[test]
    fn a_closed_end_is_no_bytes_and_no_signal() {
        let (left, right) = UnixStream::pair().expect("can be made");
        drop(left);
        assert_eq!(receive(&right, &mut [0; 4], &mut Vec::new()).expect("is closed"), 0);
        let error = send_all(&right, b"x", &[]).expect_err("is closed");
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn lost_descriptors_are_an_error() {
        let (left, right) = UnixStream::pair().expect("can be made");
        let files = memory_files(2 * MAX_DESCRIPTORS);
        let mut space =
            [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2 * MAX_DESCRIPTORS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let files = borrowed(&files);
        assert!(control.push(SendAncillaryMessage::ScmRights(&files)));
        rustix::net::sendmsg(&left, &[IoSlice::new(b"x")], &mut control, SendFlags::empty())
            .expect("there is room");
        let mut received = Vec::new();
        let error = receive(&right, &mut [0; 4], &mut received).expect_err("they do not fit");
        assert!(error.to_string().contains("descriptors were lost"), "{error}");
        assert!(received.is_empty());
    }

    #[test]
    fn more_bytes_than_the_socket_holds_are_sent_while_they_are_read() {
        let (left, right) = UnixStream::pair().expect("can be made");
        let bytes: Vec<u8> = (0..3_000_000_u32).map(|number| number as u8).collect();
        let files = memory_files(2);
        let (received, descriptors) = std::thread::scope(|scope| {
            scope.spawn(|| {
                send_all(&left, &bytes, &borrowed(&files)).expect("somebody reads");
                left.shutdown(std::net::Shutdown::Both).expect("is open");
            });
            let (mut received, mut descriptors, mut buffer) = (vec![], vec![], vec![0; 100_000]);
            loop {
                match receive(&right, &mut buffer, &mut descriptors).expect("comes") {
                    0 => return (received, descriptors),
                    length => received.extend_from_slice(&buffer[..length]),
                }
            }
        });
        assert_eq!(descriptors.len(), 2);
        assert!(received == bytes);
    }

    #[test]
    fn the_other_end_is_ours() {
        let (left, _right) = UnixStream::pair().expect("can be made");
        let ours = rustix::process::geteuid().as_raw();
        assert_eq!(peer_uid(&left).expect("is connected"), ours);
    }
}
