/** rbee up: a swarm in one terminal. Runs each process as a child, prefixes its lines, starts it again when it dies. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { Command, Option } from 'commander';
import colors from 'picocolors';
import type { Listening } from '../wire/status.js';
import { PORT } from '../wire/status.js';
import { parsePort } from './options.js';
import { EXIT } from './process.js';

interface UpOptions {
  registryPort: number;
  queenPort: number;
  hivePort: number;
  stateDir?: string;
  logLevel: string;
  inspect: boolean;
}

interface Member {
  name: string;
  /** All but the port. */
  args: string[];
  /** 0 until it listened for the first time: it comes back where the others know it. */
  port: number;
  paint: (text: string) => string;
}

const RBEE = fileURLToPath(new URL('./rbee.js', import.meta.url));

/** A child that dies within this of its start was not well: after so many of those in a row the swarm gives up. */
const WELL_MS = 10_000;
const FAILED_STARTS_MAX = 5;
const RESTART_MS = 1_000;
/** Children end in order within 5 s; then they are killed. */
const END_MS = 6_000;

const EXAMPLES = `
While it runs, in another terminal:
  rbee watch                                            the swarm as a live table
  curl -N http://127.0.0.1:7833/v1/heartbeats/stream    the swarm as a stream

Kill any of its processes and see it heal. Ctrl-C ends all of them.`;

export function upCommand(): Command {
  return new Command('up')
    .description(
      'Runs a swarm on loopback in this terminal: a registry, a queen, and a hive that measures this machine.',
    )
    .addOption(
      new Option('--registry-port <port>', 'port of the registry; 0 picks a free one')
        .env('RBEE_REGISTRY_PORT')
        .argParser(parsePort)
        .default(PORT.registry),
    )
    .addOption(
      new Option('--queen-port <port>', 'port of the queen; 0 picks a free one')
        .env('RBEE_QUEEN_PORT')
        .argParser(parsePort)
        .default(PORT.queen),
    )
    .addOption(
      new Option('--hive-port <port>', 'port of the hive; 0 picks a free one')
        .env('RBEE_HIVE_PORT')
        .argParser(parsePort)
        .default(PORT.hive),
    )
    .addOption(new Option('--state-dir <dir>', 'where to keep what must survive a restart').env('RBEE_STATE_DIR'))
    .addOption(new Option('--log-level <level>', 'debug, info, warn or error').env('RBEE_LOG_LEVEL').default('info'))
    .addOption(
      new Option('--inspect', 'show the live state machines in the browser').env('RBEE_INSPECT').default(false),
    )
    .addHelpText('after', EXAMPLES)
    .action(async (options: UpOptions) => {
      process.exitCode = await runSwarm(options);
    });
}

/** @returns the exit code */
async function runSwarm(options: UpOptions): Promise<number> {
  const shared = [
    ...['--log-level', options.logLevel],
    ...(options.stateDir === undefined ? [] : ['--state-dir', options.stateDir]),
    ...(options.inspect ? ['--inspect'] : []),
  ];
  const width = 'registry'.length;
  const say = (name: string, paint: Member['paint'], line: string) =>
    process.stderr.write(`${paint(`${name.padEnd(width)} │`)} ${line}\n`);
  let ending = false;
  let code: number = EXIT.ok;
  const running = new Map<string, ChildProcess>();

  return new Promise<number>((resolve) => {
    const end = (exitCode: number) => {
      if (ending) return;
      ending = true;
      code = exitCode;
      for (const child of running.values()) child.kill('SIGTERM');
      setTimeout(() => {
        for (const child of running.values()) child.kill('SIGKILL');
      }, END_MS).unref();
      if (running.size === 0) resolve(code);
    };
    process.on('SIGINT', () => end(EXIT.ok));
    process.on('SIGTERM', () => end(EXIT.ok));

    const start = (member: Member, failedStarts: number, onListening: (line: Listening) => void) => {
      if (ending) return;
      const startedAt = performance.now();
      const child = spawn(process.execPath, [RBEE, ...member.args, '--port', String(member.port)], {
        stdio: ['ignore', 'pipe', 'pipe'],
        // The terminal's Ctrl-C comes to us alone: we end them, once, in order.
        detached: true,
        env: { ...process.env, ...(process.stderr.isTTY && !process.env.NO_COLOR ? { FORCE_COLOR: '1' } : {}) },
      });
      running.set(member.name, child);
      eachLine(child.stdout, (line) => {
        const listening = JSON.parse(line) as Listening;
        member.port = Number(new URL(listening.url).port);
        onListening(listening);
      });
      eachLine(child.stderr, (line) => say(member.name, member.paint, line));
      child.once('exit', (exitCode, signal) => {
        running.delete(member.name);
        if (ending) {
          if (running.size === 0) resolve(code);
          return;
        }
        const well = performance.now() - startedAt > WELL_MS;
        const failed = well ? 0 : failedStarts + 1;
        if (exitCode === EXIT.taken || exitCode === EXIT.usage || failed >= FAILED_STARTS_MAX) {
          say(member.name, colors.red, 'it cannot run: the swarm ends');
          end(exitCode ?? EXIT.failed);
          return;
        }
        say(member.name, colors.yellow, `ended by ${signal ?? `exit code ${exitCode}`}: starting it again`);
        setTimeout(() => start(member, failed, onListening), RESTART_MS);
      });
    };

    /** Starts one when the one before it listens for the first time, and tells it where. */
    const startNext = (members: ((urls: string[]) => Member)[], urls: string[]) => {
      const [next, ...later] = members;
      if (!next) {
        const [, queenUrl = ''] = urls;
        welcome(queenUrl, options.inspect);
        if (options.inspect) void openInBrowser(`${queenUrl}/inspect`);
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
          port: options.registryPort,
          paint: colors.blue,
        }),
        ([registryUrl = '']) => ({
          name: 'queen',
          args: ['queen', '--registry-url', registryUrl, ...shared],
          port: options.queenPort,
          paint: colors.magenta,
        }),
        ([registryUrl = '', queenUrl = '']) => ({
          name: 'hive',
          args: ['hive', '--registry-url', registryUrl, '--queen-url', queenUrl, ...shared],
          port: options.hivePort,
          paint: colors.cyan,
        }),
      ],
      [],
    );
  });
}

function welcome(queenUrl: string, inspect: boolean): void {
  const line = (text: string) => process.stdout.write(`${text}\n`);
  line('');
  line(`  ${colors.bold('The swarm is up.')} Its queen listens at ${queenUrl}`);
  line(`  In a browser:  ${queenUrl}`);
  line(`  See it live:   curl -N ${queenUrl}/v1/heartbeats/stream`);
  line(`  As a table:    node dist/bin/rbee.js watch --url ${queenUrl}`);
  if (inspect) line(`  Its machines:  ${queenUrl}/inspect   (and /inspect of the hive)`);
  line('  End it:        Ctrl-C');
  line('');
}

/** Where somebody sits before a screen; elsewhere the URL that was printed is all there is to do. */
async function openInBrowser(url: string): Promise<void> {
  const { DISPLAY, WAYLAND_DISPLAY } = process.env;
  const hasScreen = process.platform === 'darwin' || process.platform === 'win32' || DISPLAY || WAYLAND_DISPLAY;
  if (!process.stdout.isTTY || !hasScreen) return;
  const { default: open } = await import('open');
  await open(url).catch(() => {});
}

function eachLine(stream: Readable, onLine: (line: string) => void): void {
  createInterface({ input: stream }).on('line', onLine);
}
