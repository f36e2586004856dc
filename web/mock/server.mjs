// A pretend observer for work on the pages: serves the built pages and answers the whole API from made-up runs.
//
//   node mock/server.mjs [port]        then open http://localhost:8787/status
//
// The first part of a path names the run: /empty/status, /gil/status, /big/status (1,000 workers, 1M spans),
// /weird/status (names), /many/status (10,000 groups), /ended/status, /gone/status (answers 410), /errors/status.
// So the pages are tried behind a prefix, too.

import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { gzipSync } from "node:zlib";

const port = Number(process.argv[2] ?? process.env.PORT ?? 8787);
const dist = new URL("../../crates/oxidask-observe/assets/", import.meta.url);
const PAGES = ["status", "stream", "progress", "graph", "headroom", "workers", "errors", "about"];
const HEADERS = {
  "content-security-policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:",
  "cache-control": "no-store",
  "x-content-type-options": "nosniff",
};
const BIG = 1e9;

const SCENARIOS = {
  normal: {
    groups: [
      ["load", 400, 0.25],
      ["inc", 400, 0.45],
      ["sum-tree", 399, 0.2],
    ],
    speed: 1,
    head: 20,
  },
  gil: {
    groups: [
      ["parse", 600, 0.1],
      ["count-words", 600, 0.3],
    ],
    workers: 1,
    threads: 2,
    verdict: "gil",
    head: 20,
  },
  empty: { groups: [], head: 0 },
  noworkers: { groups: [["load", 30, 0.2]], workers: 0, head: 3 },
  weird: { groups: weirdGroups(), head: 15 },
  many: { groups: Array.from({ length: 10_000 }, (_, i) => [`group-${i}`, 3, 0.02]), head: 60 },
  big: {
    groups: Array.from({ length: 30 }, (_, i) => [`stage-${i}`, 33_400, 0.2]),
    workers: 1000,
    threads: 2,
    head: 70,
  },
  ended: {
    groups: [
      ["load", 100, 0.05],
      ["inc", 100, 0.1],
      ["sum-tree", 99, 0.04],
    ],
    head: BIG,
  },
  errors: {
    groups: [
      ["load", 200, 0.1],
      ["divide", 200, 0.2],
      ["sum-tree", 199, 0.1],
    ],
    errorRate: 0.08,
    head: 25,
  },
  gone: { groups: [["load", 100, 0.05]], head: 2, gone: true },
};

function weirdGroups() {
  return [
    ["<script>alert('x')</script>", 60, 0.2],
    ["long-".repeat(2000), 60, 0.2],
    ["имя-группы-数据-🚀", 60, 0.2],
    ["שלום עולם قراءة البيانات", 60, 0.2],
    ["\u202ereversed override", 60, 0.2],
    ["", 60, 0.2],
    ["with\nnew line\tand tab", 60, 0.2],
    ...Array.from({ length: 22 }, (_, i) => [`plain-${i}`, 40, 0.1]),
  ];
}

function randomFrom(seed) {
  let state = seed;
  return () => {
    state = (state * 1664525 + 1013904223) >>> 0;
    return state / 4294967296;
  };
}

/** Plays a whole run at once: each task goes to the thread that is free first. */
function play(name) {
  const plan = SCENARIOS[name];
  const workers = plan.workers ?? 2;
  const threads = plan.threads ?? 2;
  const rows = workers * threads;
  const random = randomFrom(7);
  const total = plan.groups.reduce((sum, [, n]) => sum + n, 0);
  const run = {
    name,
    plan,
    workers,
    threads,
    rows,
    total,
    row: new Uint32Array(total),
    start: new Float64Array(total),
    duration: new Float64Array(total),
    group: new Uint32Array(total),
    kind: new Uint8Array(total),
    byRow: Array.from({ length: rows }, () => []),
    begun: Date.now() / 1000 - (plan.head >= BIG ? 0 : plan.head),
  };
  if (rows === 0) {
    run.start.fill(BIG);
    run.end = BIG;
    return run;
  }
  const free = new Float64Array(rows).fill(0.3);
  let task = 0;
  let turn = 0;
  for (let g = 0; g < plan.groups.length; g++) {
    const [, count, seconds] = plan.groups[g];
    for (let i = 0; i < count; i++) {
      let best = turn++ % rows;
      if (rows <= 16) for (let r = 0; r < rows; r++) if (free[r] < free[best]) best = r;
      const duration = seconds * (0.4 + 1.2 * random());
      // Groups overlap a little, as in a real graph.
      run.group[task] = g > 0 && random() < 0.2 ? g - 1 : g;
      run.row[task] = best;
      run.start[task] = free[best];
      run.duration[task] = duration;
      run.kind[task] = random() < (plan.errorRate ?? 0) && g === 1 ? 1 : 0;
      run.byRow[best].push(task);
      free[best] += duration + 0.002 + (random() < 0.03 ? 0.4 * random() : 0);
      task++;
    }
  }
  run.end = Math.max(0, ...Array.from(free));
  return run;
}

const runs = new Map();
function runOf(name) {
  if (!runs.has(name)) runs.set(name, play(name));
  return runs.get(name);
}
const nowOf = (run) =>
  run.plan.head >= BIG ? run.end : Math.min(Date.now() / 1000 - run.begun, run.rows ? run.end + 5 : BIG);
const versionOf = (run) => Math.floor(nowOf(run) * 5) + 1;
const stateOf = (run) =>
  run.name === "ended" ? "ended" : run.total === 0 || nowOf(run) > run.end ? "idle" : "running";

function counts(run) {
  const now = nowOf(run);
  const groups = run.plan.groups.map(([name], id) => ({
    id,
    name,
    color: id,
    tasks: 0,
    finished: 0,
    processing: 0,
    waiting: 0,
    erred: 0,
    no_worker: 0,
    seconds: 0,
    median: null,
    p95: null,
    out_bytes: 0,
    kept_bytes: 0,
    first: null,
    last: null,
    remaining: null,
    inputs: id > 0 && id < 40 ? [{ group: id - 1, edges: 100 }] : [],
  }));
  for (let t = 0; t < run.total; t++) {
    const row = groups[run.group[t]];
    const end = run.start[t] + run.duration[t];
    row.tasks++;
    if (run.rows === 0) row.no_worker++;
    else if (end <= now) {
      if (run.kind[t] === 1) row.erred++;
      else row.finished++;
      row.seconds += run.duration[t];
      row.out_bytes += 8_000_000;
      row.last = Math.max(row.last ?? 0, end);
      row.first = Math.min(row.first ?? BIG, run.start[t]);
    } else if (run.start[t] <= now) {
      row.processing++;
      row.first = Math.min(row.first ?? BIG, run.start[t]);
    } else row.waiting++;
  }
  for (const row of groups) {
    const seconds = run.plan.groups[row.id][2];
    if (row.finished > 0) {
      row.median = seconds;
      row.p95 = seconds * 1.6;
      row.kept_bytes = Math.round(row.out_bytes * 0.2);
      const left = ((row.waiting + row.processing) * seconds) / Math.max(1, run.rows);
      if (row.waiting + row.processing > 0) row.remaining = { low: left * 0.9, high: left * 1.2 };
    }
  }
  return groups;
}

function binsOf(run) {
  const none = {
    compute: 0,
    gil: 0,
    blocked: 0,
    transfer: 0,
    disk: 0,
    paused: 0,
    serialize: 0,
    overhead: 0,
    scheduler: 0,
    starved: 0,
    unknown: 0,
  };
  if (run.plan.verdict === "gil") return { ...none, compute: 0.5, gil: 0.45, overhead: 0.01, starved: 0.04 };
  if (run.total === 0 || run.rows === 0) return { ...none, starved: 1 };
  return {
    ...none,
    compute: 0.874,
    transfer: 0.061,
    disk: 0.02,
    serialize: 0.005,
    overhead: 0.01,
    starved: 0.02,
    unknown: 0.01,
  };
}

function verdict(run) {
  const now = nowOf(run);
  const gil = run.plan.verdict === "gil";
  const empty = run.total === 0;
  return {
    schema: "oxidask.verdict/1",
    version: versionOf(run),
    window: [Math.max(0, now - 60), now],
    verdict: empty ? "idle" : gil ? "gil-bound" : run.rows === 0 ? "starved" : "compute-bound",
    sentence: empty
      ? "Nothing has been submitted yet."
      : gil
        ? "The GIL limits this run: threads wait for it 45 % of their time."
        : run.rows === 0
          ? "No worker has joined: 30 tasks wait for one."
          : "The processors limit this run: threads compute 87 % of their time.",
    advice: gil
      ? ["Use more processes with fewer threads: n_workers=2, threads_per_worker=1 instead of 1 × 2."]
      : empty || run.rows === 0
        ? []
        : ["More cores would help: see Headroom, up to 11 cores."],
    share: gil ? 0.45 : 0.874,
    confidence: "high",
    evidence: gil ? [{ text: "45 % of thread time waits for the GIL", value: 0.45, link: "./stream" }] : [],
    bins: binsOf(run),
    thread_seconds: now * run.rows,
    dropped: 0,
  };
}

function marksOf(run, limit) {
  const now = nowOf(run);
  const marks = [];
  for (let w = 0; w < Math.min(run.workers, 8); w++)
    marks.push(
      mark(0.01 * w, "info", "worker-joined", `worker ${w} joined with ${run.threads} threads`, w + 1),
    );
  if (run.total > 0 && run.rows > 0) {
    marks.push(mark(6.2, "warning", "paused", "worker 1 paused: it holds 82 % of its memory limit", 1));
    marks.push(mark(7.9, "info", "resumed", "worker 1 runs again", 1));
    marks.push(mark(9.1, "info", "spill", "worker 0 wrote 120 MB to disk", 1));
  }
  if (run.plan.errorRate)
    marks.push(mark(12.5, "error", "retry", "divide-17 failed and will be tried once more", 1));
  if (run.name === "weird")
    marks.push(mark(3, "error", "log", "<img src=x onerror=alert(1)> ".repeat(100), null));
  return marks.filter((m) => m.t <= now).slice(-limit);
}
function mark(t, level, kind, text, worker) {
  return { t, level, kind, text, worker, key: null };
}

const GB = 1e9;
function overview(run) {
  const now = nowOf(run);
  const groups = counts(run);
  const sum = (field) => groups.reduce((total, g) => total + g[field], 0);
  const unfinished = groups.filter((g) => g.finished + g.erred < g.tasks);
  const done = groups.filter((g) => g.finished + g.erred >= g.tasks).reverse();
  const left = run.end - now;
  return {
    schema: "oxidask.overview/1",
    version: versionOf(run),
    now,
    started_at: run.begun,
    state: stateOf(run),
    source: run.name === "ended" ? "file" : "live",
    workers: run.workers,
    threads: run.rows,
    busy: Math.min(run.rows, sum("processing")),
    memory: {
      used: Math.round(run.workers * (0.4 + 0.2 * Math.sin(now / 9)) * GB),
      limit: run.workers ? run.workers * 2 * GB : null,
      stored: run.workers * 0.2 * GB,
      spilled: run.total ? 120e6 : 0,
      pressure: "none",
    },
    tasks: {
      total: run.total,
      finished: sum("finished"),
      processing: sum("processing"),
      waiting: sum("waiting"),
      erred: sum("erred"),
      no_worker: sum("no_worker"),
    },
    remaining: left > 0 && run.total && run.rows ? { low: left * 0.95, high: left * 1.15 } : null,
    verdict: verdict(run),
    groups: [...unfinished, ...done].slice(0, 12),
    groups_total: groups.length,
    marks: marksOf(run, 20),
    dropped: 0,
  };
}

function groupsAnswer(run, query) {
  const rows = counts(run);
  const sort = query.get("sort") ?? "first";
  if (sort === "tasks") rows.sort((a, b) => b.tasks - a.tasks);
  if (sort === "time") rows.sort((a, b) => b.seconds - a.seconds);
  if (sort === "name") rows.sort((a, b) => (a.name < b.name ? -1 : 1));
  const offset = Number(query.get("offset") ?? 0);
  const limit = Number(query.get("limit") ?? 100);
  return {
    schema: "oxidask.groups/1",
    version: versionOf(run),
    total: rows.length,
    groups: rows.slice(offset, offset + limit),
  };
}

function workersAnswer(run, query) {
  const now = nowOf(run);
  const offset = Number(query.get("offset") ?? 0);
  const limit = Number(query.get("limit") ?? 100);
  const workers = [];
  for (let w = offset; w < Math.min(run.workers, offset + limit); w++) {
    const running = [];
    let ended = 0;
    for (let thread = 0; thread < run.threads; thread++) {
      for (const t of run.byRow[w * run.threads + thread]) {
        if (run.start[t] + run.duration[t] <= now) ended++;
        else if (run.start[t] <= now)
          running.push({
            thread,
            key: `${run.plan.groups[run.group[t]][0]}-${t}`,
            group: run.group[t],
            since: run.start[t],
          });
      }
    }
    const length = Math.min(60, Math.floor(now));
    const lost = run.name === "errors" && w === 1 && now > 15;
    workers.push({
      id: w + 1,
      name: run.name === "weird" && w === 0 ? "worker <b>ü</b> ".repeat(60) : String(w),
      pid: 4000 + w,
      host: `node-${w >> 3}`,
      threads: run.threads,
      state: lost ? "lost" : w % 97 === 96 ? "paused" : "running",
      busy: running.length,
      ended,
      cpu: lost ? 0 : running.length * 0.96,
      memory: {
        process: Math.round((0.4 + 0.2 * Math.sin(now / 9 + w)) * GB),
        limit: w % 50 === 49 ? null : 2 * GB,
        stored: Math.round(0.2 * GB),
        spilled: w === 0 ? 120e6 : 0,
      },
      bins: binsOf(run),
      running,
      spark: {
        step: 1,
        t0: now - length,
        cpu: Array.from({ length }, (_, i) => run.threads * (0.75 + 0.2 * Math.sin(i / 3 + w))),
        memory: Array.from({ length }, (_, i) => (0.3 + 0.01 * i) * GB),
      },
      joined: 0.01 * w,
      left: lost ? 15 : null,
      cause: lost ? "killed by signal 9" : null,
    });
  }
  return { schema: "oxidask.workers/1", version: versionOf(run), total: run.workers, workers };
}

const base64 = (array) => Buffer.from(array.buffer, array.byteOffset, array.byteLength).toString("base64");
const MAX_ROWS = 200;

function stream(run, query) {
  const now = nowOf(run);
  const wantedT0 = Number(query.get("t0") ?? Math.max(0, now - 60));
  const wantedT1 = Number(query.get("t1") ?? now);
  let px = Math.min(4000, Number(query.get("px") ?? 1000));
  const step = Math.max(1e-6, (wantedT1 - wantedT0) / px);
  const t0 = Math.floor(wantedT0 / step + 1e-6) * step;
  const t1 = Math.ceil(wantedT1 / step - 1e-6) * step;
  px = Math.round((t1 - t0) / step);
  const offset = Number(query.get("offset") ?? 0);
  const merged = run.rows > MAX_ROWS ? run.threads : 1;
  const rowsTotal = Math.ceil(run.rows / merged);
  const count = Math.max(0, Math.min(Number(query.get("rows") ?? 100), MAX_ROWS, rowsTotal - offset));
  const rows = Array.from({ length: count }, (_, i) => {
    const first = (offset + i) * merged;
    const worker = Math.floor(first / run.threads);
    return { id: first, worker: worker + 1, name: String(worker), thread: first % run.threads, merged };
  });
  const found = [];
  for (let r = 0; r < count; r++)
    for (let m = 0; m < merged; m++)
      for (const t of run.byRow[(offset + r) * merged + m] ?? [])
        if (run.start[t] < Math.min(t1, now) && run.start[t] + run.duration[t] > t0) found.push(r, t);
  const groups = {};
  const answer = {
    schema: "oxidask.stream/1",
    version: versionOf(run),
    t0,
    t1,
    step,
    px,
    rows_total: rowsTotal,
    rows,
    groups,
    oldest: run.name === "big" ? 12 : 0,
    dropped: 0,
  };
  const note = (g) => {
    groups[g] ??= { name: run.plan.groups[g][0], color: g };
  };
  if (found.length / 2 < 20_000 && run.name !== "big") {
    const spans = { row: [], start: [], duration: [], group: [], kind: [], task: [] };
    for (let i = 0; i < found.length; i += 2) {
      const t = found[i + 1];
      const open = run.start[t] + run.duration[t] > now;
      spans.row.push(found[i]);
      spans.start.push(Number(run.start[t].toFixed(6)));
      spans.duration.push(Number((open ? now - run.start[t] : run.duration[t]).toFixed(6)));
      spans.group.push(run.group[t]);
      spans.kind.push(open ? 3 : run.kind[t]);
      spans.task.push(t);
      note(run.group[t]);
    }
    return { ...answer, mode: "spans", spans };
  }
  const group = new Uint16Array(count * px);
  const busy = new Float32Array(count * px);
  const flags = new Uint8Array(count * px);
  for (let i = 0; i < found.length; i += 2) {
    const r = found[i];
    const t = found[i + 1];
    const from = Math.max(run.start[t], t0);
    const to = Math.min(run.start[t] + run.duration[t], t1, now);
    note(run.group[t]);
    for (let x = Math.floor((from - t0) / step); x < Math.min(px, Math.ceil((to - t0) / step)); x++) {
      const share = (Math.min(to, t0 + (x + 1) * step) - Math.max(from, t0 + x * step)) / step;
      busy[r * px + x] += share / merged;
      if (share > 0.3 || group[r * px + x] === 0) group[r * px + x] = run.group[t] + 1;
      if (run.kind[t] === 1) flags[r * px + x] |= 1;
    }
  }
  const shade = Uint8Array.from(busy, (b) => Math.min(255, Math.round(b * 255)));
  return { ...answer, mode: "tiles", group: base64(group), busy: base64(shade), flags: base64(flags) };
}

function series(run, query) {
  const now = nowOf(run);
  const t0 = Number(query.get("t0") ?? 0);
  const t1 = Number(query.get("t1") ?? now);
  const px = Math.min(500, Number(query.get("px") ?? 200));
  const step = (t1 - t0) / px;
  const shape = {
    cpu: (t) => run.rows * (0.8 + 0.15 * Math.sin(t)),
    memory: (t) => run.workers * (0.4 + 0.2 * Math.sin(t / 9)) * GB,
    stored: () => run.workers * 0.2 * GB,
    spilled: (t) => (t > 9 ? 120e6 : 0),
    busy: (t) => run.rows * (0.9 + 0.1 * Math.sin(t * 3)),
    ready: (t) => Math.max(0, 60 - t),
    tasks_per_s: (t) => 12 + 3 * Math.sin(t / 2),
  };
  const out = {};
  for (const name of (query.get("names") ?? "cpu").split(","))
    out[name] = Array.from({ length: px }, (_, i) => {
      const t = t0 + i * step;
      return t < 0 || t > Math.min(now, run.end) ? null : (shape[name]?.(t) ?? null);
    });
  return {
    schema: "oxidask.series/1",
    version: versionOf(run),
    t0,
    step,
    series: out,
    limits: { cpu: run.rows, memory: run.workers * 2 * GB, busy: run.rows },
  };
}

function graph(run, query) {
  const rows = counts(run).slice(0, 60);
  const expand = query.get("expand");
  const nodes = [];
  const edges = [];
  rows.forEach((g, i) => {
    const column = Math.floor(i / 3);
    nodes.push({
      id: `g${g.id}`,
      group: g.id,
      color: g.color,
      label: g.name,
      sub: `${g.finished} / ${g.tasks}`,
      x: 40 + (i % 3) * 260,
      y: 40 + (i % 3) * 30 + column * 130,
      w: 180,
      h: 52,
      tasks: g.tasks,
      finished: g.finished,
      processing: g.processing,
      erred: g.erred,
      state: null,
      seconds: g.seconds,
      bytes: g.out_bytes,
      critical: i < 4,
    });
    if (i > 0) {
      const a = nodes[i - 1];
      const b = nodes[i];
      edges.push({
        from: a.id,
        to: b.id,
        edges: g.tasks,
        critical: i < 4,
        points:
          b.y > a.y + 60
            ? [
                [a.x + 90, a.y + 52],
                [a.x + 90, a.y + 80],
                [b.x + 90, b.y - 25],
                [b.x + 90, b.y],
              ]
            : [
                [a.x + 180, a.y + 26],
                [b.x, b.y + 26],
              ],
      });
    }
  });
  if (expand !== null && rows[Number(expand)]) {
    const states = ["memory", "processing", "waiting", "erred", "released"];
    const bottom = Math.max(...nodes.map((n) => n.y)) + 120;
    for (let i = 0; i < Math.min(rows[Number(expand)].tasks, 3000); i++)
      nodes.push({
        id: `t${i}`,
        group: Number(expand),
        color: rows[Number(expand)].color,
        label: "",
        key: i % 5 === 1 ? `${rows[Number(expand)].name}-${i}` : null,
        sub: "",
        x: 40 + (i % 40) * 44,
        y: bottom + Math.floor(i / 40) * 40,
        w: 36,
        h: 24,
        tasks: 1,
        finished: 0,
        processing: 0,
        erred: 0,
        state: states[i % 5],
        seconds: 0.2,
        bytes: 8e6,
        critical: i % 17 === 0,
      });
  }
  return {
    schema: "oxidask.graph/1",
    version: versionOf(run),
    collapsed: expand === null,
    expanded: rows[Number(expand)]?.name ?? null,
    tasks: run.total,
    note: run.plan.groups.length > 60 ? "This is a sample: the first 60 of the groups." : null,
    width: nodes.length ? Math.max(...nodes.map((n) => n.x + n.w)) + 40 : 0,
    height: nodes.length ? Math.max(...nodes.map((n) => n.y + n.h)) + 40 : 0,
    nodes,
    edges,
  };
}

function headroom(run) {
  const now = Math.min(nowOf(run), run.end);
  const done = counts(run).reduce((sum, g) => sum + g.seconds, 0);
  const bins = Math.min(200, Math.max(0, Math.floor(now * 4)));
  const cores = run.rows;
  return {
    schema: "oxidask.headroom/1",
    version: versionOf(run),
    t1: done,
    tinf: run.total ? Math.max(0.1, done / 11) : null,
    tinf_error: null,
    parallelism: run.total && done ? 11 : null,
    cores,
    width: {
      t0: 0,
      step: bins ? now / bins : 0.25,
      running: Array.from({ length: bins }, (_, i) => cores * (0.9 + 0.1 * Math.sin(i))),
      ready: Array.from({ length: bins }, (_, i) =>
        Math.max(0, cores * 3 * (1 - i / bins) + 2 * Math.sin(i / 4)),
      ),
    },
    predicted:
      run.total && cores
        ? [0.5, 1, 2, 4, 8].map((k) => ({
            cores: Math.max(1, cores * k),
            low: Math.max(done / 11, done / (cores * k)),
            high: Math.max(done / 11, done / (cores * k)) * 1.2,
          }))
        : [],
    stops_helping_at: run.total ? 11 : null,
    critical: run.plan.groups
      .slice(0, 5)
      .map(([name], group) => ({ group, name, seconds: 0.8 / (group + 1) })),
    granularity: {
      edges: [0.00001, 0.0001, 0.001, 0.01, 0.1, 1, 10],
      tasks: run.total ? [0, 0, 3, 40, 400, 800, 20, 0] : [0, 0, 0, 0, 0, 0, 0, 0],
    },
    sentence: run.total
      ? "This graph can keep 11 cores busy: more than 11 do not help."
      : "Nothing has run yet, so there is nothing to predict from.",
  };
}

function errors(run) {
  const list = [];
  if (run.plan.errorRate || run.name === "weird") {
    list.push({
      exception: "ZeroDivisionError: division by zero",
      group: 1,
      name: run.plan.groups[1][0],
      count: 10,
      first: 1.2,
      last: 12.2,
      key: "divide-17",
      traceback:
        'Traceback (most recent call last):\n  File "work.py", line 12, in divide\n    return a / b\n           ~~^~~\nZeroDivisionError: division by zero\n',
    });
    list.push({
      exception: `ValueError: <b>not html</b> ${"x".repeat(5000)}`,
      group: null,
      name: null,
      count: 1,
      first: 2,
      last: 2,
      key: null,
      traceback: null,
    });
  }
  return {
    schema: "oxidask.errors/1",
    version: versionOf(run),
    total: list.length,
    tasks: list.reduce((sum, e) => sum + e.count, 0),
    errors: list,
  };
}

function about(run) {
  return {
    schema: "oxidask.about/1",
    versions: { oxidask: "0.1.0", python: "3.11.7", numpy: "2.1.0" },
    scheduler: { pid: 4242, address: "tcp://10.0.0.1:8786", cpus: 2 },
    limits: { memory: 4_000_000_000, open_files: 1024, cpus: 2 },
    config: { dashboard: { port: 8787, token: true }, workers: run.workers },
    command: "python work.py --size 1000",
    note: null,
  };
}

const VIEWS = {
  overview,
  verdict,
  groups: groupsAnswer,
  workers: workersAnswer,
  stream,
  series,
  graph,
  headroom,
  errors,
  about,
  marks: (run, query) => ({
    schema: "oxidask.marks/1",
    version: versionOf(run),
    marks: marksOf(run, Number(query.get("limit") ?? 200)),
  }),
};

function answer(request) {
  const url = new URL(request.url, "http://mock");
  const parts = url.pathname.slice(1).split("/");
  const scenario = parts[0] in SCENARIOS ? parts.shift() : "normal";
  const path = parts.join("/");
  if (path === "") return { status: 302, headers: { location: "./status" } };
  if (PAGES.includes(path)) return file("index.html", "text/html; charset=utf-8");
  if (path === "assets/app.js") return file(path, "text/javascript");
  if (path === "assets/app.css") return file(path, "text/css");
  const view = path.startsWith("api/v1/") ? VIEWS[path.slice(7)] : undefined;
  if (!view) return { status: 404, body: "not found" };
  const run = runOf(scenario);
  if (run.plan.gone && Date.now() / 1000 - run.begun > 6)
    return { status: 410, body: "the cluster has ended" };
  if (url.searchParams.has("since") && Number(url.searchParams.get("since")) === versionOf(run))
    return { status: 204 };
  return { status: 200, type: "application/json", body: JSON.stringify(view(run, url.searchParams)) };
}
function file(name, type) {
  return { status: 200, type, body: readFileSync(new URL(name, dist)) };
}

createServer((request, response) => {
  const { status, type, headers, body } = answer(request);
  const head = { ...HEADERS, ...headers, ...(type && { "content-type": type }) };
  if (body && body.length > 1000 && /gzip/.test(request.headers["accept-encoding"] ?? "")) {
    const packed = gzipSync(body, { level: 1 });
    response.writeHead(status, { ...head, "content-encoding": "gzip", "content-length": packed.length });
    response.end(packed);
    return;
  }
  response.writeHead(status, head);
  response.end(body);
}).listen(port, "127.0.0.1", () => console.log(`http://localhost:${port}/status`));
