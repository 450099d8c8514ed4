/** Asks a hive that streams (again) which jobs it has: those of before a restart, of its queen's or its own. */
import { setTimeout as sleep } from 'node:timers/promises';
import pLimit from 'p-limit';
import type { JobEntry } from '../../wire/jobs.js';
import { PeerFailure } from '../net/failure.js';
import type { Outgoing } from '../net/http.js';
import { type At, listJobs } from './pass-on.js';

/** Hives asked at once: a queen that starts meets all of them at once. */
const ASKED_MAX = 64;
/** Before each attempt; a hive that has only just come may be busy. */
const WAITS_MS = [0, 2_000, 10_000] as const;

export interface AskJobsDeps {
  outgoing: Outgoing;
  /** Null when the hive is not connected. */
  hive: (hiveId: string) => At | null;
  onJobs: (hiveId: string, jobs: JobEntry[]) => void;
}

/** Gives what asks one hive; it never fails. */
export function createAskJobs({ outgoing, hive, onJobs }: AskJobsDeps): (hiveId: string) => void {
  const limit = pLimit(ASKED_MAX);
  /** Those that wait for their turn: one that comes and goes is asked once. */
  const due = new Set<string>();

  async function askNow(hiveId: string): Promise<void> {
    due.delete(hiveId);
    const at = hive(hiveId);
    if (!at) return;
    const jobs = await listJobs(outgoing, at);
    onJobs(hiveId, jobs);
  }

  async function askUntilAnswered(hiveId: string): Promise<void> {
    for (const waitMs of WAITS_MS) {
      await sleep(waitMs, undefined, { ref: false });
      try {
        return await limit(() => askNow(hiveId));
      } catch (error) {
        // It has no such list, as an original one: asking again does not help.
        if (error instanceof PeerFailure && (error.kind === 'status' || error.kind === 'broken')) return;
      }
    }
  }

  return (hiveId) => {
    if (due.has(hiveId)) return;
    due.add(hiveId);
    void askUntilAnswered(hiveId);
  };
}
