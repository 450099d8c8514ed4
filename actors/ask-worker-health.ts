/** GET /health of a worker, by whoever offers it work. Ports are reused: a 200 counts for the worker that it names. */
import { HEADER, PATH } from '../wire/status.js';
import { PeerFailure } from './failure.js';
import { type Ask, ask, headerOf, type Outgoing } from './http.js';

/**
 * Resolves when it serves, with whether it said its name: one of another kind says none. Rejects with a PeerFailure, also
 * when another worker answers there. It needs no token, so none is sent.
 */
export async function askWorkerHealth(
  outgoing: Outgoing,
  { id, url }: { id: string; url: string },
  options: Pick<Ask, 'signal' | 'connectMs'>,
): Promise<{ named: boolean }> {
  const { headers } = await ask(outgoing, url + PATH.health, { ...options, trusted: false });
  const name = headerOf(headers, HEADER.worker);
  if (name !== null && name !== id) throw new PeerFailure('identity', `${url} is worker ${name.slice(0, 128)} now`);
  return { named: name !== null };
}
