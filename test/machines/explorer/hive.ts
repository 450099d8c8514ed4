/** A simulated computer that runs a hive: the real state machines, on simulated time and network. */
import { type ActorRefFrom, createActor, fromPromise } from 'xstate';
import { announceDelayMs, LOST_JITTER_MS_MAX, lostDelayMs } from '../../../machines/backoff.js';
import type { AnnounceInput, AnnounceOutput } from '../../../machines/connection-events.js';
import { hiveMachine, type QueenAskedAnswer } from '../../../machines/hive.js';
import { hiveConnectionMachine } from '../../../machines/hive-connection.js';
import { type HealthOutput, type QueenHealthInput, queenHealthMachine } from '../../../machines/queen-health.js';
import type { Host } from './network.js';
import type { CountingClock } from './sim.js';
import type { Stream } from './stream.js';
import type { World } from './world.js';

export class SimHive implements Host {
  powered = true;
  process: object | null = null;
  actor: ActorRefFrom<typeof hiveMachine> | null = null;
  clock: CountingClock;
  readonly name: string;
  readonly id: string;
  /** How often the computer got another address. */
  private moves = 0;
  readonly instance: string;
  /** Streams whose end here is open, by the reader's id. */
  readonly streams = new Map<string, Stream>();
  /** Its announcements within the window of `checkStorm`. */
  announcements: { at: number; url: string }[] = [];
  private readers = 0;

  constructor(
    private readonly world: World,
    n: number,
    readonly queenUrls: string[],
    readonly intervalMs: number,
  ) {
    this.name = `h${n}`;
    this.id = `hive-${n}`;
    this.instance = `instance-${n}`;
    this.clock = world.sim.clock();
  }

  private get address(): string {
    return `${this.name}-${this.moves}`;
  }
  get url(): string {
    return `http://${this.address}`;
  }

  /** The computer gets another address: streams to the old one are dead, without a notification. */
  move(): void {
    this.moves += 1;
    this.world.sim.log(`${this.name} moves to ${this.url}`);
    for (const stream of this.streams.values()) stream.vanished = true;
    this.actor?.send({ type: 'addresses.changed', present: [this.address], added: [this.address] });
  }

  start(): void {
    const { world } = this;
    const { sim } = world;
    const run = {};
    this.powered = true;
    this.process = run;
    this.clock = sim.clock();
    this.announcements = [];
    const announce = fromPromise<AnnounceOutput, AnnounceInput>(async ({ input }) => {
      this.announcements.push({ at: sim.now, url: input.queenUrl });
      sim.log(`${this.name} announces itself to ${input.queenUrl}`);
      const queen = world.queenAt(input.queenUrl);
      const { url, address } = this;
      const answer = await world.network.request(this, queen, () => queen.ready(this, url));
      return { queenId: answer.queenId, hiveUrl: url, address, run: answer.run };
    });
    const checkHealth = fromPromise<HealthOutput, QueenHealthInput>(({ input }) => {
      const queen = world.queenAt(input.queenUrl);
      return world.network.request(this, queen, () => queen.health(this));
    });
    const connection = hiveConnectionMachine.provide({
      actors: { announce, queenHealth: queenHealthMachine.provide({ actors: { checkHealth } }) },
      delays: {
        retry: ({ context }) => announceDelayMs(context.attempt + 1, sim.chance()),
        lostDelay: ({ context }) => lostDelayMs(context.shortStreams) + sim.chance() * LOST_JITTER_MS_MAX,
      },
    });
    const actor = createActor(
      hiveMachine.provide({
        actors: { connection },
        actions: {
          closeReaders: (_, { readerIds, reason }) => {
            for (const id of readerIds) this.streams.get(id)?.closeAtHive(reason);
          },
        },
      }),
      { input: { queenUrls: this.queenUrls }, clock: this.clock, inspect: world.watch(this) },
    );
    actor.subscribe({ error: (error) => world.fail(`${this.name} failed: ${String(error)}`) });
    this.actor = actor;
    actor.start();
    sim.log(`${this.name} starts`);
    const tick = () => {
      if (this.process !== run) return;
      for (const stream of this.streams.values()) stream.event();
      sim.after(this.intervalMs, tick);
    };
    sim.after(this.intervalMs, tick);
  }

  /** Its process ends. Without power the other ends of its connections are not notified. */
  kill({ power }: { power: boolean }): void {
    this.world.sim.log(`${this.name} ${power ? 'is killed' : 'loses power'}`);
    this.process = null;
    this.actor?.stop();
    this.actor = null;
    this.powered = power;
    for (const stream of [...this.streams.values()]) stream.closeAtHive('killed');
    this.streams.clear();
  }

  accept(stream: Stream): void {
    this.readers += 1;
    const readerId = `reader-${this.readers}`;
    this.streams.set(readerId, stream);
    this.world.sim.log(`${this.name} is read by ${stream.queen.name} (${readerId})`);
    this.actor?.send({ type: 'reader.opened', readerId, queenId: stream.queenId, instance: stream.instance });
  }

  closed(stream: Stream, reason: string): void {
    for (const [readerId, one] of this.streams) {
      if (one !== stream) continue;
      this.streams.delete(readerId);
      this.world.sim.log(`${this.name}: ${readerId} closes (${reason})`);
      this.actor?.send({ type: 'reader.closed', readerId, reason });
    }
  }

  /** A queen asks it for an announcement. */
  asked(url: string, queenId: string | null): void {
    let decision: QueenAskedAnswer | undefined;
    this.world.sim.log(`${this.name} is asked to announce itself to ${url}`);
    this.actor?.send({ type: 'queen.asked', url, queenId, respond: (answer) => (decision = answer) });
    if (decision === 'full') throw { kind: 'conflict', message: 'as many queens as it takes' };
  }
}
