/** The registry: who exists, with expiring leases (PROTOCOL, "Registry"). */
import { type Static, Type } from '@sinclair/typebox';
import { HttpUrl, Id, Timestamp, WorkerId } from './status.js';

export const COMPONENT_KINDS = ['queen', 'hive', 'worker', 'keeper'] as const;
export type ComponentKind = (typeof COMPONENT_KINDS)[number];

export const ComponentKind = Type.Union(
  COMPONENT_KINDS.map((kind) => Type.Literal(kind)),
  { errorMessage: `expected ${COMPONENT_KINDS.slice(0, -1).join(', ')} or ${COMPONENT_KINDS.at(-1)}` },
);

export const REGISTRY_PATH = {
  register: '/v1/registry/register',
  heartbeat: '/v1/registry/heartbeat',
  unregister: '/v1/registry/unregister',
  hives: '/v1/registry/hives',
  workers: '/v1/registry/workers',
  components: '/v1/registry/components',
  queen: '/v1/registry/queen',
  stream: '/v1/registry/stream',
} as const;

/** Time between two heartbeats of a component, in ms, and after how many of them without a word it is gone. */
export const LEASE = { intervalMs: 15_000, intervalMsMin: 100, intervalMsMax: 600_000, intervals: 3 } as const;

/** What a component says of itself, as JSON beside kind, id and url. */
export const OWN_FIELDS = { bytesMax: 16 * 1024, levelsMax: 32 } as const;

/** A heartbeat is answered with no more queens than this, the earliest ones. */
export const QUEENS_LISTED_MAX = 256;

/** What a lease is about. Any id may be as long as a worker's here; the route checks it by kind. */
const Named = { kind: ComponentKind, id: WorkerId };

/**
 * `POST /v1/registry/register`: the component's own fields beside these are kept and listed untouched, within
 * `OWN_FIELDS`; those that the registry writes itself (`registered_at`, `last_heartbeat_at`) are left out.
 */
export const Registration = Type.Object({ ...Named, url: HttpUrl });
export type Registration = Static<typeof Registration> & { kind: ComponentKind } & Record<string, unknown>;

/** A lease lapses when nothing was heard for `lease_ttl_s`. */
export const Lease = Type.Object({
  lease_ttl_s: Type.Number({ minimum: 0.03, maximum: 3600 }),
  heartbeat_interval_s: Type.Number({ minimum: 0.01, maximum: 1200 }),
});
export type Lease = Static<typeof Lease>;

/** `POST /v1/registry/heartbeat` and `DELETE /v1/registry/unregister`. */
export const LeaseName = Type.Object(Named);
export type LeaseName = Static<typeof LeaseName> & { kind: ComponentKind };

/** The answer to a heartbeat: every queen there is, the earliest registered first. */
export const QueenList = Type.Object({
  queens: Type.Array(Type.Object({ id: Id, url: HttpUrl }), { maxItems: QUEENS_LISTED_MAX }),
});
export type QueenList = Static<typeof QueenList>;

/** One component as the registry lists it. */
export const Component = Type.Object({
  ...Named,
  url: HttpUrl,
  registered_at: Timestamp,
  last_heartbeat_at: Timestamp,
});
export type Component = Static<typeof Component> & { kind: ComponentKind } & Record<string, unknown>;

export const ComponentList = Type.Object({ components: Type.Array(Component) });
export const RegisteredHives = Type.Object({ hives: Type.Array(Component) });
export const RegisteredWorkers = Type.Object({ workers: Type.Array(Component) });

/**
 * The events of `GET /v1/registry/stream`, each under its `type` as the event's name; the present ones come first. They
 * say who is there, not when it was last heard of: only the lists do. A `type` among a component's own fields is in the
 * lists, too.
 */
export const RegistryEvent = Type.Union([
  Type.Composite([Type.Object({ type: Type.Literal('register') }), Type.Omit(Component, ['last_heartbeat_at'])]),
  Type.Object({ type: Type.Literal('unregister'), ...Named }),
  Type.Object({ type: Type.Literal('expire'), ...Named }),
]);
export type RegistryEvent =
  | ({ type: 'register'; url: string; registered_at: string } & LeaseName & Record<string, unknown>)
  | ({ type: 'unregister' | 'expire' } & LeaseName);
