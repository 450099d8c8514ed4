/** The routes of the registry: leases, lists of what is registered, and a stream of the changes. */
import type { Static, TSchema } from '@sinclair/typebox';
import type { Context } from 'koa';
import {
  type Components,
  eventOf,
  type HeartbeatAnswer,
  type RegisterAnswer,
  type UnregisterAnswer,
} from '../stores/components.js';
import { decisionOf } from '../stores/decision.js';
import type { Now } from '../stores/now.js';
import {
  Component,
  type ComponentKind,
  ComponentList,
  Lease,
  LeaseName,
  OWN_FIELDS,
  QueenList,
  REGISTRY_PATH,
  RegisteredHives,
  RegisteredWorkers,
  Registration,
  RegistryEvent,
} from '../wire/registry.js';
import { type Parsed, parser } from '../wire/schema.js';
import { isId, Ok } from '../wire/status.js';
import { refuseSession } from './http/auth.js';
import { readBody } from './http/body.js';
import { peerUrl, refuseOtherProtocol, wrongField } from './http/peer.js';
import { HttpProblem } from './http/problem.js';
import { answerJson, type Route } from './http/route.js';
import { Broadcast } from './http/sse/broadcast.js';
import { frame } from './http/sse/frame.js';

/** As on the queen: how much is kept for slow readers, and how long events wait to leave in one write. */
const RING_BYTES_MAX = 8 * 1024 * 1024;
const COALESCE_MS = 40;

export interface RegistryRoutesInput {
  lease: Lease;
  components: Components;
  now: () => Now;
}

export interface RegistryRoutes {
  routes: Route[];
  stream: Broadcast;
}

const parseRegistration = parser(Registration) as (value: unknown) => Parsed<Registration>;
const parseLeaseName = parser(LeaseName) as (value: unknown) => Parsed<LeaseName>;

export function registryRoutes(input: RegistryRoutesInput): RegistryRoutes {
  const stream = registryStream(input.components);
  return { routes: [...leaseRoutes(input), ...listRoutes(input.components), streamRoute(stream)], stream };
}

function registryStream(components: Components): Broadcast {
  /** Each registration is framed once, for all readers. */
  const frames = new WeakMap<Component, Buffer>();
  const framed = (event: RegistryEvent) => frame(event.type, JSON.stringify(event));
  const frameOf = (component: Component): Buffer => {
    const made = frames.get(component) ?? framed(eventOf({ type: 'register', component }));
    frames.set(component, made);
    return made;
  };
  const stream = new Broadcast({
    bytesMax: RING_BYTES_MAX,
    coalesceMs: COALESCE_MS,
    snapshot: () => components.list().map(frameOf),
    snapshotAfterLag: true,
  });
  components.follow((change) => {
    if (stream.readers.size === 0) return;
    stream.push(change.type === 'register' ? frameOf(change.component) : framed(eventOf(change)));
  });
  return stream;
}

function leaseRoutes(input: RegistryRoutesInput): Route[] {
  return [
    {
      method: 'POST',
      path: REGISTRY_PATH.register,
      summary: 'Registers a component, or registers it again; its own further fields are listed with it.',
      body: Registration,
      answers: {
        200: { description: 'It is listed for as long as it sends heartbeats.', schema: Lease },
        422: { description: 'A field is wrong.' },
        503: { description: 'The registry is full.' },
      },
      handle: (ctx) => register(ctx, input),
    },
    {
      method: 'POST',
      path: REGISTRY_PATH.heartbeat,
      summary: 'Renews a lease, and lists all queens.',
      body: LeaseName,
      answers: {
        200: { description: 'The queens, the earliest registered first.', schema: QueenList },
        404: { description: 'Not registered, or not any more: register again.' },
        422: { description: 'A field is wrong.' },
      },
      handle: (ctx) => heartbeat(ctx, input),
    },
    {
      method: 'DELETE',
      path: REGISTRY_PATH.unregister,
      summary: 'Ends a lease.',
      body: LeaseName,
      answers: {
        200: { description: 'It is not listed any more.', schema: Ok },
        404: { description: 'It was not registered.' },
        422: { description: 'A field is wrong.' },
      },
      handle: (ctx) => unregister(ctx, input),
    },
  ];
}

async function register(ctx: Context, { lease, components, now }: RegistryRoutesInput): Promise<void> {
  refuseSession(ctx);
  refuseOtherProtocol(ctx);
  const body = await readBody(ctx, parseRegistration);
  const { kind, id, url, registered_at: _, last_heartbeat_at: __, ...own } = body;
  checkId({ kind, id });
  // The registry sends no requests, so it may list URLs that it could not reach itself.
  const registration = { kind, id, url: peerUrl(url, '/url', null), own, bytes: bytesOf(own) };
  const decision = decisionOf<RegisterAnswer>((respond) =>
    components.send({ type: 'register', registration, now: now(), respond }),
  );
  if (decision === 'full') {
    throw new HttpProblem(503, 'this registry is full: see --max-components', {
      headers: { 'Retry-After': '30' },
    });
  }
  answerJson(ctx, lease);
}

async function heartbeat(ctx: Context, { components, now }: RegistryRoutesInput): Promise<void> {
  const name = await leaseNameIn(ctx);
  const queens = decisionOf<HeartbeatAnswer>((respond) =>
    components.send({ type: 'heartbeat', name, now: now(), respond }),
  );
  if (!queens) throw new HttpProblem(404, `${name.kind} ${name.id} is not known (any more): register again`);
  answerJson(ctx, queens);
}

async function unregister(ctx: Context, { components }: RegistryRoutesInput): Promise<void> {
  const name = await leaseNameIn(ctx);
  const decision = decisionOf<UnregisterAnswer>((respond) => components.send({ type: 'unregister', name, respond }));
  if (decision === 'unknown') throw new HttpProblem(404, `${name.kind} ${name.id} is not registered`);
  answerJson(ctx, { status: 'ok' });
}

/** @throws HttpProblem */
async function leaseNameIn(ctx: Context): Promise<LeaseName> {
  refuseSession(ctx);
  refuseOtherProtocol(ctx);
  const name = await readBody(ctx, parseLeaseName);
  checkId(name);
  return name;
}

/** Only the id of a worker may contain "@" and have up to 128 characters. @throws HttpProblem 422 */
function checkId({ kind, id }: LeaseName): void {
  if (kind !== 'worker' && !isId(id))
    throw wrongField('/id', `the id of a ${kind} has 1 to 64 letters, digits, ".", "_" or "-"`);
}

/** How many bytes of JSON a component's own fields are. @throws HttpProblem 422 when they are too many or too deep */
function bytesOf(own: Record<string, unknown>): number {
  const { bytesMax, levelsMax } = OWN_FIELDS;
  if (isDeeper(own, levelsMax)) {
    throw new HttpProblem(422, `a component's own fields may be nested ${levelsMax} levels deep, and no deeper`);
  }
  const bytes = Buffer.byteLength(JSON.stringify(own));
  if (bytes > bytesMax) {
    throw new HttpProblem(422, `a component's own fields may take ${bytesMax} bytes, and these take ${bytes}`);
  }
  return bytes;
}

/** Stops at the limit: the depth of what a client sends must not become the depth of a recursion here. */
function isDeeper(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return levels === 0 || Object.values(value).some((inner) => isDeeper(inner, levels - 1));
}

function listRoutes(components: Components): Route[] {
  const listRoute = <S extends TSchema>(
    path: string,
    summary: string,
    schema: S,
    list: () => Static<S> & object,
  ): Route => ({
    method: 'GET',
    path,
    summary,
    answers: { 200: { description: 'In the order of registration.', schema } },
    handle: (ctx) => answerJson(ctx, list()),
  });
  const of = (kind: ComponentKind) => components.list(kind);
  return [
    listRoute(REGISTRY_PATH.hives, 'Every hive.', RegisteredHives, () => ({ hives: of('hive') })),
    listRoute(REGISTRY_PATH.workers, 'Every worker.', RegisteredWorkers, () => ({ workers: of('worker') })),
    listRoute(REGISTRY_PATH.components, 'Everything that is registered.', ComponentList, () => ({
      components: components.list(),
    })),
    {
      method: 'GET',
      path: REGISTRY_PATH.queen,
      summary: 'The queen that registered earliest.',
      answers: {
        200: { description: 'The queen.', schema: Component },
        404: { description: 'No queen is registered.' },
      },
      handle: (ctx) => {
        const [queen] = of('queen');
        if (!queen) throw new HttpProblem(404, 'no queen is registered');
        answerJson(ctx, queen);
      },
    },
  ];
}

function streamRoute(stream: Broadcast): Route {
  return {
    method: 'GET',
    path: REGISTRY_PATH.stream,
    summary: 'All components that are registered, then each change.',
    answers: {
      200: {
        description: '`event: register`, `event: unregister`, `event: expire`, `event: lagged`, `event: bye`',
        schema: RegistryEvent,
        type: 'text/event-stream',
      },
    },
    handle: async (ctx) => {
      refuseOtherProtocol(ctx);
      await stream.open(ctx);
    },
  };
}
