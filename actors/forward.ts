/**
 * Carries a request to a worker and its answer back, byte by byte. One that fails before the first byte of its answer
 * is tried at the next worker; after that nothing can be taken back, and the answer ends with an error that says so.
 */
import type { CallResult, Candidate } from '../stores/gateway.js';
import type { Outgoing } from './http.js';
import { type Attempt, type Call, createTry, type Try } from './try-worker.js';

/** Of a model with very many broken workers, not all are tried. */
const TRIES_MAX = 16;

export interface Forwarded {
  result: CallResult;
  /** Why each worker that was tried did not answer. */
  failures: string[];
}

export interface ForwardDeps {
  outgoing: Outgoing;
  choose: (model: string, tried: ReadonlySet<string>) => Candidate | null;
  /** Whether a worker may be sent our token. */
  isTrusted: (worker: Candidate) => boolean;
  onBegin: (worker: Candidate) => void;
  onEnd: (worker: Candidate) => void;
  onFirstByte: (afterMs: number) => void;
  /** A request to it failed. */
  onFailure: (worker: Candidate, reason: string) => void;
}

export interface Forwarder {
  forward: (call: Call) => Promise<Forwarded>;
  /** Workers that are asked now. */
  inUse: () => Candidate[];
  /** Those of them that have said nothing for at least so long. */
  silent: (forMs: number) => Candidate[];
  /** The worker is gone, whatever its connections say. */
  lose: (workerId: string, reason: string) => void;
  /** Ends every answer, and gives no more. */
  stop: (reason: string) => void;
}

export function createForward(deps: ForwardDeps): Forwarder {
  const tries = new Set<Try>();
  const { attempt, close } = createTry(deps.outgoing);
  let stopped: string | null = null;

  async function ask(call: Call, worker: Candidate): Promise<Attempt> {
    const startedAt = performance.now();
    const one = attempt({
      call,
      worker,
      trusted: deps.isTrusted(worker),
      onFirstByte: () => deps.onFirstByte(performance.now() - startedAt),
    });
    tries.add(one);
    deps.onBegin(worker);
    try {
      return await one.done;
    } finally {
      tries.delete(one);
      deps.onEnd(worker);
    }
  }

  return {
    forward: async (call) => {
      const tried = new Set<string>();
      const failures: string[] = [];
      while (stopped === null && tried.size < TRIES_MAX) {
        const worker = deps.choose(call.model, tried);
        if (!worker) break;
        tried.add(worker.workerId);
        const { outcome, reason } = await ask(call, worker);
        if (outcome === 'failed' || outcome === 'lost') deps.onFailure(worker, reason);
        if (outcome !== 'failed') return { result: outcome, failures };
        failures.push(`${worker.workerId}: ${reason}`);
      }
      return { result: 'unavailable', failures: stopped === null ? failures : [stopped] };
    },
    inUse: () => [...tries].map(({ worker }) => worker),
    silent: (forMs) => [...tries].filter((one) => one.silentMs() >= forMs).map(({ worker }) => worker),
    lose: (workerId, reason) => {
      for (const one of [...tries]) if (one.worker.workerId === workerId) one.lose(reason);
    },
    stop: (reason) => {
      stopped = reason;
      for (const one of [...tries]) one.lose(reason);
      close();
    },
  };
}
