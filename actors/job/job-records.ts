/**
 * The unfinished operations of a hive or keeper on disk: after a crash the next run reports how each of them ended.
 * Prompts are not recorded: an inference ends with its process.
 */
import { JOB_ID, type Operation, parseOperation } from '../../wire/jobs.js';
import type { StateDir } from '../process/state-dir.js';

export interface JobRecord {
  jobId: string;
  operation: Operation;
  /** RFC 3339. */
  createdAt: string;
}

const FILE = 'jobs.json';
/** Operations that change something and may outlive this process. */
const RECORDED: ReadonlySet<string> = new Set(['worker_spawn', 'worker_process_delete']);

export function createJobRecords(state: StateDir, warn: (message: string) => void) {
  const open = new Map<string, JobRecord>();

  function write(): void {
    try {
      state.write(FILE, { jobs: [...open.values()] });
    } catch (error) {
      // The job runs all the same: only after a crash its end would be unknown.
      warn(`cannot record the jobs that run: ${(error as Error).message}`);
    }
  }

  return {
    /** Those of the previous run; each stays recorded until `end`. Call it once, before the others. */
    load: (): JobRecord[] => {
      for (const record of state.read(FILE, parseRecords) ?? []) open.set(record.jobId, record);
      return [...open.values()];
    },
    begin: (record: JobRecord): void => {
      if (!RECORDED.has(record.operation.operation) || open.has(record.jobId)) return;
      open.set(record.jobId, record);
      write();
    },
    end: (jobId: string): void => {
      if (open.delete(jobId)) write();
    },
  };
}

function parseRecords(value: unknown): JobRecord[] | null {
  const { jobs } = (value ?? {}) as { jobs?: unknown };
  if (!Array.isArray(jobs)) return null;
  return jobs.flatMap((job: unknown) => {
    const { jobId, operation, createdAt } = (job ?? {}) as Partial<Record<keyof JobRecord, unknown>>;
    const parsed = parseOperation(operation);
    if (typeof jobId !== 'string' || !JOB_ID.test(jobId) || !parsed.ok || typeof createdAt !== 'string') return [];
    return [{ jobId, operation: parsed.value, createdAt }];
  });
}
