// Errors & events: what failed, grouped by exception, and what happened in the run.
import { useView } from "../api";
import { duration, integer, visible } from "../format";
import { useKeys } from "../keyboard";
import { MarkList } from "../marks";
import { Name } from "../name";
import type { Errors as ErrorsAnswer, Marks } from "../schema";
import { linkTo, query, setQuery } from "../url";

const LEVELS = ["info", "warning", "error"] as const;
const LONGEST_TRACEBACK = 20_000;

export function Errors() {
  const errors = useView<ErrorsAnswer>("errors?limit=100", () => 1000).value;
  const marks = useView<Marks>("marks?limit=500", () => 1000).value;
  useKeys({ e: openNext });
  return (
    <>
      <section class="panel">
        <h1 class="answer">{answer(errors)}</h1>
        {errors?.errors.map((error, i) => (
          <details key={`${error.exception}-${error.group}`} class="error" open={i === 0}>
            <summary>
              <b class="bad">✕ {integer(error.count)}</b> <Name text={error.exception} length={120} />
              <span class="quiet">
                {error.name !== null && (
                  <>
                    {" "}
                    in <Name text={error.name} length={40} />
                  </>
                )}
                , first at {duration(error.first)}
                {error.count > 1 && `, last at ${duration(error.last)}`}
              </span>
            </summary>
            {error.key !== null && (
              <p class="quiet">
                first failed: <Name text={error.key} length={120} />{" "}
                {error.group !== null && (
                  <a href={linkTo("stream", { group: error.group })}>its group in the stream</a>
                )}
              </p>
            )}
            {error.traceback ? (
              // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by the keyboard.
              <pre tabIndex={0}>{error.traceback.slice(0, LONGEST_TRACEBACK)}</pre>
            ) : (
              <p class="quiet">No traceback was kept.</p>
            )}
          </details>
        ))}
        {errors && errors.total > errors.errors.length && (
          <p class="quiet">and {integer(errors.total - errors.errors.length)} more kinds of error</p>
        )}
      </section>
      <section class="panel">
        <h2>Events</h2>
        <Events marks={marks} />
      </section>
    </>
  );
}

/** Opens the error after the one that has the focus, and goes there. */
function openNext(): void {
  const all = [...document.querySelectorAll<HTMLDetailsElement>("details.error")];
  const here = all.findIndex((error) => error.contains(document.activeElement));
  const next = all[(here + 1) % Math.max(1, all.length)];
  if (!next) return;
  next.open = true;
  next.querySelector("summary")?.focus();
}

function answer(errors: ErrorsAnswer | null): string {
  if (!errors) return "Waiting for the first answer of the server.";
  if (errors.errors.length === 0) return "0 errors: no task has failed.";
  const most = errors.errors.reduce((one, other) => (other.count > one.count ? other : one));
  const often = `, ${most.count > 1 ? "most often" : "first"} ${visible(most.exception.slice(0, 80))}`;
  const failed = errors.tasks;
  const ways = errors.total;
  return `${integer(failed)} ${failed === 1 ? "task has" : "tasks have"} failed, in ${integer(ways)} ${ways === 1 ? "way" : "ways"}${often}.`;
}

function Events({ marks }: { marks: Marks | null }) {
  const level = query.value.get("level");
  if (!marks) return <p class="quiet">Waiting for the first answer.</p>;
  if (marks.marks.length === 0)
    return <p class="quiet">Nothing has happened yet: joins, losses, pauses and spills appear here.</p>;
  const shown = marks.marks
    .filter((mark) => level === null || mark.level === level)
    .sort((a, b) => b.t - a.t);
  return (
    <>
      <fieldset class="legend" aria-label="level of events">
        <button
          type="button"
          class="chip"
          aria-pressed={level === null}
          onClick={() => setQuery({ level: null })}
        >
          all {integer(marks.marks.length)}
        </button>
        {LEVELS.map((known) => (
          <button
            key={known}
            type="button"
            class="chip"
            aria-pressed={level === known}
            onClick={() => setQuery({ level: known })}
          >
            {known} {integer(marks.marks.filter((mark) => mark.level === known).length)}
          </button>
        ))}
      </fieldset>
      {shown.length > 0 ? (
        <MarkList marks={shown} length={600} />
      ) : (
        <p class="quiet">No event of the level {level}.</p>
      )}
    </>
  );
}
