/**
 * A hive: one connection a queen, and who reads whose stream. It decides which connection a reader belongs to, which
 * two connections are one queen, and which queen that found us is taken on.
 */
import { setup } from 'xstate';
import type { FailureKind } from './failure.js';
import { type AddressesChanged, type ConnectionReport, hiveConnectionMachine } from './hive-connection.js';
import type { ListedQueen } from './lease.js';

/** Up to so many queens may read one hive. */
export const QUEENS_MAX = 8;
/** Readers that no connection claims, and that are remembered for the case that one does. */
export const UNCLAIMED_MAX = 64;

export interface HiveInput {
  /** Normalised, without duplicates, at most QUEENS_MAX. */
  queenUrls: string[];
}

interface Connection {
  id: string;
  configured: boolean;
  /** Every URL under which its queen is known. */
  urls: string[];
  queenId: string | null;
  /** The state that it reported last. */
  state: string;
  failure: FailureKind | null;
  /** `seq` when its announcement began, and when it was accepted: orders readers and answers. */
  announcedSeq: number;
  acceptedSeq: number;
}

interface Reader {
  id: string;
  queenId: string | null;
  /** Its Rbee-Instance, if it sends one. */
  instance: string | null;
  seq: number;
  /** The id of a connection that exists, or null while nobody knows whose reader it is. */
  connection: string | null;
}

export interface HiveContext {
  connections: Connection[];
  readers: Reader[];
  /** The queens that the registry named last. */
  listed: ListedQueen[];
  /** Counts what happened, so that "the first reader after the queen's answer" has a meaning without a clock. */
  seq: number;
  /** Counts connections ever made, for their ids. */
  made: number;
}

export type QueenAskedAnswer = 'announcing' | 'full';

export type HiveEvent =
  | { type: 'queen.asked'; url: string; queenId: string | null; respond: (answer: QueenAskedAnswer) => void }
  /** The registry names all queens that it knows. */
  | { type: 'queens.listed'; queens: ListedQueen[] }
  | { type: 'reader.opened'; readerId: string; queenId: string | null; instance: string | null }
  | { type: 'reader.closed'; readerId: string; reason: string }
  | { type: 'merge' }
  | AddressesChanged
  | ConnectionReport;

const s = setup({
  types: { context: {} as HiveContext, input: {} as HiveInput, events: {} as HiveEvent },
  actors: { connection: hiveConnectionMachine },
  actions: {
    /** Two queens, each with a state of its own, go by one name: both are served, and the operator is told. */
    warnOfDuplicateQueens: (_, _params: { queenId: string }) => {},
    /** Ends streams that nobody reads any more, so that none is left over. */
    closeReaders: (_, _params: { readerIds: string[]; reason: string }) => {},
  },
});

const newConnection = (n: number, url: string, configured: boolean, queenId: string | null): Connection => ({
  id: `connection-${n}`,
  configured,
  urls: [url],
  queenId,
  state: 'announcing',
  failure: null,
  announcedSeq: 0,
  acceptedSeq: 0,
});

/**
 * Whose reader this is, or null when that cannot be told yet. A named one belongs to the queen of that name; if no
 * connection knows its queen's name, to the only one that it can be: one whose announcement may have been heard.
 * A nameless one (an older queen) belongs to the nameless queen that accepted first and has not subscribed.
 */
function connectionOfReader(connections: Connection[], queenId: string | null): Connection | null {
  if (queenId === null) {
    const waiting = connections.filter((one) => one.state === 'ready' && one.queenId === null);
    return waiting.sort((a, b) => a.acceptedSeq - b.acceptedSeq)[0] ?? null;
  }
  const named = connections.find((one) => one.queenId === queenId);
  if (named) return named;
  const heard = connections.filter((one) => one.queenId === null && mayHaveHeard(one));
  return heard.length === 1 ? (heard[0] ?? null) : null;
}

/** A queen that accepted and does not say its name: one of the first documents. */
export const hasOlderQueen = ({ connections }: HiveContext): boolean =>
  connections.some(({ queenId, acceptedSeq }) => queenId === null && acceptedSeq > 0);

function mayHaveHeard({ state, failure }: Connection): boolean {
  return state === 'announcing' || state === 'ready' || (state === 'backoff' && failure === 'timeout');
}

/** Of two connections to one queen: the configured one stays, else the elder. */
function mergePair(connections: Connection[]): { stays: Connection; goes: Connection } | null {
  for (const [i, a] of connections.entries()) {
    const b = connections.slice(i + 1).find((one) => one.queenId !== null && one.queenId === a.queenId);
    if (b) return b.configured && !a.configured ? { stays: b, goes: a } : { stays: a, goes: b };
  }
  return null;
}

const isListed = (connection: Connection, listed: ListedQueen[]): boolean =>
  listed.some(({ id, url }) => id === connection.queenId || connection.urls.includes(url));

const readersOf = ({ readers }: HiveContext, id: string): Reader[] =>
  readers.filter(({ connection }) => connection === id);

/** Discovered, away, and read by nobody: these may be replaced. */
const replaceable = (context: HiveContext): Connection[] =>
  context.connections.filter(
    (one) => !one.configured && one.state === 'backoff' && readersOf(context, one.id).length === 0,
  );

/** What is free, or a connection that makes room: one whose queen the registry does not list first. */
function roomFor(context: HiveContext): Connection | 'free' | null {
  if (context.connections.length < QUEENS_MAX) return 'free';
  const away = replaceable(context);
  return away.find((one) => !isListed(one, context.listed)) ?? away[0] ?? null;
}

const patch = (context: HiveContext, id: string, change: Partial<Connection>): Pick<HiveContext, 'connections'> => ({
  connections: context.connections.map((one) => (one.id === id ? { ...one, ...change } : one)),
});

/** No reader refers to a connection that is gone: what closes later would be told to an actor that does not exist. */
const without = (context: HiveContext, id: string): Pick<HiveContext, 'connections' | 'readers'> => ({
  connections: context.connections.filter((one) => one.id !== id),
  readers: context.readers.map((reader) => (reader.connection === id ? { ...reader, connection: null } : reader)),
});

/** The newest readers that nobody claims; a nameless one is claimed by the answer to an announcement in flight, or never. */
function bounded(readers: Reader[]): Reader[] {
  const unclaimed = readers.filter(({ connection }) => connection === null);
  if (unclaimed.length <= UNCLAIMED_MAX) return readers;
  const oldest = unclaimed[0];
  return readers.filter((reader) => reader !== oldest);
}

const takeOnQueen = s.enqueueActions(({ context, event, enqueue }) => {
  if (event.type !== 'queen.asked') return;
  const { url, queenId, respond } = event;
  const known =
    context.connections.find((one) => queenId !== null && one.queenId === queenId) ??
    context.connections.find((one) => one.urls.includes(url) && (queenId === null || one.queenId === null)) ??
    context.connections.find((one) => one.urls.includes(url));
  if (known) {
    const urls = known.urls.includes(url) ? known.urls : [...known.urls.slice(0, 1), url];
    enqueue.assign(patch(context, known.id, { urls, queenId: queenId ?? known.queenId }));
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
      enqueue.assign(without(context, room.id));
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

/** One that is known and not listed before is back: it is called at once, unless it reads us already. */
function isNews(context: HiveContext, queen: ListedQueen, connection: Connection): boolean {
  if (connection.state !== 'backoff') return false;
  return (
    !connection.urls.includes(queen.url) || !context.listed.some(({ id, url }) => id === queen.id && url === queen.url)
  );
}

/** Queens that the registry names are called like those that ask; ones that are called already are not disturbed. */
const followRegistry = s.enqueueActions(({ context, event, enqueue }) => {
  if (event.type !== 'queens.listed') return;
  const { queens } = event;
  const { connections } = context;
  // Listed ones do not take each other's places in turn: only what is free, or an unlisted one's that is away.
  const away = replaceable(context).filter((one) => !isListed(one, queens));
  let places = QUEENS_MAX - connections.length + away.length;
  for (const queen of queens) {
    const known =
      connections.find(({ queenId }) => queenId === queen.id) ??
      connections.find(({ urls }) => urls.includes(queen.url));
    if (!known) places -= 1;
    if (known ? isNews(context, queen, known) : places >= 0) {
      enqueue.raise({ type: 'queen.asked', url: queen.url, queenId: queen.id, respond: () => {} });
    }
  }
  enqueue.assign({ listed: queens });
});

const isDuplicate = (a: Reader, b: Reader): boolean =>
  a.instance !== null && b.instance !== null && a.instance !== b.instance;

/**
 * A queen has one subscription: a new one means that those before are over, though their TCP connections may have died so
 * silently (a power cut, a firewall that forgot them) that the kernel will believe in them for a quarter of an hour.
 */
const replacedBy = (newest: Reader, readers: Reader[]): string[] =>
  readers
    .filter((one) => newest.queenId !== null && one.queenId === newest.queenId && one.seq < newest.seq)
    .filter((one) => !isDuplicate(one, newest))
    .map(({ id }) => id);

const assignReader = s.enqueueActions(({ context, event, enqueue }) => {
  if (event.type !== 'reader.opened') return;
  const { readerId, queenId, instance } = event;
  const seq = context.seq + 1;
  const connection = connectionOfReader(context.connections, queenId);
  const reader = { id: readerId, queenId, instance, seq, connection: connection?.id ?? null };
  enqueue.assign({ seq, readers: bounded([...context.readers, reader]) });
  if (!connection) return;
  enqueue.assign(({ context }) => patch(context, connection.id, { queenId: queenId ?? connection.queenId }));
  enqueue.sendTo(connection.id, { type: 'reader.opened', queenId });
  const before = readersOf(context, connection.id);
  const readerIds = replacedBy(reader, before);
  enqueue({ type: 'closeReaders', params: { readerIds, reason: 'replaced by a new one' } });
  if (queenId !== null && before.some((one) => one.queenId === queenId && isDuplicate(one, reader))) {
    enqueue({ type: 'warnOfDuplicateQueens', params: { queenId } });
  }
});

const removeReader = s.enqueueActions(({ context, event, enqueue }) => {
  if (event.type !== 'reader.closed') return;
  const reader = context.readers.find(({ id }) => id === event.readerId);
  if (!reader) return;
  enqueue.assign({ readers: context.readers.filter((other) => other !== reader) });
  if (reader.connection !== null) enqueue.sendTo(reader.connection, { type: 'reader.closed', reason: event.reason });
});

/** The queen's answer names it: readers that came before the answer are known to be its own now, or another's. */
const assignEarlyReaders = s.enqueueActions(({ context, event, enqueue }) => {
  if (event.type !== 'connection.accepted') return;
  const { id, queenId } = event;
  const connection = context.connections.find((other) => other.id === id);
  if (!connection) return;
  const seq = context.seq + 1;
  const unclaimed = context.readers.filter((reader) => reader.connection === null && reader.queenId === queenId);
  const own = queenId === null ? unclaimed.filter((one) => one.seq > connection.announcedSeq).slice(-1) : unclaimed;
  const foreign = readersOf(context, id).filter((reader) => reader.queenId !== queenId);
  enqueue.assign({
    seq,
    ...patch(context, id, { queenId, acceptedSeq: seq }),
    readers: context.readers.map((reader) => {
      if (own.includes(reader)) return { ...reader, connection: id };
      return foreign.includes(reader) ? { ...reader, connection: null } : reader;
    }),
  });
  // The connection takes these after its own transition, which is not over yet. Nothing may come between, least of all
  // a timer: a reader that closed meanwhile would be counted for ever.
  for (const { queenId } of own) enqueue.sendTo(id, { type: 'reader.opened', queenId });
  const readerIds = own.flatMap((reader) => replacedBy(reader, own));
  enqueue({ type: 'closeReaders', params: { readerIds: [...new Set(readerIds)], reason: 'replaced by a new one' } });
  for (const _ of foreign) enqueue.sendTo(id, { type: 'reader.closed', reason: 'it is the reader of another queen' });
  enqueue.raise({ type: 'merge' });
});

const merge = s.enqueueActions(({ context, enqueue }) => {
  const pair = mergePair(context.connections);
  if (!pair) return;
  const { stays, goes } = pair;
  enqueue.stopChild(goes.id);
  const moving = readersOf(context, goes.id);
  enqueue.assign({
    ...without(context, goes.id),
    readers: context.readers.map((one) => (moving.includes(one) ? { ...one, connection: stays.id } : one)),
  });
  const urls = [...new Set([...stays.urls, ...goes.urls])].slice(0, 2);
  enqueue.assign(({ context }) => patch(context, stays.id, { urls }));
  enqueue.sendTo(stays.id, { type: 'alias', url: goes.urls[0] as string });
  for (const { queenId } of moving) enqueue.sendTo(stays.id, { type: 'reader.opened', queenId });
  enqueue.raise({ type: 'merge' });
});

const followConnection = s.enqueueActions(({ context, event, enqueue }) => {
  if (event.type !== 'connection.entered') return;
  const { id, state, failure } = event;
  const seq = context.seq + 1;
  enqueue.assign({
    seq,
    ...patch(context, id, { state, failure, ...(state === 'announcing' ? { announcedSeq: seq } : {}) }),
  });
  if (state === 'lost') {
    const readerIds = readersOf(context, id).map((reader) => reader.id);
    enqueue({ type: 'closeReaders', params: { readerIds, reason: 'its queen was found gone' } });
  }
});

const followAddresses = s.enqueueActions(({ context, event, enqueue }) => {
  if (event.type !== 'addresses.changed') return;
  for (const { id } of context.connections) enqueue.sendTo(id, event);
});

/** A discovered queen was not streaming for an hour. One that is listed or that reads us is kept: it is asked again in an hour. */
const dropAway = s.enqueueActions(({ context, event, enqueue }) => {
  if (event.type !== 'connection.away') return;
  const connection = context.connections.find(({ id }) => id === event.id);
  if (!connection || isListed(connection, context.listed) || readersOf(context, event.id).length > 0) return;
  enqueue.stopChild(event.id);
  enqueue.assign(without(context, event.id));
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
    'queen.asked': { actions: takeOnQueen },
    'queens.listed': { actions: followRegistry },
    'reader.opened': { actions: assignReader },
    'reader.closed': { actions: removeReader },
    'addresses.changed': { actions: followAddresses },
    'connection.entered': { actions: followConnection },
    'connection.accepted': { actions: assignEarlyReaders },
    'connection.away': { actions: dropAway },
    merge: { actions: merge },
  },
});
