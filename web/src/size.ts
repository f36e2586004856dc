// How large an element is just now, in CSS pixels.
import { type Signal, useSignal } from "@preact/signals";
import type { RefObject } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";

export function useWidth<T extends HTMLElement>(): [RefObject<T | null>, Signal<number>] {
  const element = useRef<T>(null);
  const width = useSignal(0);
  useLayoutEffect(() => {
    const node = element.current;
    if (!node) return;
    const measure = () => {
      width.value = Math.floor(node.clientWidth);
    };
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(node);
    return () => observer.disconnect();
  }, [width]);
  return [element, width];
}

/** Makes a canvas sharp on this screen and gives its context, scaled by nothing: one unit is one device pixel. */
export function sharpContext(
  canvas: HTMLCanvasElement,
  width: number,
  height: number,
): { context: CanvasRenderingContext2D; ratio: number } | null {
  const ratio = Math.min(3, window.devicePixelRatio || 1);
  const [wide, high] = [Math.max(1, Math.round(width * ratio)), Math.max(1, Math.round(height * ratio))];
  if (canvas.width !== wide) canvas.width = wide;
  if (canvas.height !== high) canvas.height = high;
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const context = canvas.getContext("2d", { alpha: false });
  return context ? { context, ratio } : null;
}
