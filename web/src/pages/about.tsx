// About: versions, limits and settings of what runs.
import { useView } from "../api";
import { bytes, visible } from "../format";
import type { About as AboutAnswer } from "../schema";

const LONGEST_VALUE = 2000;

export function About() {
  const about = useView<AboutAnswer & { version?: number }>("about", () => 10_000).value;
  if (!about) return <p class="answer">Waiting for the first answer of the server.</p>;
  return (
    <section class="panel">
      <h1 class="answer">Oxidask {String(about.versions?.oxidask ?? "of an unknown version")}</h1>
      {about.note && <p>{about.note}</p>}
      {about.command && (
        <>
          <h2>Command</h2>
          {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by the keyboard. */}
          <pre tabIndex={0}>{about.command.slice(0, LONGEST_VALUE)}</pre>
        </>
      )}
      <div class="columns even">
        <Values title="Versions" values={about.versions} />
        <Values title="Scheduler" values={about.scheduler} />
        <Values title="Limits" values={about.limits} />
        <Values title="Settings" values={about.config} />
      </div>
    </section>
  );
}

function Values({ title, values }: { title: string; values: Record<string, unknown> | null }) {
  const rows = flattened(values ?? {});
  return (
    <div>
      <h2>{title}</h2>
      {rows.length === 0 ? (
        <p class="quiet">Nothing is known.</p>
      ) : (
        <table>
          <tbody>
            {rows.map(([name, value]) => (
              <tr key={name}>
                <th scope="row">{name}</th>
                <td class="value">{value}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </div>
  );
}

/** Nested values by their path: `dashboard.port`. */
function flattened(values: Record<string, unknown>, prefix = ""): [string, string][] {
  return Object.entries(values).flatMap(([name, value]): [string, string][] => {
    const path = prefix ? `${prefix}.${name}` : name;
    if (value !== null && typeof value === "object" && !Array.isArray(value))
      return flattened(value as Record<string, unknown>, path);
    const text =
      value === null || value === undefined
        ? "–"
        : Array.isArray(value)
          ? value.join(", ")
          : typeof value === "number" && name === "memory"
            ? bytes(value)
            : String(value);
    return [[visible(path.slice(0, 200)), visible(text.slice(0, LONGEST_VALUE))]];
  });
}
