/** Connections of the gateway to workers: kept for the next request, each with proof of the worker's key before it is used. */
import http, { type ClientRequest, type OutgoingHttpHeaders } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Candidate } from '../../stores/gateway.js';
import { HEADER, PROTOCOL_VERSION } from '../../wire/status.js';
import { normaliseUrl } from '../../wire/url.js';
import { connectTo } from '../net/connect.js';
import { type PeerFailure, peerFailure } from '../net/failure.js';
import type { Outgoing } from '../net/http.js';

/**
 * For a connection to be established. TCP repeats its first packet after 1 s and again 2 s later, so with less time one
 * lost packet would count as a dead worker.
 */
const CONNECT_MS = 3_500;
/** Idle connections kept to one worker, and for how long: servers of rbee close them after 5 s. */
const IDLE_SOCKETS_MAX = 32;
const IDLE_SOCKET_MS = 4_000;

/** A request to a worker of which nothing was sent yet. */
export interface Opening {
  request: ClientRequest;
  /** Resolves when its connection is open and the worker has proven its key. Rejects with a PeerFailure. */
  ready: Promise<void>;
}

interface OpenInput {
  worker: Candidate;
  /** Of the API: `/v1/chat/completions`. */
  path: string;
  headers: OutgoingHttpHeaders;
  /** Only over a connection that was not used before. */
  fresh: boolean;
}

export interface WorkerConnections {
  /** Never throws. Destroying its request gives an opening up. */
  open: (input: OpenInput) => Opening;
  close: () => void;
}

type Where = http.RequestOptions & { base: string; candidate: Candidate };

/** Keeps connections by worker and run, so that none is used for another process that took a worker's port. */
class WorkerAgent extends http.Agent {
  readonly #outgoing: Outgoing;

  constructor(outgoing: Outgoing, keepAlive: boolean) {
    super({ keepAlive, maxFreeSockets: IDLE_SOCKETS_MAX, timeout: IDLE_SOCKET_MS, scheduling: 'lifo' });
    this.#outgoing = outgoing;
  }

  override getName(options?: http.RequestOptions): string {
    const { base, candidate } = options as Where;
    return `${new URL(base).origin} ${candidate.worker ? `${candidate.worker.id} ${candidate.worker.key}` : ''}`;
  }

  override createConnection(
    options: http.ClientRequestArgs,
    done: (error: Error | null, socket: Duplex) => void,
  ): undefined {
    const { base, candidate } = options as unknown as Where;
    void connectTo(this.#outgoing, base, { worker: candidate.worker, connectMs: CONNECT_MS }).then(
      (socket) => done(null, socket),
      (error: Error) => (done as (error: Error) => void)(error),
    );
  }
}

export function createWorkerConnections(outgoing: Outgoing): WorkerConnections {
  const kept = new WorkerAgent(outgoing, true);
  const once = new WorkerAgent(outgoing, false);

  return {
    open: ({ worker, path, headers, fresh }) => {
      const base = normaliseUrl(worker.url);
      const url = base.ok ? base.url : 'http://0.0.0.0';
      const at = new URL(url + path);
      const where: Where = {
        ...{ base: url, candidate: worker, agent: fresh ? once : kept },
        ...{ method: 'POST', path: at.pathname },
        headers: { ...headers, host: at.host, [HEADER.protocol]: PROTOCOL_VERSION },
      };
      // Where there is TLS, the connection does it: the request is plain HTTP over it.
      const request = http.request(where);
      const ready = new Promise<void>((resolve, reject) => {
        const fail = (error?: Error): void => reject(failed(url, error ?? new Error('given up')));
        request.once('error', fail).once('close', fail);
        request.once('socket', () => {
          request.off('error', fail).off('close', fail);
          resolve();
        });
      });
      // An error event without a listener would end the process.
      request.on('error', () => {});
      ready.catch(() => {});
      if (!base.ok) request.destroy(new Error(`its URL is invalid: ${base.detail}`));
      return { request, ready };
    },
    close: () => {
      kept.destroy();
      once.destroy();
    },
  };
}

const failed = (url: string, error: Error): PeerFailure => peerFailure(url, error);
