/** The `hive` machine with its real actors, and what else of the hive's process looks at its connections. */
import { type ActorRefFrom, createActor } from 'xstate';
import { createAnnounce } from '../actors/hive/announce.js';
import { createCheckQueenHealth } from '../actors/hive/check-queen-health.js';
import { announceDelayMs, LOST_JITTER_MS_MAX, lostDelayMs, otherProtocolDelayMs } from '../machines/backoff.js';
import type { ConnectionContext } from '../machines/connection-events.js';
import { hiveMachine } from '../machines/hive.js';
import { hiveConnectionMachine } from '../machines/hive-connection.js';
import { queenHealthMachine } from '../machines/queen-health.js';
import { OncePerReason } from './once-per-reason.js';
import type { ProcessContext } from './process.js';

export type HiveActor = ActorRefFrom<typeof hiveMachine>;

export interface HiveActorInput {
  queenUrls: string[];
  closeReaders: (readerIds: string[], reason: string) => void;
}

export function createHiveActor(processContext: ProcessContext, input: HiveActorInput): HiveActor {
  const { log, inspect, fail } = processContext;
  const actor = createActor(
    hiveMachine.provide({
      actors: { connection: connectionMachine(processContext) },
      actions: {
        closeReaders: (_, { readerIds, reason }) => input.closeReaders(readerIds, reason),
        warnOfDuplicateQueens: (_, { queenId }) =>
          log.warn(`two queens have the id ${queenId}: start one of them with another --queen-id`),
      },
    }),
    { id: 'hive', input: { queenUrls: input.queenUrls }, inspect },
  );
  actor.subscribe({ error: fail });
  return actor;
}

function connectionMachine({ id: hiveId, instance, outgoing, endpoint }: ProcessContext) {
  return hiveConnectionMachine.provide({
    actors: {
      announce: createAnnounce({ outgoing, endpoint, hiveId, instance }),
      queenHealth: queenHealthMachine.provide({
        actors: { checkHealth: createCheckQueenHealth({ outgoing, hiveId, instance }) },
      }),
    },
    delays: {
      retry: ({ context }) =>
        context.failure === 'protocol' ? otherProtocolDelayMs() : announceDelayMs(context.attempt + 1, Math.random()),
      lostDelay: ({ context }) => lostDelayMs(context.shortStreams) + Math.random() * LOST_JITTER_MS_MAX,
    },
  });
}

/** The connections to queens, as they are now. */
export function connectionsOf(actor: HiveActor): ConnectionContext[] {
  return Object.values(actor.getSnapshot().children).flatMap((child) => child?.getSnapshot().context ?? []);
}

/** Where queens reach this hive, as it was last announced to one of them; null before that. */
export function hiveUrlOf(actor: HiveActor): string | null {
  return connectionsOf(actor).find(({ hiveUrl }) => hiveUrl !== null)?.hiveUrl ?? null;
}

/** One line per change. */
export function logConnections({ machineLog, log }: ProcessContext): void {
  const failures = new OncePerReason();
  machineLog.follow((event) => {
    if (event.type !== 'transition' || event.machine !== 'hive-connection') return;
    const { queenUrl, queenId } = event.context as { queenUrl: string; queenId: string | null };
    const { from, to, reason } = event.transition;
    const line = `queen ${queenId ?? queenUrl}: ${from} → ${to}${reason === null ? '' : ` (${reason})`}`;
    if (to === 'streaming') failures.clear(event.id);
    if (to === 'streaming' || to === 'lost') log.info(line);
    else if (to === 'backoff' && failures.isNew(event.id, `${reason}`)) log.warn(`${line}; retrying`);
    else log.debug(line);
  });
}
