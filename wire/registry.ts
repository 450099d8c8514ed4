/** The registry: who exists, with expiring leases (PROTOCOL, "Registry"). */
import { type Static, Type } from '@sinclair/typebox';
import { HttpUrl, Id, Timestamp, WorkerId } from './status.js';

export const ComponentKind = Type.Union(
  (['queen', 'hive', 'worker', 'keeper'] as const).map((kind) => Type.Literal(kind)),
  { errorMessage: 'expected queen, hive, worker or keeper' },
);
export type ComponentKind = 'queen' | 'hive' | 'worker' | 'keeper';

/** What a lease is about. Any id may be as long as a worker's here; the door checks it by kind. */
const Named = { kind: ComponentKind, id: WorkerId };

/** `POST /v1/registry/register`: the component's own fields beside these are kept and listed untouched. */
export const Registration = Type.Object({ ...Named, url: HttpUrl });
export type Registration = Static<typeof Registration> & { kind: ComponentKind } & Record<string, unknown>;

/** A lease lapses when nothing was heard for `lease_ttl_s`. */
export const Lease = Type.Object({ lease_ttl_s: Type.Number(), heartbeat_interval_s: Type.Number() });
export type Lease = Static<typeof Lease>;

/** `POST /v1/registry/heartbeat` and `DELETE /v1/registry/unregister`. */
export const LeaseName = Type.Object(Named);
export type LeaseName = Static<typeof LeaseName>;

/** The answer to a heartbeat: every queen there is, the earliest registered first. */
export const QueenList = Type.Object({ queens: Type.Array(Type.Object({ id: Id, url: HttpUrl }), { maxItems: 256 }) });
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

/** The events of `GET /v1/registry/stream`, each under its `type` as the event's name; the present ones come first. */
export const RegistryEvent = Type.Union([
  Type.Composite([Type.Object({ type: Type.Literal('register') }), Component]),
  Type.Object({ type: Type.Literal('unregister'), ...Named }),
  Type.Object({ type: Type.Literal('expire'), ...Named }),
]);
export type RegistryEvent = ({ type: 'register' } & Component) | ({ type: 'unregister' | 'expire' } & LeaseName);
