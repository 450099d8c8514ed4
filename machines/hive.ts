/**
 * A hive: one connection per queen, and the readers of its stream. It decides which connection a reader belongs to,
 * which two connections lead to one queen, and whether a queen that asks for an announcement gets one.
 */
import { setup } from 'xstate';
import type { AddressesChanged, ConnectionReport } from './connection-events.js';
import { hiveConnectionMachine } from './hive-connection.js';
import {
  boundUnclaimed,
  connectionOfQueen,
  connectionOfReader,
  HIVE_QUEENS_MAX,
  type HiveContext,
  isDuplicate,
  isListed,
  isNewlyListed,
  mergePair,
  newConnection,
  readersOf,
  replaceable,
  replacedBy,
  roomFor,
  withChange,
  withoutConnection,
} from './hive-queens.js';
import type { ListedQueen } from './lease.js';

interface HiveInput {
  /** Normalised, without duplicates, at most HIVE_QUEENS_MAX. */
  queenUrls: string[];
}

export type QueenAskedAnswer = 'announcing' | 'full';

export type HiveEvent =
  | { type: 'queen.asked'; url: string; queenId: string | null; respond: (answer: QueenAskedAnswer) => void }
  /** All queens in an answer of the registry. */
  | { type: 'queens.listed'; queens: ListedQueen[] }
  | { type: 'reader.opened'; readerId: string; queenId: string | null; instance: string | null }
  | { type: 'reader.closed'; readerId: string; reason: string }
  | { type: 'merge' }
  | AddressesChanged
  | ConnectionReport;

const REPLACED = 'replaced by a newer stream';

const s = setup({
  types: { context: {} as HiveContext, input: {} as HiveInput, events: {} as HiveEvent },
  actors: { connection: hiveConnectionMachine },
  actions: {
    /** Two queens, each with a state of its own, have one id. Both are served; the operator has to rename one. */
    warnOfDuplicateQueens: (_, _params: { queenId: string }) => {},
    /** Closes streams that are not read any more. */
    closeReaders: (_, _params: { readerIds: string[]; reason: string }) => {},
  },
});

const onQueenAsked = s.enqueueActions(({ context, event, enqueue }) => {
  if (event.type !== 'queen.asked') return;
  const { url, queenId, respond } = event;
  const known = connectionOfQueen(context.connections, url, queenId);
  if (known) {
    const urls = known.urls.includes(url) ? known.urls : [...known.urls.slice(0, 1), url];
    enqueue.assign(withChange(context, known.id, { urls, queenId: queenId ?? known.queenId }));
    enqueue.sendTo(known.id, { type: 'queen.asked', url, queenId });
  } else {
    const room = roomFor(context);
    if (room === null) {
      enqueue(() => respond('full'));
      return;
    }
    const connection = newConnection(context.made + 1, url, false, queenId);
    if (room !== 'free') {
      enqueue.stopChild(room.id);
      enqueue.assign(withoutConnection(context, room.id));
    }
    enqueue.assign(({ context: { connections, made } }) => ({
      connections: [...connections, connection],
      made: made + 1,
    }));
    enqueue.spawnChild('connection', {
      id: connection.id,
      input: { id: connection.id, queenUrl: url, configured: false, queenId },
    });
  }
  enqueue(() => respond('announcing'));
  enqueue.raise({ type: 'merge' });
});

/** Calls listed queens as if they had asked, except those that have a connection which is not away. */
const onQueensListed = s.enqueueActions(({ context, event, enqueue }) => {
  if (event.type !== 'queens.listed') return;
  const { queens } = event;
  const { connections } = context;
  // A listed queen gets a free place, or that of an unlisted one that is away; never that of another listed queen.
  const away = replaceable(context).filter((one) => !isListed(one, queens));
  let places = HIVE_QUEENS_MAX - connections.length + away.length;
  for (const queen of queens) {
    const known =
      connections.find(({ queenId }) => queenId === queen.id) ??
      connections.find(({ urls }) => urls.includes(queen.url));
    if (!known) places -= 1;
    if (known ? isNewlyListed(context, queen, known) : places >= 0) {
      enqueue.raise({ type: 'queen.asked', url: queen.url, queenId: queen.id, respond: () => {} });
    }
  }
  enqueue.assign({ listed: queens });
});

const onReaderOpened = s.enqueueActions(({ context, event, enqueue }) => {
  if (event.type !== 'reader.opened') return;
  const { readerId, queenId, instance } = event;
  const seq = context.seq + 1;
  const connection = connectionOfReader(context.connections, queenId);
  const reader = { id: readerId, queenId, instance, seq, connectionId: connection?.id ?? null };
  enqueue.assign({ seq, readers: boundUnclaimed([...context.readers, reader]) });
  if (!connection) return;
  enqueue.assign(({ context }) => withChange(context, connection.id, { queenId: queenId ?? connection.queenId }));
  enqueue.sendTo(connection.id, { type: 'reader.opened', queenId });
  const before = readersOf(context, connection.id);
  enqueue({ type: 'closeReaders', params: { readerIds: replacedBy(reader, before), reason: REPLACED } });
  if (queenId !== null && before.some((one) => one.queenId === queenId && isDuplicate(one, reader))) {
    enqueue({ type: 'warnOfDuplicateQueens', params: { queenId } });
  }
});

const onReaderClosed = s.enqueueActions(({ context, event, enqueue }) => {
  if (event.type !== 'reader.closed') return;
  const reader = context.readers.find(({ id }) => id === event.readerId);
  if (!reader) return;
  enqueue.assign({ readers: context.readers.filter((other) => other !== reader) });
  if (reader.connectionId !== null)
    enqueue.sendTo(reader.connectionId, { type: 'reader.closed', reason: event.reason });
});

/** The queen's answer contains its id, which decides about the readers that came before the answer. */
const onConnectionAccepted = s.enqueueActions(({ context, event, enqueue }) => {
  if (event.type !== 'connection.accepted') return;
  const { id, queenId } = event;
  const connection = context.connections.find((other) => other.id === id);
  if (!connection) return;
  const seq = context.seq + 1;
  const unclaimed = context.readers.filter((reader) => reader.connectionId === null && reader.queenId === queenId);
  const own = queenId === null ? unclaimed.filter((one) => one.seq > connection.announcedSeq).slice(-1) : unclaimed;
  const foreign = readersOf(context, id).filter((reader) => reader.queenId !== queenId);
  enqueue.assign({
    seq,
    ...withChange(context, id, { queenId, acceptedSeq: seq }),
    readers: context.readers.map((reader) => {
      if (own.includes(reader)) return { ...reader, connectionId: id };
      return foreign.includes(reader) ? { ...reader, connectionId: null } : reader;
    }),
  });
  // The connection takes these after its own transition, which is not over yet. No event, not even a timer's, may come
  // in between: a reader that closed then would stay counted.
  for (const { queenId } of own) enqueue.sendTo(id, { type: 'reader.opened', queenId });
  const readerIds = [...new Set(own.flatMap((reader) => replacedBy(reader, own)))];
  enqueue({ type: 'closeReaders', params: { readerIds, reason: REPLACED } });
  for (const _ of foreign) enqueue.sendTo(id, { type: 'reader.closed', reason: 'it is the reader of another queen' });
  enqueue.raise({ type: 'merge' });
});

/** Merges one pair of connections that lead to one queen, and raises itself until there is none. */
const mergeConnections = s.enqueueActions(({ context, enqueue }) => {
  const pair = mergePair(context.connections);
  if (!pair) return;
  const { stays, goes } = pair;
  enqueue.stopChild(goes.id);
  const moving = readersOf(context, goes.id);
  enqueue.assign({
    ...withoutConnection(context, goes.id),
    readers: context.readers.map((one) => (moving.includes(one) ? { ...one, connectionId: stays.id } : one)),
  });
  const urls = [...new Set([...stays.urls, ...goes.urls])].slice(0, 2);
  enqueue.assign(({ context }) => withChange(context, stays.id, { urls }));
  enqueue.sendTo(stays.id, { type: 'alias', url: goes.urls[0] as string });
  for (const { queenId } of moving) enqueue.sendTo(stays.id, { type: 'reader.opened', queenId });
  enqueue.raise({ type: 'merge' });
});

const onConnectionEntered = s.enqueueActions(({ context, event, enqueue }) => {
  if (event.type !== 'connection.entered') return;
  const { id, state, failure } = event;
  const seq = context.seq + 1;
  enqueue.assign({
    seq,
    ...withChange(context, id, { state, failure, ...(state === 'announcing' ? { announcedSeq: seq } : {}) }),
  });
  if (state === 'lost') {
    const readerIds = readersOf(context, id).map((reader) => reader.id);
    enqueue({ type: 'closeReaders', params: { readerIds, reason: 'its queen is lost' } });
  }
});

const onAddressesChanged = s.enqueueActions(({ context, event, enqueue }) => {
  if (event.type !== 'addresses.changed') return;
  for (const { id } of context.connections) enqueue.sendTo(id, event);
});

/** A discovered queen was away for an hour: dropped, unless it is listed or reads the stream. */
const onConnectionAway = s.enqueueActions(({ context, event, enqueue }) => {
  if (event.type !== 'connection.away') return;
  const connection = context.connections.find(({ id }) => id === event.id);
  if (!connection || isListed(connection, context.listed) || readersOf(context, event.id).length > 0) return;
  enqueue.stopChild(event.id);
  enqueue.assign(withoutConnection(context, event.id));
});

export const hiveMachine = s.createMachine({
  id: 'hive',
  context: ({ input }) => ({
    connections: input.queenUrls.map((url, i) => newConnection(i + 1, url, true, null)),
    readers: [],
    listed: [],
    seq: 0,
    made: input.queenUrls.length,
  }),
  entry: s.enqueueActions(({ context, enqueue }) => {
    for (const { id, urls } of context.connections) {
      const queenUrl = urls[0] as string;
      enqueue.spawnChild('connection', { id, input: { id, queenUrl, configured: true, queenId: null } });
    }
  }),
  on: {
    'queen.asked': { actions: onQueenAsked },
    'queens.listed': { actions: onQueensListed },
    'reader.opened': { actions: onReaderOpened },
    'reader.closed': { actions: onReaderClosed },
    'addresses.changed': { actions: onAddressesChanged },
    'connection.entered': { actions: onConnectionEntered },
    'connection.accepted': { actions: onConnectionAccepted },
    'connection.away': { actions: onConnectionAway },
    merge: { actions: mergeConnections },
  },
});
