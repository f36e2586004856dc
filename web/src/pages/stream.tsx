// Stream: the task stream on the whole page, what the window shows in a sentence, and the run's lines under it.
import { type Signal, useSignal } from "@preact/signals";
import { useCallback, useEffect, useRef } from "preact/hooks";
import { ask, overview, repeat, useView } from "../api";
import { TimeBar } from "../bars";
import { bytes, decimal, unbroken } from "../format";
import { Lines, LineTable } from "../lines";
import type { Series, Verdict } from "../schema";
import { GUTTER, Stream } from "../stream";
import { Twin } from "../twin";
import { type TimeWindow, timeWindow } from "../url";

/** Leaves room for the sentence and the bar above, and for the lanes below. */
const ROOM_AROUND = 620;

export function StreamPage() {
  const sort = useSignal<"worker" | "idle">("worker");
  const height = useSignal(roomForRows());
  useEffect(() => {
    const measure = () => {
      height.value = roomForRows();
    };
    addEventListener("resize", measure);
    return () => removeEventListener("resize", measure);
  }, [height]);
  const view = useSignal<TimeWindow | null>(null);
  const see = useCallback(
    (next: TimeWindow) => {
      view.value = next;
    },
    [view],
  );
  const chosen = timeWindow.value;
  const path = chosen ? `verdict?t0=${chosen.t0}&t1=${chosen.t1}` : "verdict";
  const verdict = useView<Verdict>(path, () => 1000).value;
  return (
    <section class="panel">
      <h1 class="answer">{unbroken(sentence(verdict, chosen !== null))}</h1>
      {verdict && <TimeBar bins={verdict.bins} />}
      <Stream height={height.value} sort={sort.value} tools={<Order sort={sort} />} onView={see} />
      {view.value && <Lanes view={view.value} />}
    </section>
  );
}

function Order({ sort }: { sort: Signal<"worker" | "idle"> }) {
  return (
    <label class="choice">
      order of rows{" "}
      <select
        value={sort.value}
        onChange={(event) => {
          sort.value = event.currentTarget.value === "idle" ? "idle" : "worker";
        }}
      >
        <option value="worker">by worker</option>
        <option value="idle">most idle first</option>
      </select>
    </label>
  );
}

/** Lines under the stream, on the same x axis. */
function Lanes({ view }: { view: TimeWindow }) {
  const series = useSignal<Series | null>(null);
  const wanted = useRef(view);
  wanted.current = view;
  const answered = useRef("");
  useEffect(
    () =>
      repeat(
        async (abort) => {
          const { t0, t1 } = wanted.current;
          // Lines of a run that rests stay as they are.
          const question = `${t0} ${t1}`;
          if (overview.value?.state !== "running" && answered.current === question) return 0;
          const answer = await ask<Series>(
            `series?names=busy,memory,tasks_per_s&t0=${t0.toFixed(6)}&t1=${t1.toFixed(6)}&px=200`,
            abort,
          );
          if (answer.status === "new") {
            series.value = answer.body;
            answered.current = question;
          }
          return answer.status === "failed" ? null : answer.status === "new" ? answer.size : 0;
        },
        () => 1000,
      ),
    [series],
  );
  const shown = series.value;
  if (!shown) return <p class="quiet">Waiting for the lines of threads, memory and tasks per second.</p>;
  return (
    <Twin
      name="threads, memory and tasks per second"
      table={() => (
        <LineTable
          t0={shown.t0}
          step={shown.step}
          lines={LANES.map(({ name, title, format }) => ({
            name: title,
            values: shown.series[name] ?? [],
            format,
          }))}
        />
      )}
    >
      <div class="lanes">
        {LANES.map(({ name, title, format, limit }) => {
          const top = shown.limits[name];
          return (
            <Lines
              key={name}
              title={title}
              t0={shown.t0}
              step={shown.step}
              lines={[{ name: "at the end", values: shown.series[name] ?? [], look: "area" }]}
              limit={top ? { value: top, name: limit } : null}
              format={format}
              height={46}
              gutter={GUTTER}
              window={view}
              lane
            />
          );
        })}
      </div>
    </Twin>
  );
}

const LANES = [
  { name: "busy", title: "threads busy", format: decimal, limit: "threads" },
  { name: "memory", title: "memory", format: bytes, limit: "limit" },
  { name: "tasks_per_s", title: "tasks per second", format: decimal, limit: "limit" },
];

function sentence(verdict: Verdict | null, inWindow: boolean): string {
  if (!verdict) return overview.value?.verdict.sentence ?? "Waiting for the first answer of the server.";
  return inWindow ? `In this window: ${verdict.sentence}` : verdict.sentence;
}

function roomForRows(): number {
  return Math.max(260, innerHeight - ROOM_AROUND);
}
