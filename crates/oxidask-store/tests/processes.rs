//! Arenas between processes: this program starts itself again, and passes descriptors to its child.
#![expect(unsafe_code, reason = "extents are mapped")]

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command};

use oxidask_store::{Arena, ArenaSettings, Extent, StoreError, View, copy_out, pass};
use rustix::process::{Resource, Rlimit};

const MIB: usize = 1 << 20;
const ROLE: &str = "OXIDASK_TEST_ROLE";

/// Another process, and a socket to it.
struct Peer {
    process: Child,
    socket: UnixStream,
}

/// An extent, and the descriptor to read it with, as the tests send them.
type Message = (OwnedFd, Extent);

impl Peer {
    /// Starts this program again in one of the roles of `child`.
    fn start(role: &str) -> Self {
        let (socket, theirs) = UnixStream::pair().expect("can be made");
        let process = Command::new(std::env::current_exe().expect("is known"))
            .args(["--ignored", "--exact", "child", "--nocapture"])
            .env(ROLE, role)
            .stdin(OwnedFd::from(theirs))
            .stdout(std::process::Stdio::null())
            .spawn()
            .expect("can be started");
        Self { process, socket }
    }

    fn wait(mut self) {
        drop(self.socket);
        assert!(self.process.wait().expect("is ours").success());
    }
}

fn send(socket: &UnixStream, reader: &OwnedFd, extent: Extent) {
    let numbers = [extent.offset, extent.length].map(u64::to_le_bytes).concat();
    pass::send_all(socket, &numbers, &[reader.as_fd()]).expect("somebody listens");
}

/// None when the other end is closed.
fn receive(socket: &UnixStream) -> Option<Message> {
    let (mut buffer, mut descriptors) = ([0; 16], Vec::new());
    if pass::receive(socket, &mut buffer, &mut descriptors).expect("is open") == 0 {
        return None;
    }
    let number = |at: usize| u64::from_le_bytes(buffer[at..at + 8].try_into().expect("8 bytes"));
    let extent = Extent { offset: number(0), length: number(8) };
    Some((descriptors.pop().expect("came with the bytes"), extent))
}

fn map((reader, extent): &Message) -> View {
    // SAFETY: no test frees an extent that somebody reads.
    unsafe { View::map(reader.as_fd(), *extent) }.expect("is there")
}

fn arena(name: &str) -> Arena {
    Arena::new(name, ArenaSettings::default()).expect("memory is there")
}

/// All bytes are the same; which?
fn byte_of(view: &View) -> u8 {
    let first = view.bytes()[0];
    assert!(view.bytes().iter().all(|&byte| byte == first));
    first
}

/// Whether a process has shared memory of this name open or mapped.
fn is_anywhere(name: &str) -> bool {
    let name = format!("memfd:{name} ");
    fs::read_dir("/proc").expect("is mounted").flatten().any(|process| {
        let has_it_open = fs::read_dir(process.path().join("fd")).is_ok_and(|mut files| {
            files.any(|file| {
                file.and_then(|file| fs::read_link(file.path()))
                    .is_ok_and(|target| target.to_string_lossy().contains(&name))
            })
        });
        has_it_open
            || fs::read_to_string(process.path().join("maps"))
                .is_ok_and(|maps| maps.contains(&name))
    })
}

/// What the other process does. Each role is that of one test.
#[test]
#[ignore = "the other process of the tests below"]
fn child() {
    let input = std::io::stdin().as_fd().try_clone_to_owned().expect("was given");
    let socket = UnixStream::from(input);
    match std::env::var(ROLE).expect("the parent says what to do").as_str() {
        "read and scribble" => {
            while let Some(message) = receive(&socket) {
                let mut view = map(&message);
                let byte = byte_of(&view);
                view.bytes_mut().fill(byte + 100);
                assert_eq!(byte_of(&view), byte + 100);
                pass::send_all(&socket, &[byte], &[]).expect("somebody listens");
            }
        }
        "write and wait" => {
            let arena = arena(&format!("killed-{}", std::process::id()));
            let reader = arena.reader().expect("can be opened");
            for length in [100, 8 * MIB] {
                let extent = arena.write(&[&vec![42; length]]).expect("fits");
                send(&socket, &reader, extent);
            }
            receive(&socket);
        }
        "write too much" => {
            // Beyond this limit the system would end the process with a signal.
            let limit = Rlimit { current: Some(4 << 20), maximum: Some(4 << 20) };
            rustix::process::setrlimit(Resource::Fsize, limit).expect("it may be lower");
            let arena = arena("limited");
            let error = arena.write(&[&vec![1; 5 * MIB]]).expect_err("does not fit");
            assert!(matches!(error, StoreError::ArenaFull { capacity: 0x40_0000, .. }), "{error}");
            arena.write(&[&vec![1; 4 * MIB]]).expect("fits");
        }
        role => panic!("nobody plays {role:?}"),
    }
}

fn answer(peer: &Peer) -> u8 {
    let mut buffer = [0];
    assert_eq!(pass::receive(&peer.socket, &mut buffer, &mut Vec::new()).expect("answers"), 1);
    buffer[0]
}

#[test]
fn what_one_process_wrote_another_reads_and_scribbles_on_in_private() {
    let peer = Peer::start("read and scribble");
    let arena = arena("shared");
    let reader = arena.reader().expect("can be opened");
    for (length, byte) in [(100, 1), (8 * MIB, 2), (8 * MIB + 1, 3)] {
        let extent = arena.write(&[&vec![byte; length]]).expect("fits");
        send(&peer.socket, &reader, extent);
        assert_eq!(answer(&peer), byte);
        let ours = copy_out(reader.as_fd(), extent).expect("is there");
        assert!(ours.iter().all(|&here| here == byte));
    }
    peer.wait();
}

#[test]
fn recycled_memory_holds_the_new_bytes_for_new_views() {
    let peer = Peer::start("read and scribble");
    let arena = arena("recycled");
    let reader = arena.reader().expect("can be opened");
    for byte in 1..20 {
        let extent = arena.write(&[&vec![byte; 2 * MIB]]).expect("fits");
        assert_eq!(extent.offset, 0);
        send(&peer.socket, &reader, extent);
        assert_eq!(answer(&peer), byte);
        arena.free(extent).expect("the other one has read it");
    }
    peer.wait();
}

#[test]
fn views_outlive_a_killed_writer_and_then_nothing_remains() {
    let mut peer = Peer::start("write and wait");
    let name = format!("killed-{}", peer.process.id());
    let messages = [(); 2].map(|()| receive(&peer.socket).expect("the writer sends two"));
    let early = map(&messages[1]);
    peer.process.kill().expect("is ours");
    peer.process.wait().expect("is ours");
    let late = map(&messages[0]);
    assert_eq!((byte_of(&early), byte_of(&late)), (42, 42));
    assert!(is_anywhere(&name));
    drop(messages);
    assert!(is_anywhere(&name), "a view needs no descriptor");
    drop((early, late));
    assert!(!is_anywhere(&name));
}

#[test]
fn an_arena_is_no_larger_than_the_files_that_its_process_may_make() {
    Peer::start("write too much").wait();
}
