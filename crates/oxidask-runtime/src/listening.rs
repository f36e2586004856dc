//! Who waits for news of other processes may wait at the sockets itself.
//!
//! Sockets have a thread that reads them, whatever others do. Where it does no more than wake somebody
//! who waits for the news, it was woken in vain, and to wake a thread costs 5 to 50 µs. So who waits
//! takes a turn at listening, and takes the news in itself. Nothing is handed over for it: the
//! system wakes who listens, and the reading thread if nobody does (`node/poller.rs`).

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Where news comes from. One thread at a time waits there, and takes in what has come; between the
/// two others may have taken it in.
pub trait Ear: Send + Sync + 'static {
    /// Waits for news, at most so long; not at all if [`Ear::recall`] was called since the last time.
    fn wait(&self, at_most: Duration);

    /// Takes in what has come. To be called after each [`Ear::wait`]: nobody else may have been told
    /// of what ended that.
    fn take_in(&self);

    /// Ends the wait of the thread that waits, or is about to.
    fn recall(&self);
}

/// An [`Ear`], for one thread at a time.
pub struct Listening {
    ear: Box<dyn Ear>,
    is_taken: AtomicBool,
    process: u32,
}

impl Listening {
    /// A place where nobody listens yet.
    pub fn new(ear: impl Ear) -> Self {
        let process = std::process::id();
        Self { ear: Box::new(ear), is_taken: AtomicBool::new(false), process }
    }

    /// A turn at listening, if no other thread has it. A fork never has: the news is its parent's.
    pub(crate) fn turn(&self) -> Option<Turn<'_>> {
        if self.process != std::process::id() || self.is_taken.swap(true, Ordering::Acquire) {
            return None;
        }
        Some(Turn(self))
    }

    /// Ends the wait of the thread whose turn it is.
    pub(crate) fn recall(&self) {
        self.ear.recall();
    }
}

/// The calling thread may listen, as long as this lives.
pub(crate) struct Turn<'a>(&'a Listening);

impl Turn<'_> {
    /// Waits for news, at most so long, or until it is recalled.
    pub(crate) fn wait(&self, at_most: Duration) {
        self.0.ear.wait(at_most);
    }

    /// Takes in what has come; to be called after each wait.
    pub(crate) fn take_in(&self) {
        self.0.ear.take_in();
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.is_taken.store(false, Ordering::Release);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::{Arc, Condvar, Mutex};

    use super::*;

    /// An ear for tests: what it hears is put there, and who waits in vain fails.
    #[derive(Clone, Default)]
    pub(crate) struct Script(Arc<(Mutex<Scene>, Condvar)>);

    #[derive(Default)]
    struct Scene {
        is_waiting: bool,
        is_recalled: bool,
        news: Option<Box<dyn FnOnce() + Send>>,
    }

    impl Script {
        /// Waits until somebody listens.
        pub(crate) fn wait_for_listener(&self) {
            let (scene, changed) = &*self.0;
            drop(changed.wait_while(scene.lock().unwrap(), |scene| !scene.is_waiting).unwrap());
        }

        /// What whoever listens will do to take the news in.
        pub(crate) fn bring(&self, news: impl FnOnce() + Send + 'static) {
            let (scene, changed) = &*self.0;
            scene.lock().unwrap().news = Some(Box::new(news));
            changed.notify_all();
        }
    }

    impl Ear for Script {
        fn wait(&self, _at_most: Duration) {
            const LONG: Duration = Duration::from_secs(60);
            let (scene, changed) = &*self.0;
            let mut scene = scene.lock().unwrap();
            scene.is_waiting = true;
            changed.notify_all();
            let is_quiet = |scene: &mut Scene| !scene.is_recalled && scene.news.is_none();
            let (mut scene, timeout) = changed.wait_timeout_while(scene, LONG, is_quiet).unwrap();
            assert!(!timeout.timed_out(), "nobody recalls who listens");
            (scene.is_waiting, scene.is_recalled) = (false, false);
        }

        fn take_in(&self) {
            let news = self.0.0.lock().unwrap().news.take();
            if let Some(take_in) = news {
                take_in();
            }
        }

        fn recall(&self) {
            let (scene, changed) = &*self.0;
            scene.lock().unwrap().is_recalled = true;
            changed.notify_all();
        }
    }

    #[test]
    fn one_thread_at_a_time_listens() {
        let listening = Listening::new(Script::default());
        let turn = listening.turn().expect("nobody has it");
        assert!(listening.turn().is_none());
        drop(turn);
        assert!(listening.turn().is_some());
    }

    #[test]
    fn another_process_never_listens() {
        let mut listening = Listening::new(Script::default());
        listening.process += 1;
        assert!(listening.turn().is_none());
    }
}
