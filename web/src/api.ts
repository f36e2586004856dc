// Asks the server again and again, for as long as somebody looks: only new answers travel (`?since=`), hidden pages
// ask nothing, a page stays below 64 kB/s, and a server that is gone is asked ever more seldom.
import { computed, type ReadonlySignal, type Signal, signal } from "@preact/signals";
import { useEffect, useMemo } from "preact/hooks";
import type { Overview } from "./schema";

const RUNNING_MS = 250;
const IDLE_MS = 1000;
const SLOWEST_RETRY_MS = 5000;
const ENDED_RETRY_MS = 10_000;
const BYTES_PER_MS = 64;

export const paused = signal(false);
/** The overview is asked for on every page: the top bar shows it. */
export const overview = signal<Overview | null>(null);

type Trouble = "none" | "unreachable" | "ended" | "forbidden";
const trouble = signal<Trouble>("none");
/** Views that the server refuses, with the status: the others may be well. */
const refused = signal<Readonly<Record<string, number>>>({});
const lastAnswer = signal(0);
const clock = signal(Date.now());
setInterval(() => {
  clock.value = Date.now();
}, 1000);

export interface Connection {
  kind: "connecting" | "live" | "old" | "replay" | "ended" | "forbidden" | "paused";
  text: string;
}

export const connection = computed<Connection>(() => {
  const age = Math.max(0, Math.round((clock.value - lastAnswer.value) / 1000));
  if (trouble.value === "forbidden") {
    return { kind: "forbidden", text: "no access: open the whole link that the cluster printed" };
  }
  if (trouble.value === "ended") return { kind: "ended", text: "the cluster has ended" };
  if (lastAnswer.value === 0) {
    return {
      kind: "connecting",
      text: trouble.value === "unreachable" ? "no answer from the server" : "connecting",
    };
  }
  if (trouble.value === "unreachable")
    return { kind: "old", text: `no answer: the cluster may have ended; ${age} s old` };
  const [view, status] = Object.entries(refused.value)[0] ?? [];
  if (view !== undefined) return { kind: "old", text: `the server answers ${status} for ${view}` };
  if (paused.value) return { kind: "paused", text: `paused, ${age} s old` };
  if (overview.value?.source === "file" || overview.value?.state === "replay")
    return { kind: "replay", text: "replay" };
  if (overview.value?.state === "ended") return { kind: "ended", text: "the cluster has ended" };
  return age > 4 ? { kind: "old", text: `${age} s old` } : { kind: "live", text: "live" };
});

/** Milliseconds between two questions, as the state of the run asks for. */
export function pace(): number {
  return overview.value?.state === "running" ? RUNNING_MS : IDLE_MS;
}

export type Answer<T> = { status: "new"; body: T; size: number } | { status: "same" } | { status: "failed" };

/** One question. Keeps the connection dot up to date, whatever comes back. */
export async function ask<T>(path: string, signal_?: AbortSignal): Promise<Answer<T>> {
  const view = path.split("?")[0] ?? path;
  let response: Response;
  try {
    response = await fetch(`./api/v1/${path}`, {
      credentials: "same-origin",
      ...(signal_ && { signal: signal_ }),
    });
    if (response.status === 204) {
      heard(view);
      return { status: "same" };
    }
    if (response.ok) {
      const text = await response.text();
      const body = JSON.parse(text) as T;
      heard(view);
      return { status: "new", body, size: Number(response.headers.get("content-length")) || text.length };
    }
  } catch {
    if (!signal_?.aborted) trouble.value = "unreachable";
    return { status: "failed" };
  }
  if (response.status === 410) trouble.value = "ended";
  else if (response.status === 403) trouble.value = "forbidden";
  // A proxy answers so for a server that is gone; else it is one view that has no answer.
  else if (response.status >= 502 && response.status <= 504) trouble.value = "unreachable";
  else refused.value = { ...refused.value, [view]: response.status };
  return { status: "failed" };
}

function heard(view: string): void {
  if (view in refused.value) {
    const { [view]: _mended, ...others } = refused.value;
    refused.value = others;
  }
  trouble.value = "none";
  lastAnswer.value = Date.now();
  clock.value = lastAnswer.value;
}

/** A cluster that has ended rarely comes back at the same place. */
function retryDelay(delay: number, failures: number): number {
  return trouble.value === "ended" ? ENDED_RETRY_MS : Math.min(SLOWEST_RETRY_MS, delay * 2 ** failures);
}

/** Calls `once` again and again; it answers how many bytes came, or null when the question failed. */
export function repeat(once: (signal_: AbortSignal) => Promise<number | null>, slowest = pace): () => void {
  const abort = new AbortController();
  let timer = 0;
  let failures = 0;
  let waiting = false;
  const turn = async () => {
    if (abort.signal.aborted) return;
    if (document.hidden || paused.value) {
      waiting = true;
      return;
    }
    waiting = false;
    const size = await once(abort.signal);
    if (abort.signal.aborted) return;
    failures = size === null ? failures + 1 : 0;
    const delay = Math.max(slowest(), (size ?? 0) / BYTES_PER_MS);
    timer = window.setTimeout(turn, failures ? retryDelay(delay, failures) : delay);
  };
  const wake = () => {
    if (waiting && !document.hidden && !paused.value) void turn();
  };
  document.addEventListener("visibilitychange", wake);
  const unwatch = paused.subscribe(wake);
  void turn();
  return () => {
    abort.abort();
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", wake);
    unwatch();
  };
}

/** Keeps `target` up to date with one view until the returned function is called. */
export function keepUpToDate<T extends { version?: number }>(
  path: string,
  target: Signal<T | null>,
  slowest = pace,
): () => void {
  let since: number | null = null;
  return repeat(async (signal_) => {
    const separator = path.includes("?") ? "&" : "?";
    const answer = await ask<T>(since === null ? path : `${path}${separator}since=${since}`, signal_);
    if (answer.status === "failed") {
      // Who comes back may be another server, whose versions count anew.
      since = null;
      return null;
    }
    if (answer.status === "same") return 0;
    since = answer.body.version ?? null;
    target.value = answer.body;
    return answer.size;
  }, slowest);
}

/** The newest answer of a view for as long as the component is shown; an old one stays until the next is here. */
export function useView<T extends { version?: number }>(
  path: string,
  slowest = pace,
): ReadonlySignal<T | null> {
  const target = useMemo(() => signal<T | null>(null), []);
  // The pace is the same for the life of the component.
  useEffect(() => keepUpToDate(path, target, slowest), [path, target]);
  return target;
}
