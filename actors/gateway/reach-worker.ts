/**
 * A connection to one of the workers that have a model. One that takes long to connect is not given up: another worker
 * is tried at the same time, and the first connection that stands is used.
 */
import type { Candidate } from '../../stores/gateway.js';
import type { PeerFailure } from '../net/failure.js';
import type { Outgoing } from '../net/http.js';
import type { Call } from './attempt.js';
import { renameModel } from './rename-model.js';
import { createWorkerConnections, type Opening, type WorkerConnections } from './worker-connections.js';

/** Of a model with very many broken workers, not all are tried. */
const TRIES_MAX = 16;
/** After this wait for a connection, another worker is tried as well. */
const PATIENCE_MS = 1_000;

export interface ReachDeps {
  outgoing: Outgoing;
  choose: (model: string, tried: ReadonlySet<string>) => Candidate | null;
  /** Whether a worker may be sent our token. */
  isTrusted: (worker: Candidate) => boolean;
  onBegin: (worker: Candidate) => void;
  onEnd: (worker: Candidate) => void;
  /** `slow`: no connection stood in time, which a lost packet may have caused. */
  onFailure: (worker: Candidate, reason: string, how: { slow: boolean }) => void;
}

/** A worker whose connection is being made, or stands. */
export interface Reaching {
  worker: Candidate;
  opening: Opening;
  settled: Promise<{ reaching: Reaching; failure: PeerFailure | null }>;
}

/** What was tried for one call. */
export interface Tried {
  workers: Set<string>;
  failures: string[];
}

export class WorkerReach {
  readonly #deps: ReachDeps;
  readonly #connections: WorkerConnections;
  /** Ends each wait for a connection. */
  readonly #waits = new Set<() => void>();
  #stopped = false;

  constructor(deps: ReachDeps) {
    this.#deps = deps;
    this.#connections = createWorkerConnections(deps.outgoing);
  }

  /** Null when no worker can be reached, or the client left. */
  async any(call: Call, tried: Tried): Promise<Reaching | null> {
    const pending = new Set<Reaching>();
    const gone = new Gone(call);
    this.#waits.add(gone.end);
    try {
      return await this.#firstOf(pending, call, tried, gone);
    } finally {
      gone.release();
      this.#waits.delete(gone.end);
      for (const one of pending) {
        // It was only slower than another one.
        tried.workers.delete(one.worker.workerId);
        this.giveUp(one);
      }
    }
  }

  /** The same worker over a new connection, after a kept one was closed. */
  async again(call: Call, worker: Candidate, tried: Tried): Promise<Reaching | null> {
    const reaching = this.#reach(call, worker, { fresh: true });
    const { failure } = await reaching.settled;
    if (!failure) return reaching;
    this.#failed(worker, failure, tried);
    return null;
  }

  giveUp({ worker, opening }: Reaching): void {
    opening.request.destroy();
    this.#deps.onEnd(worker);
  }

  stop(): void {
    this.#stopped = true;
    for (const end of [...this.#waits]) end();
    this.#connections.close();
  }

  async #firstOf(pending: Set<Reaching>, call: Call, tried: Tried, gone: Gone): Promise<Reaching | null> {
    const another = (): boolean => {
      const worker = tried.workers.size < TRIES_MAX ? this.#deps.choose(call.model, tried.workers) : null;
      if (!worker) return false;
      tried.workers.add(worker.workerId);
      pending.add(this.#reach(call, worker, { fresh: false }));
      return true;
    };
    another();
    let more = true;
    while (pending.size > 0 && !gone.isGone && !this.#stopped) {
      const late = more ? wait(PATIENCE_MS) : null;
      const settled = [...pending].map((one) => one.settled);
      const first = await Promise.race([gone.left, ...settled, ...(late ? [late.over] : [])]);
      late?.cancel();
      if (first === null) {
        if (!gone.isGone) more = another();
        continue;
      }
      const { reaching, failure } = first;
      pending.delete(reaching);
      if (!failure) return reaching;
      this.#failed(reaching.worker, failure, tried);
      if (pending.size === 0) another();
    }
    return null;
  }

  #reach(call: Call, worker: Candidate, { fresh }: { fresh: boolean }): Reaching {
    const { outgoing, isTrusted, onBegin } = this.#deps;
    const isTokenSent = outgoing.token !== null && isTrusted(worker);
    const headers = {
      ...call.headers,
      'content-type': 'application/json',
      'content-length': bodyFor(call, worker).length,
      'accept-encoding': 'identity',
      ...(isTokenSent ? { authorization: `Bearer ${outgoing.token}` } : {}),
    };
    onBegin(worker);
    const opening = this.#connections.open({ worker, path: call.path, headers, fresh });
    const reaching: Reaching = {
      worker,
      opening,
      settled: opening.ready.then(
        () => ({ reaching, failure: null }),
        (failure: PeerFailure) => ({ reaching, failure }),
      ),
    };
    return reaching;
  }

  #failed(worker: Candidate, { kind, message }: PeerFailure, tried: Tried): void {
    this.#deps.onEnd(worker);
    tried.failures.push(`${worker.workerId}: ${message}`);
    this.#deps.onFailure(worker, message, { slow: kind === 'timeout' });
  }
}

/** The body for a worker, which may know its model by a longer name than the client used. */
export function bodyFor({ body, model }: Call, worker: Candidate): Buffer {
  return worker.model === model ? body : renameModel(body, worker.model);
}

/** The client of a call left, or the gateway was stopped. */
class Gone {
  readonly left: Promise<null>;
  readonly end: () => void;
  readonly #call: Call;
  isGone = false;

  constructor(call: Call) {
    let resolve: (left: null) => void;
    this.left = new Promise((settle) => {
      resolve = settle;
    });
    this.end = () => {
      this.isGone = true;
      resolve(null);
    };
    this.#call = call;
    call.response.once('close', this.end);
  }

  release(): void {
    this.#call.response.off('close', this.end);
  }
}

function wait(ms: number): { over: Promise<null>; cancel: () => void } {
  let timer: NodeJS.Timeout | undefined;
  const over = new Promise<null>((resolve) => {
    timer = setTimeout(resolve, ms, null);
  });
  return { over, cancel: () => clearTimeout(timer) };
}
