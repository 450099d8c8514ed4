/** What a queen or keeper does with the registry: invites its hives, asks its workers, and keeps a copy on disk for when it is down. */
import { createActor } from 'xstate';
import type { AwakeClock } from '../actors/process/awake-clock.js';
import type { Inviter } from '../actors/queen/invite-hives.js';
import { invitationOf } from '../actors/queen/search-hosts.js';
import { openKnownComponents } from '../actors/registry/known-components.js';
import { createReadDirectory } from '../actors/registry/read-directory.js';
import { directoryMachine } from '../machines/directory.js';
import type { Metric } from '../server/http/metrics.js';
import {
  createDirectory,
  type Directory,
  type DirectoryChange,
  type ListedComponent,
  listedOf,
} from '../stores/directory.js';
import type { Fleet } from '../stores/fleet.js';
import type { Now } from '../stores/now.js';
import { withoutPath } from './lease.js';
import { OncePerReason } from './once-per-reason.js';
import type { ProcessContext } from './process.js';

/** Listed workers stay in the queen's list for as long as they are listed. */
const KEEP_MS = 60_000;

export interface QueenDirectoryInput {
  /** Undefined reads no registry; the copy of one that was read before stays on disk. */
  registryUrl: string | undefined;
  fleet: Fleet;
  clock: AwakeClock;
  now: () => Now;
  inviter: Inviter;
  /** How long to wait before a hive that just registered is invited, since it may announce itself. */
  inviteAfterMs: number;
}

export interface QueenDirectory {
  /** Listed hives for which no subscription searches. */
  hivesToInvite: () => ListedComponent[];
  metrics: Metric[];
  start: () => void;
  stop: () => void;
}

export function queenDirectory(processContext: ProcessContext, input: QueenDirectoryInput): QueenDirectory {
  const { registryUrl } = input;
  if (registryUrl !== undefined) return new ListedComponents(processContext, { ...input, registryUrl });
  return { hivesToInvite: () => [], metrics: [], start: () => {}, stop: () => {} };
}

class ListedComponents implements QueenDirectory {
  readonly #context: ProcessContext;
  readonly #input: QueenDirectoryInput & { registryUrl: string };
  readonly #known: ReturnType<typeof openKnownComponents>;
  readonly #directory: Directory;
  readonly #reader: ReturnType<typeof registryReader>;
  readonly #arrivals: Arrivals;
  #timer: NodeJS.Timeout | undefined;

  constructor(processContext: ProcessContext, input: QueenDirectoryInput & { registryUrl: string }) {
    const { state, report, log } = processContext;
    this.#context = processContext;
    this.#input = input;
    this.#known = openKnownComponents(
      state,
      () => [...this.#directory.hives(), ...this.#directory.workers()],
      (message) => log.warn(message),
    );
    this.#directory = createDirectory(this.#known.atStart, report);
    this.#reader = registryReader(processContext, input, this.#directory);
    this.#arrivals = new Arrivals(input.inviteAfterMs, (hive) => this.#inviteArrived(hive));
    this.#directory.follow((change) => this.#take(change));
  }

  hivesToInvite = (): ListedComponent[] => this.#directory.hives().filter((hive) => !this.#isSought(hive));

  get metrics(): Metric[] {
    return [
      {
        name: 'rbee_registry_listed',
        help: 'Components that the registry listed when it was read last.',
        type: 'gauge',
        label: 'kind',
        read: () => ({ hive: this.#directory.hives().length, worker: this.#directory.workers().length }),
      },
    ];
  }

  start(): void {
    const { registryUrl, clock } = this.#input;
    logDirectory(this.#context, registryUrl);
    for (const worker of this.#directory.workers()) this.#list(worker, { poll: true });
    this.#reader.start();
    this.#timer = setInterval(() => {
      this.#directory.expire(clock.now());
      for (const worker of this.#directory.workers()) this.#list(worker, { poll: false });
    }, KEEP_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#arrivals.stop();
    this.#reader.stop();
    this.#known.flush();
  }

  #take(change: DirectoryChange): void {
    this.#known.changed();
    const { component } = change;
    if (change.type === 'removed') {
      if (component.kind === 'worker') this.#endLease(component.id);
    } else if (component.kind === 'worker') this.#list(component, { poll: true });
    else if (change.live) this.#arrivals.add(component);
    else if (!this.#isSought(component)) this.#invite(component);
  }

  #list(component: ListedComponent, { poll }: { poll: boolean }): void {
    const { fleet, now } = this.#input;
    fleet.workers.send({ type: 'worker.listed', component, now: now(), poll });
  }

  #endLease(id: string): void {
    const { fleet, clock } = this.#input;
    fleet.workers.send({ type: 'lease.ended', id, nowMs: clock.now() });
  }

  #invite(hive: ListedComponent): void {
    void this.#input.inviter.invite(invitationOf(hive));
  }

  /** A hive that is connecting has announced itself in the meantime: it is not invited. */
  #inviteArrived(hive: ListedComponent): void {
    if (this.#input.fleet.hive(hive.id)?.state !== 'connecting') this.#invite(hive);
  }

  /** The subscription of a hive searches for it at its own URL. */
  #isSought({ id, url }: ListedComponent): boolean {
    return this.#input.fleet.hive(id)?.hive_url === url;
  }
}

/** Hives that just registered: those of a moment are handled together. */
class Arrivals {
  readonly #hives = new Map<string, ListedComponent>();
  #timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly afterMs: number,
    private readonly take: (hive: ListedComponent) => void,
  ) {}

  add(hive: ListedComponent): void {
    this.#hives.set(hive.id, hive);
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      for (const one of this.#hives.values()) this.take(one);
      this.#hives.clear();
    }, this.afterMs);
  }

  stop(): void {
    clearTimeout(this.#timer);
  }
}

/** Reads the registry into the directory; not started yet. */
function registryReader(
  { outgoing, inspect, fail }: ProcessContext,
  { registryUrl, clock }: { registryUrl: string; clock: AwakeClock },
  directory: Directory,
) {
  const follow = createReadDirectory({
    ...{ outgoing, registryUrl, clock },
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
  });
  const reader = createActor(directoryMachine.provide({ actors: { follow } }), { id: 'directory', clock, inspect });
  reader.subscribe({ error: fail });
  return reader;
}

function logDirectory({ machineLog, log }: ProcessContext, registryUrl: string): void {
  const losses = new OncePerReason();
  machineLog.follow((event) => {
    if (event.type !== 'transition' || event.machine !== 'directory') return;
    const { to } = event.transition;
    const reason = withoutPath(event.transition.reason);
    if (to === 'reading.following') {
      losses.clear(registryUrl);
      log.info(`follows the registry at ${registryUrl}`);
    }
    if (to === 'lost' && losses.isNew(registryUrl, `${reason}`)) {
      log.warn(`cannot read the registry at ${registryUrl}: ${reason}; retrying, and using what it listed last`);
    }
  });
}
