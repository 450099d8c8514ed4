/** Whether a registry may be used by a process that has a token. */
import { REGISTRY_PATH } from '../../wire/registry.js';
import { PeerFailure } from '../net/failure.js';
import { ask, type Outgoing } from '../net/http.js';

/**
 * The token is sent to every component that a registry lists, so a registry must refuse registrations without the token:
 * a request without it has to be answered 401. @throws PeerFailure
 */
export async function checkRegistry(outgoing: Outgoing, registryUrl: string, signal: AbortSignal): Promise<void> {
  if (outgoing.token === null) return;
  try {
    await ask(outgoing, registryUrl + REGISTRY_PATH.queen, { trusted: false, signal });
  } catch (error) {
    if (error instanceof PeerFailure && error.kind === 'unauthorized') return;
    // 404: no queen is registered, but it answered without a token.
    if (!(error instanceof PeerFailure && error.answer?.status === 404)) throw error;
  }
  throw new PeerFailure(
    'not-allowed',
    `${registryUrl} answers without a token, so anyone could register there and be sent this one: it is not used; start it with the same --token`,
  );
}
