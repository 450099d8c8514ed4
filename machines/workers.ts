/**
 * The workers of one spawner: a `worker` each, up to WORKERS_MAX of them, and how all of them end. Root of its own
 * system in a hive and in a keeper.
 *
 * Whoever spawns, lists or stops workers does so by a `Spawner`, which `bin/spawner.ts` makes of this machine: jobs
 * (`worker_spawn`, `worker_process_list`, `worker_process_get`, `worker_process_delete`) as well as the keeper's pages.
 */
import { enqueueActions, setup } from 'xstate';
import { type WorkerCapacity, type WorkerRequest, workerMachine } from './worker.js';

/** A worker as its spawner knows it; of one without a process `pid` is null, and `reason` and `lastLines` say why. */
export interface SpawnedWorker {
  /** Of this spawn; it outlives a restart of the process. */
  id: string;
  state: 'absent' | 'starting' | 'healthy' | 'stopping' | 'crashed' | 'gone';
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
  restarts: number;
  reason: string | null;
  lastLines: string[];
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
   * pid. By `id` also one that crashed is put away.
   */
  stop: (which: { pid: number } | { id: string }, report?: (line: string) => void) => Promise<SpawnedWorker>;
}

export const WORKERS_MAX = 128;
/** Of those that crashed for good so many are kept to be seen; past that the oldest is put away. */
export const CRASHED_MAX = 16;

export type SpawnAnswer = 'spawned' | 'full' | 'ending';

export type WorkersEvent =
  | { type: 'worker.spawn'; id: string; request: WorkerRequest; respond: (answer: SpawnAnswer) => void }
  | { type: 'worker.adopt'; id: string; request: WorkerRequest; pid: number; workerId: string | null }
  | { type: 'worker.stop'; id: string }
  /** Ends all of them, and takes no more. */
  | { type: 'end'; graceMs: number };

export interface WorkersContext {
  /** The grace of an end in progress. */
  graceMs: number | null;
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

export const workersMachine = s.createMachine({
  id: 'workers',
  context: { graceMs: null },
  on: {
    'worker.spawn': { actions: spawn },
    'worker.adopt': {
      actions: enqueueActions(({ event, enqueue }) => {
        const { id, request, pid, workerId } = event;
        enqueue.spawnChild('worker', { id, input: { id, request, adopt: { pid, workerId } } });
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
          enqueue.sendTo(id, { type: 'stop', graceMs: event.graceMs });
        }
      }),
    },
    // One that is gone, or whose machine failed, makes room: it stays among the children until it is stopped.
    '*': {
      actions: s.enqueueActions(({ event, enqueue }) => {
        const { type, actorId } = event as { type: string; actorId?: string };
        if (/^xstate\.(done|error)\.actor\./.test(type) && actorId !== undefined) enqueue.stopChild(actorId);
      }),
    },
  },
});
