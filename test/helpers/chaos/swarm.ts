/** A queen and its hives as real processes with a proxy for each direction, and the operations of faults on them. */
import { cpSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Test } from 'tap';
import { postJson } from '../http.js';
import { type RbeeProcess, startProcess } from '../process.js';
import { type TcpProxy, tcpProxy } from '../proxy.js';
import type { Chance } from './chance.js';
import { Follower } from './follower.js';
import { direct, type Hive, type Member } from './member.js';
import { portBlock } from './ports.js';

const QUEEN_IDS = ['queen-chaos', 'queen-other'] as const;
/** For an end by a signal that can be caught, with streams open. */
const ENDING_MS_MAX = 6_000;

export type Ending = NodeJS.Signals | 'POST /v1/shutdown';

export class Swarm {
  readonly hives: Hive[] = [];
  readonly queen: Member;
  readonly follower: Follower;
  /** In front of the queen, if it has an `--advertise-url`. */
  front: TcpProxy | null = null;
  /** URLs that are not in use any more, and since when. */
  readonly retired = new Map<string, number>();
  readonly violations: string[] = [];
  private queenId: string = QUEEN_IDS[0];
  /** Second processes of a hive's name; kept after their end for the report. */
  private duplicates: Member[] = [];
  private readonly leaving = new WeakSet<RbeeProcess>();
  private readonly root = mkdtempSync(path.join(tmpdir(), 'rbee-chaos-'));
  private count = 0;

  private constructor(
    private readonly t: Pick<Test, 'teardown'>,
    readonly freePort: () => Promise<number>,
    queenPort: number,
  ) {
    const queen = this.member('queen', 'queen', queenPort);
    queen.args = () => [
      ...['--queen-id', this.queenId, '--port', String(queen.port)],
      ...(this.front ? ['--advertise-url', this.front.url] : []),
    ];
    this.queen = queen;
    this.follower = new Follower(
      this.hives,
      () => direct(queen),
      (what) => this.violate(what),
    );
    t.teardown(() => {
      this.follower.stop();
      rmSync(this.root, { recursive: true, force: true, maxRetries: 3 });
    });
  }

  static async start(t: Pick<Test, 'teardown'>, { chance, hives }: { chance: Chance; hives: number }): Promise<Swarm> {
    const freePort = await portBlock(t);
    const swarm = new Swarm(t, freePort, await freePort());
    const { queen } = swarm;
    const proxy = async (port: number) => tcpProxy(t, { target: { port }, listenPort: await freePort() });
    if (chance.odds(0.5)) swarm.front = await proxy(queen.port);
    for (let i = 0; i < hives; i++) {
      const port = await freePort();
      const hive: Hive = {
        ...swarm.member(`hive-${i}`, 'hive', port),
        inbound: await proxy(port),
        uplink: await proxy(queen.port),
        args: () => [
          ...['--hive-id', hive.name, '--port', String(hive.port)],
          ...['--queen-url', hive.uplink.url, '--advertise-url', hive.inbound.url],
        ],
      };
      swarm.hives.push(hive);
    }
    await Promise.all([queen, ...swarm.hives].map((member) => swarm.launch(member)));
    swarm.follower.start();
    return swarm;
  }

  members(): Member[] {
    return [this.queen, ...this.hives, ...this.duplicates];
  }

  violate(what: string): void {
    this.violations.push(`${new Date().toISOString()} ${what}`);
  }

  /** Resets all proxies. */
  async heal(): Promise<void> {
    const proxies = [
      ...this.hives.flatMap(({ inbound, uplink }) => [inbound, uplink]),
      ...(this.front ? [this.front] : []),
    ];
    await Promise.all(proxies.map((proxy) => proxy.heal()));
  }

  /** Starts a new record for the report. */
  forgetPast(): void {
    for (const member of this.members()) member.past = [];
    this.duplicates = this.duplicates.filter(({ now }) => now !== null);
  }

  async launch(member: Member): Promise<void> {
    mkdirSync(member.stateDir, { recursive: true });
    const { kind: name, stateDir } = member;
    const started = await startProcess(this.t, { name, stateDir, args: member.args() });
    member.now = started;
    member.startedAtMs = performance.now();
    void started.exited.then(({ code, signal }) => {
      if (!this.leaving.has(started)) this.violate(`${member.name} ended by itself: code ${code}, signal ${signal}`);
    });
  }

  async end(member: Member, how: Ending): Promise<void> {
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
    if (ms > ENDING_MS_MAX) this.violate(`${member.name} took ${Math.round(ms)} ms to end by ${how}`);
  }

  async restart(member: Member, how: Ending, afterMs: number, before: () => unknown = () => {}): Promise<void> {
    await this.end(member, how);
    await sleep(afterMs);
    await before();
    await this.launch(member);
  }

  async freeze(member: Member, ms: number): Promise<void> {
    member.now?.freeze();
    await sleep(ms);
    member.now?.thaw();
  }

  removeState({ stateDir }: Member): void {
    rmSync(stateDir, { recursive: true, force: true, maxRetries: 3 });
  }

  /** Takes effect at the next start. Each id has its own state, which may be an old one. */
  renameQueen(): void {
    this.queenId = this.queenId === QUEEN_IDS[0] ? QUEEN_IDS[1] : QUEEN_IDS[0];
  }

  /** Another port behind the same URLs; takes effect at the next start. */
  async changePort(member: Member): Promise<void> {
    const port = await this.freePort();
    member.port = port;
    const hive = this.hives.find((one) => one === member);
    for (const proxy of hive ? [hive.inbound] : [...this.hives.map(({ uplink }) => uplink), this.front]) {
      proxy?.setTarget({ port });
    }
  }

  /** Another port and another URL. */
  async move(hive: Hive): Promise<void> {
    await hive.inbound.close();
    this.retired.set(hive.inbound.url, performance.now());
    hive.port = await this.freePort();
    hive.inbound = await tcpProxy(this.t, { target: { port: hive.port }, listenPort: await this.freePort() });
  }

  /** Another process of this hive's name, for a while. */
  async duplicate(hive: Hive, { ms, copied, how }: { ms: number; copied: boolean; how: Ending }): Promise<void> {
    const port = await this.freePort();
    const duplicate: Member = {
      ...this.member(hive.name, 'hive', port),
      name: `the second ${hive.name}`,
      args: () => ['--hive-id', hive.name, '--port', String(port), '--queen-url', hive.uplink.url],
    };
    this.duplicates.push(duplicate);
    if (copied) {
      const kept = path.join('hive', hive.name, 'instance.json');
      cpSync(path.join(hive.stateDir, kept), path.join(duplicate.stateDir, kept));
    }
    await this.launch(duplicate);
    await sleep(ms);
    await this.end(duplicate, how);
    this.retired.set(`http://127.0.0.1:${port}`, performance.now());
  }

  readStderr(name: string, { stderr }: RbeeProcess): void {
    const wrong = /^.*(?:\n {2,}at .+:\d+:\d+|\bfatal\b|\w+Warning: |unhandled).*$/im.exec(stderr());
    if (wrong) this.violate(`the stderr of ${name} has: ${wrong[0]}`);
  }

  private member(name: string, kind: Member['kind'], port: number): Member {
    this.count++;
    const stateDir = path.join(this.root, String(this.count));
    return { name, kind, stateDir, port, args: () => [], now: null, startedAtMs: 0, past: [] };
  }
}
