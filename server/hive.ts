/** The routes of a hive: its telemetry stream, and the capabilities by which a queen finds it. */
import type { Context } from 'koa';
import type { HiveEvent, QueenAskedAnswer } from '../machines/hive.js';
import type { Device } from '../wire/device.js';
import { HiveHeartbeat } from '../wire/heartbeat.js';
import { Capabilities } from '../wire/hive.js';
import { HEADER, HttpUrl, Id, isId } from '../wire/status.js';
import { refuseSession } from './http/auth.js';
import { idHeader, peerUrl, refuseOtherProtocol, wrongField } from './http/peer.js';
import { HttpProblem } from './http/problem.js';
import { answerJson, type Route } from './http/route.js';
import { Broadcast, frame, type ReaderHandle } from './http/sse.js';

/** Past so many events a reader loses the oldest (PROTOCOL, "Telemetry"). */
const FRAMES_MAX = 100;

const UNREACHABLE = 'this hive listens on loopback only and cannot be reached from there: see --bind';

export interface HiveDoorsInput {
  hiveId: string;
  /** Kept in its state: tells it from another of its name. */
  instance: string;
  /** True when only this machine can reach us: then a queen elsewhere could not. */
  loopbackOnly: boolean;
  send: (event: HiveEvent) => void;
  devices: () => Device[];
  /** A queen of the first documents accepted us: a reader that does not say who it is may be its. */
  hasOlderQueen: () => boolean;
}

export interface HiveRoutes {
  routes: Route[];
  /** For all readers, and for those of queens of the first documents. */
  streams: [Broadcast, Broadcast];
  /** Serialises one event, once, for all readers. */
  publish: (heartbeat: HiveHeartbeat) => void;
  closeReaders: (readerIds: string[], reason: string) => void;
}

/** A queen of the first documents drops a worker whose measures of the GPU are null: it gets zeros there. */
function olderFrame(heartbeat: HiveHeartbeat): Buffer {
  const workers = heartbeat.workers.map((worker) => ({
    ...worker,
    gpu_util_pct: worker.gpu_util_pct ?? 0,
    vram_mb: worker.vram_mb ?? 0,
    total_vram_mb: worker.total_vram_mb ?? 0,
  }));
  return frame('heartbeat', JSON.stringify({ ...heartbeat, workers }));
}

export function hiveRoutes({
  hiveId,
  instance: own,
  loopbackOnly,
  send,
  devices,
  hasOlderQueen,
}: HiveDoorsInput): HiveRoutes {
  let heartbeat: HiveHeartbeat | null = null;
  let latest: Buffer | null = null;
  const readers = new Map<string, ReaderHandle>();
  let opened = 0;
  const stream = new Broadcast({
    framesMax: FRAMES_MAX,
    coalesceMs: 0,
    snapshot: () => (latest === null ? [] : [latest]),
    snapshotAfterLag: false,
  });
  const olderStream = new Broadcast({
    framesMax: FRAMES_MAX,
    coalesceMs: 0,
    snapshot: () => (heartbeat === null ? [] : [olderFrame(heartbeat)]),
    snapshotAfterLag: false,
  });

  async function openStream(ctx: Context): Promise<void> {
    refuseOtherProtocol(ctx);
    // Nobody's queen: it comes and goes without the machine, which might take a nameless one for an older queen.
    const isQueen = idHeader(ctx, HEADER.reader) === null;
    const queenId = idHeader(ctx, HEADER.queen);
    const instance = idHeader(ctx, HEADER.instance);
    // Before a reader is seated: one that came here for another hive must not displace its queen's own.
    const expected = ctx.get(HEADER.hive);
    if (expected !== '' && expected !== hiveId)
      throw new HttpProblem(409, `this is hive ${hiveId}, not ${expected.slice(0, 64)}`);
    ctx.set('Rbee-Hive', hiveId);
    opened += 1;
    const readerId = `reader-${opened}`;
    const isOlder = queenId === null && isQueen && hasOlderQueen();
    await (isOlder ? olderStream : stream).open(
      ctx,
      isQueen
        ? {
            onOpen: (reader) => {
              readers.set(readerId, reader);
              send({ type: 'reader.opened', readerId, queenId, instance });
            },
            onClose: (reason) => {
              readers.delete(readerId);
              send({ type: 'reader.closed', readerId, reason });
            },
          }
        : {},
    );
  }

  function answerCapabilities(ctx: Context): void {
    const { queen_url: url, queen_id: id } = ctx.query;
    if (url !== undefined) {
      refuseSession(ctx);
      refuseOtherProtocol(ctx);
      invite(url, id);
    }
    ctx.set('Rbee-Instance', own);
    answerJson(ctx, { hive_id: hiveId, devices: devices() });
  }

  /** The queen at `url` asks us to announce ourselves. @throws HttpProblem 409, 422 */
  function invite(url: string | string[], id: string | string[] | undefined): void {
    if (typeof url !== 'string') throw wrongField('/queen_url', 'expected it once');
    const queenUrl = peerUrl(url, '/queen_url', loopbackOnly ? UNREACHABLE : null);
    if (id !== undefined && (typeof id !== 'string' || !isId(id))) throw wrongField('/queen_id', 'expected an id');
    let outcome: QueenAskedAnswer | undefined;
    send({
      type: 'queen.asked',
      url: queenUrl,
      queenId: id ?? null,
      respond: (said) => {
        outcome = said;
      },
    });
    if (outcome === 'full') throw new HttpProblem(409, 'this hive has as many queens as it takes');
  }

  const capabilities = (path: string): Route => ({
    method: 'GET',
    path,
    summary: 'The devices of this machine; with queen_url, the hive also announces itself to that queen at once.',
    query: {
      queen_url: { description: 'Where the queen can be reached.', schema: HttpUrl },
      queen_id: { description: 'The id of the queen.', schema: Id },
    },
    answers: {
      200: { description: 'Devices.', schema: Capabilities },
      409: { description: 'As many queens as it takes.' },
      422: { description: 'queen_url or queen_id is invalid; nothing was changed.' },
    },
    handle: answerCapabilities,
  });

  return {
    streams: [stream, olderStream],
    publish: (next) => {
      heartbeat = next;
      latest = frame('heartbeat', JSON.stringify(next));
      stream.push(latest);
      if (olderStream.readers.size > 0) olderStream.push(olderFrame(next));
    },
    closeReaders: (readerIds, reason) => {
      for (const id of readerIds) readers.get(id)?.close(reason);
    },
    routes: [
      {
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
        handle: openStream,
      },
      capabilities('/capabilities'),
      capabilities('/v1/capabilities'),
    ],
  };
}
