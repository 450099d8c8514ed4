/** The page's tie to the process that served it: one stream while somebody looks, none while nobody does. */
import { signal } from '@preact/signals';
import { isRbeeError, RbeeProblem } from '../../client/errors.js';
import { follow } from '../../client/follow.js';
import type { HeartbeatEvent } from '../../client/index.js';
import type { QueenHeartbeat } from '../../wire/heartbeat.js';
import type { HistoryList } from '../../wire/history.js';
import type { HiveList } from '../../wire/hive.js';
import type { Info } from '../../wire/status.js';
import { forgetOffset, runClock } from './clock.js';
import { forgetAllBut, isTrue, keep, kept } from './storage.js';
import { beginEpoch, hear, hives, listed, remembered } from './swarm.js';
import { events, request } from './transport.js';

export interface Link {
  /** asleep: the page is hidden, and has hung up. locked: a token is wanted. */
  state: 'connecting' | 'open' | 'waiting' | 'asleep' | 'locked';
  /** Why she is away; null when she said goodbye. */
  reason: string | null;
  /** Our monotonic clock: since when she is away, and when she is asked again. */
  awaySince: number | null;
  retryAt: number | null;
}

export const link = signal<Link>({ state: 'connecting', reason: null, awaySince: null, retryAt: null });
export const info = signal<Info | null>(null);
/** Another version answers than the one that this page came with. */
export const outdated = signal(false);

/** Conflicts and devices, which the stream does not carry, change seldom. */
const LIST_MS = 15_000;
/** Somebody who only looks at another tab for a moment comes back to an open stream. */
const HANG_UP_MS = 5_000;

/** Our monotonic clock: when the stream was open last. */
let openUntil: number | null = null;

const say = (next: Partial<Link>) => {
  if (link.peek().state === 'open') openUntil = performance.now();
  link.value = { ...link.peek(), ...next };
};

let controller: AbortController | null = null;
let listTimer: ReturnType<typeof setInterval> | undefined;
let hangUpTimer: ReturnType<typeof setTimeout> | undefined;

async function* open(signal: AbortSignal | undefined, onOpen: () => void): AsyncGenerator<HeartbeatEvent> {
  try {
    for await (const { event, data } of events('/v1/heartbeats/stream', signal, onOpen)) {
      const said = parsed(data);
      if (said !== null) yield { event, data: said } as HeartbeatEvent;
    }
  } catch (error) {
    if (error instanceof RbeeProblem && error.status === 401) lock();
    throw error;
  }
}

/** An event that is no JSON is left out: the next ones tell the same anew. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** Begins anew, whatever was before. */
export function connect(): void {
  hangUp();
  const mine = new AbortController();
  controller = mine;
  // Whatever goes wrong in a handler is a fault of the page: it must not end the following.
  void follow(open, {
    signal: mine.signal,
    onEvent: ({ event, data }) => {
      if (event === 'heartbeat') hear(data as QueenHeartbeat);
      if (event === 'lagged') beginEpoch();
    },
    onState: (state, { error, retryInMs }) => {
      if (mine.signal.aborted) return;
      if (state === 'connecting')
        say({ state: link.peek().awaySince === null ? 'connecting' : 'waiting', retryAt: null });
      if (state === 'open') opened();
      if (state === 'waiting') {
        clearInterval(listTimer);
        const now = performance.now();
        const reason = error instanceof RbeeProblem ? error.detail : (error?.message ?? null);
        say({ state, reason, awaySince: link.peek().awaySince ?? openUntil ?? now, retryAt: now + (retryInMs ?? 0) });
      }
    },
  });
}

function opened(): void {
  beginEpoch();
  forgetOffset();
  say({ state: 'open', reason: null, awaySince: null, retryAt: null });
  void learn();
  void refreshList().then(remember);
  clearInterval(listTimer);
  listTimer = setInterval(() => void refreshList(), LIST_MS);
}

export async function refreshList(): Promise<void> {
  await quietly(async () => listed(await request<HiveList>('/v1/hives')));
}

/** Of a larger swarm the minute would be megabytes: its lines begin with what is heard. */
const REMEMBERED_MAX = 500;

async function remember(): Promise<void> {
  if (hives.peek().length > REMEMBERED_MAX) return;
  await quietly(async () => remembered((await request<HistoryList>('/v1/history?last_s=60')).histories));
}

async function learn(): Promise<void> {
  await quietly(async () => {
    const next = await request<Info>('/v1/info');
    const known = info.peek();
    if (known && known.version !== next.version) outdated.value = true;
    info.value = next;
  });
}

/** What cannot be had now comes with the next turn; the link itself says that she is away. */
async function quietly(task: () => Promise<void>): Promise<void> {
  try {
    await task();
  } catch (error) {
    if (!isRbeeError(error)) throw error;
    if (error instanceof RbeeProblem && error.status === 401) lock();
  }
}

function hangUp(): void {
  controller?.abort();
  controller = null;
  clearInterval(listTimer);
}

export function lock(): void {
  hangUp();
  say({ state: 'locked', reason: null, awaySince: null, retryAt: null });
}

/** Whether the browser has a cookie that we got for a token: it cannot be seen from here. */
export const loggedIn = signal(kept('browser', 'session', isTrue, false));

/** @throws RbeeProblem 401 for a wrong token, RbeeUnreachable */
export async function startSession(token: string): Promise<void> {
  await request('/v1/session', { method: 'POST', body: { token } });
  keep('browser', 'session', true);
  loggedIn.value = true;
  say({ state: 'connecting' });
  connect();
}

/** @throws RbeeProblem, RbeeUnreachable: the browser is logged in still, and everything stays as it is */
export async function endSession(): Promise<void> {
  try {
    await request('/v1/session', { method: 'DELETE' });
  } catch (error) {
    // 401: it was logged out already.
    if (!(error instanceof RbeeProblem && error.status === 401)) throw error;
  }
  // What was said and shown must not stay for who comes to this browser next.
  forgetAllBut('theme');
  location.reload();
}

/** Follows the page's visibility from now on. */
export function startLink(): void {
  const look = () => {
    clearTimeout(hangUpTimer);
    const hidden = document.visibilityState === 'hidden';
    runClock(!hidden);
    if (hidden) hangUpTimer = setTimeout(sleep, HANG_UP_MS);
    else if (controller === null && link.peek().state !== 'locked') connect();
  };
  const sleep = () => {
    if (link.peek().state === 'locked') return;
    hangUp();
    say({ state: 'asleep', awaySince: null, retryAt: null });
  };
  document.addEventListener('visibilitychange', look);
  // A network that is back is better than any backoff.
  addEventListener('online', () => {
    if (link.peek().state === 'waiting') connect();
  });
  look();
}
