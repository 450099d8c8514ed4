/**
 * One poll of a worker's health: `GET /health`, with proof of its key where that is known. All
 * pollers use it; they differ in when they poll and in what follows. Ports are reused, so a 200 counts only for
 * the worker that it names. /health needs no token, so none is sent.
 */
import { HEADER, PATH } from '../../wire/status.js';
import { normaliseUrl } from '../../wire/url.js';
import type { ExpectedWorker } from '../../wire/worker.js';
import { PeerFailure, peerFailure } from '../net/failure.js';
import { type Ask, ask, type Outgoing } from '../net/http.js';
import { headerOf } from '../net/response.js';

export interface PolledWorker {
  /** Null where any id is accepted. */
  id: string | null;
  url: string;
  /** Which worker must prove that it is there; null where its key is not known. */
  worker: ExpectedWorker | null;
}

export type HealthAnswer =
  /** It serves. `named`: it answered with its id, which engines of other kinds do not. `run`: its `Rbee-Run`. */
  | { status: 'ok'; named: boolean; run: string | null }
  /**
   * `unavailable`: 503, it loads its model or finishes its last answers. `replaced`: another worker answers there, or
   * another run of it. `failed`: no answer, or another status.
   */
  | { status: 'unavailable' | 'replaced' | 'failed'; failure: PeerFailure };

type PollOptions = Pick<Ask, 'signal' | 'connectMs' | 'timeoutMs'>;

const UNAVAILABLE = 503;
const RUN_CHARS_MAX = 64;

/** Never rejects. An aborted poll has failed. */
export async function pollHealth(
  outgoing: Outgoing,
  { id, url, worker }: PolledWorker,
  options: PollOptions,
): Promise<HealthAnswer> {
  const base = normaliseUrl(url);
  if (!base.ok) return { status: 'failed', failure: new PeerFailure('broken', base.detail) };
  try {
    const { headers } = await ask(outgoing, base.url + PATH.health, { ...options, trusted: false, worker });
    const name = headerOf(headers, HEADER.worker);
    if (id === null || name === null || name === id) {
      return {
        status: 'ok',
        named: name !== null,
        run: headerOf(headers, HEADER.run)?.slice(0, RUN_CHARS_MAX) ?? null,
      };
    }
    const reason = `${base.url} is worker ${name.slice(0, 128)} now`;
    return { status: 'replaced', failure: new PeerFailure('identity', reason) };
  } catch (error) {
    const failure = peerFailure(base.url, error);
    if (failure.kind === 'identity') return { status: 'replaced', failure };
    return { status: failure.answer?.status === UNAVAILABLE ? 'unavailable' : 'failed', failure };
  }
}
