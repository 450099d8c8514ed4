/** The input, context and events of a hive's connection to one queen, and what it sends to its parent. */
import type { FailureKind } from './failure.js';

export interface ConnectionInput {
  id: string;
  queenUrl: string;
  /** False for a queen that asked for an announcement: dropped when it stays away for an hour. */
  configured: boolean;
  queenId: string | null;
}

export interface ConnectionContext {
  id: string;
  /** Where the next announcement goes. */
  queenUrl: string;
  configuredUrl: string | null;
  /** Another URL of the queen, tried in turn with the first: either may be the one that works. */
  otherUrl: string | null;
  queenId: string | null;
  /** The attempt in flight, or the last one; 0 after streaming. */
  attempt: number;
  failure: FailureKind | null;
  reason: string | null;
  /** How many streams in a row ended within STEADY_MS. */
  shortStreams: number;
  /** How many connections of the queen read the stream. */
  readers: number;
  /** The URL that was announced. */
  hiveUrl: string | null;
  /** From which address of this machine the queen was reached when it accepted last. */
  address: string | null;
  /** Which run of the queen accepted last. */
  run: string | null;
  /** Why the queen could not read this hive the last time, according to its answer. */
  lastFailure: string | null;
  /** The queen asked for an announcement while one was in flight. */
  asked: boolean;
  /** The announcement in flight takes longer than a queen that is up needs. */
  overdue: boolean;
}

export type ConnectionEvent =
  /** The queen asked for an announcement, by `GET /capabilities?queen_url=`. */
  | { type: 'queen.asked'; url: string; queenId: string | null }
  | { type: 'reader.opened'; queenId: string | null }
  | { type: 'reader.closed'; reason: string }
  /** Another connection, to the same queen, was merged into this one. */
  | { type: 'alias'; url: string }
  | { type: 'queen.unhealthy'; reason: string }
  | AddressesChanged
  | { type: 'overdue' }
  | { type: 'away' };

/** The addresses of this machine changed. */
export interface AddressesChanged {
  type: 'addresses.changed';
  /** All of them now, and those that are new. */
  present: string[];
  added: string[];
}

export interface AnnounceInput {
  queenUrl: string;
  attempt: number;
}
export interface AnnounceOutput {
  /** Null for an older queen, whose answer has none. */
  queenId: string | null;
  /** The URL that was announced. */
  hiveUrl: string;
  /** The local address of the connection over which it was announced. */
  address: string | null;
  /** Which run of the queen accepted; null where its answer does not say. */
  run: string | null;
  /** Why the queen could not read this hive the last time, if its answer says. */
  lastFailure?: string | null;
}

/** What a connection sends to its parent, `hive`. */
export type ConnectionReport =
  | { type: 'connection.entered'; id: string; state: string; failure: FailureKind | null }
  | { type: 'connection.accepted'; id: string; queenId: string | null }
  | { type: 'connection.away'; id: string };
