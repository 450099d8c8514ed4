/**
 * Who may hold the name of a hive (docs/protocol.md, section 4.2). The subscription that holds the name decides, with the
 * functions here.
 */

/** How often a hive of one instance may move within the window: two copies of one state directory never stop. */
const MOVES_MAX = 3;
const MOVES_WINDOW_MS = 10_000;

/** A hive from before the queen's restart. */
export interface KnownHive {
  hiveId: string;
  hiveUrl: string;
  /** `Rbee-Instance`, if the hive sends one. */
  instance: string | null;
  /** It presented our token, so it may be sent it. */
  trusted: boolean;
}

/** A hive to subscribe to. */
export interface HiveCall extends KnownHive {
  /** The receiver's monotonic clock, in ms. */
  at: number;
}

export type ReadyAnswer =
  | { outcome: 'subscribed' }
  /** It was only found, and is read already: its subscription stays as it is. */
  | { outcome: 'unchanged' }
  /** Another hive holds the name, at `holderUrl`. */
  | { outcome: 'conflict'; holderUrl: string }
  /** The same instance calls from two URLs in turn. */
  | { outcome: 'moving'; holderUrl: string }
  /** There are as many subscriptions as this process takes. */
  | { outcome: 'full' };

export interface ReadyEvent extends HiveCall {
  /** `ready`: the hive announced itself. `found`: it answered when a keeper asked it. */
  type: 'hive.ready' | 'hive.found';
  respond: (answer: ReadyAnswer) => void;
}

export interface NameHolder {
  hiveUrl: string;
  instance: string | null;
  /** What readers are shown; kept while a new stream replaces an old one. */
  shown: 'connecting' | 'streaming' | 'lost';
  /** Times of the last moves, by the receiver's monotonic clock. */
  moves: number[];
}

/** The caller has the name if it has the holder's URL, if it is the same instance, or if the holder does not stream. */
export function decideName(holder: NameHolder, call: ReadyEvent): ReadyAnswer {
  const { hiveUrl: holderUrl, shown } = holder;
  if (call.type === 'hive.found' && shown === 'streaming') {
    return mayBeSame(holder, call) ? { outcome: 'unchanged' } : { outcome: 'conflict', holderUrl };
  }
  if (call.hiveUrl === holderUrl) return { outcome: 'subscribed' };
  if (call.instance !== null && call.instance === holder.instance) {
    return recentMoves(holder, call.at).length < MOVES_MAX
      ? { outcome: 'subscribed' }
      : { outcome: 'moving', holderUrl };
  }
  return shown === 'streaming' ? { outcome: 'conflict', holderUrl } : { outcome: 'subscribed' };
}

/** The holder after it was replaced by the caller. */
export function movesAfter(holder: NameHolder, call: HiveCall): number[] {
  return call.hiveUrl === holder.hiveUrl ? holder.moves : [...recentMoves(holder, call.at), call.at];
}

const recentMoves = ({ moves }: NameHolder, now: number): number[] => moves.filter((at) => now - at < MOVES_WINDOW_MS);

/** A hive has several addresses; only two different instances are certainly two hives. */
const mayBeSame = (holder: NameHolder, { instance }: HiveCall): boolean =>
  holder.instance === null || instance === null || holder.instance === instance;

/** What a queen answers a hive that announced itself. */
export type ReadyReply =
  /** `lastFailure`: why the attempt after the callback before could not read it. */
  { outcome: 'subscribed'; lastFailure: string | null } | { outcome: 'full' | 'conflict' | 'protocol'; reason: string };
