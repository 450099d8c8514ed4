/** The swarm's stream and lists: the same routes on a queen and on a keeper. */
import type { ForgetAnswer } from '../machines/subscription-events.js';
import type { Fleet } from '../stores/fleet.js';
import type { Now } from '../stores/now.js';
import { type HiveHeartbeat, type HiveTelemetry, QueenHeartbeat } from '../wire/heartbeat.js';
import { HiveEntry, HiveList } from '../wire/hive.js';
import { Ok } from '../wire/status.js';
import { WorkerEntry, WorkerList } from '../wire/worker.js';
import { HttpProblem } from './http/problem.js';
import { answerJson, type Route } from './http/route.js';
import { Broadcast } from './http/sse/broadcast.js';
import { frame } from './http/sse/frame.js';

/** What is kept for readers that do not keep up (docs/protocol.md, section 5.3). */
const RING_BYTES_MAX = 8 * 1024 * 1024;
/** Events that arrive within so long are sent in one write. */
const COALESCE_MS = 40;

export interface SwarmRoutesInput {
  /** Ends the subscription to a hive that does not stream. */
  forget: (hiveId: string) => ForgetAnswer;
  fleet: Fleet;
  now: () => Now;
  /** What a new reader of the stream is sent after the whole fleet. */
  more: () => QueenHeartbeat[];
}

export interface SwarmRoutes {
  routes: Route[];
  stream: Broadcast;
  /** Sends the swarm in numbers to the readers. */
  publishSnapshot: () => void;
  /** Sends an event to the readers, if there are any. */
  publish: (event: () => QueenHeartbeat) => void;
}

export function swarmRoutes(input: SwarmRoutesInput): SwarmRoutes {
  const { stream, ...publishers } = swarmStream(input);
  return { stream, ...publishers, routes: [...queries(input), streamRoute(stream)] };
}

const heartbeat = (data: QueenHeartbeat) => frame('heartbeat', JSON.stringify(data));

/** Feeds the stream from the fleet: each event serialised once, the latest of each hive kept for new readers. */
function swarmStream({ fleet, now, more }: SwarmRoutesInput): Omit<SwarmRoutes, 'routes'> {
  /** Framed when the first reader needs it: without readers nothing is serialised. */
  const latest = new Map<string, { telemetry: HiveTelemetry; framed: Buffer | null }>();
  const framedOf = (hiveId: string): Buffer[] => {
    const last = latest.get(hiveId);
    if (!last) return [];
    last.framed ??= heartbeat(last.telemetry);
    return [last.framed];
  };
  const stream = new Broadcast({
    bytesMax: RING_BYTES_MAX,
    coalesceMs: COALESCE_MS,
    snapshotAfterLag: true,
    snapshot: () => {
      const hives = fleet.hives();
      const online = hives.filter(({ state }) => state === 'streaming');
      return [
        heartbeat(fleet.snapshot(now())),
        ...hives.map((hive) => heartbeat(fleet.changeOf(hive))),
        ...online.flatMap(({ hive_id }) => framedOf(hive_id)),
        ...more().map(heartbeat),
      ];
    },
  });
  fleet.follow((event) => {
    if (event.type === 'state') {
      if (event.change.state === 'forgotten') latest.delete(event.change.hive_id);
      stream.push(heartbeat(event.change), { urgent: true });
      return;
    }
    if (event.type !== 'telemetry') return;
    const { hive, heartbeat: beat, receivedAt } = event;
    const telemetry: HiveTelemetry = {
      type: 'hive_telemetry',
      hive_id: hive.hive_id,
      timestamp: beat.timestamp ?? null,
      received_at: receivedAt,
      node: hive.node,
      workers: hive.workers,
      ...statusOf(beat),
    };
    const framed = stream.readers.size === 0 ? null : heartbeat(telemetry);
    latest.set(hive.hive_id, { telemetry, framed });
    if (framed) stream.push(framed);
  });
  return {
    stream,
    publishSnapshot: () => stream.push(heartbeat(fleet.snapshot(now()))),
    publish: (event) => {
      if (stream.readers.size > 0) stream.push(heartbeat(event()));
    },
  };
}

/** The status and the labels of a hive, where it sends them. */
function statusOf({
  hive_info,
}: HiveHeartbeat): Pick<HiveTelemetry, 'operational_status' | 'health_status' | 'labels'> {
  const { operational_status, health_status, labels } = hive_info ?? {};
  return {
    ...(operational_status ? { operational_status } : {}),
    ...(health_status ? { health_status } : {}),
    ...(labels ? { labels } : {}),
  };
}

function streamRoute(stream: Broadcast): Route {
  return {
    method: 'GET',
    path: '/v1/heartbeats/stream',
    summary: 'The whole swarm: a snapshot first, then each event as it arrives.',
    answers: {
      200: {
        description: '`event: heartbeat`, `event: lagged`, `event: bye`',
        schema: QueenHeartbeat,
        type: 'text/event-stream',
      },
    },
    handle: async (ctx) => {
      await stream.open(ctx);
    },
  };
}

function queries(input: SwarmRoutesInput): Route[] {
  return [...hiveQueries(input), forgetRoute(input), ...workerQueries(input)];
}

const unknown = (what: string, id: string | undefined) =>
  new HttpProblem(404, `no ${what} ${(id ?? '').slice(0, 128)}`);

function hiveQueries({ fleet, now }: SwarmRoutesInput): Route[] {
  return [
    {
      method: 'GET',
      path: '/v1/hives',
      summary: 'All known hives, all name conflicts, and all hives that announced themselves and cannot be read.',
      answers: { 200: { description: 'Hives.', schema: HiveList } },
      handle: (ctx) => {
        const { ms } = now();
        const unreachable = fleet.unreachable(ms);
        const more = unreachable.length > 0 ? { unreachable } : {};
        answerJson(ctx, { hives: fleet.hives(), conflicts: fleet.conflicts(ms), ...more });
      },
    },
    {
      method: 'GET',
      path: '/v1/hives/:id',
      summary: 'One hive.',
      answers: { 200: { description: 'The hive.', schema: HiveEntry }, 404: { description: 'No such hive.' } },
      handle: (ctx, { id }) => {
        const hive = fleet.hive(id ?? '');
        if (hive) return answerJson(ctx, hive);
        const called = fleet.unreachable(now().ms).find(({ hive_id }) => hive_id === id);
        if (!called) throw unknown('hive', id);
        const { hive_id, hive_url, reason } = called;
        throw new HttpProblem(404, `hive ${hive_id} is not read: it called from ${hive_url}, but ${reason}`);
      },
    },
  ];
}

function forgetRoute({ forget }: SwarmRoutesInput): Route {
  return {
    method: 'DELETE',
    path: '/v1/hives/:id',
    summary:
      'Forgets a hive that does not stream and stops asking for it; its next callback, or on a keeper its answer, brings it back.',
    answers: {
      200: { description: 'Forgotten.', schema: Ok },
      404: { description: 'No such hive.' },
      409: { description: 'It streams.' },
    },
    handle: (ctx, { id = '' }) => {
      const outcome = forget(id);
      if (outcome === 'streaming') {
        throw new HttpProblem(409, `hive ${id} is streaming: stop it first, or it returns at once`);
      }
      if (outcome === 'unknown') throw unknown('hive', id);
      answerJson(ctx, { status: 'ok', message: `forgot hive ${id}` });
    },
  };
}

function workerQueries({ fleet, now }: SwarmRoutesInput): Route[] {
  return [
    {
      method: 'GET',
      path: '/v1/workers',
      summary: 'All known workers.',
      answers: { 200: { description: 'Workers.', schema: WorkerList } },
      handle: (ctx) => answerJson(ctx, { workers: fleet.workers.list(now().ms) }),
    },
    {
      method: 'GET',
      path: '/v1/workers/:id',
      summary: 'One worker.',
      answers: { 200: { description: 'The worker.', schema: WorkerEntry }, 404: { description: 'No such worker.' } },
      handle: (ctx, { id }) => {
        const worker = fleet.workers.get(id ?? '', now().ms);
        if (!worker) throw unknown('worker', id);
        answerJson(ctx, worker);
      },
    },
  ];
}
