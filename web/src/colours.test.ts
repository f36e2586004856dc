import { expect, test } from "vitest";
import { PALETTE, paintOf, parts } from "./colours";

/** Machado et al. 2009, full strength: what a person without red, green or blue cones sees, in linear light. */
const BLIND = {
  none: [1, 0, 0, 0, 1, 0, 0, 0, 1],
  red: [0.152286, 1.052583, -0.204868, 0.114503, 0.786281, 0.099216, -0.003882, -0.048116, 1.051998],
  green: [0.367322, 0.860646, -0.227968, 0.280085, 0.672501, 0.047413, -0.01182, 0.04294, 0.968881],
};

function lab(colour: string, matrix: number[]): number[] {
  const light = parts(colour).map((value) =>
    value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4,
  );
  const row = (i: number, of: number[], by: number[]) =>
    of.reduce((sum, value, j) => sum + value * (by[3 * i + j] ?? 0), 0);
  const seen = [0, 1, 2].map((i) => Math.max(0, row(i, light, matrix)));
  const toXyz = [0.4339, 0.3762, 0.1899, 0.2126, 0.7152, 0.0722, 0.0178, 0.1098, 0.8729];
  const [x = 0, y = 0, z = 0] = [0, 1, 2].map((i) => Math.cbrt(Math.max(1e-4, row(i, seen, toXyz))));
  return [116 * y - 16, 500 * (x - y), 200 * (y - z)];
}

test("the colours of the palette stay apart for people who do not see red or green", () => {
  for (const matrix of Object.values(BLIND)) {
    for (let i = 0; i < PALETTE.length; i++) {
      for (let j = i + 1; j < PALETTE.length; j++) {
        const [one, other] = [lab(PALETTE[i] ?? "", matrix), lab(PALETTE[j] ?? "", matrix)];
        const distance = Math.hypot(...one.map((value, k) => value - (other[k] ?? 0)));
        expect(distance, `${PALETTE[i]} and ${PALETTE[j]}`).toBeGreaterThan(18);
      }
    }
  }
});

test("twelve colours, then the same hatched, then grey", () => {
  expect(paintOf(3)).toEqual({ colour: PALETTE[3], hatched: false });
  expect(paintOf(15)).toEqual({ colour: PALETTE[3], hatched: true });
  expect(paintOf(24)).toEqual(paintOf(null));
});
