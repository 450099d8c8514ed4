/** One hive. Each part is a signal, so that a second of telemetry redraws only what changed. */
import { computed, type ReadonlySignal, signal } from '@preact/signals';
import type { Device } from '../../wire/device.js';
import type { HiveStateChange, HiveTelemetry } from '../../wire/heartbeat.js';
import type { HiveEntry, NodeStats } from '../../wire/hive.js';
import type { HealthStatus } from '../../wire/status.js';
import type { WorkerStats } from '../../wire/worker.js';
import { fromQueen } from './clock.js';
import { Minute } from './minute.js';

/** The queen's connection to a hive. `state` is null until it is known. */
export interface HiveConnection {
  url: string;
  state: HiveEntry['state'] | null;
  stale: boolean;
  reason: string | null;
  since: string | null;
  nextAttemptAt: string | null;
}

/** A line of a hive's log: what changed, in words. */
export interface LogLine {
  at: string;
  tone: Tone;
  text: string;
}

export type Tone = 'good' | 'warn' | 'bad' | 'calm';

const LOG_MAX = 200;
/** A hive that was lost this often in ten minutes needs attention, even while it is online. */
const LOSSES_MIN = 3;
const UNKNOWN: HiveConnection = { url: '', state: null, stale: false, reason: null, since: null, nextAttemptAt: null };

export const isCrashed = ({ status }: WorkerStats): boolean => /crash|fail|error/i.test(status ?? '');
/** It runs, but the process that spawned it has ended. */
export const isOrphaned = ({ status }: WorkerStats): boolean => status === 'orphaned';
/** A person must decide what to do with it. */
export const needsDecision = (worker: WorkerStats): boolean => isCrashed(worker) || isOrphaned(worker);
export const isServing = ({ status }: WorkerStats): boolean => status === 'ready' || status === 'busy';
export const workerName = ({ worker_id, group, instance, pid }: WorkerStats): string =>
  worker_id ?? (group && instance ? `${group}-${instance}` : `pid ${pid ?? 0}`);

let made = 0;

export class Hive {
  /** Another hive of the same name, after this one was forgotten, is drawn from scratch. */
  readonly key = ++made;
  readonly connection = signal<HiveConnection>(UNKNOWN);
  readonly node = signal<NodeStats | null>(null);
  readonly workers = signal<readonly WorkerStats[]>([]);
  readonly labels = signal<Readonly<Record<string, string>>>({});
  readonly health = signal<HealthStatus | null>(null);
  readonly devices = signal<readonly Device[] | null>(null);
  /** Workers that it lists but that belong to another hive. */
  readonly refused = signal<NonNullable<HiveEntry['refused_workers']>>([]);
  /** How often it was lost in the last ten minutes. */
  readonly losses = signal(0);
  readonly log = signal<readonly LogLine[]>([]);
  readonly minute = new Minute();
  /** Changes when `minute` does. */
  readonly beat = signal(0);
  telemetryAt: string | null = null;
  /** The number of the page's connection in which it was last mentioned. */
  epoch = 0;

  /** For colours. */
  readonly tone: ReadonlySignal<Tone> = computed(() => {
    const { state, stale } = this.connection.value;
    if (state === 'lost') return 'bad';
    if (stale || state === 'connecting') return 'warn';
    const health = this.health.value?.status;
    if (health === 'unhealthy') return 'bad';
    return health === 'degraded' ? 'warn' : state === null ? 'calm' : 'good';
  });

  readonly stateWords = computed(() => wordsOf(this.connection.value));

  readonly isUnstable = computed(() => this.losses.value >= LOSSES_MIN);
  readonly troubled = computed(() => this.workers.value.filter(needsDecision));

  /** What the filter searches. */
  readonly words = computed(() =>
    [
      this.id,
      this.stateWords.value,
      this.connection.value.state ?? '',
      this.health.value?.status ?? '',
      ...Object.entries(this.labels.value).map(([key, value]) => `${key}=${value}`),
      ...this.workers.value.flatMap((worker) => [workerName(worker), worker.model ?? '', worker.status ?? '']),
      ...(this.node.value?.gpus ?? []).map(({ name }) => name ?? ''),
    ]
      .join(' ')
      .toLowerCase(),
  );

  constructor(readonly id: string) {}

  changed({ state, hive_url: url, stale, reason, since, next_attempt_at }: HiveStateChange): void {
    if (state === 'forgotten') return;
    const before = this.connection.peek();
    this.connection.value = { url, state, stale, reason, since, nextAttemptAt: next_attempt_at };
    // The next attempt of a lost hive is not logged: it is only a new countdown.
    if (before.state === state && before.stale === stale && before.reason === reason) return;
    const tone = state === 'lost' ? 'bad' : stale || state === 'connecting' ? 'warn' : 'good';
    const words = `${wordsOf({ state, stale })}${reason === null ? '' : `: ${reason}`}`;
    if (before.state !== state || before.stale !== stale) this.note(since, tone, words);
    else this.note(new Date().toISOString(), tone, words);
  }

  measured(event: HiveTelemetry): void {
    const { node, workers, received_at: receivedAt } = event;
    this.noteWorkers(this.workers.peek(), workers, receivedAt);
    this.noteHealth(event.health_status ?? null, receivedAt);
    this.node.value = node;
    this.workers.value = workers;
    this.take({ labels: event.labels ?? {}, health_status: event.health_status ?? null });
    this.minute.push(fromQueen(Date.parse(receivedAt)), node);
    this.beat.value += 1;
    this.telemetryAt = receivedAt;
  }

  /** Takes what the stream does not carry, and the last values of a lost hive. */
  listed(entry: HiveEntry): void {
    this.devices.value = entry.devices;
    this.losses.value = entry.losses_10m ?? 0;
    const refused = entry.refused_workers ?? [];
    if (!same(refused, this.refused.peek())) this.refused.value = refused;
    if (this.telemetryAt !== null) return;
    this.node.value = entry.node;
    this.workers.value = entry.workers;
    this.take(entry);
  }

  /** New objects with the same content are not a change. */
  private take({ labels, health_status }: Pick<HiveEntry, 'labels' | 'health_status'>): void {
    if (!same(labels, this.labels.peek())) this.labels.value = labels;
    if (!same(health_status, this.health.peek())) this.health.value = health_status;
  }

  private note(at: string, tone: Tone, text: string): void {
    this.log.value = [{ at, tone, text }, ...this.log.peek()].slice(0, LOG_MAX);
  }

  private noteHealth(next: HealthStatus | null, at: string): void {
    const before = this.health.peek();
    if (before === null || next === null || (before.status === next.status && before.reason === next.reason)) return;
    const tone = next.status === 'healthy' ? 'good' : next.status === 'degraded' ? 'warn' : 'bad';
    this.note(at, tone, `${next.status}${next.reason ? `: ${next.reason}` : ''}`);
  }

  private noteWorkers(before: readonly WorkerStats[], after: readonly WorkerStats[], at: string): void {
    if (this.telemetryAt === null || (before.length === 0 && after.length === 0)) return;
    const was = new Map(before.map((worker) => [workerName(worker), worker]));
    for (const worker of after) {
      const name = workerName(worker);
      const known = was.get(name);
      was.delete(name);
      if (known?.status === worker.status && known) continue;
      const tone = isCrashed(worker) ? 'bad' : worker.status === 'ready' || worker.status === 'busy' ? 'good' : 'calm';
      // A worker is busy and ready again with every answer.
      if (known && isServing(known) && isServing(worker)) continue;
      this.note(at, tone, `${name} is ${worker.status ?? 'listed'}${worker.model ? ` (${worker.model})` : ''}`);
    }
    for (const name of was.keys()) this.note(at, 'calm', `${name} has left`);
  }
}

const STATE_WORDS = { connecting: 'Connecting', streaming: 'Online', lost: 'Offline' } as const;

/** The state of a connection, for people. */
const wordsOf = ({ state, stale }: Pick<HiveConnection, 'state' | 'stale'>): string =>
  state === null ? 'Unknown' : stale ? 'Stale' : STATE_WORDS[state];

const same = (a: unknown, b: unknown): boolean => a === b || JSON.stringify(a) === JSON.stringify(b);
