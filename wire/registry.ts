/** The registry: a directory of components with expiring leases (docs/protocol.md, section 7). */
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

/** Time between two heartbeats of a component, in ms; after so many intervals without one the lease expires. */
export const LEASE = { intervalMs: 15_000, intervalMsMin: 100, intervalMsMax: 600_000, intervals: 3 } as const;

/** Limits of a component's own fields, the JSON next to kind, id and url. */
export const OWN_FIELDS = { bytesMax: 16 * 1024, levelsMax: 32 } as const;

/** The answer to a heartbeat lists at most so many queens, the earliest ones. */
export const QUEENS_LISTED_MAX = 256;

/** The name of a lease. Any id may be as long as a worker's here; the route checks it by kind. */
const Named = { kind: ComponentKind, id: WorkerId };

/**
 * `POST /v1/registry/register`: the component's own further fields are listed unchanged, within `OWN_FIELDS`, except
 * `registered_at` and `last_heartbeat_at`, which the registry sets.
 */
export const Registration = Type.Object({ ...Named, url: HttpUrl });
export type Registration = Static<typeof Registration> & { kind: ComponentKind } & Record<string, unknown>;

/** A lease expires after `lease_ttl_s` without a heartbeat. */
export const Lease = Type.Object({
  lease_ttl_s: Type.Number({ minimum: 0.03, maximum: 3600 }),
  heartbeat_interval_s: Type.Number({ minimum: 0.01, maximum: 1200 }),
});
export type Lease = Static<typeof Lease>;

/** `POST /v1/registry/heartbeat` and `DELETE /v1/registry/unregister`. */
export const LeaseName = Type.Object(Named);
export type LeaseName = Static<typeof LeaseName> & { kind: ComponentKind };

/** The answer to a heartbeat: all queens, the earliest registered first. */
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
 * The events of `GET /v1/registry/stream`; `type` is also the name of the event. Registered components come first. The
 * time of the last heartbeat is in the lists only, and so is a `type` among a component's own fields.
 */
export const RegistryEvent = Type.Union([
  Type.Composite([Type.Object({ type: Type.Literal('register') }), Type.Omit(Component, ['last_heartbeat_at'])]),
  Type.Object({ type: Type.Literal('unregister'), ...Named }),
  Type.Object({ type: Type.Literal('expire'), ...Named }),
]);
export type RegistryEvent =
  | ({ type: 'register'; url: string; registered_at: string } & LeaseName & Record<string, unknown>)
  | ({ type: 'unregister' | 'expire' } & LeaseName);
