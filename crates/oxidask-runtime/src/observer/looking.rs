//! Looks what threads do, as the system says it: nobody who is looked at notices.

use std::fs;

use oxidask_observe::news::Activity;
use oxidask_protocol::TaskId;

use crate::cluster::Seat;

/// What a thread does now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    Runs,
    WaitsForLock,
    WaitsForDisk,
    Sleeps,
    Unknown,
}

/// Looks at the threads of a worker that run tasks.
pub(super) fn look_at(pid: u32, seats: &[Seat]) -> Vec<(u32, Option<TaskId>, Activity)> {
    let doing: Vec<Option<Doing>> =
        seats.iter().map(|seat| seat.task.map(|_| doing_of(pid, seat.system_thread))).collect();
    // Who waits for the interpreter waits for a lock, and so do others; but somebody has the
    // interpreter, then.
    let somebody_runs = doing.contains(&Some(Doing::Runs));
    let activity = |doing| match doing {
        Some(Doing::Runs) => Activity::Runs,
        Some(Doing::WaitsForLock) if somebody_runs => Activity::WaitsForInterpreter,
        Some(Doing::WaitsForLock | Doing::Sleeps) => Activity::Sleeps,
        Some(Doing::WaitsForDisk) => Activity::WaitsForDisk,
        Some(Doing::Unknown) | None => Activity::Unknown,
    };
    let threads = seats.iter().zip(doing);
    threads.map(|(seat, doing)| (seat.thread, seat.task, activity(doing))).collect()
}

fn doing_of(pid: u32, thread: u32) -> Doing {
    let folder = format!("/proc/{pid}/task/{thread}");
    let Ok(stat) = fs::read_to_string(format!("{folder}/stat")) else { return Doing::Unknown };
    match state_in(&stat) {
        Some('R') => Doing::Runs,
        Some('D') => Doing::WaitsForDisk,
        Some('S') => match fs::read_to_string(format!("{folder}/wchan")) {
            Ok(place) if place.contains("futex") => Doing::WaitsForLock,
            // It has gone on since, or the system does not tell.
            Ok(place) if place == "0" => match fs::read_to_string(format!("{folder}/stat")) {
                Ok(stat) if state_in(&stat) == Some('R') => Doing::Runs,
                _ => Doing::Unknown,
            },
            Ok(_) => Doing::Sleeps,
            Err(_) => Doing::Unknown,
        },
        _ => Doing::Unknown,
    }
}

/// The state of a thread in a file like `/proc/self/stat`. The name of the program stands in brackets
/// before it, and may hold anything.
fn state_in(stat: &str) -> Option<char> {
    stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use super::*;
    use crate::resources::system_thread;

    /// Looks again and again at a thread until it was seen to do something.
    fn is_seen(activity: impl Fn() + Send + 'static, wanted: Doing) -> bool {
        let number = Arc::new(AtomicU32::new(0));
        let theirs = Arc::clone(&number);
        std::thread::spawn(move || {
            theirs.store(system_thread(), Ordering::SeqCst);
            activity();
        });
        while number.load(Ordering::SeqCst) == 0 {
            std::thread::yield_now();
        }
        let pid = std::process::id();
        (0..2000).any(|_| {
            std::thread::sleep(Duration::from_millis(1));
            doing_of(pid, number.load(Ordering::SeqCst)) == wanted
        })
    }

    #[test]
    fn threads_are_seen_to_compute_to_sleep_and_to_wait() {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let spins = move || while !stopped.load(Ordering::Relaxed) {};
        assert!(is_seen(spins, Doing::Runs));
        stop.store(true, Ordering::Relaxed);
        assert!(is_seen(|| std::thread::sleep(Duration::from_secs(3)), Doing::Sleeps));
        let lock = Arc::new(Mutex::new(()));
        let held = lock.lock().unwrap();
        let wanted = Arc::clone(&lock);
        assert!(is_seen(move || drop(wanted.lock().unwrap()), Doing::WaitsForLock));
        drop(held);
    }

    #[test]
    fn the_name_of_a_thread_is_not_its_state() {
        assert_eq!(state_in("7 (a) R (b)) S 1 2"), Some('S'));
        assert_eq!(state_in("7 (nothing"), None);
    }

    #[test]
    fn a_lock_is_the_interpreter_s_only_if_another_thread_runs() {
        let seat = |thread, task| Seat { thread, system_thread: u32::MAX, task };
        let looks = look_at(std::process::id(), &[seat(0, Some(TaskId(3))), seat(1, None)]);
        assert_eq!(looks[0], (0, Some(TaskId(3)), Activity::Unknown));
        assert_eq!(looks[1], (1, None, Activity::Unknown));
    }
}
