// A chart of lines over run time, with a limit where there is one. What is not known leaves a gap.
import { axisSeconds, ticks } from "./format";
import { useWidth } from "./size";
import { Twin } from "./twin";

const AXIS = 20;
const TABLE_ROWS = 60;

export interface Line {
  name: string;
  values: (number | null)[];
  /** The first is drawn as an area, the second solid, the third dashed. */
  look: "area" | "solid" | "dashed";
}

export interface LinesProps {
  title: string;
  t0: number;
  step: number;
  lines: Line[];
  limit?: { value: number; name: string } | null;
  format: (value: number | null) => string;
  height: number;
  /** Room at the left for the scale; the stream has its names there, so that both share the x axis. */
  gutter?: number;
  window?: { t0: number; t1: number };
  /** A lane stands under another picture that has the axis, and its numbers are in a table of all lanes. */
  lane?: boolean;
}

export function Lines({
  title,
  t0,
  step,
  lines,
  limit,
  format,
  height,
  gutter = 70,
  window,
  lane = false,
}: LinesProps) {
  const [box, width] = useWidth<HTMLDivElement>();
  const count = Math.max(0, ...lines.map((line) => line.values.length));
  const known = lines.flatMap((line) => line.values.filter((value) => value !== null));
  if (known.length === 0) return <p class="quiet">{title}: nothing has been measured in this window yet.</p>;
  const from = window?.t0 ?? t0;
  const to = window?.t1 ?? t0 + step * count;
  const top = Math.max(limit?.value ?? 0, ...known, 1e-9) * 1.08;
  const plot = Math.max(1, width.value - gutter);
  const x = (index: number) =>
    gutter + ((t0 + (index + 0.5) * step - from) / Math.max(1e-9, to - from)) * plot;
  const y = (value: number) => height - (value / top) * height;
  const marks = ticks(from, to, plot / 110);
  const gap = (marks[1] ?? 1) - (marks[0] ?? 0);
  const drawing = (
    <div class="lines" ref={box}>
      <div class="lines-head">
        <b>{title}</b>
        {lines.map((line) => (
          <span key={line.name} class="line-name">
            <svg width="22" height="10" aria-hidden="true">
              <path class={`line ${line.look}`} d={line.look === "area" ? "M0 2H22V10H0Z" : "M0 5H22"} />
            </svg>
            {line.name} <b>{format(lastKnown(line.values))}</b>
          </span>
        ))}
        {limit && (
          <span class="line-name">
            <svg width="22" height="10" aria-hidden="true">
              <path class="line limit" d="M0 5H22" />
            </svg>
            {limit.name} <b>{format(limit.value)}</b>
          </span>
        )}
      </div>
      <svg
        width={width.value}
        height={lane ? height : height + AXIS}
        role="img"
        aria-label={spoken(title, lines, limit, format)}
      >
        <rect class="plot" x={gutter} y={0} width={plot} height={height} />
        <text x={gutter - 6} y={10} text-anchor="end">
          {format(top / 1.08)}
        </text>
        <text x={gutter - 6} y={height} text-anchor="end">
          {format(0)}
        </text>
        {/* An inner drawing cuts off what lies beside the window. */}
        <svg x={gutter} width={plot} height={height} aria-hidden="true">
          <g transform={`translate(${-gutter} 0)`}>
            {lines.map((line) => (
              <path key={line.name} class={`line ${line.look}`} d={path(line, x, y, height)} />
            ))}
          </g>
        </svg>
        {limit && <path class="line limit" d={`M${gutter} ${y(limit.value).toFixed(1)}H${gutter + plot}`} />}
        {!lane &&
          marks.map((time) => {
            const place = gutter + ((time - from) / Math.max(1e-9, to - from)) * plot;
            return (
              <text
                key={time}
                x={place}
                y={height + 14}
                text-anchor={place > width.value - 30 ? "end" : place < gutter + 20 ? "start" : "middle"}
              >
                {axisSeconds(time, gap)}
              </text>
            );
          })}
      </svg>
    </div>
  );
  if (lane) return drawing;
  return (
    <Twin
      name={title}
      table={() => <LineTable t0={t0} step={step} lines={lines.map((line) => ({ ...line, format }))} />}
    >
      {drawing}
    </Twin>
  );
}

function path(
  line: Line,
  x: (index: number) => number,
  y: (value: number) => number,
  bottom: number,
): string {
  const parts: string[] = [];
  let open = -1;
  line.values.forEach((value, i) => {
    if (value !== null) {
      const point = `${x(i).toFixed(1)} ${y(value).toFixed(1)}`;
      if (open < 0) parts.push(line.look === "area" ? `M${x(i).toFixed(1)} ${bottom}L${point}` : `M${point}`);
      else parts.push(`L${point}`);
      if (open < 0) open = i;
    }
    const next = line.values[i + 1];
    if (open >= 0 && value !== null && (next === null || next === undefined)) {
      if (line.look === "area") parts.push(`L${x(i).toFixed(1)} ${bottom}Z`);
      open = -1;
    }
  });
  return parts.join("");
}

function lastKnown(values: (number | null)[]): number | null {
  return values.findLast((value) => value !== null) ?? null;
}

function spoken(
  title: string,
  lines: Line[],
  limit: LinesProps["limit"],
  format: LinesProps["format"],
): string {
  const each = lines.map((line) => {
    const known = line.values.filter((value) => value !== null);
    const mean = known.length ? known.reduce((sum, value) => sum + value, 0) / known.length : null;
    return `${line.name}: ${format(mean)} on average, ${format(lastKnown(line.values))} at the end`;
  });
  return `${title}. ${each.join("; ")}${limit ? `; ${limit.name} ${format(limit.value)}` : ""}.`;
}

export interface TableLine {
  name: string;
  values: (number | null)[];
  format: (value: number | null) => string;
}

export function LineTable({ t0, step, lines }: { t0: number; step: number; lines: TableLine[] }) {
  const count = Math.max(0, ...lines.map((line) => line.values.length));
  const stride = Math.max(1, Math.ceil(count / TABLE_ROWS));
  const indexes = Array.from({ length: Math.ceil(count / stride) }, (_, i) => i * stride);
  return (
    <table>
      <thead>
        <tr>
          <th scope="col">run time</th>
          {lines.map((line) => (
            <th key={line.name} scope="col">
              {line.name}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {indexes.map((i) => (
          <tr key={i}>
            <th scope="row">{axisSeconds(t0 + i * step, step * stride)}</th>
            {lines.map((line) => (
              <td key={line.name} class="number">
                {line.format(line.values[i] ?? null)}
              </td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
}
