// Where the drawing of a graph lies on the screen: scale and shift, changed by wheel, drag and keys.
import { type Signal, useSignal } from "@preact/signals";
import type { RefObject } from "preact";
import { useEffect, useMemo, useRef } from "preact/hooks";
import type { Graph } from "./schema";

/** Screen = drawing × scale + shift. */
export interface Placed {
  scale: number;
  x: number;
  y: number;
}

/** Smaller, nobody could read a label: rather show the first part in a size to read. */
const SMALLEST_FIT = 0.8;
/** Of tasks in an open group signs and colours tell: these may be smaller. */
const SMALLEST_OPEN = 0.3;
/** Room around the drawing for the frames of its outermost boxes. */
const MARGIN = 8;
const LARGEST_FIT = 1.4;

export interface GraphMover {
  zoom(factor: number, x?: number, y?: number): void;
  pan(x: number, y: number): void;
  centre(x: number, y: number): void;
  fit(): void;
}

export function usePanZoom(
  surface: RefObject<HTMLDivElement | null>,
  graph: Graph,
  width: number,
  height: number,
  what: string | null,
): { placed: Signal<Placed>; move: GraphMover } {
  const placed = useSignal<Placed>({ scale: 1, x: 0, y: 0 });
  const size = useRef({ graph, width, height });
  size.current = { graph, width, height };
  const touched = useRef(false);
  const move = useMemo<GraphMover>(
    () => ({
      zoom(factor, x = size.current.width / 2, y = size.current.height / 2) {
        touched.current = true;
        const old = placed.value;
        const scale = Math.max(0.02, Math.min(8, old.scale * factor));
        const real = scale / old.scale;
        placed.value = { scale, x: x - (x - old.x) * real, y: y - (y - old.y) * real };
      },
      pan(x, y) {
        touched.current = true;
        placed.value = { ...placed.value, x: placed.value.x + x, y: placed.value.y + y };
      },
      centre(x, y) {
        touched.current = true;
        const { scale } = placed.value;
        placed.value = {
          scale,
          x: size.current.width / 2 - x * scale,
          y: size.current.height / 2 - y * scale,
        };
      },
      fit() {
        touched.current = true;
        placed.value = fitted(size.current.graph, size.current.width, size.current.height, 0);
      },
    }),
    [placed],
  );
  // What is drawn anew is fitted, until the reader moves it.
  useEffect(() => {
    if (!touched.current) placed.value = fitted(graph, width, height);
  }, [graph.width, graph.height, width, height, what]);
  usePointer(surface, move);
  return { placed, move };
}

export function fitted(
  graph: Pick<Graph, "width" | "height" | "nodes">,
  width: number,
  height: number,
  smallest = graph.nodes.some((node) => node.open) ? SMALLEST_OPEN : SMALLEST_FIT,
): Placed {
  const ratio = (room: number, size: number) => (room - 2 * MARGIN) / Math.max(1, size);
  const whole = Math.min(ratio(width, graph.width), ratio(height, graph.height));
  const scale = Math.max(smallest, Math.min(LARGEST_FIT, whole));
  const rest = (room: number, size: number) => Math.max(MARGIN, (room - size * scale) / 2);
  return { scale, x: rest(width, graph.width), y: rest(height, graph.height) };
}

function usePointer(surface: RefObject<HTMLDivElement | null>, move: GraphMover): void {
  useEffect(() => {
    const node = surface.current;
    if (!node) return;
    let from: { x: number; y: number } | null = null;
    let dragged = false;
    const wheel = (event: WheelEvent) => {
      event.preventDefault();
      const frame = node.getBoundingClientRect();
      move.zoom(
        Math.exp(-Math.max(-60, Math.min(60, event.deltaY)) * 0.006),
        event.clientX - frame.left,
        event.clientY - frame.top,
      );
    };
    const down = (event: PointerEvent) => {
      from = { x: event.clientX, y: event.clientY };
      dragged = false;
    };
    const over = (event: PointerEvent) => {
      if (!from || (event.buttons & 1) === 0) return;
      const [x, y] = [event.clientX - from.x, event.clientY - from.y];
      if (!dragged && Math.hypot(x, y) < 4) return;
      dragged = true;
      from = { x: event.clientX, y: event.clientY };
      move.pan(x, y);
    };
    const up = () => {
      from = null;
    };
    // The end of a drag is no click on the box under it.
    const click = (event: MouseEvent) => {
      if (dragged) event.stopPropagation();
      dragged = false;
    };
    const twice = () => move.fit();
    node.addEventListener("wheel", wheel, { passive: false });
    node.addEventListener("pointerdown", down);
    addEventListener("pointermove", over);
    addEventListener("pointerup", up);
    node.addEventListener("click", click, { capture: true });
    node.addEventListener("dblclick", twice);
    return () => {
      node.removeEventListener("wheel", wheel);
      node.removeEventListener("pointerdown", down);
      removeEventListener("pointermove", over);
      removeEventListener("pointerup", up);
      node.removeEventListener("click", click, { capture: true });
      node.removeEventListener("dblclick", twice);
    };
  }, [surface, move]);
}
