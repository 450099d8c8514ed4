/**
 * GET /capabilities of a hive: for its devices, and with our own URL in the query so that it announces itself. All searches
 * share one limit.
 */
import { Type } from '@sinclair/typebox';
import pLimit from 'p-limit';
import { fromPromise } from 'xstate';
import type { AskInput } from '../../machines/seek.js';
import type { SubscribeInput } from '../../machines/subscription-events.js';
import type { Device } from '../../wire/device.js';
import { Capabilities } from '../../wire/hive.js';
import { knownParser } from '../../wire/schema.js';
import { HEADER, PATH } from '../../wire/status.js';
import { type Endpoint, urlTowards } from '../net/endpoint.js';
import { PeerFailure } from '../net/failure.js';
import { type Ask, ask, type Outgoing } from '../net/http.js';
import type { KeepAlivePool } from '../net/keep-alive-pool.js';
import { headerOf } from '../net/response.js';

/** Requests at once, the time to connect, and the time in all (docs/protocol.md, section 4.3). */
const IN_FLIGHT_MAX = 256;
const CONNECT_MS = 1_000;
const TIMEOUT_MS = 5_000;

export interface HiveAnswer {
  /** Null for a hive that sends its name only when it announces itself. */
  hive_id: string | null;
  devices: Device[];
  /** Its Rbee-Instance, if it sends one. */
  instance: string | null;
  /** The address that answered. */
  address: string;
}

export interface HiveAsker {
  /** Asks the hive at a URL for its name and devices; with `invite`, also to announce itself here. Rejects with a PeerFailure. */
  capabilities: (
    hiveUrl: string,
    options: Pick<Ask, 'trusted' | 'signal'> & { invite: boolean },
  ) => Promise<HiveAnswer>;
}

const parseCapabilities = knownParser(Capabilities);
/** Of a hive of the first implementation. */
const parseNameless = knownParser(Type.Object({ devices: Type.Array(Type.Unknown(), { maxItems: 256 }) }));
const parseDevices = knownParser(Capabilities.properties.devices);

export function createHiveAsker(deps: {
  outgoing: Outgoing;
  endpoint: Endpoint;
  /** Null on a keeper, which asks no hive to announce itself. */
  queenId: string | null;
  keep: KeepAlivePool;
}): HiveAsker {
  const { queenId } = deps;
  const limit = pLimit(IN_FLIGHT_MAX);
  return {
    capabilities: (hiveUrl, { trusted, signal, invite }) =>
      limit(async () => {
        signal?.throwIfAborted();
        const until = performance.now() + TIMEOUT_MS;
        const askAt = (path: string) =>
          ask(deps.outgoing, hiveUrl + path, {
            trusted,
            ...(signal ? { signal } : {}),
            ...(invite ? { keep: deps.keep } : {}),
            ...(invite && queenId !== null
              ? { query: (socket) => ({ queen_url: urlTowards(deps.endpoint, socket), queen_id: queenId }) }
              : {}),
            connectMs: CONNECT_MS,
            timeoutMs: Math.max(1, until - performance.now()),
          });
        const first = await askAt(PATH.capabilities).catch(unlessMissing);
        const named = parseCapabilities(first?.body);
        if (first && named.ok) {
          return { ...named.value, instance: headerOf(first.headers, HEADER.instance), address: first.address };
        }
        // A 404, or a page for unknown paths: a hive of the first implementation answers at another path.
        const { body, address } = await askAt(PATH.capabilitiesV1);
        const nameless = parseNameless(body);
        if (!nameless.ok) throw new PeerFailure('broken', `${hiveUrl} answers, but not as a hive does`);
        const devices = parseDevices(nameless.value.devices);
        return { hive_id: null, devices: devices.ok ? devices.value : [], instance: null, address };
      }),
  };
}

/** @throws every failure but a path that does not exist */
function unlessMissing(error: unknown): null {
  const status = error instanceof PeerFailure ? error.answer?.status : undefined;
  if (status === 404 || status === 405) return null;
  throw error;
}

export interface AskDeps {
  asker: HiveAsker;
  /** Why the hive at this URL is not to be asked now (another hive streams from it, …), or null. */
  whyNotAsk: (hiveUrl: string, hiveId: string) => string | null;
  onDevices: (hiveId: string, devices: Device[]) => void;
}

export type LearnDeps = Omit<AskDeps, 'whyNotAsk'> & { isFresh: (hiveId: string) => boolean };

/** Asks a hive whose name is known. An answer with another name comes from another hive: ports get reused. */
export function createAsk({ asker, whyNotAsk, onDevices }: AskDeps) {
  return fromPromise<void, AskInput>(async ({ input, signal }) => {
    const reason = whyNotAsk(input.hiveUrl, input.hiveId);
    if (reason !== null) throw new PeerFailure('identity', reason);
    const { hive_id, devices } = await asker.capabilities(input.hiveUrl, {
      trusted: input.trusted,
      signal,
      invite: true,
    });
    if (hive_id !== null && hive_id !== input.hiveId) {
      throw new PeerFailure('identity', `${input.hiveUrl} is hive ${hive_id} now`);
    }
    onDevices(input.hiveId, devices);
  });
}

/** Learns the devices of a hive whose stream is open. A failure is ignored: the next stream asks again. */
export function createLearnDevices({ asker, onDevices, isFresh }: LearnDeps) {
  return ({ hiveUrl, trusted, hiveId }: SubscribeInput, signal: AbortSignal): void => {
    if (isFresh(hiveId)) return;
    asker
      .capabilities(hiveUrl, { trusted, signal, invite: false })
      .then(({ hive_id, devices }) => (hive_id ?? hiveId) === hiveId && onDevices(hiveId, devices))
      .catch(() => {});
  };
}
