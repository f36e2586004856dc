//! A client's end of a connection to a cluster in another process.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Weak};

use oxidask_protocol::{FromClient, ToClient};

use super::connection::{ConnectionError, Receiver, Sender};
use crate::arenas::Arenas;
use crate::client::{Client, Line};
use crate::cluster::arena_of_client;

struct SocketLine {
    sender: Sender,
    /// The number of this client's arena.
    arena: u32,
    arenas: Arc<Arenas>,
}

impl Line for SocketLine {
    fn say(&self, message: FromClient) {
        self.sender.push(&message);
        // If the connection is broken, the reader sees it too, and says so to whoever waits.
        let _ = self.sender.flush();
    }

    fn give_arena(&self, descriptor: OwnedFd) -> Option<u32> {
        self.sender.push_with(&FromClient::Arena, vec![Arc::new(descriptor.try_clone().ok()?)]);
        self.arenas.insert(self.arena, descriptor);
        Some(self.arena)
    }
}

/// Connects to the cluster whose clients' socket this is.
pub fn connect_client(socket: &Path) -> io::Result<(Arc<Client>, Arc<Arenas>)> {
    let socket = UnixStream::connect(socket)?;
    let reading = socket.try_clone()?;
    let mut receiver = Receiver::default();
    let first = first_message(&reading, &mut receiver).map_err(io::Error::other)?;
    let ToClient::Welcome { client: number, .. } = first else {
        return Err(io::Error::other("it does not greet"));
    };
    let arenas = Arc::<Arenas>::default();
    let line = SocketLine {
        sender: Sender::new(socket),
        arena: arena_of_client(number),
        arenas: Arc::clone(&arenas),
    };
    let client = Arc::new(Client::new(Box::new(line)));
    client.deliver(first);
    let (listener, known) = (Arc::downgrade(&client), Arc::clone(&arenas));
    std::thread::Builder::new().name("oxidask-client".to_owned()).spawn(move || {
        let reason = match listen(&reading, receiver, &listener, &known) {
            Ok(()) => "the connection to the cluster was lost".to_owned(),
            Err(error) => error.to_string(),
        };
        if let Some(client) = listener.upgrade() {
            client.deliver(ToClient::Closed { reason });
        }
    })?;
    Ok((client, arenas))
}

fn first_message(
    socket: &UnixStream,
    receiver: &mut Receiver,
) -> Result<ToClient, ConnectionError> {
    loop {
        if !receiver.receive(socket)? {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        if let Some(message) = receiver.next_message()? {
            return Ok(message);
        }
    }
}

fn listen(
    socket: &UnixStream,
    mut receiver: Receiver,
    client: &Weak<Client>,
    arenas: &Arenas,
) -> Result<(), ConnectionError> {
    loop {
        while let Some(message) = receiver.next_message::<ToClient>()? {
            if let ToClient::Arena { arena } = message {
                if let Some(descriptor) = receiver.take_descriptor() {
                    arenas.insert(arena, descriptor);
                }
            } else if let Some(client) = client.upgrade() {
                client.deliver(message);
            } else {
                return Ok(());
            }
        }
        if !receiver.receive(socket)? {
            return Ok(());
        }
    }
}
