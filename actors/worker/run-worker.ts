/**
 * Hands of `machines/worker.ts`: starts a worker's process or takes up one that runs, says where it listens and how it
 * ended, and signals it. Stopping the actor leaves the process alone.
 */
import type { ChildProcess } from 'node:child_process';
import { fromCallback } from 'xstate';
import type { RunEvent, RunInput, WorkerEvent, WorkerExit, WorkerRequest } from '../../machines/worker-types.js';
import { enterCgroup, findSlice, removeCgroup } from '../process/cgroup.js';
import { identityOf, isStillThere, membersOfSession, signalProcess } from '../process/process-identity.js';
import { spawnProcess } from '../process/spawn-process.js';
import { isOfAnother, VARIABLE } from './adopt-workers.js';
import type { SpawnRecord, SpawnRecords } from './spawn-records.js';

const LISTENING_EVERY_MS = 50;
/** Whether a process that is not our child lives; where the answer costs a `ps`, seldom. */
const ALIVE_EVERY_MS = process.platform === 'linux' ? 500 : 5_000;

export interface RunWorkerDeps {
  records: SpawnRecords;
  /** Ours, in the environment of each worker. */
  spawner: string;
  /** The whole command of a worker, its program first. No secrets: everybody can read it. */
  commandOf: (request: WorkerRequest, workerId: string | null) => string[];
  /** Its environment beside ours: the token. */
  environment: (request: WorkerRequest) => Record<string, string>;
  /** False: no cgroups, whatever the machine offers. */
  cgroups: boolean;
  log: (message: string) => void;
}

export function createRunWorker(deps: RunWorkerDeps) {
  const { records } = deps;
  let slice: string | null | undefined;
  const sliceOf = () => {
    slice ??= deps.cgroups && process.platform === 'linux' ? findSlice() : null;
    return slice;
  };

  return fromCallback<RunEvent, RunInput>(({ input, sendBack, receive }) => {
    const { id, request, adopt, workerId } = input;
    /** Our own child: its number is nobody else's until we have heard of its end. */
    let child: ChildProcess | null = null;
    let record: SpawnRecord = { id, request, process: null, endpoint: null, cgroup: null };
    /** The process has ended. */
    let over = false;
    /** Nobody listens any more. */
    let stopped = false;
    const timers: NodeJS.Timeout[] = [];
    const tell = (event: WorkerEvent) => void (over || sendBack(event));

    const keep = (change: Partial<SpawnRecord>) => {
      record = { ...record, ...change };
      try {
        records.write(record);
      } catch (error) {
        deps.log(`the record of a worker cannot be written, a restart will not know it: ${(error as Error).message}`);
      }
    };

    const ended = async (exit: Omit<WorkerExit, 'lastLines'>) => {
      if (over) return;
      cease();
      records.forget(id);
      if (record.cgroup !== null) await removeCgroup(record.cgroup, (pid) => isOfAnother(pid, id));
      if (stopped) return;
      const lastLines = records.lastLines(id);
      const why = lastComplaint(lastLines);
      sendBack({
        type: 'process.exited',
        exit: { ...exit, lastLines, message: why === null ? exit.message : `${exit.message}: ${why}` },
      });
    };

    function cease() {
      over = true;
      for (const timer of timers) clearInterval(timer);
    }

    const awaitEndpoint = () => {
      const timer = setInterval(() => {
        const endpoint = records.endpoint(id);
        if (!endpoint) return;
        clearInterval(timer);
        keep({ endpoint, cgroup: enter(endpoint) });
        tell({ type: 'process.listening', endpoint });
      }, LISTENING_EVERY_MS);
      timers.push(timer);
    };

    /** Only once it listens is its instance, the port, known. */
    function enter({ workerId, port }: { workerId: string; port: number }): string | null {
      const at = sliceOf();
      if (at === null || record.process === null) return null;
      const { pid } = record.process;
      const others = () => membersOfSession(pid);
      return enterCgroup({ slice: at, ...cgroupName(workerId, port), pid, others });
    }

    function launch() {
      // The record first: a process that nobody knows must not come of a crash in between.
      try {
        records.write(record);
        child = spawnProcess({
          command: deps.commandOf(request, workerId),
          env: {
            ...deps.environment(request),
            [VARIABLE.spawner]: deps.spawner,
            [VARIABLE.spawn]: id,
            RBEE_OUTPUT_DIR: records.directory(id),
          },
          output: records.openOutput(id),
          onExit: ({ code, signal, error }) => {
            // What it started in its own session has nobody left to answer to.
            if (child?.pid !== undefined && !over) killRest(child.pid);
            void ended({
              code,
              signal,
              message: error === null ? howItEnded(code, signal) : `cannot be started: ${error}`,
            });
          },
        });
        if (child?.pid === undefined) return;
        keep({ process: identityOf(child.pid) });
        tell({ type: 'process.spawned', pid: child.pid });
        awaitEndpoint();
      } catch (error) {
        setImmediate(() =>
          ended({ code: null, signal: null, message: `cannot be started: ${(error as Error).message}` }),
        );
      }
    }

    function takeUp(pid: number) {
      record = records.read(id) ?? record;
      const isAlive = () => record.process !== null && isStillThere(record.process, identityOf(pid));
      const timer = setInterval(() => {
        if (!isAlive()) void ended({ code: null, signal: null, message: 'it ended' });
      }, ALIVE_EVERY_MS);
      timers.push(timer);
      tell({ type: 'process.spawned', pid });
      if (record.endpoint) tell({ type: 'process.listening', endpoint: record.endpoint });
      else awaitEndpoint();
    }

    receive(({ signal }) => {
      if (record.process === null || over) return;
      try {
        const { pid } = record.process;
        if (child?.pid === pid && child.exitCode === null && child.signalCode === null) {
          process.kill(signal === 'SIGKILL' ? -pid : pid, signal);
          return;
        }
        const variable: [string, string] = [VARIABLE.spawn, id];
        signalProcess({ process: record.process, variable, group: signal === 'SIGKILL' }, signal);
      } catch (error) {
        tell({ type: 'process.stuck', message: `it cannot be signalled: ${(error as Error).message}` });
      }
    });

    if (adopt) takeUp(adopt.pid);
    else launch();
    return () => {
      stopped = true;
      cease();
    };
  });
}

/** `worker-<type>-<port>@<spawner>`: the group is the type, the instance the port. */
export function cgroupName(workerId: string, port: number): { group: string; instance: string } {
  return { group: /^worker-(.{1,64})-\d+@/.exec(workerId)?.[1] ?? 'worker', instance: String(port) };
}

/** What a worker of ours said of its end: its last fatal line, or what its command line refused; null of any other. */
export function lastComplaint(lines: readonly string[]): string | null {
  const found = lines.flatMap((line) => COMPLAINT.exec(line)?.[1] ?? []);
  return found.at(-1) ?? null;
}

const COMPLAINT =
  /^(?:\[[\d:.]+\] FATAL: (?!.* cannot go on$)(?:worker \S+ cannot go on: )?|error: |rbee(?: worker)?: )(.+)$/;

function howItEnded(code: number | null, signal: NodeJS.Signals | null): string {
  if (signal === 'SIGKILL') return 'it was ended by SIGKILL, as the kernel does when memory runs out';
  return signal === null ? `it ended with code ${code}` : `it was ended by ${signal}`;
}

function killRest(group: number): void {
  try {
    process.kill(-group, 'SIGKILL');
  } catch {
    // Nobody is left.
  }
}
