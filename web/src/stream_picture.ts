// What is known of the task stream for one stretch of time: tiles (a colour and a busy share per step) or single spans.
// New parts are joined at the right, so that a live page asks only for what it has not seen.
import type { Spans, StreamAnswer, StreamRow } from "./schema";
import type { TimeWindow } from "./url";

/** Stands for "packing results" where tiles hold a group. */
export const PACKING = 65535;
export const KIND_FAILED = 1;
export const KIND_PACKING = 2;
export const KIND_RUNNING = 3;
export const ERROR_FLAG = 1;
/** The first column of a task that is wide enough to be told from the one before. */
export const EDGE_FLAG = 2;
const WIDE_ENOUGH = 4;
/** Above this many spans the server sends tiles; asking anew for the whole window lets it decide. */
const MOST_SPANS = 30_000;

/** One value per row and column: group + 1 (0: none), busy share of 255, flags. */
export interface Tiles {
  columns: number;
  group: Uint16Array;
  busy: Uint8Array;
  flags: Uint8Array;
}

export interface Picture {
  t0: number;
  t1: number;
  step: number;
  rows: StreamRow[];
  rowsTotal: number;
  groups: StreamAnswer["groups"];
  tiles: Tiles | null;
  spans: Spans | null;
  oldest: number;
  dropped: number;
}

export function pictureOf(answer: StreamAnswer): Picture {
  return {
    t0: answer.t0,
    t1: answer.t1,
    step: answer.step,
    rows: answer.rows,
    rowsTotal: answer.rows_total,
    groups: answer.groups,
    tiles: answer.mode === "tiles" ? decoded(answer) : null,
    spans: answer.mode === "spans" ? (answer.spans ?? noSpans()) : null,
    oldest: answer.oldest ?? 0,
    dropped: answer.dropped,
  };
}

/** The picture with a newer part joined, from `from` on; null when they do not fit and all must be asked for anew. */
export function joined(old: Picture, part: Picture, from: number): Picture | null {
  if (!sameRows(old.rows, part.rows) || part.t0 > old.t1 + old.step / 2 || part.t0 < old.t0 - old.step / 2)
    return null;
  const groups = { ...old.groups, ...part.groups };
  const shared = { ...part, groups, step: old.step };
  if (old.spans) {
    if (!part.spans) return null;
    const spans = joinedSpans(old.spans, part.spans, part.t0, from);
    return spans.row.length > MOST_SPANS ? null : { ...shared, t0: Math.max(old.t0, from), spans };
  }
  if (!old.tiles) return null;
  // The server may have chosen other steps for the part: it is sampled on the grid of the old picture.
  const at = Math.ceil((part.t0 - old.t0) / old.step - 1e-6);
  const begin = old.t0 + at * old.step;
  const columns = Math.max(0, Math.floor((part.t1 - begin) / old.step + 1e-6));
  if (columns === 0) return old;
  const fresh = sampled(part, { t0: begin, t1: begin + columns * old.step }, columns);
  const first = Math.min(at, Math.max(0, Math.floor((from - old.t0) / old.step + 1e-6)));
  const t0 = old.t0 + first * old.step;
  const tiles = joinedTiles(old.tiles, fresh, part.rows.length, first, at);
  return { ...shared, t0, t1: t0 + tiles.columns * old.step, tiles, spans: null };
}

/** The picture as one column per pixel of `window`. */
export function sampled(picture: Picture, window: TimeWindow, columns: number): Tiles {
  if (picture.spans) return binned(picture.spans, picture.rows.length, window, columns);
  const tiles = emptyTiles(picture.rows.length, columns);
  const source = picture.tiles;
  if (!source) return tiles;
  const perColumn = (window.t1 - window.t0) / columns / picture.step;
  const begin = (window.t0 - picture.t0) / picture.step;
  for (let x = 0; x < columns; x++) {
    const first = Math.floor(begin + x * perColumn + 1e-6);
    const last = Math.max(first, Math.ceil(begin + (x + 1) * perColumn - 1e-6) - 1);
    if (last < 0 || first >= source.columns) continue;
    for (let row = 0; row < picture.rows.length; row++)
      takeColumn(tiles, source, row, x, Math.max(0, first), last);
  }
  return tiles;
}

function takeColumn(tiles: Tiles, source: Tiles, row: number, x: number, first: number, last: number): void {
  const base = row * source.columns;
  const end = Math.min(last, source.columns - 1);
  let busiest = -1;
  let group = 0;
  let sum = 0;
  let flags = 0;
  for (let i = first; i <= end; i++) {
    const busy = source.busy[base + i] ?? 0;
    sum += busy;
    flags |= source.flags[base + i] ?? 0;
    if (busy > busiest && source.group[base + i]) {
      busiest = busy;
      group = source.group[base + i] ?? 0;
    }
  }
  const at = row * tiles.columns + x;
  tiles.group[at] = group;
  tiles.busy[at] = sum / (end - first + 1);
  tiles.flags[at] = flags;
}

/** Single spans as tiles: the group with the largest share of a column gives it its colour. */
export function binned(spans: Spans, rows: number, window: TimeWindow, columns: number): Tiles {
  const tiles = emptyTiles(rows, columns);
  const total = new Float32Array(rows * columns);
  const largest = new Float32Array(rows * columns);
  const scale = columns / (window.t1 - window.t0);
  for (let i = 0; i < spans.row.length; i++) {
    const start = (at(spans.start, i) - window.t0) * scale;
    const end = start + at(spans.duration, i) * scale;
    const row = at(spans.row, i);
    if (end <= 0 || start >= columns || row >= rows) continue;
    const group = spans.kind[i] === KIND_PACKING ? PACKING : at(spans.group, i) + 1;
    const first = Math.max(0, Math.floor(start));
    const last = Math.min(columns - 1, Math.max(first, Math.ceil(end) - 1));
    for (let x = first; x <= last; x++) {
      const share = Math.max(0.02, Math.min(end, x + 1) - Math.max(start, x));
      const cell = row * columns + x;
      total[cell] = (total[cell] ?? 0) + share;
      if (share > (largest[cell] ?? 0)) {
        largest[cell] = share;
        tiles.group[cell] = group;
      }
      if (spans.kind[i] === KIND_FAILED) tiles.flags[cell] = (tiles.flags[cell] ?? 0) | ERROR_FLAG;
    }
    const edge = row * columns + first;
    if (start >= 0 && end - start >= WIDE_ENOUGH) tiles.flags[edge] = (tiles.flags[edge] ?? 0) | EDGE_FLAG;
  }
  for (let cell = 0; cell < total.length; cell++)
    tiles.busy[cell] = Math.min(255, Math.round((total[cell] ?? 0) * 255));
  return tiles;
}

/** Position in the spans of what runs in `row` at `time`, or -1. */
export function spanAt(spans: Spans, row: number, time: number, slack: number): number {
  let best = -1;
  for (let i = 0; i < spans.row.length; i++) {
    if (spans.row[i] !== row) continue;
    const start = at(spans.start, i);
    if (start - slack <= time && time <= start + at(spans.duration, i) + slack) best = i;
    if (start <= time && time <= start + at(spans.duration, i)) return i;
  }
  return best;
}

export interface RowSummary {
  row: StreamRow;
  busy: number;
  group: number | null;
  errors: boolean;
}

/** What a table can say of a picture: per row the busy share and the group that took most of it. */
export function summary(picture: Picture, window: TimeWindow): RowSummary[] {
  const tiles = sampled(picture, window, 400);
  return picture.rows.map((row, r) => {
    const perGroup = new Map<number, number>();
    let busy = 0;
    let errors = false;
    for (let x = r * 400; x < (r + 1) * 400; x++) {
      const group = tiles.group[x] ?? 0;
      busy += tiles.busy[x] ?? 0;
      if ((tiles.flags[x] ?? 0) & ERROR_FLAG) errors = true;
      if (group && group !== PACKING)
        perGroup.set(group - 1, (perGroup.get(group - 1) ?? 0) + (tiles.busy[x] ?? 0));
    }
    const most = [...perGroup].sort((a, b) => b[1] - a[1])[0];
    return { row, busy: busy / 255 / 400, group: most?.[0] ?? null, errors };
  });
}

function decoded(answer: StreamAnswer): Tiles {
  const bytes = unpacked(answer.group);
  const busy = unpacked(answer.busy);
  const group = new Uint16Array(busy.length);
  for (let i = 0; i < group.length; i++) group[i] = (bytes[2 * i] ?? 0) | ((bytes[2 * i + 1] ?? 0) << 8);
  const flags = unpacked(answer.flags);
  return { columns: answer.px, group, busy, flags: flags.length ? flags : new Uint8Array(busy.length) };
}

function unpacked(text: string | undefined): Uint8Array {
  const binary = atob(text ?? "");
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

function joinedTiles(old: Tiles, part: Tiles, rows: number, first: number, where: number): Tiles {
  const columns = where + part.columns - first;
  const tiles = emptyTiles(rows, columns);
  for (let row = 0; row < rows; row++) {
    for (const name of ["group", "busy", "flags"] as const) {
      const kept = old[name].subarray(
        row * old.columns + first,
        row * old.columns + Math.min(where, old.columns),
      );
      tiles[name].set(kept, row * columns);
      tiles[name].set(
        part[name].subarray(row * part.columns, (row + 1) * part.columns),
        row * columns + where - first,
      );
    }
  }
  return tiles;
}

function joinedSpans(old: Spans, part: Spans, border: number, from: number): Spans {
  const spans = noSpans();
  const names = ["row", "start", "duration", "group", "kind", "task"] as const;
  for (let i = 0; i < old.row.length; i++) {
    const end = at(old.start, i) + at(old.duration, i);
    // The part knows better of all that reaches into its time, above all of what was running.
    if (end > border || end < from || old.kind[i] === KIND_RUNNING) continue;
    for (const name of names) spans[name].push(at(old[name], i));
  }
  for (let i = 0; i < part.row.length; i++) {
    // What ends just at the border was kept from the old one.
    if (at(part.start, i) + at(part.duration, i) <= border) continue;
    for (const name of names) spans[name].push(at(part[name], i));
  }
  return spans;
}

function sameRows(one: StreamRow[], other: StreamRow[]): boolean {
  return (
    one.length === other.length &&
    one.every((row, i) => row.id === other[i]?.id && row.merged === other[i]?.merged)
  );
}

function emptyTiles(rows: number, columns: number): Tiles {
  const cells = rows * columns;
  return {
    columns,
    group: new Uint16Array(cells),
    busy: new Uint8Array(cells),
    flags: new Uint8Array(cells),
  };
}

function noSpans(): Spans {
  return { row: [], start: [], duration: [], group: [], kind: [], task: [] };
}

function at(list: ArrayLike<number>, index: number): number {
  return list[index] ?? 0;
}
