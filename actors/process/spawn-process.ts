/** Starts a process that outlives this one: in a session of its own, its output in files, without our RBEE_* settings. */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync } from 'node:fs';

export interface ProcessExit {
  code: number | null;
  signal: NodeJS.Signals | null;
  /** Why it could not be started; null when it ran. */
  error: string | null;
}

export interface SpawnProcessInput {
  /** The program and its arguments: every user of this machine can read them. */
  command: string[];
  /** Added to our own environment without RBEE_*, which the process would take for its own settings. */
  env: Record<string, string>;
  /** Descriptors for its stdout and stderr; closed here once it has them. */
  output: { stdout: number; stderr: number };
  /** Called once. */
  onExit: (exit: ProcessExit) => void;
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
      // setsid(2): it survives our terminal and our end.
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
    // Out of descriptors or memory.
    const { message } = error as Error;
    setImmediate(() => end(null, null, message));
    return null;
  } finally {
    closeSync(output.stdout);
    closeSync(output.stderr);
  }
}
