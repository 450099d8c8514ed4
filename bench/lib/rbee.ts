/** Real rbee processes, started as users start them, plus the flags that keep them apart from the user's own swarm. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Scope } from './scope.js';

const RBEE = fileURLToPath(new URL('../../bin/rbee.js', import.meta.url));
const LISTENING_MS_MAX = 30_000;
const LINES_MAX = 50_000;

export interface RbeeOptions {
  args?: string[];
  nodeFlags?: string[];
  stateDir?: string;
  cwd?: string;
}

export interface Rbee {
  pid: number;
  url: string;
  stateDir: string;
  child: ChildProcess;
  /** Date.now() of its start, and of its `listening` line. */
  spawnedAt: number;
  listeningAt: number;
  /** How many lines of its stderr match so far. */
  countLogLines: (pattern: RegExp) => number;
  end: (signal?: NodeJS.Signals) => Promise<void>;
}

/** Starts `rbee <name>` on a free port of loopback and resolves when it listens. */
export async function startRbee(
  scope: Scope,
  name: 'registry' | 'queen' | 'hive',
  { args = [], nodeFlags = [], stateDir = scope.directory(name), cwd }: RbeeOptions = {},
): Promise<Rbee> {
  const line = [...nodeFlags, RBEE, name, '--state-dir', stateDir, '--log-level', 'warn'];
  if (!args.includes('--port')) line.push('--port', '0');
  if (name === 'queen') line.push('--ssh-config', '/dev/null');
  const spawnedAt = Date.now();
  const child = spawn(process.execPath, [...line, ...args], {
    env: Object.fromEntries(Object.entries(process.env).filter(([key]) => !key.startsWith('RBEE_'))),
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(cwd === undefined ? {} : { cwd }),
  });
  const exited = once(child, 'exit');
  const end = async (signal: NodeJS.Signals = 'SIGKILL') => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGCONT');
    child.kill(signal);
    await exited;
  };
  scope.onEnd(() => end());
  const lines: string[] = [];
  createInterface({ input: child.stderr }).on('line', (text) => {
    if (lines.length < LINES_MAX) lines.push(text);
  });
  const url = await new Promise<string>((resolve, reject) => {
    const fail = (what: string) => reject(new Error(`rbee ${name} ${what}: ${lines.slice(-5).join('\n')}`));
    const timer = setTimeout(() => fail('did not listen in time'), LISTENING_MS_MAX);
    child.once('error', (error) => fail(error.message));
    child.once('exit', () => fail('ended before it listened'));
    createInterface({ input: child.stdout }).on('line', (text) => {
      const event = JSON.parse(text) as { event?: string; url?: string };
      if (event.event !== 'listening' || event.url === undefined) return;
      clearTimeout(timer);
      resolve(event.url);
    });
  });
  return {
    pid: child.pid as number,
    url,
    stateDir,
    child,
    spawnedAt,
    listeningAt: Date.now(),
    countLogLines: (pattern) => lines.filter((text) => pattern.test(text)).length,
    end,
  };
}

/** One number of a process's /metrics. */
export async function metric(url: string, name: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  const line = text.split('\n').find((one) => one.startsWith(`${name} `));
  if (line === undefined) throw new Error(`${url}/metrics has no ${name}`);
  return Number(line.slice(name.length + 1));
}
