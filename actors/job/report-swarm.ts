/** The operation `status` on a queen or keeper, without a hive: the whole swarm. */
import type { Fleet } from '../../stores/fleet.js';
import type { Now } from '../../stores/now.js';
import type { JobOutput } from './job-output.js';

export function reportSwarm(fleet: Fleet, now: Now, output: JobOutput): void {
  const { workers_online, workers_available, hives_online, hives_available } = fleet.snapshot(now);
  output.line(`${hives_online} hives online, ${hives_available} of them available`);
  output.line(`${workers_online} workers online, ${workers_available} of them available`);
  for (const { hive_id, state, reason } of fleet.hives()) {
    if (state !== 'streaming') output.line(`hive ${hive_id} is ${state}${reason === null ? '' : `: ${reason}`}`);
  }
  output.result('status', { hives: fleet.hives(), workers: fleet.workers.list(now.ms) });
}
