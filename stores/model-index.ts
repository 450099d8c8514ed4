/**
 * Workers by the names of their models: it is needed for each request, and looking through all workers would take
 * seconds. Changes are applied at the next lookup. Pure.
 */

/** Workers of one name; the list is made when it is needed. */
interface Pool {
  ids: Set<string>;
  list: readonly string[] | null;
}

type Pools = Map<string, Pool>;

const NONE: readonly string[] = [];

export class ModelIndex {
  readonly #modelsOf: (id: string) => readonly string[];
  /** Workers whose models may have changed since the last lookup. */
  readonly #changed = new Set<string>();
  /** The models of each worker as they are indexed. */
  readonly #indexed = new Map<string, readonly string[]>();
  readonly #exact: Pools = new Map();
  readonly #short: Pools = new Map();

  /** @param modelsOf the models of a worker; none for an unknown one */
  constructor(modelsOf: (id: string) => readonly string[]) {
    this.#modelsOf = modelsOf;
  }

  /** The worker may have other models now, or none. */
  changed(id: string): void {
    this.#changed.add(id);
  }

  /** Workers by the exact name of their model, and by the name of its file without directory and `.gguf`. */
  find(model: string): { exact: readonly string[]; short: readonly string[] } {
    this.#update();
    return {
      exact: listOf(this.#exact.get(model)),
      short: listOf(this.#short.get(withoutSuffix(model.toLowerCase()))),
    };
  }

  /** Every name, with the workers that have it. */
  *names(): Generator<[name: string, ids: Iterable<string>]> {
    this.#update();
    for (const [name, { ids }] of this.#exact) yield [name, ids];
  }

  #update(): void {
    for (const id of this.#changed) {
      const before = this.#indexed.get(id) ?? NONE;
      const now = this.#modelsOf(id);
      if (before.length === now.length && before.every((name, i) => name === now[i])) continue;
      for (const name of before) {
        remove(this.#exact, name, id);
        remove(this.#short, shortName(name), id);
      }
      for (const name of now) {
        add(this.#exact, name, id);
        add(this.#short, shortName(name), id);
      }
      if (now.length === 0) this.#indexed.delete(id);
      else this.#indexed.set(id, now);
    }
    this.#changed.clear();
  }
}

function add(pools: Pools, name: string, id: string): void {
  const pool = pools.get(name) ?? { ids: new Set(), list: null };
  pool.ids.add(id);
  pool.list = null;
  pools.set(name, pool);
}

function remove(pools: Pools, name: string, id: string): void {
  const pool = pools.get(name);
  if (!pool?.ids.delete(id)) return;
  pool.list = null;
  if (pool.ids.size === 0) pools.delete(name);
}

function listOf(pool: Pool | undefined): readonly string[] {
  if (!pool) return NONE;
  pool.list ??= [...pool.ids];
  return pool.list;
}

const withoutSuffix = (name: string): string => name.replace(/\.gguf$/, '');

/** The name of the file, without directory and `.gguf`, in lower case. */
const shortName = (name: string): string =>
  withoutSuffix(name.slice(Math.max(name.lastIndexOf('/'), name.lastIndexOf('\\')) + 1).toLowerCase());

/** A worker's own name for a model that is asked for: the same, or one whose file has that name. */
export function nameAmong(models: readonly string[], asked: string): string | null {
  if (models.includes(asked)) return asked;
  const wanted = withoutSuffix(asked.toLowerCase());
  return models.find((name) => shortName(name) === wanted) ?? null;
}
