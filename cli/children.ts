/** A registry, a queen and a hive as children of this process: their lines prefixed, started again when they die. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import colors from 'picocolors';
import type { Listening } from '../wire/status.js';
import { EXIT } from '../wiring/exit-codes.js';

export interface SwarmInput {
  ports: { registry: number; queen: number; hive: number };
  /** For all of them. */
  args: string[];
  /** For the queen alone. */
  queenArgs?: string[];
  env: NodeJS.ProcessEnv;
  /** How long they may take to finish answers of models. */
  graceMs: number;
  /** Called once: all of them listen. */
  onUp: (urls: { registry: string; queen: string; hive: string }) => void;
}

export interface Swarm {
  /** Ends them in order, called again at once; SIGKILL ends what has not ended 6 s after its grace. */
  end(exitCode: number): void;
  /** The exit code, once all have ended. */
  ended: Promise<number>;
}

interface Member {
  name: string;
  /** All but the port. */
  args: string[];
  /** 0 until it listened for the first time: it comes back where the others know it. */
  port: number;
  paint: Paint;
}

type Paint = (text: string) => string;

const RBEE = fileURLToPath(new URL('../bin/rbee.js', import.meta.url));

/** A child that dies within this of its start was not well: after so many of those in a row the swarm gives up. */
const WELL_MS = 10_000;
const FAILED_STARTS_MAX = 5;
const RESTART_MS = 1_000;
/** Without answers of models children end in order within 5 s. */
const END_MS = 6_000;

/** One line of a member, as all of them are shown. */
export function sayAs(name: string, paint: Paint, line: string): void {
  process.stderr.write(`${paint(`${name.padEnd('registry'.length)} │`)} ${line}\n`);
}

export function startSwarm({ ports, args: shared, queenArgs = [], env, graceMs, onUp }: SwarmInput): Swarm {
  let ending = false;
  let code: number = EXIT.ok;
  const running = new Map<string, ChildProcess>();
  let resolve: (code: number) => void = () => {};
  const ended = new Promise<number>((done) => {
    resolve = done;
  });

  const end = (exitCode: number) => {
    for (const child of running.values()) child.kill('SIGTERM');
    if (!ending) {
      code = exitCode;
      setTimeout(() => {
        for (const child of running.values()) child.kill('SIGKILL');
      }, graceMs + END_MS).unref();
    }
    ending = true;
    if (running.size === 0) resolve(code);
  };
  const start = (member: Member, failedStarts: number, onListening: (line: Listening) => void) => {
    if (ending) return;
    const startedAt = performance.now();
    const child = spawn(process.execPath, [RBEE, ...member.args, '--port', String(member.port)], {
      stdio: ['ignore', 'pipe', 'pipe'],
      // The terminal's Ctrl-C comes to us alone: we end them, once, in order.
      detached: true,
      env: { ...env, ...(process.stderr.isTTY && !process.env.NO_COLOR ? { FORCE_COLOR: '1' } : {}) },
    });
    running.set(member.name, child);
    eachLine(child.stdout, (line) => {
      const listening = JSON.parse(line) as Listening;
      member.port = Number(new URL(listening.url).port);
      onListening(listening);
    });
    eachLine(child.stderr, (line) => sayAs(member.name, member.paint, line));
    child.once('exit', (exitCode, signal) => {
      running.delete(member.name);
      if (ending) {
        if (running.size === 0) resolve(code);
        return;
      }
      const well = performance.now() - startedAt > WELL_MS;
      const failed = well ? 0 : failedStarts + 1;
      if (exitCode === EXIT.taken || exitCode === EXIT.usage || failed >= FAILED_STARTS_MAX) {
        sayAs(member.name, colors.red, 'it cannot run: the swarm ends');
        end(exitCode ?? EXIT.failed);
        return;
      }
      sayAs(member.name, colors.yellow, `ended by ${signal ?? `exit code ${exitCode}`}: starting it again`);
      setTimeout(() => start(member, failed, onListening), RESTART_MS);
    });
  };

  /** Starts one when the one before it listens for the first time, and tells it where. */
  const startNext = (members: ((urls: string[]) => Member)[], urls: string[]) => {
    const [next, ...later] = members;
    if (!next) {
      const [registry = '', queen = '', hive = ''] = urls;
      onUp({ registry, queen, hive });
      return;
    }
    let listened = false;
    start(next(urls), 0, ({ url }) => {
      if (listened) return;
      listened = true;
      startNext(later, [...urls, url]);
    });
  };
  startNext(
    [
      () => ({
        name: 'registry',
        args: ['registry', ...shared],
        port: ports.registry,
        paint: colors.blue,
      }),
      ([registryUrl = '']) => ({
        name: 'queen',
        args: ['queen', '--registry-url', registryUrl, ...queenArgs, ...shared],
        port: ports.queen,
        paint: colors.magenta,
      }),
      ([registryUrl = '', queenUrl = '']) => ({
        name: 'hive',
        args: ['hive', '--registry-url', registryUrl, '--queen-url', queenUrl, ...shared],
        port: ports.hive,
        paint: colors.cyan,
      }),
    ],
    [],
  );
  return { end, ended };
}

function eachLine(stream: Readable, onLine: (line: string) => void): void {
  createInterface({ input: stream }).on('line', onLine);
}
