//! What a task prints in a worker process: put together to lines, counted, limited.

use std::time::Instant;

use bytes::Bytes;

/// Kinds of output, as in `_output.py`. The first two are texts, by their place in [`Printed`].
pub(crate) const STDERR: u8 = 1;
/// Counts lines that were left out.
const LEFT_OUT: u8 = 4;
/// Text without a line end is kept so long, in bytes.
const LONGEST_LINE: usize = 8 << 10;
/// Bytes that count as a line more.
const LINE_BYTES: usize = 1 << 10;
/// Lines may come at once that the rate allows in so many seconds.
const BURST_SECONDS: f64 = 10.0;

/// How many lines a worker may still say.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    /// Lines a second; 0 allows any number.
    rate: f64,
    left: f64,
    filled: Option<Instant>,
    /// Whether it was used up, and is not open again.
    is_used_up: bool,
}

impl Budget {
    pub(crate) fn new(rate: f64) -> Self {
        Self { rate, left: rate * BURST_SECONDS, ..Self::default() }
    }

    /// Whether so many lines may be said now. Once used up it opens again with the lines of a second,
    /// so that what is left out is told seldom.
    fn allows(&mut self, lines: usize, now: Instant) -> bool {
        if self.rate <= 0.0 {
            return true;
        }
        let passed = self.filled.map_or(0.0, |filled| (now - filled).as_secs_f64());
        self.filled = Some(now);
        self.left = (self.left + passed * self.rate).min(self.rate * BURST_SECONDS);
        let lines = lines as f64;
        self.is_used_up =
            if self.is_used_up { self.left < self.rate.max(lines) } else { self.left < lines };
        if self.is_used_up {
            return false;
        }
        self.left -= lines;
        true
    }
}

/// What a task has printed and not said.
#[derive(Debug, Default)]
pub(crate) struct Printed {
    /// Texts without a line end: of `sys.stdout` and of `sys.stderr`.
    texts: [String; 2],
    left_out: u64,
}

impl Printed {
    /// Takes in text; appends what is to be said to `out`: all complete lines.
    pub(crate) fn add(
        &mut self,
        kind: u8,
        text: &str,
        budget: &mut Budget,
        now: Instant,
        out: &mut Vec<Bytes>,
    ) {
        let pending = &mut self.texts[usize::from(kind.min(STDERR))];
        let complete = match text.rfind('\n') {
            Some(end) => end + 1,
            None if pending.len() + text.len() > LONGEST_LINE => text.len(),
            None => 0,
        };
        if complete == 0 {
            pending.push_str(text);
            return;
        }
        let mut lines = std::mem::replace(pending, text[complete..].to_owned());
        lines.push_str(&text[..complete]);
        self.say_text(kind, &lines, budget, now, out);
    }

    /// Says text that has no line end yet.
    pub(crate) fn flush(
        &mut self,
        kind: u8,
        budget: &mut Budget,
        now: Instant,
        out: &mut Vec<Bytes>,
    ) {
        let text = std::mem::take(&mut self.texts[usize::from(kind.min(STDERR))]);
        if !text.is_empty() {
            self.say_text(kind, &text, budget, now, out);
        }
    }

    /// The task has ended: says the rest.
    pub(crate) fn end(mut self, budget: &mut Budget, now: Instant, out: &mut Vec<Bytes>) {
        for kind in 0..=STDERR {
            self.flush(kind, budget, now, out);
        }
        self.tell_left_out(out);
    }

    fn say_text(
        &mut self,
        kind: u8,
        text: &str,
        budget: &mut Budget,
        now: Instant,
        out: &mut Vec<Bytes>,
    ) {
        let mut allowed = 0;
        for line in text.split_inclusive('\n') {
            if !budget.allows(1 + line.len() / LINE_BYTES, now) {
                break;
            }
            allowed += line.len();
        }
        if allowed > 0 {
            self.tell_left_out(out);
            out.push(body(kind, &text.as_bytes()[..allowed]));
        }
        self.left_out += text[allowed..].split_inclusive('\n').count() as u64;
    }

    /// Says something that is no text, such as a record of a log, after the texts before it.
    pub(crate) fn say(
        &mut self,
        kind: u8,
        content: &[u8],
        budget: &mut Budget,
        now: Instant,
        out: &mut Vec<Bytes>,
    ) {
        if budget.allows(1 + content.len() / LINE_BYTES, now) {
            self.tell_left_out(out);
            out.push(body(kind, content));
        } else {
            self.left_out += 1;
        }
    }

    fn tell_left_out(&mut self, out: &mut Vec<Bytes>) {
        let count = std::mem::take(&mut self.left_out);
        if count > 0 {
            out.push(body(LEFT_OUT, &count.to_le_bytes()));
        }
    }
}

fn body(kind: u8, content: &[u8]) -> Bytes {
    let mut body = Vec::with_capacity(1 + content.len());
    body.push(kind);
    body.extend_from_slice(content);
    body.into()
}

/// What a message of a worker says.
pub(crate) enum Piece<'a> {
    /// Text for a stream.
    Text(u8, &'a str),
    /// So many lines were left out.
    LeftOut(u8, u64),
    /// A pickle.
    Other(u8, &'a [u8]),
}

/// Reads a message; `None` if it is none.
pub(crate) fn read(body: &[u8]) -> Option<Piece<'_>> {
    let (&kind, content) = body.split_first()?;
    Some(match kind {
        0..=STDERR => Piece::Text(kind, std::str::from_utf8(content).ok()?),
        LEFT_OUT => Piece::LeftOut(kind, u64::from_le_bytes(content.try_into().ok()?)),
        _ => Piece::Other(kind, content),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const STDOUT: u8 = 0;

    fn texts(out: &[Bytes]) -> Vec<String> {
        out.iter()
            .map(|body| match read(body) {
                Some(Piece::Text(_, text)) => text.to_owned(),
                Some(Piece::LeftOut(_, count)) => format!("-{count}"),
                Some(Piece::Other(..)) | None => "?".to_owned(),
            })
            .collect()
    }

    #[test]
    fn lines_go_off_whole_and_the_rest_at_the_end() {
        let (mut printed, mut budget) = (Printed::default(), Budget::new(0.0));
        let now = Instant::now();
        let mut out = Vec::new();
        for text in ["a", " ", "b", "\n", "c"] {
            printed.add(STDOUT, text, &mut budget, now, &mut out);
        }
        assert_eq!(texts(&out), ["a b\n"]);
        printed.add(STDERR, "x\ny", &mut budget, now, &mut out);
        printed.end(&mut budget, now, &mut out);
        assert_eq!(texts(&out), ["a b\n", "x\n", "c", "y"]);
    }

    #[test]
    fn what_is_too_much_is_left_out_and_counted() {
        let (mut printed, mut budget) = (Printed::default(), Budget::new(1.0));
        let now = Instant::now();
        let mut out = Vec::new();
        for _ in 0..15 {
            printed.add(STDOUT, "a\n", &mut budget, now, &mut out);
        }
        assert_eq!(out.len(), 10);
        out.clear();
        // Not one line for each that the budget gains: it opens again with those of a second.
        printed.add(STDOUT, "b\n", &mut budget, now + Duration::from_millis(500), &mut out);
        assert!(out.is_empty());
        printed.add(STDOUT, "c\nd\n", &mut budget, now + Duration::from_secs(2), &mut out);
        assert_eq!(texts(&out), ["-6", "c\nd\n"]);
        printed.add(STDOUT, "e\n", &mut budget, now + Duration::from_secs(2), &mut out);
        printed.end(&mut budget, now, &mut out);
        assert_eq!(texts(&out), ["-6", "c\nd\n", "-1"]);
    }
}
