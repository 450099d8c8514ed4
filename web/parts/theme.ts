/** Dark or light: as the system, unless the user chose. */
import { signal } from '@preact/signals';
import { keep, kept } from '../data/storage.js';

export type Theme = 'system' | 'light' | 'dark';
const ORDER: readonly Theme[] = ['system', 'light', 'dark'];

const isTheme = (value: unknown): value is Theme => ORDER.includes(value as Theme);
export const theme = signal<Theme>(kept('browser', 'theme', isTheme, 'system'));
/** Changes when colours do, for what is drawn on canvases. */
export const palette = signal(0);

export function nextTheme(): void {
  theme.value = ORDER[(ORDER.indexOf(theme.value) + 1) % ORDER.length] ?? 'system';
  keep('browser', 'theme', theme.value);
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

/** The colour of a custom property for a canvas, with `light-dark()` resolved. */
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
