// What is looked at lives in the address: the page, the time window, the selected group. Back and a copied link work.
import { computed, signal } from "@preact/signals";

export const PAGES = [
  { path: "status", title: "Overview", key: "1" },
  { path: "stream", title: "Stream", key: "2" },
  { path: "progress", title: "Progress", key: "3" },
  { path: "graph", title: "Graph", key: "4" },
  { path: "headroom", title: "Headroom", key: "5" },
  { path: "workers", title: "Workers", key: "6" },
  { path: "errors", title: "Errors & events", key: "7" },
  { path: "about", title: "About", key: "8" },
] as const;
export type PagePath = (typeof PAGES)[number]["path"];

/** Carried from page to page; other values belong to one page and stay behind. */
const SHARED = ["t0", "t1", "group"];

const location_ = signal(readLocation());

export const page = computed<PagePath>(() => location_.value.page);
export const query = computed<URLSearchParams>(() => location_.value.query);

export interface TimeWindow {
  t0: number;
  t1: number;
}

/** The chosen window; null means "follow the run". */
export const timeWindow = computed<TimeWindow | null>(() => {
  const t0 = numberOf("t0");
  const t1 = numberOf("t1");
  return t0 !== null && t1 !== null && t1 > t0 ? { t0, t1 } : null;
});

export const selectedGroup = computed<number | null>(() => numberOf("group"));

export function linkTo(target: PagePath, values: Record<string, string | number | null> = {}): string {
  const next = new URLSearchParams();
  for (const name of SHARED) {
    const value = query.value.get(name);
    if (value !== null) next.set(name, value);
  }
  return address(target, next, values);
}

export function go(target: PagePath, values: Record<string, string | number | null> = {}): void {
  history.pushState(null, "", linkTo(target, values));
  location_.value = readLocation();
}

/** Follows a link to one of our own pages without loading it anew; true if it was one. */
export function follow(href: string): boolean {
  const url = new URL(href, document.baseURI);
  const here = new URL("./", document.baseURI);
  if (url.origin !== here.origin || new URL("./", url).pathname !== here.pathname) return false;
  if (!PAGES.some((known) => known.path === lastPart(url.pathname))) return false;
  history.pushState(null, "", url);
  location_.value = readLocation();
  return true;
}

/** Changes values of this page. `replace` keeps the history short while a window is dragged. */
export function setQuery(
  values: Record<string, string | number | null>,
  how: "push" | "replace" = "push",
): void {
  const target = address(page.value, new URLSearchParams(query.value), values);
  if (how === "push") history.pushState(null, "", target);
  else history.replaceState(null, "", target);
  location_.value = readLocation();
}

export function watchHistory(): void {
  addEventListener("popstate", () => {
    location_.value = readLocation();
  });
  // The cookie does the work from now on; a token in the address would end up in bookmarks and pictures.
  if (query.value.has("token")) setQuery({ token: null }, "replace");
}

function address(
  target: PagePath,
  next: URLSearchParams,
  values: Record<string, string | number | null>,
): string {
  for (const [name, value] of Object.entries(values)) {
    if (value === null) next.delete(name);
    else next.set(name, typeof value === "number" ? String(Number(value.toFixed(6))) : value);
  }
  const text = next.toString();
  return `./${target}${text ? `?${text}` : ""}`;
}

function readLocation(): { page: PagePath; query: URLSearchParams } {
  const last = lastPart(location.pathname);
  const known = PAGES.find((candidate) => candidate.path === last);
  return { page: known?.path ?? "status", query: new URLSearchParams(location.search) };
}

function lastPart(path: string): string {
  return path.split("/").pop() ?? "";
}

function numberOf(name: string): number | null {
  const text = query.value.get(name);
  const value = text === null || text === "" ? Number.NaN : Number(text);
  return Number.isFinite(value) ? value : null;
}
