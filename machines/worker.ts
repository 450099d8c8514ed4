/**
 * One spawned worker: absent → starting → healthy → stopping → gone | crashed. It is the same law for a hive and a
 * keeper, and for a process that was spawned now and one that was adopted. Its parent is `workers`.
 */
import { assign, cancel, emit, fromCallback, raise, setup } from 'xstate';
import type { KvType } from '../wire/jobs.js';
import { expectedWorker } from '../wire/worker.js';
import { restartDelayMs } from './backoff.js';
import { notProvided } from './failure.js';
import { type HealthReport, type WorkerHealth, workerHealthMachine } from './worker-health.js';

/** What somebody asks a spawner for. */
export interface WorkerRequest {
  /** A path, an `hf:` URI, or the name that an engine has for it. */
  model: string;
  worker: 'cpu' | 'cuda' | 'metal' | 'openai';
  /** Which of its kind: 0 is `GPU-0`, or `CPU-0`. */
  device: number;
  /** Of an engine that runs already; null for all but `openai`. */
  engineUrl: string | null;
  /** Tokens of one request. What is left out the worker chooses. */
  context?: number;
  /** Requests at once. */
  slots?: number;
  threads?: number;
  gpuLayers?: number;
  kvType?: KvType;
}

/** What a worker said that it takes; null where its engine decides. */
export interface WorkerCapacity {
  context?: number | null;
  slots?: number | null;
}

/** Where a worker answers, as it said when it began to listen. */
export interface WorkerDoor {
  workerId: string;
  url: string;
  port: number;
  /** The public key of this run of it; absent of one that has none. */
  key?: string;
}

export interface WorkerInput {
  /** Of this spawn: it stays the same when the process is started again. */
  id: string;
  request: WorkerRequest;
  /** The process to adopt in the place of the first start, and its id, if it listened before. */
  adopt: { pid: number; workerId?: string | null } | null;
}

export interface WorkerContext {
  id: string;
  request: WorkerRequest;
  adopt: { pid: number } | null;
  pid: number | null;
  door: WorkerDoor | null;
  /** Its id when it listened last: it is known by that while it is started again, and when it crashed. */
  lastWorkerId: string | null;
  /** The model and device as the worker names them, once it is healthy. */
  model: string | null;
  device: string | null;
  capacity: WorkerCapacity;
  /** Starts again since it was last healthy for STEADY_MS. */
  restarts: number;
  wasHealthy: boolean;
  /** Checks of a healthy worker that failed running. */
  failures: number;
  /** What it said last about its loading. */
  progress: string | null;
  /** Somebody asked for its end: then it is not started again. */
  asked: boolean;
  /** How long its end may take in order, in ms. */
  graceMs: number;
  reason: string | null;
  /** The last lines of its stderr, when it crashed. */
  lastLines: string[];
}

/** How a process ended. */
export interface WorkerExit {
  /** Null when a signal ended it, or when it is not known. */
  code: number | null;
  signal: string | null;
  /** One sentence for people. */
  message: string;
  lastLines: string[];
}

export type WorkerEvent =
  | { type: 'process.spawned'; pid: number }
  | { type: 'process.listening'; door: WorkerDoor }
  | { type: 'process.exited'; exit: WorkerExit }
  /** It ignores SIGKILL, or cannot be signalled; the message says why. */
  | { type: 'process.stuck'; message: string }
  | HealthReport
  | { type: 'hung' }
  | { type: 'stop'; graceMs?: number };

/** For whoever asked for the worker, and for the log: one line of what happens. */
export type WorkerEmitted = { type: 'narration'; line: string };

/** What `run` takes. */
export type RunEvent = { type: 'signal'; signal: 'SIGTERM' | 'SIGKILL' };
export interface RunInput {
  id: string;
  request: WorkerRequest;
  adopt: { pid: number } | null;
}

/** SIGTERM, and so long after it SIGKILL. */
export const STOP_GRACE_MS = 5_000;
/** A worker that was healthy is started again so often running, one that never was so often. */
export const RESTARTS_MAX = { healthyBefore: 5, neverHealthy: 2 } as const;
/** Wrong usage (a flag, a model that does not exist): what starting again cannot mend, if it never went well. */
const EXIT_USAGE = 2;
/** Two, so that one long pause does not take a worker away. */
const FAILURES_MAX = 2;

const s = setup({
  types: {
    context: {} as WorkerContext,
    input: {} as WorkerInput,
    events: {} as WorkerEvent,
    emitted: {} as WorkerEmitted,
  },
  actors: {
    /** Spawns or adopts the process, and tells `process.*` of it until it is stopped; the process outlives the actor. */
    run: fromCallback<RunEvent, RunInput>(() => notProvided('run')),
    health: workerHealthMachine,
  },
  actions: {
    narrate: emit((_, { line }: { line: string }): WorkerEmitted => ({ type: 'narration', line })),
    /** The fast path: tells queens of a worker that is healthy now. */
    tellQueens: (_, _params: { door: WorkerDoor; request: WorkerRequest; model: string | null }) => {},
  },
  delays: {
    restartDelay: ({ context }) => restartDelayMs(context.restarts),
    /** From the start of the process to its line that it listens. */
    listenTimeout: 60_000,
    /** Without any answer from a worker that listens. A load that says how far it is may take as long as it takes. */
    hungTimeout: 60_000,
    steady: 60_000,
    grace: ({ context }) => context.graceMs,
    stuckTimeout: 5_000,
  },
  guards: {
    mayRestart: ({ context }, { code }: { code: number | null }) =>
      (code !== EXIT_USAGE || context.wasHealthy) &&
      context.restarts < (context.wasHealthy ? RESTARTS_MAX.healthyBefore : RESTARTS_MAX.neverHealthy),
  },
});

const healthInput = (door: WorkerDoor | null, pace: 'loading' | 'healthy') => ({
  url: door?.url ?? '',
  worker: door && expectedWorker(door.workerId, door.key),
  pace,
});

const progressOf = (health: WorkerHealth) => (health.status === 'loading' ? health.progress : null);

const nobody = { pid: null, door: null, adopt: null, failures: 0, progress: null } as const;

const noteDoor = s.assign(({ event }) =>
  event.type === 'process.listening' ? { door: event.door, lastWorkerId: event.door.workerId } : {},
);

const noteCrash = s.assign(({ event }) =>
  event.type === 'process.exited' ? { ...nobody, reason: event.exit.message, lastLines: event.exit.lastLines } : nobody,
);

const askedToStop = s.assign(({ event }) => ({
  asked: true,
  reason: null,
  ...(event.type === 'stop' && event.graceMs !== undefined ? { graceMs: event.graceMs } : {}),
}));

const toldCrash = s.enqueueActions(({ context, enqueue }) => {
  enqueue({ type: 'narrate', params: { line: `crashed: ${context.reason}` } });
  for (const line of context.lastLines) enqueue({ type: 'narrate', params: { line: `  ${line}` } });
});

const crash = [
  {
    guard: { type: 'mayRestart', params: ({ event }: { event: { exit: WorkerExit } }) => ({ code: event.exit.code }) },
    target: '#worker.absent',
    actions: [noteCrash, toldCrash, s.assign(({ context }) => ({ restarts: context.restarts + 1 }))],
  },
  { target: '#worker.crashed', actions: [noteCrash, toldCrash] },
] as const;

export const workerMachine = s.createMachine({
  id: 'worker',
  context: ({ input }) => ({
    id: input.id,
    request: input.request,
    ...nobody,
    adopt: input.adopt,
    lastWorkerId: input.adopt?.workerId ?? null,
    model: null,
    device: null,
    capacity: {},
    restarts: 0,
    wasHealthy: false,
    asked: false,
    graceMs: STOP_GRACE_MS,
    reason: null,
    lastLines: [],
  }),
  initial: 'absent',
  states: {
    /** No process: the first start, or the next one, is due. */
    absent: {
      entry: s.enqueueActions(({ context, enqueue }) => {
        enqueue.stopChild('run');
        if (context.restarts === 0) return;
        const most = context.wasHealthy ? RESTARTS_MAX.healthyBefore : RESTARTS_MAX.neverHealthy;
        const wait = restartDelayMs(context.restarts) / 1000;
        enqueue({
          type: 'narrate',
          params: { line: `it is started again in ${wait} s (${context.restarts} of ${most})` },
        });
      }),
      after: { restartDelay: 'starting' },
      on: { stop: { target: 'gone', actions: askedToStop } },
    },
    starting: {
      initial: 'launching',
      on: {
        'process.exited': [...crash],
        stop: { target: 'stopping', actions: askedToStop },
        hung: {
          target: 'stopping',
          actions: assign({ reason: ({ context }) => `it hung: ${context.reason ?? 'it did not answer'}` }),
        },
      },
      states: {
        launching: {
          entry: [
            s.enqueueActions(({ context, enqueue }) => {
              enqueue.stopChild('run');
              const { id, request, adopt } = context;
              enqueue.spawnChild('run', { id: 'run', input: { id, request, adopt } });
            }),
            assign({ adopt: null }),
          ],
          after: {
            listenTimeout: {
              target: '#worker.stopping',
              actions: assign({ reason: 'it hung: it did not listen within 60 s' }),
            },
          },
          on: {
            'process.spawned': {
              actions: [
                assign({ pid: ({ event }) => event.pid }),
                { type: 'narrate', params: ({ event }) => ({ line: `process ${event.pid} runs` }) },
              ],
            },
            'process.listening': {
              target: 'loading',
              actions: [
                noteDoor,
                {
                  type: 'narrate',
                  params: ({ event }) => ({
                    line: `${event.door.workerId} listens at ${event.door.url}, its model is being loaded`,
                  }),
                },
              ],
            },
          },
        },
        loading: {
          entry: raise({ type: 'hung' }, { id: 'hung', delay: 'hungTimeout' }),
          exit: cancel('hung'),
          invoke: { src: 'health', input: ({ context }) => healthInput(context.door, 'loading') },
          on: {
            health: [
              {
                guard: ({ event }) => event.health.status === 'ok',
                target: '#worker.healthy',
                actions: assign(({ event }) =>
                  event.health.status === 'ok'
                    ? { model: event.health.model, device: event.health.device, capacity: event.health.capacity ?? {} }
                    : {},
                ),
              },
              {
                guard: ({ context, event }) => progressOf(event.health) !== context.progress,
                actions: [
                  cancel('hung'),
                  raise({ type: 'hung' }, { id: 'hung', delay: 'hungTimeout' }),
                  assign({ progress: ({ event }) => progressOf(event.health), reason: null }),
                  {
                    type: 'narrate',
                    params: ({ event }) => ({ line: progressOf(event.health) ?? 'its model is being loaded' }),
                  },
                ],
              },
              // Nothing new, but a sign of life: the wait for one begins anew.
              { actions: [cancel('hung'), raise({ type: 'hung' }, { id: 'hung', delay: 'hungTimeout' })] },
            ],
            'health.failed': { actions: assign({ reason: ({ event }) => event.reason }) },
          },
        },
      },
    },
    healthy: {
      entry: [
        assign({ wasHealthy: true, failures: 0, reason: null, progress: null, lastLines: [] }),
        { type: 'narrate', params: ({ context }) => ({ line: `${context.door?.workerId} is ready` }) },
        {
          type: 'tellQueens',
          params: ({ context }) => ({
            door: context.door as WorkerDoor,
            request: context.request,
            model: context.model,
          }),
        },
      ],
      after: { steady: { actions: assign({ restarts: 0 }) } },
      invoke: { src: 'health', input: ({ context }) => healthInput(context.door, 'healthy') },
      on: {
        'process.exited': [...crash],
        stop: { target: 'stopping', actions: askedToStop },
        health: [
          {
            guard: ({ event }) => event.health.status === 'ok',
            actions: assign({ failures: 0, reason: null }),
          },
          { target: 'starting.loading', actions: assign({ reason: 'its model cannot answer any more' }) },
        ],
        'health.failed': [
          {
            guard: ({ context }) => context.failures + 1 < FAILURES_MAX,
            actions: assign({
              failures: ({ context }) => context.failures + 1,
              reason: ({ event }) => event.reason,
            }),
          },
          {
            target: 'starting.loading',
            actions: assign({ reason: ({ event }) => `its /health failed twice running: ${event.reason}` }),
          },
        ],
      },
    },
    /** Asked to end, or hung: SIGTERM, then SIGKILL. A hung one is started again like one that crashed. */
    stopping: {
      initial: 'ending',
      on: {
        stop: { actions: askedToStop },
        'process.listening': { actions: noteDoor },
        'process.spawned': { actions: assign({ pid: ({ event }) => event.pid }) },
        'process.stuck': { actions: assign({ reason: ({ event }) => event.message }) },
        'process.exited': [
          { guard: ({ context }) => context.asked, target: 'gone' },
          {
            guard: { type: 'mayRestart', params: { code: null } },
            target: 'absent',
            actions: [
              assign({ lastLines: ({ event }) => event.exit.lastLines, ...nobody }),
              toldCrash,
              assign({ restarts: ({ context }) => context.restarts + 1 }),
            ],
          },
          {
            target: 'crashed',
            actions: [assign({ lastLines: ({ event }) => event.exit.lastLines, ...nobody }), toldCrash],
          },
        ],
      },
      states: {
        ending: {
          entry: [
            s.enqueueActions(({ enqueue }) => {
              enqueue.sendTo('run', { type: 'signal', signal: 'SIGTERM' });
            }),
            { type: 'narrate', params: ({ context }) => ({ line: `process ${context.pid} is asked to end` }) },
          ],
          after: { grace: 'killing' },
          on: {
            // Its spawner ends itself, and cannot wait for as long.
            stop: {
              guard: ({ context, event }) => event.graceMs !== undefined && event.graceMs < context.graceMs,
              target: 'ending',
              reenter: true,
              actions: askedToStop,
            },
          },
        },
        killing: {
          entry: [
            s.enqueueActions(({ enqueue }) => {
              enqueue.sendTo('run', { type: 'signal', signal: 'SIGKILL' });
            }),
            { type: 'narrate', params: ({ context }) => ({ line: `process ${context.pid} is killed` }) },
          ],
          after: {
            stuckTimeout: {
              target: 'killing',
              reenter: true,
              actions: assign({ reason: 'it outlives SIGKILL: the kernel holds it' }),
            },
          },
        },
      },
    },
    /** Nothing runs, and nothing will until somebody spawns it anew; it is kept to be seen. */
    crashed: {
      entry: s.enqueueActions(({ context, enqueue }) => {
        enqueue.stopChild('run');
        enqueue({ type: 'narrate', params: { line: `it is not started again: ${context.reason}` } });
      }),
      on: { stop: 'gone' },
    },
    gone: {
      type: 'final',
      entry: s.enqueueActions(({ enqueue }) => {
        enqueue.stopChild('run');
        enqueue.assign({ ...nobody });
        enqueue({ type: 'narrate', params: { line: 'it is gone' } });
      }),
    },
  },
});

/** The worker's state as telemetry names it. One without a process whose next start is due is starting. */
export function telemetryStatus(state: string): 'starting' | 'ready' | 'stopping' | 'crashed' {
  if (state === 'healthy') return 'ready';
  if (state === 'stopping' || state === 'gone') return 'stopping';
  return state === 'crashed' ? 'crashed' : 'starting';
}
