/** What a queen or keeper makes of the registry: hives to invite, workers to ask, and a copy on disk for when it is down. */
import { createActor } from 'xstate';
import type { AwakeClock } from '../actors/process/awake-clock.js';
import type { Inviter } from '../actors/queen/invite-hives.js';
import { invitationOf } from '../actors/queen/search-hosts.js';
import { watchWorkers } from '../actors/queen/watch-workers.js';
import { openKnownComponents } from '../actors/registry/known-components.js';
import { createReadDirectory } from '../actors/registry/read-directory.js';
import { directoryMachine } from '../machines/directory.js';
import type { Metric } from '../server/http/metrics.js';
import { createDirectory, type ListedComponent, listedOf } from '../stores/directory.js';
import type { Fleet } from '../stores/fleet.js';
import type { Now } from '../stores/workers.js';
import { withoutPath } from './lease.js';
import type { ProcessContext } from './process.js';

/** Workers that are listed are kept in the queen's list for as long as they are. */
const KEEP_MS = 60_000;

export interface QueenDirectoryInput {
  /** Undefined reads none; what was kept of one before is left alone. */
  registryUrl: string | undefined;
  fleet: Fleet;
  clock: AwakeClock;
  now: () => Now;
  inviter: Inviter;
  /** How long a hive that registers just now is waited for, since it may announce itself too. */
  inviteAfterMs: number;
}

export interface QueenDirectory {
  /** Hives that are listed and that no subscription of their own looks for. */
  hivesToInvite: () => ListedComponent[];
  /** Fetches what a worker can do, if this run of it has not told yet: its spawner just saw it healthy. */
  askCapabilities: (workerId: string) => void;
  /** Fetches what a worker can do, though it has told: it said that it cannot do that. */
  askCapabilitiesAnew: (workerId: string) => void;
  metrics: Metric[];
  start: () => void;
  stop: () => void;
}

export function queenDirectory(processContext: ProcessContext, input: QueenDirectoryInput): QueenDirectory {
  const { registryUrl, fleet, clock, now, inviter, inviteAfterMs } = input;
  const { outgoing, log, inspect, fail } = processContext;
  const { workers } = fleet;

  /** Workers whose lease has ended: one that does not answer then is gone, and not merely out of reach for now. */
  const ended = new Set<string>();
  const watch = watchWorkers({
    outgoing,
    toAsk: () => workers.toAsk(clock.now()),
    onHealthy: ({ id, url }, run) => {
      ended.delete(id);
      workers.healthy(id, url, now(), run);
    },
    onCapabilities: ({ id }, capabilities) => workers.capabilities(id, capabilities),
    onFailed: ({ id }, reason, answered) =>
      ended.delete(id) ? workers.unreachable(id, reason) : workers.failed(id, reason, answered),
    onReplaced: ({ id }, reason) => workers.unreachable(id, reason),
  });
  const askWorker = (id: string, { health, anew = false }: { health: boolean; anew?: boolean }) => {
    const worker = workers.toAskOne(id, clock.now());
    if (worker) watch.ask(anew ? { ...worker, wantsCapabilities: true } : worker, { health });
  };
  const asks = {
    askCapabilities: (id: string) => askWorker(id, { health: false }),
    askCapabilitiesAnew: (id: string) => askWorker(id, { health: false, anew: true }),
  };

  if (registryUrl === undefined) {
    return {
      hivesToInvite: () => [],
      ...asks,
      metrics: [],
      start: watch.start,
      stop: watch.stop,
    };
  }

  const known = openKnownComponents(
    processContext.state,
    () => [...directory.hives(), ...directory.workers()],
    (message) => log.warn(message),
  );
  const directory = createDirectory(known.atStart, processContext.report);
  /** A hive that has a subscription at its URL is searched for by that. */
  const isSought = ({ id, url }: ListedComponent) => fleet.hive(id)?.hive_url === url;
  const invite = (hive: ListedComponent) => void inviter.invite(invitationOf(hive));
  const takeWorker = (worker: ListedComponent) => {
    if (workers.listed(worker, now()) === 'ask') askWorker(worker.id, { health: true });
  };

  /** Hives that registered just now, until they are looked at. */
  const arrived = new Map<string, ListedComponent>();
  let arrivals: NodeJS.Timeout | undefined;
  const inviteArrived = () => {
    arrivals = undefined;
    for (const hive of arrived.values()) if (fleet.hive(hive.id)?.state !== 'connecting') invite(hive);
    arrived.clear();
  };

  directory.follow((change) => {
    known.changed();
    const { component } = change;
    if (change.type === 'removed') {
      if (component.kind === 'hive' || !workers.get(component.id, clock.now())) return;
      ended.add(component.id);
      askWorker(component.id, { health: true });
    } else if (component.kind === 'worker') takeWorker(component);
    else if (change.live) {
      arrived.set(component.id, component);
      arrivals ??= setTimeout(inviteArrived, inviteAfterMs);
    } else if (!isSought(component)) invite(component);
  });

  const reader = createActor(
    directoryMachine.provide({
      actors: {
        follow: createReadDirectory({
          outgoing,
          registryUrl,
          clock,
          onList: (components) =>
            directory.replace(
              components.flatMap((one) => listedOf(one) ?? []),
              clock.now(),
            ),
          onEvent: (event) => {
            if (event.type === 'register') {
              const component = listedOf(event);
              if (component) directory.register(component);
            } else if (event.kind === 'hive' || event.kind === 'worker') directory.remove(event.kind, event.id);
          },
        }),
      },
    }),
    { id: 'directory', clock, inspect },
  );
  reader.subscribe({ error: fail });
  let timer: NodeJS.Timeout | undefined;

  return {
    hivesToInvite: () => directory.hives().filter((hive) => !isSought(hive)),
    ...asks,
    metrics: [
      {
        name: 'rbee_registry_listed',
        help: 'What the registry lists, as far as it was read.',
        type: 'gauge',
        label: 'kind',
        read: () => ({ hive: directory.hives().length, worker: directory.workers().length }),
      },
    ],
    start: () => {
      logDirectory(processContext, registryUrl);
      for (const worker of directory.workers()) takeWorker(worker);
      reader.start();
      watch.start();
      timer = setInterval(() => {
        directory.expire(clock.now());
        for (const worker of directory.workers()) workers.listed(worker, now());
      }, KEEP_MS);
    },
    stop: () => {
      clearInterval(timer);
      clearTimeout(arrivals);
      reader.stop();
      watch.stop();
      known.flush();
    },
  };
}

/** A line a change; why it cannot be read is said once, until it fails for another reason or is read. */
function logDirectory({ machineLog, log }: ProcessContext, registryUrl: string): void {
  let told: string | null = null;
  machineLog.follow((event) => {
    if (event.type !== 'transition' || event.machine !== 'directory') return;
    const { to } = event.transition;
    const reason = withoutPath(event.transition.reason);
    if (to === 'reading.following') {
      told = null;
      log.info(`follows the registry at ${registryUrl}`);
    }
    if (to === 'lost' && reason !== told) {
      told = reason;
      log.warn(`the registry is not read: ${reason}; what it said last holds, and it is tried again, for ever`);
    }
  });
}
