/** The `workers` machine of a spawner with its real actors, and the workers in it. */
import { type Actor, type ActorOptions, type ActorRefFrom, type AnyActorLogic, createActor, waitFor } from 'xstate';
import { type AwakeClock, createAwakeClock } from '../actors/process/awake-clock.js';
import { createCheckSpawnedWorker } from '../actors/worker/check-spawned-worker.js';
import { notifyQueens } from '../actors/worker/notify-queens.js';
import { createRunWorker } from '../actors/worker/run-worker.js';
import type { SpawnRecords } from '../actors/worker/spawn-records.js';
import type { SpawnedWorker } from '../machines/spawner.js';
import { workerMachine } from '../machines/worker.js';
import { workerHealthMachine } from '../machines/worker-health.js';
import { LOAD_TIMEOUT_MS } from '../machines/worker-setup.js';
import {
  type WorkerContext,
  type WorkerEndpoint,
  type WorkerRequest,
  type WorkerState,
  workerState,
} from '../machines/worker-types.js';
import { workersMachine } from '../machines/workers.js';
import { allNamed, named, unnamedWorker, type WorkerActivity } from '../stores/spawned-workers.js';
import { modelName } from '../wire/infer.js';
import type { SpawnerInput } from './spawner-input.js';
import { workerCommandLine, workerEnvironment } from './worker-command.js';

export type WorkersActor = Actor<typeof workersMachine>;
export type WorkerRef = ActorRefFrom<typeof workerMachine>;

export interface WorkersActorInput {
  input: SpawnerInput;
  /** This spawner's name in the environment of its workers. */
  spawner: string;
  records: SpawnRecords;
  /** What a worker at this URL reported last. */
  activityAt: (url: string | null) => WorkerActivity | undefined;
}

export class SpawnedWorkers {
  readonly #actor: WorkersActor;
  readonly #spawnerId: string;
  readonly #activityAt: WorkersActorInput['activityAt'];
  readonly #clock = lazyAwakeClock();

  constructor({ input, spawner, records, activityAt }: WorkersActorInput) {
    this.#spawnerId = input.processContext.id;
    this.#activityAt = activityAt;
    const worker = workerMachine.provide({
      actors: {
        run: this.#runActor(input, spawner, records),
        health: workerHealthMachine.provide({
          actors: { checkHealth: createCheckSpawnedWorker({ outgoing: input.processContext.outgoing }) },
        }),
      },
      actions: {
        notifyQueens: (_, { endpoint, request, model }) => announceHealthy(input, endpoint, request, model),
      },
      delays: { loadTimeout: input.loadTimeoutMs ?? LOAD_TIMEOUT_MS },
    });
    this.#actor = createActor(workersMachine.provide({ actors: { worker } }), {
      id: 'workers',
      inspect: input.processContext.inspect,
      clock: this.#clock,
    });
    this.#actor.subscribe({ error: input.processContext.fail });
  }

  get send(): WorkersActor['send'] {
    return this.#actor.send;
  }

  start(): void {
    this.#actor.start();
  }

  stop(): void {
    this.#actor.stop();
    this.#clock.stop();
  }

  get(id: string): WorkerRef | undefined {
    return this.#actor.getSnapshot().children[id] as WorkerRef | undefined;
  }

  all(): WorkerRef[] {
    return Object.keys(this.#actor.getSnapshot().children).flatMap((id) => this.get(id) ?? []);
  }

  list(): SpawnedWorker[] {
    return allNamed(
      this.all().map((ref) => this.#view(ref)),
      this.#spawnerId,
    );
  }

  healthyEndpoints(): WorkerEndpoint[] {
    return this.all().flatMap((ref) => {
      const { value, context } = ref.getSnapshot();
      return workerState(value) === 'healthy' && context.endpoint ? [context.endpoint] : [];
    });
  }

  /** Resolves with the worker in the first of these states that it reaches; `report` gets each line until then. */
  async reached(ref: WorkerRef, states: WorkerState[], report: (line: string) => void): Promise<SpawnedWorker> {
    const narration = ref.on('narration', ({ line }) => report(line));
    try {
      await waitFor(ref, ({ value }) => states.includes(workerState(value)));
    } finally {
      narration.unsubscribe();
    }
    // A worker that is gone is no longer listed, and keeps the name that it had.
    const view = this.#view(ref);
    return this.list().find(({ id }) => id === view.id) ?? named(view, this.#spawnerId);
  }

  /** Resolves once there are none; rejects after `timeoutMs`. */
  async allGone(timeoutMs: number): Promise<void> {
    await waitFor(this.#actor, ({ children }) => Object.keys(children).length === 0, { timeout: timeoutMs });
  }

  #runActor(input: SpawnerInput, spawner: string, records: SpawnRecords) {
    const { processContext, options } = input;
    const { id, log } = processContext;
    const command = { ...input, spawnerId: id, registryUrl: input.registryUrl };
    const contexts = (): WorkerContext[] => this.all().map((ref) => ref.getSnapshot().context);
    return createRunWorker({
      ...{ records, spawner },
      commandOf: (request, workerId) => workerCommandLine(command, request, workerId, contexts()),
      environment: (request) => workerEnvironment(options, request),
      cgroups: input.cgroups ?? true,
      log: (message) => log.warn(message),
    });
  }

  #view(ref: WorkerRef) {
    const snapshot = ref.getSnapshot();
    return unnamedWorker(snapshot, this.#activityAt(snapshot.context.endpoint?.url ?? null));
  }
}

function announceHealthy(
  { processContext, hiveId, queensNow, onChange }: SpawnerInput,
  worker: WorkerEndpoint,
  request: WorkerRequest,
  model: string | null,
): void {
  const { id, log, outgoing, endpoint } = processContext;
  // After the transition, so that `list` shows the worker as healthy.
  if (onChange) queueMicrotask(onChange);
  void notifyQueens({
    ...{ outgoing, endpoint, worker },
    queenUrls: queensNow(),
    registration: {
      worker_type: request.worker,
      model: model ?? modelName(request.model),
      spawned_by: id,
      hive_id: hiveId,
    },
    log: (line) => log.debug(line),
  });
}

/** Time in which this process was suspended must not make its workers look hung. Without workers no timer runs. */
function lazyAwakeClock(): NonNullable<ActorOptions<AnyActorLogic>['clock']> & { stop: () => void } {
  let clock: AwakeClock | undefined;
  return {
    setTimeout: (fn, ms) => {
      clock ??= createAwakeClock();
      return clock.setTimeout(fn, ms);
    },
    clearTimeout: (timer) => clock?.clearTimeout(timer),
    stop: () => clock?.stop(),
  };
}
