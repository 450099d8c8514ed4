/** The routes that only a queen has: hives announce themselves, workers send heartbeats, and spawners register both. */
import type { Context } from 'koa';
import type { KnownHive, ReadyReply } from '../machines/hive-name.js';
import { decisionOf } from '../stores/decision.js';
import type { Fleet } from '../stores/fleet.js';
import type { Now } from '../stores/now.js';
import type { ReportDecision } from '../stores/worker-reports.js';
import { HiveReady, HiveReadyAnswer } from '../wire/hive.js';
import { knownParser } from '../wire/schema.js';
import { HEADER, Ok } from '../wire/status.js';
import { hostForUrl } from '../wire/url.js';
import { WorkerHeartbeat, WorkerRegistration } from '../wire/worker.js';
import { refuseSession } from './http/auth.js';
import { readBody } from './http/body.js';
import { idHeader, otherProtocol, peerUrl, wrongField } from './http/peer.js';
import { HttpProblem } from './http/problem.js';
import { answerJson, type Route } from './http/route.js';

const LOOPBACK_ONLY = 'this queen listens on loopback only and calls no other machine: see --bind';
const LAST_FAILURE_CHARS_MAX = 2048;

export interface QueenRoutesInput {
  queenId: string;
  loopbackOnly: boolean;
  /** A token is required, so every caller has presented it. */
  secured: boolean;
  fleet: Fleet;
  now: () => Now;
  /** Subscribes to a hive that announces itself, or refuses it. `otherProtocol`: why its protocol is not ours, or null. */
  ready: (hive: KnownHive, otherProtocol: string | null) => ReadyReply;
  /** Whether the hive of this name and instance is read. */
  isRead: (hiveId: string, instance: string) => boolean;
  /** Will ask a hive to announce itself. False when too many are waiting to be asked. */
  hint: (hive: { hiveId: string; hiveUrl: string; trusted: boolean; label: string }) => boolean;
}

export interface QueenRoutes {
  routes: Route[];
  /** Answers a hive that asks for our health whether we read it. */
  onHealth: (ctx: Context, known: boolean) => void;
}

const parseReady = knownParser(HiveReady);
const parseWorkerHeartbeat = knownParser(WorkerHeartbeat);
const parseWorkerRegistration = knownParser(WorkerRegistration);

export function queenRoutes(input: QueenRoutesInput): QueenRoutes {
  return {
    routes: [readyRoute(input), heartbeatRoute(input), registerWorkerRoute(input), registerHiveRoute(input)],
    onHealth: (ctx, known) => {
      const hiveId = ctx.get(HEADER.hive);
      if (known && hiveId !== '') ctx.set('Rbee-Reads', input.isRead(hiveId, ctx.get(HEADER.instance)) ? 'yes' : 'no');
    },
  };
}

function readyRoute({ queenId, loopbackOnly, secured, ready }: QueenRoutesInput): Route {
  return {
    method: 'POST',
    path: '/v1/hive/ready',
    summary: 'A hive announces itself; the queen subscribes to its stream.',
    headers: { 'Rbee-Instance': 'A UUID that the hive keeps in its state.' },
    body: HiveReady,
    answers: {
      200: { description: 'The queen subscribes.', schema: HiveReadyAnswer },
      409: { description: 'Another hive holds the name.' },
      422: { description: 'A field is wrong.' },
      503: { description: 'The queen has the maximum number of hives.' },
    },
    handle: async (ctx) => {
      refuseSession(ctx);
      const { hive_id: hiveId, hive_url } = await readBody(ctx, parseReady);
      const hiveUrl = reachableUrl(hive_url, '/hive_url', loopbackOnly);
      const instance = idHeader(ctx, HEADER.instance);
      const reply = ready({ hiveId, hiveUrl, instance, trusted: secured }, otherProtocol(ctx));
      if (reply.outcome !== 'subscribed') throw refusal(reply);
      const { lastFailure } = reply;
      answerJson(ctx, {
        ...{ status: 'ok', message: `Subscribed to hive ${hiveId} SSE stream`, queen_id: queenId },
        ...(lastFailure === null ? {} : { last_failure: lastFailure.slice(0, LAST_FAILURE_CHARS_MAX) }),
      });
    },
  };
}

function refusal({ outcome, reason }: Exclude<ReadyReply, { outcome: 'subscribed' }>): HttpProblem {
  if (outcome === 'full') return unavailable(reason);
  return new HttpProblem(outcome === 'protocol' ? 400 : 409, reason);
}

const unavailable = (reason: string) => new HttpProblem(503, reason, { headers: { 'Retry-After': '30' } });

function heartbeatRoute({ loopbackOnly, fleet, now }: QueenRoutesInput): Route {
  return {
    method: 'POST',
    path: '/v1/worker-heartbeat',
    summary: 'A worker reports that it is alive.',
    body: WorkerHeartbeat,
    answers: { 200: { description: 'Received.', schema: Ok }, 422: { description: 'A field is wrong.' } },
    handle: async (ctx) => {
      refuseSession(ctx);
      const { worker } = await readBody(ctx, parseWorkerHeartbeat);
      const info = { ...worker, url: reachableUrl(worker.url, '/worker/url', loopbackOnly) };
      requireKept((respond) => fleet.workers.send({ type: 'worker.heartbeat', worker: info, now: now(), respond }));
      answerJson(ctx, { status: 'ok' });
    },
  };
}

const REGISTRATION_ERRORS = {
  422: { description: 'A field is wrong.' },
  503: { description: 'The queen has the maximum number of them.' },
};

/** The fast path (docs/protocol.md, section 7): a spawner reports directly what the registry would report later. */
function registerWorkerRoute({ loopbackOnly, fleet, now }: QueenRoutesInput): Route {
  return {
    method: 'POST',
    path: '/v1/queen/register-worker',
    summary: 'A spawner registers a healthy worker, which is listed at once.',
    body: WorkerRegistration,
    answers: { 200: { description: 'Listed.', schema: Ok }, ...REGISTRATION_ERRORS },
    handle: async (ctx) => {
      refuseSession(ctx);
      const { worker_id, hostname, port, worker_type, model, spawned_by, hive_id, url, key } = await readBody(
        ctx,
        parseWorkerRegistration,
      );
      const stated = url === undefined ? urlOfHost(hostname, port) : { text: url, pointer: '/url' };
      const worker = {
        ...{ id: worker_id, url: reachableUrl(stated.text, stated.pointer, loopbackOnly), port },
        ...{ model, workerType: worker_type, spawnedBy: spawned_by, hiveId: hive_id, key },
      };
      requireKept((respond) => fleet.workers.send({ type: 'worker.registered', worker, now: now(), respond }));
      answerJson(ctx, { status: 'ok' });
    },
  };
}

/** The URL of a peer; a queen on loopback reaches no other machine. @throws HttpProblem 422 */
const reachableUrl = (text: string, pointer: string, loopbackOnly: boolean): string =>
  peerUrl(text, pointer, loopbackOnly ? LOOPBACK_ONLY : null);

/** Asks the store of workers to keep what was reported. @throws HttpProblem 503 when it is full */
function requireKept(report: (respond: (decision: ReportDecision) => void) => void): void {
  if (decisionOf<ReportDecision>(report) !== 'kept') throw unavailable('this queen has the maximum number of workers');
}

/** @throws HttpProblem 422 when the host is more, or less, than a name or an address */
function urlOfHost(hostname: string, port: number): { text: string; pointer: string } {
  const pointer = '/hostname';
  if (!/^[A-Za-z0-9._-]+$|^\[?[0-9A-Fa-f:.]+\]?$/.test(hostname))
    throw wrongField(pointer, 'expected a host name or an address');
  return { text: `http://${hostForUrl(hostname.replace(/^\[|\]$/g, ''))}:${port}`, pointer };
}

function registerHiveRoute({ loopbackOnly, secured, hint }: QueenRoutesInput): Route {
  return {
    method: 'POST',
    path: '/v1/queen/register-hive',
    summary: 'Reports where a hive is: the queen asks it to announce itself.',
    body: HiveReady,
    answers: { 200: { description: 'The hive will be asked.', schema: Ok }, ...REGISTRATION_ERRORS },
    handle: async (ctx) => {
      refuseSession(ctx);
      const { hive_id: hiveId, hive_url } = await readBody(ctx, parseReady);
      const hiveUrl = reachableUrl(hive_url, '/hive_url', loopbackOnly);
      if (!hint({ hiveId, hiveUrl, trusted: secured, label: `hive ${hiveId} (register-hive)` })) {
        throw unavailable('too many hives are waiting to be asked');
      }
      answerJson(ctx, { status: 'ok' });
    },
  };
}
