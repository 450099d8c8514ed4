/** The setup of the worker machine: its limits, its delays, and its actions. */
import { emit, fromCallback, setup } from 'xstate';
import { expectedWorker } from '../wire/worker.js';
import { restartDelayMs } from './backoff.js';
import { notProvided } from './failure.js';
import { type WorkerHealth, workerHealthMachine } from './worker-health.js';
import type {
  RunEvent,
  RunInput,
  WorkerContext,
  WorkerEmitted,
  WorkerEndpoint,
  WorkerEvent,
  WorkerInput,
  WorkerRequest,
  WorkerSettled,
} from './worker-types.js';

/** From SIGTERM to SIGKILL. */
export const STOP_GRACE_MS = 5_000;
/** A second SIGTERM is sent this long before SIGKILL: it makes a worker end its answers with an error. */
const SECOND_SIGTERM_MS = 2_000;
/** Consecutive restarts. */
const RESTARTS_MAX = { healthyBefore: 5, neverHealthy: 2 } as const;
/** Longer than the slowest disk takes for one step of a load: raise it where models come over a slow network. */
export const LOAD_TIMEOUT_MS = 15 * 60_000;
/** Wrong usage (a flag, a model that does not exist): if the worker was never healthy, a restart cannot help. */
const EXIT_USAGE = 2;
/** Two, so that one long pause does not take a worker out of service. */
export const FAILURES_MAX = 2;

const restartsMax = ({ wasHealthy }: Pick<WorkerContext, 'wasHealthy'>): number =>
  wasHealthy ? RESTARTS_MAX.healthyBefore : RESTARTS_MAX.neverHealthy;

export const s = setup({
  types: {
    context: {} as WorkerContext,
    input: {} as WorkerInput,
    events: {} as WorkerEvent,
    emitted: {} as WorkerEmitted,
  },
  actors: {
    /** Spawns or adopts the process, and sends `process.*` events until it is stopped; the process outlives the actor. */
    run: fromCallback<RunEvent, RunInput>(() => notProvided('run')),
    health: workerHealthMachine,
  },
  actions: {
    narrate: emit((_, { line }: { line: string }): WorkerEmitted => ({ type: 'narration', line })),
    /** Registers a worker that became healthy with the queens. */
    notifyQueens: (_, _params: { endpoint: WorkerEndpoint; request: WorkerRequest; model: string | null }) => {},
  },
  delays: {
    restartDelay: ({ context }) => restartDelayMs(context.restarts),
    /** From the start of the process to its line that it listens. */
    listenTimeout: 60_000,
    /** Without any answer from a worker that listens. A load that reports progress may take any time. */
    hungTimeout: 60_000,
    /** A load that answers, but makes no progress. */
    loadTimeout: LOAD_TIMEOUT_MS,
    steady: 60_000,
    grace: ({ context }) => context.graceMs,
    hurry: ({ context }) => Math.max(SECOND_SIGTERM_MS / 10, context.graceMs - SECOND_SIGTERM_MS),
    stuckTimeout: 5_000,
  },
  guards: {
    mayRestart: ({ context }, { code }: { code: number | null }) =>
      !context.hopeless && (code !== EXIT_USAGE || context.wasHealthy) && context.restarts < restartsMax(context),
  },
});

export const healthInput = (endpoint: WorkerEndpoint | null, pace: 'loading' | 'healthy') => ({
  url: endpoint?.url ?? '',
  worker: endpoint && expectedWorker(endpoint.workerId, endpoint.key),
  pace,
});

/** How far a load is, without the reason in parentheses, which may change without any progress. */
const stepOf = (progress: string | null) => progress?.replace(/ \([\s\S]*\)$/, '') ?? null;

export const progressOf = (health: WorkerHealth) => (health.status === 'loading' ? health.progress : null);

/** The part of the context that belongs to a process, where there is none. */
export const NO_PROCESS = { pid: null, endpoint: null, adopt: null, failures: 0, progress: null } as const;

export const noteEndpoint = s.assign(({ event }) =>
  event.type === 'process.listening' ? { endpoint: event.endpoint, lastWorkerId: event.endpoint.workerId } : {},
);

export const noteCrash = s.assign(({ event }) =>
  event.type === 'process.exited'
    ? {
        ...NO_PROCESS,
        reason: event.exit.message,
        lastReason: event.exit.message,
        lastLines: event.exit.lastLines,
      }
    : NO_PROCESS,
);

export const noteRestart = s.assign(({ context }) => ({
  restarts: context.restarts + 1,
  restartsEver: context.restartsEver + 1,
}));

/** The reason why it was ended stays; how it ended tells less. */
export const noteHung = s.assign(({ context, event }) => ({
  ...NO_PROCESS,
  lastReason: context.reason,
  ...(event.type === 'process.exited' ? { lastLines: event.exit.lastLines } : {}),
}));

export const noteStop = s.assign(({ event }) => ({
  asked: true,
  reason: null,
  ...(event.type === 'stop' && event.graceMs !== undefined ? { graceMs: event.graceMs } : {}),
}));

export const settle = s.enqueueActions(({ context, enqueue }) => {
  if (!context.restored) return;
  enqueue.assign({ restored: false });
  enqueue.sendParent({ type: 'worker.settled', id: context.id } satisfies WorkerSettled);
});

export const narrateCrash = s.enqueueActions(({ context, enqueue }) => {
  enqueue({ type: 'narrate', params: { line: `crashed: ${context.reason}` } });
  for (const line of context.lastLines) enqueue({ type: 'narrate', params: { line: `  ${line}` } });
});

export const narrateRestart = s.enqueueActions(({ context, enqueue }) => {
  if (context.restarts === 0) return;
  const seconds = restartDelayMs(context.restarts) / 1000;
  const line = `restarting in ${seconds} s (${context.restarts} of ${restartsMax(context)})`;
  enqueue({ type: 'narrate', params: { line } });
});

export const stopRun = s.enqueueActions(({ enqueue }) => enqueue.stopChild('run'));

export const startRun = s.enqueueActions(({ context, enqueue }) => {
  enqueue.stopChild('run');
  const { id, request, adopt, lastWorkerId: workerId } = context;
  enqueue.spawnChild('run', { id: 'run', input: { id, request, adopt, workerId } });
  enqueue.assign({ adopt: null });
});

export const sigterm = s.enqueueActions(({ enqueue }) => {
  enqueue.sendTo('run', { type: 'signal', signal: 'SIGTERM' });
});

export const sigkill = s.enqueueActions(({ enqueue }) => {
  enqueue.sendTo('run', { type: 'signal', signal: 'SIGKILL' });
});

/** Any answer restarts the wait for one; `stalled` starts over only with progress. */
export const awaitAnswer = s.enqueueActions(({ enqueue }) => {
  enqueue.cancel('hung');
  enqueue.raise({ type: 'hung' }, { id: 'hung', delay: 'hungTimeout' });
});

export const awaitProgress = s.enqueueActions(({ enqueue }) => {
  enqueue.cancel('stalled');
  enqueue.raise({ type: 'stalled' }, { id: 'stalled', delay: 'loadTimeout' });
});

export const noteProgress = s.enqueueActions(({ context, event, enqueue }) => {
  if (event.type !== 'health') return;
  const progress = progressOf(event.health);
  if (stepOf(progress) !== stepOf(context.progress)) enqueue(awaitProgress);
  enqueue.assign({ progress, reason: null });
  enqueue({ type: 'narrate', params: { line: progress ?? 'its model is being loaded' } });
});
