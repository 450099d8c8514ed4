/** The workers that no spawner looks after any more: looked for again and again, told, ended or taken over. */
import { endOrphan, findOrphans, type Orphan } from '../actors/worker/find-orphans.js';
import type { OrphanedWorker } from '../machines/spawner.js';
import { modelName } from '../wire/infer.js';
import type { Logger } from './logger.js';

/** A look costs some milliseconds on Linux, and elsewhere a `ps`. */
const LOOK_EVERY_MS = process.platform === 'linux' ? 30_000 : 300_000;

export interface Orphans {
  /** Looks now. Those that carry our own name, and have no record, are ours: they are returned, and are no orphans. */
  look: () => Orphan[];
  start: () => void;
  stop: () => void;
  list: () => OrphanedWorker[];
  /** By which spawns they were started. */
  spawns: () => ReadonlySet<string>;
  get: (pid: number) => Orphan | undefined;
  /** Ended, or one of ours now. */
  remove: (pid: number) => void;
  /** @throws Error when it cannot be ended */
  end: (pid: number, report: (line: string) => void) => Promise<void>;
}

export interface OrphansInput {
  stateDir: string;
  spawner: string;
  /** An adopted worker still carries the name of the spawner that started it. */
  isOurs: (spawn: string) => boolean;
  log: Logger;
}

export function createOrphans({ stateDir, spawner, isOurs, log }: OrphansInput): Orphans {
  let found = new Map<number, Orphan>();
  let timer: NodeJS.Timeout | undefined;

  const spawns = () => new Set([...found.values()].map(({ spawn }) => spawn));

  function look(): Orphan[] {
    const before = spawns();
    const all = findOrphans({ stateDir, spawner });
    const foreign = all.filter((one) => one.spawner !== spawner && !isOurs(one.spawn));
    found = new Map(foreign.map((one) => [one.process.pid, one]));
    for (const stray of found.values()) {
      if (before.has(stray.spawn)) continue;
      log.warn(`process ${stray.process.pid}, ${describe(stray)}: ${remedy(stray.process.pid)}`);
    }
    return all.filter((one) => one.spawner === spawner);
  }

  return {
    look,
    start: () => {
      timer = setInterval(look, LOOK_EVERY_MS).unref();
    },
    stop: () => clearInterval(timer),
    list: () =>
      [...found.values()].map(({ process: { pid }, spawner, endpoint, request }) => ({
        pid,
        spawner: nameOf(spawner),
        workerId: endpoint?.workerId ?? null,
        url: endpoint?.url ?? null,
        model: request && modelName(request.model),
      })),
    spawns,
    get: (pid) => found.get(pid),
    remove: (pid) => void found.delete(pid),
    end: async (pid, report) => {
      const stray = found.get(pid);
      if (!stray) throw new Error(`process ${pid} is no orphaned worker`);
      await endOrphan(stray, report);
      found.delete(pid);
    },
  };
}

/** `hive/gpu-0/<instance>` */
const nameOf = (spawner: string): string => spawner.split('/').slice(0, 2).join(' ');

function describe({ spawner, request }: Orphan): string {
  const of = request ? ` of ${modelName(request.model)}` : '';
  return `a worker${of}, was started by a ${nameOf(spawner)} that is no more, and is not ours`;
}

/** Unlike the name of any worker: what is told of it must not be taken for what it says itself. */
export const orphanName = (pid: number, spawnerId: string): string => `orphan-${pid}@${spawnerId}`;

export const remedy = (pid: number): string => `rbee stop ${pid} ends it, rbee adopt ${pid} takes it over`;
