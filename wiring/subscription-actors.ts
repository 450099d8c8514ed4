/** The real actors and actions of a subscription: what reads a hive's stream, and what is shown and remembered of the hive. */
import type { KeepAlivePool } from '../actors/net/keep-alive-pool.js';
import type { AwakeClock } from '../actors/process/awake-clock.js';
import { createAsk, createLearnDevices, type HiveAsker } from '../actors/queen/ask-hive.js';
import type { KnownHives } from '../actors/queen/known-hives.js';
import { createPollWorkersOfHive, type WorkerPoller } from '../actors/queen/poll-workers.js';
import { createSubscriber } from '../actors/queen/subscribe.js';
import { silenceLimits } from '../machines/backoff.js';
import { remedyForHive } from '../machines/failure.js';
import { hiveSubscriptionMachine } from '../machines/hive-subscription.js';
import { seekMachine } from '../machines/seek.js';
import type { ShownState } from '../machines/subscription-events.js';
import type { SubscriptionContext } from '../machines/subscription-setup.js';
import type { Fleet } from '../stores/fleet.js';
import type { History } from '../stores/history.js';
import type { Now } from '../stores/now.js';
import type { Device } from '../wire/device.js';
import { HEADER } from '../wire/status.js';
import type { HiveStateLog } from './hive-log.js';
import type { ProcessContext } from './process.js';

/** Devices that came with the answer to an ask need no second one. */
const DEVICES_FRESH_MS = 10_000;

export interface EventCounts {
  telemetry: number;
  invalid: number;
}

export interface SubscriptionParts {
  kind: 'queen' | 'keeper';
  fleet: Fleet;
  history: History;
  known: KnownHives;
  clock: AwakeClock;
  now: () => Now;
  /** Connections over which a hive was just asked to announce itself. */
  keep: KeepAlivePool;
  asker: HiveAsker;
  poller: WorkerPoller;
  /** Why the hive at this URL is not to be asked now, or null. */
  whyNotAsk: (hiveUrl: string, hiveId: string) => string | null;
  counts: EventCounts;
  hiveLog: HiveStateLog;
}

export function provideSubscription(processContext: ProcessContext, parts: SubscriptionParts) {
  const { asker, whyNotAsk } = parts;
  const ask = createAsk({ asker, whyNotAsk, onDevices: (hiveId, devices) => learnDevices(parts, hiveId, devices) });
  return hiveSubscriptionMachine.provide({
    actors: {
      subscriber: streamReader(processContext, parts),
      ask,
      pollWorkers: createPollWorkersOfHive(parts.poller, parts.fleet.workers),
      seek: seekMachine.provide({ actors: { ask } }),
    },
    actions: {
      noteUnreachable: ({ context }) => noteUnreachable(parts, context),
      publish: ({ context }, shown) => publish(parts, context, shown),
    },
  });
}

function streamReader({ id, instance, outgoing }: ProcessContext, parts: SubscriptionParts) {
  const { kind, keep, asker, clock, fleet, history, now, counts, hiveLog } = parts;
  return createSubscriber({
    ...{ outgoing, keep, clock, silenceLimits },
    headers: { [kind === 'queen' ? HEADER.queen : HEADER.reader]: id, [HEADER.instance]: instance },
    onOpened: createLearnDevices({
      asker,
      onDevices: (hiveId, devices) => learnDevices(parts, hiveId, devices),
      isFresh: (hiveId) => clock.now() - (fleet.devicesAt(hiveId) ?? Number.NEGATIVE_INFINITY) < DEVICES_FRESH_MS,
    }),
    onTelemetry: (heartbeat, first) => {
      counts.telemetry += 1;
      fleet.telemetry({ heartbeat, receivedAt: now().iso, first });
      if (fleet.hive(heartbeat.hive_id)) history.record(heartbeat.hive_id, heartbeat.node ?? null, clock.now());
    },
    onInvalid: (hiveId, detail, count) => {
      counts.invalid += 1;
      // Every event of such a hive is invalid: one line is enough, the metric counts the rest.
      if (count === 1) hiveLog.warn(hiveId, `hive ${hiveId} sent an invalid event, which is dropped: ${detail}`);
    },
  });
}

function learnDevices({ fleet, clock }: SubscriptionParts, hiveId: string, devices: Device[]): void {
  fleet.devices({ hiveId, devices, at: clock.now() });
}

function noteUnreachable(
  { fleet, now }: SubscriptionParts,
  { hiveId, hiveUrl, reason, failure }: SubscriptionContext,
): void {
  const remedy = remedyForHive(failure);
  fleet.notReached({ hive_id: hiveId, hive_url: hiveUrl, reason: reason ?? 'it closed the stream', remedy }, now());
}

function publish(parts: SubscriptionParts, context: SubscriptionContext, { state, stale }: ShownState): void {
  const { fleet, history, known, now } = parts;
  const { hiveId, hiveUrl, instance, trusted, streamed } = context;
  // Staleness is not a sighting.
  if (state === 'streaming' && !stale) {
    known.remember({ hiveId, hiveUrl, instance, trusted, lastSeenAt: now().iso });
  }
  if (state === 'forgotten') {
    known.forget(hiveId, hiveUrl);
    history.forget(hiveId);
  }
  const since = streamed ? undefined : known.lastSeenAtStart(hiveId);
  fleet.shown({
    ...{ hiveId, hiveUrl, state, stale, reason: shownReason(context, { state, stale }) },
    nextAttemptAt: nextAttemptAt(context, state),
    ...(since === undefined ? {} : { since }),
    now: now(),
  });
}

function shownReason({ reason, seekReason }: SubscriptionContext, { state, stale }: ShownState): string | null {
  if (state === 'lost') return seekReason ?? reason;
  return reason ?? (stale ? 'silent' : null);
}

function nextAttemptAt({ nextAttemptMs }: SubscriptionContext, state: ShownState['state']): string | null {
  return state === 'lost' && nextAttemptMs !== null ? new Date(Date.now() + nextAttemptMs).toISOString() : null;
}
