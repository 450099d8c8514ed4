/** The last list of the registry, in one small file: used by a queen that restarts while the registry is down. */
import { Type } from '@sinclair/typebox';
import type { ListedComponent } from '../../stores/directory.js';
import { knownParser } from '../../wire/schema.js';
import { HttpUrl, WorkerId } from '../../wire/status.js';
import { normaliseUrl } from '../../wire/url.js';
import { ListedWorker } from '../../wire/worker.js';
import type { StateDir } from '../process/state-dir.js';
import { createWriteLater, type WriteLater } from '../process/write-later.js';

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
const parseFile = knownParser(KnownFile);

/** `changed` is called at each change; the content is read when the file is written. */
export interface KnownComponents extends WriteLater {
  /** As they were at the start. */
  atStart: ListedComponent[];
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
  const write = () => {
    const components = read().map(({ kind, id, url, about }) => ({ kind, id, url, about }));
    state.write(FILE, { version: 1, components });
  };
  const onError = ({ message }: Error) => warn(`cannot store the list of the registry: ${message}`);
  const atStart = (file?.components ?? []).flatMap((one) => {
    const normal = normaliseUrl(one.url);
    if (normal.ok) return [{ ...one, url: normal.url }];
    warn(`${FILE}: ${one.kind} ${one.id} ignored, its URL is invalid: ${normal.detail}`);
    return [];
  });
  return { atStart, ...createWriteLater(write, WRITE_AFTER_MS, onError) };
}
