/** A registry as a component may meet one: working, refusing, silent, gone, back and empty. Real HTTP, no module of ours. */
import type { IncomingHttpHeaders, ServerResponse } from 'node:http';
import type { Test } from 'tap';
import { answer, bodyOf, problem, type Served, serve } from './serve.js';

/**
 * What it does with a request. `serve`: as it should. `hang`: no answer. `redirect`: to /elsewhere. `nonsense`: 200 with
 * something else. A number: that status, with a problem.
 */
export type RegistryMode = 'serve' | 'hang' | 'redirect' | 'nonsense' | number;

export interface FakeRegistryOptions {
  host?: string;
  port?: number;
  mode?: RegistryMode;
  /** Whoever does not present it is answered 401. */
  token?: string;
  /** What it tells components to keep to; 15. A lease lapses after three of them. */
  intervalS?: number;
}

export interface FakeComponent extends Record<string, unknown> {
  kind: string;
  id: string;
  url: string;
}

interface Said {
  /** In ms of performance.now(). */
  at: number;
  // biome-ignore lint/suspicious/noExplicitAny: whatever the component sent
  body: any;
  headers: IncomingHttpHeaders;
}

export interface FakeRegistry extends Served {
  /** Of everything; settable at any time, as the next two are. */
  mode: RegistryMode;
  /** Of one path only, by its last word: `{ stream: 404 }`. */
  modes: Record<string, RegistryMode>;
  intervalS: number;
  registrations: Said[];
  heartbeats: Said[];
  unregistrations: Said[];
  /** Requests that followed a redirect, which nobody should. */
  redirectsFollowed: number;
  streams: ServerResponse[];
  list(kind?: string): FakeComponent[];
  isListed(kind: string, id: string): boolean;
  /** Lists a component that nobody keeps alive. */
  put(component: FakeComponent): void;
  /** Takes one out, as if it had unregistered or its lease had lapsed. */
  drop(kind: string, id: string, how?: 'unregister' | 'expire'): void;
  /** Forgets everything without a word, as a restart does. */
  clear(): void;
  /** Sends bytes to every reader of the stream as they are. */
  emitRaw(bytes: string): void;
  dropStreams(): void;
}

export async function fakeRegistry(
  t: Pick<Test, 'teardown'>,
  options: FakeRegistryOptions = {},
): Promise<FakeRegistry> {
  const components = new Map<string, { component: FakeComponent; heardAt: number; leased: boolean }>();
  const key = (kind: string, id: string) => `${kind} ${id}`;

  function lapse(): void {
    for (const { component, heardAt, leased } of components.values()) {
      if (leased && performance.now() - heardAt > registry.intervalS * 3_000) {
        registry.drop(component.kind, component.id, 'expire');
      }
    }
  }

  function send(event: { type: string } & Record<string, unknown>): void {
    registry.emitRaw(`event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`);
  }

  function put(component: FakeComponent, leased: boolean): void {
    const at = new Date().toISOString();
    const full = { ...component, registered_at: at, last_heartbeat_at: at };
    components.set(key(component.kind, component.id), { component: full, heardAt: performance.now(), leased });
    send({ type: 'register', ...full });
  }

  const served = await serve(t, options, async (request, response, url) => {
    if (url.pathname === '/health') return void response.writeHead(200).end('ok');
    if (url.pathname === '/elsewhere') {
      registry.redirectsFollowed++;
      return answer(response, 200, {});
    }
    const [, , root, word = ''] = url.pathname.split('/');
    if (root !== 'registry') return problem(response, 404);
    const said: Said = { at: performance.now(), body: await bodyOf(request), headers: request.headers };
    const log = {
      register: registry.registrations,
      heartbeat: registry.heartbeats,
      unregister: registry.unregistrations,
    };
    log[word as keyof typeof log]?.push(said);
    const mode = registry.modes[word] ?? registry.mode;
    if (mode === 'hang') return;
    if (options.token !== undefined && request.headers.authorization !== `Bearer ${options.token}`)
      return problem(response, 401);
    if (mode === 'redirect') return answer(response, 307, {}, { location: `${registry.url}/elsewhere` });
    if (mode === 'nonsense') return answer(response, 200, { hello: 'world' });
    if (typeof mode === 'number') return problem(response, mode);
    lapse();
    const { kind, id } = (said.body ?? {}) as FakeComponent;
    const held = components.get(key(kind, id));
    if (word === 'register') {
      put(said.body as FakeComponent, true);
      answer(response, 200, { lease_ttl_s: registry.intervalS * 3, heartbeat_interval_s: registry.intervalS });
    } else if (word === 'heartbeat') {
      if (!held) return problem(response, 404);
      held.heardAt = performance.now();
      answer(response, 200, { queens: registry.list('queen').map(({ id, url }) => ({ id, url })) });
    } else if (word === 'unregister') {
      if (!held) return problem(response, 404);
      registry.drop(kind, id, 'unregister');
      answer(response, 200, { status: 'ok' });
    } else if (word === 'hives' || word === 'workers') {
      answer(response, 200, { [word]: registry.list(word.slice(0, -1)) });
    } else if (word === 'components') answer(response, 200, { components: registry.list() });
    else if (word === 'stream') stream(response);
    else problem(response, 404);
  });

  function stream(response: ServerResponse): void {
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

  const timer = setInterval(lapse, 100);
  t.teardown(() => clearInterval(timer));

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
      [...components.values()]
        .map(({ component }) => component)
        .filter((component) => kind === undefined || component.kind === kind),
    isListed: (kind: string, id: string) => components.has(key(kind, id)),
    put: (component: FakeComponent) => put(component, false),
    drop: (kind: string, id: string, how: 'unregister' | 'expire' = 'unregister') => {
      if (components.delete(key(kind, id))) send({ type: how, kind, id });
    },
    clear: () => components.clear(),
    emitRaw: (bytes: string) => {
      for (const response of registry.streams) response.write(bytes);
    },
    dropStreams: () => {
      for (const response of registry.streams) response.socket?.resetAndDestroy();
    },
  });
  return registry;
}
