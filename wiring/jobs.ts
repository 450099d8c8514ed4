/** The jobs of each kind of process: a hive runs them, a queen forwards them to hives, and a keeper does either. */
import { reportSwarm } from '../actors/job/report-swarm.js';
import { kindOf, laneOfHive } from '../machines/job-lanes.js';
import { refusalOfKeeper, refusalOfOwnHive, refusalOfQueen } from '../machines/job-refusal.js';
import type { Spawner } from '../machines/spawner.js';
import { createJobs } from '../stores/jobs.js';
import { otherOperation } from '../wire/other-operations.js';
import { forwarding, type QueenJobsParts, readJobsOfHives } from './forwarded-jobs.js';
import { type JobActors, type JobActorsInput, type JobsService, startableJobs } from './job-actors.js';
import { localJobs } from './local-jobs.js';
import type { ProcessContext } from './process.js';

/** @param afterStart gets the jobs once they run */
function service(
  processContext: ProcessContext,
  input: JobActorsInput,
  afterStart: (send: JobActors['send']) => void,
): JobsService {
  const { send, start, ...rest } = startableJobs(processContext, input);
  return {
    ...rest,
    start: () => {
      start();
      afterStart(send);
    },
  };
}

export function buildHiveJobs(processContext: ProcessContext, spawner: Spawner): JobsService {
  const { id } = processContext;
  const name = `hive ${id}`;
  const jobs = createJobs(processContext.report);
  const local = localJobs(processContext, { processName: name, hiveId: id, spawner, jobs });
  return service(
    processContext,
    {
      ...{ name, jobs, laneOf: kindOf, run: local.run },
      refusalOf: (operation) => refusalOfOwnHive(operation, id),
      now: () => ({ ms: performance.now(), iso: processContext.now() }),
    },
    local.restore,
  );
}

export function buildQueenJobs(processContext: ProcessContext, parts: QueenJobsParts): JobsService {
  const { fleet, now } = parts;
  const jobs = createJobs(processContext.report);
  const forward = forwarding(processContext, parts, jobs);
  return service(
    processContext,
    {
      ...{ name: `queen ${processContext.id}`, jobs, laneOf: laneOfHive, now },
      refusalOf: (operation) => refusalOfQueen(operation, fleet),
      run: async (run) => {
        const { hiveId, operation, output } = run;
        if (hiveId !== null) await forward({ ...run, hiveId });
        else if (operation?.operation === 'other') throw new Error(otherOperation(operation.name));
        else reportSwarm(fleet, now(), output);
      },
    },
    (send) => readJobsOfHives(processContext, parts, send),
  );
}

/** An operation that names no hive runs here, with the keeper's own workers. */
export function buildKeeperJobs(
  processContext: ProcessContext,
  parts: QueenJobsParts & { spawner: Spawner },
): JobsService {
  const { fleet, now, spawner } = parts;
  const name = `keeper ${processContext.id}`;
  const jobs = createJobs(processContext.report);
  const forward = forwarding(processContext, parts, jobs);
  const local = localJobs(processContext, { processName: name, hiveId: null, spawner, jobs });
  return service(
    processContext,
    {
      ...{ name, jobs, laneOf: laneOfHive, now },
      refusalOf: (operation) => refusalOfKeeper(operation, fleet),
      run: async (run) => {
        const { hiveId, operation, output } = run;
        if (hiveId !== null) await forward({ ...run, hiveId });
        else if (operation?.operation === 'status') reportSwarm(fleet, now(), output);
        else await local.run(run);
      },
    },
    (send) => {
      local.restore(send);
      readJobsOfHives(processContext, parts, send);
    },
  );
}
