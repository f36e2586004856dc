import { expect, test } from "vitest";
import type { StreamAnswer } from "./schema";
import { binned, ERROR_FLAG, joined, pictureOf, sampled, spanAt } from "./stream_picture";

const ROW = { id: 0, worker: 1, name: "0", thread: 0, merged: 1 };
type Span = [start: number, duration: number, group: number, kind?: number];

function answer(values: Partial<StreamAnswer>): StreamAnswer {
  return {
    version: 1,
    t0: 0,
    t1: 10,
    step: 1,
    px: 10,
    rows_total: 1,
    rows: [ROW],
    mode: "spans",
    groups: {},
    oldest: 0,
    dropped: 0,
    ...values,
  };
}

function spansOf(list: Span[]) {
  return {
    row: list.map(() => 0),
    start: list.map(([start]) => start),
    duration: list.map(([, duration]) => duration),
    group: list.map(([, , group]) => group),
    kind: list.map(([, , , kind]) => kind ?? 0),
    task: list.map((_, i) => i),
  };
}

function tilesAnswer(t0: number, groups: number[]): StreamAnswer {
  const base64 = (bytes: number[]) => btoa(String.fromCharCode(...bytes));
  return answer({
    mode: "tiles",
    t0,
    t1: t0 + groups.length,
    px: groups.length,
    group: base64(groups.flatMap((group) => [group & 255, group >> 8])),
    busy: base64(groups.map((group) => (group ? 255 : 0))),
    flags: base64(groups.map(() => 0)),
  });
}

const groupsOf = (tiles: { group: Uint16Array }) => Array.from(tiles.group);

test("a column has the colour of the group that took most of it, and all that was busy", () => {
  const tiles = binned(
    spansOf([
      [0, 0.3, 1],
      [0.3, 0.6, 2],
      [2, 1, 1, 1],
    ]),
    1,
    { t0: 0, t1: 4 },
    4,
  );
  expect(groupsOf(tiles)).toEqual([3, 0, 2, 0]);
  expect(Array.from(tiles.busy)).toEqual([230, 0, 255, 0]);
  expect((tiles.flags[2] ?? 0) & ERROR_FLAG).toBe(ERROR_FLAG);
});

test("group numbers above 255 come through the tiles", () => {
  expect(groupsOf(sampled(pictureOf(tilesAnswer(0, [1, 700, 0])), { t0: 0, t1: 3 }, 3))).toEqual([1, 700, 0]);
});

test("a new part replaces the end of the tiles and moves the picture", () => {
  const whole = joined(pictureOf(tilesAnswer(0, [1, 1, 1, 2])), pictureOf(tilesAnswer(3, [3, 3, 3])), 2);
  expect(whole && groupsOf(sampled(whole, { t0: 2, t1: 6 }, 4))).toEqual([1, 3, 3, 3]);
});

test("a part in finer steps is joined on the grid of the picture", () => {
  const fine = pictureOf({ ...tilesAnswer(2, [4, 4, 4, 4, 5, 5, 5, 5]), step: 0.25, t1: 4 });
  const whole = joined(pictureOf(tilesAnswer(0, [1, 1, 1])), fine, 0);
  expect(whole && groupsOf(sampled(whole, { t0: 0, t1: 4 }, 4))).toEqual([1, 1, 4, 5]);
  expect(whole?.step).toBe(1);
});

test("tiles take a part that came as spans", () => {
  const part = pictureOf(answer({ t0: 4, t1: 6, px: 2, spans: spansOf([[4, 2, 6]]) }));
  const whole = joined(pictureOf(tilesAnswer(0, [1, 1, 1, 1])), part, 0);
  expect(whole && groupsOf(sampled(whole, { t0: 0, t1: 6 }, 6))).toEqual([1, 1, 1, 1, 7, 7]);
});

test("a task that was running is not counted twice when it has ended", () => {
  const old = pictureOf(
    answer({
      t1: 5,
      spans: spansOf([
        [0, 1, 1],
        [3, 2, 2, 3],
      ]),
    }),
  );
  const part = pictureOf(
    answer({
      t0: 4,
      t1: 7,
      spans: spansOf([
        [3, 2.5, 2],
        [6, 1, 1, 3],
      ]),
    }),
  );
  const whole = joined(old, part, 0);
  expect(whole?.spans?.start).toEqual([0, 3, 6]);
  expect(whole?.spans && spanAt(whole.spans, 0, 5.2, 0)).toBe(1);
});

test("a part with other rows, or after a gap, asks for all anew", () => {
  const old = pictureOf(tilesAnswer(0, [1, 1]));
  expect(joined(old, pictureOf({ ...tilesAnswer(2, [1]), rows: [{ ...ROW, id: 9 }] }), 0)).toBeNull();
  expect(joined(old, pictureOf(tilesAnswer(5, [1])), 0)).toBeNull();
});

test("zoomed out, a column takes the busiest of its tiles and the mean share", () => {
  const tiles = sampled(pictureOf(tilesAnswer(0, [0, 5, 0, 0])), { t0: 0, t1: 4 }, 2);
  expect(groupsOf(tiles)).toEqual([5, 0]);
  expect(tiles.busy[0]).toBe(127);
});
