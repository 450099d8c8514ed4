/** The jobs of hives, as their queen has them: passed on, and read from each hive that streams. */
import { createAskJobs } from '../actors/job/ask-jobs.js';
import { cancelAt, createPassOn } from '../actors/job/pass-on.js';
import type { Fleet } from '../stores/fleet.js';
import type { Jobs } from '../stores/jobs.js';
import type { Now } from '../stores/now.js';
import type { ProcessContext } from './process.js';

export interface QueenJobsParts {
  fleet: Fleet;
  now: () => Now;
  trustsHive: (hiveId: string) => boolean;
}

const connectedIn = (fleet: Fleet, trustsHive: (hiveId: string) => boolean) => (hiveId: string) => {
  const hive = fleet.hive(hiveId);
  return hive?.state === 'streaming' ? { url: hive.hive_url, trusted: trustsHive(hiveId) } : null;
};

export function passingOn(processContext: ProcessContext, { fleet, trustsHive }: QueenJobsParts, jobs: Jobs) {
  const connected = connectedIn(fleet, trustsHive);
  return createPassOn({
    // When this process ends, an operation goes on at its hive, and the next run knows it. Of an answer that was asked for
    // here nobody is left to read it; one that was asked for elsewhere is none of ours.
    cancels: (jobId) => {
      const { state, operation } = jobs.get(jobId) ?? {};
      return state === 'cancelled' || (operation === 'infer' && !jobs.isTakenUp(jobId));
    },
    outgoing: processContext.outgoing,
    hive: connected,
    onLost: (hiveId, listener) =>
      fleet.follow((event) => {
        if (event.type === 'state' && event.change.hive_id === hiveId && !connected(hiveId)) listener();
      }),
  });
}

/** A queen knows the jobs of its hives, also after a restart of either. */
export function readJobsOfHives(
  { outgoing, log }: ProcessContext,
  { fleet, trustsHive }: QueenJobsParts,
  jobs: Jobs,
  post: (jobId: string, lane: string) => void,
): void {
  const hive = connectedIn(fleet, trustsHive);
  const ask = createAskJobs({
    outgoing,
    hive,
    onJobs: (hiveId, theirs) => {
      const { resume, cancel } = jobs.compare(hiveId, theirs);
      for (const jobId of resume) post(jobId, `jobs of ${hiveId}`);
      const at = hive(hiveId);
      for (const jobId of cancel) if (at) void cancelAt(outgoing, at, jobId);
      if (resume.length > 0) log.debug(`hive ${hiveId} has ${resume.length} jobs that were not known here`);
    },
  });
  const streaming = new Set<string>();
  fleet.follow((event) => {
    if (event.type !== 'state') return;
    const { hive_id: hiveId, state } = event.change;
    if (state !== 'streaming') streaming.delete(hiveId);
    else if (!streaming.has(hiveId)) {
      streaming.add(hiveId);
      ask(hiveId);
    }
  });
}
