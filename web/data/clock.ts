/** Time on the page: ages are computed by the queen's clock, from its timestamps. */
import { computed, signal } from '@preact/signals';

/** This page's monotonic clock, in ms; it ticks once a second while the page is visible. */
export const nowMs = signal(performance.now());

/** The queen's epoch ms minus our monotonic ms; null before its first timestamp. */
const offsetMs = signal<number | null>(null);

/** The queen's epoch ms, to the second. */
export const queenNow = computed(() => (offsetMs.value === null ? null : nowMs.value + offsetMs.value));

/** Each timestamp lies in the queen's past: the largest offset is the most accurate. */
export function noteTimestamp(timestamp: string | null): void {
  const offset = Date.parse(timestamp ?? '') - performance.now();
  const known = offsetMs.peek();
  if (!Number.isNaN(offset) && (known === null || offset > known)) offsetMs.value = offset;
}

/** Clocks may have been set, or this computer may have slept, since the last timestamp. */
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
