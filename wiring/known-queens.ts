/** The queens of a keeper, configured or listed in the registry: whether each is online, and which hives it reads. */
import { createActor } from 'xstate';
import { createPollQueen } from '../actors/queen/poll-queen.js';
import type { ListedQueen } from '../machines/lease.js';
import { queenHeartbeatMachine } from '../machines/queen-heartbeat.js';
import { workerQueensMachine } from '../machines/worker-queens.js';
import { createQueens } from '../stores/queens.js';
import type { ProcessContext } from './process.js';

/** How often a queen that is online is polled. */
const POLL_MS = 10_000;

/** @param onHives is given the hives that a queen reads */
export function watchQueens(
  { outgoing, log, now, inspect, fail }: ProcessContext,
  queenUrls: string[],
  onHives: (queen: { id: string; hives: { id: string; url: string }[] }) => void,
) {
  const queens = createQueens();
  const poll = createPollQueen({
    outgoing,
    onOnline: (url, id, hives) => {
      if (queens.online(url, id, now())) log.info(`queen ${id} is at ${url}`);
      onHives({ id, hives });
    },
    onLost: (url, reason) => {
      if (queens.lost(url, reason, now()))
        log.warn(`no queen at ${url}: ${reason}; retrying, not required for operation`);
    },
  });
  const heartbeat = queenHeartbeatMachine.provide({ actors: { beat: poll }, delays: { beatEvery: POLL_MS } });
  const actor = createActor(workerQueensMachine.provide({ actors: { heartbeat } }), {
    id: 'queens',
    input: { queenUrls },
    inspect,
  });
  actor.subscribe({ error: fail });
  const urls = () => actor.getSnapshot().context.queens.map(({ url }) => url);
  return {
    urls,
    list: () => queens.list(urls(), now()),
    listed: (listed: ListedQueen[]) => actor.send({ type: 'queens.listed', urls: listed.map(({ url }) => url) }),
    start: () => actor.start(),
    stop: () => actor.stop(),
  };
}
