/** What only a queen takes: callbacks of hives and workers, and what spawners tell her. */
import type { Context } from 'koa';
import type { ReadyAnswer } from '../machines/hive-subscription.js';
import type { QueenEvent } from '../machines/queen.js';
import type { Fleet } from '../stores/fleet.js';
import type { Now } from '../stores/workers.js';
import { HiveReady, HiveReadyAnswer } from '../wire/hive.js';
import { knownParser } from '../wire/schema.js';
import { HEADER, Ok } from '../wire/status.js';
import { hostForUrl } from '../wire/url.js';
import { WorkerHeartbeat, WorkerRegistration } from '../wire/worker.js';
import { refuseSession } from './http/auth.js';
import { readBody } from './http/body.js';
import { idHeader, peerUrl, refuseOtherProtocol, wrongField } from './http/peer.js';
import { HttpProblem } from './http/problem.js';
import { answerJson, type Route } from './http/route.js';

const UNREACHABLE = 'this queen listens on loopback only and asks nobody elsewhere: see --bind';

export interface QueenDoorsInput {
  queenId: string;
  loopbackOnly: boolean;
  /** A token is wanted, so whoever calls has presented it. */
  secured: boolean;
  send: (event: QueenEvent) => void;
  fleet: Fleet;
  /** Whether the hive of this name and instance is read. */
  reads: (hiveId: string, instance: string) => boolean;
  now: () => Now;
  /** Asks a hive, some time soon, to announce itself. False when too many are to be asked already. */
  hint: (hive: { hiveId: string; hiveUrl: string; trusted: boolean; who: string }) => boolean;
  /** Its spawner told of a worker: what it can do is asked for. */
  onWorkerRegistered: (workerId: string) => void;
}

export interface QueenRoutes {
  routes: Route[];
  /** Tells a hive that asks for our health whether we read it. */
  onHealth: (ctx: Context, known: boolean) => void;
}

const parseReady = knownParser(HiveReady);
const parseWorkerHeartbeat = knownParser(WorkerHeartbeat);
const parseWorkerRegistration = knownParser(WorkerRegistration);

export function queenRoutes(input: QueenDoorsInput): QueenRoutes {
  return {
    routes: [...callbacks(input), ...fastPath(input)],
    onHealth: (ctx, known) => {
      const hiveId = ctx.get(HEADER.hive);
      if (known && hiveId !== '') ctx.set('Rbee-Reads', input.reads(hiveId, ctx.get(HEADER.instance)) ? 'yes' : 'no');
    },
  };
}

function callbacks({ queenId, loopbackOnly, secured, send, fleet, now }: QueenDoorsInput): Route[] {
  const unreachable = loopbackOnly ? UNREACHABLE : null;

  async function hiveReady(ctx: Context): Promise<void> {
    refuseSession(ctx);
    const { hive_id: hiveId, hive_url } = await readBody(ctx, parseReady);
    const hiveUrl = peerUrl(hive_url, '/hive_url', unreachable);
    try {
      refuseOtherProtocol(ctx);
    } catch (error) {
      fleet.refused({ hive_id: hiveId, hive_url: hiveUrl, holder_url: null, reason: (error as Error).message }, now());
      throw error;
    }
    const instance = idHeader(ctx, HEADER.instance);
    const failure = fleet.whyUnread(hiveId, hiveUrl);
    let said: ReadyAnswer | undefined;
    send({
      type: 'hive.ready',
      hiveId,
      hiveUrl,
      instance,
      trusted: secured,
      at: now().ms,
      respond: (outcome) => {
        said = outcome;
      },
    });
    if (said?.outcome !== 'subscribed') throw refusal(hiveId, hiveUrl, said);
    fleet.accepted(hiveId, hiveUrl);
    answerJson(ctx, {
      ...{ status: 'ok', message: `Subscribed to hive ${hiveId} SSE stream`, queen_id: queenId },
      ...(failure === null ? {} : { last_failure: failure.slice(0, 2048) }),
    });
  }

  function refusal(hiveId: string, hiveUrl: string, said: ReadyAnswer | undefined): HttpProblem {
    if (said?.outcome !== 'conflict' && said?.outcome !== 'moving') {
      return new HttpProblem(503, 'this queen has as many hives as it takes: see --max-hives', {
        headers: { 'Retry-After': '30' },
      });
    }
    const reason =
      said.outcome === 'conflict'
        ? `${said.holderUrl} holds the name ${hiveId}: choose another for one of them with --hive-id`
        : `${said.holderUrl} and ${hiveUrl} call in turn as one and the same ${hiveId}: give each machine a state directory of its own, or another name with --hive-id`;
    fleet.refused({ hive_id: hiveId, hive_url: hiveUrl, holder_url: said.holderUrl, reason }, now());
    return new HttpProblem(409, reason);
  }

  async function workerHeartbeat(ctx: Context): Promise<void> {
    refuseSession(ctx);
    const { worker } = await readBody(ctx, parseWorkerHeartbeat);
    const url = peerUrl(worker.url, '/worker/url', unreachable);
    const info = { ...worker, url };
    if (!fleet.workers.seen({ id: worker.id, hiveId: worker.hive_id, info }, now())) throw tooManyWorkers();
    answerJson(ctx, { status: 'ok' });
  }

  return [
    {
      method: 'POST',
      path: '/v1/hive/ready',
      summary: 'A hive announces itself; the queen subscribes to its stream.',
      headers: { 'Rbee-Instance': 'A UUID that the hive keeps in its state.' },
      body: HiveReady,
      answers: {
        200: { description: 'The queen subscribes.', schema: HiveReadyAnswer },
        409: { description: 'Another hive holds the name.' },
        422: { description: 'A field is wrong.' },
        503: { description: 'As many hives as it takes.' },
      },
      handle: hiveReady,
    },
    {
      method: 'POST',
      path: '/v1/worker-heartbeat',
      summary: 'A worker says that it is there.',
      body: WorkerHeartbeat,
      answers: { 200: { description: 'Heard.', schema: Ok }, 422: { description: 'A field is wrong.' } },
      handle: workerHeartbeat,
    },
  ];
}

/** @throws HttpProblem 422 when the host is more, or less, than a name or an address */
function urlOfHost(hostname: string, port: number): { text: string; pointer: string } {
  const pointer = '/hostname';
  if (!/^[A-Za-z0-9._-]+$|^\[?[0-9A-Fa-f:.]+\]?$/.test(hostname))
    throw wrongField(pointer, 'expected a host name or an address');
  return { text: `http://${hostForUrl(hostname.replace(/^\[|\]$/g, ''))}:${port}`, pointer };
}

const tooManyWorkers = () =>
  new HttpProblem(503, 'this queen knows as many workers as it takes', { headers: { 'Retry-After': '30' } });

/** Spawners tell her directly what the registry would tell her later (PROTOCOL, "Registry"). */
function fastPath(input: QueenDoorsInput): Route[] {
  const { loopbackOnly, secured, fleet, now, hint, onWorkerRegistered } = input;
  const unreachable = loopbackOnly ? UNREACHABLE : null;

  async function registerWorker(ctx: Context): Promise<void> {
    refuseSession(ctx);
    const { worker_id, hostname, port, worker_type, model, spawned_by, hive_id, url, key } = await readBody(
      ctx,
      parseWorkerRegistration,
    );
    const where = url === undefined ? urlOfHost(hostname, port) : { text: url, pointer: '/url' };
    const worker = {
      ...{ id: worker_id, url: peerUrl(where.text, where.pointer, unreachable), port },
      ...{ model, workerType: worker_type, spawnedBy: spawned_by, hiveId: hive_id, key },
    };
    if (!fleet.workers.registered(worker, now())) throw tooManyWorkers();
    onWorkerRegistered(worker_id);
    answerJson(ctx, { status: 'ok' });
  }

  async function registerHive(ctx: Context): Promise<void> {
    refuseSession(ctx);
    const { hive_id: hiveId, hive_url } = await readBody(ctx, parseReady);
    const hiveUrl = peerUrl(hive_url, '/hive_url', unreachable);
    if (!hint({ hiveId, hiveUrl, trusted: secured, who: `hive ${hiveId}, which somebody told of,` })) {
      throw new HttpProblem(503, 'too many hives are to be asked already', { headers: { 'Retry-After': '30' } });
    }
    answerJson(ctx, { status: 'ok' });
  }

  const full = { 422: { description: 'A field is wrong.' }, 503: { description: 'As many as it takes.' } };
  return [
    {
      method: 'POST',
      path: '/v1/queen/register-worker',
      summary: 'A spawner tells of a worker that is healthy: it is listed at once.',
      body: WorkerRegistration,
      answers: { 200: { description: 'Listed.', schema: Ok }, ...full },
      handle: registerWorker,
    },
    {
      method: 'POST',
      path: '/v1/queen/register-hive',
      summary: 'Somebody tells where a hive is: it is asked to announce itself.',
      body: HiveReady,
      answers: { 200: { description: 'It is asked.', schema: Ok }, ...full },
      handle: registerHive,
    },
  ];
}
