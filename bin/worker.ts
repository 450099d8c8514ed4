#!/usr/bin/env node
/** rbee worker: one model, answering inference. */
import { Command } from 'commander';
import { createActor, fromPromise, waitFor } from 'xstate';
import { urlTowards } from '../actors/net/endpoint.js';
import { createBeat } from '../actors/worker/beat.js';
import type { Engine } from '../actors/worker/engines/engine.js';
import { createWorkerKeyPair, isChallenge } from '../actors/worker/worker-proof.js';
import { engineWatchMachine } from '../machines/engine-watch.js';
import { modelMachine } from '../machines/model.js';
import { queenHeartbeatMachine } from '../machines/queen-heartbeat.js';
import { workerQueensMachine } from '../machines/worker-queens.js';
import { workerRoutes } from '../server/worker.js';
import { workerMetrics } from '../server/worker-metrics.js';
import { createInferenceStats } from '../stores/inference.js';
import { modelName } from '../wire/infer.js';
import { HEADER } from '../wire/status.js';
import type { WorkerInfo } from '../wire/worker.js';
import { keepLease } from '../wiring/lease.js';
import { addProcessOptions, UsageError } from '../wiring/options.js';
import { isMain, type ProcessContext, runCommand, runProcess, type Service } from '../wiring/process.js';
import { version } from '../wiring/version.js';
import {
  addWorkerOptions,
  checkWorkerOptions,
  engineOf,
  llamaInputOf,
  portsOf,
  slotsOf,
  type WorkerOptions,
  workerIdOf,
} from '../wiring/worker-options.js';

const EXAMPLES = `
Examples:
  rbee worker --model ~/models/llama-3.2-1b-Q4_K_M.gguf          a file on this machine
  rbee worker --model hf:bartowski/Llama-3.2-1B-Instruct-GGUF/Llama-3.2-1B-Instruct-Q4_K_M.gguf
                                                                 downloads it first, once
  rbee worker --engine openai --engine-url http://127.0.0.1:11434 --model llama3.2
                                                                 stands before an Ollama that runs already
  curl http://127.0.0.1:8080/v1/infer -H 'Content-Type: application/json' -d '{"prompt":"Hello"}'

It listens at once and answers when the model is loaded: GET /health says 503, and how far it is, until then. Any client
of OpenAI's API can use it, with http://127.0.0.1:8080/v1 for its base URL. Ports: the first free of 8080 to 8200.`;

const ENGINE_URL = 'http://127.0.0.1:11434';
/** Requests that may wait for one of those that are answered. */
const QUEUE_MAX = 64;
/** An engine that does not end by then ends with the process. */
const CLOSE_MS = 2_000;
/** What queens get to hear that a worker ends, in ms. */
const LEAVE_MS = 500;

export function workerCommand(): Command {
  const command = new Command('worker').description('Runs one model, and answers inference with it.');
  return addProcessOptions(addWorkerOptions(command), 'the first free of 8080 to 8200')
    .addHelpText('after', EXAMPLES)
    .action(async (options: WorkerOptions) => {
      checkWorkerOptions(options);
      const engine = await loadEngine(options);
      const ports = portsOf(options);
      await runProcess({
        name: 'worker',
        id: options.workerId ?? workerIdOf(options),
        options: { ...options, port: ports[0] ?? 0 },
        ports,
        build: (processContext) => buildWorker(processContext, options, engine(processContext)),
      });
    });
}

/** Only the engine that is asked for is loaded. */
async function loadEngine(options: WorkerOptions): Promise<(processContext: ProcessContext) => Engine> {
  const { model } = options;
  if (engineOf(options) === 'llama') {
    const { createLlamaEngine } = await import('../actors/worker/engines/llama.js');
    return ({ log }) => createLlamaEngine(llamaInputOf(options, { model, log: plain(log) }));
  }
  const { createOpenAiEngine } = await import('../actors/worker/engines/openai.js');
  const url = options.engineUrl ?? ENGINE_URL;
  const apiKey = process.env.RBEE_ENGINE_API_KEY ?? null;
  return ({ log, security }) => createOpenAiEngine({ model, url, apiKey, ca: security.ca, log: plain(log) });
}

function plain(log: ProcessContext['log']) {
  return {
    debug: (message: string) => log.debug(message),
    info: (message: string) => log.info(message),
    warn: (message: string) => log.warn(message),
  };
}

function buildWorker(processContext: ProcessContext, options: WorkerOptions, engine: Engine): Service {
  const { id, log, endpoint, outgoing, fail } = processContext;
  const stats = createInferenceStats();
  const identity = createWorkerKeyPair();
  let stopping = false;
  let announced = false;
  const model = createActor(
    modelMachine.provide({
      actors: {
        openEngine: fromPromise(({ signal }) => engine.open(signal)),
        watch: engineWatchMachine.provide({
          actors: { askEngine: fromPromise(async ({ signal }) => engine.probe?.(signal)) },
        }),
      },
    }),
    { id: 'model', input: { watched: engine.probe !== null }, inspect: processContext.inspect },
  );
  const queens = createActor(
    workerQueensMachine.provide({
      actors: {
        heartbeat: queenHeartbeatMachine.provide({
          actors: { beat: createBeat({ outgoing, info: (socket) => infoTowards(socket), now: processContext.now }) },
        }),
      },
    }),
    { id: 'queens', input: { queenUrls: [...new Set(options.queenUrl)] }, inspect: processContext.inspect },
  );
  queens.subscribe({ error: fail });
  const lease = keepLease(processContext, {
    registryUrl: options.registryUrl,
    kind: 'worker',
    about: () => about(),
    onQueens: (listed) => queens.send({ type: 'queens.listed', urls: listed.map(({ url }) => url) }),
  });

  const state = () => model.getSnapshot().value;
  const facts = () => model.getSnapshot().context.facts;
  const api = workerRoutes({
    workerId: id,
    info: (socket) => infoTowards(socket),
    facts,
    aliases: [options.model, modelName(options.model)],
    unable: whyNot,
    infer: (call) => engine.answer(call),
    onUnreachable: (reason) => model.send({ type: 'engine.broke', reason }),
    onBusy: () => queens.send({ type: 'status.changed' }),
    stats,
    slots: slotsOf(options),
    queueMax: QUEUE_MAX,
    log: { warn: (fields, message) => log.warn(fields, message) },
  });

  function status(): 'starting' | 'ready' | 'busy' | 'stopping' {
    if (stopping) return 'stopping';
    if (state() !== 'ready') return 'starting';
    return api.admission.running > 0 ? 'busy' : 'ready';
  }

  /** @param known whether the caller may hear more than anybody: the reason may name addresses */
  function whyNot(known = true): string | null {
    if (stopping) return 'the worker is shutting down';
    if (state() === 'ready') return null;
    const { doing, pct } = engine.progress();
    const what = state() === 'away' ? 'the engine is away' : `the model cannot answer yet: ${doing}`;
    const { reason } = model.getSnapshot().context;
    return `${what}${pct === null ? '' : `, ${pct} %`}${known && reason !== null ? ` (${reason})` : ''}`;
  }

  /** What it is, whoever asks. */
  function about(): Omit<WorkerInfo, 'id' | 'url' | 'status' | 'tokens_per_s' | 'reason'> {
    const labels = Object.fromEntries(options.label);
    return {
      model_id: facts()?.models[0]?.id ?? modelName(options.model),
      device: options.device ?? facts()?.devices[0]?.id ?? null,
      port: endpoint.port,
      hive_id: options.hiveId ?? null,
      implementation: engine.implementation,
      version,
      context: facts()?.context_tokens ?? null,
      slots: slotsOf(options),
      key: identity.key,
      ...(options.label.length > 0 ? { labels } : {}),
    };
  }

  function infoTowards(socket: Parameters<typeof urlTowards>[1]): WorkerInfo {
    const reason = api.silent();
    return {
      id,
      url: urlTowards(endpoint, socket),
      status: status(),
      tokens_per_s: stats.tokensPerS(performance.now()),
      ...(reason === null ? {} : { reason }),
      ...about(),
    };
  }

  /** The model can answer for the first time. */
  const announce = (): void => {
    announced = true;
    queens.start();
    lease.start();
  };
  model.subscribe({ next: follow(processContext, queens, announce), error: fail });

  return {
    routes: api.routes,
    streams: [],
    metrics: [
      ...workerMetrics({ stats, admission: api.admission, ready: () => state() === 'ready' }),
      ...lease.metrics,
    ],
    unavailable: whyNot,
    onHealth: (ctx) => {
      ctx.set('Rbee-Worker', id);
      const challenge = ctx.get(HEADER.challenge);
      if (isChallenge(challenge)) ctx.set('Rbee-Proof', identity.prove(id, challenge));
    },
    key: identity.key,
    start: () => model.start(),
    close: () => {
      stopping = true;
      api.close();
      queens.send({ type: 'status.changed' });
    },
    stop: async () => {
      stopping = true;
      const left = lease.leave();
      api.stop();
      model.stop();
      await Promise.race([engine.close(), new Promise((resolve) => setTimeout(resolve, CLOSE_MS).unref())]);
      await Promise.all([left, announced ? leaveQueens(queens) : undefined]);
      queens.stop();
    },
  };
}

/** Tells the queens that this worker ends, so that they list it no more; one that does not answer soon is not waited for. */
async function leaveQueens(queens: Queens): Promise<void> {
  queens.send({ type: 'leave' });
  const done = ({ children }: ReturnType<Queens['getSnapshot']>) =>
    Object.values(children).every((child) => child?.getSnapshot().status !== 'active');
  await waitFor(queens, done, { timeout: LEAVE_MS }).catch(() => {});
}

type Model = ReturnType<typeof createActor<typeof modelMachine>>;
type Queens = ReturnType<typeof createActor<typeof workerQueensMachine>>;

/**
 * What follows from a change of the model. Everybody who is told that this worker is there is told when the model can
 * answer for the first time, and not before: the registry, which names further queens, and the queens.
 */
function follow({ id, log, fail }: ProcessContext, queens: Queens, announce: () => void) {
  let told: unknown;
  let reasonTold: string | null = null;
  let announced = false;
  return ({ value, context }: ReturnType<Model['getSnapshot']>): void => {
    const { reason, facts } = context;
    if (value === 'failed') {
      // What it was told cannot be done: to start it again would not help.
      fail(new UsageError(reason ?? 'the model cannot be loaded'));
      return;
    }
    if (reason !== null && reason !== reasonTold && value !== 'ready') log.warn(`${reason}; it is tried again`);
    reasonTold = reason;
    const now = typeof value === 'string' ? value : 'starting';
    if (now === told) return;
    told = now;
    if (now === 'ready') log.info(`${id} answers with ${facts?.models.map((one) => one.id).join(', ')}`);
    if (now === 'ready' && !announced) {
      announced = true;
      announce();
    } else if (announced) queens.send({ type: 'status.changed' });
  };
}

if (isMain(import.meta.url)) await runCommand(workerCommand().name('rbee-worker'), process.argv);
