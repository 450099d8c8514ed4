/** A keeper reads every hive that answers when it is asked: no hive announces itself to a keeper. */
import { PeerFailure } from '../actors/net/failure.js';
import type { Ask } from '../actors/net/http.js';
import type { HiveAnswer, HiveAsker } from '../actors/queen/ask-hive.js';
import type { KnownHive } from '../machines/hive-name.js';
import { hostForUrl, unmapped } from '../wire/url.js';

/** @param onFound is given each hive that answered an invitation */
export function readingAsker(asker: HiveAsker, onFound: (hive: KnownHive) => void): HiveAsker {
  return {
    capabilities: async (hiveUrl, options) => {
      const answer = await asker.capabilities(hiveUrl, options);
      if (options.invite) onFound(foundHive(hiveUrl, options.trusted, answer));
      return answer;
    },
  };
}

function foundHive(hiveUrl: string, trusted: Ask['trusted'], { hive_id: hiveId, instance, address }: HiveAnswer) {
  if (hiveId === null) {
    throw new PeerFailure('broken', `the hive at ${hiveUrl} does not state its name: a keeper cannot read it`);
  }
  return typeof trusted === 'function'
    ? { hiveId, instance, hiveUrl: atAddress(hiveUrl, address), trusted: trusted(address) }
    : { hiveId, instance, hiveUrl, trusted };
}

/**
 * A host that is trusted because of its address is read at that address, even if its name resolves to another one later.
 * With TLS the certificate identifies it.
 */
function atAddress(hiveUrl: string, address: string): string {
  const { protocol, port } = new URL(hiveUrl);
  return protocol === 'https:' || address === '' ? hiveUrl : `http://${hostForUrl(unmapped(address))}:${port || 80}`;
}
