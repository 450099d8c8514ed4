/** Makes a worker known: to the registry, and to the queens, configured or listed by the registry. */
import type { Socket } from 'node:net';
import { createActor, waitFor } from 'xstate';
import { createBeat } from '../actors/worker/beat.js';
import { queenHeartbeatMachine } from '../machines/queen-heartbeat.js';
import { workerQueensMachine } from '../machines/worker-queens.js';
import type { Metric } from '../server/http/metrics.js';
import type { WorkerInfo } from '../wire/worker.js';
import { type KeptLease, keepLease } from './lease.js';
import type { ProcessContext } from './process.js';

/** How long a worker that ends waits for queens to take its last heartbeat. */
const LEAVE_MS = 500;

type QueensActor = ReturnType<typeof createActor<typeof workerQueensMachine>>;

export interface WorkerPresenceInput {
  queenUrls: string[];
  registryUrl: string | undefined;
  /** For a queen at the other end of `socket`. */
  info: (socket: Socket) => WorkerInfo;
  /** The worker's fields in the registry. */
  fields: () => Record<string, unknown>;
}

export class WorkerPresence {
  private readonly queens: QueensActor;
  private readonly lease: KeptLease;
  private started = false;

  constructor(processContext: ProcessContext, { queenUrls, registryUrl, info, fields }: WorkerPresenceInput) {
    const { outgoing, now, inspect, fail } = processContext;
    const heartbeat = queenHeartbeatMachine.provide({ actors: { beat: createBeat({ outgoing, info, now }) } });
    this.queens = createActor(workerQueensMachine.provide({ actors: { heartbeat } }), {
      ...{ id: 'queens', input: { queenUrls: [...new Set(queenUrls)] }, inspect },
    });
    this.queens.subscribe({ error: fail });
    this.lease = keepLease(processContext, {
      ...{ registryUrl, kind: 'worker', about: fields },
      onQueens: (listed) => this.queens.send({ type: 'queens.listed', urls: listed.map(({ url }) => url) }),
    });
  }

  get metrics(): Metric[] {
    return this.lease.metrics;
  }

  start(): void {
    this.started = true;
    this.queens.start();
    this.lease.start();
  }

  statusChanged(): void {
    this.queens.send({ type: 'status.changed' });
  }

  /** Settles within about a second, whatever the registry does. */
  unregister(): Promise<void> {
    return this.lease.leave();
  }

  /** Tells the queens that the worker ends, so that they stop listing it, without waiting long for their answers. */
  async leaveQueens(): Promise<void> {
    if (this.started) {
      this.queens.send({ type: 'leave' });
      const done = ({ children }: ReturnType<QueensActor['getSnapshot']>) =>
        Object.values(children).every((child) => child?.getSnapshot().status !== 'active');
      await waitFor(this.queens, done, { timeout: LEAVE_MS }).catch(() => {});
    }
    this.queens.stop();
  }
}
