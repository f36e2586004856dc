import { expect, test } from "vitest";
import { sorted } from "./table";

test("rows without a value stay last, whichever way the others go", () => {
  const columns = [{ value: (row: { n: number | null }) => row.n }];
  const rows = [{ n: 2 }, { n: null }, { n: 3 }, { n: 1 }];
  const values = (down: boolean) => sorted(rows, columns, { column: 0, down }).map((row) => row.n);
  expect(values(true)).toEqual([3, 2, 1, null]);
  expect(values(false)).toEqual([1, 2, 3, null]);
  expect(sorted(rows, columns, null)).toBe(rows);
});
