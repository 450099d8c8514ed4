/** The swarm's stream and lists: the same routes on a queen and on a keeper. */
import type { ForgetAnswer } from '../machines/subscription-events.js';
import type { Fleet } from '../stores/fleet.js';
import type { Now } from '../stores/now.js';
import type { QueenHeartbeat } from '../wire/heartbeat.js';
import { HiveEntry, HiveList } from '../wire/hive.js';
import { Ok } from '../wire/status.js';
import { WorkerEntry, WorkerList } from '../wire/worker.js';
import { HttpProblem } from './http/problem.js';
import { answerJson, type Route } from './http/route.js';
import { type SwarmStream, swarmStream, swarmStreamRoute } from './swarm-stream.js';

export interface SwarmRoutesInput {
  /** Ends the subscription to a hive that does not stream. */
  forget: (hiveId: string) => ForgetAnswer;
  fleet: Fleet;
  now: () => Now;
  /** What a new reader of the stream is sent after the whole fleet. */
  more: () => QueenHeartbeat[];
}

export interface SwarmRoutes extends SwarmStream {
  routes: Route[];
}

export function swarmRoutes(input: SwarmRoutesInput): SwarmRoutes {
  const swarm = swarmStream(input);
  return { ...swarm, routes: [...queries(input), swarmStreamRoute(swarm.stream)] };
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
