/** Asks workers that are listed or registered for their health and capabilities, and records the answers. */
import type { AwakeClock } from '../actors/process/awake-clock.js';
import { watchWorkers } from '../actors/queen/watch-workers.js';
import type { Fleet } from '../stores/fleet.js';
import type { Now } from '../stores/workers.js';
import type { ProcessContext } from './process.js';

export interface WorkerAsksDeps {
  fleet: Fleet;
  clock: AwakeClock;
  now: () => Now;
}

export class WorkerAsks {
  readonly #deps: WorkerAsksDeps;
  readonly #watch: ReturnType<typeof watchWorkers>;
  /** Workers whose lease has ended: one that does not answer then is gone, and not only out of reach for now. */
  readonly #leaseEnded = new Set<string>();

  constructor({ outgoing }: Pick<ProcessContext, 'outgoing'>, deps: WorkerAsksDeps) {
    this.#deps = deps;
    const { fleet, clock, now } = deps;
    const { workers } = fleet;
    this.#watch = watchWorkers({
      outgoing,
      toAsk: () => workers.toAsk(clock.now()),
      onHealthy: ({ id, url }, run) => {
        this.#leaseEnded.delete(id);
        workers.healthy(id, url, now(), run);
      },
      onCapabilities: ({ id }, capabilities) => workers.capabilities(id, capabilities),
      onFailed: ({ id }, reason, answered) =>
        this.#leaseEnded.delete(id) ? workers.unreachable(id, reason) : workers.failed(id, reason, answered),
      onReplaced: ({ id }, reason) => workers.unreachable(id, reason),
    });
  }

  /** Asks for its capabilities, unless this run of the worker has sent them: its spawner just found it healthy. */
  capabilities(workerId: string): void {
    const worker = this.#deps.fleet.workers.toAskOne(workerId, this.#deps.clock.now());
    if (worker) this.#watch.ask(worker, { health: false });
  }

  /** Asks for its capabilities again: the worker answered that it does not have what was listed. */
  capabilitiesAnew(workerId: string): void {
    const worker = this.#deps.fleet.workers.toAskOne(workerId, this.#deps.clock.now());
    if (worker) this.#watch.ask({ ...worker, wantsCapabilities: true }, { health: false });
  }

  health(workerId: string): void {
    const worker = this.#deps.fleet.workers.toAskOne(workerId, this.#deps.clock.now());
    if (worker) this.#watch.ask(worker, { health: true });
  }

  /** The registry no longer lists it: only its own answer keeps it. */
  leaseEnded(workerId: string): void {
    const { fleet, clock } = this.#deps;
    if (!fleet.workers.get(workerId, clock.now())) return;
    this.#leaseEnded.add(workerId);
    this.health(workerId);
  }

  start(): void {
    this.#watch.start();
  }

  stop(): void {
    this.#watch.stop();
  }
}
