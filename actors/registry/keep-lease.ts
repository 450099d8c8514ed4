/** The requests of a component to the registry: register, heartbeat, unregister (docs/protocol.md, section 7). */
import { fromPromise } from 'xstate';
import type { LeaseHeartbeatInput, ListedQueen, RegisterOutput } from '../../machines/lease.js';
import { type ComponentKind, Lease, QueenList, REGISTRY_PATH } from '../../wire/registry.js';
import { knownParser, type Parsed } from '../../wire/schema.js';
import { hostOf, isLoopback, normaliseUrl, resolvePeerUrl } from '../../wire/url.js';
import { type Endpoint, urlTowards } from '../net/endpoint.js';
import { PeerFailure } from '../net/failure.js';
import { type Ask, ask, type Outgoing } from '../net/http.js';
import { checkRegistry } from './check-registry.js';

/** A process ends within 5 s, also where the registry does not answer. */
const UNREGISTER_MS = 1_000;

export interface LeaseDeps {
  outgoing: Outgoing;
  endpoint: Endpoint;
  registryUrl: string;
  kind: ComponentKind;
  id: string;
  /** The component's own fields; read at each registration. */
  about: () => Record<string, unknown>;
}

const parseLease = knownParser(Lease);
const parseQueens = knownParser(QueenList);

export function createLeaseActors({ outgoing, endpoint, registryUrl, kind, id, about }: LeaseDeps) {
  // The registry is configured, so the token may be sent to it.
  const request = async (path: string, options: Omit<Ask, 'trusted'>) =>
    (await ask(outgoing, registryUrl + path, { ...options, trusted: true })).body;

  return {
    register: fromPromise<RegisterOutput>(async ({ signal }) => {
      await checkRegistry(outgoing, registryUrl, signal);
      let url = '';
      const body = await request(REGISTRY_PATH.register, {
        method: 'POST',
        body: (socket) => {
          url = urlTowards(endpoint, socket);
          return { ...about(), kind, id, url };
        },
        signal,
      });
      const { heartbeat_interval_s } = validAnswer(parseLease(body), registryUrl);
      return { url, heartbeatMs: heartbeat_interval_s * 1000 };
    }),

    heartbeat: fromPromise<ListedQueen[], LeaseHeartbeatInput>(async ({ input, signal }) => {
      let url = '';
      const body = await request(REGISTRY_PATH.heartbeat, {
        method: 'POST',
        body: (socket) => {
          url = urlTowards(endpoint, socket);
          return { kind, id };
        },
        signal,
      });
      if (url !== input.url)
        throw new PeerFailure('identity', `this process is at ${url} now, ${input.url} was registered`);
      return validAnswer(parseQueens(body), registryUrl).queens.flatMap((queen) => {
        const normal = normaliseUrl(resolvePeerUrl(registryUrl, queen.url));
        // A process on loopback calls loopback peers only.
        if (!normal.ok || (outgoing.loopbackOnly && !isLoopback(hostOf(normal.url)))) return [];
        return [{ id: queen.id, url: normal.url }];
      });
    }),

    unregister: fromPromise<void>(async ({ signal }) => {
      await request(REGISTRY_PATH.unregister, {
        method: 'DELETE',
        body: () => ({ kind, id }),
        timeoutMs: UNREGISTER_MS,
        signal,
      });
    }),
  };
}

/** @throws PeerFailure */
function validAnswer<T>(parsed: Parsed<T>, url: string): T {
  if (!parsed.ok) throw new PeerFailure('broken', `${url} answers, but not like a registry`);
  return parsed.value;
}
