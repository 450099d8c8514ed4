/** Dark or light: the system's choice unless the user made one. */
import { signal } from '@preact/signals';

export type Theme = 'system' | 'light' | 'dark';
const KEY = 'rbee.theme';
const ORDER: readonly Theme[] = ['system', 'light', 'dark'];

const kept = localStorage.getItem(KEY) as Theme | null;
export const theme = signal<Theme>(kept && ORDER.includes(kept) ? kept : 'system');
/** Moves when colours do, for what is drawn on canvases. */
export const palette = signal(0);

export function nextTheme(): void {
  theme.value = ORDER[(ORDER.indexOf(theme.value) + 1) % ORDER.length] ?? 'system';
  localStorage.setItem(KEY, theme.value);
  show();
}

function show(): void {
  const root = document.documentElement;
  if (theme.value === 'system') delete root.dataset.theme;
  else root.dataset.theme = theme.value;
  colours.clear();
  palette.value += 1;
}

const colours = new Map<string, string>();

/** The colour of a custom property as a canvas takes it: `light-dark()` resolved. */
export function colour(name: string): string {
  let value = colours.get(name);
  if (value === undefined) {
    const probe = document.createElement('i');
    probe.style.color = `var(${name})`;
    document.body.append(probe);
    value = getComputedStyle(probe).color;
    probe.remove();
    colours.set(name, value);
  }
  return value;
}

export function startTheme(): void {
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', show);
  show();
}
