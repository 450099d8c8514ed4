/**
 * A registry that works, refuses, is silent, goes away, or loses its leases, as a test requires. Real HTTP, without
 * rbee's own modules.
 */
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import type { Test } from 'tap';
import { answer, bodyOf, problem, type Served, serve } from './serve.js';

/**
 * How it answers a request. `serve`: correctly. `hang`: no answer. `redirect`: to /elsewhere. `nonsense`: 200 with another
 * body. A number: that status, with a problem.
 */
export type RegistryMode = 'serve' | 'hang' | 'redirect' | 'nonsense' | number;

export interface FakeRegistryOptions {
  host?: string;
  port?: number;
  mode?: RegistryMode;
  /** Requests without it are answered 401. */
  token?: string;
  /** The heartbeat interval that it asks for; 15. A lease expires after three of them. */
  intervalS?: number;
}

export interface FakeComponent extends Record<string, unknown> {
  kind: string;
  id: string;
  url: string;
}

interface Received {
  /** In ms of performance.now(). */
  at: number;
  // biome-ignore lint/suspicious/noExplicitAny: whatever the component sent
  body: any;
  headers: IncomingHttpHeaders;
}

export interface FakeRegistry extends Served {
  /** For all paths. This and the next two can be set at any time. */
  mode: RegistryMode;
  /** For one path, by its last word: `{ stream: 404 }`. */
  modes: Record<string, RegistryMode>;
  intervalS: number;
  registrations: Received[];
  heartbeats: Received[];
  unregistrations: Received[];
  /** Requests that followed a redirect, which they must not do. */
  redirectsFollowed: number;
  streams: ServerResponse[];
  list(kind?: string): FakeComponent[];
  isListed(kind: string, id: string): boolean;
  /** Lists a component whose lease does not expire. */
  put(component: FakeComponent): void;
  /** Removes one, as if it had unregistered or its lease had expired. */
  drop(kind: string, id: string, how?: 'unregister' | 'expire'): void;
  /** Removes everything without events, as a restart does. */
  clear(): void;
  /** Sends raw bytes to every reader of the stream. */
  emitRaw(bytes: string): void;
  dropStreams(): void;
}

interface FakeLease {
  component: FakeComponent;
  heardAt: number;
  /** False: it never expires. */
  leased: boolean;
}

/** The internal state of a fake registry. */
interface Internal {
  token: string | undefined;
  leases: Map<string, FakeLease>;
}

export async function fakeRegistry(
  t: Pick<Test, 'teardown'>,
  options: FakeRegistryOptions = {},
): Promise<FakeRegistry> {
  const internal: Internal = { token: options.token, leases: new Map() };
  const served = await serve(t, options, (request, response, url) =>
    handle(registry, internal, request, response, url),
  );
  const registry = createRegistry(served, options, internal);
  const timer = setInterval(() => expire(registry, internal), 100);
  t.teardown(() => clearInterval(timer));
  return registry;
}

function createRegistry(served: Served, options: FakeRegistryOptions, internal: Internal): FakeRegistry {
  const { leases } = internal;
  const registry: FakeRegistry = Object.assign(served, {
    mode: options.mode ?? 'serve',
    modes: {},
    intervalS: options.intervalS ?? 15,
    registrations: [],
    heartbeats: [],
    unregistrations: [],
    redirectsFollowed: 0,
    streams: [] as ServerResponse[],
    list: (kind?: string) =>
      [...leases.values()]
        .map(({ component }) => component)
        .filter((component) => kind === undefined || component.kind === kind),
    isListed: (kind: string, id: string) => leases.has(keyOf(kind, id)),
    put: (component: FakeComponent) => put(registry, internal, component, false),
    drop: (kind: string, id: string, how: 'unregister' | 'expire' = 'unregister') => {
      if (leases.delete(keyOf(kind, id))) emit(registry, { type: how, kind, id });
    },
    clear: () => leases.clear(),
    emitRaw: (bytes: string) => {
      for (const response of registry.streams) response.write(bytes);
    },
    dropStreams: () => {
      for (const response of registry.streams) response.socket?.resetAndDestroy();
    },
  });
  return registry;
}

async function handle(
  registry: FakeRegistry,
  internal: Internal,
  request: IncomingMessage,
  response: ServerResponse,
  url: URL,
): Promise<void> {
  if (url.pathname === '/health') return void response.writeHead(200).end('ok');
  if (url.pathname === '/elsewhere') {
    registry.redirectsFollowed++;
    return answer(response, 200, {});
  }
  const [, , root, word = ''] = url.pathname.split('/');
  if (root !== 'registry') return problem(response, 404);
  const received: Received = { at: performance.now(), body: await bodyOf(request), headers: request.headers };
  record(registry, word, received);
  const mode = registry.modes[word] ?? registry.mode;
  if (mode === 'hang') return;
  if (internal.token !== undefined && request.headers.authorization !== `Bearer ${internal.token}`)
    return problem(response, 401);
  if (mode === 'redirect') return answer(response, 307, {}, { location: `${registry.url}/elsewhere` });
  if (mode === 'nonsense') return answer(response, 200, { hello: 'world' });
  if (typeof mode === 'number') return problem(response, mode);
  expire(registry, internal);
  serveCorrectly(registry, internal, word, received, response);
}

function record(registry: FakeRegistry, word: string, received: Received): void {
  if (word === 'register') registry.registrations.push(received);
  else if (word === 'heartbeat') registry.heartbeats.push(received);
  else if (word === 'unregister') registry.unregistrations.push(received);
}

function serveCorrectly(
  registry: FakeRegistry,
  internal: Internal,
  word: string,
  { body }: Received,
  response: ServerResponse,
): void {
  const { kind, id } = (body ?? {}) as FakeComponent;
  const lease = internal.leases.get(keyOf(kind, id));
  if (word === 'register') {
    put(registry, internal, body as FakeComponent, true);
    answer(response, 200, { lease_ttl_s: registry.intervalS * 3, heartbeat_interval_s: registry.intervalS });
  } else if (word === 'heartbeat' && lease) {
    lease.heardAt = performance.now();
    answer(response, 200, { queens: registry.list('queen').map(({ id, url }) => ({ id, url })) });
  } else if (word === 'unregister' && lease) {
    registry.drop(kind, id, 'unregister');
    answer(response, 200, { status: 'ok' });
  } else if (word === 'hives' || word === 'workers') {
    answer(response, 200, { [word]: registry.list(word.slice(0, -1)) });
  } else if (word === 'components') answer(response, 200, { components: registry.list() });
  else if (word === 'stream') openStream(registry, response);
  else problem(response, 404);
}

function openStream(registry: FakeRegistry, response: ServerResponse): void {
  response.writeHead(200, { 'content-type': 'text/event-stream', 'rbee-protocol': '1' });
  response.flushHeaders();
  for (const component of registry.list()) {
    response.write(`event: register\ndata: ${JSON.stringify({ type: 'register', ...component })}\n\n`);
  }
  registry.streams.push(response);
  response.once('close', () => {
    registry.streams = registry.streams.filter((other) => other !== response);
  });
}

function put(registry: FakeRegistry, { leases }: Internal, component: FakeComponent, leased: boolean): void {
  const at = new Date().toISOString();
  const full = { ...component, registered_at: at, last_heartbeat_at: at };
  leases.set(keyOf(component.kind, component.id), { component: full, heardAt: performance.now(), leased });
  emit(registry, { type: 'register', ...full });
}

function expire(registry: FakeRegistry, { leases }: Internal): void {
  for (const { component, heardAt, leased } of leases.values()) {
    if (leased && performance.now() - heardAt > registry.intervalS * 3_000) {
      registry.drop(component.kind, component.id, 'expire');
    }
  }
}

function emit(registry: FakeRegistry, event: { type: string } & Record<string, unknown>): void {
  registry.emitRaw(`event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`);
}

const keyOf = (kind: string, id: string) => `${kind} ${id}`;
