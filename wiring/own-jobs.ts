/** The jobs that a hive or keeper does itself, with the workers of its own spawner. */
import { createJobRecords } from '../actors/job/job-records.js';
import { createOperations, type Work as OwnWork } from '../actors/job/run-operation.js';
import type { Spawner } from '../machines/spawner.js';
import type { Jobs } from '../stores/jobs.js';
import type { Operation } from '../wire/jobs.js';
import type { ProcessContext } from './process.js';

export interface Work extends Omit<OwnWork, 'operation'> {
  /** Null for a job that its hive has already. */
  operation: Operation | null;
  hiveId: string | null;
  isTakenUp: boolean;
}

/** An operation that takes long is not in the way of one that is quick: a worker can be stopped while prompts wait. */
export function kindOf({ operation }: Operation): string {
  if (operation === 'infer') return 'inferences';
  return operation === 'worker_spawn' ? 'spawns' : 'operations';
}

/** What a process does itself; what a crash interrupts is told by the next run. */
export function ownWork(
  { state, outgoing, log, now }: ProcessContext,
  { who, hiveId, spawner, jobs }: { who: string; hiveId: string | null; spawner: Spawner; jobs: Jobs },
) {
  const records = createJobRecords(state, (message) => log.warn(message));
  const operations = createOperations({ outgoing, who, hiveId, spawner });
  return {
    run: async ({ operation, isTakenUp, ...work }: Work): Promise<void> => {
      if (!operation) return;
      const { jobId } = work;
      records.begin({ jobId, operation, createdAt: jobs.get(jobId)?.created_at ?? now() });
      try {
        await (isTakenUp ? operations.resume({ ...work, operation }) : operations.run({ ...work, operation }));
      } finally {
        records.end(jobId);
      }
    },
    /** Call once the spawner has taken up its workers. */
    takeUp: (post: (jobId: string, lane: string) => void): void => {
      for (const { jobId, operation, createdAt } of records.load()) {
        if (jobs.takeUp(jobId, operation, createdAt)) post(jobId, kindOf(operation));
      }
    },
  };
}
