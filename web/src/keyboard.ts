// Keys that work on every page. A page adds its own for as long as it is shown.
import { useEffect } from "preact/hooks";

type Handler = (event: KeyboardEvent) => void;
export type Keys = Record<string, Handler>;

const layers: Keys[] = [];

/** The keys of the innermost part of the page win. */
export function useKeys(keys: Keys): void {
  useEffect(() => {
    layers.push(keys);
    return () => {
      layers.splice(layers.indexOf(keys), 1);
    };
  });
}

export function listenToKeys(): void {
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || isTyping(event.target)) return;
    for (const keys of [...layers].reverse()) {
      const handler = keys[event.key];
      if (handler) {
        handler(event);
        event.preventDefault();
        return;
      }
    }
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
  ["t", "light or dark"],
  ["?", "this help"],
  ["Esc", "close, undo the selection"],
];
