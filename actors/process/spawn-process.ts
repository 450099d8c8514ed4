/**
 * Starts a process that outlives us: in a session of its own, its output in files, and nothing of ours in its
 * environment but what it is given.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync } from 'node:fs';

export interface SpawnProcessInput {
  /** The program and its arguments: everybody on this machine can read them. */
  command: string[];
  /** Beside our own environment, of which every RBEE_* is left out: ours would be taken for its own. */
  env: Record<string, string>;
  /** Descriptors for its stdout and stderr; closed here once it has them. */
  output: { stdout: number; stderr: number };
  /** Called once: null when it ran, else why it could not be started. */
  onExit: (end: { code: number | null; signal: NodeJS.Signals | null; error: string | null }) => void;
}

/** @returns the process; `pid` is undefined when it could not be started. Never throws. */
export function spawnProcess({ command, env, output, onExit }: SpawnProcessInput): ChildProcess | null {
  const [program = '', ...args] = command;
  let over = false;
  const end = (code: number | null, signal: NodeJS.Signals | null, error: string | null) => {
    if (over) return;
    over = true;
    onExit({ code, signal, error });
  };
  try {
    const own = Object.entries(process.env).filter(([name]) => !name.startsWith('RBEE_'));
    const child = spawn(program, args, {
      // setsid(2): neither our terminal nor our death ends it.
      detached: true,
      stdio: ['ignore', output.stdout, output.stderr],
      env: { ...Object.fromEntries(own), ...env },
      windowsHide: true,
    });
    child.once('error', (error) => end(null, null, error.message));
    child.once('exit', (code, signal) => end(code, signal, null));
    child.unref();
    return child;
  } catch (error) {
    // Descriptors or memory have run out.
    const { message } = error as Error;
    setImmediate(() => end(null, null, message));
    return null;
  } finally {
    closeSync(output.stdout);
    closeSync(output.stderr);
  }
}
