/** The spawner of a hive and of a keeper: the `workers` machine with real hands, behind the interface `Spawner`. */
import { randomUUID } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { type ActorOptions, type ActorRefFrom, type AnyActorLogic, createActor, waitFor } from 'xstate';
import type { WorkerTarget } from '../actors/hive/sample-workers.js';
import type { CheckModel } from '../actors/models/model-access.js';
import { type AwakeClock, createAwakeClock } from '../actors/process/awake-clock.js';
import { removeCgroup } from '../actors/process/cgroup.js';
import { adoptWorkers, isOfAnother } from '../actors/worker/adopt-workers.js';
import { createCheckWorker } from '../actors/worker/check-worker.js';
import { createDesiredWorkers, INTERRUPTED_MAX } from '../actors/worker/desired-workers.js';
import type { Orphan } from '../actors/worker/find-orphans.js';
import { notifyQueens } from '../actors/worker/notify-queens.js';
import { cgroupName, createRunWorker } from '../actors/worker/run-worker.js';
import { createSpawnRecords } from '../actors/worker/spawn-records.js';
import { type WorkerActivity, watchActivity } from '../actors/worker/worker-activity.js';
import type { SpawnedWorker, Spawner } from '../machines/spawner.js';
import { workerMachine } from '../machines/worker.js';
import { workerHealthMachine } from '../machines/worker-health.js';
import { LOAD_TIMEOUT_MS } from '../machines/worker-setup.js';
import type { WorkerRequest } from '../machines/worker-types.js';
import { type SpawnAnswer, WORKERS_MAX, workersMachine } from '../machines/workers.js';
import { STOPPED_MAX } from '../wire/heartbeat.js';
import { modelName } from '../wire/infer.js';
import { allowedHosts, type ProcessOptions } from './options.js';
import { createOrphans, orphanName } from './orphans.js';
import type { ProcessContext } from './process.js';

/** What a worker is run by when nobody says otherwise: this very rbee, bounded in what it prints. */
export const WORKER_COMMAND = [
  process.execPath,
  '--import',
  new URL('../bin/bounded-output.js', import.meta.url).href,
  fileURLToPath(new URL('../bin/rbee.js', import.meta.url)),
  'worker',
];

export interface SpawnerInput {
  processContext: ProcessContext;
  options: ProcessOptions;
  /** `hive` or `keeper`. */
  kind: string;
  /** For its workers' `--hive-id`; null in a keeper. */
  hiveId: string | null;
  registryUrl?: string | undefined;
  /** Those that its workers are told to heartbeat. */
  queenUrls: string[];
  /** Those that are told of a new worker at once; asked each time. */
  queensNow: () => string[];
  /** A worker can answer, or is being stopped, as `list` says too. */
  onChange?: () => void;
  command?: string[];
  /** Default: true where cgroup v2 can be used. */
  cgroups?: boolean;
  /** False: workers that ended with the run before are forgotten. */
  restore?: boolean;
  /** Rejects where the model of a request may not be run here. */
  checkModel?: CheckModel;
  /** How long a load may take that comes no further. */
  loadTimeoutMs?: number;
}

export interface OwnSpawner extends Required<Spawner> {
  /** The processes to measure. */
  targets: () => WorkerTarget[];
  /** Takes up the workers that outlived the run before. Call once, first. */
  start: () => void;
  /** Ids of those that ended in order in the last 10 s. */
  stopped: () => string[];
  /** Ends those that answer nothing at once, and the others when they have finished, within `graceMs`; starts no more. */
  finish: (graceMs: number) => Promise<void>;
  /** Those that have a process. */
  running: () => number;
  /** Ends all of them within `graceMs` and a little, or leaves them running. */
  end: (how: { keep: boolean; graceMs?: number }) => Promise<void>;
}

/**
 * The key of the engine at RBEE_ENGINE_URL, which goes from environment to environment, to workers that stand before that
 * very engine: whoever may have a worker spawned names its engine, and must not have the key sent where he likes.
 */
const ENGINE_API_KEY = process.env.RBEE_ENGINE_API_KEY;
const ENGINE_ORIGIN = originOf(process.env.RBEE_ENGINE_URL);

/** How long workers get for their own end, within the 4 s that a process may take; its streams end meanwhile. */
const WORKERS_GRACE_MS = 2_000;

/** A queen that reads us misses no more than some events. */
const STOPPED_TOLD_MS = 10_000;

/** Before they are ended, workers have so long to say whether they are answering. */
const ASK_MS = 500;

/** SIGKILL is seen within this long of being sent. */
const KILLED_MS = 1_000;

type Clock = NonNullable<ActorOptions<AnyActorLogic>['clock']>;
type WorkerRef = ActorRefFrom<typeof workerMachine>;

export function createSpawner(input: SpawnerInput): OwnSpawner {
  const { processContext, kind, hiveId } = input;
  const { id, log, outgoing, endpoint } = processContext;
  const records = createSpawnRecords(processContext.state);
  const wishes = createDesiredWorkers(processContext.state, (message) => log.warn(message));
  const spawner = `${kind}/${id}/${processContext.instance}`;
  /** The workers live on without us: what is kept of them stays as it is. */
  const isOurs = (key: string) => refOf(key) !== undefined || records.isAdopted(key);
  const orphans = createOrphans({ stateDir: input.options.stateDir, spawner, isOurs, log });
  let left = false;
  /** We end, and they with us: that is nobody's wish. */
  let ending = false;

  // A process that was frozen must not find its workers hung for that; without workers nothing ticks.
  let awake: AwakeClock | undefined;
  const clock: Clock = {
    setTimeout: (fn, ms) => {
      awake ??= createAwakeClock();
      return awake.setTimeout(fn, ms);
    },
    clearTimeout: (timer) => awake?.clearTimeout(timer),
  };
  const actor = createActor(
    workersMachine.provide({
      actors: {
        worker: workerMachine.provide({
          actors: {
            run: createRunWorker({
              records,
              spawner,
              commandOf: (request, workerId): string[] => [
                ...(input.command ?? WORKER_COMMAND),
                ...workerFlags(input, request),
                ...nameFlags(refsNow(), id, workerId),
              ],
              environment: ({ engineUrl }) => ({
                ...(input.options.token === undefined ? {} : { RBEE_TOKEN: input.options.token }),
                ...(ENGINE_API_KEY && ENGINE_ORIGIN !== null && originOf(engineUrl) === ENGINE_ORIGIN
                  ? { RBEE_ENGINE_API_KEY: ENGINE_API_KEY }
                  : {}),
              }),
              cgroups: input.cgroups ?? true,
              log: (message) => log.warn(message),
            }),
            health: workerHealthMachine.provide({ actors: { checkHealth: createCheckWorker({ outgoing }) } }),
          },
          actions: {
            notifyQueens: (_, { endpoint: worker, request, model }) => {
              const registration = {
                worker_type: request.worker,
                model: model ?? modelName(request.model),
                spawned_by: id,
                hive_id: hiveId,
              };
              // Once the worker stands in its new state.
              if (input.onChange) queueMicrotask(input.onChange);
              const queenUrls = input.queensNow();
              void notifyQueens({
                outgoing,
                endpoint,
                queenUrls,
                worker,
                registration,
                log: (line) => log.debug(line),
              });
            },
          },
          delays: { loadTimeout: input.loadTimeoutMs ?? LOAD_TIMEOUT_MS },
        }),
      },
    }),
    { id: 'workers', inspect: processContext.inspect, clock },
  );
  actor.subscribe({ error: processContext.fail });

  const refOf = (key: string): WorkerRef | undefined => actor.getSnapshot().children[key] as WorkerRef | undefined;
  const refsNow = (): WorkerRef[] => Object.keys(actor.getSnapshot().children).flatMap((key) => refOf(key) ?? []);
  const work = watchActivity({
    outgoing,
    endpoints: () =>
      refsNow().flatMap((ref) => {
        const { value, context } = ref.getSnapshot();
        return stateOf(value) === 'healthy' && context.endpoint ? [context.endpoint] : [];
      }),
  });
  const viewOf = (ref: WorkerRef) => viewWith(ref, work.of);
  const list = () => named(refsNow().map(viewOf), id);

  /** From its first moment: a line a happening, and nothing kept once it is gone. */
  function follow(key: string): WorkerRef {
    const ref = refOf(key) as WorkerRef;
    ref.on('narration', ({ line }) => {
      const { lastId, model } = viewOf(ref);
      const who = lastId ?? `worker of ${model}`;
      log.info(line.startsWith(who) ? line : `${who}: ${line}`);
    });
    ref.subscribe({
      next: () => keepWish(key, ref),
      error: (error) => log.error({ err: error }, `worker ${key}: its machine failed`),
      complete: () => {
        if (left) return;
        ended(ref.getSnapshot().context);
        records.remove(key);
        if (!ending) wishes.remove(key);
      },
    });
    return ref;
  }

  /** By the ids that they had: when, on our clock. */
  const stoppedAt = new Map<string, number>();
  function ended({ lastWorkerId }: { lastWorkerId: string | null }): void {
    if (lastWorkerId === null) return;
    stoppedAt.delete(lastWorkerId);
    stoppedAt.set(lastWorkerId, performance.now());
    for (const [old] of stoppedAt) if (stoppedAt.size > STOPPED_MAX) stoppedAt.delete(old);
  }

  /** What somebody wants, and what is known of it: it is brought back if nobody stops it. */
  function keepWish(key: string, ref: WorkerRef): void {
    const wish = wishes.get(key);
    if (!wish) return;
    const { value, context } = ref.getSnapshot();
    const state = stateOf(value);
    // Whoever spawned it was told that it failed.
    if (state === 'crashed' && !context.wasHealthy && context.restore === null) {
      wishes.remove(key);
      return;
    }
    const now = {
      ...wish,
      workerId: context.lastWorkerId,
      established: context.wasHealthy,
      loading: state === 'starting' || (state === 'stopping' && wish.loading),
      interrupted: state === 'healthy' ? 0 : wish.interrupted,
    };
    if (JSON.stringify(now) !== JSON.stringify(wish)) wishes.write(now);
  }

  /** Those that ended with the run before, or with the machine, are brought back, one at a time. */
  function restore(lives: (key: string) => boolean): void {
    const gone = wishes.load().filter(({ id: key }) => !lives(key));
    if (gone.length === 0) return;
    const models = gone.map(({ request }) => modelName(request.model)).join(', ');
    if (input.restore === false) {
      for (const { id: key } of gone) wishes.remove(key);
      log.warn(`not started again, and forgotten (--no-restore): ${models}`);
      return;
    }
    log.info(`ran before the restart and ended with it, started again one at a time: ${models}`);
    for (const wish of gone) {
      const interrupted = wish.interrupted + (wish.loading ? 1 : 0);
      wishes.write({ ...wish, loading: false, interrupted });
      const refused =
        interrupted < INTERRUPTED_MAX
          ? null
          : `it was being started the last ${interrupted} times that ${kind} ${id} or its machine went down: spawn it anew to try once more`;
      const { id: key, request, workerId, established } = wish;
      actor.send({ type: 'worker.restore', id: key, request, earlier: { workerId, established }, refused });
      follow(key);
    }
  }

  /** One that runs already. */
  function takeUp(key: string, request: WorkerRequest, pid: number, had: string | null): WorkerRef {
    const { workerId = null, established = false } = wishes.get(key) ?? {};
    actor.send({ type: 'worker.adopt', id: key, request, pid, workerId: had ?? workerId, established });
    log.info(`adopted process ${pid}, a worker of ${modelName(request.model)}`);
    return follow(key);
  }

  /** Resolves with the first snapshot in one of these states; told each line until then. */
  async function until(ref: WorkerRef, states: SpawnedWorker['state'][], report: (line: string) => void) {
    const narration = ref.on('narration', ({ line }) => report(line));
    try {
      await waitFor(ref, (snapshot) => states.includes(stateOf(snapshot.value)));
    } finally {
      narration.unsubscribe();
    }
    // One that is gone is no child any more, and keeps the name that it had.
    const view = viewOf(ref);
    return list().find((worker) => worker.id === view.id) ?? { ...view, name: nameOf(view, id) };
  }

  /** Resolves with the worker once it is healthy; an aborted `signal` ends it. */
  async function ready(ref: WorkerRef, report: (line: string) => void, signal: AbortSignal | undefined) {
    const abort = () => {
      wishes.remove(ref.getSnapshot().context.id);
      ref.send({ type: 'stop' });
    };
    signal?.addEventListener('abort', abort, { once: true });
    const worker = await until(ref, ['healthy', 'crashed', 'gone'], report).finally(() =>
      signal?.removeEventListener('abort', abort),
    );
    if (worker.state === 'crashed') throw new Error(`the worker crashed: ${worker.reason}`);
    if (worker.state === 'gone') throw new Error('the worker was stopped before it was ready');
    return worker;
  }

  return {
    start: () => {
      actor.start();
      work.start();
      const onLost = (record: { id: string; cgroup: string | null; request: WorkerRequest }, lines: string[]) => {
        if (record.cgroup !== null) void removeCgroup(record.cgroup, (pid) => isOfAnother(pid, record.id));
        log.warn({ lastLines: lines }, `a worker of ${modelName(record.request.model)} ended while we were away`);
      };
      const nameless = orphans.look();
      const isStray = (key: string) => orphans.spawns().has(key);
      const recorded = adoptWorkers({ records, spawner, onLost, isOrphan: isStray });
      const lives = new Set(recorded.map((record) => record.id));
      wishes.load();
      for (const { id: key, request, process: found, endpoint: was } of recorded) {
        if (found) takeUp(key, request, found.pid, was?.workerId ?? null);
      }
      // Their records are lost, not they.
      for (const stray of nameless) {
        const request = wishes.get(stray.spawn)?.request ?? stray.request;
        if (lives.has(stray.spawn) || request === null) continue;
        lives.add(stray.spawn);
        try {
          records.write({ id: stray.spawn, request, process: stray.process, endpoint: stray.endpoint, cgroup: null });
        } catch (error) {
          log.warn(`process ${stray.process.pid} is ours, and cannot be recorded: ${(error as Error).message}`);
          continue;
        }
        takeUp(stray.spawn, request, stray.process.pid, stray.endpoint?.workerId ?? null);
      }
      restore((key) => lives.has(key) || isStray(key));
      records.sweep(orphans.spawns());
      orphans.start();
    },
    spawn: async (request, { id: key = randomUUID(), report, signal }) => {
      signal?.throwIfAborted();
      const there = refOf(key);
      if (there) return ready(there, report, signal);
      await input.checkModel?.(request);
      signal?.throwIfAborted();
      wishes.write({ id: key, request, workerId: null, established: false, loading: false, interrupted: 0 });
      let answer: SpawnAnswer | undefined;
      actor.send({ type: 'worker.spawn', id: key, request, respond: (said) => (answer = said) });
      if (answer !== 'spawned') wishes.remove(key);
      if (answer === 'full') throw new Error(`there are ${WORKERS_MAX} workers here already: stop one`);
      if (answer !== 'spawned') throw new Error('no worker is started any more: this process ends');
      return ready(follow(key), report, signal);
    },
    attach: async (key, { report, signal }) => {
      signal?.throwIfAborted();
      const ref = refOf(key);
      if (!ref) throw new Error(`${key} is no worker of ${kind} ${id}`);
      return ready(ref, report, signal);
    },
    list,
    targets: () =>
      list().flatMap(({ id: key, pid, device }) =>
        pid === null ? [] : [{ pid, cgroup: records.cgroupOf(key), gpu: device?.startsWith('GPU-') ?? false }],
      ),
    get: (pid) => list().find((worker) => worker.pid === pid),
    stop: async (which, report = () => {}) => {
      const orphan = 'pid' in which ? orphans.get(which.pid) : undefined;
      if (orphan) {
        wishes.remove(orphan.spawn);
        await orphans.end(orphan.process.pid, report);
        records.remove(orphan.spawn);
        ended({ lastWorkerId: orphan.endpoint?.workerId ?? null });
        return orphanView(orphan, id);
      }
      const found = list().find((worker) => ('pid' in which ? worker.pid === which.pid : worker.id === which.id));
      const ref = found && refOf(found.id);
      if (!ref) throw new Error(`${'pid' in which ? `process ${which.pid}` : which.id} is no worker of ${kind} ${id}`);
      const gone = until(ref, ['gone'], report);
      // First: if we are killed before it has ended, it is not to come back.
      wishes.remove(found.id);
      actor.send({ type: 'worker.stop', id: found.id });
      // Whoever measures it is to tell that it ends, and not only that it is gone.
      input.onChange?.();
      return { ...(await gone), pid: found.pid };
    },
    stopped: () => {
      const names = new Set(list().map(({ name }) => name));
      for (const [name, at] of stoppedAt) {
        if (performance.now() - at > STOPPED_TOLD_MS || names.has(name)) stoppedAt.delete(name);
      }
      return [...stoppedAt.keys()];
    },
    orphans: orphans.list,
    adopt: async (pid, report) => {
      const orphan = orphans.get(pid);
      if (!orphan) throw new Error(`process ${pid} is no orphaned worker`);
      const { spawn: key, request, process: found, endpoint, spawner: by } = orphan;
      if (request === null)
        throw new Error(`process ${pid} does not say what it was started for: it can only be ended`);
      if (endpoint === null) throw new Error(`process ${pid} does not say where it listens: it can only be ended`);
      if (list().length >= WORKERS_MAX) throw new Error(`there are ${WORKERS_MAX} workers here already: stop one`);
      // First: a crash in between must not make it an orphan again.
      wishes.write({
        id: key,
        request,
        workerId: endpoint.workerId,
        established: true,
        loading: false,
        interrupted: 0,
      });
      records.write({ id: key, request, process: found, endpoint, cgroup: null, spawner: by });
      orphans.remove(pid);
      return until(takeUp(key, request, pid, endpoint.workerId), ['healthy', 'crashed', 'gone'], report);
    },
    finish: async (graceMs) => {
      await work.askAll(ASK_MS);
      const busy = list().flatMap(({ id: key, busy }) => (busy ? [key] : []));
      ending = true;
      const longer = { ids: busy, graceMs: graceMs + WORKERS_GRACE_MS };
      actor.send({ type: 'end', graceMs: WORKERS_GRACE_MS, longer });
    },
    running: () => list().filter(({ pid }) => pid !== null).length,
    end: async ({ keep, graceMs = WORKERS_GRACE_MS }) => {
      const count = list().filter(({ pid }) => pid !== null).length;
      if (keep) {
        left = true;
        if (count > 0) log.info(`${count === 1 ? '1 worker is' : `${count} workers are`} left running`);
      } else if (Object.keys(actor.getSnapshot().children).length > 0) {
        const none = waitFor(actor, ({ children }) => Object.keys(children).length === 0, {
          timeout: graceMs + KILLED_MS,
        });
        ending = true;
        actor.send({ type: 'end', graceMs });
        await none.catch(() => {
          // What cannot be killed is still recorded: the next run takes it up.
          left = true;
          log.warn(`${list().length} of its workers have not ended`);
        });
      }
      work.stop();
      orphans.stop();
      actor.stop();
      awake?.stop();
    },
  };
}

function stateOf(value: unknown): SpawnedWorker['state'] {
  return (typeof value === 'string' ? value : Object.keys(value as object)[0]) as SpawnedWorker['state'];
}

/** One that was ended, in the words of those that are ours. */
function orphanView({ process: { pid }, spawn: id, endpoint, request }: Orphan, spawnerId: string): SpawnedWorker {
  return {
    ...{
      id,
      state: 'gone',
      pid,
      workerId: endpoint?.workerId ?? null,
      url: endpoint?.url ?? null,
      port: endpoint?.port ?? null,
    },
    ...{ name: endpoint?.workerId ?? orphanName(pid, spawnerId), group: null, instance: null, device: null, key: null },
    ...{ request: request ?? { model: '', worker: 'cpu', device: 0, engineUrl: null }, model: request?.model ?? '' },
    ...{ busy: false, tokensPerS: null, restarts: 0, reason: null, lastLines: [] },
  };
}

interface WorkerView extends Omit<SpawnedWorker, 'name'> {
  /** `workerId`, also of one that listens no more. */
  lastId: string | null;
}

const nameOf = ({ id, lastId }: WorkerView, spawnerId: string): string =>
  lastId ?? `worker-llm-${id.slice(0, 8)}@${spawnerId}`;

/** Who listens has its own id; of those that do not, the latest keeps the one that it had. */
function named(views: WorkerView[], spawnerId: string): SpawnedWorker[] {
  const taken = new Set(views.flatMap(({ workerId }) => workerId ?? []));
  const names = new Map<string, string>();
  for (const view of [...views].reverse()) {
    const had = view.workerId === null && view.lastId !== null && taken.has(view.lastId);
    const name = nameOf(had ? { ...view, lastId: null } : view, spawnerId);
    taken.add(name);
    names.set(view.id, name);
  }
  return views.map(({ lastId: _, ...view }) => ({ ...view, name: names.get(view.id) as string }));
}

function viewWith(ref: WorkerRef, workOf: (url: string | null) => WorkerActivity | undefined): WorkerView {
  const { value, context } = ref.getSnapshot();
  const { id, request, pid, endpoint, lastWorkerId, model, device, capacity, progress, restarts, reason, lastLines } =
    context;
  const work = workOf(endpoint?.url ?? null);
  return {
    id,
    state: stateOf(value),
    pid,
    workerId: endpoint?.workerId ?? null,
    lastId: lastWorkerId,
    url: endpoint?.url ?? null,
    port: endpoint?.port ?? null,
    key: endpoint?.key ?? null,
    request,
    model: model ?? modelName(request.model),
    device: device ?? deviceName(request),
    capacity,
    group: endpoint ? cgroupName(endpoint.workerId, endpoint.port).group : null,
    instance: endpoint ? String(endpoint.port) : null,
    busy: work?.busy ?? false,
    tokensPerS: work?.tokensPerS ?? null,
    restarts,
    restartsEver: context.restartsEver,
    lastReason: context.lastReason,
    // While it loads, that is why it does not answer.
    reason: work?.reason ?? reason ?? progress,
    lastLines,
  };
}

function deviceName({ worker, device }: WorkerRequest): string | null {
  if (worker === 'openai') return null;
  return worker === 'cpu' ? `CPU-${device}` : `GPU-${device}`;
}

function originOf(url: string | null | undefined): string | null {
  return url && URL.canParse(url) ? new URL(url).origin : null;
}

/** It keeps the id that it had, unless another has that now; and takes no port whose name another has. */
function nameFlags(refs: WorkerRef[], spawnerId: string, workerId: string | null): string[] {
  const views = refs.map((ref) => ref.getSnapshot().context);
  if (workerId !== null && !views.some(({ endpoint }) => endpoint?.workerId === workerId))
    return ['--worker-id', workerId];
  const ports = views.flatMap(({ lastWorkerId }) => {
    const [, port, by] = /-(\d{1,5})@(.+)$/.exec(lastWorkerId ?? '') ?? [];
    return by === spawnerId && port !== undefined ? [port] : [];
  });
  return ports.length > 0 ? ['--skip-port', [...new Set(ports)].join(',')] : [];
}

/** All but secrets: `ps` shows them to everybody. */
function workerFlags(
  { processContext, options, hiveId, registryUrl, queenUrls }: SpawnerInput,
  request: WorkerRequest,
) {
  const device = deviceName(request);
  const flag = (name: string, value: string | number | null | undefined) =>
    value === undefined || value === null || value === '' ? [] : [name, String(value)];
  return [
    // In one word: a model's name must not be taken for a flag.
    `--model=${request.model}`,
    ...['--engine', request.worker === 'openai' ? 'openai' : 'llama'],
    ...(request.engineUrl === null ? [] : [`--engine-url=${request.engineUrl}`]),
    ...['--worker-type', request.worker],
    ...flag('--device', device),
    ...flag('--context', request.context),
    ...flag('--slots', request.slots),
    ...flag('--threads', request.threads),
    ...flag('--gpu-layers', request.gpuLayers),
    ...flag('--kv-type', request.kvType),
    ...['--spawned-by', processContext.id],
    ...flag('--hive-id', hiveId),
    ...['--grace', `${options.grace}ms`],
    ...['--bind', options.bind, '--state-dir', options.stateDir],
    ...flag('--registry-url', registryUrl),
    ...queenUrls.flatMap((url) => ['--queen-url', url]),
    ...flag('--tls-cert', options.tlsCert),
    ...flag('--tls-key', options.tlsKey),
    ...flag('--tls-ca', options.tlsCa),
    // At our advertised host queens ask for our workers too.
    ...allowedHosts(options).flatMap((name) => ['--allow-host', name]),
    ...options.allowOrigin.flatMap((origin) => ['--allow-origin', origin]),
    ...['--log-level', options.logLevel, '--log-format', options.logFormat],
  ];
}
