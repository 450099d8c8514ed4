/** Time, as the page tells it: ages are reckoned on the queen's clock, from her own timestamps. */
import { computed, signal } from '@preact/signals';

/** This page's monotonic clock, in ms; moves once a second while somebody looks. */
export const nowMs = signal(performance.now());

/** The queen's epoch ms minus ours; null before her first word. */
const offsetMs = signal<number | null>(null);

/** The queen's epoch ms, to the second. */
export const queenNow = computed(() => (offsetMs.value === null ? null : nowMs.value + offsetMs.value));

/** Each of her timestamps lies in her past: the latest is the nearest to her now. */
export function heardTimestamp(timestamp: string | null): void {
  const offset = Date.parse(timestamp ?? '') - performance.now();
  const known = offsetMs.peek();
  if (!Number.isNaN(offset) && (known === null || offset > known)) offsetMs.value = offset;
}

/** Clocks may have been set, or this computer may have slept, since she was last heard. */
export function forgetOffset(): void {
  offsetMs.value = null;
}

/** The moment `epochMs` of the queen, on our monotonic clock. */
export const fromQueen = (epochMs: number): number => epochMs - (offsetMs.peek() ?? Date.now() - performance.now());

let timer: ReturnType<typeof setInterval> | undefined;

export function runClock(running: boolean): void {
  clearInterval(timer);
  if (!running) return;
  nowMs.value = performance.now();
  timer = setInterval(() => {
    nowMs.value = performance.now();
  }, 1_000);
}
