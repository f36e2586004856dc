// Paints tiles as pixels: one line of colours per row, copied downwards. A million spans cost what their tiles cost.
import { mixed, type Paint, paintOf, parts } from "./colours";
import type { StreamAnswer } from "./schema";
import { EDGE_FLAG, ERROR_FLAG, PACKING, type Tiles } from "./stream_picture";

type Colour = [number, number, number];

export interface Surface {
  /** All sizes in pixels of the device. */
  rowHeight: number;
  gap: number;
  background: Colour;
}

/** A busy column is never fainter than this, or short tasks would vanish. */
const FAINTEST = 0.4;
/** Where one task ends and the next begins the colour is thin. */
const EDGE = 0.4;
const HATCH = 8;
const PACKING_PAINT: Paint = { colour: "#00806a", hatched: true };

export function image(
  tiles: Tiles,
  rows: number,
  groups: StreamAnswer["groups"],
  isolated: number | null,
  surface: Surface,
): ImageData {
  const { columns } = tiles;
  const picture = new ImageData(columns, Math.max(1, rows * surface.rowHeight));
  const pixels = new Uint32Array(picture.data.buffer);
  const empty = packed(surface.background);
  pixels.fill(empty);
  const paints = new Map<number, { solid: Colour; second: Colour | null }>();
  const paintFor = (group: number) => {
    let paint = paints.get(group);
    if (!paint) {
      paint = coloursOf(group, groups, isolated);
      paints.set(group, paint);
    }
    return paint;
  };
  const line = new Uint32Array(columns);
  const second = new Uint32Array(columns);
  for (let row = 0; row < rows; row++) {
    let hatched = false;
    let last = -1;
    for (let x = 0; x < columns; x++) {
      const cell = row * columns + x;
      const group = tiles.group[cell] ?? 0;
      const busy = tiles.busy[cell] ?? 0;
      if (group === 0 || busy === 0) {
        line[x] = empty;
        second[x] = empty;
        last = -1;
        continue;
      }
      const edge = (tiles.flags[cell] ?? 0) & EDGE_FLAG;
      // Most columns look as the one before.
      const look = ((group << 8) | busy) * 4 + edge;
      if (look === last) {
        line[x] = line[x - 1] as number;
        second[x] = second[x - 1] as number;
        continue;
      }
      last = look;
      const paint = paintFor(group);
      const strength = (FAINTEST + (1 - FAINTEST) * (busy / 255)) * (edge ? EDGE : 1);
      line[x] = blended(paint.solid, surface.background, strength);
      second[x] = paint.second ? blended(paint.second, surface.background, strength) : (line[x] as number);
      hatched ||= paint.second !== null;
    }
    fillRow(pixels, columns, row, surface, line, hatched ? second : null);
  }
  return picture;
}

function fillRow(
  pixels: Uint32Array,
  columns: number,
  row: number,
  surface: Surface,
  line: Uint32Array,
  second: Uint32Array | null,
): void {
  const top = row * surface.rowHeight;
  for (let y = 0; y < surface.rowHeight - surface.gap; y++) {
    const start = (top + y) * columns;
    pixels.set(line, start);
    if (!second) continue;
    for (let x = 0; x < columns; x++)
      if ((x + y) % HATCH >= HATCH / 2) pixels[start + x] = second[x] as number;
  }
}

function coloursOf(group: number, groups: StreamAnswer["groups"], isolated: number | null) {
  const id = group - 1;
  if (isolated !== null && isolated !== id) return { solid: [158, 163, 170] as Colour, second: null };
  const paint = group === PACKING ? PACKING_PAINT : paintOf(groups[String(id)]?.color ?? null);
  return { solid: parts(paint.colour), second: paint.hatched ? rgb(mixed(paint.colour)) : null };
}

function rgb(text: string): Colour {
  const [red = 0, green = 0, blue = 0] = (text.match(/\d+/g) ?? []).map(Number);
  return [red, green, blue];
}

function packed([red, green, blue]: Colour): number {
  return ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;
}

function blended(front: Colour, back: Colour, strength: number): number {
  const red = back[0] + (front[0] - back[0]) * strength;
  const green = back[1] + (front[1] - back[1]) * strength;
  const blue = back[2] + (front[2] - back[2]) * strength;
  return ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;
}

/** Errors are black with a white cross, however short they were. */
export function drawErrors(
  context: CanvasRenderingContext2D,
  tiles: Tiles,
  rows: number,
  left: number,
  surface: Surface,
): void {
  const height = surface.rowHeight - surface.gap;
  const narrowest = Math.min(14, Math.max(4, height));
  for (let row = 0; row < rows; row++) {
    const failed = (x: number) => ((tiles.flags[row * tiles.columns + x] ?? 0) & ERROR_FLAG) !== 0;
    for (let x = 0; x < tiles.columns; x++) {
      if (!failed(x)) continue;
      let end = x;
      while (end < tiles.columns && failed(end)) end++;
      const width = Math.max(narrowest, end - x);
      drawError(context, left + x, row * surface.rowHeight, width, height);
      x = Math.max(end, x + narrowest);
    }
  }
}

function drawError(
  context: CanvasRenderingContext2D,
  x: number,
  y: number,
  width: number,
  height: number,
): void {
  context.fillStyle = "#000";
  context.fillRect(x, y, width, height);
  context.strokeStyle = "#fff";
  context.lineWidth = 1;
  context.strokeRect(x + 0.5, y + 0.5, width - 1, height - 1);
  const arm = Math.min(width, height) / 2 - 2;
  if (arm < 1) return;
  const [middleX, middleY] = [x + width / 2, y + height / 2];
  context.lineWidth = Math.max(1.2, arm / 3);
  context.beginPath();
  context.moveTo(middleX - arm, middleY - arm);
  context.lineTo(middleX + arm, middleY + arm);
  context.moveTo(middleX + arm, middleY - arm);
  context.lineTo(middleX - arm, middleY + arm);
  context.stroke();
}

/** A task that still runs has no end: its bar ends in an arrow. */
export function drawOpenEnd(
  context: CanvasRenderingContext2D,
  x: number,
  y: number,
  height: number,
  colour: string,
): void {
  const width = Math.min(8, height / 2 + 2);
  context.fillStyle = colour;
  context.beginPath();
  context.moveTo(x, y);
  context.lineTo(x + width, y + height / 2);
  context.lineTo(x, y + height);
  context.fill();
}
