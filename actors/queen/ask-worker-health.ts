/** GET /health of a worker, by whoever offers it work. Ports are reused: a 200 counts for the worker that it names. */
import { HEADER, PATH } from '../../wire/status.js';
import type { ExpectedWorker } from '../../wire/worker.js';
import { PeerFailure } from '../net/failure.js';
import { type Ask, ask, headerOf, type Outgoing } from '../net/http.js';

export interface AskedWorker {
  id: string;
  url: string;
  /** By which it proves that it is there; null where no key is known. */
  worker: ExpectedWorker | null;
}

/**
 * Resolves when it serves, with whether it said its name (one of another kind says none) and its run. Rejects with a
 * PeerFailure, also when another worker answers there, or another run of it. It needs no token, so none is sent.
 */
export async function askWorkerHealth(
  outgoing: Outgoing,
  { id, url, worker }: AskedWorker,
  options: Pick<Ask, 'signal' | 'connectMs' | 'timeoutMs'>,
): Promise<{ named: boolean; run: string | null }> {
  const { headers } = await ask(outgoing, url + PATH.health, { ...options, trusted: false, worker });
  const name = headerOf(headers, HEADER.worker);
  if (name !== null && name !== id) throw new PeerFailure('identity', `${url} is worker ${name.slice(0, 128)} now`);
  return { named: name !== null, run: headerOf(headers, HEADER.run)?.slice(0, 64) ?? null };
}
