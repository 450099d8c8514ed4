/** Whom a worker tells of itself, and whom a keeper looks at: the queens it was configured with, and those that somebody else knows of. */
import { setup } from 'xstate';
import { type QueenHeartbeatEvent, queenHeartbeatMachine } from './queen-heartbeat.js';

/** Up to so many queens are told. */
export const QUEENS_MAX = 8;

export interface WorkerQueensInput {
  /** Normalised, without duplicates, at most QUEENS_MAX. */
  queenUrls: string[];
}

export interface WorkerQueensContext {
  ties: { id: string; url: string; configured: boolean }[];
  /** Heartbeats ever begun, for their ids. */
  made: number;
}

export type WorkerQueensEvent =
  /** Every queen there is now. One that is not listed any more is not told any more; a configured one always is. */
  { type: 'queens.listed'; urls: string[] } | QueenHeartbeatEvent;

const s = setup({
  types: {
    context: {} as WorkerQueensContext,
    input: {} as WorkerQueensInput,
    events: {} as WorkerQueensEvent,
  },
  actors: { heartbeat: queenHeartbeatMachine },
});

const follow = s.enqueueActions(({ context, event, enqueue }) => {
  // A registry that knows no queen has just been started: what it said last holds.
  if (event.type !== 'queens.listed' || event.urls.length === 0) return;
  const stay = context.ties.filter(({ url, configured }) => configured || event.urls.includes(url));
  const room = QUEENS_MAX - stay.length;
  const fresh = [...new Set(event.urls)].filter((url) => !stay.some((tie) => tie.url === url)).slice(0, room);
  const ties = fresh.map((url, i) => ({ id: `heartbeat-${context.made + i + 1}`, url, configured: false }));
  for (const tie of context.ties) if (!stay.includes(tie)) enqueue.stopChild(tie.id);
  for (const { id, url } of ties) enqueue.spawnChild('heartbeat', { id, input: { queenUrl: url } });
  enqueue.assign({ ties: [...stay, ...ties], made: context.made + ties.length });
});

const passOn = s.enqueueActions(({ context, event, enqueue }) => {
  if (event.type === 'queens.listed') return;
  for (const { id } of context.ties) enqueue.sendTo(id, event);
});

export const workerQueensMachine = s.createMachine({
  id: 'worker-queens',
  context: ({ input }) => ({
    ties: input.queenUrls.map((url, i) => ({ id: `heartbeat-${i + 1}`, url, configured: true })),
    made: input.queenUrls.length,
  }),
  entry: s.enqueueActions(({ context, enqueue }) => {
    for (const { id, url } of context.ties) enqueue.spawnChild('heartbeat', { id, input: { queenUrl: url } });
  }),
  on: {
    'queens.listed': { actions: follow },
    'status.changed': { actions: passOn },
    leave: { actions: passOn },
  },
});
