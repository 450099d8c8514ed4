/**
 * Which workers somebody wants to run, in `<a spawner's state>/wishes/<id>.json`: written when a worker is spawned, and
 * removed when it is stopped or its spawn fails. The record of its process (`spawn-records.ts`) ends with the process;
 * this does not, so that a restart of the spawner or of the machine brings the worker back.
 */
import { readdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import type { EarlierRun, WorkerRequest } from '../../machines/worker-types.js';
import { makeDirectory, type StateDir } from '../process/state-dir.js';
import { isWorkerRequest } from './spawn-records.js';

export interface DesiredWorker extends EarlierRun {
  id: string;
  request: WorkerRequest;
  /** It is being started: if the machine goes down now, loading it may be the cause. */
  loading: boolean;
  /** How often running it was being started when its spawner, or the machine, went down. */
  interrupted: number;
}

/** One that was being started so often running when all went down is not tried again. */
export const INTERRUPTED_MAX = 2;

const DIRECTORY = 'wishes';

export type DesiredWorkers = ReturnType<typeof createDesiredWorkers>;

export function createDesiredWorkers(state: StateDir, warn: (message: string) => void) {
  const root = path.join(state.path, DIRECTORY);
  const file = (id: string) => path.join(DIRECTORY, `${id}.json`);
  const kept = new Map<string, DesiredWorker>();
  return {
    get: (id: string): DesiredWorker | undefined => kept.get(id),
    /** Never throws: one that cannot be written is kept in memory, and said. */
    write: (wish: DesiredWorker): void => {
      kept.set(wish.id, wish);
      try {
        makeDirectory(root);
        state.write(file(wish.id), wish);
      } catch (error) {
        warn(`a worker of ${wish.request.model} would not come back after a restart: ${(error as Error).message}`);
      }
    },
    remove: (id: string): void => {
      kept.delete(id);
      try {
        rmSync(path.join(state.path, file(id)), { force: true });
      } catch (error) {
        warn(`a worker that was stopped would come back after a restart: ${(error as Error).message}`);
      }
    },
    /** Of the runs before this one; a broken one is set aside and named in the log. */
    load: (): DesiredWorker[] => {
      for (const name of namesIn(root)) {
        const wish = state.read(file(name), (value) => check(name, value));
        if (wish) kept.set(name, wish);
      }
      return [...kept.values()];
    },
  };
}

function namesIn(root: string): string[] {
  try {
    return readdirSync(root).flatMap((name) => /^([0-9a-f-]{36})\.json$/.exec(name)?.[1] ?? []);
  } catch {
    return [];
  }
}

function check(id: string, value: unknown): DesiredWorker | null {
  const { id: named, request, workerId, established, loading, interrupted } = (value ?? {}) as Partial<DesiredWorker>;
  const sound =
    named === id &&
    isWorkerRequest(request) &&
    (workerId === null || typeof workerId === 'string') &&
    typeof established === 'boolean' &&
    typeof loading === 'boolean' &&
    Number.isInteger(interrupted);
  return sound ? (value as DesiredWorker) : null;
}
