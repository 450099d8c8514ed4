/**
 * A hive: one connection a queen, and who reads whose stream. It decides which connection a reader belongs to, which
 * two connections are one queen, and which queen that found us is taken on.
 */
import { enqueueActions, setup } from 'xstate';
import type { FailureKind } from './failure.js';
import { type ConnectionReport, hiveConnectionMachine } from './hive-connection.js';
import type { ListedQueen } from './lease.js';

/** Up to so many queens may read one hive. */
export const QUEENS_MAX = 8;

export interface HiveInput {
  /** Normalised, without duplicates, at most QUEENS_MAX. */
  queenUrls: string[];
}

interface Tie {
  id: string;
  configured: boolean;
  /** Every URL under which she is known. */
  urls: string[];
  queenId: string | null;
  /** The state that the connection reported last. */
  state: string;
  failure: FailureKind | null;
  /** `seq` when its announcement began, and when she said yes: orders readers and answers. */
  announcedSeq: number;
  acceptedSeq: number;
}

interface Reader {
  id: string;
  queenId: string | null;
  /** Her Rbee-Instance, if she sends one. */
  instance: string | null;
  seq: number;
  tie: string | null;
}

export interface HiveContext {
  ties: Tie[];
  readers: Reader[];
  /** The queens that the registry named last. */
  listed: ListedQueen[];
  /** Counts what happened, so that "the first reader after her yes" has a meaning without a clock. */
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
  | ConnectionReport;

const s = setup({
  types: { context: {} as HiveContext, input: {} as HiveInput, events: {} as HiveEvent },
  actors: { connection: hiveConnectionMachine },
  actions: {
    /** Ends streams that nobody reads any more, so that none is left over. */
    /** Two queens, each with a state of her own, go by one name: both are served, and somebody should know. */
    warnOfTwins: (_, _params: { queenId: string }) => {},
    closeReaders: (_, _params: { readerIds: string[]; reason: string }) => {},
  },
});

const newTie = (n: number, url: string, configured: boolean, queenId: string | null): Tie => ({
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
 * connection knows its queen's name, to the only one that she can be: one whose announcement she may have heard.
 * A nameless one (an older queen) belongs to the nameless queen that said yes first and has not subscribed.
 */
export function tieOfReader(ties: Tie[], queenId: string | null): Tie | null {
  if (queenId === null) {
    const waiting = ties.filter((tie) => tie.state === 'ready' && tie.queenId === null);
    return waiting.sort((a, b) => a.acceptedSeq - b.acceptedSeq)[0] ?? null;
  }
  const named = ties.find((tie) => tie.queenId === queenId);
  if (named) return named;
  const heard = ties.filter((tie) => tie.queenId === null && mayHaveHeard(tie));
  return heard.length === 1 ? (heard[0] ?? null) : null;
}

function mayHaveHeard(tie: Tie): boolean {
  return tie.state === 'announcing' || tie.state === 'ready' || (tie.state === 'backoff' && tie.failure === 'timeout');
}

/** Of two connections to one queen: the configured one stays, else the elder. */
export function mergePair(ties: Tie[]): { stays: Tie; goes: Tie } | null {
  for (const [i, a] of ties.entries()) {
    const b = ties.slice(i + 1).find((tie) => tie.queenId !== null && tie.queenId === a.queenId);
    if (b) return b.configured && !a.configured ? { stays: b, goes: a } : { stays: a, goes: b };
  }
  return null;
}

const isListed = (tie: Tie, listed: ListedQueen[]): boolean =>
  listed.some(({ id, url }) => id === tie.queenId || tie.urls.includes(url));

/** A discovered queen that is away makes room for another: one that the registry does not list first. */
function roomFor(ties: Tie[], listed: ListedQueen[]): Tie | 'free' | null {
  if (ties.length < QUEENS_MAX) return 'free';
  const away = ties.filter((tie) => !tie.configured && tie.state === 'backoff');
  return away.find((tie) => !isListed(tie, listed)) ?? away[0] ?? null;
}

const patchTie = (context: HiveContext, id: string, patch: Partial<Tie>): Pick<HiveContext, 'ties'> => ({
  ties: context.ties.map((tie) => (tie.id === id ? { ...tie, ...patch } : tie)),
});

const takeOnQueen = s.enqueueActions(({ context, event, enqueue }) => {
  if (event.type !== 'queen.asked') return;
  const { url, queenId, respond } = event;
  const known =
    context.ties.find((tie) => queenId !== null && tie.queenId === queenId) ??
    context.ties.find((tie) => tie.urls.includes(url) && (queenId === null || tie.queenId === null)) ??
    context.ties.find((tie) => tie.urls.includes(url));
  if (known) {
    const urls = known.urls.includes(url) ? known.urls : [...known.urls.slice(0, 1), url];
    enqueue.assign(patchTie(context, known.id, { urls, queenId: queenId ?? known.queenId }));
    enqueue.sendTo(known.id, { type: 'queen.asked', url, queenId });
  } else {
    const room = roomFor(context.ties, context.listed);
    if (room === null) {
      enqueue(() => respond('full'));
      return;
    }
    const tie = newTie(context.made + 1, url, false, queenId);
    if (room !== 'free') enqueue.stopChild(room.id);
    enqueue.assign({ ties: [...context.ties.filter((other) => other !== room), tie], made: context.made + 1 });
    enqueue.spawnChild('connection', {
      id: tie.id,
      input: { id: tie.id, queenUrl: url, configured: false, queenId },
    });
  }
  enqueue(() => respond('announcing'));
  enqueue.raise({ type: 'merge' }, { delay: 0 });
});

/** One that is known and not listed before is back: she is called at once, unless she reads us already. */
function isNews(context: HiveContext, queen: ListedQueen, tie: Tie): boolean {
  if (tie.state !== 'backoff') return false;
  return !tie.urls.includes(queen.url) || !context.listed.some(({ id, url }) => id === queen.id && url === queen.url);
}

/** Queens that the registry names are called like those that ask; ones that are called already are not disturbed. */
const followRegistry = s.enqueueActions(({ context, event, enqueue }) => {
  if (event.type !== 'queens.listed') return;
  const { queens } = event;
  // Listed ones do not take each other's places in turn: only what is free, or an unlisted one's that is away.
  const away = context.ties.filter((tie) => !tie.configured && tie.state === 'backoff' && !isListed(tie, queens));
  let places = QUEENS_MAX - context.ties.length + away.length;
  for (const queen of queens) {
    const tie = context.ties.find(({ queenId }) => queenId === queen.id) ?? tieAt(context.ties, queen.url);
    if (!tie) places -= 1;
    if (tie ? isNews(context, queen, tie) : places >= 0) {
      enqueue.raise({ type: 'queen.asked', url: queen.url, queenId: queen.id, respond: () => {} });
    }
  }
  enqueue.assign({ listed: queens });
});

const tieAt = (ties: Tie[], url: string): Tie | undefined => ties.find(({ urls }) => urls.includes(url));

const seatReader = s.enqueueActions(({ context, event, enqueue }) => {
  if (event.type !== 'reader.opened') return;
  const { readerId, queenId, instance } = event;
  const seq = context.seq + 1;
  const tie = tieOfReader(context.ties, queenId);
  enqueue.assign({
    seq,
    readers: [...context.readers, { id: readerId, queenId, instance, seq, tie: tie?.id ?? null }],
  });
  if (!tie) return;
  enqueue.assign(({ context }) => patchTie(context, tie.id, { queenId: queenId ?? tie.queenId }));
  enqueue.sendTo(tie.id, { type: 'reader.opened', queenId });
  // A queen has one subscription: a new one means that hers before is over, though its connection may have died so
  // silently (a power cut, a firewall that forgot it) that the kernel will believe in it for a quarter of an hour.
  const hers = queenId === null ? [] : context.readers.filter((one) => one.tie === tie.id && one.queenId === queenId);
  const isTwin = (one: Reader) => one.instance !== null && instance !== null && one.instance !== instance;
  const older = hers.filter((one) => !isTwin(one));
  enqueue({ type: 'closeReaders', params: { readerIds: older.map(({ id }) => id), reason: 'replaced by a new one' } });
  if (queenId !== null && hers.some(isTwin)) enqueue({ type: 'warnOfTwins', params: { queenId } });
});

const unseatReader = s.enqueueActions(({ context, event, enqueue }) => {
  if (event.type !== 'reader.closed') return;
  const reader = context.readers.find(({ id }) => id === event.readerId);
  enqueue.assign({ readers: context.readers.filter((other) => other !== reader) });
  if (reader?.tie) enqueue.sendTo(reader.tie, { type: 'reader.closed', reason: event.reason });
});

/** Her yes names her: readers that came before it can be seated now. */
const seatEarlyReaders = s.enqueueActions(({ context, event, enqueue }) => {
  if (event.type !== 'connection.accepted') return;
  const { id, queenId } = event;
  const tie = context.ties.find((other) => other.id === id);
  if (!tie) return;
  const seq = context.seq + 1;
  const unseated = context.readers.filter((reader) => reader.tie === null && reader.queenId === queenId);
  const hers = queenId === null ? unseated.filter((r) => r.seq > tie.announcedSeq).slice(-1) : unseated;
  enqueue.assign({
    seq,
    ...patchTie(context, id, { queenId, acceptedSeq: seq }),
    readers: context.readers.map((reader) => (hers.includes(reader) ? { ...reader, tie: id } : reader)),
  });
  // After the connection's own transition, and after a merge that the name may ask for.
  enqueue.raise({ type: 'merge' }, { delay: 0 });
  for (const reader of hers) {
    enqueue.sendTo(id, { type: 'reader.opened', queenId: reader.queenId }, { delay: 0 });
  }
});

const mergeTies = s.enqueueActions(({ context, enqueue }) => {
  const pair = mergePair(context.ties);
  if (!pair) return;
  const { stays, goes } = pair;
  const url = goes.urls[0] as string;
  enqueue.stopChild(goes.id);
  enqueue.assign({
    ties: context.ties
      .filter((tie) => tie !== goes)
      .map((tie) => (tie === stays ? { ...tie, urls: [...new Set([...tie.urls, ...goes.urls])].slice(0, 2) } : tie)),
    readers: context.readers.map((reader) => (reader.tie === goes.id ? { ...reader, tie: stays.id } : reader)),
  });
  enqueue.sendTo(stays.id, { type: 'alias', url });
  for (const reader of context.readers.filter((other) => other.tie === goes.id)) {
    enqueue.sendTo(stays.id, { type: 'reader.opened', queenId: reader.queenId });
  }
  enqueue.raise({ type: 'merge' }, { delay: 0 });
});

const followConnection = s.enqueueActions(({ context, event, enqueue }) => {
  if (event.type !== 'connection.entered') return;
  const { id, state, failure } = event;
  const seq = context.seq + 1;
  enqueue.assign({
    seq,
    ...patchTie(context, id, { state, failure, ...(state === 'announcing' ? { announcedSeq: seq } : {}) }),
  });
  if (state === 'lost') {
    const readerIds = context.readers.filter((reader) => reader.tie === id).map((reader) => reader.id);
    enqueue({ type: 'closeReaders', params: { readerIds, reason: 'its queen was found gone' } });
  }
});

export const hiveMachine = s.createMachine({
  id: 'hive',
  context: ({ input }) => ({
    ties: input.queenUrls.map((url, i) => newTie(i + 1, url, true, null)),
    readers: [],
    listed: [],
    seq: 0,
    made: input.queenUrls.length,
  }),
  entry: enqueueActions(({ context, enqueue }) => {
    for (const { id, urls } of context.ties) {
      const queenUrl = urls[0] as string;
      enqueue.spawnChild('connection', { id, input: { id, queenUrl, configured: true, queenId: null } });
    }
  }),
  on: {
    'queen.asked': { actions: takeOnQueen },
    'queens.listed': { actions: followRegistry },
    'reader.opened': { actions: seatReader },
    'reader.closed': { actions: unseatReader },
    'connection.entered': { actions: followConnection },
    'connection.accepted': { actions: seatEarlyReaders },
    'connection.away': {
      actions: enqueueActions(({ context, event, enqueue }) => {
        const away = context.ties.find(({ id }) => id === event.id);
        // It says so again after another hour.
        if (away && isListed(away, context.listed)) return;
        enqueue.stopChild(event.id);
        enqueue.assign({ ties: context.ties.filter((tie) => tie.id !== event.id) });
      }),
    },
    merge: { actions: mergeTies },
  },
});
