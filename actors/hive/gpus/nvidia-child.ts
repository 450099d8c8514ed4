/** One `nvidia-smi` that is kept running: its lines read within bounds, its silence noticed, its end certain. */
import { type ChildProcess, spawn } from 'node:child_process';
import { sentence } from './vendor.js';

export interface NvidiaChildInput {
  file: string;
  args: string[];
  /** Without a line for this long the process counts as hung; null for one that may have nothing to say. */
  silenceMs: number | null;
  /** False for a line that is no measurement: the process is ended then. */
  onLine: (line: string) => boolean;
  /** Called once, unless `stop` came first. `reason` completes a sentence that begins with the tool's name. */
  onEnd: (reason: string) => void;
}

const LINE_CHARS_MAX = 4096;
const STDERR_CHARS_MAX = 2048;
/** What ends gets this long for its last words: a process that hangs in its driver does not even die when killed. */
const LAST_WORDS_MS = 250;

export class NvidiaChild {
  #input: NvidiaChildInput;
  #process: ChildProcess | undefined;
  #silence: NodeJS.Timeout | undefined;
  #lastWords: NodeJS.Timeout | undefined;
  #partial = '';
  #stderr = '';
  /** Why it ends, once that is decided: the exit that follows a kill must not overwrite it. */
  #verdict: string | undefined;
  #over = false;
  // The tool would notice that we are gone at its next line, but one that hangs prints none.
  #killAtExit = () => this.#process?.kill('SIGKILL');

  constructor(input: NvidiaChildInput) {
    this.#input = input;
    const { silenceMs } = input;
    if (silenceMs !== null) {
      this.#silence = setTimeout(() => this.#condemn(`was silent for ${silenceMs / 1000} s`), silenceMs).unref();
    }
    process.once('exit', this.#killAtExit);
    try {
      this.#process = this.#spawn();
    } catch (error) {
      // Spawn throws when descriptors or memory have run out. The caller gets its end after this constructor.
      setImmediate(() => this.#end(`cannot be started: ${sentence(error)}`));
    }
  }

  /** False while the process still exists, which may be long after its end was told. */
  get exited(): boolean {
    const child = this.#process;
    return child?.pid === undefined || child.exitCode !== null || child.signalCode !== null;
  }

  /** Kills the process. Nothing is called from now on. */
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
      this.#verdict ??= signal ? `was ended by ${signal}` : `ended with code ${code}`;
      this.#awaitLastWords();
    });
    child.on('close', () => this.#end());
    child.unref();
    // Pipes are sockets, which would hold the process open like the child itself; the types do not know.
    for (const pipe of [child.stdout, child.stderr]) (pipe as { unref?: () => void }).unref?.();
    return child;
  }

  #read(text: string) {
    const lines = (this.#partial + text).split('\n');
    this.#partial = lines.pop() ?? '';
    for (const line of lines) {
      if (this.#verdict !== undefined || this.#over) return;
      this.#readLine(line.trim());
    }
    if (this.#partial.length > LINE_CHARS_MAX) this.#condemn('printed a line without an end');
  }

  #readLine(line: string) {
    // "WARNING: infoROM is corrupted at gpu …" stands among the rows of a driver that works.
    if (line === '' || /^warning/i.test(line)) return;
    const measured = line.length <= LINE_CHARS_MAX && this.#input.onLine(line);
    // The driver's own complaints come on stdout ("NVIDIA-SMI has failed because …", "No devices were found").
    if (!measured) return this.#condemn(`printed what is no measurement: ${sentence(line)}`);
    this.#silence?.refresh();
  }

  #condemn(verdict: string) {
    this.#verdict ??= verdict;
    this.#partial = '';
    clearTimeout(this.#silence);
    this.#process?.kill('SIGKILL');
    this.#awaitLastWords();
  }

  #awaitLastWords() {
    if (!this.#over) this.#lastWords ??= setTimeout(() => this.#end(), LAST_WORDS_MS).unref();
  }

  #end(verdict = this.#verdict ?? 'ended') {
    if (this.#over) return;
    this.#close();
    const lastLine = this.#stderr.trim().split('\n').at(-1);
    this.#input.onEnd(`${verdict}${lastLine ? `: ${sentence(lastLine)}` : ''}.`);
  }

  #close() {
    this.#over = true;
    clearTimeout(this.#silence);
    clearTimeout(this.#lastWords);
    process.removeListener('exit', this.#killAtExit);
    this.#process?.kill('SIGKILL');
    this.#process?.stdout?.destroy();
    this.#process?.stderr?.destroy();
  }
}
