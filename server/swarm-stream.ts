/** `GET /v1/heartbeats/stream` of a queen or keeper: a snapshot of the swarm, then each event as it arrives. */
import type { Fleet } from '../stores/fleet.js';
import type { Now } from '../stores/now.js';
import { type HiveHeartbeat, type HiveTelemetry, QueenHeartbeat } from '../wire/heartbeat.js';
import type { Route } from './http/route.js';
import { Broadcast } from './http/sse/broadcast.js';
import { frame } from './http/sse/frame.js';

/** What is kept for readers that do not keep up (docs/protocol.md, section 5.3). */
const RING_BYTES_MAX = 8 * 1024 * 1024;
/** Events that arrive within so long are sent in one write. */
const COALESCE_MS = 40;

export interface SwarmStreamInput {
  fleet: Fleet;
  now: () => Now;
  /** What a new reader is sent after the whole fleet. */
  more: () => QueenHeartbeat[];
}

export interface SwarmStream {
  stream: Broadcast;
  /** Sends the swarm in numbers to the readers. */
  publishSnapshot: () => void;
  /** Sends an event to the readers, if there are any. */
  publish: (event: () => QueenHeartbeat) => void;
}

const heartbeat = (data: QueenHeartbeat) => frame('heartbeat', JSON.stringify(data));

/** Feeds the stream from the fleet: each event serialised once, the latest of each hive kept for new readers. */
export function swarmStream({ fleet, now, more }: SwarmStreamInput): SwarmStream {
  /** Framed when the first reader needs it: without readers nothing is serialised. */
  const latest = new Map<string, { telemetry: HiveTelemetry; framed: Buffer | null }>();
  const framedOf = (hiveId: string): Buffer[] => {
    const last = latest.get(hiveId);
    if (!last) return [];
    last.framed ??= heartbeat(last.telemetry);
    return [last.framed];
  };
  const stream = new Broadcast({
    bytesMax: RING_BYTES_MAX,
    coalesceMs: COALESCE_MS,
    snapshotAfterLag: true,
    snapshot: () => {
      const hives = fleet.hives();
      const online = hives.filter(({ state }) => state === 'streaming');
      return [
        heartbeat(fleet.snapshot(now())),
        ...hives.map((hive) => heartbeat(fleet.changeOf(hive))),
        ...online.flatMap(({ hive_id }) => framedOf(hive_id)),
        ...more().map(heartbeat),
      ];
    },
  });
  fleet.follow((event) => {
    if (event.type === 'state') {
      if (event.change.state === 'forgotten') latest.delete(event.change.hive_id);
      stream.push(heartbeat(event.change), { urgent: true });
      return;
    }
    if (event.type !== 'telemetry') return;
    const { hive, heartbeat: beat, receivedAt } = event;
    const telemetry: HiveTelemetry = {
      type: 'hive_telemetry',
      hive_id: hive.hive_id,
      timestamp: beat.timestamp ?? null,
      received_at: receivedAt,
      node: hive.node,
      workers: hive.workers,
      ...statusOf(beat),
    };
    const framed = stream.readers.size === 0 ? null : heartbeat(telemetry);
    latest.set(hive.hive_id, { telemetry, framed });
    if (framed) stream.push(framed);
  });
  return {
    stream,
    publishSnapshot: () => stream.push(heartbeat(fleet.snapshot(now()))),
    publish: (event) => {
      if (stream.readers.size > 0) stream.push(heartbeat(event()));
    },
  };
}

/** The status and the labels of a hive, where it sends them. */
function statusOf({
  hive_info,
}: HiveHeartbeat): Pick<HiveTelemetry, 'operational_status' | 'health_status' | 'labels'> {
  const { operational_status, health_status, labels } = hive_info ?? {};
  return {
    ...(operational_status ? { operational_status } : {}),
    ...(health_status ? { health_status } : {}),
    ...(labels ? { labels } : {}),
  };
}

export function swarmStreamRoute(stream: Broadcast): Route {
  return {
    method: 'GET',
    path: '/v1/heartbeats/stream',
    summary: 'The whole swarm: a snapshot first, then each event as it arrives.',
    answers: {
      200: {
        description: '`event: heartbeat`, `event: lagged`, `event: bye`',
        schema: QueenHeartbeat,
        type: 'text/event-stream',
      },
    },
    handle: async (ctx) => {
      await stream.open(ctx);
    },
  };
}
