/** One `nvidia-smi` that is kept running: reads its lines within bounds, ends it when it hangs, and kills it at exit. */
import { type ChildProcess, spawn } from 'node:child_process';
import { sentence } from './vendor.js';

export interface NvidiaChildInput {
  file: string;
  args: string[];
  /** Without a line for this long the process counts as hung; null for a tool that may have nothing to print. */
  silenceMs: number | null;
  /** False for a line that is no measurement: the process is killed then. */
  onLine: (line: string) => boolean;
  /** Called once, unless `stop` came first. `reason` completes a sentence that begins with the tool's name. */
  onEnd: (reason: string) => void;
}

const LINE_CHARS_MAX = 4096;
const STDERR_CHARS_MAX = 2048;
/** How long to wait for the rest of the output: a process that hangs in its driver does not end when killed. */
const LAST_OUTPUT_MS = 250;

export class NvidiaChild {
  #input: NvidiaChildInput;
  #process: ChildProcess | undefined;
  #silence: NodeJS.Timeout | undefined;
  #lastOutput: NodeJS.Timeout | undefined;
  #partial = '';
  #stderr = '';
  /** Why it ends, set once: the exit that follows a kill must not overwrite it. */
  #endReason: string | undefined;
  #over = false;
  // A tool ends by itself at its next line after this process ended, but one that hangs prints none.
  #killAtExit = () => this.#process?.kill('SIGKILL');

  constructor(input: NvidiaChildInput) {
    this.#input = input;
    const { silenceMs } = input;
    if (silenceMs !== null) {
      this.#silence = setTimeout(() => this.#kill(`was silent for ${silenceMs / 1000} s`), silenceMs).unref();
    }
    process.once('exit', this.#killAtExit);
    try {
      this.#process = this.#spawn();
    } catch (error) {
      // Spawn throws when descriptors or memory have run out. `onEnd` is called after this constructor.
      setImmediate(() => this.#end(`cannot be started: ${sentence(error)}`));
    }
  }

  /** False while the process exists, which may be long after `onEnd`. */
  get exited(): boolean {
    const child = this.#process;
    return child?.pid === undefined || child.exitCode !== null || child.signalCode !== null;
  }

  /** Kills the process. Nothing is called after that. */
  stop() {
    this.#close();
  }

  #spawn(): ChildProcess {
    const { file, args } = this.#input;
    const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'], windowsHide: true });
    child.stdout.setEncoding('utf8').on('data', (text: string) => this.#read(text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-STDERR_CHARS_MAX);
    });
    child.on('error', (error) => this.#end(`cannot be started: ${sentence(error)}`));
    child.on('exit', (code, signal) => {
      this.#endReason ??= signal ? `was ended by ${signal}` : `ended with code ${code}`;
      this.#awaitLastOutput();
    });
    child.on('close', () => this.#end());
    child.unref();
    // Pipes are sockets, which would keep this process running like the child itself; the types do not have `unref`.
    for (const pipe of [child.stdout, child.stderr]) (pipe as { unref?: () => void }).unref?.();
    return child;
  }

  #read(text: string) {
    const lines = (this.#partial + text).split('\n');
    this.#partial = lines.pop() ?? '';
    for (const line of lines) {
      if (this.#endReason !== undefined || this.#over) return;
      this.#readLine(line.trim());
    }
    if (this.#partial.length > LINE_CHARS_MAX) this.#kill('printed a line without an end');
  }

  #readLine(line: string) {
    // "WARNING: infoROM is corrupted at gpu …" appears among the rows of a working driver.
    if (line === '' || /^warning/i.test(line)) return;
    const measured = line.length <= LINE_CHARS_MAX && this.#input.onLine(line);
    // The driver's errors come on stdout ("NVIDIA-SMI has failed because …", "No devices were found").
    if (!measured) return this.#kill(`printed an unexpected line: ${sentence(line)}`);
    this.#silence?.refresh();
  }

  #kill(reason: string) {
    this.#endReason ??= reason;
    this.#partial = '';
    clearTimeout(this.#silence);
    this.#process?.kill('SIGKILL');
    this.#awaitLastOutput();
  }

  #awaitLastOutput() {
    if (!this.#over) this.#lastOutput ??= setTimeout(() => this.#end(), LAST_OUTPUT_MS).unref();
  }

  #end(reason = this.#endReason ?? 'ended') {
    if (this.#over) return;
    this.#close();
    const lastLine = this.#stderr.trim().split('\n').at(-1);
    this.#input.onEnd(`${reason}${lastLine ? `: ${sentence(lastLine)}` : ''}.`);
  }

  #close() {
    this.#over = true;
    clearTimeout(this.#silence);
    clearTimeout(this.#lastOutput);
    process.removeListener('exit', this.#killAtExit);
    this.#process?.kill('SIGKILL');
    this.#process?.stdout?.destroy();
    this.#process?.stderr?.destroy();
  }
}
