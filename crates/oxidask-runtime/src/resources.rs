//! What the process and its children use: memory and processor time, looked at again and again.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// One look.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ResourceSample {
    /// When, since the first.
    pub at: Duration,
    /// Bytes in memory.
    pub resident_bytes: u64,
    /// Processor time since the last look, in percent of one core.
    pub cpu_percent: f64,
}

/// Looks until it is stopped, in a thread of its own.
pub struct ResourceSampler {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Threads do not come along into a child process.
    process: u32,
}

#[derive(Default)]
struct Shared {
    log: Mutex<Log>,
    stopped: Condvar,
}

#[derive(Default)]
struct Log {
    samples: Vec<ResourceSample>,
    is_stopped: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Log> {
        self.log.lock().expect("nothing panics while the lock is held")
    }
}

impl ResourceSampler {
    /// Starts to look, `every` so often.
    pub fn start(every: Duration) -> io::Result<Self> {
        let shared: Arc<Shared> = Arc::default();
        let theirs = Arc::clone(&shared);
        let mut meter = Meter::new();
        shared.lock().samples.push(meter.look());
        let thread = std::thread::Builder::new()
            .name("oxidask-resources".to_owned())
            .spawn(move || look_until_stopped(&theirs, meter, every))?;
        Ok(Self { shared, thread: Mutex::new(Some(thread)), process: std::process::id() })
    }

    /// What was seen so far, oldest first.
    pub fn samples(&self) -> Vec<ResourceSample> {
        self.shared.lock().samples.clone()
    }

    /// Looks a last time, and ends the thread.
    pub fn stop(&self) {
        self.shared.lock().is_stopped = true;
        self.shared.stopped.notify_all();
        let thread = self.thread.lock().expect("nothing panics while the lock is held").take();
        if let Some(thread) = thread
            && self.process == std::process::id()
        {
            thread.join().expect("looking does not panic");
        }
    }
}

impl Drop for ResourceSampler {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Bytes of memory that this process may use: the machine's, or less if its control groups say so.
pub fn memory_size() -> u64 {
    let machine = fs::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| {
            let line = text.lines().find(|line| line.starts_with("MemTotal:"))?;
            line.split_ascii_whitespace().nth(1)?.parse::<u64>().ok()
        })
        .map_or(u64::MAX, |kibibytes| kibibytes * 1024);
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    machine.min(group_limit(Path::new("/sys/fs/cgroup"), &groups))
}

/// The smallest limit of the control groups that a file like `/proc/self/cgroup` names, and of
/// those around them. Version 1 has a hierarchy for memory, version 2 one for all.
fn group_limit(root: &Path, groups: &str) -> u64 {
    let mut limit = u64::MAX;
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
        let (folder, file) = match controllers {
            "" => (root.to_path_buf(), "memory.max"),
            _ if controllers.split(',').any(|one| one == "memory") => {
                (root.join("memory"), "memory.limit_in_bytes")
            }
            _ => continue,
        };
        // A container may see its own group as the root, under a path that is not there.
        for group in Path::new(path.trim_start_matches('/')).ancestors() {
            let text = fs::read_to_string(folder.join(group).join(file)).unwrap_or_default();
            limit = limit.min(text.trim().parse().unwrap_or(u64::MAX));
        }
    }
    limit
}

fn look_until_stopped(shared: &Shared, mut meter: Meter, every: Duration) {
    let mut is_stopped = false;
    while !is_stopped {
        let (log, _) = shared
            .stopped
            .wait_timeout_while(shared.lock(), every, |log| !log.is_stopped)
            .expect("nothing panics while the lock is held");
        is_stopped = log.is_stopped;
        drop(log);
        let sample = meter.look();
        shared.lock().samples.push(sample);
    }
}

/// Remembers the last look, to tell what happened since.
struct Meter {
    begun: Instant,
    last: Duration,
    own_time: Duration,
    /// Processor time of each child, in ticks of the system's clock.
    ticks: HashMap<u32, u64>,
}

impl Meter {
    fn new() -> Self {
        let ticks = children().map(|child| (child, ticks_of(child))).collect();
        Self { begun: Instant::now(), last: Duration::ZERO, own_time: own_time(), ticks }
    }

    fn look(&mut self) -> ResourceSample {
        let at = self.begun.elapsed();
        let own_time = own_time();
        let mut used = own_time.saturating_sub(self.own_time).as_secs_f64();
        let mut resident_bytes = resident_bytes_of("self");
        let mut ticks = HashMap::new();
        let ticks_a_second = rustix::param::clock_ticks_per_second() as f64;
        for child in children() {
            let now = ticks_of(child);
            let before = self.ticks.get(&child).copied().unwrap_or(0);
            used += now.saturating_sub(before) as f64 / ticks_a_second;
            resident_bytes += resident_bytes_of(&child.to_string());
            ticks.insert(child, now);
        }
        // Nothing has passed at the first look.
        let passed =
            if self.last.is_zero() { Duration::ZERO } else { at.saturating_sub(self.last) };
        let cpu_percent = if passed.is_zero() { 0.0 } else { 100.0 * used / passed.as_secs_f64() };
        (self.last, self.own_time, self.ticks) = (at, own_time, ticks);
        ResourceSample { at, resident_bytes, cpu_percent }
    }
}

/// The time since the machine started, without that in which it slept: the same in all its processes.
pub fn machine_time() -> Duration {
    let time = clock_gettime(ClockId::Monotonic);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// The same for a moment that was taken in this process.
pub fn machine_time_of(moment: Instant) -> u64 {
    static BEGUN: OnceLock<(Instant, u64)> = OnceLock::new();
    let (begun, at_ns) = BEGUN.get_or_init(|| (Instant::now(), machine_time().as_nanos() as u64));
    match moment.checked_duration_since(*begun) {
        Some(since) => at_ns + since.as_nanos() as u64,
        None => at_ns.saturating_sub(begun.duration_since(moment).as_nanos() as u64),
    }
}

/// The system's number for the calling thread.
pub fn system_thread() -> u32 {
    rustix::thread::gettid().as_raw_nonzero().get() as u32
}

/// Processor time of a process and all its threads so far, in nanoseconds; 0 if it is gone.
pub fn processor_time_of(process: u32) -> u64 {
    if process == std::process::id() {
        return own_time().as_nanos() as u64;
    }
    ticks_of(process) * 1_000_000_000 / rustix::param::clock_ticks_per_second()
}

fn own_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// The children of this process, their children, and so on.
fn children() -> impl Iterator<Item = u32> {
    let mut found = Vec::new();
    let mut next = vec![std::process::id()];
    while let Some(parent) = next.pop() {
        let threads = fs::read_dir(format!("/proc/{parent}/task")).into_iter().flatten().flatten();
        for thread in threads {
            let list = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
            let born = list.split_whitespace().filter_map(|id| id.parse().ok());
            for child in born {
                found.push(child);
                next.push(child);
            }
        }
    }
    found.into_iter()
}

/// Processor time of a process, 0 if it is gone.
fn ticks_of(process: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    parse_ticks(&text)
}

/// The times in user and system mode, which stand behind the name in brackets.
fn parse_ticks(stat: &str) -> u64 {
    let Some((_, fields)) = stat.rsplit_once(')') else { return 0 };
    let times = fields.split_whitespace().skip(11).take(2);
    times.filter_map(|time| time.parse::<u64>().ok()).sum()
}

/// Bytes of a process that are in memory, 0 if it is gone.
fn resident_bytes_of(process: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{process}/statm")).unwrap_or_default();
    let pages = text.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or(0) * rustix::param::page_size() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_limit_of_a_group_and_those_around_it_counts() {
        let root = std::env::temp_dir().join(format!("oxidask-groups-{}", std::process::id()));
        for (file, text) in [
            ("memory.max", "max\n"),
            ("job/memory.max", "2000\n"),
            ("job/step/memory.max", "max\n"),
            ("memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("memory/box/memory.limit_in_bytes", "3000\n"),
        ] {
            let path = root.join(file);
            fs::create_dir_all(path.parent().expect("it is in a folder")).expect("can be made");
            fs::write(path, text).expect("can be written");
        }
        let limit = |groups: &str| group_limit(&root, groups);
        assert_eq!(limit("0::/job/step\n"), 2000);
        assert_eq!(limit("5:cpu,memory:/box\n0::/\n"), 3000);
        assert_eq!(limit("5:memory:/not/seen/here\n"), 9_223_372_036_854_771_712);
        assert_eq!(limit("5:cpu:/job\n0::/\n"), u64::MAX);
        fs::remove_dir_all(&root).expect("it is there");
    }

    #[test]
    fn the_machine_has_memory() {
        let size = memory_size();
        assert!((1 << 24..u64::MAX).contains(&size), "{size}");
    }

    #[test]
    fn the_name_of_a_process_does_not_disturb_its_times() {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194560 10 0 0 0 120 30 7 9 20 0 1 0 100";
        assert_eq!(parse_ticks(stat), 150);
        assert_eq!(parse_ticks(""), 0);
    }

    #[test]
    fn a_stopped_sampler_has_seen_the_beginning_and_the_end() {
        let sampler = ResourceSampler::start(Duration::from_secs(3600)).expect("threads start");
        sampler.stop();
        let seen = sampler.samples();
        assert_eq!(seen.len(), 2);
        assert!(seen.iter().all(|sample| sample.resident_bytes > 100_000));
        assert_eq!(seen[0].cpu_percent.to_bits(), 0.0_f64.to_bits());
    }

    #[test]
    fn memory_of_a_child_counts() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("it starts");
        let found = children().any(|id| id == child.id());
        let bytes = resident_bytes_of(&child.id().to_string());
        child.kill().expect("it runs");
        child.wait().expect("it ends");
        assert!(found);
        assert!(bytes > 0);
    }
}
