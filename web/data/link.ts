/** The page's connection to the process that served it: one stream while the page is visible, none while it is hidden. */
import { signal } from '@preact/signals';
import { isRbeeError, RbeeProblem } from '../../client/errors.js';
import { follow } from '../../client/follow.js';
import type { HeartbeatEvent } from '../../client/index.js';
import type { QueenHeartbeat } from '../../wire/heartbeat.js';
import type { HistoryList } from '../../wire/history.js';
import type { HiveList } from '../../wire/hive.js';
import type { Info } from '../../wire/status.js';
import { forgetOffset, runClock } from './clock.js';
import { isTrue, keep, kept, removeAllExcept } from './storage.js';
import { beginEpoch, hives, listed, receive, remembered } from './swarm.js';
import { events, request } from './transport.js';

export interface Link {
  /** asleep: the page is hidden, and the stream closed. locked: a token is required. */
  state: 'connecting' | 'open' | 'waiting' | 'asleep' | 'locked';
  /** Why the connection was lost; null after an orderly shutdown. */
  reason: string | null;
  /** On our monotonic clock: since when the connection is lost, and when it is tried again. */
  awaySince: number | null;
  retryAt: number | null;
}

export const link = signal<Link>({ state: 'connecting', reason: null, awaySince: null, retryAt: null });
export const info = signal<Info | null>(null);
/** The process has another version than this page. */
export const outdated = signal(false);

/** Conflicts and devices, which the stream does not carry, change rarely. */
const LIST_MS = 15_000;
/** After a short look at another tab the stream is still open. */
const HANG_UP_MS = 5_000;

/** Our monotonic clock: when the stream was open last. */
let openUntil: number | null = null;

const update = (next: Partial<Link>) => {
  if (link.peek().state === 'open') openUntil = performance.now();
  link.value = { ...link.peek(), ...next };
};

let controller: AbortController | null = null;
let listTimer: ReturnType<typeof setInterval> | undefined;
let hangUpTimer: ReturnType<typeof setTimeout> | undefined;

async function* open(signal: AbortSignal | undefined, onOpen: () => void): AsyncGenerator<HeartbeatEvent> {
  try {
    for await (const { event, data } of events('/v1/heartbeats/stream', signal, onOpen)) {
      const value = parsed(data);
      if (value !== null) yield { event, data: value } as HeartbeatEvent;
    }
  } catch (error) {
    if (error instanceof RbeeProblem && error.status === 401) lock();
    throw error;
  }
}

/** Null for an event that is not JSON: it is left out, and the next ones carry the same data. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** Opens the stream, also while another attempt is waiting. */
export function connect(): void {
  disconnect();
  const mine = new AbortController();
  controller = mine;
  // An error in a handler is a bug of the page: it must not end the stream.
  void follow(open, {
    signal: mine.signal,
    onEvent: ({ event, data }) => {
      if (event === 'heartbeat') receive(data as QueenHeartbeat);
      if (event === 'lagged') beginEpoch();
    },
    onState: (state, { error, retryInMs }) => {
      if (mine.signal.aborted) return;
      if (state === 'connecting')
        update({ state: link.peek().awaySince === null ? 'connecting' : 'waiting', retryAt: null });
      if (state === 'open') opened();
      if (state === 'waiting') {
        clearInterval(listTimer);
        const now = performance.now();
        const reason = error instanceof RbeeProblem ? error.detail : (error?.message ?? null);
        update({
          state,
          reason,
          awaySince: link.peek().awaySince ?? openUntil ?? now,
          retryAt: now + (retryInMs ?? 0),
        });
      }
    },
  });
}

function opened(): void {
  beginEpoch();
  forgetOffset();
  update({ state: 'open', reason: null, awaySince: null, retryAt: null });
  void learn();
  void refreshList().then(remember);
  clearInterval(listTimer);
  listTimer = setInterval(() => void refreshList(), LIST_MS);
}

export async function refreshList(): Promise<void> {
  await quietly(async () => listed(await request<HiveList>('/v1/hives')));
}

/** For a larger swarm the last minute would be megabytes: its lines begin empty. */
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

/** A failed request is repeated with the next poll, and `link` shows that the connection is lost. */
async function quietly(task: () => Promise<void>): Promise<void> {
  try {
    await task();
  } catch (error) {
    if (!isRbeeError(error)) throw error;
    if (error instanceof RbeeProblem && error.status === 401) lock();
  }
}

function disconnect(): void {
  controller?.abort();
  controller = null;
  clearInterval(listTimer);
}

export function lock(): void {
  disconnect();
  update({ state: 'locked', reason: null, awaySince: null, retryAt: null });
}

/** Whether the browser has a session cookie: scripts cannot read the cookie itself. */
export const loggedIn = signal(kept('browser', 'session', isTrue, false));

/** @throws RbeeProblem 401 for a wrong token, RbeeUnreachable */
export async function startSession(token: string): Promise<void> {
  await request('/v1/session', { method: 'POST', body: { token } });
  keep('browser', 'session', true);
  loggedIn.value = true;
  update({ state: 'connecting' });
  connect();
}

/** @throws RbeeProblem, RbeeUnreachable: the browser is still logged in then */
export async function endSession(): Promise<void> {
  try {
    await request('/v1/session', { method: 'DELETE' });
  } catch (error) {
    // 401: it was logged out already.
    if (!(error instanceof RbeeProblem && error.status === 401)) throw error;
  }
  // Conversations and drafts must not stay for the next user of this browser.
  removeAllExcept('theme');
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
    disconnect();
    update({ state: 'asleep', awaySince: null, retryAt: null });
  };
  document.addEventListener('visibilitychange', look);
  // The network is back: no need to wait for the backoff.
  addEventListener('online', () => {
    if (link.peek().state === 'waiting') connect();
  });
  look();
}
