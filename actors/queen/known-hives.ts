/** The hives that a queen or keeper has read, in one small file: it searches for them first after a restart. */
import { type Static, Type } from '@sinclair/typebox';
import type { KnownHive } from '../../machines/hive-name.js';
import { knownParser } from '../../wire/schema.js';
import { HttpUrl, Id, nullable, Timestamp } from '../../wire/status.js';
import { normaliseUrl } from '../../wire/url.js';
import type { StateDir } from '../process/state-dir.js';
import { createWriteLater } from '../process/write-later.js';

const FILE = 'hives.json';
/** Changes within so long are one write. */
const WRITE_AFTER_MS = 200;
const FORGOTTEN_MAX = 1_000;

const KnownFile = Type.Object({
  version: Type.Literal(1),
  hives: Type.Array(
    Type.Object({
      hive_id: Id,
      hive_url: HttpUrl,
      instance: nullable(Type.String({ maxLength: 64 })),
      trusted: Type.Boolean(),
      last_seen_at: Timestamp,
    }),
  ),
  forgotten: Type.Array(Type.Object({ hive_id: Id, hive_url: HttpUrl }), { maxItems: FORGOTTEN_MAX }),
});
const parseFile = knownParser(KnownFile);

interface RememberedHive extends KnownHive {
  lastSeenAt: string;
}

export interface KnownHives {
  /** As they were at the start, most recently seen first. */
  atStart: RememberedHive[];
  /** When the hive was seen last before this process started. */
  lastSeenAtStart: (hiveId: string) => string | undefined;
  remember: (hive: RememberedHive) => void;
  /** It is still read. */
  touch: (hiveId: string, lastSeenAt: string) => void;
  /** It is not asked again until it announces itself. */
  forget: (hiveId: string, hiveUrl: string) => void;
  isForgotten: (hiveUrl: string, hiveId: string | null) => boolean;
  /** Whether any hive is: then a host is asked for its name before it is invited. */
  anyForgotten: () => boolean;
  /** Whether the hive of this name is this instance; true where either instance is unknown. */
  isInstance: (hiveId: string, instance: string) => boolean;
  /** Whether the hive may be sent our token. */
  isTrusted: (hiveId: string) => boolean;
  /** Writes pending changes. */
  flush: () => void;
}

export function openKnownHives(state: StateDir, warn: (message: string) => void): KnownHives {
  const { hives, forgotten } = readKnown(state, warn);
  const atStart = new Map(hives);
  const write = () => state.write(FILE, fileOf(hives, forgotten));
  const { changed: later, flush } = createWriteLater(write, WRITE_AFTER_MS, ({ message }) =>
    warn(`cannot write the known hives: ${message}`),
  );

  return {
    atStart: [...atStart.values()].sort((a, b) => b.lastSeenAt.localeCompare(a.lastSeenAt)),
    lastSeenAtStart: (hiveId) => atStart.get(hiveId)?.lastSeenAt,
    remember: (hive) => {
      hives.set(hive.hiveId, hive);
      forgotten.delete(hive.hiveId);
      later();
    },
    touch: (hiveId, lastSeenAt) => {
      const hive = hives.get(hiveId);
      if (hive) hives.set(hiveId, { ...hive, lastSeenAt });
      later();
    },
    forget: (hiveId, hiveUrl) => {
      hives.delete(hiveId);
      forgotten.set(hiveId, hiveUrl);
      const [oldest] = forgotten.keys();
      if (forgotten.size > FORGOTTEN_MAX && oldest !== undefined) forgotten.delete(oldest);
      later();
    },
    isForgotten: (hiveUrl, hiveId) =>
      hiveId === null ? [...forgotten.values()].includes(hiveUrl) : forgotten.has(hiveId),
    anyForgotten: () => forgotten.size > 0,
    isInstance: (hiveId, instance) => {
      const held = hives.get(hiveId)?.instance ?? '';
      return held === '' || instance === '' || held === instance;
    },
    isTrusted: (hiveId) => hives.get(hiveId)?.trusted ?? false,
    flush,
  };
}

/** By hive id: what the file holds; of forgotten hives the URL. */
interface Known {
  hives: Map<string, RememberedHive>;
  forgotten: Map<string, string>;
}

function readKnown(state: StateDir, warn: (message: string) => void): Known {
  const file = state.read(FILE, (value) => {
    const parsed = parseFile(value);
    return parsed.ok ? parsed.value : null;
  });
  const hives = new Map<string, RememberedHive>();
  for (const { hive_id: hiveId, hive_url, instance, trusted, last_seen_at: lastSeenAt } of file?.hives ?? []) {
    const normal = normaliseUrl(hive_url);
    if (normal.ok) hives.set(hiveId, { hiveId, hiveUrl: normal.url, instance, trusted, lastSeenAt });
    else warn(`${FILE}: hive ${hiveId} is dropped, its URL is invalid: ${normal.detail}`);
  }
  return { hives, forgotten: new Map((file?.forgotten ?? []).map((one) => [one.hive_id, one.hive_url])) };
}

function fileOf(hives: Known['hives'], forgotten: Known['forgotten']): Static<typeof KnownFile> {
  return {
    version: 1,
    hives: [...hives.values()].map(({ hiveId, hiveUrl, instance, trusted, lastSeenAt }) => ({
      ...{ hive_id: hiveId, hive_url: hiveUrl, instance, trusted },
      last_seen_at: lastSeenAt,
    })),
    forgotten: [...forgotten].map(([hive_id, hive_url]) => ({ hive_id, hive_url })),
  };
}
