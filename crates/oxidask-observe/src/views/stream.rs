//! What each thread did in a window of time: as spans where they are few, as pixels where they are many.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use oxidask_protocol::SpanKind;
use serde_json::{Map, Value, json};

use super::{Query, clipped, seconds};
use crate::model::tiles::Cell;
use crate::model::{Model, Span};

/// So many spans are drawn one by one at most.
const MOST_SPANS: usize = 10_000;
/// Rows on a screen, at most; where there are more threads, a row is several.
const MOST_ROWS: usize = 200;
/// Pixels of a row at most.
const MOST_PIXELS: usize = 4000;
/// What is told later than by so many nanoseconds is not found among the newest spans.
const LATENESS_NS: u64 = 2_000_000_000;
/// So long a window is if nobody says how long.
const USUAL_NS: u64 = 30_000_000_000;

/// Which part of the stream is asked for.
#[derive(Clone, Debug)]
pub struct StreamQuery {
    window: Range<u64>,
    pixels: usize,
    rows: usize,
    offset: usize,
    by_idle: bool,
}

impl StreamQuery {
    /// The window that is asked for, or the last one in which something happened.
    pub fn of(query: &Query, model: &Model) -> Self {
        Self {
            window: query.window(model).unwrap_or_else(|| model.last_window(USUAL_NS)),
            pixels: query.pixels.unwrap_or(1000).clamp(1, MOST_PIXELS),
            rows: query.limit.unwrap_or(MOST_ROWS).clamp(1, MOST_ROWS),
            offset: query.offset,
            by_idle: query.sort == "idle",
        }
    }
}

/// What threads did.
pub fn stream(model: &mut Model, query: &StreamQuery) -> Value {
    let order = places(model, query.by_idle);
    let rows_total = order.len();
    // A thread a row; from the first row that is asked for, as many as there is room for.
    let shown: Vec<u32> = order.into_iter().skip(query.offset).take(query.rows).collect();
    let rows: Vec<Value> = shown.iter().map(|&place| row_value(model, place)).collect();
    let window = &query.window;
    let mut groups = BTreeSet::new();
    let mut answer = Map::new();
    if let Some(spans) = few_spans(model, window) {
        answer.insert("mode".to_owned(), json!("spans"));
        let value = spans_value(model, &shown, &spans, window, &mut groups);
        answer.insert("spans".to_owned(), value);
    } else {
        answer.insert("mode".to_owned(), json!("tiles"));
        tiles(model, &shown, query, &mut groups, &mut answer);
    }
    let oldest = model.threads.rows().iter().map(|row| row.strip.oldest_ns()).max().unwrap_or(0);
    let names: Map<String, Value> = groups
        .into_iter()
        .filter_map(|group: u32| {
            let entry = model.groups.get(group as usize)?;
            let value = json!({ "name": clipped(&entry.name), "color": entry.color });
            Some((group.to_string(), value))
        })
        .collect();
    let step = (window.end - window.start) as f64 / query.pixels as f64 / 1e9;
    for (name, value) in [
        ("schema", json!("oxidask.stream/1")),
        ("version", json!(model.version)),
        ("now", json!(seconds(model.now_ns))),
        ("t0", json!(seconds(window.start))),
        ("t1", json!(seconds(window.end))),
        ("step", json!(step)),
        ("px", json!(query.pixels)),
        ("rows_total", json!(rows_total)),
        ("rows", json!(rows)),
        ("groups", Value::Object(names)),
        ("oldest", json!(seconds(oldest))),
        ("dropped", json!(model.dropped)),
    ] {
        answer.insert(name.to_owned(), value);
    }
    Value::Object(answer)
}

/// Threads in the order of their rows.
fn places(model: &Model, by_idle: bool) -> Vec<u32> {
    let mut order: Vec<u32> = model.threads.in_order().collect();
    if by_idle {
        let busy = |place: &u32| model.threads.rows()[*place as usize].busy;
        order.sort_by(|a, b| busy(a).total_cmp(&busy(b)));
    }
    order
}

fn row_value(model: &Model, place: u32) -> Value {
    let row = &model.threads.rows()[place as usize];
    let name = model.workers.get(&row.worker).map_or_else(String::new, |one| clipped(&one.name));
    json!({
        "id": place,
        "worker": row.worker.0,
        "name": name,
        "thread": row.thread,
        "merged": 1,
        "left": row.ended_ns.map(seconds),
    })
}

/// The spans of a window, if all of them are there and not too many.
fn few_spans(model: &Model, window: &Range<u64>) -> Option<Vec<Span>> {
    let mut found = Vec::new();
    let mut is_whole = model.old_spans == 0;
    for span in model.spans.iter().rev() {
        if span.end_ns + LATENESS_NS < window.start {
            is_whole = true;
            break;
        }
        if span.begin_ns < window.end && span.end_ns > window.start {
            found.push(*span);
            if found.len() > MOST_SPANS {
                return None;
            }
        }
    }
    is_whole.then_some(found)
}

fn spans_value(
    model: &Model,
    shown: &[u32],
    spans: &[Span],
    window: &Range<u64>,
    groups: &mut BTreeSet<u32>,
) -> Value {
    let row_of: BTreeMap<u32, usize> =
        shown.iter().enumerate().map(|(row, &place)| (place, row)).collect();
    let (mut rows, mut starts, mut durations) = (Vec::new(), Vec::new(), Vec::new());
    let (mut group, mut kinds, mut tasks) = (Vec::new(), Vec::new(), Vec::new());
    let mut add = |row: usize, begin_ns: u64, end_ns: u64, of: u32, kind: u8, task: u32| {
        rows.push(row);
        starts.push(seconds(begin_ns));
        durations.push(seconds(end_ns - begin_ns));
        group.push(of);
        kinds.push(kind);
        tasks.push(task);
        groups.insert(of);
    };
    for span in spans.iter().rev() {
        let Some(&row) = row_of.get(&span.row) else { continue };
        let kind = match span.kind {
            SpanKind::Compute => 0,
            SpanKind::Failed => 1,
            SpanKind::Pack => 2,
            SpanKind::Stopped => 4,
        };
        add(row, span.begin_ns, span.end_ns, span.group.0, kind, span.task);
    }
    for (row, &place) in shown.iter().enumerate() {
        let entry = &model.threads.rows()[place as usize];
        if let Some((task, since_ns)) = entry.running()
            && since_ns < window.end.min(model.now_ns)
        {
            add(row, since_ns, model.now_ns, task.group.0, 3, task.task);
        }
    }
    json!({
        "row": rows,
        "start": starts,
        "duration": durations,
        "group": group,
        "kind": kinds,
        "task": tasks,
    })
}

fn tiles(
    model: &mut Model,
    shown: &[u32],
    query: &StreamQuery,
    groups: &mut BTreeSet<u32>,
    answer: &mut Map<String, Value>,
) {
    let pixels = query.pixels;
    let mut colors = Vec::with_capacity(shown.len() * pixels * 2);
    let mut busy = Vec::with_capacity(shown.len() * pixels);
    let mut flags = Vec::with_capacity(shown.len() * pixels);
    let now_ns = model.now_ns;
    for &place in shown {
        let row = model.threads.row_mut(place);
        let mut cells = row.strip.draw(&query.window, pixels);
        if let Some((group, stretch)) = row.undrawn(now_ns) {
            draw_open(&mut cells, group.0, &stretch, &query.window);
        }
        for cell in cells {
            if cell.group > 0 {
                groups.insert(u32::from(cell.group) - 1);
            }
            colors.extend(cell.group.to_le_bytes());
            busy.push(cell.busy);
            flags.push(u8::from(cell.has_failed));
        }
    }
    for (name, bytes) in [("group", &colors), ("busy", &busy), ("flags", &flags)] {
        answer.insert(name.to_owned(), json!(base64(bytes)));
    }
}

/// Draws what a thread runs now, and has not ended.
fn draw_open(cells: &mut [Cell], group: u32, stretch: &Range<u64>, window: &Range<u64>) {
    let width = (window.end - window.start) as f64 / cells.len() as f64;
    let place = |at_ns: u64| (at_ns.saturating_sub(window.start) as f64 / width) as usize;
    let last = place(stretch.end.min(window.end)).min(cells.len());
    for cell in &mut cells[place(stretch.start).min(last)..last] {
        if cell.group == 0 {
            let group = group.min(crate::model::tiles::LAST_GROUP) as u16 + 1;
            *cell = Cell { group, busy: 255, has_failed: false };
        }
    }
}

/// Bytes as text, as RFC 4648 has it.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |place| u32::from(chunk.get(place).copied().unwrap_or(0));
        let word = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            if place <= chunk.len() {
                text.push(char::from(LETTERS[(word >> (18 - 6 * place)) as usize & 63]));
            } else {
                text.push('=');
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_become_text() {
        let texts: Vec<String> =
            ["", "f", "fo", "foo", "foob"].iter().map(|text| base64(text.as_bytes())).collect();
        assert_eq!(texts, ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg=="]);
    }
}
