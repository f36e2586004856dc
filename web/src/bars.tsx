// Bars: how far a group is, how full a memory is, and where the time of the threads went.
import { BIN_BACKGROUNDS, BIN_LABELS, background, paintOf } from "./colours";
import { bytes, integer, percent, range } from "./format";
import { Name } from "./name";
import { BIN_NAMES, type BinName, type Bins, type GroupRow } from "./schema";
import { linkTo } from "./url";

/** Parts narrower than this carry their label in the line below. */
const ROOM_FOR_LABEL = 0.16;

export function TimeBar({ bins, labels = true }: { bins: Bins; labels?: boolean }) {
  const partsShown = BIN_NAMES.map((name) => ({ name, share: Math.max(0, bins[name] ?? 0) })).filter(
    (p) => p.share >= 0.001,
  );
  const sentence = binSentence(bins);
  if (partsShown.length === 0)
    return labels ? <p class="quiet">No thread has spent time yet.</p> : <span class="quiet">–</span>;
  if (!labels) {
    return (
      <span class="time-bar small" role="img" aria-label={sentence} title={sentence}>
        {partsShown.map((part) => (
          <Part key={part.name} {...part} />
        ))}
      </span>
    );
  }
  const small = partsShown.filter((part) => part.share < ROOM_FOR_LABEL);
  return (
    <div class="time-bar-block" role="img" aria-label={`Where thread time went: ${sentence}`}>
      <div class="time-bar">
        {partsShown.map((part) => (
          <Part key={part.name} {...part} />
        ))}
      </div>
      <div class="time-labels">
        {partsShown.map((part) => (
          <span key={part.name} style={{ flexGrow: part.share }}>
            {part.share >= ROOM_FOR_LABEL && <BinLabel {...part} />}
          </span>
        ))}
      </div>
      {small.length > 0 && (
        <div class="time-small">
          {small.map((part) => (
            <BinLabel key={part.name} {...part} />
          ))}
        </div>
      )}
    </div>
  );
}

function Part({ name, share }: { name: BinName; share: number }) {
  return (
    <span
      class="part"
      title={`${percent(share)} ${BIN_LABELS[name]}`}
      style={{ flexGrow: share, background: BIN_BACKGROUNDS[name] }}
    />
  );
}

function BinLabel({ name, share }: { name: BinName; share: number }) {
  return (
    <span class="bin-label">
      <i class="swatch" style={{ background: BIN_BACKGROUNDS[name] }} />
      <b>{percent(share)}</b> {BIN_LABELS[name]}
    </span>
  );
}

export function binSentence(bins: Bins): string {
  return BIN_NAMES.filter((name) => (bins[name] ?? 0) >= 0.005)
    .sort((a, b) => (bins[b] ?? 0) - (bins[a] ?? 0))
    .map((name) => `${percent(bins[name])} ${BIN_LABELS[name]}`)
    .join(", ");
}

/** Done is solid, running now half as strong, failed black with a cross. */
export function ProgressBar({
  group,
}: {
  group: Pick<GroupRow, "tasks" | "finished" | "processing" | "erred" | "color">;
}) {
  const total = Math.max(1, group.tasks);
  const fill = background(paintOf(group.color));
  return (
    <span
      class="progress"
      role="progressbar"
      aria-label="finished tasks"
      aria-valuemin={0}
      aria-valuemax={group.tasks}
      aria-valuenow={group.finished + group.erred}
    >
      <span class="done" style={{ width: `${(group.finished / total) * 100}%`, background: fill }} />
      <span class="erred" style={{ width: `${(group.erred / total) * 100}%` }} />
      <span class="running" style={{ width: `${(group.processing / total) * 100}%`, background: fill }} />
    </span>
  );
}

export function GroupProgress({ group }: { group: GroupRow }) {
  const ended = group.finished + group.erred;
  return (
    <tr>
      <th scope="row">
        <a href={linkTo("stream", { group: group.id })} title="show only this group in the stream">
          <i class="swatch" style={{ background: background(paintOf(group.color)) }} />
          <Name text={group.name} length={60} />
        </a>
      </th>
      <td class="wide">
        <ProgressBar group={group} />
      </td>
      <td class="number">
        {integer(ended)} / {integer(group.tasks)}
        {group.erred > 0 && <span class="bad"> ✕ {integer(group.erred)} failed</span>}
        {group.no_worker > 0 && <span class="bad"> {integer(group.no_worker)} without a worker</span>}
      </td>
      <td class="number">
        {ended >= group.tasks ? "done" : group.remaining ? range(group.remaining) : "waiting"}
      </td>
    </tr>
  );
}

export function MemoryBar({
  used,
  limit,
  stored,
  spilled,
}: {
  used: number | null;
  limit: number | null;
  stored: number | null;
  spilled: number | null;
}) {
  const whole = Math.max(limit ?? 0, used ?? 0, stored ?? 0, 1);
  const share = limit ? (used ?? 0) / limit : null;
  const sentence = `${bytes(used)}${limit ? ` of ${bytes(limit)}` : ", no limit"}, ${bytes(stored)} of results${spilled ? `, ${bytes(spilled)} on disk` : ""}`;
  return (
    <span class="memory" role="img" aria-label={sentence} title={sentence}>
      <span
        class={share !== null && share > 0.8 ? "used full" : "used"}
        style={{ width: `${((used ?? 0) / whole) * 100}%` }}
      />
      <span class="stored" style={{ width: `${(Math.min(stored ?? 0, whole) / whole) * 100}%` }} />
    </span>
  );
}
