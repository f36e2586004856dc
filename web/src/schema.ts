// The shapes of the observer's answers, API version 1. Absent values are null; names and texts may be anything.

export type RunState = "running" | "idle" | "ended" | "replay";
export type Range = { low: number; high: number } | null;

export const BIN_NAMES = [
  "compute",
  "gil",
  "blocked",
  "transfer",
  "disk",
  "paused",
  "serialize",
  "overhead",
  "scheduler",
  "starved",
  "unknown",
] as const;
export type BinName = (typeof BIN_NAMES)[number];
export type Bins = Partial<Record<BinName, number>>;

export interface Verdict {
  version: number;
  window: [number, number];
  verdict: string;
  sentence: string;
  advice: string[];
  share: number | null;
  confidence: "high" | "medium" | "low";
  evidence: { text: string; value: number | null; link: string | null }[];
  bins: Bins;
  thread_seconds: number;
  dropped: number;
}

export interface GroupRow {
  id: number;
  name: string;
  color: number;
  tasks: number;
  finished: number;
  processing: number;
  waiting: number;
  erred: number;
  no_worker: number;
  seconds: number;
  median: number | null;
  p95: number | null;
  out_bytes: number | null;
  kept_bytes: number | null;
  first: number | null;
  last: number | null;
  remaining: Range;
  inputs: { group: number; edges: number }[];
}

export interface Mark {
  t: number;
  level: "info" | "warning" | "error";
  kind: string;
  text: string;
  worker: number | null;
  key: string | null;
}

export interface Overview {
  version: number;
  now: number;
  started_at: number;
  state: RunState;
  source: "live" | "file";
  workers: number;
  threads: number;
  busy: number;
  memory: {
    used: number | null;
    limit: number | null;
    stored: number | null;
    spilled: number | null;
    pressure: string;
  };
  tasks: {
    total: number;
    finished: number;
    processing: number;
    waiting: number;
    erred: number;
    no_worker: number;
  };
  remaining: Range;
  verdict: Verdict;
  groups: GroupRow[];
  groups_total: number;
  marks: Mark[];
  dropped: number;
}

export interface Groups {
  version: number;
  total: number;
  groups: GroupRow[];
}

export interface WorkerRow {
  id: number;
  name: string;
  pid: number | null;
  host: string | null;
  threads: number;
  state: "running" | "paused" | "stopped" | "lost";
  busy: number;
  ended: number;
  cpu: number | null;
  memory: { process: number | null; limit: number | null; stored: number | null; spilled: number | null };
  bins: Bins;
  running: { thread: number; key: string; group: number; since: number }[];
  spark: { step: number; t0: number; cpu: (number | null)[]; memory: (number | null)[] } | null;
  joined: number | null;
  left: number | null;
  cause: string | null;
}

export interface Workers {
  version: number;
  total: number;
  workers: WorkerRow[];
}

export interface StreamRow {
  id: number;
  worker: number;
  name: string;
  thread: number;
  merged: number;
}

export interface Spans {
  row: number[];
  start: number[];
  duration: number[];
  group: number[];
  kind: number[];
  task: number[];
}

export interface StreamAnswer {
  version: number;
  t0: number;
  t1: number;
  step: number;
  px: number;
  rows_total: number;
  rows: StreamRow[];
  mode: "tiles" | "spans";
  group?: string;
  busy?: string;
  flags?: string;
  spans?: Spans;
  groups: Record<string, { name: string; color: number }>;
  oldest: number | null;
  dropped: number;
}

export interface Series {
  t0: number;
  step: number;
  series: Record<string, (number | null)[]>;
  limits: Record<string, number | null>;
}

export interface GraphNode {
  id: string;
  group: number;
  /** As of groups: by first appearance. */
  color: number;
  /** Of a group its name, cut to the box; of a task nothing. */
  label: string;
  title?: string;
  /** Of a group: its tasks are drawn inside. */
  open?: boolean;
  /** Of a task that runs. */
  key?: string | null;
  sub: string | null;
  x: number;
  y: number;
  w: number;
  h: number;
  tasks: number;
  finished: number;
  processing: number;
  erred: number;
  state?: string | null;
  seconds: number | null;
  bytes: number | null;
  critical: boolean;
}

export interface GraphEdge {
  from: string;
  to: string;
  edges: number;
  points: [number, number][];
  critical: boolean;
}

export interface Graph {
  version: number;
  collapsed: boolean;
  /** The name of the group whose tasks are drawn. */
  expanded: string | null;
  tasks: number;
  note: string | null;
  width: number;
  height: number;
  nodes: GraphNode[];
  edges: GraphEdge[];
}

export interface Headroom {
  version: number;
  t1: number;
  tinf: number | null;
  tinf_error: string | null;
  parallelism: number | null;
  cores: number;
  width: { t0: number; step: number; running: (number | null)[]; ready: (number | null)[] };
  predicted: { cores: number; low: number; high: number }[];
  stops_helping_at: number | null;
  critical: { group: number; name: string; seconds: number }[];
  granularity: { edges: number[]; tasks: number[] };
  sentence: string;
}

export interface Marks {
  version: number;
  marks: Mark[];
}

export interface Errors {
  version: number;
  /** Kinds of errors, and tasks that have failed. */
  total: number;
  tasks: number;
  errors: {
    exception: string;
    group: number | null;
    name: string | null;
    count: number;
    first: number | null;
    last: number | null;
    key: string | null;
    traceback: string | null;
  }[];
}

export interface About {
  versions: Record<string, unknown> | null;
  scheduler: Record<string, unknown> | null;
  limits: Record<string, unknown> | null;
  config: Record<string, unknown> | null;
  command: string | null;
  note: string | null;
}
