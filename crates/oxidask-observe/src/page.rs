//! The page of a cluster: who works, and how far the groups of tasks are, as HTML or JSON.

use std::fmt::Write;
use std::time::Duration;

/// What there is to see of a cluster at some moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Overview {
    /// How long the cluster has been there.
    pub age: Duration,
    /// Who runs tasks.
    pub workers: Vec<WorkerRow>,
    /// Groups that have tasks, the largest first.
    pub groups: Vec<GroupRow>,
    /// Bytes of results in shared memory.
    pub stored_nbytes: u64,
    /// Connected clients.
    pub clients: usize,
}

/// What is shown of a worker.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WorkerRow {
    /// How users call it.
    pub name: String,
    /// Its process.
    pub pid: u32,
    /// Threads that run tasks.
    pub threads: u32,
    /// Tasks that it has ended.
    pub ended: u64,
    /// How long its process has stood still, if a signal or a debugger has stopped it.
    pub stopped: Option<Duration>,
}

/// What is shown of tasks with the same name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GroupRow {
    /// The first part of their keys.
    pub name: String,
    /// All of them that are remembered.
    pub tasks: u32,
    /// Those whose results were made.
    pub finished: u32,
    /// Those that workers have.
    pub processing: u32,
    /// Those that failed, or need one that did.
    pub erred: u32,
    /// Those that no worker can run.
    pub no_worker: u32,
    /// What one lasts on average.
    pub duration: Option<Duration>,
}

impl GroupRow {
    /// Tasks that wait for an input or a worker.
    fn waiting(&self) -> u32 {
        self.tasks.saturating_sub(self.finished + self.processing + self.erred)
    }
}

/// Groups on the page at most; JSON has all.
const MOST_GROUPS: usize = 100;
/// Characters of a name on the page at most.
const LONGEST_NAME: usize = 80;

/// The style of the page.
pub const STYLE: &str = include_str!("page/style.css");
/// What keeps the page up to date.
pub const SCRIPT: &str = include_str!("page/script.js");

impl Overview {
    fn sum(&self, of: impl Fn(&GroupRow) -> u32) -> u64 {
        self.groups.iter().map(|group| u64::from(of(group))).sum()
    }

    /// The whole page.
    pub fn page(&self) -> String {
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <title>Oxidask</title>\n<link rel=\"icon\" href=\"data:,\">\n\
             <link rel=\"stylesheet\" href=\"./style.css\">\n\
             <script src=\"./script.js\" defer></script>\n</head>\n<body>\n\
             <header><h1>Oxidask</h1><p id=\"connection\" role=\"status\"></p></header>\n\
             <main>{}</main>\n</body>\n</html>\n",
            self.fragment()
        )
    }

    /// The part of the page that changes.
    pub fn fragment(&self) -> String {
        let mut out = String::new();
        let threads: u32 = self.workers.iter().map(|worker| worker.threads).sum();
        let _ = write!(out, "<p class=\"answer\">{}</p>\n<dl class=\"facts\">", self.sentence());
        for (name, value) in [
            ("Workers", count(self.workers.len() as u64)),
            ("Threads", count(u64::from(threads))),
            ("Tasks at workers", count(self.sum(|group| group.processing))),
            ("Tasks waiting", count(self.sum(GroupRow::waiting))),
            ("Shared memory", bytes(self.stored_nbytes)),
            ("Up for", duration(self.age)),
        ] {
            let _ = write!(out, "<div><dt>{name}</dt><dd>{value}</dd></div>");
        }
        out.push_str("</dl>\n<section><h2>Progress</h2>\n");
        self.write_groups(&mut out);
        out.push_str("</section>\n<section><h2>Workers</h2>\n");
        self.write_workers(&mut out);
        out.push_str("</section>\n");
        out
    }

    /// How things stand, in one sentence.
    fn sentence(&self) -> String {
        let [processing, waiting, erred, stuck] = [
            self.sum(|group| group.processing),
            self.sum(GroupRow::waiting),
            self.sum(|group| group.erred),
            self.sum(|group| group.no_worker),
        ];
        let mut failed = match erred {
            0 => String::new(),
            1 => " 1 task failed, or needs one that did.".to_owned(),
            _ => format!(" {} tasks failed, or need one that did.", count(erred)),
        };
        match self.workers.iter().filter(|worker| worker.stopped.is_some()).count() {
            0 => {}
            1 => failed.push_str(" 1 worker is stopped."),
            stopped => {
                let _ = write!(failed, " {stopped} workers are stopped.");
            }
        }
        if self.workers.is_empty() {
            return format!("There is no worker; {} tasks wait for one.", count(waiting));
        }
        if stuck > 0 {
            return format!("No worker can run {} of the tasks.{failed}", count(stuck));
        }
        if processing + waiting == 0 {
            return format!("Idle: no task runs or waits.{failed}");
        }
        let verb = if processing == 1 { "task is" } else { "tasks are" };
        let rest = if waiting == 1 { "waits" } else { "wait" };
        format!(
            "{} {verb} at the workers, {} {rest} for inputs or a free thread.{failed}",
            count(processing),
            count(waiting)
        )
    }

    fn write_groups(&self, out: &mut String) {
        if self.groups.is_empty() {
            out.push_str(
                "<p class=\"empty\">No tasks are known. Results that nobody keeps, and \
                 their tasks, are forgotten.</p>\n",
            );
            return;
        }
        out.push_str(
            "<table><thead><tr><th scope=\"col\">Tasks</th><th scope=\"col\">Progress</th>\
             <th scope=\"col\" class=\"number\">Done</th>\
             <th scope=\"col\" class=\"number\">At workers</th>\
             <th scope=\"col\" class=\"number\">Failed</th>\
             <th scope=\"col\" class=\"number\">Each lasts</th></tr></thead>\n<tbody>\n",
        );
        for group in self.groups.iter().take(MOST_GROUPS) {
            let part = |tasks: u32| 100.0 * f64::from(tasks) / f64::from(group.tasks.max(1));
            let _ = writeln!(
                out,
                "<tr><th scope=\"row\" title=\"{title}\">{name}</th><td>\
                 <svg class=\"bar\" viewBox=\"0 0 100 10\" preserveAspectRatio=\"none\" role=\"img\" \
                 aria-label=\"{done} of {tasks} done\">\
                 <rect class=\"done\" width=\"{width_done:.2}\" height=\"10\"/>\
                 <rect class=\"running\" x=\"{width_done:.2}\" width=\"{width_running:.2}\" height=\"10\"/>\
                 <rect class=\"erred\" x=\"{at_erred:.2}\" width=\"{width_erred:.2}\" height=\"10\"/>\
                 </svg></td><td class=\"number\">{done} / {tasks}</td>\
                 <td class=\"number\">{running}</td><td class=\"number{bad}\">{erred}</td>\
                 <td class=\"number\">{lasts}</td></tr>",
                title = escaped(&group.name),
                name = escaped(&shortened(&group.name)),
                done = count(u64::from(group.finished)),
                tasks = count(u64::from(group.tasks)),
                running = count(u64::from(group.processing)),
                erred = count(u64::from(group.erred)),
                bad = if group.erred > 0 { " bad" } else { "" },
                lasts = group.duration.map_or_else(|| "–".to_owned(), duration),
                width_done = part(group.finished),
                width_running = part(group.processing),
                at_erred = part(group.finished + group.processing),
                width_erred = part(group.erred),
            );
        }
        out.push_str("</tbody></table>\n");
        if self.groups.len() > MOST_GROUPS {
            let more = self.groups.len() - MOST_GROUPS;
            let _ = writeln!(
                out,
                "<p class=\"empty\">{} smaller groups are not shown; <a href=\"./json\">JSON</a> \
                 has them.</p>",
                count(more as u64)
            );
        }
    }

    fn write_workers(&self, out: &mut String) {
        out.push_str(
            "<table><thead><tr><th scope=\"col\">Name</th>\
             <th scope=\"col\" class=\"number\">Process</th>\
             <th scope=\"col\" class=\"number\">Threads</th>\
             <th scope=\"col\" class=\"number\">Tasks ended</th>\
             <th scope=\"col\">State</th></tr></thead>\n<tbody>\n",
        );
        for worker in &self.workers {
            let _ = writeln!(
                out,
                "<tr><th scope=\"row\">{}</th><td class=\"number\">{}</td>\
                 <td class=\"number\">{}</td><td class=\"number\">{}</td>\
                 <td{}>{}</td></tr>",
                escaped(&shortened(&worker.name)),
                worker.pid,
                worker.threads,
                count(worker.ended),
                if worker.stopped.is_some() { " class=\"bad\"" } else { "" },
                worker
                    .stopped
                    .map_or("runs".to_owned(), |time| format!("stopped for {}", duration(time)))
            );
        }
        out.push_str("</tbody></table>\n");
    }
}

/// Text that HTML shows as it is, also in attributes.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(character),
        }
    }
    out
}

fn shortened(name: &str) -> String {
    if name.chars().count() <= LONGEST_NAME {
        return name.to_owned();
    }
    let start: String = name.chars().take(LONGEST_NAME - 1).collect();
    start + "…"
}

/// A number with its thousands apart.
fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn bytes(number: u64) -> String {
    let mut size = number as f64;
    for unit in ["B", "kiB", "MiB", "GiB"] {
        if size < 1024.0 {
            return if unit == "B" { format!("{size:.0} B") } else { format!("{size:.1} {unit}") };
        }
        size /= 1024.0;
    }
    format!("{size:.1} TiB")
}

fn duration(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    match time.as_secs() {
        0 if seconds < 1e-3 => format!("{:.0} µs", seconds * 1e6),
        0 => format!("{:.1} ms", seconds * 1e3),
        whole if whole < 10 => format!("{seconds:.1} s"),
        whole if whole < 60 => format!("{whole} s"),
        whole if whole < 3600 => format!("{} min {} s", whole / 60, whole % 60),
        whole => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}

/// Whether two texts are equal, in a time that does not tell where they differ.
pub fn is_same_secret(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    let differences = one.iter().zip(other).fold(0, |sum, (left, right)| sum | (left ^ right));
    std::hint::black_box(differences) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overview(name: &str) -> Overview {
        Overview {
            age: Duration::from_secs(75),
            workers: vec![WorkerRow {
                name: name.to_owned(),
                pid: 7,
                threads: 2,
                ended: 1234,
                ..WorkerRow::default()
            }],
            groups: vec![GroupRow {
                name: name.to_owned(),
                tasks: 2000,
                finished: 1500,
                processing: 100,
                erred: 1,
                no_worker: 0,
                duration: Some(Duration::from_millis(2)),
            }],
            stored_nbytes: 3 << 20,
            clients: 1,
        }
    }

    #[test]
    fn the_page_says_how_far_it_is() {
        let page = overview("inc").page();
        for text in ["1,500 / 2,000", "2.0 ms", "3.0 MiB", "1 min 15 s", "1 task failed"] {
            assert!(page.contains(text), "{text:?} is not in {page}");
        }
        assert!(page.contains("100 tasks are at the workers, 399 wait"));
    }

    #[test]
    fn a_worker_that_stands_still_is_shown() {
        let mut overview = overview("inc");
        assert!(!overview.page().contains("stopped"));
        overview.workers[0].stopped = Some(Duration::from_secs(3));
        assert!(overview.page().contains("<td class=\"bad\">stopped for 3.0 s</td>"));
        assert!(overview.page().contains("1 worker is stopped"), "{}", overview.page());
    }

    #[test]
    fn names_are_text_whatever_is_in_them() {
        let page = overview("<script>alert(\"1\" & '2')</script>").page();
        assert!(!page.contains("<script>alert"));
        assert!(page.contains("&lt;script&gt;alert(&quot;1&quot; &amp; &#39;2&#39;)"));
        let long = overview(&"é".repeat(1000)).page();
        assert!(long.contains(&("é".repeat(79) + "…</th>")));
    }

    #[test]
    fn a_page_stays_small_however_many_groups_there_are() {
        let mut many = overview("inc");
        many.groups = vec![many.groups[0].clone(); 10_000];
        assert!(many.page().len() < 100_000);
        assert!(many.page().contains("9,900 smaller groups"));
    }

    #[test]
    fn an_empty_cluster_has_a_page() {
        let page = Overview::default().page();
        assert!(page.contains("There is no worker"));
        assert!(page.contains("No tasks are known"));
    }

    #[test]
    fn secrets_are_compared_whole() {
        assert!(is_same_secret(b"abc", b"abc"));
        assert!(!is_same_secret(b"abc", b"abd"));
        assert!(!is_same_secret(b"abc", b"ab"));
        assert!(!is_same_secret(b"", b"a"));
    }
}
