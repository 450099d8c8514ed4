/**
 * One spawned worker: absent → starting → healthy → stopping → gone | crashed. The same in a hive and in a keeper, and
 * for a process that was started and one that was adopted. Its parent is `workers`.
 */
import { assign, cancel } from 'xstate';
import {
  awaitAnswer,
  awaitProgress,
  FAILURES_MAX,
  healthInput,
  NO_PROCESS,
  narrateCrash,
  narrateRestart,
  noteCrash,
  noteEndpoint,
  noteHung,
  noteProgress,
  noteRestart,
  noteStop,
  progressOf,
  STOP_GRACE_MS,
  s,
  settle,
  sigkill,
  sigterm,
  startRun,
  stopRun,
} from './worker-setup.js';
import type { WorkerContext, WorkerEndpoint, WorkerExit, WorkerInput } from './worker-types.js';

const crash = [
  {
    guard: { type: 'mayRestart', params: ({ event }: { event: { exit: WorkerExit } }) => ({ code: event.exit.code }) },
    target: '#worker.absent',
    actions: [noteCrash, narrateCrash, noteRestart],
  },
  { target: '#worker.crashed', actions: [noteCrash, narrateCrash] },
] as const;

const contextOf = ({ id, request, adopt, earlier, restore }: WorkerInput): WorkerContext => ({
  id,
  request,
  ...NO_PROCESS,
  adopt,
  pid: adopt?.pid ?? null,
  lastWorkerId: adopt?.workerId ?? earlier?.workerId ?? null,
  model: null,
  device: null,
  capacity: {},
  restarts: 0,
  restartsEver: 0,
  lastReason: null,
  wasHealthy: earlier?.established ?? false,
  restore: restore ?? null,
  restored: restore !== undefined,
  hopeless: false,
  asked: false,
  graceMs: STOP_GRACE_MS,
  reason: null,
  lastLines: [],
});

export const workerMachine = s.createMachine({
  id: 'worker',
  context: ({ input }) => contextOf(input),
  initial: 'absent',
  states: {
    /** No process: the first start, or the next one, is due. */
    absent: {
      always: [
        { guard: ({ context }) => typeof context.restore?.refused === 'string', target: 'crashed' },
        { guard: ({ context }) => context.restore !== null, target: 'waiting' },
      ],
      entry: [stopRun, narrateRestart],
      after: { restartDelay: 'starting' },
      on: { stop: { target: 'gone', actions: noteStop } },
    },
    /** It was not stopped, and ended with its spawner or its machine: such workers are restarted one at a time. */
    waiting: {
      entry: assign({ reason: 'it ran before the restart, and waits for its turn to be restarted' }),
      on: {
        turn: {
          target: 'absent',
          actions: [
            assign({ restore: null, reason: 'it ran before the restart, and is being restarted' }),
            { type: 'narrate', params: { line: 'it ran before the restart, and is being restarted' } },
          ],
        },
        stop: { target: 'gone', actions: noteStop },
      },
    },
    starting: {
      initial: 'launching',
      on: {
        'process.exited': [...crash],
        stop: { target: 'stopping', actions: noteStop },
        hung: {
          target: 'stopping',
          actions: assign({ reason: ({ context }) => `it hung: ${context.reason ?? 'it did not answer'}` }),
        },
        stalled: {
          // A worker whose engine runs elsewhere, and has worked with it, waits until that engine is back.
          guard: ({ context }) => !(context.wasHealthy && context.request.engineUrl !== null),
          target: 'stopping',
          actions: assign({
            hopeless: ({ context }) => !context.wasHealthy,
            reason: ({ context }) =>
              `no progress within --load-timeout: ${context.progress ?? context.reason ?? 'its model is being loaded'}`,
          }),
        },
      },
      states: {
        launching: {
          entry: startRun,
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
            awaitAnswer,
            awaitProgress,
            // The engine may be away for long, and takes none of this machine's memory.
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
                actions: [awaitAnswer, noteProgress],
              },
              { actions: awaitAnswer },
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
        stop: { target: 'stopping', actions: noteStop },
        health: [
          {
            guard: ({ event }) => event.health.status === 'ok',
            actions: assign({ failures: 0, reason: null }),
          },
          { target: 'starting.loading', actions: assign({ reason: 'its model can no longer answer' }) },
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
            actions: assign({ reason: ({ event }) => `its /health failed twice in a row: ${event.reason}` }),
          },
        ],
      },
    },
    /** Asked to end, or hung: SIGTERM, then SIGKILL. After a hang it is restarted as after a crash. */
    stopping: {
      initial: 'ending',
      on: {
        stop: { actions: noteStop },
        'process.listening': { actions: noteEndpoint },
        'process.spawned': { actions: assign({ pid: ({ event }) => event.pid }) },
        'process.stuck': { actions: assign({ reason: ({ event }) => event.message }) },
        'process.exited': [
          { guard: ({ context }) => context.asked, target: 'gone' },
          {
            guard: { type: 'mayRestart', params: { code: null } },
            target: 'absent',
            actions: [noteHung, narrateCrash, noteRestart],
          },
          { target: 'crashed', actions: [noteHung, narrateCrash] },
        ],
      },
      states: {
        ending: {
          entry: [
            sigterm,
            { type: 'narrate', params: ({ context }) => ({ line: `asking process ${context.pid} to end` }) },
          ],
          after: {
            // The first SIGTERM lets its answers finish; the second ends them with an error.
            hurry: { actions: sigterm },
            grace: 'killing',
          },
          on: {
            // Its spawner is ending, and cannot wait that long.
            stop: {
              guard: ({ context, event }) => event.graceMs !== undefined && event.graceMs < context.graceMs,
              target: 'ending',
              reenter: true,
              actions: noteStop,
            },
          },
        },
        killing: {
          entry: [sigkill, { type: 'narrate', params: ({ context }) => ({ line: `killing process ${context.pid}` }) }],
          after: {
            stuckTimeout: {
              target: 'killing',
              reenter: true,
              actions: assign({ reason: 'it survives SIGKILL: the kernel holds it' }),
            },
          },
        },
      },
    },
    /** Nothing runs, and nothing is restarted; kept so that the reason can be read. */
    crashed: {
      entry: [
        s.enqueueActions(({ context, enqueue }) => {
          enqueue.stopChild('run');
          // The reason of a crash has just been narrated.
          const refused = context.restore?.refused ?? null;
          enqueue.assign({ reason: refused ?? context.reason });
          const why = refused === null ? '' : `: ${refused}`;
          enqueue({ type: 'narrate', params: { line: `not restarted${why}` } });
        }),
        settle,
      ],
      on: { stop: 'gone' },
    },
    gone: {
      type: 'final',
      entry: s.enqueueActions(({ enqueue }) => {
        enqueue.stopChild('run');
        enqueue.assign({ ...NO_PROCESS });
        enqueue({ type: 'narrate', params: { line: 'stopped' } });
      }),
    },
  },
});
