/** Waiting for something that happens in another process, or on a socket. */
import { setTimeout as sleep } from 'node:timers/promises';

export interface WaitOptions {
  /** Give up after this long; 15 s. */
  timeoutMs?: number;
  /** Between two calls; 25 ms. */
  everyMs?: number;
}

/** Characters of the last value in the message. */
const SEEN_CHARS_MAX = 2000;

/**
 * Calls `probe` until it returns something truthy, and returns that. A probe that throws is called again; the error is
 * then the last value. Rejects with `waited 15000 ms for <what>; last seen: <json>`.
 */
export async function waitFor<T>(
  what: string,
  probe: () => Promise<T | undefined | null | false> | T | undefined | null | false,
  { timeoutMs = 15_000, everyMs = 25 }: WaitOptions = {},
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  let seen: unknown;
  for (;;) {
    let timer: NodeJS.Timeout | undefined;
    try {
      // A probe that hangs must not outlast the wait.
      const late = new Promise<undefined>((resolve) => {
        timer = setTimeout(resolve, Math.max(0, deadline - performance.now()), undefined);
      });
      const value = await Promise.race([(async () => probe())(), late]);
      if (value) return value;
      // A probe that was cut off has no new value.
      if (performance.now() < deadline || seen === undefined) seen = value;
    } catch (error) {
      seen = error instanceof Error ? error.message : error;
    } finally {
      clearTimeout(timer);
    }
    if (performance.now() >= deadline) throw new Error(`waited ${timeoutMs} ms for ${what}; last seen: ${show(seen)}`);
    await sleep(Math.min(everyMs, Math.max(1, deadline - performance.now())));
  }
}

function show(value: unknown): string {
  let text: string | undefined;
  try {
    text = JSON.stringify(value);
  } catch {
    // Circular, or a bigint.
  }
  text ??= String(value);
  return text.length > SEEN_CHARS_MAX ? `${text.slice(0, SEEN_CHARS_MAX)}…` : text;
}
