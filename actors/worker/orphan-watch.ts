/** Searches for orphaned workers periodically, and ends them on request. */
import { endOrphan, findOrphans, type Orphan } from './find-orphans.js';

/** A search takes some milliseconds on Linux, and runs `ps` elsewhere. */
const SEARCH_EVERY_MS = process.platform === 'linux' ? 30_000 : 300_000;

export interface OrphanWatchInput {
  stateDir: string;
  /** This spawner's name in the environment of its workers. */
  spawner: string;
  /** An adopted worker still carries the name of the spawner that started it. */
  isOurs: (spawn: string) => boolean;
  /** Called once for each orphan. */
  onFound: (orphan: Orphan) => void;
}

export class OrphanWatch {
  readonly #input: OrphanWatchInput;
  #found = new Map<number, Orphan>();
  #timer: NodeJS.Timeout | undefined;

  constructor(input: OrphanWatchInput) {
    this.#input = input;
  }

  /** Searches now, and returns the workers that carry this spawner's own name: they are no orphans. */
  search(): Orphan[] {
    const { stateDir, spawner, isOurs, onFound } = this.#input;
    const before = this.spawns();
    const all = findOrphans({ stateDir, spawner });
    const orphans = all.filter((one) => one.spawner !== spawner && !isOurs(one.spawn));
    this.#found = new Map(orphans.map((one) => [one.process.pid, one]));
    for (const orphan of orphans) if (!before.has(orphan.spawn)) onFound(orphan);
    return all.filter((one) => one.spawner === spawner);
  }

  start(): void {
    this.#timer = setInterval(() => this.search(), SEARCH_EVERY_MS).unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  list(): Orphan[] {
    return [...this.#found.values()];
  }

  get(pid: number): Orphan | undefined {
    return this.#found.get(pid);
  }

  /** The ids of the spawns that started them. */
  spawns(): ReadonlySet<string> {
    return new Set(this.list().map(({ spawn }) => spawn));
  }

  /** It has ended, or was adopted. */
  remove(pid: number): void {
    this.#found.delete(pid);
  }

  /** @throws Error when it cannot be ended */
  async end(orphan: Orphan, report: (line: string) => void): Promise<void> {
    await endOrphan(orphan, report);
    this.remove(orphan.process.pid);
  }
}
