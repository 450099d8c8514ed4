/** A stream that reconnects, with the same waits in the CLI and on the page. */
import { isRbeeError, type RbeeError } from './errors.js';
import type { HeartbeatEvent } from './events.js';

/** connecting: requested. open: events arrive. waiting: disconnected, to be retried. */
export type LinkState = 'connecting' | 'open' | 'waiting';

export interface LinkDetail {
  /** Why it waits; null after the server's `bye`, and in the other states. */
  error: RbeeError | null;
  /** Milliseconds until the next attempt while waiting, else null. */
  retryInMs: number | null;
}

export interface FollowOptions {
  onEvent(event: HeartbeatEvent): void;
  onState?(state: LinkState, detail: LinkDetail): void;
  signal?: AbortSignal | undefined;
  /** The wait before attempt n, in milliseconds; the last one repeats. It starts over once an event has arrived. */
  delaysMs?: readonly number[] | undefined;
}

/** 500 · 2^(n−1), at most 5 s: a restarted queen is soon back on the screen. */
const DELAYS_MS: readonly number[] = [500, 1000, 2000, 4000, 5000];

type Open = (signal: AbortSignal | undefined, onOpen: () => void) => AsyncIterable<HeartbeatEvent>;

/** Resolves only when `signal` aborts. Rejects with what `onEvent` or `onState` throws. */
export async function follow(open: Open, { onEvent, onState, signal, delaysMs }: FollowOptions): Promise<void> {
  const delays = delaysMs?.length ? delaysMs : DELAYS_MS;
  let attempt = 0;
  const state = (next: LinkState, detail: Partial<LinkDetail> = {}) =>
    onState?.(next, { error: null, retryInMs: null, ...detail });
  while (!signal?.aborted) {
    let error: RbeeError | null = null;
    state('connecting');
    try {
      for await (const event of open(signal, () => state('open'))) {
        attempt = 0;
        onEvent(event);
        if (event.event === 'bye') break;
      }
    } catch (thrown) {
      if (!isRbeeError(thrown)) throw thrown;
      error = thrown;
    }
    if (signal?.aborted) return;
    const retryInMs = delays[Math.min(attempt, delays.length - 1)] ?? 0;
    attempt += 1;
    state('waiting', { error, retryInMs });
    await sleep(retryInMs, signal);
  }
}

function sleep(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal?.addEventListener('abort', done, { once: true });
    if (signal?.aborted) done();
  });
}
