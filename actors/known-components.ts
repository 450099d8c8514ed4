/** What the registry last said, in one small file: where a queen looks after a restart while it is down. */
import { Type } from '@sinclair/typebox';
import type { ListedComponent } from '../stores/directory.js';
import { parser } from '../wire/schema.js';
import { HttpUrl, WorkerId } from '../wire/status.js';
import { ListedWorker } from '../wire/worker.js';
import type { StateDir } from './state-dir.js';

const FILE = 'registry.json';
/** A burst of changes is one write, of up to some megabytes. */
const WRITE_AFTER_MS = 2_000;

const KnownFile = Type.Object({
  version: Type.Literal(1),
  components: Type.Array(
    Type.Object({
      kind: Type.Union([Type.Literal('hive'), Type.Literal('worker')]),
      id: WorkerId,
      url: HttpUrl,
      about: ListedWorker,
    }),
  ),
});
const parseFile = parser(KnownFile);

export interface KnownComponents {
  /** As they were at the start. */
  atStart: ListedComponent[];
  /** Something changed; what is to be kept is asked for when it is written. */
  changed: () => void;
  /** Writes what is not written yet. */
  flush: () => void;
}

export function openKnownComponents(
  state: StateDir,
  read: () => ListedComponent[],
  warn: (message: string) => void,
): KnownComponents {
  const file = state.read(FILE, (value) => {
    const parsed = parseFile(value);
    return parsed.ok ? parsed.value : null;
  });
  let timer: NodeJS.Timeout | undefined;
  const flush = () => {
    if (!timer) return;
    clearTimeout(timer);
    timer = undefined;
    try {
      const components = read().map(({ kind, id, url, about }) => ({ kind, id, url, about }));
      state.write(FILE, { version: 1, components });
    } catch (error) {
      warn(`cannot keep what the registry says: ${(error as Error).message}`);
    }
  };
  return {
    atStart: file?.components ?? [],
    changed: () => {
      timer ??= setTimeout(flush, WRITE_AFTER_MS);
    },
    flush,
  };
}
