// Keeps the picture of the task stream up to date. While live it asks only for the newest part of the window.
import type { Signal } from "@preact/signals";
import { ask, overview, pace, repeat } from "./api";
import type { Overview, StreamAnswer } from "./schema";
import { joined, type Picture, pictureOf } from "./stream_picture";
import type { TimeWindow } from "./url";

/** Records of a worker may come late: so much of the known end is asked for again. */
const OVERLAP_SECONDS = 1.5;
/** What came later still is mended by asking for the whole window now and then. */
const WHOLE_AGAIN_MS = 15_000;
/** When parts do not fit (rows came, or their order depends on the window), whole windows are asked for, less often. */
const WHOLE_ONLY_MS = 5000;
const WHOLE_PACE_MS = 1000;
const SPANS_OF_LIVE = [10, 20, 30, 60];

export interface Wanted {
  /** Null: follow the run, showing the newest `span` seconds. */
  window: TimeWindow | null;
  span: number | null;
  px: number;
  rows: number;
  offset: number;
  sort: "worker" | "idle";
}

/** Seconds shown while live: a short run fills the picture from the left, a long one moves through it. */
export function liveSpan(now: number, chosen: number | null): number {
  return chosen ?? SPANS_OF_LIVE.find((span) => span >= now) ?? 60;
}

/** The stretch to show when nothing was chosen. A run that rests shows its last work, not an empty end. */
export function liveWindow(current: Overview, chosen: number | null, newest = current.now): TimeWindow {
  const [begin, end] = current.verdict.window ?? [0, 0];
  if (current.state !== "running" && chosen === null && end > begin) return { t0: begin, t1: end };
  const span = liveSpan(current.now, chosen);
  const t1 = Math.max(newest, span);
  return { t0: t1 - span, t1 };
}

export function feedStream(picture: Signal<Picture | null>, wanted: Wanted): () => void {
  let known: Picture | null = null;
  let wholeAt = 0;
  let since: number | null = null;
  let span = 0;
  let settled = false;
  let wholeUntil = wanted.sort === "idle" ? Number.POSITIVE_INFINITY : 0;

  const keep = (next: Picture, version: number, size: number) => {
    known = next;
    since = version;
    picture.value = next;
    return size;
  };

  const question = (window: TimeWindow, px: number) =>
    `stream?t0=${text(window.t0)}&t1=${text(window.t1)}&px=${px}&rows=${wanted.rows}&offset=${wanted.offset}&sort=${wanted.sort}`;

  const whole = async (window: TimeWindow, px: number, abort: AbortSignal) => {
    const unchanged = since !== null && known ? `&since=${since}` : "";
    const answer = await ask<StreamAnswer>(question(window, px) + unchanged, abort);
    if (answer.status !== "new") return answer.status === "same" ? 0 : null;
    wholeAt = Date.now();
    return keep(pictureOf(answer.body), answer.body.version, answer.size);
  };

  /** The newest part on the grid of the known picture, or null when all must be asked for anew. */
  const newest = async (old: Picture, current: Overview, abort: AbortSignal) => {
    const from = Math.max(old.t0, Math.min(old.t1, current.now) - OVERLAP_SECONDS);
    const t0 = old.t0 + Math.floor((from - old.t0) / old.step + 1e-6) * old.step;
    const columns = Math.max(1, Math.ceil((current.now - t0) / old.step));
    const window = { t0, t1: t0 + columns * old.step };
    const answer = await ask<StreamAnswer>(`${question(window, columns)}&since=${since}`, abort);
    if (answer.status !== "new") return answer.status === "same" ? 0 : null;
    const next = joined(old, pictureOf(answer.body), current.now - span);
    if (next) return keep(next, answer.body.version, answer.size);
    known = null;
    since = null;
    wholeUntil = Math.max(wholeUntil, Date.now() + WHOLE_ONLY_MS);
    return answer.size;
  };

  return repeat(
    async (abort) => {
      const current = overview.value;
      if (!current || wanted.px < 1) return 0;
      if (wanted.window) {
        const past = wanted.window.t1 < current.now - 5 || current.state === "ended";
        if (settled && past) return 0;
        const size = await whole(wanted.window, wanted.px, abort);
        settled = size !== null && past;
        return size;
      }
      const window = liveWindow(current, wanted.span);
      if (current.state !== "running") {
        // The last work keeps its place; a version that is the same answers nothing.
        if (known && Math.abs(window.t1 - window.t0 - span) > 1e-6) since = null;
        span = window.t1 - window.t0;
        return whole(window, wanted.px, abort);
      }
      const nextSpan = window.t1 - window.t0;
      const old = known;
      const parts = Date.now() > wholeUntil && Date.now() - wholeAt < WHOLE_AGAIN_MS;
      if (old && nextSpan === span && parts) return newest(old, current, abort);
      span = nextSpan;
      since = null;
      const t1 = Math.max(window.t0 + span / wanted.px, Math.min(window.t1, current.now));
      return whole(
        { t0: window.t0, t1 },
        Math.max(1, Math.round((wanted.px * (t1 - window.t0)) / span)),
        abort,
      );
    },
    () => {
      // Before the first answer there is no window yet.
      if (!overview.value) return 100;
      const slowly = wanted.window !== null || Date.now() < wholeUntil;
      return slowly ? Math.max(WHOLE_PACE_MS, pace()) : pace();
    },
  );
}

function text(seconds: number): string {
  return String(Number(seconds.toFixed(9)));
}
