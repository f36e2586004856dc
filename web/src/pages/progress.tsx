// Progress: every group with its numbers, a page of them at a time.
import { overview, useView } from "../api";
import { ProgressBar } from "../bars";
import { background, paintOf } from "../colours";
import { bytes, duration, integer, percent, range } from "../format";
import { Name } from "../name";
import type { GroupRow, Groups } from "../schema";
import { type Column, SortableTable } from "../table";
import { linkTo, query, setQuery } from "../url";

const PAGE_ROWS = 100;
const SORTS = { first: "first started", tasks: "most tasks", time: "most time", name: "name" };

const COLUMNS: Column<GroupRow>[] = [
  {
    title: "group",
    value: (g) => g.name,
    cell: (g) => (
      <a href={linkTo("stream", { group: g.id })} title="show only this group in the stream">
        <i class="swatch" style={{ background: background(paintOf(g.color)) }} />
        <Name text={g.name} length={60} />
      </a>
    ),
  },
  {
    title: "progress",
    value: (g) => (g.finished + g.erred) / Math.max(1, g.tasks),
    cell: (g) => <ProgressBar group={g} />,
    class: "wide",
  },
  {
    title: "done",
    value: (g) => g.finished,
    cell: (g) => `${integer(g.finished)} / ${integer(g.tasks)}`,
    class: "number",
  },
  { title: "running", value: (g) => g.processing, cell: (g) => integer(g.processing), class: "number" },
  {
    title: "failed",
    value: (g) => g.erred,
    cell: (g) => (g.erred ? <span class="bad">✕ {integer(g.erred)}</span> : "0"),
    class: "number",
  },
  { title: "median", value: (g) => g.median, cell: (g) => duration(g.median), class: "number" },
  { title: "p95", value: (g) => g.p95, cell: (g) => duration(g.p95), class: "number" },
  { title: "time in all", value: (g) => g.seconds, cell: (g) => duration(g.seconds), class: "number" },
  { title: "output", value: (g) => g.out_bytes, cell: (g) => bytes(g.out_bytes), class: "number" },
  { title: "kept", value: (g) => g.kept_bytes, cell: (g) => bytes(g.kept_bytes), class: "number" },
  { title: "left", value: (g) => g.remaining?.high ?? null, cell: (g) => left(g), class: "number" },
];

export function Progress() {
  const sort = query.value.get("sort") ?? "first";
  const offset = Math.max(0, Number(query.value.get("offset")) || 0);
  const groups = useView<Groups>(`groups?limit=${PAGE_ROWS}&offset=${offset}&sort=${sort}`, () => 1000).value;
  return (
    <section class="panel">
      <h1 class="answer">{answer()}</h1>
      {groups && groups.total > PAGE_ROWS && <Pages total={groups.total} offset={offset} sort={sort} />}
      {!groups ? (
        <p class="quiet">Waiting for the first answer.</p>
      ) : groups.groups.length === 0 ? (
        <p class="quiet">No task has been submitted yet: groups appear here as soon as a graph arrives.</p>
      ) : (
        <SortableTable columns={COLUMNS} rows={groups.groups} id={(g) => g.id} />
      )}
    </section>
  );
}

function left(group: GroupRow): string {
  if (group.finished + group.erred >= group.tasks) return "done";
  return group.remaining ? range(group.remaining) : "waiting";
}

function answer(): string {
  const run = overview.value;
  if (!run) return "Waiting for the first answer of the server.";
  const { tasks } = run;
  if (tasks.total === 0) return "0 tasks: nothing has been submitted yet.";
  const ended = tasks.finished + tasks.erred;
  const rest = run.remaining ? `, ${range(run.remaining)} left` : "";
  return `${percent(ended / tasks.total)} done: ${integer(ended)} of ${integer(tasks.total)} tasks in ${integer(run.groups_total)} groups${rest}.`;
}

function Pages({ total, offset, sort }: { total: number; offset: number; sort: string }) {
  return (
    <div class="pager">
      <label>
        order of all groups{" "}
        <select
          value={sort}
          onChange={(event) => setQuery({ sort: event.currentTarget.value, offset: null })}
        >
          {Object.entries(SORTS).map(([value, text]) => (
            <option key={value} value={value}>
              {text}
            </option>
          ))}
        </select>
      </label>
      groups {integer(offset + 1)}–{integer(Math.min(total, offset + PAGE_ROWS))} of {integer(total)}
      <button
        type="button"
        disabled={offset === 0}
        onClick={() => setQuery({ offset: Math.max(0, offset - PAGE_ROWS) })}
      >
        ‹ before
      </button>
      <button
        type="button"
        disabled={offset + PAGE_ROWS >= total}
        onClick={() => setQuery({ offset: offset + PAGE_ROWS })}
      >
        next ›
      </button>
    </div>
  );
}
