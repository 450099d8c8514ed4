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
  const { outgoing, registryUrl } = deps;
  await checkRegistry(outgoing, registryUrl, signal);
  // The stream is opened first: changes while the lists are read wait in it.
  const opened = await openEvents(deps, signal).catch((error: unknown) => peerFailure(registryUrl, error));
  // Of a registry without a stream the lists are read at each attempt.
  if (opened instanceof Error && opened.kind !== 'status') throw opened;
  deps.onList(await readLists(deps, signal));
  if (opened instanceof Error) throw opened;
  sendBack({ type: 'opened' });
  await followEvents(deps, opened, signal, fail);
}

async function readLists({ outgoing, registryUrl }: ReadDirectoryDeps, signal: AbortSignal): Promise<Component[]> {
  const lists = await Promise.all([
    readList(outgoing, registryUrl + REGISTRY_PATH.hives, signal),
    readList(outgoing, registryUrl + REGISTRY_PATH.workers, signal),
  ]);
  const [hives, workers] = [parseHives(lists[0]), parseWorkers(lists[1])];
  if (!hives.ok || !workers.ok) throw new PeerFailure('broken', `${registryUrl} answers, but not like a registry`);
  const components = [...hives.value.hives, ...workers.value.workers] as Component[];
  return components.map((component) => resolved(component, registryUrl));
}

/** Reads the stream to its end, which is a failure. */
async function followEvents(
  { registryUrl, clock, onEvent }: ReadDirectoryDeps,
  stream: IncomingMessage,
  signal: AbortSignal,
  fail: (error: unknown) => void,
): Promise<void> {
  const parse = createEventParser(registryUrl, EVENT_BYTES_MAX, ({ event: name, data }) => {
    // Removals may be among the missed events: read the lists again.
    if (name === 'lagged') throw new PeerFailure('closed', `events of ${registryUrl} were missed: reading it again`);
    const event = parseEvent(readJson(data));
    // A later version may have further events.
    if (!event.ok) return;
    const change = event.value as RegistryEvent;
    onEvent(change.type === 'register' ? resolved(change, registryUrl) : change);
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
    for await (const chunk of stream) {
      silence.heard();
      parse(chunk as Buffer);
    }
  } finally {
    silence.stop();
  }
  throw new PeerFailure('closed', `${registryUrl} closed its stream`);
}

const resolved = <T extends { url: string }>(component: T, registryUrl: string): T => ({
  ...component,
  url: resolvePeerUrl(registryUrl, component.url),
});

async function openEvents({ outgoing, registryUrl }: ReadDirectoryDeps, signal: AbortSignal): Promise<IncomingMessage> {
  const headers = { Accept: 'text/event-stream' };
  const stream = await openStream(outgoing, registryUrl + REGISTRY_PATH.stream, { headers, trusted: true, signal });
  if ((stream.headers['content-type'] ?? '').startsWith('text/event-stream')) return stream;
  stream.destroy();
  throw new PeerFailure('status', `${registryUrl} did not answer with an event stream`);
}
