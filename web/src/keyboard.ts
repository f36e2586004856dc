// Keys that work on every page. A page adds its own for as long as it is shown.
import { useEffect } from "preact/hooks";

type Handler = (event: KeyboardEvent) => void;
export type Keys = Record<string, Handler>;

/** Keys of a part (a picture) win over those of the whole page. */
const layers: Record<"page" | "part", Keys[]> = { page: [], part: [] };

export function useKeys(keys: Keys, where: "page" | "part" = "part"): void {
  useEffect(() => {
    layers[where].push(keys);
    return () => {
      layers[where].splice(layers[where].indexOf(keys), 1);
    };
  });
}

export function listenToKeys(): void {
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || isTyping(event.target)) return;
    // An open dialog has the keyboard for itself; it closes with Escape by its own means.
    if (document.querySelector("dialog[open]")) return;
    const handler = [...layers.part, ...layers.page].find((keys) => keys[event.key])?.[event.key];
    if (!handler) return;
    handler(event);
    event.preventDefault();
  });
}

function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && /^(INPUT|SELECT|TEXTAREA)$/.test(target.tagName);
}

export const KEY_HELP: [string, string][] = [
  ["1 – 8", "pages: Overview, Stream, Progress, Graph, Headroom, Workers, Errors, About"],
  ["f", "follow the run again (live)"],
  ["p", "pause and go on"],
  ["+  -", "zoom the time window or the graph"],
  ["← → ↑ ↓", "move the time window or the graph"],
  ["PgUp  PgDn", "earlier and later rows of the stream"],
  ["g", "show the group under the cursor alone, or all again"],
  ["e", "errors; there, the next one"],
  ["t", "light or dark"],
  ["?", "this help"],
  ["Esc", "close, undo the selection"],
];
