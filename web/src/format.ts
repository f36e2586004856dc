// Numbers as people read them. A value that is not known is shown as "–".

const UNKNOWN = "–";
const GROUPED = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });

export function integer(value: number | null | undefined): string {
  return isKnown(value) ? GROUPED.format(value) : UNKNOWN;
}

export function percent(share: number | null | undefined): string {
  if (!isKnown(share)) return UNKNOWN;
  const value = share * 100;
  if (value > 0 && value < 1) return "< 1 %";
  return `${Math.round(value)} %`;
}

export function bytes(value: number | null | undefined): string {
  if (!isKnown(value)) return UNKNOWN;
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  let size = Math.abs(value);
  let unit = 0;
  while (size >= 999.5 && unit < units.length - 1) {
    size /= 1000;
    unit++;
  }
  return `${value < 0 ? "-" : ""}${unit === 0 ? Math.round(size) : threeDigits(size)} ${units[unit]}`;
}

/** A length of time: "850 µs", "12 ms", "3.4 s", "5 min 10 s", "2 h 5 min", "3 d 4 h". */
export function duration(seconds: number | null | undefined): string {
  if (!isKnown(seconds)) return UNKNOWN;
  const size = Math.abs(seconds);
  const sign = seconds < 0 ? "-" : "";
  if (size === 0) return "0 s";
  if (size < 0.9995e-3) return `${sign}${threeDigits(size * 1e6)} µs`;
  if (size < 0.9995) return `${sign}${threeDigits(size * 1e3)} ms`;
  if (size < 59.95) return `${sign}${threeDigits(size)} s`;
  const whole = Math.round(size);
  if (whole < 3600) return sign + pair(Math.floor(whole / 60), "min", whole % 60, "s");
  const minutes = Math.round(size / 60);
  if (minutes < 1440) return sign + pair(Math.floor(minutes / 60), "h", minutes % 60, "min");
  const hours = Math.round(size / 3600);
  return sign + pair(Math.floor(hours / 24), "d", hours % 24, "h");
}

/** A span of guesses, in one unit and two digits: "3–4 s", "68–82 s", "4.2–5 min"; one value when both read the same. */
export function range(value: { low: number; high: number } | null | undefined): string {
  if (!value || !isKnown(value.low) || !isKnown(value.high)) return UNKNOWN;
  const [unit, seconds] = GUESS_UNITS.find(([, , below]) => value.high < below) ?? ["d", 86_400];
  const low = twoDigits(value.low / seconds);
  const high = twoDigits(value.high / seconds);
  return low === high ? `${high} ${unit}` : `${low}–${high} ${unit}`;
}

const GUESS_UNITS: [string, number, number][] = [
  ["ms", 1e-3, 1],
  ["s", 1, 120],
  ["min", 60, 7200],
  ["h", 3600, 172_800],
];

function twoDigits(value: number): string {
  return value >= 9.95 ? GROUPED.format(Math.round(value)) : String(Number(value.toFixed(1)));
}

/** Keeps a number and its unit on one line. */
export function unbroken(sentence: string): string {
  return sentence.replace(/(\d) (?=[%\p{L}]{1,3}(?!\p{L}))/gu, "$1\u00a0");
}

export function decimal(value: number | null | undefined): string {
  return isKnown(value) ? threeDigits(value) : UNKNOWN;
}

/** Clock time of the reader, to the second. By hand: the formatters of the browser took a third of a frame. */
export function wallClock(unixSeconds: number): string {
  const date = new Date(unixSeconds * 1000);
  return [date.getHours(), date.getMinutes(), date.getSeconds()]
    .map((value) => String(value).padStart(2, "0"))
    .join(":");
}

/** Steps of 1, 2 or 5 times a power of ten, so that about `count` of them fit between `low` and `high`. */
export function ticks(low: number, high: number, count: number): number[] {
  const wanted = (high - low) / Math.max(1, count);
  if (!(wanted > 0) || !Number.isFinite(wanted)) return [];
  const power = 10 ** Math.floor(Math.log10(wanted));
  const step = power * ([1, 2, 5, 10].find((factor) => factor * power >= wanted * 0.999) ?? 10);
  const list: number[] = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++)
    list.push(Number((i * step).toPrecision(12)));
  return list;
}

/** A label of a time axis, with as many digits as its neighbours need to differ. */
export function axisSeconds(value: number, step: number): string {
  const digits = Math.max(0, Math.min(6, -Math.floor(Math.log10(step) + 1e-9)));
  return `${value.toFixed(digits)} s`;
}

/** A name for a narrow place: control and direction marks are made harmless, the middle stays out. */
export function shortName(name: string | null | undefined, length = 80): string {
  if (!name) return "(no name)";
  const clean = visible(name.length > length * 4 ? name.slice(0, length * 4) : name);
  const letters = Array.from(clean);
  return letters.length <= length ? clean : `${letters.slice(0, length - 1).join("")}…`;
}

/** Overrides of direction would turn the text around a name, too; line ends would break a row in two. */
export function visible(text: string): string {
  return text.replace(/[\u202a-\u202e\u2066-\u2069]/g, "�").replace(/[\p{Cc}\s]+/gu, " ");
}

function isKnown(value: number | null | undefined): value is number {
  return typeof value === "number" && Number.isFinite(value);
}

function threeDigits(value: number): string {
  const size = Math.abs(value);
  if (size >= 99.95) return GROUPED.format(Math.round(value));
  return String(Number(value.toFixed(size >= 9.995 ? 1 : 2)));
}

function pair(large: number, largeUnit: string, small: number, smallUnit: string): string {
  return small === 0 ? `${large} ${largeUnit}` : `${large} ${largeUnit} ${small} ${smallUnit}`;
}
