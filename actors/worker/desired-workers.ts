/**
 * The workers that are to run, in `<a spawner's state>/wishes/<id>.json`: written when a worker is spawned, removed when it
 * is stopped or its spawn fails. The record of its process (`spawn-records.ts`) ends with the process; this one does not,
 * so that a restart of the spawner or of the machine restores the worker.
 */
import type { DesiredWorker } from '../../machines/desired-worker.js';
import type { StateDir } from '../process/state-dir.js';
import { KeyedFiles } from './keyed-files.js';
import { isWorkerRequest } from './worker-request.js';

export class DesiredWorkers {
  readonly #files: KeyedFiles<DesiredWorker>;
  readonly #warn: (message: string) => void;
  readonly #kept = new Map<string, DesiredWorker>();

  constructor(state: StateDir, warn: (message: string) => void) {
    this.#files = new KeyedFiles({ state, directory: 'wishes', suffix: '.json', isValid });
    this.#warn = warn;
  }

  get(id: string): DesiredWorker | undefined {
    return this.#kept.get(id);
  }

  /** Writes what has changed. Never throws: what cannot be written is kept in memory, and logged. */
  write(desired: DesiredWorker): void {
    if (JSON.stringify(desired) === JSON.stringify(this.#kept.get(desired.id))) return;
    this.#kept.set(desired.id, desired);
    try {
      this.#files.write(desired);
    } catch (error) {
      const { model } = desired.request;
      this.#warn(`a worker of ${model} would not be restored after a restart: ${(error as Error).message}`);
    }
  }

  remove(id: string): void {
    this.#kept.delete(id);
    try {
      this.#files.remove(id);
    } catch (error) {
      this.#warn(`a stopped worker would be restored after a restart: ${(error as Error).message}`);
    }
  }

  /** Reads those of earlier runs; a broken file is set aside and named in the log. */
  load(): DesiredWorker[] {
    for (const desired of this.#files.readAll()) this.#kept.set(desired.id, desired);
    return [...this.#kept.values()];
  }
}

function isValid({ request, workerId, established, loading, interrupted }: Partial<DesiredWorker>): boolean {
  return (
    isWorkerRequest(request) &&
    (workerId === null || typeof workerId === 'string') &&
    typeof established === 'boolean' &&
    typeof loading === 'boolean' &&
    Number.isInteger(interrupted)
  );
}
