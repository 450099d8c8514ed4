/** The routes of a hive: its telemetry stream, and the capabilities by which a queen finds it. */
import type { Context } from 'koa';
import type { HiveEvent, QueenAskedAnswer } from '../machines/hive.js';
import { decisionOf } from '../stores/decision.js';
import type { Device } from '../wire/device.js';
import { HiveHeartbeat } from '../wire/heartbeat.js';
import { Capabilities } from '../wire/hive.js';
import { HEADER, HttpUrl, Id, isId } from '../wire/status.js';
import { HiveStream } from './hive-stream.js';
import { refuseSession } from './http/auth.js';
import { idHeader, peerUrl, refuseOtherProtocol, wrongField } from './http/peer.js';
import { HttpProblem } from './http/problem.js';
import { answerJson, type Route } from './http/route.js';
import type { Broadcast } from './http/sse/broadcast.js';

const UNREACHABLE = 'this hive listens on loopback only and cannot be reached from there: see --bind';

export interface HiveRoutesInput {
  hiveId: string;
  /** Kept in the hive's state: tells it from another hive of its name. */
  instance: string;
  /** Only this machine can reach the hive, so a queen elsewhere could not read it. */
  loopbackOnly: boolean;
  send: (event: HiveEvent) => void;
  devices: () => Device[];
  /** A queen of the first implementation accepted this hive: a reader without an id may be that queen. */
  hasOlderQueen: () => boolean;
}

export interface HiveRoutes {
  routes: Route[];
  streams: [Broadcast, Broadcast];
  /** Serialises one event, once, for all readers. */
  publish: (heartbeat: HiveHeartbeat) => void;
  closeReaders: (readerIds: string[], reason: string) => void;
}

export function hiveRoutes(input: HiveRoutesInput): HiveRoutes {
  const stream = new HiveStream();
  return {
    streams: stream.broadcasts,
    publish: (heartbeat) => stream.publish(heartbeat),
    closeReaders: (readerIds, reason) => stream.closeReaders(readerIds, reason),
    routes: [
      streamRoute(stream, input),
      // The second path is that of the first implementation (docs/protocol.md, section 4.3).
      capabilitiesRoute('/capabilities', input),
      capabilitiesRoute('/v1/capabilities', input),
    ],
  };
}

function streamRoute(stream: HiveStream, input: HiveRoutesInput): Route {
  return {
    method: 'GET',
    path: '/v1/heartbeats/stream',
    summary: 'Telemetry: the latest event at once, then one a tick.',
    headers: {
      'Rbee-Queen': 'The id of the queen that subscribes.',
      'Rbee-Reader': 'The id of a reader that is no queen.',
    },
    answers: {
      200: {
        description: '`event: heartbeat`, `event: lagged`, `event: bye`',
        schema: HiveHeartbeat,
        type: 'text/event-stream',
      },
    },
    handle: (ctx) => openStream(ctx, stream, input),
  };
}

async function openStream(
  ctx: Context,
  stream: HiveStream,
  { hiveId, send, hasOlderQueen }: HiveRoutesInput,
): Promise<void> {
  refuseOtherProtocol(ctx);
  const isQueen = idHeader(ctx, HEADER.reader) === null;
  const queenId = idHeader(ctx, HEADER.queen);
  const instance = idHeader(ctx, HEADER.instance);
  refuseOtherHive(ctx, hiveId);
  ctx.set('Rbee-Hive', hiveId);
  // The machine might take another reader without an id for a queen of the first implementation.
  if (!isQueen) return stream.openUntracked(ctx);
  const readerId = stream.nextReaderId();
  await stream.open(ctx, {
    readerId,
    older: queenId === null && hasOlderQueen(),
    onOpen: () => send({ type: 'reader.opened', readerId, queenId, instance }),
    onClose: (reason) => send({ type: 'reader.closed', readerId, reason }),
  });
}

/** A queen that looks for another hive here must not replace its own reader of this one. @throws HttpProblem 409 */
function refuseOtherHive(ctx: Context, hiveId: string): void {
  const expected = ctx.get(HEADER.hive);
  if (expected === '' || expected === hiveId) return;
  throw new HttpProblem(409, `this is hive ${hiveId}, not ${expected.slice(0, 64)}`);
}

function capabilitiesRoute(path: string, input: HiveRoutesInput): Route {
  return {
    method: 'GET',
    path,
    summary: 'The devices of this machine; with queen_url, the hive also announces itself to that queen at once.',
    query: {
      queen_url: { description: 'Where the queen can be reached.', schema: HttpUrl },
      queen_id: { description: 'The id of the queen.', schema: Id },
    },
    answers: {
      200: { description: 'Devices.', schema: Capabilities },
      409: { description: 'This hive has the maximum number of queens.' },
      422: { description: 'queen_url or queen_id is invalid; nothing was changed.' },
    },
    handle: (ctx) => answerCapabilities(ctx, input),
  };
}

function answerCapabilities(ctx: Context, input: HiveRoutesInput): void {
  const { queen_url: url, queen_id: id } = ctx.query;
  if (url !== undefined) {
    refuseSession(ctx);
    refuseOtherProtocol(ctx);
    announceTo(url, id, input);
  }
  ctx.set('Rbee-Instance', input.instance);
  answerJson(ctx, { hive_id: input.hiveId, devices: input.devices() });
}

type QueryValue = string | string[] | undefined;

/** The queen at `url` asks this hive to announce itself there. @throws HttpProblem 409, 422 */
function announceTo(url: QueryValue, id: QueryValue, { loopbackOnly, send }: HiveRoutesInput): void {
  if (typeof url !== 'string') throw wrongField('/queen_url', 'expected it once');
  const queenUrl = peerUrl(url, '/queen_url', loopbackOnly ? UNREACHABLE : null);
  if (id !== undefined && (typeof id !== 'string' || !isId(id))) throw wrongField('/queen_id', 'expected an id');
  const decision = decisionOf<QueenAskedAnswer>((respond) =>
    send({ type: 'queen.asked', url: queenUrl, queenId: id ?? null, respond }),
  );
  if (decision === 'full') throw new HttpProblem(409, 'this hive has the maximum number of queens');
}
