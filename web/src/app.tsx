// The frame around every page: the top bar, the way to the pages, the help.
import { useSignal } from "@preact/signals";
import type { ComponentType } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { connection, keepUpToDate, overview, pace, paused } from "./api";
import { Boundary } from "./boundary";
import { bytes, duration, integer, percent, range } from "./format";
import { KEY_HELP, type Keys, useKeys } from "./keyboard";
import { About } from "./pages/about";
import { Errors } from "./pages/errors";
import { Graph } from "./pages/graph";
import { Headroom } from "./pages/headroom";
import { Overview } from "./pages/overview";
import { Progress } from "./pages/progress";
import { StreamPage } from "./pages/stream";
import { Workers } from "./pages/workers";
import { dark, toggleTheme } from "./theme";
import { follow, go, linkTo, PAGES, type PagePath, page } from "./url";

const VIEWS: Record<PagePath, ComponentType> = {
  status: Overview,
  stream: StreamPage,
  progress: Progress,
  graph: Graph,
  headroom: Headroom,
  workers: Workers,
  errors: Errors,
  about: About,
};

/** Pages that show the overview only in the top bar need it less often. */
const slowPace = () => (page.value === "status" || page.value === "stream" ? pace() : 1000);

export function App() {
  const help = useSignal(false);
  useEffect(() => keepUpToDate("overview", overview, slowPace), []);
  const title = titleOf(page.value);
  useEffect(() => {
    document.title = title;
  }, [title]);
  const keys: Keys = {
    "?": () => {
      help.value = true;
    },
    t: toggleTheme,
    p: togglePause,
    e: () => go("errors"),
  };
  for (const known of PAGES) keys[known.key] = () => go(known.path);
  useKeys(keys, "page");
  const View = VIEWS[page.value];
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions lint/a11y/useKeyWithClickEvents: catches clicks on links, which keys make, too.
    <div class="app" onClick={stayOnPage}>
      <a class="skip" href="#main">
        to the content
      </a>
      <TopBar onHelp={() => (help.value = true)} />
      <nav aria-label="pages">
        {PAGES.map((known) => (
          <a
            key={known.path}
            href={linkTo(known.path)}
            aria-current={known.path === page.value ? "page" : undefined}
          >
            {known.title} <kbd>{known.key}</kbd>
          </a>
        ))}
      </nav>
      <main id="main" tabIndex={-1}>
        <Boundary key={page.value}>
          <View />
        </Boundary>
      </main>
      {help.value && <Help close={() => (help.value = false)} />}
    </div>
  );
}

/** The share that is done comes first: it is what fits into a tab. */
function titleOf(path: PagePath): string {
  const name = PAGES.find((known) => known.path === path)?.title ?? "";
  const tasks = overview.value?.tasks;
  const done = tasks && tasks.total > 0 ? `${percent((tasks.finished + tasks.erred) / tasks.total)} · ` : "";
  return `${done}${name} · Oxidask`;
}

function stayOnPage(event: MouseEvent): void {
  if (event.defaultPrevented || event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey)
    return;
  const link = (event.target as Element).closest?.("a");
  const href = link?.getAttribute("href");
  if (href?.startsWith("./") && follow(href)) event.preventDefault();
}

function togglePause(): void {
  paused.value = !paused.value;
}

const STATE_TEXT = { running: "running", idle: "idle", ended: "ended", replay: "replay" };

function TopBar({ onHelp }: { onHelp: () => void }) {
  const run = overview.value;
  const dot = connection.value;
  const state = run && dot.kind === "ended" ? "ended" : (run?.state ?? "idle");
  return (
    <header>
      <strong class="brand">Oxidask</strong>
      {run && (
        <>
          <span class={`state ${state}`}>{STATE_TEXT[state] ?? state}</span>
          <span>
            <span class="quiet">elapsed</span> {duration(run.now)}
          </span>
          {run.remaining && state === "running" && (
            <span>
              <span class="quiet">left</span> {range(run.remaining)}
            </span>
          )}
          <a class="verdict-chip" href={linkTo("status")} title={run.verdict.sentence}>
            {run.verdict.verdict}
          </a>
          <span>
            <span class="quiet">threads busy</span> {integer(run.busy)} / {integer(run.threads)}
          </span>
          <span>
            <span class="quiet">memory</span> {bytes(run.memory.used)}
            {run.memory.limit ? ` / ${bytes(run.memory.limit)}` : ""}
          </span>
        </>
      )}
      <span class="spring" />
      <span class={`dot ${dot.kind}`} role="status">
        <i />
        {dot.text}
      </span>
      <button type="button" onClick={togglePause} aria-pressed={paused.value} title="pause and go on (p)">
        {paused.value ? "Go on" : "Pause"}
      </button>
      <button type="button" onClick={toggleTheme} title="light or dark (t)">
        {dark.value ? "Light" : "Dark"}
      </button>
      <button type="button" onClick={onHelp} title="keys (?)" aria-label="help: keys">
        ?
      </button>
    </header>
  );
}

function Help({ close }: { close: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog ref={dialog} onClose={close} aria-label="keys">
      <h2>Keys</h2>
      <dl class="keys">
        {KEY_HELP.map(([key, what]) => (
          <div key={key}>
            <dt>
              <kbd>{key}</kbd>
            </dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
      <p class="quiet">
        In the stream: the wheel zooms at the cursor, dragging pans, dragging with Shift chooses a window of
        time, a click pins what is under it, a double click resets.
      </p>
      <button type="button" onClick={close}>
        Close
      </button>
    </dialog>
  );
}
