// Which colour a group or a use of time has. Twelve colours that stay apart with the usual kinds of colour blindness
// (a search chose them; the test measures it), the same in both themes; the next twelve groups have them hatched; all others are grey.
import type { BinName } from "./schema";

export const PALETTE = [
  "#0089f0",
  "#ff7a3a",
  "#178599",
  "#ffbc00",
  "#6b00f1",
  "#a22832",
  "#4ac1a0",
  "#c13600",
  "#fba0fc",
  "#b30e6f",
  "#9534af",
  "#b6cb81",
] as const;
const OTHER = "#8c929a";

export interface Paint {
  colour: string;
  hatched: boolean;
}

export function paintOf(index: number | null | undefined): Paint {
  if (index === null || index === undefined || index < 0) return { colour: OTHER, hatched: false };
  const colour = PALETTE[index % PALETTE.length] ?? OTHER;
  if (index < PALETTE.length) return { colour, hatched: false };
  return index < 2 * PALETTE.length ? { colour, hatched: true } : { colour: OTHER, hatched: false };
}

/** As a CSS background, for bars and swatches. */
export function background(paint: Paint): string {
  if (!paint.hatched) return paint.colour;
  return `repeating-linear-gradient(135deg, ${paint.colour} 0 3px, ${mixed(paint.colour)} 3px 6px)`;
}

/** The second colour of a hatch: half way to white, so that it stays apart in both themes. */
export function mixed(colour: string): string {
  const [red, green, blue] = parts(colour);
  const half = (value: number) => Math.round(value + (255 - value) * 0.6);
  return `rgb(${half(red)}, ${half(green)}, ${half(blue)})`;
}

export function parts(colour: string): [number, number, number] {
  const value = Number.parseInt(colour.slice(1), 16);
  return [(value >> 16) & 255, (value >> 8) & 255, value & 255];
}

export const BIN_LABELS: Record<BinName, string> = {
  compute: "computing",
  gil: "waiting for the GIL",
  blocked: "tasks sleep or wait for I/O",
  transfer: "waiting for data",
  disk: "reading and writing disk",
  paused: "paused for memory",
  serialize: "packing results",
  overhead: "between tasks",
  scheduler: "waiting for the scheduler",
  starved: "no task to run",
  unknown: "unknown",
};

const stripes = (one: string, two: string) =>
  `repeating-linear-gradient(135deg, ${one} 0 5px, ${two} 5px 10px)`;
const dots = (one: string, two: string) =>
  `radial-gradient(circle at 3px 3px, ${one} 1.6px, ${two} 1.8px) 0 0 / 6px 6px`;

/** Computing is solid; whatever keeps a thread from it has a pattern, so that none is told by colour alone. */
export const BIN_BACKGROUNDS: Record<BinName, string> = {
  compute: "#0089f0",
  gil: dots("#50565e", "#b4bac2"),
  blocked: dots("#ffffff", "#9a4de0"),
  transfer: stripes("#e20134", "#ff9aa9"),
  disk: stripes("#e07000", "#ffc680"),
  paused: stripes("#8a2be2", "#d9b3ff"),
  serialize: stripes("#00806a", "#80dcc8"),
  overhead: stripes("#7a5c00", "#d8c27a"),
  scheduler: stripes("#a8327f", "#e9a9d0"),
  starved: dots("#9aa1aa", "#e4e7eb"),
  unknown: "#8c929a",
};
