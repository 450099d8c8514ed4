/**
 * The queens that a worker sends heartbeats to, and that a keeper polls: those it was configured with, and those that
 * were discovered.
 */
import { setup } from 'xstate';
import { type QueenHeartbeatEvent, queenHeartbeatMachine } from './queen-heartbeat.js';

export const WORKER_QUEENS_MAX = 8;

interface WorkerQueensInput {
  /** Normalised, without duplicates, at most WORKER_QUEENS_MAX. */
  queenUrls: string[];
}

interface WorkerQueensContext {
  /** `id`: of the heartbeat to it. */
  queens: { id: string; url: string; configured: boolean }[];
  /** Heartbeats ever started; gives the next one its id. */
  started: number;
}

type WorkerQueensEvent =
  /** Every queen there is now. A queen that is no longer listed gets no more heartbeats, unless it is configured. */
  { type: 'queens.listed'; urls: string[] } | QueenHeartbeatEvent;

const s = setup({
  types: {
    context: {} as WorkerQueensContext,
    input: {} as WorkerQueensInput,
    events: {} as WorkerQueensEvent,
  },
  actors: { heartbeat: queenHeartbeatMachine },
});

const followList = s.enqueueActions(({ context, event, enqueue }) => {
  // A registry that lists no queen has just been started: the list before it still holds.
  if (event.type !== 'queens.listed' || event.urls.length === 0) return;
  const kept = context.queens.filter(({ url, configured }) => configured || event.urls.includes(url));
  const room = WORKER_QUEENS_MAX - kept.length;
  const urls = [...new Set(event.urls)].filter((url) => !kept.some((queen) => queen.url === url)).slice(0, room);
  const added = urls.map((url, i) => ({ id: `heartbeat-${context.started + i + 1}`, url, configured: false }));
  for (const queen of context.queens) if (!kept.includes(queen)) enqueue.stopChild(queen.id);
  for (const { id, url } of added) enqueue.spawnChild('heartbeat', { id, input: { queenUrl: url } });
  enqueue.assign({ queens: [...kept, ...added], started: context.started + added.length });
});

const toHeartbeats = s.enqueueActions(({ context, event, enqueue }) => {
  if (event.type === 'queens.listed') return;
  for (const { id } of context.queens) enqueue.sendTo(id, event);
});

export const workerQueensMachine = s.createMachine({
  id: 'worker-queens',
  context: ({ input }) => ({
    queens: input.queenUrls.map((url, i) => ({ id: `heartbeat-${i + 1}`, url, configured: true })),
    started: input.queenUrls.length,
  }),
  entry: s.enqueueActions(({ context, enqueue }) => {
    for (const { id, url } of context.queens) enqueue.spawnChild('heartbeat', { id, input: { queenUrl: url } });
  }),
  on: {
    'queens.listed': { actions: followList },
    'status.changed': { actions: toHeartbeats },
    leave: { actions: toHeartbeats },
  },
});
