/** Which worker `rbee stop` and `rbee adopt` mean, and which hive it belongs to. */
import type { Client } from '../client/index.js';
import type { WorkerProcessDelete } from '../wire/jobs.js';
import { ORPHANED, type WorkerEntry, type WorkerStats } from '../wire/worker.js';
import { UsageError } from '../wiring/options.js';
import { isKeeper, ownHive } from './spawn-worker.js';

export type TargetWorker = Omit<WorkerProcessDelete, 'operation'>;

/** By id or pid. @throws UsageError when that is ambiguous, Error when there is no such worker */
export async function targetOf(client: Client, name: string, hive?: string): Promise<TargetWorker> {
  if (name.trim() === '') throw new UsageError('say which worker, by its id or its pid: rbee workers lists them');
  const isPid = /^\d{1,10}$/.test(name);
  const only = await ownHive(client, hive);
  if (only !== null) return { hive_id: only, ...(isPid ? { pid: Number(name) } : { worker_id: name }) };
  const own = hive === undefined && (await isKeeper(client)) ? (await client.keeper()).workers : [];
  const mine = own.find(({ worker_id, pid }) => worker_id === name || String(pid) === name);
  if (mine) return processOf(mine);
  const workers = (await client.workers()).workers.filter(({ hive_id }) => hive === undefined || hive_id === hive);
  const named = await oneProcessOnce(
    client,
    workers.filter(({ worker_id, pid }) => worker_id === name || (isPid && pid === Number(name))),
  );
  const [worker, another] = named;
  if (another) {
    const hives = named.map(({ hive_id }) => hive_id ?? 'no hive').join(' and ');
    throw new UsageError(`${name} is a worker on ${hives}: say which with --hive`);
  }
  // It may be starting, and not be listed yet.
  if (!worker && isPid && hive !== undefined) return { hive_id: hive, pid: Number(name) };
  if (!worker) {
    const on = hive === undefined ? '' : ` on hive ${hive}`;
    throw new Error(`no worker ${name}${on}; ${listOf(workers)}`);
  }
  if (worker.hive_id === null) {
    throw new Error(`${name} was started by no hive, so none can end it: end its process where it runs`);
  }
  return { hive_id: worker.hive_id, ...processOf(worker) };
}

/**
 * An orphaned process is listed by every hive of its machine and state directory, and under its own name until its own hive
 * is forgotten: keeps the entry of one hive that is online.
 */
async function oneProcessOnce(client: Client, named: readonly WorkerEntry[]): Promise<readonly WorkerEntry[]> {
  const { hives } = named.length > 1 ? await client.hives() : { hives: [] };
  const streaming = new Set(hives.flatMap(({ hive_id, state }) => (state === 'streaming' ? [hive_id] : [])));
  const orphan = named.find(({ status, hive_id }) => status === ORPHANED && hive_id !== null && streaming.has(hive_id));
  const reason = orphan?.reason ?? '';
  const isSame = (one: WorkerEntry) => one.reason === reason || reason.includes(` runs as ${one.worker_id} at `);
  return orphan && named.every(isSame) ? [orphan] : named;
}

/** A crashed worker has no process: it is dismissed by its id. */
const processOf = ({ pid, worker_id }: WorkerStats): TargetWorker =>
  typeof pid === 'number' ? { pid } : { ...(worker_id === undefined ? {} : { worker_id }), pid: null };

const NAMES_MAX = 20;

function listOf(workers: readonly WorkerEntry[]): string {
  if (workers.length === 0) return 'there are none';
  const more = workers.length > NAMES_MAX ? ` and ${workers.length - NAMES_MAX} more` : '';
  return `there are ${workers
    .slice(0, NAMES_MAX)
    .map(({ worker_id }) => worker_id)
    .join(', ')}${more}`;
}
