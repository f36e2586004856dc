//! A client's end of a connection to a cluster in another process.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Weak};

use oxidask_protocol::{FromClient, ToClient};

use super::connection::{ConnectionError, Receiver, Sender};
use crate::arenas::Arenas;
use crate::client::{Client, Line};

struct SocketLine(Sender);

impl Line for SocketLine {
    fn say(&self, message: FromClient) {
        self.0.push(&message);
        // If the connection is broken, the reader sees it too, and says so to whoever waits.
        let _ = self.0.flush();
    }
}

/// Connects to the cluster whose clients' socket this is.
pub fn connect_client(socket: &Path) -> io::Result<(Arc<Client>, Arc<Arenas>)> {
    let socket = UnixStream::connect(socket)?;
    let reading = socket.try_clone()?;
    let client = Arc::new(Client::new(Box::new(SocketLine(Sender::new(socket)))));
    let arenas = Arc::<Arenas>::default();
    let (listener, known) = (Arc::downgrade(&client), Arc::clone(&arenas));
    std::thread::Builder::new().name("oxidask-client".to_owned()).spawn(move || {
        let reason = match listen(&reading, &listener, &known) {
            Ok(()) => "the connection to the cluster was lost".to_owned(),
            Err(error) => error.to_string(),
        };
        if let Some(client) = listener.upgrade() {
            client.deliver(ToClient::Closed { reason });
        }
    })?;
    Ok((client, arenas))
}

fn listen(
    socket: &UnixStream,
    client: &Weak<Client>,
    arenas: &Arenas,
) -> Result<(), ConnectionError> {
    let mut receiver = Receiver::default();
    while receiver.receive(socket)? {
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
    }
    Ok(())
}
