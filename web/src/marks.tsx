// Events of the run as a list: when, how serious, what.
import { duration } from "./format";
import { Name } from "./name";
import type { Mark } from "./schema";

/** Shape and word, so that a level is not told by colour alone. */
const SIGNS = { info: "·", warning: "▲", error: "✕" };

export function MarkList({ marks, length = 240 }: { marks: Mark[]; length?: number }) {
  return (
    <ul class="marks">
      {marks.map((mark, i) => (
        <li key={`${i}-${mark.t}-${mark.kind}`} class={mark.level}>
          <span class="number">{duration(mark.t)}</span>
          <span class="sign">
            {SIGNS[mark.level] ?? "·"} {mark.level}
          </span>
          <span class="kind">{mark.kind}</span>
          <Name text={mark.text} length={length} />
        </li>
      ))}
    </ul>
  );
}
