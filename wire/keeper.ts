/** A keeper's own state: the machine that it runs on, its workers, and its queens. */
import { type Static, Type } from '@sinclair/typebox';
import { Device } from './device.js';
import { Gpu } from './hive.js';
import { HttpUrl, Id, nullable, Timestamp } from './status.js';
import { WorkerStats } from './worker.js';

/** A queen of a keeper, which is not required: it adds its hives to the keeper's, and lists the keeper's workers. */
export const SeenQueen = Type.Object({
  queen_id: nullable(Id),
  url: HttpUrl,
  state: Type.Union([Type.Literal('connecting'), Type.Literal('online'), Type.Literal('lost')]),
  reason: nullable(Type.String({ description: 'why it is lost' })),
  since: Timestamp,
});
export type SeenQueen = Static<typeof SeenQueen>;

/** `GET /v1/keeper`, and on a keeper's stream each second. */
export const KeeperState = Type.Object({
  type: Type.Literal('keeper'),
  timestamp: Timestamp,
  devices: Type.Array(Device),
  gpus: Type.Array(Gpu),
  workers: Type.Array(WorkerStats, { description: 'its own, as it measures them' }),
  queens: Type.Array(SeenQueen),
});
export type KeeperState = Static<typeof KeeperState>;

/** Of a queen's `GET /v1/hives`, what a keeper takes. */
export const QueensHives = Type.Object({
  hives: Type.Array(Type.Object({ hive_id: Id, hive_url: HttpUrl, state: Type.String() }), { maxItems: 20_000 }),
});
