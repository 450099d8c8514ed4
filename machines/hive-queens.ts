/**
 * The queens of a hive: their connections, and which reader of the stream belongs to which. Pure functions over
 * the context of the machine `hive`.
 */
import type { FailureKind } from './failure.js';
import type { ListedQueen } from './lease.js';

/** A hive has at most this many connections to queens. */
export const HIVE_QUEENS_MAX = 8;
/** Readers without a connection that are kept, in case a connection turns out to be theirs. */
export const UNCLAIMED_MAX = 64;

export interface Connection {
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

export interface StreamReader {
  id: string;
  queenId: string | null;
  /** Its Rbee-Instance, if it sends one. */
  instance: string | null;
  seq: number;
  /** The id of an existing connection, or null while it is not known which queen reads. */
  connectionId: string | null;
}

export interface HiveContext {
  connections: Connection[];
  readers: StreamReader[];
  /** The queens in the last answer of the registry. */
  listed: ListedQueen[];
  /** Counts events, so that "the first reader after the queen's answer" has a meaning without a clock. */
  seq: number;
  /** Counts connections ever made, for their ids. */
  made: number;
}

export const newConnection = (n: number, url: string, configured: boolean, queenId: string | null): Connection => ({
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
 * The connection whose queen this reader is, or null while that is not known. A reader with an id belongs to the
 * queen of that id. If no connection has that id, it belongs to the only connection that it can be: one whose queen may
 * have received the announcement. A reader without an id (an older queen) belongs to the queen without an id that
 * accepted first and has not subscribed.
 */
export function connectionOfReader(connections: Connection[], queenId: string | null): Connection | null {
  if (queenId === null) {
    const waiting = connections.filter((one) => one.state === 'ready' && one.queenId === null);
    return waiting.sort((a, b) => a.acceptedSeq - b.acceptedSeq)[0] ?? null;
  }
  const named = connections.find((one) => one.queenId === queenId);
  if (named) return named;
  const candidates = connections.filter((one) => one.queenId === null && mayBeAnnounced(one));
  return candidates.length === 1 ? (candidates[0] ?? null) : null;
}

/** Whether the queen may have received the announcement. */
function mayBeAnnounced({ state, failure }: Connection): boolean {
  return state === 'announcing' || state === 'ready' || (state === 'backoff' && failure === 'timeout');
}

/** The connection to the queen that asks for an announcement: by its id first, then by its URL. */
export function connectionOfQueen(connections: Connection[], url: string, queenId: string | null): Connection | null {
  return (
    connections.find((one) => queenId !== null && one.queenId === queenId) ??
    connections.find((one) => one.urls.includes(url) && (queenId === null || one.queenId === null)) ??
    connections.find((one) => one.urls.includes(url)) ??
    null
  );
}

/** Whether a queen that sends no id accepted this hive: one of the first implementation. */
export const hasOlderQueen = ({ connections }: HiveContext): boolean =>
  connections.some(({ queenId, acceptedSeq }) => queenId === null && acceptedSeq > 0);

/** Of two connections to one queen the configured one stays, else the older one. */
export function mergePair(connections: Connection[]): { stays: Connection; goes: Connection } | null {
  for (const [i, a] of connections.entries()) {
    const b = connections.slice(i + 1).find((one) => one.queenId !== null && one.queenId === a.queenId);
    if (b) return b.configured && !a.configured ? { stays: b, goes: a } : { stays: a, goes: b };
  }
  return null;
}

export const isListed = (connection: Connection, listed: ListedQueen[]): boolean =>
  listed.some(({ id, url }) => id === connection.queenId || connection.urls.includes(url));

/** Whether a listed queen that has a connection is to be called now: it is away, and was not listed like this before. */
export function isNewlyListed(context: HiveContext, queen: ListedQueen, connection: Connection): boolean {
  if (connection.state !== 'backoff') return false;
  return (
    !connection.urls.includes(queen.url) || !context.listed.some(({ id, url }) => id === queen.id && url === queen.url)
  );
}

/** Discovered, away, and without a reader: another queen may take the place of these. */
export const replaceable = (context: HiveContext): Connection[] =>
  context.connections.filter(
    (one) => !one.configured && one.state === 'backoff' && readersOf(context, one.id).length === 0,
  );

/** Room for one more connection: `free`, or the one to replace; those that the registry does not list go first. */
export function roomFor(context: HiveContext): Connection | 'free' | null {
  if (context.connections.length < HIVE_QUEENS_MAX) return 'free';
  const away = replaceable(context);
  return away.find((one) => !isListed(one, context.listed)) ?? away[0] ?? null;
}

export const withChange = (
  context: HiveContext,
  id: string,
  change: Partial<Connection>,
): Pick<HiveContext, 'connections'> => ({
  connections: context.connections.map((one) => (one.id === id ? { ...one, ...change } : one)),
});

/** Its readers lose their connection too, or their end would be sent to an actor that does not exist. */
export const withoutConnection = (context: HiveContext, id: string): Pick<HiveContext, 'connections' | 'readers'> => ({
  connections: context.connections.filter((one) => one.id !== id),
  readers: context.readers.map((reader) => (reader.connectionId === id ? { ...reader, connectionId: null } : reader)),
});

export const readersOf = ({ readers }: HiveContext, id: string): StreamReader[] =>
  readers.filter(({ connectionId }) => connectionId === id);

/** Drops the oldest reader without a connection where there are too many of them. */
export function boundUnclaimed(readers: StreamReader[]): StreamReader[] {
  const unclaimed = readers.filter(({ connectionId }) => connectionId === null);
  if (unclaimed.length <= UNCLAIMED_MAX) return readers;
  const oldest = unclaimed[0];
  return readers.filter((reader) => reader !== oldest);
}

/** Two queens of one id, each with a state of its own. */
export const isDuplicate = (a: StreamReader, b: StreamReader): boolean =>
  a.instance !== null && b.instance !== null && a.instance !== b.instance;

/**
 * The readers that a newer one of the same queen replaces. A queen has one subscription, so those before it are over,
 * even where the kernel takes their TCP connections for open: after a power cut or a firewall's timeout it does so for a
 * quarter of an hour.
 */
export const replacedBy = (newest: StreamReader, readers: StreamReader[]): string[] =>
  readers
    .filter((one) => newest.queenId !== null && one.queenId === newest.queenId && one.seq < newest.seq)
    .filter((one) => !isDuplicate(one, newest))
    .map(({ id }) => id);
