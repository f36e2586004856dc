//! Looks which worker processes stand still, because a signal or a debugger has stopped them.

use std::collections::BTreeSet;
use std::fs;

use oxidask_protocol::WorkerId;

use crate::cluster::Cluster;

/// Those of a cluster's workers that stand still.
pub(super) fn stopped_workers(cluster: &Cluster) -> BTreeSet<WorkerId> {
    let workers = cluster.workers().into_iter();
    workers.filter(|(_, info)| is_stopped(info.pid)).map(|(worker, _)| worker).collect()
}

/// Whether a process is stopped, or traced and stopped.
fn is_stopped(pid: u32) -> bool {
    let Ok(text) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    // The name of the program is in brackets before the state, and may hold anything.
    let state = text.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    matches!(state, Some('T' | 't'))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_process_that_was_stopped_is_seen_until_it_goes_on() {
        let mut child = Command::new("sleep").arg("600").spawn().expect("sleep can be run");
        let pid = rustix::process::Pid::from_child(&child);
        let send = |signal| rustix::process::kill_process(pid, signal).expect("the child is there");
        let wait_for = |state| {
            while is_stopped(child.id()) != state {
                std::thread::yield_now();
            }
        };
        wait_for(false);
        send(rustix::process::Signal::STOP);
        wait_for(true);
        send(rustix::process::Signal::CONT);
        wait_for(false);
        child.kill().expect("it is there");
        child.wait().expect("it has ended");
        assert!(!is_stopped(u32::MAX));
    }
}
