/** Reads the registry's lists of hives and workers, and follows its stream of changes (docs/protocol.md, section 7). */
import type { IncomingMessage } from 'node:http';
import { fromCallback } from 'xstate';
import type { DirectoryEvent } from '../../machines/directory.js';
import { readJson } from '../../wire/json.js';
import {
  type Component,
  REGISTRY_PATH,
  RegisteredHives,
  RegisteredWorkers,
  RegistryEvent,
} from '../../wire/registry.js';
import { parser } from '../../wire/schema.js';
import { resolvePeerUrl } from '../../wire/url.js';
import { createEventParser } from '../net/event-parser.js';
import { PeerFailure, peerFailure } from '../net/failure.js';
import { type Outgoing, openStream } from '../net/http.js';
import { readList } from '../net/read-list.js';
import { watchSilence } from '../net/watch-silence.js';
import type { AwakeClock } from '../process/awake-clock.js';
import { checkRegistry } from './check-registry.js';

/** The registry sends at least a comment every 15 s. */
const SILENCE_MS_MAX = 40_000;
const EVENT_BYTES_MAX = 1024 * 1024;

export interface ReadDirectoryDeps {
  outgoing: Outgoing;
  registryUrl: string;
  clock: AwakeClock;
  /** Called with both lists. */
  onList: (components: Component[]) => void;
  onEvent: (event: RegistryEvent) => void;
}

const parseHives = parser(RegisteredHives);
const parseWorkers = parser(RegisteredWorkers);
const parseEvent = parser(RegistryEvent);

export function createReadDirectory(deps: ReadDirectoryDeps) {
  return fromCallback<DirectoryEvent>(({ sendBack }) => {
    const controller = new AbortController();
    const fail = (error: unknown) => {
      if (controller.signal.aborted) return;
      controller.abort();
      sendBack({ type: 'failed', failure: peerFailure(deps.registryUrl, error) });
    };
    read(deps, controller.signal, sendBack, fail).catch(fail);
    return () => controller.abort();
  });
}

async function read(
  deps: ReadDirectoryDeps,
  signal: AbortSignal,
  sendBack: (event: DirectoryEvent) => void,
  fail: (error: unknown) => void,
): Promise<void> {
  const { registryUrl, clock, onList, onEvent } = deps;
  await checkRegistry(deps.outgoing, registryUrl, signal);
  // The stream is opened first: changes while the lists are read wait in it.
  const opened = await openEvents(deps, signal).catch((error: unknown) => peerFailure(registryUrl, error));
  // Of a registry without a stream the lists are read at each attempt.
  if (opened instanceof Error && opened.kind !== 'status') throw opened;
  const [hives, workers] = await Promise.all([
    readList(deps.outgoing, registryUrl + REGISTRY_PATH.hives, signal),
    readList(deps.outgoing, registryUrl + REGISTRY_PATH.workers, signal),
  ]);
  const both = [parseHives(hives), parseWorkers(workers)] as const;
  if (!both[0].ok || !both[1].ok) throw new PeerFailure('broken', `${registryUrl} answers, but not like a registry`);
  const here = <T extends { url: string }>(one: T): T => ({ ...one, url: resolvePeerUrl(registryUrl, one.url) });
  onList(([...both[0].value.hives, ...both[1].value.workers] as Component[]).map(here));
  if (opened instanceof Error) throw opened;
  sendBack({ type: 'opened' });

  const feed = createEventParser(registryUrl, EVENT_BYTES_MAX, ({ event: name, data }) => {
    // Removals may be among the missed events: read the lists again.
    if (name === 'lagged') throw new PeerFailure('closed', `events of ${registryUrl} were missed: reading it again`);
    const event = parseEvent(readJson(data));
    // A later version may have further events.
    if (!event.ok) return;
    const change = event.value as RegistryEvent;
    onEvent(change.type === 'register' ? here(change) : change);
  });
  const silence = watchSilence(
    { clock, silenceLimits: () => ({ staleMs: SILENCE_MS_MAX, lostMs: SILENCE_MS_MAX }) },
    (event) => {
      if (event.type === 'silent')
        fail(new PeerFailure('timeout', `${registryUrl} was silent for ${SILENCE_MS_MAX / 1000} s`));
    },
  );
  signal.addEventListener('abort', silence.stop, { once: true });
  try {
    for await (const chunk of opened) {
      silence.heard();
      feed(chunk as Buffer);
    }
  } finally {
    silence.stop();
  }
  throw new PeerFailure('closed', `${registryUrl} closed its stream`);
}

async function openEvents({ outgoing, registryUrl }: ReadDirectoryDeps, signal: AbortSignal): Promise<IncomingMessage> {
  const headers = { Accept: 'text/event-stream' };
  const stream = await openStream(outgoing, registryUrl + REGISTRY_PATH.stream, { headers, trusted: true, signal });
  if ((stream.headers['content-type'] ?? '').startsWith('text/event-stream')) return stream;
  stream.destroy();
  throw new PeerFailure('status', `${registryUrl} did not answer with an event stream`);
}
