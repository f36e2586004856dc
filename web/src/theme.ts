// Light or dark: what the system asks for, unless the reader chose.
import { computed, effect, signal } from "@preact/signals";

type Choice = "light" | "dark" | null;
const STORE = "oxidask-theme";
const system = matchMedia("(prefers-color-scheme: dark)");
const systemDark = signal(system.matches);
system.addEventListener("change", (event) => {
  systemDark.value = event.matches;
});

const choice = signal<Choice>(stored());

export const dark = computed(() => (choice.value ? choice.value === "dark" : systemDark.value));

export function toggleTheme(): void {
  choice.value = dark.value ? "light" : "dark";
  try {
    localStorage.setItem(STORE, choice.value);
  } catch {
    // Storage may be forbidden (a frame of another site); the choice then lasts as long as the page.
  }
}

effect(() => {
  document.documentElement.dataset.theme = dark.value ? "dark" : "light";
});

/** A colour of the theme, for what is drawn on a canvas. */
export function themeColour(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

function stored(): Choice {
  try {
    const value = localStorage.getItem(STORE);
    return value === "light" || value === "dark" ? value : null;
  } catch {
    return null;
  }
}
