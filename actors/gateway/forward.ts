/**
 * Carries a request to a worker and its answer back, byte by byte. Workers are tried one after the other until one
 * answers. A request that a worker may have executed is repeated once at most, and not at all when something of an
 * answer came back; after the first byte that the client got nothing can be taken back, and the answer ends with an error.
 */
import type { CallResult, Candidate } from '../../stores/gateway.js';
import type { PeerFailure } from '../net/failure.js';
import type { Outgoing } from '../net/http.js';
import { renameModel } from './rename-model.js';
import { type Attempt, attempt, type Call, type Try } from './try-worker.js';
import { createWorkerConnections, type Opening } from './worker-connections.js';

/** Of a model with very many broken workers, not all are tried. */
const TRIES_MAX = 16;
/** A request that may have been executed is repeated once. */
const EXECUTIONS_MAX = 2;
/** A connection that takes longer than this is waited for on, and meanwhile another worker is tried. */
const PATIENCE_MS = 1_000;

export interface Forwarded {
  result: CallResult;
  /** Why each worker that was tried did not answer. */
  failures: string[];
  /** Of a request that nobody answered: all workers said that they have no such model, or an answer broke off. */
  because?: 'lacking' | 'torn';
}

export interface ForwardDeps {
  outgoing: Outgoing;
  choose: (model: string, tried: ReadonlySet<string>) => Candidate | null;
  /** Whether a worker may be sent our token. */
  isTrusted: (worker: Candidate) => boolean;
  onBegin: (worker: Candidate) => void;
  onEnd: (worker: Candidate) => void;
  onFirstByte: (afterMs: number) => void;
  /** A request to it failed. `slow`: no connection stood in time, which a lost packet may have caused. */
  onFailure: (worker: Candidate, reason: string, how: { slow: boolean }) => void;
  /** It said that it has no such model. */
  onLacking: (worker: Candidate, model: string) => void;
}

export interface Forwarder {
  forward: (call: Call) => Promise<Forwarded>;
  /** Workers that are asked now. */
  inUse: () => Candidate[];
  /** Those of them that have said nothing, to no request, for at least so long. */
  silent: (forMs: number) => Candidate[];
  /** The worker is gone, whatever its connections say. */
  lose: (workerId: string, reason: string) => void;
  /** Ends every answer, and gives no more. */
  stop: (reason: string) => void;
}

/** A worker whose connection is being made. */
interface Reaching {
  worker: Candidate;
  opening: Opening;
  /** Settles with whether it stands. */
  settled: Promise<{ reaching: Reaching; failure: PeerFailure | null }>;
}

export function createForward(deps: ForwardDeps): Forwarder {
  const tries = new Set<Try>();
  const connections = createWorkerConnections(deps.outgoing);
  /** Ends the waiting for a connection. */
  const waiting = new Set<() => void>();
  let stopped: string | null = null;

  function reach(call: Call, worker: Candidate, fresh = false): Reaching {
    const trusted = deps.isTrusted(worker) && deps.outgoing.token !== null;
    const body = bodyFor(call, worker);
    const headers = {
      ...call.headers,
      'content-type': 'application/json',
      'content-length': body.length,
      'accept-encoding': 'identity',
      ...(trusted ? { authorization: `Bearer ${deps.outgoing.token}` } : {}),
    };
    deps.onBegin(worker);
    const opening = connections.open({ worker, path: call.path, headers, fresh });
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

  function giveUp({ worker, opening }: Reaching): void {
    opening.request.destroy();
    deps.onEnd(worker);
  }

  /**
   * A connection to one of the workers that have the model, whichever stands first; each that takes long is given
   * company. Null when none can be had, or the client left.
   */
  async function reachAny(call: Call, tried: Set<string>, failures: string[]): Promise<Reaching | null> {
    const pending = new Set<Reaching>();
    let gone = false;
    let onGone = () => {};
    const left = new Promise<null>((resolve) => {
      onGone = () => {
        gone = true;
        resolve(null);
      };
    });
    call.response.once('close', onGone);
    waiting.add(onGone);
    const another = (): boolean => {
      const worker = tried.size < TRIES_MAX ? deps.choose(call.model, tried) : null;
      if (!worker) return false;
      tried.add(worker.workerId);
      pending.add(reach(call, worker));
      return true;
    };
    try {
      another();
      let more = true;
      while (pending.size > 0 && !gone && stopped === null) {
        const late = more ? wait(PATIENCE_MS) : null;
        const first = await Promise.race([
          left,
          ...[...pending].map(({ settled }) => settled),
          ...(late ? [late.over] : []),
        ]);
        late?.cancel();
        if (first === null) {
          if (!gone) more = another();
          continue;
        }
        const { reaching, failure } = first;
        pending.delete(reaching);
        if (!failure) return reaching;
        deps.onEnd(reaching.worker);
        failures.push(`${reaching.worker.workerId}: ${failure.message}`);
        deps.onFailure(reaching.worker, failure.message, { slow: failure.kind === 'timeout' });
        if (pending.size === 0) another();
      }
      return null;
    } finally {
      call.response.off('close', onGone);
      waiting.delete(onGone);
      for (const one of pending) {
        // It was only slower than another one.
        tried.delete(one.worker.workerId);
        giveUp(one);
      }
    }
  }

  async function ask(call: Call, { worker, opening }: Reaching): Promise<Attempt> {
    const startedAt = performance.now();
    const one = attempt({
      ...{ call, worker, opening, body: bodyFor(call, worker) },
      onFirstByte: () => deps.onFirstByte(performance.now() - startedAt),
    });
    tries.add(one);
    try {
      return await one.done;
    } finally {
      tries.delete(one);
      deps.onEnd(worker);
    }
  }

  /** A kept connection that was closed meanwhile is replaced by a new one to the same worker. */
  async function reachAgain(call: Call, worker: Candidate, failures: string[]): Promise<Reaching | null> {
    const reaching = reach(call, worker, true);
    const { failure } = await reaching.settled;
    if (!failure) return reaching;
    deps.onEnd(worker);
    failures.push(`${worker.workerId}: ${failure.message}`);
    deps.onFailure(worker, failure.message, { slow: failure.kind === 'timeout' });
    return null;
  }

  async function forward(call: Call): Promise<Forwarded> {
    const tried = new Set<string>();
    const failures: string[] = [];
    let executions = 0;
    let lacking = 0;
    let again: Candidate | null = null;
    while (stopped === null && executions < EXECUTIONS_MAX) {
      const reaching: Reaching | null = again
        ? await reachAgain(call, again, failures)
        : await reachAny(call, tried, failures);
      const retried = again !== null;
      again = null;
      if (call.response.destroyed) {
        if (reaching) giveUp(reaching);
        return { result: 'cancelled', failures };
      }
      if (!reaching && retried) continue;
      if (!reaching) break;
      const { worker }: Reaching = reaching;
      const { outcome, reason, executed } = await ask(call, reaching);
      if (executed) executions += 1;
      if (outcome === 'stale') {
        again = worker;
        continue;
      }
      if (outcome === 'answered' || outcome === 'cancelled') return { result: outcome, failures };
      if (outcome === 'lacking') {
        lacking += 1;
        deps.onLacking(worker, call.model);
      } else deps.onFailure(worker, reason, { slow: false });
      if (outcome === 'lost') return { result: 'lost', failures };
      failures.push(`${worker.workerId}: ${reason}`);
      if (outcome === 'torn') return { result: 'lost', failures, because: 'torn' };
    }
    if (stopped !== null) return { result: 'unavailable', failures: [stopped] };
    const all = lacking > 0 && lacking === failures.length;
    return { result: 'unavailable', failures, ...(all ? { because: 'lacking' as const } : {}) };
  }

  return {
    forward,
    inUse: () => [...tries].map(({ worker }) => worker),
    silent: (forMs) => {
      const speaking = new Set<string>();
      for (const one of tries) if (one.silentMs() < forMs) speaking.add(one.worker.workerId);
      const silent = new Map([...tries].map(({ worker }) => [worker.workerId, worker]));
      return [...silent.values()].filter(({ workerId }) => !speaking.has(workerId));
    },
    lose: (workerId, reason) => {
      for (const one of [...tries]) if (one.worker.workerId === workerId) one.lose(reason);
    },
    stop: (reason) => {
      stopped = reason;
      for (const one of [...tries]) one.lose(reason);
      for (const end of [...waiting]) end();
      connections.close();
    },
  };
}

/** The worker may know its model by a longer name than the client used. */
function bodyFor({ body, model }: Call, worker: Candidate): Buffer {
  return worker.model === model ? body : renameModel(body, worker.model);
}

function wait(ms: number): { over: Promise<null>; cancel: () => void } {
  let timer: NodeJS.Timeout | undefined;
  const over = new Promise<null>((resolve) => {
    timer = setTimeout(resolve, ms, null);
  });
  return { over, cancel: () => clearTimeout(timer) };
}
