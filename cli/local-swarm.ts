/** A registry, a queen and a hive as children of this process: their lines prefixed, restarted when they die. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import colors from 'picocolors';
import type { Listening } from '../wire/status.js';
import { EXIT } from '../wiring/exit-codes.js';

export interface LocalSwarmInput {
  ports: { registry: number; queen: number; hive: number };
  /** For all of them. */
  args: string[];
  /** For the queen only. */
  queenArgs?: string[];
  env: NodeJS.ProcessEnv;
  /** How long they may take to finish answers of models. */
  graceMs: number;
  /** Called once all of them listen. */
  onUp: (urls: { registry: string; queen: string; hive: string }) => void;
}

interface Member {
  name: 'registry' | 'queen' | 'hive';
  /** All but the port. */
  args: string[];
  /** The port on which it listened, so that it comes back where the others know it. */
  port: number;
  paint: Paint;
  /** Starts in a row that ended soon. */
  failedStarts: number;
}

type Paint = (text: string) => string;

const RBEE = fileURLToPath(new URL('../bin/rbee.js', import.meta.url));

/** A child that dies within this time of its start has failed to start; after so many in a row the swarm gives up. */
const WELL_MS = 10_000;
const FAILED_STARTS_MAX = 5;
const RESTART_MS = 1_000;
/** Without answers of models children shut down within 5 s. */
const END_MS = 6_000;

/** Prints one line of a member. */
export function printLine(name: string, paint: Paint, line: string): void {
  process.stderr.write(`${paint(`${name.padEnd('registry'.length)} │`)} ${line}\n`);
}

export function startLocalSwarm(input: LocalSwarmInput): LocalSwarm {
  const swarm = new LocalSwarm(input);
  void swarm.start();
  return swarm;
}

export class LocalSwarm {
  /** The exit code, once all members have ended. */
  readonly ended: Promise<number>;
  readonly #input: LocalSwarmInput;
  readonly #running = new Map<string, ChildProcess>();
  #resolveEnded: (code: number) => void = () => {};
  #isEnding = false;
  #exitCode: number = EXIT.ok;

  constructor(input: LocalSwarmInput) {
    this.#input = input;
    this.ended = new Promise((resolve) => {
      this.#resolveEnded = resolve;
    });
  }

  /** Starts each member once the previous one listens, because it needs that one's URL. */
  async start(): Promise<void> {
    const { ports, args, queenArgs = [], onUp } = this.#input;
    const registry = await this.#startMember({
      ...{ name: 'registry', paint: colors.blue, port: ports.registry, failedStarts: 0 },
      args: ['registry', ...args],
    });
    const queen = await this.#startMember({
      ...{ name: 'queen', paint: colors.magenta, port: ports.queen, failedStarts: 0 },
      args: ['queen', '--registry-url', registry, ...queenArgs, ...args],
    });
    const hive = await this.#startMember({
      ...{ name: 'hive', paint: colors.cyan, port: ports.hive, failedStarts: 0 },
      args: ['hive', '--registry-url', registry, '--queen-url', queen, ...args],
    });
    onUp({ registry, queen, hive });
  }

  /** Ends all members in order; called again, at once. SIGKILL ends what still runs 6 s after its grace. */
  end(exitCode: number): void {
    this.#signal('SIGTERM');
    if (!this.#isEnding) {
      this.#exitCode = exitCode;
      setTimeout(() => this.#signal('SIGKILL'), this.#input.graceMs + END_MS).unref();
    }
    this.#isEnding = true;
    if (this.#running.size === 0) this.#resolveEnded(this.#exitCode);
  }

  #signal(signal: NodeJS.Signals): void {
    for (const child of this.#running.values()) child.kill(signal);
  }

  /** Resolves with its URL when it listens for the first time. */
  #startMember(member: Member): Promise<string> {
    return new Promise((resolve) => this.#spawn(member, resolve));
  }

  #spawn(member: Member, onUrl: (url: string) => void): void {
    if (this.#isEnding) return;
    const { env } = this.#input;
    const startedAt = performance.now();
    const child = spawn(process.execPath, [RBEE, ...member.args, '--port', String(member.port)], {
      stdio: ['ignore', 'pipe', 'pipe'],
      // The terminal's Ctrl-C reaches this process only, which ends its children once and in order.
      detached: true,
      env: { ...env, ...(process.stderr.isTTY && !process.env.NO_COLOR ? { FORCE_COLOR: '1' } : {}) },
    });
    this.#running.set(member.name, child);
    createInterface({ input: child.stdout }).on('line', (line) => {
      const { url } = JSON.parse(line) as Listening;
      member.port = Number(new URL(url).port);
      onUrl(url);
    });
    createInterface({ input: child.stderr }).on('line', (line) => printLine(member.name, member.paint, line));
    child.once('exit', (exitCode, signal) => {
      this.#running.delete(member.name);
      if (performance.now() - startedAt > WELL_MS) member.failedStarts = 0;
      else member.failedStarts += 1;
      this.#onExit(member, exitCode, signal, onUrl);
    });
  }

  #onExit(member: Member, exitCode: number | null, signal: NodeJS.Signals | null, onUrl: (url: string) => void): void {
    if (this.#isEnding) {
      if (this.#running.size === 0) this.#resolveEnded(this.#exitCode);
      return;
    }
    const cannotRun = exitCode === EXIT.taken || exitCode === EXIT.usage || member.failedStarts >= FAILED_STARTS_MAX;
    if (cannotRun) {
      printLine(member.name, colors.red, 'it cannot run: shutting the swarm down');
      this.end(exitCode ?? EXIT.failed);
      return;
    }
    printLine(member.name, colors.yellow, `ended by ${signal ?? `exit code ${exitCode}`}: restarting it`);
    setTimeout(() => this.#spawn(member, onUrl), RESTART_MS);
  }
}
