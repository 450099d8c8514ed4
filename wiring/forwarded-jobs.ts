/** The jobs of hives on a queen or keeper: forwarded to them, and read from each hive whose stream opens. */
import { type ForwardInput, forwardJob } from '../actors/job/forward-job.js';
import { cancelJob } from '../actors/job/hive-jobs.js';
import { createReadHiveJobs } from '../actors/job/read-hive-jobs.js';
import type { JobsEvent } from '../machines/jobs.js';
import type { Fleet } from '../stores/fleet.js';
import type { Jobs } from '../stores/jobs.js';
import type { Now } from '../stores/now.js';
import type { ProcessContext } from './process.js';

export interface QueenJobsParts {
  fleet: Fleet;
  now: () => Now;
  trustsHive: (hiveId: string) => boolean;
}

type Parts = Pick<QueenJobsParts, 'fleet' | 'trustsHive'>;

/** The address of a hive; null when it is not connected. */
const addressIn =
  ({ fleet, trustsHive }: Parts) =>
  (hiveId: string) => {
    const hive = fleet.hive(hiveId);
    return hive?.state === 'streaming' ? { url: hive.hive_url, trusted: trustsHive(hiveId) } : null;
  };

/** Returns a function that forwards one job. */
export function forwarding({ outgoing }: ProcessContext, parts: Parts, jobs: Jobs) {
  const hive = addressIn(parts);
  const deps = {
    outgoing,
    hive,
    // When this process shuts down, an operation goes on at its hive, and the next run reads it from there. An answer that
    // was requested here has no reader any more and is cancelled; one that was requested elsewhere is left alone.
    cancels: (jobId: string): boolean => {
      const { state, operation } = jobs.get(jobId) ?? {};
      return state === 'cancelled' || (operation === 'infer' && !jobs.isResumed(jobId));
    },
    onLost: (hiveId: string, listener: () => void) =>
      parts.fleet.follow((event) => {
        if (event.type === 'state' && event.change.hive_id === hiveId && !hive(hiveId)) listener();
      }),
  };
  return (input: ForwardInput): Promise<void> => forwardJob(deps, input);
}

/** Reads the jobs of each hive whose stream opens, also after a restart of the hive or of this process. */
export function readJobsOfHives(
  { outgoing, log }: ProcessContext,
  parts: Parts,
  send: (event: JobsEvent) => void,
): void {
  const hive = addressIn(parts);
  const read = createReadHiveJobs({
    outgoing,
    hive,
    onJobs: (hiveId, jobs) => {
      const respond = ({ resumed, cancel }: { resumed: number; cancel: string[] }) => {
        const at = hive(hiveId);
        for (const jobId of cancel) if (at) void cancelJob(outgoing, at, jobId);
        if (resumed > 0) log.debug(`hive ${hiveId} has ${resumed} jobs that were not known here`);
      };
      send({ type: 'hive.jobs', hiveId, jobs, respond });
    },
  });
  const streaming = new Set<string>();
  parts.fleet.follow((event) => {
    if (event.type !== 'state') return;
    const { hive_id: hiveId, state } = event.change;
    if (state !== 'streaming') streaming.delete(hiveId);
    else if (!streaming.has(hiveId)) {
      streaming.add(hiveId);
      read(hiveId);
    }
  });
}
