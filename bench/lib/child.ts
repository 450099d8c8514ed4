/**
 * Load generators and peers run in child processes, so that the measured process does nothing else. A child offers functions,
 * which its parent calls by name; it exits when its parent does.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Scope } from './scope.js';

type Offer = Record<string, (input: never) => unknown>;

/** The functions of a child, as its parent calls them. */
type Remote<O extends Offer> = {
  [K in keyof O]: (
    ...args: Parameters<O[K]> extends [] ? [] : [Parameters<O[K]>[0]]
  ) => Promise<Awaited<ReturnType<O[K]>>>;
};

export type Child<O extends Offer> = Remote<O> & { pid: number; end: () => Promise<void> };

interface Call {
  id: number;
  name: string;
  input: unknown;
}
interface Reply {
  id: number;
  value?: unknown;
  error?: string;
}

const ANSWER_MS_MAX = 300_000;

/** @param module compiled path from the root of the benches, such as `load/readers.js` */
export function startChild<O extends Offer>(scope: Scope, module: string, nodeFlags: string[] = []): Child<O> {
  const child = fork(fileURLToPath(new URL(`../${module}`, import.meta.url)), [], {
    execArgv: nodeFlags,
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const waiting = new Map<number, (reply: Reply) => void>();
  let calls = 0;
  let ended: string | undefined;
  child.on('message', (reply: Reply) => {
    waiting.get(reply.id)?.(reply);
    waiting.delete(reply.id);
  });
  child.on('exit', (code, signal) => {
    ended = `${module} ended (code ${code}, signal ${signal})`;
    for (const [id, settle] of waiting) settle({ id, error: ended });
    waiting.clear();
  });
  const call = (name: string, input: unknown) =>
    new Promise((resolve, reject) => {
      if (ended) return reject(new Error(ended));
      const id = ++calls;
      const timer = setTimeout(() => reject(new Error(`${module} ${name}: no answer`)), ANSWER_MS_MAX);
      waiting.set(id, ({ value, error }) => {
        clearTimeout(timer);
        if (error === undefined) resolve(value);
        else reject(new Error(`${module} ${name}: ${error}`));
      });
      child.send({ id, name, input } satisfies Call);
    });
  const end = () => kill(child);
  scope.onEnd(end);
  return new Proxy({ pid: child.pid ?? 0, end } as unknown as Child<O>, {
    get: (own, name: string) => {
      if (name in own) return own[name as keyof typeof own];
      // A proxy that had a `then` would be awaited.
      return name === 'then' ? undefined : (input: unknown) => call(name, input);
    },
  });
}

function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise((resolve) => {
    child.once('exit', () => resolve());
    child.kill('SIGKILL');
  });
}

/** The child's side. */
export function offer<O extends Offer>(functions: O): void {
  process.on('message', async ({ id, name, input }: Call) => {
    let reply: Reply;
    try {
      const called = functions[name] as ((input: unknown) => unknown) | undefined;
      if (!called) throw new Error('no such function');
      reply = { id, value: await called(input) };
    } catch (error) {
      reply = { id, error: (error as Error).stack ?? String(error) };
    }
    if (process.connected) process.send?.(reply);
  });
  process.on('disconnect', () => process.exit(0));
}
