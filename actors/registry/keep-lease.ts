/** What a component says to the registry: that it is there, that it still is, and that it goes (PROTOCOL, "Registry"). */
import { fromPromise } from 'xstate';
import type { HeartbeatInput, ListedQueen, RegisterOutput } from '../../machines/lease.js';
import { type ComponentKind, Lease, QueenList, REGISTRY_PATH } from '../../wire/registry.js';
import { knownParser, type Parsed } from '../../wire/schema.js';
import { hostOf, isLoopback, normaliseUrl, resolvePeerUrl } from '../../wire/url.js';
import { type Endpoint, urlTowards } from '../net/endpoint.js';
import { PeerFailure } from '../net/failure.js';
import { type Ask, ask, type Outgoing } from '../net/http.js';
import { checkRegistry } from './check-registry.js';

/** A process ends within 5 s, however long the registry thinks about it. */
const UNREGISTER_MS = 1_000;

export interface LeaseDeps {
  outgoing: Outgoing;
  endpoint: Endpoint;
  registryUrl: string;
  kind: ComponentKind;
  id: string;
  /** The component's own fields, as they are when it registers. */
  about: () => Record<string, unknown>;
}

const parseLease = knownParser(Lease);
const parseQueens = knownParser(QueenList);

export function createLeaseActors({ outgoing, endpoint, registryUrl, kind, id, about }: LeaseDeps) {
  // The registry is configured: it may be told our token.
  const tell = async (path: string, options: Omit<Ask, 'trusted'>) =>
    (await ask(outgoing, registryUrl + path, { ...options, trusted: true })).body;

  return {
    register: fromPromise<RegisterOutput>(async ({ signal }) => {
      await checkRegistry(outgoing, registryUrl, signal);
      let url = '';
      const body = await tell(REGISTRY_PATH.register, {
        method: 'POST',
        body: (socket) => {
          url = urlTowards(endpoint, socket);
          return { ...about(), kind, id, url };
        },
        signal,
      });
      const { heartbeat_interval_s } = understood(parseLease(body), registryUrl);
      return { url, heartbeatMs: heartbeat_interval_s * 1000 };
    }),

    heartbeat: fromPromise<ListedQueen[], HeartbeatInput>(async ({ input, signal }) => {
      let url = '';
      const body = await tell(REGISTRY_PATH.heartbeat, {
        method: 'POST',
        body: (socket) => {
          url = urlTowards(endpoint, socket);
          return { kind, id };
        },
        signal,
      });
      if (url !== input.url)
        throw new PeerFailure('identity', `our address is ${url} now, ${input.url} was registered`);
      return understood(parseQueens(body), registryUrl).queens.flatMap((queen) => {
        const normal = normaliseUrl(resolvePeerUrl(registryUrl, queen.url));
        // A process on loopback speaks with loopback peers only.
        if (!normal.ok || (outgoing.loopbackOnly && !isLoopback(hostOf(normal.url)))) return [];
        return [{ id: queen.id, url: normal.url }];
      });
    }),

    unregister: fromPromise<void>(async ({ signal }) => {
      await tell(REGISTRY_PATH.unregister, {
        method: 'DELETE',
        body: () => ({ kind, id }),
        timeoutMs: UNREGISTER_MS,
        signal,
      });
    }),
  };
}

/** @throws PeerFailure */
function understood<T>(parsed: Parsed<T>, url: string): T {
  if (!parsed.ok) throw new PeerFailure('broken', `${url} answers, but not as a registry does`);
  return parsed.value;
}
