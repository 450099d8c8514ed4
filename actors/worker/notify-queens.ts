/**
 * POST /v1/queen/register-worker: the fast path by which a queen knows a worker at once (docs/protocol.md, section 7). A
 * failure does no harm: the queen also learns of the worker from telemetry and from the registry.
 */
import type { Socket } from 'node:net';
import type { WorkerEndpoint } from '../../machines/worker-types.js';
import { unmapped } from '../../wire/url.js';
import type { WorkerRegistration } from '../../wire/worker.js';
import { type Endpoint, urlTowards } from '../net/endpoint.js';
import { ask, type Outgoing } from '../net/http.js';

export interface NotifyQueensInput {
  outgoing: Outgoing;
  /** Of the spawner, whose address its workers share. */
  endpoint: Endpoint;
  queenUrls: string[];
  worker: WorkerEndpoint;
  /** The part that is the same for each queen. */
  registration: Pick<WorkerRegistration, 'worker_type' | 'model' | 'spawned_by' | 'hive_id'>;
  log: (message: string) => void;
}

/** Registers the worker with all queens at once. Never rejects. */
export async function notifyQueens({ outgoing, endpoint, queenUrls, worker, registration, log }: NotifyQueensInput) {
  const body = (socket: Socket): WorkerRegistration => {
    // The worker listens at our address, on a port of its own.
    const { hostname } = new URL(urlTowards(endpoint, socket));
    const host = unmapped(hostname.replace(/^\[|\]$/g, ''));
    const { protocol } = new URL(worker.url);
    return {
      worker_id: worker.workerId,
      hostname: host,
      port: worker.port,
      url: `${protocol}//${hostname}:${worker.port}`,
      ...(worker.key === undefined ? {} : { key: worker.key }),
      ...registration,
    };
  };
  const register = async (queenUrl: string) => {
    try {
      await ask(outgoing, `${queenUrl}/v1/queen/register-worker`, { method: 'POST', trusted: true, body });
    } catch (error) {
      log(`worker ${worker.workerId} could not be registered with ${queenUrl}: ${(error as Error).message}`);
    }
  };
  await Promise.all(queenUrls.map(register));
}
