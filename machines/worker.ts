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
export interface WorkerEndpoint {
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
  /** What an earlier run of its spawner knew of it. */
  earlier?: EarlierRun;
  /** It is started again after a restart of its spawner: when it is its turn, or, for the reason given, not at all. */
  restore?: { refused: string | null };
}

export interface EarlierRun {
  /** Its id, which it keeps. */
  workerId: string | null;
  /** It was healthy once. */
  established: boolean;
}

export interface WorkerContext {
  id: string;
  request: WorkerRequest;
  adopt: { pid: number } | null;
  pid: number | null;
  endpoint: WorkerEndpoint | null;
  /** Its id when it listened last: it is known by that while it is started again, and when it crashed. */
  lastWorkerId: string | null;
  /** The model and device as the worker names them, once it is healthy. */
  model: string | null;
  device: string | null;
  capacity: WorkerCapacity;
  /** Starts again since it was last healthy for STEADY_MS. */
  restarts: number;
  /** How often it was started again since it was spawned, and why it ended the last time. */
  restartsEver: number;
  lastReason: string | null;
  wasHealthy: boolean;
  /** It is to be started again, and waits for its turn. */
  restore: { refused: string | null } | null;
  /** Its parent is told when it is healthy, or will not be soon: the next one may be started then. */
  restored: boolean;
  /** Starting it again would not help. */
  hopeless: boolean;
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
  | { type: 'process.listening'; endpoint: WorkerEndpoint }
  | { type: 'process.exited'; exit: WorkerExit }
  /** It ignores SIGKILL, or cannot be signalled; the message says why. */
  | { type: 'process.stuck'; message: string }
  | HealthReport
  | { type: 'hung' }
  | { type: 'stalled' }
  /** One that is to be restored may be started now. */
  | { type: 'turn' }
  | { type: 'stop'; graceMs?: number };

/** To the parent of one that is restored: others may be started now. */
export type WorkerSettled = { type: 'worker.settled'; id: string };

/** For whoever asked for the worker, and for the log: one line of what happens. */
export type WorkerEmitted = { type: 'narration'; line: string };

/** What `run` takes. */
export type RunEvent = { type: 'signal'; signal: 'SIGTERM' | 'SIGKILL' };
export interface RunInput {
  id: string;
  request: WorkerRequest;
  adopt: { pid: number } | null;
  /** The id that it had, and is to have again; null: it chooses one. */
  workerId: string | null;
}

/** SIGTERM, and so long after it SIGKILL. */
export const STOP_GRACE_MS = 5_000;
/** So long before SIGKILL a second SIGTERM is sent. */
const LAST_WORDS_MS = 2_000;
/** A worker that was healthy is started again so often running, one that never was so often. */
export const RESTARTS_MAX = { healthyBefore: 5, neverHealthy: 2 } as const;
/** Longer than the slowest disk takes for one step of a load: raise it where models come over a slow network. */
export const LOAD_TIMEOUT_MS = 15 * 60_000;
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
    notifyQueens: (_, _params: { endpoint: WorkerEndpoint; request: WorkerRequest; model: string | null }) => {},
  },
  delays: {
    restartDelay: ({ context }) => restartDelayMs(context.restarts),
    /** From the start of the process to its line that it listens. */
    listenTimeout: 60_000,
    /** Without any answer from a worker that listens. A load that says how far it is may take as long as it takes. */
    hungTimeout: 60_000,
    /** A load that answers, but comes no further. */
    loadTimeout: LOAD_TIMEOUT_MS,
    steady: 60_000,
    grace: ({ context }) => context.graceMs,
    hurry: ({ context }) => Math.max(LAST_WORDS_MS / 10, context.graceMs - LAST_WORDS_MS),
    stuckTimeout: 5_000,
  },
  guards: {
    mayRestart: ({ context }, { code }: { code: number | null }) =>
      !context.hopeless &&
      (code !== EXIT_USAGE || context.wasHealthy) &&
      context.restarts < (context.wasHealthy ? RESTARTS_MAX.healthyBefore : RESTARTS_MAX.neverHealthy),
  },
});

const healthInput = (endpoint: WorkerEndpoint | null, pace: 'loading' | 'healthy') => ({
  url: endpoint?.url ?? '',
  worker: endpoint && expectedWorker(endpoint.workerId, endpoint.key),
  pace,
});
/** How far a load is, without why it is not further: that may change without any progress. */
const stepOf = (progress: string | null) => progress?.replace(/ \([\s\S]*\)$/, '') ?? null;

const progressOf = (health: WorkerHealth) => (health.status === 'loading' ? health.progress : null);

const nobody = { pid: null, endpoint: null, adopt: null, failures: 0, progress: null } as const;

const noteEndpoint = s.assign(({ event }) =>
  event.type === 'process.listening' ? { endpoint: event.endpoint, lastWorkerId: event.endpoint.workerId } : {},
);

const noteCrash = s.assign(({ event }) =>
  event.type === 'process.exited'
    ? {
        ...nobody,
        reason: event.exit.message,
        lastReason: event.exit.message,
        lastLines: event.exit.lastLines,
      }
    : nobody,
);

const noteRestart = s.assign(({ context }) => ({
  restarts: context.restarts + 1,
  restartsEver: context.restartsEver + 1,
}));

const settle = s.enqueueActions(({ context, enqueue }) => {
  if (!context.restored) return;
  enqueue.assign({ restored: false });
  enqueue.sendParent({ type: 'worker.settled', id: context.id } satisfies WorkerSettled);
});

/** Why it was ended is known; how it ended says less. */
const noteHung = s.assign(({ context, event }) => ({
  ...nobody,
  lastReason: context.reason,
  ...(event.type === 'process.exited' ? { lastLines: event.exit.lastLines } : {}),
}));

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
    actions: [noteCrash, toldCrash, noteRestart],
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
    pid: input.adopt?.pid ?? null,
    lastWorkerId: input.adopt?.workerId ?? input.earlier?.workerId ?? null,
    model: null,
    device: null,
    capacity: {},
    restarts: 0,
    restartsEver: 0,
    lastReason: null,
    wasHealthy: input.earlier?.established ?? false,
    restore: input.restore ?? null,
    restored: input.restore !== undefined,
    hopeless: false,
    asked: false,
    graceMs: STOP_GRACE_MS,
    reason: null,
    lastLines: [],
  }),
  initial: 'absent',
  states: {
    /** No process: the first start, or the next one, is due. */
    absent: {
      always: [
        { guard: ({ context }) => typeof context.restore?.refused === 'string', target: 'crashed' },
        { guard: ({ context }) => context.restore !== null, target: 'waiting' },
      ],
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
    /** Nobody stopped it, and it ended with its spawner or its machine: such ones are started one at a time. */
    waiting: {
      entry: assign({ reason: 'it ran before the restart, and is started again when it is its turn' }),
      on: {
        turn: {
          target: 'absent',
          actions: [
            assign({ restore: null, reason: 'it ran before the restart, and is started again' }),
            { type: 'narrate', params: { line: 'it ran before the restart, and is started again' } },
          ],
        },
        stop: { target: 'gone', actions: askedToStop },
      },
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
        stalled: {
          // What waits for an engine elsewhere, and has worked with it, waits until that is back.
          guard: ({ context }) => !(context.wasHealthy && context.request.engineUrl !== null),
          target: 'stopping',
          actions: assign({
            hopeless: ({ context }) => !context.wasHealthy,
            reason: ({ context }) =>
              `it came no further within --load-timeout: ${context.progress ?? context.reason ?? 'its model is being loaded'}`,
          }),
        },
      },
      states: {
        launching: {
          entry: [
            s.enqueueActions(({ context, enqueue }) => {
              enqueue.stopChild('run');
              const { id, request, adopt, lastWorkerId: workerId } = context;
              enqueue.spawnChild('run', { id: 'run', input: { id, request, adopt, workerId } });
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
                noteEndpoint,
                {
                  type: 'narrate',
                  params: ({ event }) => ({
                    line: `${event.endpoint.workerId} listens at ${event.endpoint.url}, its model is being loaded`,
                  }),
                },
              ],
            },
          },
        },
        loading: {
          entry: [
            raise({ type: 'hung' }, { id: 'hung', delay: 'hungTimeout' }),
            raise({ type: 'stalled' }, { id: 'stalled', delay: 'loadTimeout' }),
            // The engine may be away for long, and takes none of our memory.
            s.enqueueActions(({ context, enqueue }) => {
              if (context.request.engineUrl !== null) enqueue(settle);
            }),
          ],
          exit: [cancel('hung'), cancel('stalled')],
          invoke: { src: 'health', input: ({ context }) => healthInput(context.endpoint, 'loading') },
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
                  s.enqueueActions(({ context, event, enqueue }) => {
                    if (event.type !== 'health' || stepOf(progressOf(event.health)) === stepOf(context.progress))
                      return;
                    enqueue.cancel('stalled');
                    enqueue.raise({ type: 'stalled' }, { id: 'stalled', delay: 'loadTimeout' });
                  }),
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
        settle,
        { type: 'narrate', params: ({ context }) => ({ line: `${context.endpoint?.workerId} is ready` }) },
        {
          type: 'notifyQueens',
          params: ({ context }) => ({
            endpoint: context.endpoint as WorkerEndpoint,
            request: context.request,
            model: context.model,
          }),
        },
      ],
      after: { steady: { actions: assign({ restarts: 0 }) } },
      invoke: { src: 'health', input: ({ context }) => healthInput(context.endpoint, 'healthy') },
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
        'process.listening': { actions: noteEndpoint },
        'process.spawned': { actions: assign({ pid: ({ event }) => event.pid }) },
        'process.stuck': { actions: assign({ reason: ({ event }) => event.message }) },
        'process.exited': [
          { guard: ({ context }) => context.asked, target: 'gone' },
          {
            guard: { type: 'mayRestart', params: { code: null } },
            target: 'absent',
            actions: [noteHung, toldCrash, noteRestart],
          },
          { target: 'crashed', actions: [noteHung, toldCrash] },
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
          after: {
            // It lets its answers finish; the second signal ends them with a word about it.
            hurry: {
              actions: s.enqueueActions(({ enqueue }) => enqueue.sendTo('run', { type: 'signal', signal: 'SIGTERM' })),
            },
            grace: 'killing',
          },
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
      entry: [
        s.enqueueActions(({ context, enqueue }) => {
          enqueue.stopChild('run');
          // Why it crashed was said a moment ago.
          const refused = context.restore?.refused ?? null;
          enqueue.assign({ reason: refused ?? context.reason });
          const why = refused === null ? '' : `: ${refused}`;
          enqueue({ type: 'narrate', params: { line: `it is not started again${why}` } });
        }),
        settle,
      ],
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
