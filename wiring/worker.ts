/** Puts a worker process together: its engine, its model, its requests and routes, and its presence at registry and queens. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Engine } from '../actors/worker/engines/engine.js';
import { createWorkerKeyPair, isChallenge } from '../actors/worker/worker-proof.js';
import { Serving } from '../server/serving.js';
import { workerRoutes } from '../server/worker.js';
import { workerMetrics } from '../server/worker-metrics.js';
import { createInferenceStats } from '../stores/inference.js';
import { modelName } from '../wire/infer.js';
import { HEADER } from '../wire/status.js';
import { type ProcessContext, runProcess, type Service } from './process.js';
import { WorkerDescription } from './worker-description.js';
import { loadEngine } from './worker-engine.js';
import { type ModelNews, WorkerModel } from './worker-model.js';
import { checkWorkerOptions, portsOf, slotsOf, type WorkerOptions, workerIdOf } from './worker-options.js';
import { WorkerPresence } from './worker-presence.js';

/** Requests that wait for a slot. */
const QUEUE_MAX = 64;
/** An engine that is not closed by then ends with the process. */
const CLOSE_MS = 2_000;

/** @throws UsageError */
export async function runWorker(options: WorkerOptions): Promise<void> {
  checkWorkerOptions(options);
  const createEngine = await loadEngine(options);
  const ports = portsOf(options);
  await runProcess({
    name: 'worker',
    id: options.workerId ?? workerIdOf(options),
    options: { ...options, port: ports[0] ?? 0 },
    ports,
    build: (processContext) => buildWorker(processContext, options, createEngine(processContext)),
  });
}

function buildWorker(processContext: ProcessContext, options: WorkerOptions, engine: Engine): Service {
  const { id, log } = processContext;
  const identity = createWorkerKeyPair();
  const stats = createInferenceStats();
  const onNews = (news: ModelNews) => (news === 'ready' ? presence.start() : presence.statusChanged());
  const model = new WorkerModel(processContext, engine, onNews);
  const serving = new Serving({
    facts: () => model.facts,
    aliases: [options.model, modelName(options.model)],
    whyNotReady: () => model.whyNotReady(),
    infer: (call) => engine.answer(call),
    onEngineUnreachable: (reason) => model.engineUnreachable(reason),
    onBusyChange: () => presence.statusChanged(),
    stats,
    slots: slotsOf(options),
    queueMax: QUEUE_MAX,
    log: { warn: (fields, message) => log.warn(fields, message) },
  });
  const { key } = identity;
  const description = new WorkerDescription({ processContext, options, engine, model, serving, stats, key });
  const info = description.info.bind(description);
  const { queenUrl: queenUrls, registryUrl } = options;
  const presence = new WorkerPresence(processContext, {
    ...{ queenUrls, registryUrl, info },
    fields: () => description.fields(),
  });
  return {
    routes: workerRoutes({ workerId: id, info, facts: () => model.facts, serving }),
    streams: [],
    metrics: [...workerMetrics({ stats, admission: serving.admission, ready: () => model.ready }), ...presence.metrics],
    whyNotReady: (known) => description.whyNotReady(known),
    onHealth: (ctx) => {
      ctx.set('Rbee-Worker', id);
      const challenge = ctx.get(HEADER.challenge);
      if (isChallenge(challenge)) ctx.set('Rbee-Proof', identity.prove(id, challenge));
    },
    key,
    start: () => model.start(),
    close: () => {
      serving.close();
      presence.statusChanged();
    },
    stop: async () => {
      serving.stop();
      const unregistered = presence.unregister();
      model.stop();
      await Promise.race([engine.close(), sleep(CLOSE_MS, undefined, { ref: false })]);
      await Promise.all([unregistered, presence.leaveQueens()]);
    },
  };
}
