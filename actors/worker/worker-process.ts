/** One run of a worker's process: started or adopted, watched until it listens and until it ends, and signalled. */
import type { ChildProcess } from 'node:child_process';
import type { RunInput, WorkerEndpoint, WorkerEvent, WorkerExit, WorkerRequest } from '../../machines/worker-types.js';
import { cgroupName } from '../../wire/worker.js';
import { enterCgroup, removeCgroup } from '../process/cgroup.js';
import { identityOf, isStillThere, membersOfSession, signalProcess } from '../process/process-identity.js';
import { type ProcessExit, spawnProcess } from '../process/spawn-process.js';
import { isOfAnother, VARIABLE } from './adopt-workers.js';
import { errorIn } from './error-in-output.js';
import type { SpawnRecord, SpawnRecords } from './spawn-records.js';

const LISTENING_EVERY_MS = 50;
/** Whether a process that is not our child lives; seldom where that takes a `ps`. */
const ALIVE_EVERY_MS = process.platform === 'linux' ? 500 : 5_000;

export interface WorkerProcessDeps {
  records: SpawnRecords;
  /** This spawner's name in the environment of its workers. */
  spawner: string;
  /** The whole command of a worker, its program first. No secrets: every user can read it. */
  commandOf: (request: WorkerRequest, workerId: string | null) => string[];
  /** Added to the environment of this process: the token. */
  environment: (request: WorkerRequest) => Record<string, string>;
  /** Where cgroups of workers can be created; null: nowhere. */
  slice: () => string | null;
  log: (message: string) => void;
}

export class SpawnedProcess {
  readonly #deps: WorkerProcessDeps;
  readonly #input: RunInput;
  readonly #send: (event: WorkerEvent) => void;
  readonly #timers: NodeJS.Timeout[] = [];
  /** Until its exit was reported its pid cannot be reused. */
  #child: ChildProcess | null = null;
  #record: SpawnRecord;
  #hasEnded = false;
  /** The actor was stopped: no event is sent. */
  #isReleased = false;

  constructor(deps: WorkerProcessDeps, input: RunInput, send: (event: WorkerEvent) => void) {
    const { id, request } = input;
    this.#deps = deps;
    this.#input = input;
    this.#send = send;
    this.#record = { id, request, process: null, endpoint: null, cgroup: null };
  }

  start(): void {
    const { adopt } = this.#input;
    if (adopt) this.#adopt(adopt.pid);
    else this.#launch();
  }

  signal(signal: 'SIGTERM' | 'SIGKILL'): void {
    const { process: meant, id } = this.#record;
    if (meant === null || this.#hasEnded) return;
    try {
      const isOurChild =
        this.#child?.pid === meant.pid && this.#child.exitCode === null && this.#child.signalCode === null;
      if (isOurChild) process.kill(signal === 'SIGKILL' ? -meant.pid : meant.pid, signal);
      else signalProcess({ process: meant, variable: [VARIABLE.spawn, id], group: signal === 'SIGKILL' }, signal);
    } catch (error) {
      this.#report({ type: 'process.stuck', message: `it cannot be signalled: ${(error as Error).message}` });
    }
  }

  /** Leaves the process as it is. */
  release(): void {
    this.#isReleased = true;
    this.#stopWatching();
  }

  #launch(): void {
    const { records, commandOf, environment, spawner } = this.#deps;
    const { id, request, workerId } = this.#input;
    try {
      // The record first, so that a crash of this process cannot orphan the worker.
      records.write(this.#record);
      this.#child = spawnProcess({
        command: commandOf(request, workerId),
        env: {
          ...environment(request),
          [VARIABLE.spawner]: spawner,
          [VARIABLE.spawn]: id,
          RBEE_OUTPUT_DIR: records.directory(id),
        },
        output: records.openOutput(id),
        onExit: (exit) => this.#onChildExit(exit),
      });
      const pid = this.#child?.pid;
      if (pid === undefined) return;
      this.#keep({ process: identityOf(pid) });
      this.#report({ type: 'process.spawned', pid });
      this.#awaitEndpoint();
    } catch (error) {
      const message = `cannot be started: ${(error as Error).message}`;
      setImmediate(() => void this.#onEnd({ code: null, signal: null, message }));
    }
  }

  #adopt(pid: number): void {
    this.#record = this.#deps.records.read(this.#input.id) ?? this.#record;
    const { process, endpoint } = this.#record;
    const timer = setInterval(() => {
      const isAlive = process !== null && isStillThere(process, identityOf(pid));
      if (!isAlive) void this.#onEnd({ code: null, signal: null, message: 'it ended' });
    }, ALIVE_EVERY_MS);
    this.#timers.push(timer);
    this.#report({ type: 'process.spawned', pid });
    if (endpoint) this.#report({ type: 'process.listening', endpoint });
    else this.#awaitEndpoint();
  }

  #awaitEndpoint(): void {
    const timer = setInterval(() => {
      const endpoint = this.#deps.records.endpoint(this.#input.id);
      if (!endpoint) return;
      clearInterval(timer);
      this.#keep({ endpoint, cgroup: this.#enterCgroup(endpoint) });
      this.#report({ type: 'process.listening', endpoint });
    }, LISTENING_EVERY_MS);
    this.#timers.push(timer);
  }

  /** The name of its cgroup contains the port, which is known once it listens. */
  #enterCgroup({ workerId, port }: WorkerEndpoint): string | null {
    const slice = this.#deps.slice();
    const pid = this.#record.process?.pid;
    if (slice === null || pid === undefined) return null;
    return enterCgroup({ slice, ...cgroupName(workerId, port), pid, others: () => membersOfSession(pid) });
  }

  #onChildExit({ code, signal, error }: ProcessExit): void {
    const pid = this.#child?.pid;
    // What the worker started in its group has no parent left.
    if (pid !== undefined && !this.#hasEnded) killGroup(pid);
    const message = error === null ? howItEnded(code, signal) : `cannot be started: ${error}`;
    void this.#onEnd({ code, signal, message });
  }

  async #onEnd(exit: Omit<WorkerExit, 'lastLines'>): Promise<void> {
    if (this.#hasEnded) return;
    this.#stopWatching();
    const { records } = this.#deps;
    const { id, cgroup } = this.#record;
    records.forgetProcess(id);
    if (cgroup !== null) await removeCgroup(cgroup, (pid) => isOfAnother(pid, id));
    if (this.#isReleased) return;
    const lastLines = records.lastLines(id);
    const reason = errorIn(lastLines);
    const message = reason === null ? exit.message : `${exit.message}: ${reason}`;
    this.#send({ type: 'process.exited', exit: { ...exit, lastLines, message } });
  }

  #report(event: WorkerEvent): void {
    if (!this.#hasEnded) this.#send(event);
  }

  #stopWatching(): void {
    this.#hasEnded = true;
    for (const timer of this.#timers) clearInterval(timer);
  }

  #keep(change: Partial<SpawnRecord>): void {
    this.#record = { ...this.#record, ...change };
    try {
      this.#deps.records.write(this.#record);
    } catch (error) {
      const { message } = error as Error;
      this.#deps.log(`the record of a worker cannot be written, a restart will not know it: ${message}`);
    }
  }
}

function howItEnded(code: number | null, signal: NodeJS.Signals | null): string {
  if (signal === 'SIGKILL') return 'it was ended by SIGKILL, as the kernel does when memory runs out';
  return signal === null ? `it ended with code ${code}` : `it was ended by ${signal}`;
}

function killGroup(group: number): void {
  try {
    process.kill(-group, 'SIGKILL');
  } catch {
    // It is empty.
  }
}
