import { expect, test } from "vitest";
import { bytes, duration, percent, range, shortName, ticks, unbroken, visible } from "./format";

test("a length of time is in the unit people would say", () => {
  const cases: [number | null, string][] = [
    [null, "–"],
    [0, "0 s"],
    [0.00085, "850 µs"],
    [0.012, "12 ms"],
    [3.4, "3.4 s"],
    [59.99, "1 min"],
    [310, "5 min 10 s"],
    [7500, "2 h 5 min"],
    [273_600, "3 d 4 h"],
  ];
  for (const [seconds, text] of cases) expect(duration(seconds)).toBe(text);
});

test("a guess is a range in one unit, and one value when both ends read the same", () => {
  const cases: [number, number, string][] = [
    [3, 4, "3–4 s"],
    [68.2, 81.7, "68–82 s"],
    [252, 300, "4.2–5 min"],
    [10.1, 10.2, "10 s"],
    [0.5, 0.78, "500–780 ms"],
  ];
  for (const [low, high, text] of cases) expect(range({ low, high })).toBe(text);
  expect(range(null)).toBe("–");
});

test("sizes and shares keep three digits and never show a small share as nothing", () => {
  expect([bytes(0), bytes(999), bytes(1_500_000), bytes(999_999_999)]).toEqual([
    "0 B",
    "999 B",
    "1.5 MB",
    "1 GB",
  ]);
  expect([percent(0), percent(0.004), percent(0.48)]).toEqual(["0 %", "< 1 %", "48 %"]);
});

test("a long name is cut by letters, not in the middle of one, and marks that turn text around are shown", () => {
  expect(Array.from(shortName("🚀".repeat(100), 5))).toEqual(["🚀", "🚀", "🚀", "🚀", "…"]);
  expect(shortName("", 5)).toBe("(no name)");
  expect(visible("a\u202eb\nc")).toBe("a\ufffdb c");
});

test("ticks lie inside the window at round numbers", () => {
  expect(ticks(0.3, 10.1, 5)).toEqual([2, 4, 6, 8, 10]);
  expect(ticks(5, 5, 5)).toEqual([]);
});

test("a number and its unit stay on one line", () => {
  expect(unbroken("wait 48 % of 10 seconds")).toBe("wait 48\u00a0% of 10 seconds");
});
