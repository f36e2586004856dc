// Stream: the task stream on the whole page, what the window shows in a sentence, and the run's lines under it.
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { overview, useView } from "../api";
import { TimeBar } from "../bars";
import { unbroken } from "../format";
import type { Verdict } from "../schema";
import { Stream } from "../stream";
import { timeWindow } from "../url";

const ROOM_AROUND = 380;

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
  const chosen = timeWindow.value;
  const path = chosen ? `verdict?t0=${chosen.t0}&t1=${chosen.t1}` : "verdict";
  const verdict = useView<Verdict>(path, () => 1000).value;
  return (
    <section class="panel">
      <h1 class="answer">{unbroken(sentence(verdict, chosen !== null))}</h1>
      {verdict && <TimeBar bins={verdict.bins} />}
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
      <Stream height={height.value} sort={sort.value} />
    </section>
  );
}

function sentence(verdict: Verdict | null, inWindow: boolean): string {
  if (!verdict) return overview.value?.verdict.sentence ?? "Waiting for the first answer of the server.";
  return inWindow ? `In this window: ${verdict.sentence}` : verdict.sentence;
}

function roomForRows(): number {
  return Math.max(160, innerHeight - ROOM_AROUND);
}
