/** Whether a registry may be used by a process that has a token. */
import { REGISTRY_PATH } from '../../wire/registry.js';
import { PeerFailure } from '../net/failure.js';
import { ask, type Outgoing } from '../net/http.js';

/**
 * Whoever a registry lists is sent our token: so it must let nobody list himself who does not know it. Asked without the
 * token, it has to say 401. @throws PeerFailure
 */
export async function checkRegistry(outgoing: Outgoing, registryUrl: string, signal: AbortSignal): Promise<void> {
  if (outgoing.token === null) return;
  try {
    await ask(outgoing, registryUrl + REGISTRY_PATH.queen, { trusted: false, signal });
  } catch (error) {
    if (error instanceof PeerFailure && error.kind === 'unauthorized') return;
    // No queen is registered: it has answered all the same.
    if (!(error instanceof PeerFailure && error.answer?.status === 404)) throw error;
  }
  throw new PeerFailure(
    'not-allowed',
    `${registryUrl} answers without a token: anybody could be listed there and be sent ours, so it is not used; start it with the same --token`,
  );
}
