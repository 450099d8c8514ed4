/** Real rbee processes for system tests: started on a free port, frozen, killed and started again. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Test } from 'tap';

const RBEE = fileURLToPath(new URL('../../bin/rbee.js', import.meta.url));
const OUTPUT_CHARS_MAX = 256 * 1024;
const LISTENING_MS_MAX = 20_000;
const ENDING_MS_MAX = 15_000;

export interface StartOptions {
  name: 'registry' | 'queen' | 'hive' | 'worker' | 'keeper';
  /** A compiled script to run instead of `rbee <name>`, with the same flags. */
  script?: URL;
  /** After `--port 0 --state-dir …`; a `--port` among them replaces that. */
  args?: string[];
  env?: Record<string, string>;
  /** A command prefix, such as `ip netns exec name`; it must replace itself by the process. */
  by?: string[];
  /** Without `--port`, so that the process finds a port by itself. */
  noPort?: boolean;
  /** Kept after the test; by default a temporary one is created and removed. */
  stateDir?: string;
}

export interface Exit {
  code: number | null;
  signal: NodeJS.Signals | null;
}

export interface RbeeProcess {
  child: ChildProcess;
  url: string;
  id: string;
  pid: number;
  stateDir: string;
  stdout(): string;
  /** The last 256 KiB. */
  stderr(): string;
  /** Sends a signal (SIGTERM) and waits for the end. A frozen process takes SIGKILL only. */
  kill(signal?: NodeJS.Signals): Promise<Exit>;
  /** SIGSTOP: the process is suspended, and its sockets stay open. */
  freeze(): void;
  thaw(): void;
  exited: Promise<Exit>;
}

/** The process ended, or printed nothing, before it listened. */
export class StartFailed extends Error {
  override name = 'StartFailed';
  constructor(
    what: string,
    readonly exit: Exit,
    readonly stderr: string,
  ) {
    super(`${what} (code ${exit.code}, signal ${exit.signal}); its stderr: ${stderr || '(empty)'}`);
  }
}

/** Processes that share a state directory, one after the other. */
interface Family {
  options: StartOptions;
  stateDir: string;
  children: ChildProcess[];
}

const families = new WeakMap<RbeeProcess, Family>();

/** Starts `rbee <name>` and resolves once it listens; ends it with the test. Rejects with `StartFailed`. */
export async function startProcess(t: Pick<Test, 'teardown'>, options: StartOptions): Promise<RbeeProcess> {
  const stateDir = options.stateDir ?? mkdtempSync(path.join(tmpdir(), `rbee-${options.name}-`));
  const family: Family = { options, stateDir, children: [] };
  t.teardown(async () => {
    await Promise.all(family.children.map(end));
    if (!options.stateDir) rmSync(stateDir, { recursive: true, force: true, maxRetries: 3 });
  });
  return launch(family, undefined);
}

/** Starts the same process again, with its state and its id, on the same port unless `other`. Kills it first if it runs. */
export async function restart(
  process: RbeeProcess,
  { port = 'same' }: { port?: 'same' | 'other' } = {},
): Promise<RbeeProcess> {
  const family = families.get(process);
  if (!family) throw new Error('not a process of startProcess');
  await end(process.child);
  const again = await launch(family, port === 'same' ? new URL(process.url).port : '0');
  if (again.id !== process.id) throw new Error(`${process.id} has the id ${again.id} after its restart`);
  return again;
}

async function launch(family: Family, port: string | undefined): Promise<RbeeProcess> {
  const { options, stateDir } = family;
  const { name } = options;
  const [command = '', ...line] = [...(options.by ?? []), process.execPath, '--enable-source-maps'];
  const child = spawn(command, [...line, ...commandLine(options, stateDir, port)], {
    env: environment(options.env),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  family.children.push(child);
  const stdout = keepEnd(child.stdout);
  const stderr = keepEnd(child.stderr);
  const exited = new Promise<Exit>((resolve) => {
    // 'close' comes when all output is read, which children of the process can delay.
    child.once('close', (code, signal) => resolve({ code, signal }));
    child.once('exit', (code, signal) => setTimeout(resolve, 500, { code, signal }));
  });

  const listening = await new Promise<{ url: string; id: string }>((resolve, reject) => {
    const fail = (what: string, exit: Exit) => {
      clearTimeout(timer);
      child.kill('SIGKILL');
      reject(new StartFailed(`rbee ${name} ${what}`, exit, stderr()));
    };
    const timer = setTimeout(
      () => fail(`did not listen within ${LISTENING_MS_MAX} ms`, { code: null, signal: null }),
      LISTENING_MS_MAX,
    );
    exited.then((exit) => fail('ended before it listened', exit));
    child.once('error', (error) => fail(`did not start: ${error.message}`, { code: null, signal: null }));
    createInterface({ input: child.stdout }).on('line', (line) => {
      const found = listeningLine(line);
      if (!found) return;
      clearTimeout(timer);
      resolve(found);
    });
  });

  const running: RbeeProcess = {
    child,
    ...listening,
    pid: child.pid ?? 0,
    stateDir,
    stdout,
    stderr,
    exited,
    async kill(signal = 'SIGTERM') {
      child.kill(signal);
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<never>((_, reject) => {
        const fail = () => reject(new Error(`rbee ${name} runs ${ENDING_MS_MAX} ms after ${signal}: ${stderr()}`));
        timer = setTimeout(fail, ENDING_MS_MAX);
      });
      return Promise.race([exited, late]).finally(() => clearTimeout(timer));
    },
    freeze: () => void child.kill('SIGSTOP'),
    thaw: () => void child.kill('SIGCONT'),
  };
  families.set(running, family);
  return running;
}

function commandLine(
  { name, script, args = [], noPort = false }: StartOptions,
  stateDir: string,
  port: string | undefined,
): string[] {
  const given = (flag: string) => args.some((arg) => arg === flag || arg.startsWith(`${flag}=`));
  const line = [...(script ? [fileURLToPath(script)] : [RBEE, name]), '--state-dir', stateDir];
  if (!given('--port') && !noPort) line.push('--port', '0');
  // Not the SSH config of the person who runs the tests.
  if ((name === 'queen' || name === 'keeper') && !given('--ssh-config')) line.push('--ssh-config', '/dev/null');
  line.push(...args);
  if (port !== undefined) line.push('--port', port); // the last one counts
  return line;
}

/** The environment without RBEE_ variables, which would change what is tested. */
function environment(extra: Record<string, string> = {}): NodeJS.ProcessEnv {
  const own = Object.entries(process.env).filter(([name]) => !name.startsWith('RBEE_'));
  return { ...Object.fromEntries(own), ...extra };
}

function listeningLine(line: string): { url: string; id: string } | undefined {
  if (!line.startsWith('{')) return undefined;
  try {
    const { event, url, id } = JSON.parse(line);
    return event === 'listening' ? { url, id } : undefined;
  } catch {
    return undefined;
  }
}

function keepEnd(stream: NodeJS.ReadableStream | null): () => string {
  let text = '';
  stream?.setEncoding('utf8');
  stream?.on('data', (chunk: string) => {
    text = (text + chunk).slice(-OUTPUT_CHARS_MAX);
  });
  return () => text;
}

async function end(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGCONT');
  child.kill('SIGKILL');
  await gone;
}
