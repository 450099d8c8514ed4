/**
 * Workers by the names of their models: it is needed for each request, and looking through all workers would take
 * seconds. Changes are applied at the next lookup. Pure.
 */

/** Workers of one name; the list is made when it is needed. */
interface Pool {
  ids: Set<string>;
  list: readonly string[] | null;
}

const NONE: readonly string[] = [];

export interface ModelIndex {
  /** The worker may have other models now, or none. */
  touch: (id: string) => void;
  /** Workers by the exact name of their model, and by the name of its file without directory and `.gguf`. */
  find: (model: string) => { exact: readonly string[]; short: readonly string[] };
  /** Every name, with the workers that have it. */
  names: () => Iterable<[name: string, ids: Iterable<string>]>;
}

/** @param modelsOf the models of a worker; none for an unknown one */
export function createModelIndex(modelsOf: (id: string) => readonly string[]): ModelIndex {
  const touched = new Set<string>();
  const kept = new Map<string, readonly string[]>();
  const exact = new Map<string, Pool>();
  const short = new Map<string, Pool>();

  function add(pools: Map<string, Pool>, name: string, id: string): void {
    const pool = pools.get(name) ?? { ids: new Set(), list: null };
    pool.ids.add(id);
    pool.list = null;
    pools.set(name, pool);
  }

  function remove(pools: Map<string, Pool>, name: string, id: string): void {
    const pool = pools.get(name);
    if (!pool?.ids.delete(id)) return;
    pool.list = null;
    if (pool.ids.size === 0) pools.delete(name);
  }

  function refresh(): void {
    for (const id of touched) {
      const before = kept.get(id) ?? NONE;
      const now = modelsOf(id);
      if (before.length === now.length && before.every((name, i) => name === now[i])) continue;
      for (const name of before) {
        remove(exact, name, id);
        remove(short, shortName(name), id);
      }
      for (const name of now) {
        add(exact, name, id);
        add(short, shortName(name), id);
      }
      if (now.length === 0) kept.delete(id);
      else kept.set(id, now);
    }
    touched.clear();
  }

  function listOf(pool: Pool | undefined): readonly string[] {
    if (!pool) return NONE;
    pool.list ??= [...pool.ids];
    return pool.list;
  }

  return {
    touch: (id) => void touched.add(id),
    find: (model) => {
      refresh();
      return { exact: listOf(exact.get(model)), short: listOf(short.get(withoutSuffix(model.toLowerCase()))) };
    },
    names: function* () {
      refresh();
      for (const [name, { ids }] of exact) yield [name, ids];
    },
  };
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
