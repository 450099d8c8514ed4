/** A simulated computer that runs a queen: the real state machines and the real watch of silence. */
import { type ActorRefFrom, createActor, fromCallback, fromPromise } from 'xstate';
import { watchSilence } from '../../../actors/net/watch-silence.js';
import { silenceLimits } from '../../../machines/backoff.js';
import { discoveryMachine } from '../../../machines/discovery.js';
import type { KnownHive } from '../../../machines/hive-name.js';
import { hiveSubscriptionMachine } from '../../../machines/hive-subscription.js';
import { type AskInput, seekMachine } from '../../../machines/seek.js';
import type { SubscribeInput, SubscriptionEvent } from '../../../machines/subscription-events.js';
import { Subscriptions } from '../../../wiring/subscriptions.js';
import type { SimHive } from './hive.js';
import type { Host } from './network.js';
import type { CountingClock } from './sim.js';
import { Stream } from './stream.js';
import type { World } from './world.js';

export class SimQueen implements Host {
  powered = true;
  process: object | null = null;
  private search: ActorRefFrom<typeof discoveryMachine> | null = null;
  subscriptions: Subscriptions | null = null;
  clock: CountingClock;
  readonly name: string;
  readonly id: string;
  /** Streams whose end here is open. */
  readonly streams = new Set<Stream>();
  /** The state of each hive as readers of the queen see it. */
  readonly shown = new Map<string, { state: string; stale: boolean }>();
  private known = new Map<string, KnownHive>();
  private runs = 0;

  /** Closes every stream as soon as it is open. */
  flapping = false;
  /** A queen of the first implementation: it sends no id. */
  readonly old: boolean;
  /** It keeps an open stream when the hive announces itself again. */
  private readonly keeps: boolean;

  constructor(
    private readonly world: World,
    n: number,
    { old, keeps }: { old: boolean; keeps: boolean },
  ) {
    this.old = old;
    this.keeps = keeps;
    this.name = `q${n}`;
    this.id = `queen-${n}`;
    this.clock = world.sim.clock();
  }

  get url(): string {
    return `http://${this.name}`;
  }
  private get sentId(): string | null {
    return this.old ? null : this.id;
  }

  start(): void {
    const { world } = this;
    const { sim } = world;
    this.powered = true;
    this.process = {};
    this.runs += 1;
    this.clock = sim.clock();
    this.shown.clear();
    const subscriber = fromCallback<SubscriptionEvent, SubscribeInput>(({ input, sendBack }) =>
      this.subscribe(input, sendBack),
    );
    const ask = fromPromise<void, AskInput>(({ input }) => this.ask(world.hiveAt(input.hiveUrl), this.url));
    const searchHosts = fromPromise(async () => {
      const hives = world.searches ? world.hives : [];
      const outcomes = await Promise.allSettled(hives.map((hive) => this.ask(hive, this.url)));
      const answered = outcomes.filter(({ status }) => status === 'fulfilled').length;
      return { listed: outcomes.length, asked: outcomes.length, answered };
    });
    const machine = hiveSubscriptionMachine.provide({
      actors: {
        subscriber,
        ask,
        pollWorkers: fromCallback(() => {}),
        seek: seekMachine.provide({ actors: { ask } }),
      },
      actions: {
        publish: ({ context }, shown) => {
          sim.log(`${this.name} shows ${context.hiveId} ${shown.state}${shown.stale ? ', stale' : ''}`);
          this.shown.set(context.hiveId, shown);
          const { hiveId, hiveUrl, instance, trusted } = context;
          if (shown.state === 'streaming') this.known.set(hiveId, { hiveId, hiveUrl, instance, trusted });
        },
      },
    });
    const { clock } = this;
    const inspect = world.watch(this);
    const onError = (error: unknown) => world.fail(`${this.name} failed: ${String(error)}`);
    this.subscriptions = new Subscriptions({
      machine,
      clock,
      inspect,
      hivesMax: 100,
      onError: (_hiveId, error) => onError(error),
    });
    const search = createActor(discoveryMachine.provide({ actors: { searchHosts } }), { clock, inspect });
    search.subscribe({ error: onError });
    this.search = search;
    sim.log(`${this.name} starts`);
    this.subscriptions.start([...this.known.values()]);
    search.start();
  }

  stop(): void {
    this.subscriptions?.stop();
    this.subscriptions = null;
    this.search?.stop();
    this.search = null;
  }

  /** Its state is lost. */
  forget(): void {
    this.known.clear();
  }

  kill({ power }: { power: boolean }): void {
    this.world.sim.log(`${this.name} ${power ? 'is killed' : 'loses power'}`);
    this.process = null;
    this.powered = power;
    const { streams } = this;
    for (const stream of [...streams]) stream.closeAtQueen();
    this.stop();
    streams.clear();
  }

  private subscribe(input: SubscribeInput, sendBack: (event: SubscriptionEvent) => void): () => void {
    const { sim, network } = this.world;
    const hive = this.world.hiveAt(input.hiveUrl);
    const silence = { stop: () => {}, heard: () => {} };
    const over = (event: SubscriptionEvent) => {
      silence.stop();
      this.streams.delete(stream);
      sendBack(event);
    };
    const stream = new Stream({
      ...{ sim, network, hive, queen: this, queenId: this.sentId, stallMs: this.world.stallMs },
      instance: this.old ? null : `${this.id}-state`,
      accept: (one) => hive.accept(one),
      closedAtHive: (one, reason) => hive.closed(one, reason),
      opened: () => {
        if (this.flapping) {
          stream.closeAtQueen();
          return over({ type: 'closed', reason: 'it closed the stream' });
        }
        sendBack({ type: 'answered' });
        const watch = watchSilence({ clock: this.clock, silenceLimits }, sendBack, input.intervalMs);
        let first = true;
        silence.stop = watch.stop;
        silence.heard = () => {
          watch.heard();
          if (first && hive.intervalMs !== watch.intervalMs()) {
            watch.setInterval(hive.intervalMs);
            sendBack({ type: 'interval', ms: hive.intervalMs });
          }
          if (first) sendBack({ type: 'opened' });
          first = false;
        };
      },
      failed: (failure) => over({ type: 'failed', failure }),
      heard: () => silence.heard(),
      closedAtQueen: (reason) => over({ type: 'closed', reason }),
    });
    this.streams.add(stream);
    return () => {
      silence.stop();
      this.streams.delete(stream);
      stream.closeAtQueen();
    };
  }

  /** Asks a hive for an announcement to a URL of this queen, unless it is read already. */
  async ask(hive: SimHive, url: string): Promise<void> {
    if (this.shown.get(hive.id)?.state === 'streaming' && url === this.url) {
      throw { kind: 'identity', message: `hive ${hive.id} streams already` };
    }
    // A `queen_id` is optional in the request.
    const queenId = this.world.sim.chance() < 0.2 ? null : this.sentId;
    await this.world.network.request(this, hive, () => hive.asked(url, queenId));
  }

  /** A hive announces itself. */
  ready(hive: SimHive, hiveUrl: string): { queenId: string | null; run: string | null } {
    const run = this.old ? null : `run-${this.runs}`;
    if (this.keeps && this.health(hive).reads) return { queenId: this.sentId, run };
    const answer = this.subscriptions?.call('hive.ready', {
      ...{ hiveId: hive.id, hiveUrl, instance: hive.instance, trusted: false },
      at: this.clock.now(),
    });
    if (answer?.outcome !== 'subscribed') throw { kind: 'conflict', message: answer?.outcome ?? 'no answer' };
    return { queenId: this.sentId, run };
  }

  health(hive: SimHive): { run: string | null; reads: boolean | null } {
    if (this.old) return { run: null, reads: null };
    return { run: `run-${this.runs}`, reads: this.shown.get(hive.id)?.state === 'streaming' };
  }
}
