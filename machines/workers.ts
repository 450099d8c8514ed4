/**
 * The workers of one spawner: a `worker` each, up to WORKERS_MAX of them, and how all of them end. Root of its own
 * system in a hive and in a keeper.
 *
 * Whoever spawns, lists or stops workers does so by a `Spawner`, which `wiring/spawner.ts` makes of this machine: jobs
 * (`worker_spawn`, `worker_process_list`, `worker_process_get`, `worker_process_delete`) as well as the keeper's pages.
 */
import { enqueueActions, setup } from 'xstate';
import {
  type EarlierRun,
  type WorkerCapacity,
  type WorkerRequest,
  type WorkerSettled,
  workerMachine,
} from './worker.js';

/** A worker as its spawner knows it; of one without a process `pid` is null, and `reason` and `lastLines` say why. */
export interface SpawnedWorker {
  /** Of this spawn; it outlives a restart of the process. */
  id: string;
  state: 'absent' | 'waiting' | 'starting' | 'healthy' | 'stopping' | 'crashed' | 'gone';
  pid: number | null;
  /**
   * Unlike that of any other worker of this spawner: `workerId`, or while it does not listen the one that it had, unless
   * another has taken that, or one made of `id`.
   */
  name: string;
  /** Null until it listens. */
  workerId: string | null;
  url: string | null;
  port: number | null;
  /** The public key of its run; null until it listens, and of one that has none. */
  key: string | null;
  request: WorkerRequest;
  /** As the worker itself names it, else by the request. */
  model: string;
  /** `GPU-0`, `CPU-0`; null for an engine elsewhere. */
  device: string | null;
  /** As it says itself, once it is healthy. */
  capacity?: WorkerCapacity;
  /** Its cgroup below `rbee.slice`, whether or not it has one. */
  group: string | null;
  instance: string | null;
  /** It answers a request. */
  busy: boolean;
  /** Generated over the last 10 s, by its own count; null while it is not known. */
  tokensPerS: number | null;
  /** Since it was last well for a while. */
  restarts: number;
  /** Since it was spawned, and why it ended the last time. */
  restartsEver?: number;
  lastReason?: string | null;
  reason: string | null;
  lastLines: string[];
}

/** A worker that a spawner started which is no more: its state was deleted or is broken, or it has another id now. */
export interface OrphanedWorker {
  pid: number;
  /** `hive gpu-0`, as it was called. */
  spawner: string;
  workerId: string | null;
  url: string | null;
  model: string | null;
}

export interface Spawner {
  /**
   * Starts a worker and resolves once its /health is 200. `report` is called with each line of what happens until then.
   * An aborted `signal` ends the worker. Rejects with an Error whose message says why: it crashed too often, was
   * stopped, or there are WORKERS_MAX already. `id`: a UUID that no other spawn has.
   */
  spawn: (
    request: WorkerRequest,
    options: { id?: string; report: (line: string) => void; signal?: AbortSignal },
  ) => Promise<SpawnedWorker>;
  /** Waits as `spawn` does for a worker that there is already. */
  attach: (id: string, options: { report: (line: string) => void; signal?: AbortSignal }) => Promise<SpawnedWorker>;
  /** All of this spawner's, those that crashed for good too. */
  list: () => SpawnedWorker[];
  /** Only a worker of this spawner has an answer, whatever else runs under that pid. */
  get: (pid: number) => SpawnedWorker | undefined;
  /**
   * Ends a worker: SIGTERM, SIGKILL after 5 s. Resolves once it is gone; rejects when no worker of this spawner has that
   * pid. By `id` also one that crashed is put away. By its pid an orphan is ended as well.
   */
  stop: (which: { pid: number } | { id: string }, report?: (line: string) => void) => Promise<SpawnedWorker>;
  /** Workers of our user and state directory that no spawner looks after. */
  orphans?: () => OrphanedWorker[];
  /** Takes an orphan over: it is one of this spawner's from then on. Rejects when there is none of that pid. */
  adopt?: (pid: number, report: (line: string) => void) => Promise<SpawnedWorker>;
}

export const WORKERS_MAX = 128;
/** Of those that crashed for good so many are kept to be seen; past that the oldest is put away. */
export const CRASHED_MAX = 16;

export type SpawnAnswer = 'spawned' | 'full' | 'ending';

export type WorkersEvent =
  | { type: 'worker.spawn'; id: string; request: WorkerRequest; respond: (answer: SpawnAnswer) => void }
  | {
      type: 'worker.adopt';
      id: string;
      request: WorkerRequest;
      pid: number;
      workerId: string | null;
      established?: boolean;
    }
  /** One of an earlier run that nobody stopped; `refused` says why it is shown only. */
  | { type: 'worker.restore'; id: string; request: WorkerRequest; earlier: EarlierRun; refused: string | null }
  | WorkerSettled
  | { type: 'worker.stop'; id: string }
  /** Ends all of them, and takes no more; those that answer requests may take longer. */
  | { type: 'end'; graceMs: number; longer?: { ids: string[]; graceMs: number } };

export interface WorkersContext {
  /** The grace of an end in progress. */
  graceMs: number | null;
  /** Those that wait to be restored, in order, and the one that is being started. */
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

/** One at a time: two large models that are loaded at once may not fit, or take longer than one after the other. */
const next = s.enqueueActions(({ context, enqueue }) => {
  const [first, ...waiting] = context.waiting;
  if (context.restoring !== null || context.graceMs !== null || first === undefined) return;
  enqueue.assign({ restoring: first, waiting });
  enqueue.sendTo(first, { type: 'turn' });
});

/** It is settled, or gone: not waited for any more. */
const passOver = (id: string) =>
  s.enqueueActions(({ context, enqueue }) => {
    enqueue.assign({
      waiting: context.waiting.filter((one) => one !== id),
      restoring: context.restoring === id ? null : context.restoring,
    });
    enqueue(next);
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
        enqueue(next);
      }),
    },
    'worker.settled': {
      actions: s.enqueueActions(({ event, enqueue }) => {
        if (event.type === 'worker.settled') enqueue(passOver(event.id));
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
    // One that is gone, or whose machine failed, makes room: it stays among the children until it is stopped.
    '*': {
      actions: s.enqueueActions(({ event, enqueue }) => {
        const { type, actorId } = event as { type: string; actorId?: string };
        if (!/^xstate\.(done|error)\.actor\./.test(type) || actorId === undefined) return;
        enqueue.stopChild(actorId);
        enqueue(passOver(actorId));
      }),
    },
  },
});
