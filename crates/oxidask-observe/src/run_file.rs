//! Run files: all that a [`Model`] was told, so that the same one can be made again.
//!
//! A file is a head and then frames, each a second or so of [`News`]: its length, a checksum, and a
//! compressed batch. It is only ever appended to, so a program that is killed leaves all frames but the
//! last. Spans are most of it: they stand in columns, as differences, and cost about ten bytes each.

use std::collections::BTreeMap;

use miniz_oxide::deflate::compress_to_vec;
use miniz_oxide::inflate::decompress_to_vec_with_limit;
use oxidask_protocol::{GroupId, GroupTally, Record, RecordBody, SpanKind, TaskId, WorkerId};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::model::Model;
use crate::news::{Gap, News, Notice, Sight};

/// How each file begins. Programs that take it for text damage it visibly.
pub const MAGIC: [u8; 8] = *b"OXRUN\r\n\0";
/// The version of what follows: it is another one as soon as news are written differently.
pub const VERSION: u32 = 1;
/// Bytes of the head: what files begin with, and the version.
pub const HEAD: usize = MAGIC.len() + 4;

/// Bytes before each frame's: its length and checksum.
const FRAME_HEAD: usize = 4 + 8;
/// Bytes of a frame at most, as it stands in the file and unpacked. No writer comes near.
const LONGEST_FRAME: usize = 1 << 26;
const LONGEST_BATCH: usize = 1 << 28;
/// Spans from which on a batch becomes a frame, however short a time it has been.
const MOST_SPANS: usize = 1 << 16;
/// The level of compression: the least. Higher ones take several times as long for a tenth less.
const LEVEL: u8 = 1;
/// Nanoseconds between looks at the cluster that are kept once a file is full.
const SELDOM_NS: u64 = 250_000_000;
/// What makes sense in a file: groups, threads of a worker, and nanoseconds (some ten years).
const MOST_GROUPS: u32 = 1 << 22;
const MOST_THREADS: u32 = 1 << 14;
const LONGEST_NS: u64 = 300_000_000_000_000_000;

/// Why something is no run file that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunFileError {
    /// It does not begin as one.
    #[error("it is no run file: LocalCluster(record=...) writes them")]
    NotOne,
    /// Another version of Oxidask has written it.
    #[error(
        "it is a run file of version {0}, and this Oxidask reads version {VERSION}: read it with the \
         Oxidask that wrote it"
    )]
    OtherVersion(u32),
}

/// A batch of news, as it is written.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Batch {
    /// Threads that are new: their spans name them by their place.
    places: Vec<(WorkerId, u32)>,
    entries: Vec<Entry>,
    spans: Columns,
}

/// One [`News`] without its spans, which stand in the columns.
#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    /// Nanoseconds since the one before.
    after_ns: i64,
    spans: u32,
    groups: Vec<(GroupId, GroupTally)>,
    notices: Vec<(u64, Notice)>,
    look: Look,
    dropped: u64,
}

/// A look at the cluster.
#[derive(Debug, Serialize, Deserialize)]
enum Look {
    None,
    /// All was as the last time.
    Same,
    New(Sight),
}

/// Spans by columns. What is like the span before on the same thread is a small number.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Columns {
    places: Vec<u32>,
    kinds: Vec<SpanKind>,
    groups: Vec<u32>,
    /// Numbers of tasks: how much larger.
    tasks: Vec<i32>,
    /// Nanoseconds from the end of the last span to the beginning of this one.
    gaps_ns: Vec<i64>,
    durations_ns: Vec<u64>,
    nbytes: Vec<u64>,
}

impl Columns {
    fn are_equally_long(&self) -> bool {
        let length = self.places.len();
        self.kinds.len() == length
            && self.groups.len() == length
            && self.tasks.len() == length
            && self.gaps_ns.len() == length
            && self.durations_ns.len() == length
            && self.nbytes.len() == length
    }
}

/// A thread, and its last span.
#[derive(Clone, Copy, Debug)]
struct Place {
    worker: WorkerId,
    thread: u32,
    task: u32,
    end_ns: u64,
}

impl Place {
    const fn new(worker: WorkerId, thread: u32) -> Self {
        Self { worker, thread, task: 0, end_ns: 0 }
    }
}

/// Writes a run file.
#[derive(Debug)]
pub struct Writer {
    places: Vec<Place>,
    place_of: BTreeMap<(WorkerId, u32), u32>,
    batch: Batch,
    at_ns: u64,
    sight: Option<Sight>,
    seen_ns: u64,
    /// Whether the batch has more in it than looks that saw nothing new.
    has_news: bool,
    /// Bytes that wait to be taken, of which all but the batch is encoded.
    bytes: Vec<u8>,
    /// Bytes so far, and from how many on spans are left out.
    written: u64,
    room: u64,
    is_full: bool,
    left_out: u64,
}

impl Writer {
    /// A file of about so many bytes at most: from then on spans are left out.
    pub fn new(room: u64) -> Self {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(VERSION.to_le_bytes());
        Self {
            places: Vec::new(),
            place_of: BTreeMap::new(),
            batch: Batch::default(),
            at_ns: 0,
            sight: None,
            seen_ns: 0,
            has_news: false,
            written: bytes.len() as u64,
            bytes,
            room,
            is_full: false,
            left_out: 0,
        }
    }

    /// Takes in what has happened. Of its records only spans are kept: nobody hears others.
    pub fn add(&mut self, news: &News) {
        let mut notices = news.notices.clone();
        if !self.is_full && self.written >= self.room {
            self.is_full = true;
            let text = "the run file is full: from here on it has no spans".to_owned();
            notices.push((news.at_ns, Notice::Gap { gap: Gap::Full, text }));
        }
        let before = self.batch.spans.places.len();
        for record in &news.records {
            self.add_span(record);
        }
        let spans = (self.batch.spans.places.len() - before) as u32;
        let look = self.look(news);
        let is_new = spans > 0 || !news.groups.is_empty() || !notices.is_empty();
        self.has_news |= is_new || matches!(look, Look::New(_));
        if !is_new && matches!(look, Look::None) {
            return;
        }
        let after_ns = news.at_ns.wrapping_sub(self.at_ns) as i64;
        self.at_ns = news.at_ns;
        let (groups, dropped) = (news.groups.clone(), news.dropped + self.left_out);
        self.batch.entries.push(Entry { after_ns, spans, groups, notices, look, dropped });
        if self.batch.spans.places.len() >= MOST_SPANS {
            self.end_frame();
        }
    }

    /// Whether something waits that should not be lost. Looks that saw nothing new may wait.
    pub fn has_news(&self) -> bool {
        self.has_news || !self.bytes.is_empty()
    }

    /// The bytes that come next in the file: all that was added.
    pub fn take(&mut self) -> Vec<u8> {
        if !self.batch.entries.is_empty() {
            self.end_frame();
        }
        std::mem::take(&mut self.bytes)
    }

    fn look(&mut self, news: &News) -> Look {
        let Some(sight) = &news.sight else { return Look::None };
        if self.is_full && news.at_ns < self.seen_ns + SELDOM_NS {
            return Look::None;
        }
        self.seen_ns = news.at_ns;
        if self.sight.as_ref() == Some(sight) {
            return Look::Same;
        }
        self.sight = Some(sight.clone());
        Look::New(sight.clone())
    }

    fn add_span(&mut self, record: &Record) {
        let RecordBody::Span { kind, task, group, worker, thread, nbytes, duration_ns } =
            record.body
        else {
            return;
        };
        if self.is_full {
            self.left_out += 1;
            return;
        }
        let (places, new) = (&mut self.places, &mut self.batch.places);
        let number = *self.place_of.entry((worker, thread)).or_insert_with(|| {
            places.push(Place::new(worker, thread));
            new.push((worker, thread));
            places.len() as u32 - 1
        });
        let place = &mut self.places[number as usize];
        let begin_ns = record.at_ns.wrapping_sub(duration_ns);
        let columns = &mut self.batch.spans;
        columns.places.push(number);
        columns.kinds.push(kind);
        columns.groups.push(group.0);
        columns.tasks.push(task.0.wrapping_sub(place.task) as i32);
        columns.gaps_ns.push(begin_ns.wrapping_sub(place.end_ns) as i64);
        columns.durations_ns.push(duration_ns);
        columns.nbytes.push(nbytes);
        (place.task, place.end_ns) = (task.0, record.at_ns);
    }

    fn end_frame(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        let plain = postcard::to_stdvec(&batch).expect("a batch is numbers, texts and lists");
        let packed = compress_to_vec(&plain, LEVEL);
        self.bytes.extend((packed.len() as u32).to_le_bytes());
        self.bytes.extend(xxh3_64(&packed).to_le_bytes());
        self.bytes.extend(&packed);
        self.written += (FRAME_HEAD + packed.len()) as u64;
        self.has_news = false;
    }
}

/// Reads a run file, in pieces of any length.
#[derive(Debug, Default)]
pub struct Reader {
    places: Vec<Place>,
    at_ns: u64,
    sight: Sight,
    /// Bytes that are not a whole frame yet.
    rest: Vec<u8>,
    has_head: bool,
    is_damaged: bool,
}

impl Reader {
    /// Takes in the next bytes, and tells the model of all frames that are whole now. What comes after
    /// a damaged frame is left out.
    ///
    /// # Errors
    ///
    /// If it is no run file of this version.
    pub fn read(&mut self, bytes: &[u8], model: &mut Model) -> Result<(), RunFileError> {
        if self.is_damaged {
            return Ok(());
        }
        self.rest.extend(bytes);
        let mut at = 0;
        if !self.has_head {
            let Some(head) = self.rest.get(..HEAD) else { return Ok(()) };
            check_head(head)?;
            self.has_head = true;
            at = HEAD;
        }
        while let Some(head) = self.rest.get(at..at + FRAME_HEAD) {
            let length = u32::from_le_bytes(head[..4].try_into().expect("four bytes")) as usize;
            let sum = u64::from_le_bytes(head[4..].try_into().expect("eight bytes"));
            if length > LONGEST_FRAME {
                self.is_damaged = true;
                break;
            }
            let begin = at + FRAME_HEAD;
            let Some(packed) = self.rest.get(begin..begin + length) else { break };
            let batch = if xxh3_64(packed) == sum { unpacked(packed) } else { None };
            match batch.and_then(|batch| self.news_of(batch)) {
                Some(all) => all.iter().for_each(|news| model.hear(news)),
                None => self.is_damaged = true,
            }
            if self.is_damaged {
                break;
            }
            at = begin + length;
        }
        self.rest.drain(..at);
        Ok(())
    }

    /// There are no more bytes: the run has ended, and the model says what is missing.
    ///
    /// # Errors
    ///
    /// If it was no run file.
    pub fn end(self, model: &mut Model) -> Result<(), RunFileError> {
        if !self.has_head {
            return Err(RunFileError::NotOne);
        }
        let at_ns = model.now_ns;
        let mut notices = Vec::new();
        if self.is_damaged || !self.rest.is_empty() {
            let text = "the run file is damaged from here on: the rest of the run is not in it";
            notices.push((at_ns, Notice::Gap { gap: Gap::Torn, text: text.to_owned() }));
        } else if !model.has_ended {
            let text =
                "the run file ends here, before the run did: its program was killed, or goes on";
            notices.push((at_ns, Notice::Gap { gap: Gap::Torn, text: text.to_owned() }));
        }
        if !model.has_ended {
            notices.push((at_ns, Notice::Ended));
        }
        if !notices.is_empty() {
            model.hear(&News { at_ns, notices, ..News::default() });
        }
        Ok(())
    }

    /// The news of a batch; none if they make no sense.
    fn news_of(&mut self, batch: Batch) -> Option<Vec<News>> {
        let Batch { places, entries, spans } = batch;
        if !spans.are_equally_long() {
            return None;
        }
        self.places.extend(places.iter().map(|&(worker, thread)| Place::new(worker, thread)));
        let mut all = Vec::with_capacity(entries.len());
        let mut next = 0;
        for entry in entries {
            self.at_ns = self.at_ns.wrapping_add(entry.after_ns as u64);
            let last = next + entry.spans as usize;
            let mut records = Vec::with_capacity((entry.spans as usize).min(spans.places.len()));
            for place in next..last {
                records.push(self.record(&spans, place)?);
            }
            next = last;
            let sight = match entry.look {
                Look::None => None,
                Look::Same => Some(self.sight.clone()),
                Look::New(sight) => {
                    self.sight.clone_from(&sight);
                    Some(sight)
                }
            };
            let Entry { groups, notices, dropped, .. } = entry;
            let news = News { at_ns: self.at_ns, records, groups, notices, sight, dropped };
            if !makes_sense(&news) {
                return None;
            }
            all.push(news);
        }
        Some(all)
    }

    fn record(&mut self, spans: &Columns, at: usize) -> Option<Record> {
        let place = self.places.get_mut(*spans.places.get(at)? as usize)?;
        let duration_ns = spans.durations_ns[at];
        let begin_ns = place.end_ns.wrapping_add(spans.gaps_ns[at] as u64);
        place.end_ns = begin_ns.wrapping_add(duration_ns);
        place.task = place.task.wrapping_add(spans.tasks[at] as u32);
        let body = RecordBody::Span {
            kind: spans.kinds[at],
            task: TaskId(place.task),
            group: GroupId(spans.groups[at]),
            worker: place.worker,
            thread: place.thread,
            nbytes: spans.nbytes[at],
            duration_ns,
        };
        Some(Record { at_ns: place.end_ns, body })
    }
}

fn check_head(head: &[u8]) -> Result<(), RunFileError> {
    let (magic, version) = head.split_at(MAGIC.len());
    if magic != MAGIC {
        return Err(RunFileError::NotOne);
    }
    match u32::from_le_bytes(version.try_into().expect("four bytes")) {
        VERSION => Ok(()),
        other => Err(RunFileError::OtherVersion(other)),
    }
}

fn unpacked(packed: &[u8]) -> Option<Batch> {
    let plain = decompress_to_vec_with_limit(packed, LONGEST_BATCH).ok()?;
    postcard::from_bytes(&plain).ok()
}

/// Whether news are such as a cluster tells: a file may come from anybody, and a model makes room for
/// each group and thread that it hears of.
fn makes_sense(news: &News) -> bool {
    let is_group = |group: GroupId| group.0 < MOST_GROUPS;
    let is_time = |at_ns: u64| at_ns < LONGEST_NS;
    is_time(news.at_ns)
        && news.groups.iter().all(|&(group, _)| is_group(group))
        && news.records.iter().all(|record| match record.body {
            RecordBody::Span { group, thread, .. } => {
                is_group(group) && thread < MOST_THREADS && is_time(record.at_ns)
            }
            _ => true,
        })
        && news.notices.iter().all(|(at_ns, notice)| {
            is_time(*at_ns)
                && match notice {
                    Notice::Group { group, .. } | Notice::Raised { group, .. } => is_group(*group),
                    Notice::Reads { group, input, .. } => is_group(*group) && is_group(*input),
                    Notice::Joined { threads, .. } => *threads < MOST_THREADS,
                    Notice::Shape { base, groups, starts, inputs } => {
                        groups.iter().all(|&group| is_group(group))
                            && is_graph(*base, groups.len(), starts, inputs)
                    }
                    _ => true,
                }
        })
        && news.sight.as_ref().is_none_or(|sight| {
            let threads = || sight.workers.iter().flat_map(|worker| &worker.threads);
            sight.queued < u32::MAX / 2
                && sight.workers.iter().map(|worker| u64::from(worker.processing)).sum::<u64>()
                    < u64::from(u32::MAX / 2)
                && sight.workers.iter().all(|worker| worker.fetching < u32::MAX / 2)
                && threads().all(|one| {
                    one.thread < MOST_THREADS
                        && one.task.as_ref().is_none_or(|task| is_group(task.group))
                })
        })
}

/// Whether rows of inputs are such, and tasks stand behind what they read.
fn is_graph(base: u32, count: usize, starts: &[u32], inputs: &[u32]) -> bool {
    let Some(end) = u32::try_from(count).ok().and_then(|count| base.checked_add(count)) else {
        return false;
    };
    let rows = starts.windows(2).zip(base..end);
    starts.len() == count + 1
        && rows.into_iter().all(|(row, task)| {
            let row = inputs.get(row[0] as usize..row[1] as usize);
            row.is_some_and(|row| row.iter().all(|&input| input < task || input >= end))
        })
}

#[cfg(test)]
mod tests;
