/**
 * The workers of one spawner: a `worker` each, up to WORKERS_MAX of them, and how all of them end. Root of its own
 * system in a hive and in a keeper. Others reach it through the interface `Spawner` (`spawner.ts`).
 */
import { enqueueActions, setup } from 'xstate';
import { workerMachine } from './worker.js';
import type { EarlierRun, WorkerRequest, WorkerSettled } from './worker-types.js';

export const WORKERS_MAX = 128;
/** Crashed workers that are kept, so that the reason can be read; past that the oldest is removed. */
const CRASHED_MAX = 16;

export type SpawnAnswer = 'spawned' | 'full' | 'ending';

type WorkersEvent =
  | { type: 'worker.spawn'; id: string; request: WorkerRequest; respond: (answer: SpawnAnswer) => void }
  | {
      type: 'worker.adopt';
      id: string;
      request: WorkerRequest;
      pid: number;
      workerId: string | null;
      established?: boolean;
    }
  /** A worker of an earlier run that was not stopped; `refused` tells why it is only shown. */
  | { type: 'worker.restore'; id: string; request: WorkerRequest; earlier: EarlierRun; refused: string | null }
  | WorkerSettled
  | { type: 'worker.stop'; id: string }
  /** Ends all workers, and takes no more; those that are answering requests may take longer. */
  | { type: 'end'; graceMs: number; longer?: { ids: string[]; graceMs: number } };

interface WorkersContext {
  /** The grace of an end in progress. */
  graceMs: number | null;
  /** Workers that wait to be restored, in order, and the one that is being started. */
  waiting: string[];
  restoring: string | null;
}

const s = setup({
  types: { context: {} as WorkersContext, events: {} as WorkersEvent },
  actors: { worker: workerMachine },
});

const spawn = s.enqueueActions(({ context, event, self, enqueue }) => {
  if (event.type !== 'worker.spawn') return;
  const { id, request, respond } = event;
  const children = self.getSnapshot().children;
  const crashed = Object.keys(children).filter((key) => children[key]?.getSnapshot()?.value === 'crashed');
  for (const old of crashed.slice(0, Math.max(0, crashed.length + 1 - CRASHED_MAX))) enqueue.stopChild(old);
  const answer =
    context.graceMs !== null
      ? 'ending'
      : Object.keys(children).length - crashed.length >= WORKERS_MAX
        ? 'full'
        : 'spawned';
  if (answer === 'spawned') enqueue.spawnChild('worker', { id, input: { id, request, adopt: null } });
  enqueue(() => respond(answer));
});

/** One at a time: two large models that load at once may not fit, or take longer than one after the other. */
const restoreNext = s.enqueueActions(({ context, enqueue }) => {
  const [first, ...waiting] = context.waiting;
  if (context.restoring !== null || context.graceMs !== null || first === undefined) return;
  enqueue.assign({ restoring: first, waiting });
  enqueue.sendTo(first, { type: 'turn' });
});

/** It is settled, or gone: the next one may be restored. */
const restored = (id: string) =>
  s.enqueueActions(({ context, enqueue }) => {
    enqueue.assign({
      waiting: context.waiting.filter((one) => one !== id),
      restoring: context.restoring === id ? null : context.restoring,
    });
    enqueue(restoreNext);
  });

export const workersMachine = s.createMachine({
  id: 'workers',
  context: { graceMs: null, waiting: [], restoring: null },
  on: {
    'worker.spawn': { actions: spawn },
    'worker.adopt': {
      actions: enqueueActions(({ event, enqueue }) => {
        const { id, request, pid, workerId, established = false } = event;
        const earlier = { workerId, established };
        enqueue.spawnChild('worker', { id, input: { id, request, adopt: { pid, workerId }, earlier } });
      }),
    },
    'worker.restore': {
      actions: s.enqueueActions(({ context, event, enqueue }) => {
        if (event.type !== 'worker.restore') return;
        const { id, request, earlier, refused } = event;
        if (refused === null) enqueue.assign({ waiting: [...context.waiting, id] });
        enqueue.spawnChild('worker', { id, input: { id, request, adopt: null, earlier, restore: { refused } } });
        enqueue(restoreNext);
      }),
    },
    'worker.settled': {
      actions: s.enqueueActions(({ event, enqueue }) => {
        if (event.type === 'worker.settled') enqueue(restored(event.id));
      }),
    },
    'worker.stop': {
      actions: s.enqueueActions(({ event, enqueue }) => {
        if (event.type === 'worker.stop') enqueue.sendTo(event.id, { type: 'stop' });
      }),
    },
    end: {
      actions: s.enqueueActions(({ event, self, enqueue }) => {
        if (event.type !== 'end') return;
        enqueue.assign({ graceMs: event.graceMs });
        for (const id of Object.keys(self.getSnapshot().children)) {
          const graceMs = event.longer?.ids.includes(id) ? event.longer.graceMs : event.graceMs;
          enqueue.sendTo(id, { type: 'stop', graceMs });
        }
      }),
    },
    // A finished or failed child stays among the children until it is stopped.
    '*': {
      actions: s.enqueueActions(({ event, enqueue }) => {
        const { type, actorId } = event as { type: string; actorId?: string };
        if (!/^xstate\.(done|error)\.actor\./.test(type) || actorId === undefined) return;
        enqueue.stopChild(actorId);
        enqueue(restored(actorId));
      }),
    },
  },
});
