// The task stream: a row per thread, time to the right. Wheel zooms, drag pans, click pins what is under the cursor.
import { type Signal, useComputed, useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useMemo, useRef } from "preact/hooks";
import { overview } from "./api";
import { background, paintOf, parts } from "./colours";
import { axisSeconds, duration, integer, percent, shortName, ticks, wallClock } from "./format";
import { useKeys } from "./keyboard";
import { Name } from "./name";
import type { StreamRow } from "./schema";
import { sharpContext, useWidth } from "./size";
import { drawErrors, drawOpenEnd, image, type Surface } from "./stream_draw";
import { feedStream, liveSpan, liveWindow } from "./stream_feed";
import {
  KIND_FAILED,
  KIND_PACKING,
  KIND_RUNNING,
  PACKING,
  type Picture,
  sampled,
  spanAt,
  summary,
} from "./stream_picture";
import { dark, themeColour } from "./theme";
import { Twin } from "./twin";
import { linkTo, selectedGroup, setQuery, type TimeWindow, timeWindow } from "./url";

export const GUTTER = 124;
const AXIS = 36;
const SHORTEST_SECONDS = 2e-5;
const SETTLED_MS = 300;
const LEGEND_ENTRIES = 16;

interface Tip {
  x: number;
  y: number;
  pinned: boolean;
  row: StreamRow;
  time: number;
  group: number | null;
  lines: string[];
  task: number | null;
}

export interface StreamOptions {
  /** CSS pixels that rows may fill together. */
  height: number;
  sort?: "worker" | "idle";
  /** More controls for the line above the picture. */
  tools?: ComponentChildren;
  /** Told of the window that is drawn, for pictures that share the x axis. */
  onView?: (view: TimeWindow) => void;
}

export function Stream({ height, sort = "worker", tools, onView }: StreamOptions) {
  const [box, width] = useWidth<HTMLDivElement>();
  const canvas = useRef<HTMLCanvasElement>(null);
  const picture = useSignal<Picture | null>(null);
  /** The window while it is being dragged; it moves to the address when the hand rests. */
  const held = useSignal<TimeWindow | null>(null);
  const span = useSignal<number | null>(null);
  const offset = useSignal(0);
  /** From where to where a window is being drawn, in pixels of the plot. */
  const drawn = useSignal<[number, number] | null>(null);
  const tip = useSignal<Tip | null>(null);

  const maximalRows = Math.max(4, Math.min(200, Math.floor(height / 7)));
  const plotWidth = Math.max(0, width.value - GUTTER);
  const chosen = timeWindow.value;
  const view = useComputed<TimeWindow | null>(() => {
    if (held.value) return held.value;
    if (timeWindow.value) return timeWindow.value;
    if (!overview.value) return null;
    // What is drawn follows what has come, or the right edge would flicker between two answers.
    const newest = picture.value
      ? Math.min(overview.value.now, Math.max(picture.value.t1, overview.value.now - 3))
      : undefined;
    return liveWindow(overview.value, span.value, newest);
  });

  useEffect(
    () =>
      feedStream(picture, {
        window: chosen,
        span: span.value,
        px: plotWidth,
        rows: maximalRows,
        offset: offset.value,
        sort,
      }),
    [chosen?.t0, chosen?.t1, span.value, plotWidth, maximalRows, offset.value, sort, picture],
  );

  const tallest = height > 220 ? 36 : 22;
  const rowCount = picture.value?.rows.length ?? 0;
  const rowHeight = Math.max(5, Math.min(tallest, Math.floor(height / Math.max(1, rowCount))));
  useEffect(() => {
    if (!canvas.current || !picture.value || !view.value || plotWidth < 1) return;
    drawStream(
      canvas.current,
      picture.value,
      view.value,
      width.value,
      rowHeight,
      selectedGroup.value,
      overview.value?.started_at ?? 0,
    );
  }, [
    picture.value,
    view.value?.t0,
    view.value?.t1,
    width.value,
    rowHeight,
    selectedGroup.value,
    dark.value,
  ]);

  useEffect(() => {
    if (view.value) onView?.(view.value);
  }, [view.value?.t0, view.value?.t1, onView]);

  const move = useMemo(() => mover(view, held, span), [view, held, span]);
  const turn = (rows: number) => {
    const total = picture.value?.rowsTotal ?? 0;
    offset.value = Math.max(0, Math.min(offset.value + rows, total - maximalRows));
  };
  useKeys({
    "+": () => move.zoom(1 / 1.5),
    "=": () => move.zoom(1 / 1.5),
    "-": () => move.zoom(1.5),
    ArrowLeft: () => move.pan(-0.2),
    ArrowRight: () => move.pan(0.2),
    f: () => move.live(),
    g: () => setQuery({ group: selectedGroup.value === null ? (tip.value?.group ?? null) : null }),
    PageDown: () => turn(maximalRows),
    PageUp: () => turn(-maximalRows),
    Escape: () => {
      if (tip.value) tip.value = null;
      else if (selectedGroup.value !== null) setQuery({ group: null });
    },
  });
  usePointer(
    canvas,
    () => plotWidth,
    view,
    move,
    drawn,
    (x, y, pinned) => {
      if (tip.value?.pinned && !pinned) return;
      tip.value = tipAt(picture.value, view.value, plotWidth, rowHeight, x, y, pinned);
    },
  );

  const sentence = useSentence(picture.value, view.value, held.value !== null);
  const following = !chosen && !held.value;
  return (
    <div class="stream">
      <div class="stream-tools">
        <button
          type="button"
          class={following ? "toggle on" : "toggle"}
          aria-pressed={following}
          onClick={move.live}
          title="follow the run (f)"
        >
          {liveText(following)}
        </button>
        {view.value && <span class="quiet">{windowText(view.value)}</span>}
        {picture.value && picture.value.rowsTotal > rowCount && (
          <span class="pager">
            rows {integer(offset.value + 1)}–{integer(offset.value + rowCount)} of{" "}
            {integer(picture.value.rowsTotal)}
            <button
              type="button"
              onClick={() => turn(-maximalRows)}
              disabled={offset.value === 0}
              aria-label="earlier rows"
            >
              ‹
            </button>
            <button
              type="button"
              onClick={() => turn(maximalRows)}
              disabled={offset.value + rowCount >= picture.value.rowsTotal}
              aria-label="later rows"
            >
              ›
            </button>
          </span>
        )}
        {tools}
      </div>
      <Legend picture={picture} />
      <Twin name="task stream" table={() => <StreamTable picture={picture.value} view={view.value} />}>
        <div class="stream-box" ref={box}>
          <canvas
            ref={canvas}
            hidden={rowCount === 0}
            role="img"
            // Keys move the picture, so it can hold the focus.
            tabIndex={0}
            aria-label={sentence}
          />
          {rowCount === 0 && <p class="quiet">{whyEmpty(picture.value)}</p>}
          {drawn.value && <Selection between={drawn.value} />}
          {tip.value && <Tooltip tip={tip} picture={picture.value} width={width.value} />}
        </div>
      </Twin>
      {picture.value && (picture.value.oldest > (view.value?.t0 ?? 0) || picture.value.dropped > 0) && (
        <p class="quiet">
          {picture.value.oldest > (view.value?.t0 ?? 0) &&
            `Before ${duration(picture.value.oldest)} only coarse detail was kept. `}
          {picture.value.dropped > 0 &&
            `${integer(picture.value.dropped)} records were dropped: the picture has holes.`}
        </p>
      )}
    </div>
  );
}

function Selection({ between }: { between: [number, number] }) {
  const [from, to] = [...between].sort((a, b) => a - b) as [number, number];
  return <div class="selection" style={{ left: `${GUTTER + from}px`, width: `${to - from}px` }} />;
}

/** A run that rests has nothing to follow: the button then goes back to its last work. */
function liveText(following: boolean): string {
  const word = overview.value?.state === "running" ? "Live" : "Latest";
  return following ? `● ${word}` : word;
}

function whyEmpty(picture: Picture | null): string {
  const current = overview.value;
  if (!current || !picture) return "Waiting for the first answer.";
  if (current.workers === 0) return "No worker has joined, so there are no threads to draw.";
  return "No thread has run a task in this window.";
}

function windowText({ t0, t1 }: TimeWindow): string {
  return `${duration(t1 - t0)} shown, from ${duration(Math.max(0, t0))}`;
}

interface Mover {
  zoom(factor: number, at?: number): void;
  pan(share: number): void;
  /** Shows what lies between two shares of the window. */
  select(from: number, to: number): void;
  reset(): void;
  live(): void;
}

function mover(
  view: { readonly value: TimeWindow | null },
  held: Signal<TimeWindow | null>,
  span: Signal<number | null>,
): Mover {
  let timer = 0;
  const hold = (next: TimeWindow) => {
    held.value = bounded(next);
    clearTimeout(timer);
    timer = window.setTimeout(() => {
      if (!held.value) return;
      const { t0, t1 } = held.value;
      setQuery({ t0, t1 });
      held.value = null;
    }, SETTLED_MS);
  };
  const reset = () => {
    clearTimeout(timer);
    held.value = null;
    span.value = null;
    if (timeWindow.value) setQuery({ t0: null, t1: null });
  };
  return {
    zoom(factor, at) {
      const now = view.value;
      if (!now) return;
      const live = !timeWindow.value && !held.value && overview.value?.state === "running";
      if (live && at === undefined) {
        span.value = Math.max(1, Math.min(3600, liveSpan(overview.value?.now ?? 0, span.value) * factor));
        return;
      }
      const place = now.t0 + (now.t1 - now.t0) * (at ?? 0.5);
      hold({ t0: place - (place - now.t0) * factor, t1: place + (now.t1 - place) * factor });
    },
    pan(share) {
      const now = view.value;
      if (!now) return;
      const shift = (now.t1 - now.t0) * share;
      hold({ t0: now.t0 + shift, t1: now.t1 + shift });
    },
    select(from, to) {
      const now = view.value;
      if (!now) return;
      const at = (share: number) => now.t0 + (now.t1 - now.t0) * share;
      clearTimeout(timer);
      held.value = null;
      setQuery({ ...bounded({ t0: at(Math.min(from, to)), t1: at(Math.max(from, to)) }) });
    },
    reset,
    live: reset,
  };
}

/** Keeps a window inside the run, so that nobody gets lost in an empty place. */
function bounded({ t0, t1 }: TimeWindow): TimeWindow {
  const end = Math.max(1, overview.value?.now ?? 1) * 1.02;
  const length = Math.max(SHORTEST_SECONDS, Math.min(t1 - t0, end));
  const middle = (t0 + t1) / 2;
  const start = Math.max(0, Math.min(middle - length / 2, end - length));
  return { t0: start, t1: start + length };
}

function usePointer(
  canvas: { current: HTMLCanvasElement | null },
  plotWidth: () => number,
  view: { readonly value: TimeWindow | null },
  move: Mover,
  drawn: Signal<[number, number] | null>,
  point: (x: number, y: number, pinned: boolean) => void,
): void {
  const latest = useRef({ plotWidth, move, point });
  latest.current = { plotWidth, move, point };
  useEffect(() => {
    const node = canvas.current;
    if (!node) return;
    let drag: { x: number; moved: boolean } | null = null;
    const place = (event: MouseEvent) => {
      const frame = node.getBoundingClientRect();
      return { x: event.clientX - frame.left - GUTTER, y: event.clientY - frame.top };
    };
    const wheel = (event: WheelEvent) => {
      if (!view.value) return;
      event.preventDefault();
      const share = Math.max(0, Math.min(1, place(event).x / latest.current.plotWidth()));
      latest.current.move.zoom(Math.exp(Math.max(-60, Math.min(60, event.deltaY)) * 0.006), share);
    };
    const down = (event: PointerEvent) => {
      node.setPointerCapture(event.pointerId);
      const x = place(event).x;
      if (event.shiftKey && x >= 0) drawn.value = [x, x];
      else drag = { x: event.clientX, moved: false };
    };
    const over = (event: PointerEvent) => {
      if (drawn.value) {
        const x = Math.max(0, Math.min(place(event).x, latest.current.plotWidth()));
        drawn.value = [drawn.value[0], x];
        return;
      }
      if (!drag) {
        const { x, y } = place(event);
        latest.current.point(x, y, false);
        return;
      }
      const shift = event.clientX - drag.x;
      if (!drag.moved && Math.abs(shift) < 4) return;
      drag = { x: event.clientX, moved: true };
      latest.current.move.pan(-shift / latest.current.plotWidth());
    };
    const up = (event: PointerEvent) => {
      if (drawn.value) {
        const [from, to] = drawn.value;
        drawn.value = null;
        const plot = latest.current.plotWidth();
        if (Math.abs(to - from) >= 4) latest.current.move.select(from / plot, to / plot);
        return;
      }
      const { x, y } = place(event);
      if (drag && !drag.moved) latest.current.point(x, y, true);
      drag = null;
    };
    const leave = () => latest.current.point(-1, -1, false);
    const twice = () => {
      latest.current.point(-1, -1, true);
      latest.current.move.reset();
    };
    node.addEventListener("wheel", wheel, { passive: false });
    node.addEventListener("pointerdown", down);
    node.addEventListener("pointermove", over);
    node.addEventListener("pointerup", up);
    node.addEventListener("pointerleave", leave);
    node.addEventListener("dblclick", twice);
    return () => {
      node.removeEventListener("wheel", wheel);
      node.removeEventListener("pointerdown", down);
      node.removeEventListener("pointermove", over);
      node.removeEventListener("pointerup", up);
      node.removeEventListener("pointerleave", leave);
      node.removeEventListener("dblclick", twice);
    };
  }, [canvas, view, drawn]);
}

export function drawStream(
  canvas: HTMLCanvasElement,
  picture: Picture,
  view: TimeWindow,
  width: number,
  rowHeight: number,
  isolated: number | null,
  startedAt: number,
): void {
  const rows = picture.rows.length;
  const target = sharpContext(canvas, width, rows * rowHeight + AXIS);
  if (!target) return;
  const { context, ratio } = target;
  const ground = themeColour("plot");
  const ink = themeColour("ink");
  const surface: Surface = {
    rowHeight: Math.round(rowHeight * ratio),
    gap: rowHeight > 6 ? Math.max(1, Math.round(ratio)) : 0,
    background: parts(ground),
  };
  const left = Math.round(GUTTER * ratio);
  const columns = canvas.width - left;
  context.fillStyle = themeColour("panel");
  context.fillRect(0, 0, canvas.width, canvas.height);
  const tiles = sampled(picture, view, columns);
  context.putImageData(image(tiles, rows, picture.groups, isolated, surface), left, 0);
  drawErrors(context, tiles, rows, left, surface);
  drawRunning(context, picture, view, left, columns, surface, ink);
  drawLabels(context, picture, rowHeight, ratio, ink);
  drawAxis(context, view, { left, columns, top: rows * surface.rowHeight, ratio }, startedAt, ink);
}

function drawRunning(
  context: CanvasRenderingContext2D,
  picture: Picture,
  view: TimeWindow,
  left: number,
  columns: number,
  surface: Surface,
  ink: string,
): void {
  const spans = picture.spans;
  if (!spans) return;
  for (let i = 0; i < spans.row.length; i++) {
    if (spans.kind[i] !== KIND_RUNNING) continue;
    const end = (spans.start[i] ?? 0) + (spans.duration[i] ?? 0);
    const x = ((end - view.t0) / (view.t1 - view.t0)) * columns;
    // One that ran at the last answer still runs at the right edge.
    if (x < 0 || (spans.start[i] ?? 0) > view.t1) continue;
    drawOpenEnd(
      context,
      left + Math.min(x, columns - 8),
      (spans.row[i] ?? 0) * surface.rowHeight,
      surface.rowHeight - surface.gap,
      ink,
    );
  }
}

function drawLabels(
  context: CanvasRenderingContext2D,
  picture: Picture,
  rowHeight: number,
  ratio: number,
  ink: string,
): void {
  context.fillStyle = ink;
  context.font = `${Math.round(11 * ratio)}px system-ui, sans-serif`;
  context.textBaseline = "middle";
  context.save();
  context.beginPath();
  context.rect(0, 0, (GUTTER - 6) * ratio, picture.rows.length * rowHeight * ratio + 6 * ratio);
  context.clip();
  const every = Math.ceil(13 / rowHeight);
  picture.rows.forEach((row, i) => {
    if (i % every === 0) context.fillText(rowLabel(row), 0, (i + every / 2) * rowHeight * ratio);
  });
  context.restore();
}

function rowLabel(row: StreamRow): string {
  const name = shortName(row.name, 11);
  return row.merged > 1 ? `worker ${name} · ${row.merged} thr.` : `worker ${name} · thr. ${row.thread}`;
}

function drawAxis(
  context: CanvasRenderingContext2D,
  view: TimeWindow,
  place: { left: number; columns: number; top: number; ratio: number },
  startedAt: number,
  ink: string,
): void {
  const { left, columns, top, ratio } = place;
  const marks = ticks(view.t0, view.t1, columns / ratio / 110);
  const step = (marks[1] ?? 1) - (marks[0] ?? 0);
  context.fillStyle = ink;
  context.strokeStyle = ink;
  context.lineWidth = 1;
  context.textBaseline = "top";
  context.font = `${Math.round(11 * ratio)}px system-ui, sans-serif`;
  for (const time of marks) {
    const x = Math.round(left + ((time - view.t0) / (view.t1 - view.t0)) * columns) + 0.5;
    context.globalAlpha = 0.5;
    context.beginPath();
    context.moveTo(x, top);
    context.lineTo(x, top + 5 * ratio);
    context.stroke();
    context.globalAlpha = 1;
    context.textAlign = x > left + columns - 30 * ratio ? "right" : x < left + 30 * ratio ? "left" : "center";
    context.fillText(axisSeconds(time, step), x, top + 7 * ratio);
    if (startedAt > 0 && step >= 1) {
      context.globalAlpha = 0.75;
      context.fillText(wallClock(startedAt + time), x, top + 21 * ratio);
      context.globalAlpha = 1;
    }
  }
  context.textAlign = "left";
  context.fillText("run time", 0, top + 7 * ratio);
  if (step >= 1) context.fillText("wall clock", 0, top + 21 * ratio);
}

function tipAt(
  picture: Picture | null,
  view: TimeWindow | null,
  plotWidth: number,
  rowHeight: number,
  x: number,
  y: number,
  pinned: boolean,
): Tip | null {
  const row = picture?.rows[Math.floor(y / rowHeight)];
  if (!picture || !view || !row || x < 0 || y < 0 || x > plotWidth) return null;
  const perPixel = (view.t1 - view.t0) / plotWidth;
  const time = view.t0 + x * perPixel;
  const base = { x: x + GUTTER, y, pinned, row, time, task: null };
  const index = Math.floor(y / rowHeight);
  if (picture.spans) {
    const found = spanAt(picture.spans, index, time, perPixel * 2);
    if (found < 0) return { ...base, group: null, lines: ["no task to run here"] };
    const { start, duration: length, kind, group, task } = picture.spans;
    return {
      ...base,
      group: group[found] ?? null,
      task: task[found] ?? null,
      lines: [
        `${kindText(kind[found] ?? 0)} ${duration(length[found])}${kind[found] === KIND_RUNNING ? " so far" : ""}`,
        `from ${duration(start[found])}`,
      ],
    };
  }
  const cell = sampled({ ...picture, rows: picture.rows }, { t0: time, t1: time + perPixel }, 1);
  const group = cell.group[index] ?? 0;
  const busy = (cell.busy[index] ?? 0) / 255;
  return {
    ...base,
    group: group > 0 && group !== PACKING ? group - 1 : null,
    lines: [group ? `busy ${percent(busy)} of this moment` : "no task here", "zoom in to see single tasks"],
  };
}

function kindText(kind: number): string {
  if (kind === KIND_FAILED) return "✕ failed after";
  if (kind === KIND_PACKING) return "packing the result,";
  return kind === KIND_RUNNING ? "running," : "ran";
}

function Tooltip({
  tip,
  picture,
  width,
}: {
  tip: Signal<Tip | null>;
  picture: Picture | null;
  width: number;
}) {
  const shown = tip.value;
  if (!shown) return null;
  const group = shown.group === null ? null : picture?.groups[String(shown.group)];
  const left = shown.x > width - 260 ? Math.max(0, shown.x - 260) : shown.x + 12;
  return (
    <div
      class={shown.pinned ? "tip pinned" : "tip"}
      style={{ left: `${left}px`, top: `${shown.y + 14}px` }}
      role="status"
    >
      {group && (
        <div>
          <i class="swatch" style={{ background: background(paintOf(group.color)) }} />{" "}
          <Name text={group.name} length={60} />
        </div>
      )}
      {shown.lines.map((line) => (
        <div key={line}>{line}</div>
      ))}
      <div class="quiet">
        worker <Name text={shown.row.name} length={24} />,{" "}
        {shown.row.merged > 1 ? `${shown.row.merged} threads` : `thread ${shown.row.thread}`}, at{" "}
        {duration(shown.time)}
      </div>
      {shown.pinned && (
        <div class="tip-links">
          {shown.group !== null && (
            <a href={linkTo("graph", { expand: shown.group, task: shown.task })}>show in the graph</a>
          )}
          <button
            type="button"
            class="link"
            onClick={() => {
              tip.value = null;
            }}
          >
            close
          </button>
        </div>
      )}
    </div>
  );
}

function Legend({ picture }: { picture: Signal<Picture | null> }) {
  const entries = Object.entries(picture.value?.groups ?? {}).sort((a, b) => a[1].color - b[1].color);
  const chosen = selectedGroup.value;
  if (entries.length === 0) return null;
  const shown = entries.slice(0, LEGEND_ENTRIES);
  const missing =
    chosen !== null && !shown.some(([id]) => Number(id) === chosen)
      ? entries.filter(([id]) => Number(id) === chosen)
      : [];
  return (
    <fieldset class="legend" aria-label="groups: choose one to show it alone">
      {[...shown, ...missing].map(([id, group]) => {
        const on = chosen === Number(id);
        return (
          <button
            key={id}
            type="button"
            class={on ? "chip on" : "chip"}
            aria-pressed={on}
            onClick={() => setQuery({ group: on ? null : Number(id) })}
          >
            <i class="swatch" style={{ background: background(paintOf(group.color)) }} />
            <Name text={group.name} length={28} />
          </button>
        );
      })}
      {entries.length > shown.length && (
        <span class="quiet">and {integer(entries.length - shown.length)} more groups</span>
      )}
      {chosen !== null && (
        <button type="button" class="link" onClick={() => setQuery({ group: null })}>
          show all
        </button>
      )}
    </fieldset>
  );
}

function StreamTable({ picture, view }: { picture: Picture | null; view: TimeWindow | null }) {
  if (!picture || !view || picture.rows.length === 0) return <p class="quiet">{whyEmpty(picture)}</p>;
  return (
    <table>
      <thead>
        <tr>
          <th scope="col">worker</th>
          <th scope="col">thread</th>
          <th scope="col">busy</th>
          <th scope="col">most of it</th>
          <th scope="col">errors</th>
        </tr>
      </thead>
      <tbody>
        {summary(picture, view).map(({ row, busy, group, errors }) => (
          <tr key={row.id}>
            <td>
              <Name text={row.name} length={40} />
            </td>
            <td>{row.merged > 1 ? `${row.merged} threads` : row.thread}</td>
            <td class="number">{percent(busy)}</td>
            <td>{group === null ? "–" : <Name text={picture.groups[String(group)]?.name} length={60} />}</td>
            <td>{errors ? "✕ yes" : "none"}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/** The sentence for those who do not see the picture: renewed once a second at most, and not while it moves. */
function useSentence(picture: Picture | null, view: TimeWindow | null, moving: boolean): string {
  const last = useRef({ at: 0, text: "" });
  const stale = picture !== null && !moving && Date.now() - last.current.at > 1000;
  if (stale || last.current.text === "")
    last.current = { at: picture ? Date.now() : 0, text: spoken(picture, view) };
  return last.current.text;
}

function spoken(picture: Picture | null, view: TimeWindow | null): string {
  if (!picture || !view) return "Task stream: waiting for the first answer.";
  const rows = summary(picture, view);
  const busy = rows.reduce((sum, row) => sum + row.busy, 0) / Math.max(1, rows.length);
  const idlest = [...rows].sort((a, b) => a.busy - b.busy)[0];
  const worst = idlest
    ? `; least busy: worker ${shortName(idlest.row.name, 30)}, thread ${idlest.row.thread}, ${percent(idlest.busy)}`
    : "";
  return `Task stream from ${duration(Math.max(0, view.t0))} to ${duration(view.t1)}: ${rows.length} rows, threads busy ${percent(busy)} of the time${worst}.`;
}
