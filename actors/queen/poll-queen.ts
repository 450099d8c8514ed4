/** One poll of a queen by a keeper: its id, and the hives that it reads. */
import { fromPromise } from 'xstate';
import type { BeatInput } from '../../machines/queen-heartbeat.js';
import { QueensHives } from '../../wire/keeper.js';
import { knownParser } from '../../wire/schema.js';
import { Info } from '../../wire/status.js';
import { normaliseUrl, resolvePeerUrl } from '../../wire/url.js';
import { PeerFailure } from '../net/failure.js';
import { ask, type Outgoing } from '../net/http.js';
import { readList } from '../net/read-list.js';

const TIMEOUT_MS = 10_000;

export interface PollQueenDeps {
  outgoing: Outgoing;
  onOnline: (queenUrl: string, queenId: string, hives: { id: string; url: string }[]) => void;
  onLost: (queenUrl: string, reason: string) => void;
}

const parseInfo = knownParser(Info);
const parseHives = knownParser(QueensHives);

export function createPollQueen({ outgoing, onOnline, onLost }: PollQueenDeps) {
  async function poll(url: string, signal: AbortSignal): Promise<void> {
    // Queens are configured, or listed by a registry that is configured.
    const info = parseInfo((await ask(outgoing, `${url}/v1/info`, { trusted: true, signal })).body);
    if (!info.ok) throw new PeerFailure('broken', `${url} returned an invalid /v1/info body`);
    if (info.value.name !== 'queen') throw new PeerFailure('identity', `${url} is no queen but a ${info.value.name}`);
    const list = parseHives(await readList(outgoing, `${url}/v1/hives`, signal));
    if (!list.ok) throw new PeerFailure('broken', `${url} sent an invalid list of hives`);
    const streaming = list.value.hives.filter(({ state }) => state === 'streaming');
    onOnline(
      url,
      info.value.id,
      streaming.flatMap(({ hive_id: id, hive_url }) => {
        // A loopback URL of a hive means the machine of the queen.
        const hive = normaliseUrl(resolvePeerUrl(url, hive_url));
        return hive.ok ? [{ id, url: hive.url }] : [];
      }),
    );
  }

  return fromPromise<void, BeatInput>(async ({ input: { queenUrl }, signal }) => {
    try {
      await poll(queenUrl, AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]));
    } catch (error) {
      if (!signal.aborted) onLost(queenUrl, (error as Error).message);
      throw error;
    }
  });
}
