//! A folder for unix sockets that only its owner can enter.

use std::fs::{self, DirBuilder, Metadata};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, OFlags};

use crate::error::StoreError;

/// What fits into `sockaddr_un`, with a zero byte at its end.
const LONGEST_PATH: usize = 107;

/// A folder that only we can enter, and in which our sockets are.
#[derive(Debug)]
pub struct SocketFolder {
    path: PathBuf,
}

impl SocketFolder {
    /// Makes the folder (mode 0700), or takes it as it is if it is ours alone. Its parent must
    /// exist. A folder of another user, or one that others may enter, is an error.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let path = path.into();
        match DirBuilder::new().mode(0o700).create(&path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                Err(error).map_err(StoreError::system("make a folder for sockets"))
            }
            _ => {
                // Looks at the name itself: a symbolic link is no folder of ours.
                let found = fs::symlink_metadata(&path)
                    .map_err(StoreError::system("look at the folder for sockets"))?;
                let ours = rustix::process::geteuid().as_raw();
                match complaint(&found, ours) {
                    None => Ok(Self { path }),
                    Some((problem, cure)) => {
                        Err(StoreError::UnsafeFolder { folder: path, problem, cure })
                    }
                }
            }
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Listens on a socket of this name, in the place of one whose process is gone.
    pub fn listen(&self, name: &str) -> Result<Listener, StoreError> {
        let _lock = self.lock()?;
        let path = self.path.join(name);
        if path.as_os_str().len() > LONGEST_PATH {
            return Err(StoreError::SocketPathTooLong { path, most: LONGEST_PATH });
        }
        if path.symlink_metadata().is_ok() && !remove_if_stale(&path)? {
            return Err(StoreError::SocketInUse { path });
        }
        let socket =
            UnixListener::bind(&path).map_err(StoreError::system("listen on a unix socket"))?;
        Ok(Listener { socket, path, process: std::process::id() })
    }

    /// Between making a socket and listening on it, it looks like one whose process is gone.
    fn lock(&self) -> Result<OwnedFd, StoreError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::open(&self.path, flags, Mode::empty())
            .and_then(|folder| {
                rustix::io::retry_on_intr(|| {
                    rustix::fs::flock(&folder, FlockOperation::LockExclusive)
                })?;
                Ok(folder)
            })
            .map_err(StoreError::system("lock the folder for sockets"))
    }
}

/// What is wrong with a folder for the sockets of this user, and what to do.
fn complaint(found: &Metadata, ours: u32) -> Option<(&'static str, &'static str)> {
    if !found.is_dir() {
        Some(("it is not a folder", "remove it, or choose another place"))
    } else if found.uid() != ours {
        Some(("it belongs to another user", "choose another place"))
    } else if found.mode() & 0o077 != 0 {
        Some(("other users may enter it", "run `chmod 700` on it, or choose another place"))
    } else {
        None
    }
}

/// Removes a socket on which nobody listens; false if somebody does.
fn remove_if_stale(path: &Path) -> Result<bool, StoreError> {
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(StoreError::system("remove an old socket"))?;
            Ok(true)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        _ => Ok(false),
    }
}

/// A socket that listens; its file goes with it.
#[derive(Debug)]
pub struct Listener {
    socket: UnixListener,
    path: PathBuf,
    process: u32,
}

impl Listener {
    /// To accept connections.
    pub fn socket(&self) -> &UnixListener {
        &self.socket
    }

    /// What others connect to.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // A child made by fork has a copy of this, but the socket is its parent's.
        if self.process == std::process::id() {
            // If it cannot be removed it is stale, and the next one to come removes it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A folder for one test, removed with what is in it.
    struct Place(PathBuf);

    impl Place {
        fn new(test: &str) -> Self {
            let name = format!("oxidask-store-{test}-{}", std::process::id());
            let place = std::env::temp_dir().join(name);
            fs::create_dir(&place).expect("the name is new");
            Self(place)
        }

        fn sockets(&self) -> PathBuf {
            self.0.join("sockets")
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).expect("it is there");
        }
    }

    #[test]
    fn only_its_owner_enters_the_folder() {
        let place = Place::new("mode");
        for _ in 0..2 {
            SocketFolder::open(place.sockets()).expect("is ours");
            let mode = fs::metadata(place.sockets()).expect("is there").mode();
            assert_eq!(mode & 0o777, 0o700);
        }
    }

    #[test]
    fn a_folder_that_others_may_enter_is_refused() {
        let place = Place::new("open");
        fs::create_dir(place.sockets()).expect("is new");
        fs::set_permissions(place.sockets(), Permissions::from_mode(0o750)).expect("is ours");
        let error = SocketFolder::open(place.sockets()).expect_err("others may enter");
        assert!(error.to_string().contains("chmod 700"), "{error}");
    }

    #[test]
    fn a_link_and_a_file_are_refused() {
        let place = Place::new("link");
        fs::create_dir(place.0.join("elsewhere")).expect("is new");
        std::os::unix::fs::symlink(place.0.join("elsewhere"), place.sockets()).expect("is new");
        let error = SocketFolder::open(place.sockets()).expect_err("is a link");
        assert!(error.to_string().contains("is not a folder"), "{error}");
    }

    #[test]
    fn the_folder_of_another_user_is_refused() {
        let place = Place::new("other");
        let found = fs::metadata(&place.0).expect("is there");
        let (problem, _) = complaint(&found, found.uid() + 1).expect("is not theirs");
        assert_eq!(problem, "it belongs to another user");
    }

    #[test]
    fn a_socket_goes_with_its_listener() {
        let place = Place::new("listen");
        let folder = SocketFolder::open(place.sockets()).expect("is ours");
        let listener = folder.listen("one").expect("is free");
        UnixStream::connect(listener.path()).expect("somebody listens");
        let error = folder.listen("one").expect_err("is taken");
        assert!(error.to_string().contains("is in use by another process"), "{error}");
        drop(listener);
        assert_eq!(fs::read_dir(folder.path()).expect("is there").count(), 0);
    }

    #[test]
    fn a_path_that_is_too_long_is_an_error_that_says_so() {
        let place = Place::new("long");
        let folder = SocketFolder::open(place.sockets()).expect("is ours");
        let longest = LONGEST_PATH - folder.path().as_os_str().len() - 1;
        folder.listen(&"x".repeat(longest)).expect("fits");
        let error = folder.listen(&"x".repeat(longest + 1)).expect_err("is too long");
        assert!(error.to_string().contains("may have 107 bytes"), "{error}");
    }

    #[test]
    fn the_socket_of_a_process_that_is_gone_is_replaced() {
        let place = Place::new("stale");
        let folder = SocketFolder::open(place.sockets()).expect("is ours");
        // What a process that was killed leaves behind.
        drop(UnixListener::bind(folder.path().join("old")).expect("is free"));
        let again = folder.listen("old").expect("nobody listens any more");
        UnixStream::connect(again.path()).expect("somebody listens");
    }
}
