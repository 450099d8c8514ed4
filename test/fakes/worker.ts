/** A fake worker: healthy, failing or gone; with a lease or without. Real HTTP. */
import type { Test } from 'tap';
import { type Answer, postJson } from '../helpers/http.js';
import { answer, problem, type Served, serve } from './serve.js';

export interface FakeWorkerOptions {
  id?: string;
  port?: number;
  /** The hive in its lease; null for a keeper's worker, undefined to leave the field out. */
  hiveId?: string | null;
  /** Keeps a lease there. */
  registryUrl?: string;
}

export interface FakeWorker extends Served {
  id: string;
  /** Can be set at any time, like the next two. */
  healthStatus: number | 'hang';
  capabilitiesStatus: number;
  /** The name under which it answers. */
  answersAs: string;
  healthRequests: number;
  capabilityRequests: number;
  info(): Record<string, unknown>;
  /** POST /v1/queen/register-worker, as its spawner does. */
  registerAt(queenUrl: string, more?: object): Promise<Answer>;
  beat(queenUrl: string): Promise<Answer>;
  /** As kill -9. */
  die(): Promise<void>;
}

export async function fakeWorker(t: Pick<Test, 'teardown'>, options: FakeWorkerOptions = {}): Promise<FakeWorker> {
  const { registryUrl, hiveId } = options;
  const served = await serve(t, options, (_, response, url) => {
    if (url.pathname === '/health') {
      worker.healthRequests++;
      if (worker.healthStatus === 'hang') return;
      response.writeHead(worker.healthStatus, { 'content-type': 'text/plain' }).end('ok');
    } else if (url.pathname === '/info') answer(response, 200, worker.info());
    else if (url.pathname === '/capabilities') {
      worker.capabilityRequests++;
      if (worker.capabilitiesStatus !== 200) return problem(response, worker.capabilitiesStatus);
      const devices = [{ id: 'CPU-0', name: 'a fake', device_type: 'cpu', vram_gb: 1, compute_capability: null }];
      answer(response, 200, { worker_id: worker.answersAs, devices, models: ['tiny'] });
    } else problem(response, 404);
  });
  const id = options.id ?? `worker-llm-${served.port}@keeper-fake`;
  let alive = true;
  const timers = new Set<NodeJS.Timeout>();
  const later = (ms: number, action: () => Promise<void>) => {
    const timer = setTimeout(() => {
      timers.delete(timer);
      if (alive) void action();
    }, ms);
    timers.add(timer);
  };

  async function register(): Promise<void> {
    try {
      const { id: _, url: __, hive_id, ...own } = worker.info();
      const { status, body } = await postJson(`${registryUrl}/v1/registry/register`, {
        ...own,
        ...(hiveId === undefined ? {} : { hive_id }),
        ...{ kind: 'worker', id, url: worker.url },
      });
      if (status === 200) return later(0, () => heartbeat(body.heartbeat_interval_s * 1000));
    } catch {
      // Tried again, as every component does.
    }
    later(250, register);
  }

  async function heartbeat(intervalMs: number): Promise<void> {
    try {
      const { status } = await postJson(`${registryUrl}/v1/registry/heartbeat`, { kind: 'worker', id });
      if (status !== 200) return register();
    } catch {
      return later(250, register);
    }
    later(intervalMs, () => heartbeat(intervalMs));
  }

  const close = served.close;
  const worker: FakeWorker = Object.assign(served, {
    id,
    healthStatus: 200,
    capabilitiesStatus: 200,
    answersAs: id,
    healthRequests: 0,
    capabilityRequests: 0,
    info: () => ({
      ...{ id, model_id: 'tiny', device: 'CPU-0', port: served.port, url: served.url, hive_id: hiveId ?? null },
      ...{ status: 'ready', implementation: 'fake', version: '0.0.0' },
    }),
    registerAt: (queenUrl: string, more: object = {}) =>
      postJson(`${queenUrl}/v1/queen/register-worker`, {
        ...{ worker_id: id, hostname: '127.0.0.1', port: served.port, worker_type: 'llm', model: 'tiny' },
        ...{ spawned_by: 'keeper-fake', ...more },
      }),
    beat: (queenUrl: string) =>
      postJson(`${queenUrl}/v1/worker-heartbeat`, { worker: worker.info(), timestamp: new Date().toISOString() }),
    async die() {
      alive = false;
      for (const timer of timers) clearTimeout(timer);
      await close();
    },
  });
  t.teardown(() => worker.die());
  if (registryUrl !== undefined) {
    later(0, register);
  }
  return worker;
}
