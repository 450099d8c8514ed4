/**
 * Which workers are to be asked for their health now, and what follows from their answers. A worker is polled where
 * nothing else reports on it: no hive measures it, and it was silent for a while; or its hive is lost. Pure.
 */

import { CRASHED, type ExpectedWorker, expectedWorker } from '../wire/worker.js';
import type { Now } from './now.js';
import {
  capabilitiesOf,
  keyOf,
  urlOf,
  WORKER_SILENCE_MS_MAX,
  type WorkerRecord,
  type WorkerView,
} from './worker-record.js';
import { forgetWorker, hiveOf, statsOf, viewOf, viewsOfHive, type WorkersState } from './worker-views.js';

/** Heartbeats come every 30 s: after this silence there is time for three polls before the worker counts as offline. */
const POLL_AFTER_MS = 45_000;
const POLL_AGAIN_MS = 30_000;
/** A worker that reported that it is stopping: it leaves the list once it does not answer. */
const POLL_STOPPING_MS = 3_000;

/** What to ask a worker. */
export interface WorkerPoll {
  id: string;
  url: string;
  /** Which worker must answer there; null where its key is not known. */
  worker: ExpectedWorker | null;
  /** The `Rbee-Run` of its last answer; another one is another run, whose capabilities are not known. */
  run: string | null;
  /** Polls of one cause are limited together, so that a rack of dead workers does not delay other polls. */
  cause: 'silence' | 'lost-hive';
  /** False where it was just seen healthy, and only its capabilities are wanted. */
  health: boolean;
  /** `if-new-run`: only if another run of it answers. */
  capabilities: 'always' | 'if-new-run' | 'never';
}

export interface PollAnswer {
  id: string;
  url: string;
  run: string | null;
  /** It answered with its own id, as workers of rbee do. */
  named: boolean;
}

export interface PollFailure {
  id: string;
  reason: string;
  /** It answered, with a status other than 2xx: as a worker does while it finishes its last answers. */
  answered: boolean;
}

/** The workers that no hive reports on and that were silent for a while. They are not due again until later. */
export function takeDuePolls(state: WorkersState, nowMs: number): WorkerPoll[] {
  return [...state.known.values()].flatMap((record) => {
    const { id, info, seenAt, polledAt } = record;
    const hive = hiveOf(state, record);
    if (info === null || hive?.state === 'streaming' || hive?.state === 'lost') return [];
    const stopping = isStopping(record);
    const isSilent = seenAt === null || nowMs - seenAt >= (stopping ? POLL_STOPPING_MS : POLL_AFTER_MS);
    if (!isSilent || nowMs - polledAt < (stopping ? POLL_STOPPING_MS : POLL_AGAIN_MS)) return [];
    return takePoll(state, { record, stats: statsOf(state, id) }, nowMs) ?? [];
  });
}

/** Polls one worker now, whatever else reports on it; null when it is not known, or has no URL. */
export function takePollOf(state: WorkersState, id: string, nowMs: number): WorkerPoll | null {
  const view = viewOf(state, id);
  return view ? takePoll(state, view, nowMs) : null;
}

function takePoll(state: WorkersState, view: WorkerView, nowMs: number): WorkerPoll | null {
  const { id, seenAt, run } = view.record;
  const url = urlOf(view);
  if (url === null || !state.known.keep({ ...view.record, polledAt: nowMs })) return null;
  // After an absence, another worker may answer: its capabilities name it.
  const wasAway = seenAt === null || nowMs - seenAt >= WORKER_SILENCE_MS_MAX;
  const capabilities = wasAway || capabilitiesOf(view) === null ? 'always' : 'if-new-run';
  return { id, url, worker: expectedWorker(id, keyOf(view)), run, cause: 'silence', health: true, capabilities };
}

/** All workers of a lost hive that have a URL. */
export function pollsOfHive(state: WorkersState, hiveId: string): WorkerPoll[] {
  return viewsOfHive(state, hiveId).flatMap((view) => {
    const { id, run } = view.record;
    const url = view.stats?.status === CRASHED ? null : urlOf(view);
    if (url === null) return [];
    const worker = expectedWorker(id, keyOf(view));
    return { id, url, worker, run, cause: 'lost-hive', health: true, capabilities: 'never' };
  });
}

/** Its lease ended: it is polled, and gone if it does not answer. */
export function endLease(state: WorkersState, id: string, nowMs: number): WorkerPoll | null {
  const view = viewOf(state, id);
  if (!view) return null;
  state.known.keep({ ...view.record, leaseEnded: true });
  return takePollOf(state, id, nowMs);
}

/** A 200 from /health: a sign of life, unless it has moved, or another worker has reported from that URL since. */
export function takeAnswer(state: WorkersState, { id, url, run, named }: PollAnswer, now: Now): void {
  const view = viewOf(state, id);
  if (!view || urlOf(view) !== url) return;
  const { record } = view;
  const holder = named ? id : (state.known.holderOf(url) ?? id);
  if (holder !== id) {
    takeReplaced(state, id, `${url} is worker ${holder} now`);
    return;
  }
  const seen = { seenAt: now.ms, seenAtIso: now.iso, heardAt: now.ms };
  state.known.keep({ ...record, ...seen, reason: null, leaseEnded: false, run: run ?? record.run });
}

/**
 * A failed poll: the worker is offered no work until it answers, and stays online for as long as its last sign of life
 * holds. It is offline at once if its lease ended or its hive is lost.
 */
export function takeFailure(state: WorkersState, { id, reason, answered }: PollFailure): void {
  const record = state.known.get(id);
  if (!record) return;
  const isLost = hiveOf(state, record)?.state === 'lost';
  const isGone = record.leaseEnded || isLost;
  const voided = isGone ? { seenAt: null, registeredAt: null } : {};
  if (isStopping(record) && (!answered || isGone)) forgetWorker(state, id);
  else state.known.keep({ ...record, ...voided, reason, leaseEnded: false });
}

/** Another worker answers at its URL: it is offline until its next sign of life. */
export function takeReplaced(state: WorkersState, id: string, reason: string): void {
  const record = state.known.get(id);
  if (isStopping(record)) forgetWorker(state, id);
  else if (record) state.known.keep({ ...record, seenAt: null, registeredAt: null, reason });
}

/** It reported that it is stopping. */
const isStopping = (record: WorkerRecord | undefined): boolean => record?.info?.status === 'stopping';
