/**
 * A swarm of real processes under a seeded sequence of faults. One seed is one plan: the same faults, in the same order,
 * for the same times; what the scheduler makes of it differs. After every few faults comes a quiet period: all is healed,
 * and once the swarm has settled each of its invariants is checked, then held against the next events.
 *
 * Clocks jump only as SIGSTOP and SIGCONT make them: another wall clock for one process wants root or a library to preload.
 */
import { cpSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createParser } from 'eventsource-parser';
import type { Test } from 'tap';
import { getJson, postJson } from './http.js';
import { type RbeeProcess, startProcess } from './process.js';
import { type TcpProxy, tcpProxy } from './proxy.js';

export interface ChaosOptions {
  seed: number;
  /** 3. */
  hives?: number;
  /** No quiet period is begun after so many faults, or so many seconds; without either, 60 s. */
  faults?: number;
  seconds?: number;
  /** At most so many faults between two quiet periods; 5. With 1 the healing of each kind stands alone. */
  together?: number;
  /** Of those kinds only. */
  only?: string[];
  /** Told each fault and each quiet period, one line each. */
  say?: (line: string) => void;
}

export interface KindReport {
  count: number;
  /** From the moment in which all is healed until the hives that it touched stream again. */
  slowestMs: number;
}

export interface ChaosReport {
  faults: number;
  quiets: number;
  kinds: Record<string, KindReport>;
  /** Of the process that grew most, in MiB after its warm-up. */
  growthMb: number;
  /** Events of hives that came out of the queen's stream. */
  beats: number;
}

/** An invariant did not hold. The message tells all that is known. */
export class ChaosFailure extends Error {
  override name = 'ChaosFailure';
}

/** A hive that was away for long waits up to 30 s before it calls again, and 10 s for her subscription. */
const SETTLE_MS_MAX = 60_000;
/** After settling the swarm is watched for so long; every few periods for longer than two failing health checks take. */
const HOLD_MS = 2_500;
/** The last event of a hive is not older, or what was held back on the way is still arriving. */
const FRESH_MS = 1_800;
const LONG_HOLD_MS = 45_000;
const LONG_HOLD_EVERY = 8;
/** A conflict is shown for 90 s after the last refusal, by a clock that a frozen queen stops. */
const CONFLICT_MS_MAX = 130_000;
const WARM_UP_MS = 60_000;
const GROWTH_MB_MAX = 60;
const SOCKETS_GROWTH_MAX = 20;
/** Outside of the ports that kernels give to outgoing connections, so that a port stays ours while nobody listens. */
const PORTS = { from: 15_000, to: 30_000, block: 500 } as const;
const QUEEN_IDS = ['queen-chaos', 'queen-other'] as const;
const STDERR_LINES = 60;
const TRANSITIONS_SHOWN = 15;

/** mulberry32: small, and the same everywhere. */
class Chance {
  constructor(private state: number) {}
  next(): number {
    this.state = (this.state + 0x6d2b79f5) | 0;
    let x = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state);
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x;
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  }
  /** In ms, in steps of 10. */
  ms(minS: number, maxS: number): number {
    return Math.round((minS + this.next() * (maxS - minS)) * 100) * 10;
  }
  odds(share: number): boolean {
    return this.next() < share;
  }
  pick<T>(from: readonly T[]): T {
    return from[Math.floor(this.next() * from.length)] as T;
  }
  shuffle<T>(from: readonly T[]): T[] {
    return from
      .map((one) => ({ one, at: this.next() }))
      .sort((a, b) => a.at - b.at)
      .map(({ one }) => one);
  }
}

const seconds = (ms: number) => `${ms / 1000} s`;

/**
 * Ports of one swarm's own: a queen who asks for a hive where it was must not find another swarm's there. The first port
 * of a block is held for as long as the block is.
 */
async function portBlock(t: Pick<Test, 'teardown'>): Promise<() => Promise<number>> {
  const blocks = (PORTS.to - PORTS.from) / PORTS.block;
  for (;;) {
    const first = PORTS.from + Math.floor(Math.random() * blocks) * PORTS.block;
    const held = await listening(first);
    if (!held) continue;
    t.teardown(() => held.close());
    let next = 0;
    return async () => {
      for (;;) {
        next = (next % (PORTS.block - 1)) + 1;
        const server = await listening(first + next);
        if (!server) continue;
        await new Promise((resolve) => server.close(resolve));
        return first + next;
      }
    };
  }
}

function listening(port: number): Promise<net.Server | null> {
  return new Promise((resolve) => {
    const server = net.createServer();
    server.once('error', () => resolve(null));
    server.listen(port, '127.0.0.1', () => resolve(server));
  });
}

/** A process of the swarm through all of its lives. */
interface Member {
  name: string;
  kind: 'queen' | 'hive';
  stateDir: string;
  port: number;
  args: () => string[];
  now: RbeeProcess | null;
  /** The stderr of lives that ended since the last quiet period. */
  past: string[];
}

interface Hive extends Member {
  /** The queen's way to it, and its way to the queen. */
  door: TcpProxy;
  uplink: TcpProxy;
}

interface Fault {
  kind: string;
  /** What happens, as one sentence without its full stop. */
  line: string;
  /** What it does something to; faults of one thing follow each other. */
  keys: string[];
  /** The hives whose streams it may end. */
  touches: string[];
  run: () => Promise<void>;
}

const linkKey = (proxy: string) => `link ${proxy}`;

/** What the queen's readers see, followed from one of her lives to the next. */
class Follower {
  readonly states = new Map<string, { state: string; stale: boolean; url: string }>();
  readonly beats = new Map<string, number>();
  /** Changes to anything but fresh streaming, since they were last taken. */
  unrest: string[] = [];
  total = 0;
  private last = new Map<string, { url: string; timestamp: string }>();
  private request: http.ClientRequest | null = null;
  private stopped = false;

  constructor(
    private readonly names: string[],
    private readonly urlOf: () => string,
    private readonly violate: (what: string) => void,
  ) {
    void this.follow();
  }

  /** Since the last event of a hive was made: all processes have one clock. */
  ageMs(name: string): number {
    return Date.now() - Date.parse(this.last.get(name)?.timestamp ?? '1970-01-01T00:00:00.000Z');
  }

  stop(): void {
    this.stopped = true;
    this.request?.destroy();
  }

  private async follow(): Promise<void> {
    while (!this.stopped) {
      await new Promise<void>((resolve) => {
        const agent = new http.Agent({ keepAlive: false });
        this.request = http.get(`${this.urlOf()}/v1/heartbeats/stream`, { agent }, (response) => {
          const heardHere = new Set<string>();
          const parser = createParser({ onEvent: ({ event, data }) => this.hear(event, data, heardHere) });
          response.setEncoding('utf8');
          response.on('data', (chunk: string) => parser.feed(chunk));
          response.on('error', () => {});
          response.once('close', resolve);
        });
        this.request.once('error', () => resolve());
      });
      this.states.clear();
      await sleep(50);
    }
  }

  private hear(event: string | undefined, text: string, heardHere: Set<string>): void {
    if (event === 'lagged') this.violate(`the queen's stream says that its reader lagged: ${text}`);
    if (event !== 'heartbeat') return;
    const data = JSON.parse(text);
    const id: string = data.hive_id;
    if (data.type === 'queen') {
      for (const one of data.hive_ids) if (!this.names.includes(one)) this.violate(`the queen lists a ghost: ${one}`);
      return;
    }
    if (!this.names.includes(id)) this.violate(`the queen's stream tells of a ghost: ${text.slice(0, 300)}`);
    if (data.type === 'hive_state') {
      this.states.set(id, { state: data.state, stale: data.stale, url: data.hive_url });
      if (data.state !== 'streaming' || data.stale) this.unrest.push(text);
      return;
    }
    const state = this.states.get(id);
    if (state?.state !== 'streaming') {
      this.violate(`telemetry of ${id} while its state is ${state?.state ?? 'unknown'}: ${text.slice(0, 200)}`);
    }
    const url = state?.url ?? '';
    const before = this.last.get(id);
    // The first of a connection may be the latest of the one before; another instance has a clock of its own.
    const again = !heardHere.has(id) && before?.timestamp === data.timestamp;
    if (before?.url === url && data.timestamp <= before.timestamp && !again) {
      const what = data.timestamp === before.timestamp ? 'twice' : `after ${before.timestamp}`;
      this.violate(`telemetry of ${id} of ${data.timestamp} came ${what}, received at ${data.received_at}`);
    }
    this.last.set(id, { url, timestamp: data.timestamp });
    heardHere.add(id);
    this.total++;
    this.beats.set(id, (this.beats.get(id) ?? 0) + 1);
  }
}

/** Runs it. @throws ChaosFailure */
export async function chaos(t: Pick<Test, 'teardown'>, options: ChaosOptions): Promise<ChaosReport> {
  const swarm = await Swarm.start(t, options);
  return swarm.run();
}

class Swarm {
  private readonly chance: Chance;
  private readonly say: (line: string) => void;
  private readonly hives: Hive[] = [];
  private freePort!: () => Promise<number>;
  private queen!: Member;
  private queenId: string = QUEEN_IDS[0];
  /** Under which the queen is reached, if she names a URL of her own. */
  private front: TcpProxy | null = null;
  /** Others of a hive's name, while they run and for the record. */
  private strangers: Member[] = [];
  private follower!: Follower;
  private readonly root = mkdtempSync(path.join(tmpdir(), 'rbee-chaos-'));
  /** The last fault of each thing. */
  private readonly busy = new Map<string, Promise<unknown>>();
  private readonly leaving = new WeakSet<RbeeProcess>();
  private violations: string[] = [];
  private sinceQuiet: string[] = [];
  private born = 0;
  private made = 0;
  private quiets = 0;
  private readonly kinds: Record<string, KindReport> = {};
  /** URLs that nobody holds any more, and since when. */
  private readonly retired = new Map<string, number>();
  private readonly warm = new Map<number, { rssMb: number; fds: number; bornAt: number; measured: boolean }>();
  private growthMb = 0;

  private constructor(
    private readonly t: Pick<Test, 'teardown'>,
    private readonly options: ChaosOptions,
  ) {
    this.chance = new Chance(options.seed);
    this.say = options.say ?? (() => {});
  }

  static async start(t: Pick<Test, 'teardown'>, options: ChaosOptions): Promise<Swarm> {
    const swarm = new Swarm(t, options);
    t.teardown(() => {
      swarm.follower?.stop();
      rmSync(swarm.root, { recursive: true, force: true, maxRetries: 3 });
    });
    const { chance } = swarm;
    swarm.freePort = await portBlock(t);
    const queen: Member = {
      ...swarm.member('queen', 'queen', await swarm.freePort()),
      args: () => [
        ...['--queen-id', swarm.queenId, '--port', String(queen.port)],
        ...(swarm.front ? ['--advertise-url', swarm.front.url] : []),
      ],
    };
    swarm.queen = queen;
    const proxy = async (port: number) => tcpProxy(t, { target: { port }, listenPort: await swarm.freePort() });
    if (chance.odds(0.5)) swarm.front = await proxy(queen.port);
    for (let i = 0; i < (options.hives ?? 3); i++) {
      const port = await swarm.freePort();
      const hive: Hive = {
        ...swarm.member(`hive-${i}`, 'hive', port),
        door: await proxy(port),
        uplink: await proxy(queen.port),
        args: () => [
          ...['--hive-id', hive.name, '--port', String(hive.port)],
          ...['--queen-url', hive.uplink.url, '--advertise-url', hive.door.url],
        ],
      };
      swarm.hives.push(hive);
    }
    await Promise.all([queen, ...swarm.hives].map((member) => swarm.launch(member)));
    const names = swarm.hives.map(({ name }) => name);
    swarm.follower = new Follower(
      names,
      () => direct(queen),
      (what) => swarm.violate(what),
    );
    return swarm;
  }

  async run(): Promise<ChaosReport> {
    const { faults = Number.POSITIVE_INFINITY, together = 5 } = this.options;
    const limitS = this.options.seconds ?? (this.options.faults === undefined ? 60 : Number.POSITIVE_INFINITY);
    const endsAt = performance.now() + limitS * 1000;
    const told = this.front ? 'names a URL of her own' : 'is told by the address of her sockets';
    this.say(`seed ${this.options.seed}: a queen, who ${told}, and ${this.hives.length} hives`);
    await this.quiet([]);
    while (this.made < faults && performance.now() < endsAt) {
      const count = Math.min(faults - this.made, 1 + Math.floor(this.chance.next() * together));
      await this.quiet(await this.storm(count));
    }
    this.follower.stop();
    return {
      faults: this.made,
      quiets: this.quiets,
      kinds: this.kinds,
      growthMb: this.growthMb,
      beats: this.follower.total,
    };
  }

  /** `count` faults, which may overlap. Those of one thing wait for each other. */
  private async storm(count: number): Promise<Fault[]> {
    const planned = Array.from({ length: count }, () => ({ gapMs: this.chance.ms(0, 2.5), fault: this.draw() }));
    const running: Promise<void>[] = [];
    for (const { gapMs, fault } of planned) {
      await sleep(gapMs);
      this.made++;
      const line = `seed ${this.options.seed} fault ${this.made}: ${fault.line}`;
      const before = Promise.all(fault.keys.map((key) => this.busy.get(key)));
      const done = before
        .then(() => {
          this.sinceQuiet.push(`${new Date().toISOString()} ${line}`);
          this.say(line);
          return fault.run();
        })
        .catch((error: Error) => this.violate(`${fault.line}: ${error.message}`));
      for (const key of fault.keys) this.busy.set(key, done);
      running.push(done);
      const { count = 0, slowestMs = 0 } = this.kinds[fault.kind] ?? {};
      this.kinds[fault.kind] = { count: count + 1, slowestMs };
    }
    await Promise.all(running);
    return planned.map(({ fault }) => fault);
  }

  private draw(): Fault {
    const drawers = Object.entries(this.drawers()).filter(([kind]) => this.options.only?.includes(kind) ?? true);
    const total = drawers.reduce((sum, [, { weight }]) => sum + weight, 0);
    if (total === 0) throw new Error(`no such kinds: ${this.options.only}; there are: ${Object.keys(this.drawers())}`);
    let at = this.chance.next() * total;
    const found = drawers.find(([, { weight }]) => {
      at -= weight;
      return at < 0;
    });
    const [kind, { make }] = (found ?? drawers[0]) as (typeof drawers)[number];
    return { kind, ...make() };
  }

  /** Every kind of fault, with how often it is drawn among the others. */
  private drawers(): Record<string, { weight: number; make: () => Omit<Fault, 'kind'> }> {
    const { chance, hives, queen } = this;
    const all = hives.map(({ name }) => name);
    const hive = () => chance.pick(hives);
    /** With odd seeds the queen lives through it all, with even ones the first hive: whether they grow is seen in them. */
    const spared = this.options.seed % 2 === 0 ? (hives.length > 1 ? hives[0] : undefined) : queen;
    const anyone = () => chance.pick([queen, queen, ...hives].filter((member) => member !== spared));
    const mortal = () => chance.pick(hives.filter((one) => one !== spared));
    const touched = (member: Member) => (member === queen ? all : [member.name]);
    const of = (member: Member) => ({ keys: [member.name], touches: touched(member) });

    /** One proxy, in words. */
    const link = () => {
      const one = hive();
      const ways = [
        { proxy: () => one.door, words: `the queen's way to ${one.name}`, touches: [one.name] },
        { proxy: () => one.uplink, words: `${one.name}'s way to the queen`, touches: [one.name] },
        ...(this.front ? [{ proxy: () => this.front as TcpProxy, words: "the queen's own URL", touches: all }] : []),
      ];
      const way = chance.pick(ways);
      return { ...way, keys: [linkKey(way.words)] };
    };
    /** Both ways of a hive at once, as a cable has them, or one proxy. */
    const links = () => {
      if (chance.odds(0.5)) {
        const { proxy, ...way } = link();
        return { ...way, proxies: () => [proxy()] };
      }
      const one = hive();
      const words = `everything between ${one.name} and the queen`;
      const keys = [linkKey(`the queen's way to ${one.name}`), linkKey(`${one.name}'s way to the queen`)];
      return { words, keys, touches: [one.name], proxies: () => [one.door, one.uplink] };
    };
    const forAWhile = async (proxies: TcpProxy[], ms: number, act: (proxy: TcpProxy) => unknown) => {
      await Promise.all(proxies.map(act));
      await sleep(ms);
      await Promise.all(proxies.map((proxy) => proxy.heal()));
    };
    const back = (afterMs: number) => (afterMs === 0 ? 'and returns at once' : `and returns after ${seconds(afterMs)}`);
    const away = () => (chance.odds(0.3) ? 0 : chance.odds(0.8) ? chance.ms(0.1, 3) : chance.ms(3, 14));

    return {
      killed: {
        weight: 5,
        make: () => {
          const who = anyone();
          const ms = away();
          return { ...of(who), line: `${who.name} is killed, ${back(ms)}`, run: () => this.again(who, 'SIGKILL', ms) };
        },
      },
      'killed, other port': {
        weight: 4,
        make: () => {
          const who = anyone();
          const ms = away();
          return {
            ...of(who),
            line: `${who.name} is killed, ${back(ms)} on another port${who === queen ? '' : ' behind the same URL'}`,
            run: () => this.again(who, 'SIGKILL', ms, async () => this.setPort(who, await this.freePort())),
          };
        },
      },
      moved: {
        weight: 4,
        make: () => {
          const who = mortal() as Hive;
          const ms = away();
          const how = chance.pick(['SIGKILL', 'SIGTERM'] as const);
          return {
            keys: [who.name, linkKey(`the queen's way to ${who.name}`)],
            touches: [who.name],
            line: `${who.name} ends by ${how}, ${back(ms)} under another URL`,
            run: () => this.again(who, how, ms, () => this.move(who)),
          };
        },
      },
      ended: {
        weight: 3,
        make: () => {
          const who = anyone();
          const ms = away();
          const how = chance.pick(['SIGTERM', 'SIGINT', 'POST /v1/shutdown'] as const);
          return {
            ...of(who),
            line: `${who.name} is ended by ${how}, ${back(ms)}`,
            run: () => this.again(who, how, ms),
          };
        },
      },
      'without its state': {
        weight: 2,
        make: () => {
          const who = anyone();
          const ms = away();
          const run = async () => {
            await this.again(who, 'SIGKILL', ms, () =>
              rmSync(who.stateDir, { recursive: true, force: true, maxRetries: 3 }),
            );
            if (who === queen) this.giveUp();
          };
          return { ...of(who), line: `${who.name} is killed, ${back(ms)} without its state`, run };
        },
      },
      'another queen': {
        weight: spared === queen ? 0 : 1,
        make: () => {
          const ms = away();
          // She has a state of her own, perhaps an old one.
          const run = async () => {
            await this.again(queen, 'SIGKILL', ms, () => {
              this.queenId = this.queenId === QUEEN_IDS[0] ? QUEEN_IDS[1] : QUEEN_IDS[0];
            });
            this.giveUp();
          };
          return { ...of(queen), line: `queen is killed, and after ${seconds(ms)} another takes her place`, run };
        },
      },
      asleep: {
        weight: 1,
        make: () => {
          const ms = chance.ms(0.5, 14);
          const everybody = [queen, ...hives];
          return {
            keys: everybody.map(({ name }) => name),
            touches: all,
            line: `all are frozen at once for ${seconds(ms)}`,
            run: async () => void (await Promise.all(everybody.map((one) => this.freeze(one, ms)))),
          };
        },
      },
      everybody: {
        weight: 1,
        make: () => {
          const order = chance.shuffle([queen, ...hives].filter((one) => one !== spared));
          const gaps = order.map(() => away() / 3);
          return {
            keys: order.map(({ name }) => name),
            touches: all,
            line: `all are killed at once but ${spared?.name ?? 'nobody'}, and return in the order ${order.map(({ name }) => name).join(', ')}`,
            run: async () => {
              await Promise.all(order.map((one) => this.end(one, 'SIGKILL')));
              const returning: Promise<void>[] = [];
              for (const [i, one] of order.entries()) {
                await sleep(gaps[i] ?? 0);
                returning.push(this.launch(one));
              }
              await Promise.all(returning);
            },
          };
        },
      },
      'frozen, short': {
        weight: 4,
        make: () => {
          const who = chance.pick([queen, ...hives]);
          const ms = chance.ms(0.3, 2);
          return { ...of(who), line: `${who.name} is frozen for ${seconds(ms)}`, run: () => this.freeze(who, ms) };
        },
      },
      'frozen, long': {
        weight: 3,
        make: () => {
          const who = chance.pick([queen, ...hives]);
          const ms = chance.ms(4, 14);
          return { ...of(who), line: `${who.name} is frozen for ${seconds(ms)}`, run: () => this.freeze(who, ms) };
        },
      },
      'frozen, then killed': {
        weight: 2,
        make: () => {
          const who = anyone();
          const ms = chance.ms(0.5, 12);
          return {
            ...of(who),
            line: `${who.name} is frozen, killed after ${seconds(ms)}, and returns`,
            run: async () => {
              who.now?.freeze();
              await sleep(ms);
              await this.again(who, 'SIGKILL', 0);
            },
          };
        },
      },
      cut: {
        weight: 4,
        make: () => {
          const { words, keys, touches, proxies } = links();
          const how = chance.pick(['end', 'reset'] as const);
          const line = `${words}: every connection ends${how === 'reset' ? ' by a reset' : ''}`;
          const run = async () => {
            for (const proxy of proxies()) proxy.cut(how);
          };
          return { keys, touches, line, run };
        },
      },
      refused: {
        weight: 4,
        make: () => {
          const { words, keys, touches, proxies } = links();
          const ms = chance.ms(0.5, 12);
          const cut = chance.odds(0.7);
          const line = `${words}: new connections are refused for ${seconds(ms)}${cut ? ', and the others end' : ''}`;
          const act = async (proxy: TcpProxy) => {
            await proxy.refuse();
            if (cut) proxy.cut();
          };
          return { keys, touches, line, run: () => forAWhile(proxies(), ms, act) };
        },
      },
      'half-open': {
        weight: 5,
        make: () => {
          const { words, keys, touches, proxies } = links();
          const ms = chance.ms(2, 15);
          const line = `${words}: nothing passes and nothing ends for ${seconds(ms)}`;
          return { keys, touches, line, run: () => forAWhile(proxies(), ms, (proxy) => proxy.halfOpen()) };
        },
      },
      forgotten: {
        weight: 2,
        make: () => {
          const { words, keys, touches, proxies } = links();
          const line = `${words}: what stands is never forwarded again, nor ended`;
          // Until both sides can have noticed.
          const run = async () => {
            for (const proxy of proxies()) proxy.forget();
            await sleep(12_000);
          };
          return { keys, touches, line, run };
        },
      },
      delayed: {
        weight: 3,
        make: () => {
          const { words, keys, touches, proxies } = links();
          const byMs = chance.ms(0.05, 2.5);
          const ms = chance.ms(1, 8);
          const line = `${words}: everything is ${seconds(byMs)} late for ${seconds(ms)}`;
          return { keys, touches, line, run: () => forAWhile(proxies(), ms, (proxy) => proxy.delay(byMs)) };
        },
      },
      throttled: {
        weight: 2,
        make: () => {
          const { words, keys, touches, proxies } = links();
          const bytesPerS = Math.round(100 + chance.next() * 1500);
          const ms = chance.ms(3, 12);
          const line = `${words}: ${bytesPerS} bytes/s for ${seconds(ms)}`;
          return { keys, touches, line, run: () => forAWhile(proxies(), ms, (proxy) => proxy.throttle(bytesPerS)) };
        },
      },
      crossed: {
        weight: hives.length > 1 ? 1 : 0,
        make: () => {
          const [a, b] = chance.shuffle(hives) as [Hive, Hive];
          const ms = chance.ms(1, 8);
          return {
            keys: [a, b].flatMap(({ name }) => [name, linkKey(`the queen's way to ${name}`)]),
            touches: [a.name, b.name],
            line: `${a.name} and ${b.name} are found at each other's URL for ${seconds(ms)}`,
            run: async () => {
              for (const [at, to] of [
                [a, b],
                [b, a],
              ] as const) {
                at.door.setTarget({ port: to.port });
                at.door.cut();
              }
              await sleep(ms);
              for (const one of [a, b]) {
                one.door.setTarget({ port: one.port });
                one.door.cut();
              }
            },
          };
        },
      },
      namesake: {
        weight: 2,
        make: () => {
          const who = hive();
          const ms = chance.ms(2, 12);
          const copied = chance.odds(0.4);
          const how = chance.pick(['SIGKILL', 'SIGTERM'] as const);
          return {
            keys: [`namesake of ${who.name}`, ...(copied ? [who.name] : [])],
            touches: [who.name],
            line: `a second ${who.name}, ${copied ? 'with a copy of its state' : 'with a state of its own'}, runs for ${seconds(ms)} and ends by ${how}`,
            run: () => this.namesake(who, { ms, copied, how }),
          };
        },
      },
    };
  }

  private member(name: string, kind: Member['kind'], port: number): Member {
    this.born++;
    const stateDir = path.join(this.root, String(this.born));
    return { name, kind, stateDir, port, args: () => [], now: null, past: [] };
  }

  private async launch(member: Member): Promise<void> {
    mkdirSync(member.stateDir, { recursive: true });
    const { kind: name, stateDir } = member;
    const started = await startProcess(this.t, { name, stateDir, args: member.args() });
    member.now = started;
    this.warm.set(started.pid, { rssMb: 0, fds: 0, bornAt: performance.now(), measured: false });
    void started.exited.then(({ code, signal }) => {
      this.warm.delete(started.pid);
      if (!this.leaving.has(started)) this.violate(`${member.name} ended by itself: code ${code}, signal ${signal}`);
    });
  }

  private async end(member: Member, how: NodeJS.Signals | 'POST /v1/shutdown'): Promise<void> {
    const leaving = member.now;
    if (!leaving) return;
    this.leaving.add(leaving);
    member.now = null;
    const startedAt = performance.now();
    if (how === 'POST /v1/shutdown') await postJson(`${direct(member)}/v1/shutdown`, {});
    const { code, signal } = await (how === 'POST /v1/shutdown' ? leaving.exited : leaving.kill(how));
    member.past.push(leaving.stderr());
    this.readStderr(member.name, leaving);
    if (how === 'SIGKILL') return;
    if (code !== 0) this.violate(`${member.name} ended by ${how} with code ${code}, signal ${signal}`);
    const ms = performance.now() - startedAt;
    if (ms > 6_000) this.violate(`${member.name} took ${Math.round(ms)} ms to end by ${how}`);
  }

  private async again(
    member: Member,
    how: NodeJS.Signals | 'POST /v1/shutdown',
    afterMs: number,
    meanwhile: () => unknown = () => {},
  ): Promise<void> {
    await this.end(member, how);
    await sleep(afterMs);
    await meanwhile();
    await this.launch(member);
  }

  private setPort(member: Member, port: number): void {
    member.port = port;
    const hive = this.hives.find((one) => one === member);
    for (const proxy of hive ? [hive.door] : [...this.hives.map(({ uplink }) => uplink), this.front]) {
      proxy?.setTarget({ port });
    }
  }

  /** Another port, and another URL before it. */
  private async move(hive: Hive): Promise<void> {
    await hive.door.close();
    this.retired.set(hive.door.url, performance.now());
    hive.port = await this.freePort();
    hive.door = await tcpProxy(this.t, { target: { port: hive.port }, listenPort: await this.freePort() });
  }

  /**
   * A queen who does not know a hive any more, or knows another of its name, does not ask for it; and the hive takes a
   * stream that died silently for read until TCP gives up, after a quarter of an hour. Here that comes at once.
   */
  private giveUp(): void {
    for (const { door } of this.hives) door.giveUp();
  }

  private async freeze(member: Member, ms: number): Promise<void> {
    member.now?.freeze();
    await sleep(ms);
    member.now?.thaw();
  }

  private async namesake(
    hive: Hive,
    { ms, copied, how }: { ms: number; copied: boolean; how: NodeJS.Signals },
  ): Promise<void> {
    const port = await this.freePort();
    const stranger: Member = {
      ...this.member(hive.name, 'hive', port),
      name: `the second ${hive.name}`,
      args: () => ['--hive-id', hive.name, '--port', String(port), '--queen-url', hive.uplink.url],
    };
    this.strangers.push(stranger);
    if (copied) {
      const kept = path.join('hive', hive.name, 'instance.json');
      cpSync(path.join(hive.stateDir, kept), path.join(stranger.stateDir, kept));
    }
    await this.launch(stranger);
    await sleep(ms);
    await this.end(stranger, how);
    this.giveUp();
    this.retired.set(`http://127.0.0.1:${port}`, performance.now());
  }

  private violate(what: string): void {
    this.violations.push(`${new Date().toISOString()} ${what}`);
  }

  private readStderr(name: string, { stderr }: RbeeProcess): void {
    const wrong = /^.*(?:\n {2,}at .+:\d+:\d+|\bfatal\b|\w+Warning: |unhandled).*$/im.exec(stderr());
    if (wrong) this.violate(`the stderr of ${name} says: ${wrong[0]}`);
  }

  /** All healed: the swarm settles, and stays settled. */
  private async quiet(after: Fault[]): Promise<void> {
    const proxies = [...this.hives.flatMap(({ door, uplink }) => [door, uplink]), ...(this.front ? [this.front] : [])];
    await Promise.all(proxies.map((proxy) => proxy.heal()));
    const settledMs = await this.settle();
    for (const { kind, touches } of after) {
      const report = this.kinds[kind] as KindReport;
      report.slowestMs = Math.max(report.slowestMs, ...touches.map((name) => settledMs.get(name) ?? 0));
    }
    this.quiets++;
    await this.hold(this.quiets % LONG_HOLD_EVERY === 0 ? LONG_HOLD_MS : HOLD_MS);
    const sizes = await this.measure();
    for (const member of this.members()) if (member.now) this.readStderr(member.name, member.now);
    if (this.violations.length > 0) await this.fail();
    const slowest = Math.max(...settledMs.values());
    const each = [...settledMs].map(([name, ms]) => `${name} ${(ms / 1000).toFixed(1)}`).join(', ');
    this.say(
      `quiet ${this.quiets} after ${this.made}: settled in ${(slowest / 1000).toFixed(1)} s (${each}); ${sizes}`,
    );
    this.sinceQuiet = [];
    for (const member of this.members()) member.past = [];
    this.strangers = this.strangers.filter(({ now }) => now !== null);
  }

  private async settle(): Promise<Map<string, number>> {
    const startedAt = performance.now();
    const wellAt = new Map<string, number>();
    let problems: Map<string, string>;
    do {
      problems = await this.look().catch((error: Error) => new Map([['queen', `cannot be asked: ${error.message}`]]));
      for (const { name } of this.hives) {
        if (problems.has(name) || problems.has('queen')) wellAt.delete(name);
        else if (!wellAt.has(name)) wellAt.set(name, performance.now() - startedAt);
      }
      if (problems.size === 0) return wellAt;
      await sleep(200);
    } while (performance.now() - startedAt < SETTLE_MS_MAX);
    for (const [who, what] of problems) this.violate(`not settled after ${seconds(SETTLE_MS_MAX)}: ${who}: ${what}`);
    return this.fail();
  }

  /** What is not as it must be, by name. */
  private async look(): Promise<Map<string, string>> {
    const problems = new Map<string, string>();
    const [{ body: fleet }, { body: hers }] = await Promise.all(
      ['hives', 'machines'].map((what) => getJson(`${direct(this.queen)}/v1/${what}`)) as [
        ReturnType<typeof getJson>,
        ReturnType<typeof getJson>,
      ],
    );
    const names = this.hives.map(({ name }) => name);
    const others = (hers.machines as Machine[]).filter((machine) => !names.some((name) => isOf(name, machine)));
    const queen = differences(others, { queen: 1, discovery: 1, supervisor: 1 });
    if (fleet.hives.length !== this.hives.length) queen.push(`${fleet.hives.length} entries`);
    for (const { hive_id, hive_url } of fleet.conflicts) {
      const since = this.retired.get(hive_url);
      if (since === undefined || performance.now() - since > CONFLICT_MS_MAX) {
        queen.push(`a conflict of a ghost: ${hive_id} at ${hive_url}`);
      }
    }
    if (queen.length > 0) problems.set('queen', queen.join('; '));
    await Promise.all(
      this.hives.map(async (hive) => {
        const wrong = await this.lookAt(hive, fleet.hives, hers.machines).catch((error: Error) => [error.message]);
        if (wrong.length > 0) problems.set(hive.name, wrong.join('; '));
      }),
    );
    return problems;
  }

  private async lookAt(hive: Hive, entries: Entry[], hers: Machine[]): Promise<string[]> {
    const { name } = hive;
    const subscribed = 'hive-subscription streaming';
    const entry = entries.find(({ hive_id }) => hive_id === name);
    const [{ body }, { body: metrics }] = await Promise.all([
      getJson(`${direct(hive)}/v1/machines`),
      getJson(`${direct(hive)}/metrics`),
    ]);
    const machines: Machine[] = body.machines;
    const wrong = differences(machines, { hive: 1, 'hive-connection': 1, 'queen-health': 1 });
    const expect = (what: string, got: unknown, wanted: unknown) => {
      if (got !== wanted) wrong.push(`${what} is ${got}, not ${wanted}`);
    };
    expect('its entry', entry && `${entry.hive_url} ${entry.state} ${entry.stale}`, `${hive.door.url} streaming false`);
    const mine = hers.filter((machine) => isOf(name, machine));
    expect('its subscription', mine.map(({ machine, state }) => `${machine} ${state}`).join(), subscribed);
    const connection = machines.find(({ machine }) => machine === 'hive-connection');
    expect('its connection', connection?.state, 'streaming');
    expect('its connection counts', connection?.context.readers, 1);
    expect('the number of its readers', number(metrics, 'rbee_heartbeat_stream_readers'), 1);
    const shown = this.follower.states.get(name);
    expect("what the queen's readers see", `${shown?.state} ${shown?.stale}`, 'streaming false');
    const ageMs = this.follower.ageMs(name);
    if (ageMs > FRESH_MS) wrong.push(`the last event is ${ageMs} ms old`);
    return wrong;
  }

  /** Nothing is lost or stale any more, and each hive is heard once an interval. */
  private async hold(ms: number): Promise<void> {
    this.follower.unrest = [];
    this.follower.beats.clear();
    await sleep(ms);
    for (const change of this.follower.unrest) this.violate(`unrest while all was quiet: ${change}`);
    for (const { name } of this.hives) {
      const beats = this.follower.beats.get(name) ?? 0;
      const due = ms / 1000;
      // A busy machine may tick late, and then the tick falls into the next second.
      if (beats < due * 0.9 - 1.5 || beats > due + 2) {
        this.violate(`${name} was heard ${beats} times in ${due} s`);
      }
    }
    for (const [who, what] of await this.look()) this.violate(`no longer settled after ${ms} ms: ${who}: ${what}`);
  }

  private members(): Member[] {
    return [this.queen, ...this.hives, ...this.strangers];
  }

  /** Memory and descriptors of those that live, against what they were once warm. */
  private async measure(): Promise<string> {
    const sizes = await Promise.all(
      this.members().map(async ({ name, now, port }) => {
        const warm = now && this.warm.get(now.pid);
        if (!warm) return '';
        const { body } = await getJson(`${direct({ port })}/metrics`);
        const rssMb = (number(body, 'process_resident_memory_bytes') ?? 0) / 2 ** 20;
        const fds = number(body, 'process_open_fds') ?? 0;
        if (performance.now() - warm.bornAt > WARM_UP_MS) {
          if (!warm.measured) Object.assign(warm, { measured: true, rssMb, fds });
          this.growthMb = Math.max(this.growthMb, rssMb - warm.rssMb);
          if (rssMb - warm.rssMb > GROWTH_MB_MAX) {
            this.violate(`${name} grew from ${Math.round(warm.rssMb)} to ${Math.round(rssMb)} MiB`);
          }
          if (fds - warm.fds > SOCKETS_GROWTH_MAX) this.violate(`${name} went from ${warm.fds} to ${fds} descriptors`);
        }
        const grown = warm.measured ? ` (+${Math.round(rssMb - warm.rssMb)})` : '';
        return `${name} ${Math.round(rssMb)}${grown} MiB ${fds} fds`;
      }),
    );
    return sizes.filter((size) => size !== '').join(', ');
  }

  private async fail(): Promise<never> {
    const told = [
      `seed ${this.options.seed}, after ${this.made} faults:`,
      ...this.violations.slice(0, 30).map((what) => `  ${what}`),
      'The faults since the last quiet period:',
      ...this.sinceQuiet.map((line) => `  ${line}`),
    ];
    for (const member of this.members()) {
      const stderr = [...member.past, member.now?.stderr() ?? '(it does not run)'].join('--- and then:\n');
      told.push(`The stderr of ${member.name}, at ${direct(member)}:`);
      told.push(
        ...stderr
          .trimEnd()
          .split('\n')
          .slice(-STDERR_LINES)
          .map((line) => `  ${line}`),
      );
    }
    for (const member of this.members()) {
      if (!member.now) continue;
      const answer = await getJson(`${direct(member)}/v1/machines`).catch((error: Error) => error);
      told.push(`The machines of ${member.name}:`);
      if (answer instanceof Error) told.push(`  ${answer.message}`);
      else for (const machine of answer.body.machines as Machine[]) told.push(...describe(machine));
    }
    throw new ChaosFailure(told.join('\n'));
  }
}

interface Entry {
  hive_id: string;
  hive_url: string;
  state: string;
  stale: boolean;
}

interface Machine {
  id: string;
  machine: string;
  state: string;
  value: unknown;
  context: Record<string, unknown>;
  transitions: { at: string; event: string; from: string | null; to: string; reason: string | null }[];
}

/** Never through a proxy. */
const direct = ({ port }: Pick<Member, 'port'>) => `http://127.0.0.1:${port}`;

/** A machine of the queen that is there for the hive of this name. */
const isOf = (name: string, { id }: Machine) => id.split('/').includes(name);

function number(metrics: string, name: string): number | undefined {
  const found = new RegExp(`^${name} (\\S+)`, 'm').exec(metrics)?.[1];
  return found === undefined ? undefined : Number(found);
}

/** Where the kinds of live machines are not in the numbers that they must be. */
function differences(machines: Machine[], wanted: Record<string, number>): string[] {
  const counts: Record<string, number> = {};
  for (const { machine } of machines) counts[machine] = (counts[machine] ?? 0) + 1;
  return [...new Set([...Object.keys(counts), ...Object.keys(wanted)])]
    .filter((kind) => (counts[kind] ?? 0) !== (wanted[kind] ?? 0))
    .map((kind) => `${counts[kind] ?? 0} ${kind} machines, not ${wanted[kind] ?? 0}`);
}

function describe({ id, machine, value, context, transitions }: Machine): string[] {
  return [
    `  ${machine} ${id}: ${JSON.stringify(value)} ${JSON.stringify(context)}`,
    ...transitions
      .slice(-TRANSITIONS_SHOWN)
      .map(({ at, event, from, to, reason }) => `    ${at} ${event}: ${from} → ${to} ${reason ?? ''}`),
  ];
}
