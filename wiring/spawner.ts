/** The spawner of a hive and of a keeper: connects the `workers` machine and its actors to the interface `Spawner`. */
import type { WorkerTarget } from '../actors/hive/sample-workers.js';
import { DesiredWorkers } from '../actors/worker/desired-workers.js';
import { OrphanWatch } from '../actors/worker/orphan-watch.js';
import { SpawnRecords } from '../actors/worker/spawn-records.js';
import { watchActivity } from '../actors/worker/worker-activity.js';
import type { Spawner } from '../machines/spawner.js';
import { describeOrphan, orphanedWorker } from '../stores/orphans.js';
import { StoppedWorkers } from '../stores/stopped-workers.js';
import { takeUpWorkers } from './restore-workers.js';
import type { SpawnerInput } from './spawner-input.js';
import type { SpawnerParts } from './spawner-parts.js';
import { adoptOrphan, attachToWorker, spawnAndWait, stopWorker } from './spawner-requests.js';
import { SpawnedWorkers } from './workers-actor.js';

export interface OwnSpawner extends Required<Spawner> {
  /** The processes to measure. */
  targets: () => WorkerTarget[];
  /** Takes up the workers of the last run. Call once, first. */
  start: () => void;
  /** Names of workers that ended in order in the last 10 s. */
  stopped: () => string[];
  /** Ends idle workers at once, busy ones when they have finished, within `graceMs`; starts no more. */
  finish: (graceMs: number) => Promise<void>;
  /** How many have a process. */
  running: () => number;
  /** Ends all of them within `graceMs` and a little, or leaves them running. */
  end: (how: { keep: boolean; graceMs?: number }) => Promise<void>;
}

/** For the end of all workers, of the 4 s that a process may take for its own. */
const WORKERS_GRACE_MS = 2_000;
/** Before they are ended, workers have this long to report whether they are busy. */
const ACTIVITY_MS = 500;
/** From SIGKILL until the end of a process is noticed. */
const KILLED_MS = 1_000;

export function createSpawner(input: SpawnerInput): OwnSpawner {
  const parts = createParts(input);
  const { workers, records, orphans, stopped } = parts;
  return {
    start: () => {
      workers.start();
      parts.activity.start();
      takeUpWorkers(parts, { restore: input.restore !== false });
    },
    spawn: (request, options) => spawnAndWait(parts, request, options),
    attach: (id, options) => attachToWorker(parts, id, options),
    stop: (which, report = () => {}) => stopWorker(parts, which, report),
    adopt: (pid, report) => adoptOrphan(parts, pid, report),
    list: () => workers.list(),
    get: (pid) => workers.list().find((worker) => worker.pid === pid),
    targets: () =>
      workers.list().flatMap(({ id, pid, device }) => {
        const gpu = device?.startsWith('GPU-') ?? false;
        return pid === null ? [] : [{ pid, cgroup: records.cgroupOf(id), gpu }];
      }),
    stopped: () => stopped.list(new Set(workers.list().map(({ name }) => name)), performance.now()),
    orphans: () => orphans.list().map(orphanedWorker),
    running: () => running(parts),
    finish: (graceMs) => finish(parts, graceMs),
    end: (how) => end(parts, how),
  };
}

function createParts(input: SpawnerInput): SpawnerParts {
  const { processContext, kind } = input;
  const { id, log, outgoing, state, instance } = processContext;
  const name = `${kind}/${id}/${instance}`;
  const records = new SpawnRecords(state);
  const activity = watchActivity({ outgoing, endpoints: () => workers.healthyEndpoints() });
  const workers = new SpawnedWorkers({ input, spawner: name, records, activityAt: activity.of });
  return {
    ...{ id, title: `${kind} ${id}`, name, log, workers, records, activity },
    desired: new DesiredWorkers(state, (message) => log.warn(message)),
    orphans: new OrphanWatch({
      stateDir: input.options.stateDir,
      spawner: name,
      isOurs: (spawn) => workers.get(spawn) !== undefined || records.isAdopted(spawn),
      onFound: (orphan) => log.warn(describeOrphan(orphan)),
    }),
    stopped: new StoppedWorkers(),
    checkModel: input.checkModel,
    onChange: input.onChange,
    phase: 'running',
  };
}

const running = ({ workers }: SpawnerParts): number => workers.list().filter(({ pid }) => pid !== null).length;

async function finish(parts: SpawnerParts, graceMs: number): Promise<void> {
  const { workers, activity } = parts;
  await activity.askAll(ACTIVITY_MS);
  const busy = workers.list().flatMap(({ id, busy }) => (busy ? [id] : []));
  if (parts.phase === 'running') parts.phase = 'ending';
  const longer = { ids: busy, graceMs: graceMs + WORKERS_GRACE_MS };
  workers.send({ type: 'end', graceMs: WORKERS_GRACE_MS, longer });
}

async function end(parts: SpawnerParts, how: { keep: boolean; graceMs?: number }): Promise<void> {
  const { workers, activity, orphans } = parts;
  if (how.keep) leaveWorkers(parts);
  else if (workers.all().length > 0) await endWorkers(parts, how.graceMs ?? WORKERS_GRACE_MS);
  activity.stop();
  orphans.stop();
  workers.stop();
}

function leaveWorkers(parts: SpawnerParts): void {
  const count = running(parts);
  parts.phase = 'leaving';
  if (count > 0) parts.log.info(`${count === 1 ? '1 worker is' : `${count} workers are`} left running`);
}

async function endWorkers(parts: SpawnerParts, graceMs: number): Promise<void> {
  const { workers, log } = parts;
  const gone = workers.allGone(graceMs + KILLED_MS);
  if (parts.phase === 'running') parts.phase = 'ending';
  workers.send({ type: 'end', graceMs });
  await gone.catch(() => {
    // What cannot be killed is still recorded, and adopted by the next run.
    parts.phase = 'leaving';
    log.warn(`${workers.list().length} workers have not ended in time: the next run adopts them`);
  });
}
