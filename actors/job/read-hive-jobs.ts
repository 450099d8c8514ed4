/** Reads which jobs a hive has, whenever its stream opens: those from before a restart of the queen or of the hive. */
import { setTimeout as sleep } from 'node:timers/promises';
import pLimit from 'p-limit';
import type { JobEntry } from '../../wire/jobs.js';
import { PeerFailure } from '../net/failure.js';
import type { Outgoing } from '../net/http.js';
import { type HiveAddress, listJobs } from './hive-jobs.js';

/** Hives read at once: when a queen starts, the streams of all its hives open at the same time. */
const CONCURRENT_MAX = 64;
/** Waits before each attempt; a hive that has just started may be busy. */
const WAITS_MS = [0, 2_000, 10_000] as const;

export interface ReadHiveJobsDeps {
  outgoing: Outgoing;
  /** Null when the hive is not connected. */
  hive: (hiveId: string) => HiveAddress | null;
  onJobs: (hiveId: string, jobs: JobEntry[]) => void;
}

/** Returns a function that reads the jobs of one hive; it never fails. */
export function createReadHiveJobs({ outgoing, hive, onJobs }: ReadHiveJobsDeps): (hiveId: string) => void {
  const limit = pLimit(CONCURRENT_MAX);
  /** Hives waiting for their turn: one that comes and goes is read once. */
  const queued = new Set<string>();

  async function read(hiveId: string): Promise<void> {
    queued.delete(hiveId);
    const at = hive(hiveId);
    if (at) onJobs(hiveId, await listJobs(outgoing, at));
  }

  async function readUntilAnswered(hiveId: string): Promise<void> {
    for (const waitMs of WAITS_MS) {
      await sleep(waitMs, undefined, { ref: false });
      try {
        return await limit(() => read(hiveId));
      } catch (error) {
        // The hive has no such list (an original one): asking again does not help.
        if (error instanceof PeerFailure && (error.kind === 'status' || error.kind === 'broken')) return;
      }
    }
  }

  return (hiveId) => {
    if (queued.has(hiveId)) return;
    queued.add(hiveId);
    void readUntilAnswered(hiveId);
  };
}
