/**
 * The workers of a swarm, as a queen or keeper knows them. Events go in by `send`; a sender that needs the outcome passes
 * `respond`. Polls of workers' health are ordered here and carried out by the listeners of `onPoll`.
 */

import { createStore } from '@xstate/store';
import type { HiveEntry } from '../wire/hive.js';
import type { WorkerCapabilities, WorkerEntry, WorkerInfo, WorkerStats } from '../wire/worker.js';
import type { ListedComponent } from './directory.js';
import { forgetHive, forgetStopped, type HiveListing, takeHiveListing, takeOwn, voidHive } from './hive-workers.js';
import { createListeners, type Report } from './listeners.js';
import type { Now } from './now.js';
import { offerOf, summaryOf, type WorkerOffer } from './worker-availability.js';
import { workerEntryOf } from './worker-entries.js';
import {
  endLease,
  type PollAnswer,
  type PollFailure,
  pollsOfHive,
  takeAnswer,
  takeDuePolls,
  takeFailure,
  takePollOf,
  takeReplaced,
  type WorkerPoll,
} from './worker-polls.js';
import { runOf } from './worker-record.js';
import {
  type RegisteredWorker,
  type ReportDecision,
  takeCapabilities,
  takeHeartbeat,
  takeListing,
  takeRegistration,
} from './worker-reports.js';
import { allViews, createWorkersState, viewOf, type WorkersState } from './worker-views.js';

export type Workers = ReturnType<typeof createWorkers>;

type Effect = (effect: () => void) => void;

/** A transition of the store, which changes its state in place. */
const on =
  <E>(update: (state: WorkersState, event: E, effect: Effect) => void) =>
  (state: WorkersState, event: E, { effect }: { effect: Effect }): WorkersState => {
    update(state, event, effect);
    return state;
  };

/** What hives measure, and what this process measures itself. */
const measurements = {
  'own.measured': on((state, { workers }: { workers: WorkerStats[] }) => takeOwn(state, workers)),
  'hive.listed': on(
    (state, event: { hiveId: string; workers: WorkerStats[]; respond: (listing: HiveListing) => void }, effect) => {
      const listing = takeHiveListing(state, event.hiveId, event.workers);
      effect(() => event.respond(listing));
    },
  ),
  'hive.lost': on((state, { hiveId, nowMs }: { hiveId: string; nowMs: number }) => voidHive(state, hiveId, nowMs)),
  'hive.forgotten': on((state, { hiveId }: { hiveId: string }) => forgetHive(state, hiveId)),
  'worker.stopped': on((state, { id, hiveId }: { id: string; hiveId: string }) => forgetStopped(state, id, hiveId)),
  expired: on((state, { nowMs }: { nowMs: number }) => state.known.expire(nowMs)),
};

/** A request to a worker failed: it is offered no work until a poll finds it healthy, whatever its hive measures. */
const requests = {
  'request.failed': on((state, { id, reason }: { id: string; reason: string }) => {
    const view = viewOf(state, id);
    state.failedRequests.set(id, { reason, run: view ? runOf(view) : null });
  }),
  'worker.recovered': on((state, { id }: { id: string }) => void state.failedRequests.delete(id)),
};

/** Reports by workers, spawners and the registry. Those that leave something open order a poll. */
const reports = (order: (poll: WorkerPoll | null) => void) => ({
  'worker.heartbeat': on(
    (state, event: { worker: WorkerInfo; now: Now; respond: (outcome: ReportDecision) => void }, effect) => {
      const outcome = takeHeartbeat(state, event.worker, event.now);
      effect(() => event.respond(outcome));
    },
  ),
  'worker.registered': on(
    (state, event: { worker: RegisteredWorker; now: Now; respond: (outcome: ReportDecision) => void }, effect) => {
      const outcome = takeRegistration(state, event.worker, event.now);
      // Its spawner has just seen it healthy: only its capabilities are missing.
      const poll = outcome === 'kept' ? takePollOf(state, event.worker.id, event.now.ms) : null;
      effect(() => order(poll && { ...poll, health: false }));
      effect(() => event.respond(outcome));
    },
  ),
  /** `poll: false`: it is only kept in the list. */
  'worker.listed': on((state, event: { component: ListedComponent; now: Now; poll: boolean }, effect) => {
    const outcome = takeListing(state, event.component, event.now);
    const poll = outcome === 'ask' && event.poll ? takePollOf(state, event.component.id, event.now.ms) : null;
    effect(() => order(poll));
  }),
  'lease.ended': on((state, { id, nowMs }: { id: string; nowMs: number }, effect) => {
    const poll = endLease(state, id, nowMs);
    effect(() => order(poll));
  }),
});

/** When workers are polled, and what they answer. */
const polling = (order: (poll: WorkerPoll | null) => void) => ({
  'polls.due': on((state, { nowMs }: { nowMs: number }, effect) => {
    const polls = takeDuePolls(state, nowMs);
    effect(() => polls.forEach(order));
  }),
  'capabilities.wanted': on((state, { id, nowMs }: { id: string; nowMs: number }, effect) => {
    const poll = takePollOf(state, id, nowMs);
    effect(() => order(poll && { ...poll, health: false, capabilities: 'always' }));
  }),
  'poll.answered': on((state, event: PollAnswer & { now: Now }) => takeAnswer(state, event, event.now)),
  'poll.failed': on((state, event: PollFailure) => takeFailure(state, event)),
  'poll.replaced': on((state, { id, reason }: { id: string; reason: string }) => takeReplaced(state, id, reason)),
  'poll.capabilities': on((state, event: { id: string; capabilities: WorkerCapabilities }) =>
    takeCapabilities(state, event.id, event.capabilities),
  ),
});

/**
 * @param hives the hives as the fleet holds them, live
 * @param report called with what a listener throws
 */
export function createWorkers(hives: ReadonlyMap<string, HiveEntry>, report: Report) {
  const state = createWorkersState(hives);
  const polls = createListeners<WorkerPoll>(report);
  const order = (poll: WorkerPoll | null) => poll && polls.notify(poll);
  const { send } = createStore({
    context: state,
    on: { ...measurements, ...requests, ...reports(order), ...polling(order) },
  });
  return { send, onPoll: polls.add, ...readsOf(state) };
}

function readsOf(state: WorkersState) {
  return {
    list: (nowMs: number): WorkerEntry[] => allViews(state).map((view) => workerEntryOf(state, view, nowMs)),
    get: (id: string, nowMs: number): WorkerEntry | undefined => {
      const view = viewOf(state, id);
      return view && workerEntryOf(state, view, nowMs);
    },
    isKnown: (id: string): boolean => viewOf(state, id) !== undefined,
    /** Null when the worker is not available. */
    offerOf: (id: string, nowMs: number): WorkerOffer | null => offerOf(state, id, nowMs),
    /** Workers by model, available or not. */
    withModel: (model: string) => state.index.find(model),
    modelNames: () => state.index.names(),
    /** Ids of the workers that are online, and how many of them are available. */
    summary: (nowMs: number) => summaryOf(state, nowMs),
    /** To poll all workers of a lost hive. */
    pollsOfHive: (hiveId: string): WorkerPoll[] => pollsOfHive(state, hiveId),
  };
}
