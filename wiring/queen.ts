/** Puts a queen together: the swarm, what only a queen answers, jobs that it passes on, and its lease. */
import { queenRoutes } from '../server/queen.js';
import { buildQueenJobs } from './jobs.js';
import { keepLease } from './lease.js';
import type { ProcessOptions } from './options.js';
import type { ProcessContext, Service } from './process.js';
import { buildSwarm, type Swarm } from './swarm.js';
import type { SwarmOptions } from './swarm-options.js';
import { version } from './version.js';

export interface QueenOptions extends ProcessOptions, SwarmOptions {
  queenId: string;
}

export function buildQueen(processContext: ProcessContext, options: QueenOptions): Service {
  const swarm = buildSwarm(processContext, { kind: 'queen', options });
  const { fleet, now, known } = swarm;
  const lease = keepLease(processContext, {
    registryUrl: options.registryUrl,
    kind: 'queen',
    about: () => ({ version }),
  });
  const api = routesOf(processContext, swarm);
  const jobs = buildQueenJobs(processContext, { fleet, now, trustsHive: known.isTrusted });

  return {
    routes: [...api.routes, ...swarm.routes, ...jobs.routes],
    onHealth: api.onHealth,
    streams: swarm.streams,
    metrics: [...swarm.metrics, ...lease.metrics, ...jobs.metrics],
    start: () => {
      swarm.start();
      lease.start();
      jobs.start();
    },
    unfinished: jobs.answering,
    stop: async () => {
      const left = lease.leave();
      jobs.stop();
      swarm.stop();
      await left;
    },
  };
}

function routesOf({ id, outgoing, security }: ProcessContext, swarm: Swarm) {
  const { fleet, now, admission, inviter } = swarm;
  return queenRoutes({
    queenId: id,
    loopbackOnly: outgoing.loopbackOnly,
    secured: security.tokens.length > 0,
    ...{ fleet, now },
    ready: (hive, otherProtocol) => admission.ready(hive, otherProtocol),
    isRead: (hiveId, instance) => admission.isRead(hiveId, instance),
    hint: (hive) => inviter.hint(hive),
  });
}
