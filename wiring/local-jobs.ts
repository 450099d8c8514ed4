/** The jobs that a hive or keeper runs itself, with the workers of its own spawner. */
import { createJobRecords } from '../actors/job/job-records.js';
import type { OperationRun } from '../actors/job/operation.js';
import { createOperations } from '../actors/job/run-operation.js';
import type { JobsEvent } from '../machines/jobs.js';
import type { Spawner } from '../machines/spawner.js';
import type { Jobs } from '../stores/jobs.js';
import type { Operation } from '../wire/jobs.js';
import type { ProcessContext } from './process.js';

/** One run of a job. */
export interface JobRun extends Omit<OperationRun, 'operation'> {
  /** Null for a job that its hive has already. */
  operation: Operation | null;
  hiveId: string | null;
  isResumed: boolean;
}

interface LocalJobsInput {
  processName: string;
  hiveId: string | null;
  spawner: Spawner;
  jobs: Jobs;
}

/** Operations are recorded while they run: after a crash the next run reports how they ended. */
export function localJobs({ state, outgoing, log, now }: ProcessContext, input: LocalJobsInput) {
  const records = createJobRecords(state, (message) => log.warn(message));
  const operations = createOperations({ outgoing, ...input });
  return {
    run: async ({ operation, isResumed, ...rest }: JobRun): Promise<void> => {
      if (!operation) return;
      const { jobId } = rest;
      records.begin({ jobId, operation, createdAt: input.jobs.get(jobId)?.created_at ?? now() });
      try {
        await (isResumed ? operations.resume({ ...rest, operation }) : operations.run({ ...rest, operation }));
      } finally {
        records.end(jobId);
      }
    },
    /** Call it once the spawner has adopted its workers. */
    restore: (send: (event: JobsEvent) => void): void => {
      for (const record of records.load()) send({ type: 'job.restore', job: () => record });
    },
  };
}
