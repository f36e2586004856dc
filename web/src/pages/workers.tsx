// Workers: a row for each, those in trouble first; only rows in sight are drawn.
import { signal } from "@preact/signals";
import { useEffect, useMemo } from "preact/hooks";
import { ask, overview, repeat } from "../api";
import { MemoryBar, TimeBar } from "../bars";
import { bytes, decimal, duration, integer } from "../format";
import { Name } from "../name";
import type { WorkerRow, Workers as WorkersAnswer } from "../schema";
import { Spark } from "../spark";
import { type Column, VirtualTable } from "../table";

const ROW_HEIGHT = 34;
const PART = 250;
const STATE_SIGNS = { running: "●", paused: "❚❚", stopped: "■", lost: "✕" };
const TROUBLE = { lost: 0, paused: 1, running: 2, stopped: 3 };

const COLUMNS: Column<WorkerRow>[] = [
  { title: "worker", value: (w) => w.name, cell: (w) => <Name text={w.name} length={24} /> },
  { title: "host", value: (w) => w.host, cell: (w) => <Name text={w.host ?? "–"} length={18} /> },
  { title: "pid", value: (w) => w.pid, cell: (w) => w.pid ?? "–", class: "number" },
  {
    title: "state",
    value: (w) => TROUBLE[w.state],
    cell: (w) => (
      <span class={`worker-state ${w.state}`} title={w.cause ?? w.state}>
        {STATE_SIGNS[w.state] ?? "●"} {w.state}
        {w.cause ? <Name text={`: ${w.cause}`} length={30} /> : null}
      </span>
    ),
  },
  {
    title: "busy",
    value: (w) => w.busy / Math.max(1, w.threads),
    cell: (w) => `${w.busy} / ${w.threads}`,
    class: "number",
  },
  { title: "done", value: (w) => w.ended, cell: (w) => integer(w.ended), class: "number" },
  { title: "cores used", value: (w) => w.cpu, cell: (w) => decimal(w.cpu), class: "number" },
  {
    title: "last minute",
    value: (w) => w.cpu,
    cell: (w) => (
      <Spark
        values={w.spark?.cpu ?? []}
        top={w.threads}
        label={`cores used in the last minute, now ${decimal(w.cpu)}`}
      />
    ),
  },
  {
    title: "memory",
    value: (w) => w.memory.process,
    cell: (w) => (
      <span class="memory-cell">
        <MemoryBar
          used={w.memory.process}
          limit={w.memory.limit}
          stored={w.memory.stored}
          spilled={w.memory.spilled}
        />
        {bytes(w.memory.process)}
      </span>
    ),
    class: "number",
  },
  {
    title: "limit",
    value: (w) => w.memory.limit,
    cell: (w) => (w.memory.limit ? bytes(w.memory.limit) : "none"),
    class: "number",
  },
  { title: "on disk", value: (w) => w.memory.spilled, cell: (w) => bytes(w.memory.spilled), class: "number" },
  {
    title: "where time went",
    value: (w) => w.bins?.compute ?? null,
    cell: (w) => <TimeBar bins={w.bins ?? {}} labels={false} />,
    class: "time",
  },
  {
    title: "running now",
    value: (w) => w.running.length,
    cell: (w) => <Running worker={w} />,
  },
];

export function Workers() {
  const workers = useAllWorkers().value;
  return (
    <section class="panel">
      <h1 class="answer">{answer(workers)}</h1>
      {!workers ? (
        <p class="quiet">Waiting for the first answer.</p>
      ) : workers.length === 0 ? (
        <p class="quiet">No worker has joined yet: tasks wait until one does.</p>
      ) : (
        <VirtualTable columns={COLUMNS} rows={workers} id={(w) => w.id} rowHeight={ROW_HEIGHT} />
      )}
    </section>
  );
}

function Running({ worker }: { worker: WorkerRow }) {
  const first = worker.running[0];
  if (!first) return <span class="quiet">{worker.state === "running" ? "waits for a task" : "–"}</span>;
  const more = worker.running.length - 1;
  return (
    <>
      <Name text={first.key} length={24} />{" "}
      <span class="quiet">{duration(Math.max(0, (overview.value?.now ?? first.since) - first.since))}</span>
      {more > 0 && <span class="quiet"> and {more} more</span>}
    </>
  );
}

function answer(workers: WorkerRow[] | null): string {
  if (!workers) return "Waiting for the first answer of the server.";
  if (workers.length === 0) return "0 workers: none has joined.";
  const count = (state: WorkerRow["state"]) => workers.filter((worker) => worker.state === state).length;
  const trouble = [
    [count("lost"), "lost"],
    [count("paused"), "paused for memory"],
    [count("stopped"), "stopped"],
  ] as const;
  const listed = trouble.filter(([n]) => n > 0).map(([n, text]) => `${integer(n)} ${text}`);
  const threads = workers.reduce((sum, worker) => sum + worker.threads, 0);
  const busy = workers.reduce((sum, worker) => sum + worker.busy, 0);
  const one = workers.length === 1;
  return `${integer(workers.length)} ${one ? "worker" : "workers"}, ${integer(busy)} of ${integer(threads)} threads busy${listed.length ? `; ${listed.join(", ")}` : ""}.`;
}

/** All workers, asked for in parts, so that no answer is large. */
function useAllWorkers() {
  const all = useMemo(() => signal<WorkerRow[] | null>(null), []);
  useEffect(
    () =>
      repeat(
        async (abort) => {
          const list: WorkerRow[] = [];
          let size = 0;
          for (let offset = 0; ; offset += PART) {
            const answer_ = await ask<WorkersAnswer>(`workers?limit=${PART}&offset=${offset}`, abort);
            if (answer_.status !== "new") return null;
            list.push(...answer_.body.workers);
            size += answer_.size;
            if (answer_.body.workers.length === 0 || list.length >= answer_.body.total) break;
          }
          // A stable order: those in trouble first, else as they joined.
          all.value = list.sort((a, b) => (TROUBLE[a.state] ?? 2) - (TROUBLE[b.state] ?? 2));
          return size;
        },
        () => 1000,
      ),
    [all],
  );
  return all;
}
