/**
 * Many hives in one process, each with the real state machines and announcements, and with a small server on a port of its
 * own. How they connect and recover is real; their measurements are invented.
 */
import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { createActor } from 'xstate';
import { createAnnounce } from '../../actors/hive/announce.js';
import { createCheckQueenHealth } from '../../actors/hive/check-queen-health.js';
import type { Outgoing } from '../../actors/net/http.js';
import { announceDelayMs, LOST_JITTER_MS_MAX } from '../../machines/backoff.js';
import { hiveMachine, type QueenAskedAnswer } from '../../machines/hive.js';
import { hiveConnectionMachine } from '../../machines/hive-connection.js';
import { queenHealthMachine } from '../../machines/queen-health.js';
import { HEADER, PATH } from '../../wire/status.js';
import { offer } from '../lib/child.js';
import { hiveEvent } from '../lib/event.js';
import { evenly } from '../lib/schedule.js';

const outgoing: Outgoing = { token: null, ca: null, loopbackOnly: true, family: 0 };

interface Hive {
  /** Date.now() whenever its stream was opened. */
  openedAt: number[];
  readers: Map<string, Socket>;
  emit: () => void;
}

const hives: Hive[] = [];

async function startHive(hiveId: string, queenUrl: string): Promise<Hive> {
  const readers = new Map<string, Socket>();
  const hive: Hive = { openedAt: [], readers, emit };
  let made = 0;
  const endpoint = { scheme: 'http' as const, address: '127.0.0.1', port: 0, advertiseUrl: null };
  const server = http.createServer(answer).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  endpoint.port = (server.address() as AddressInfo).port;

  const connection = hiveConnectionMachine.provide({
    actors: {
      announce: createAnnounce({ outgoing, endpoint, hiveId, instance: `instance-${hiveId}` }),
      queenHealth: queenHealthMachine.provide({
        actors: { checkHealth: createCheckQueenHealth({ outgoing, hiveId, instance: `instance-${hiveId}` }) },
      }),
    },
    delays: {
      retry: ({ context }) => announceDelayMs(context.attempt + 1, Math.random()),
      lostDelay: () => Math.random() * LOST_JITTER_MS_MAX,
    },
  });
  const actor = createActor(
    hiveMachine.provide({
      actors: { connection },
      actions: {
        closeReaders: (_, { readerIds }) => {
          for (const id of readerIds) readers.get(id)?.destroy();
        },
      },
    }),
    { input: { queenUrls: [queenUrl] } },
  ).start();

  function answer(request: IncomingMessage, response: ServerResponse): void {
    const url = new URL(request.url ?? '/', 'http://hive');
    if (url.pathname === PATH.capabilities) capabilities(url, response);
    else if (url.pathname === PATH.heartbeats) stream(request, response);
    else response.writeHead(404).end();
  }

  function capabilities(url: URL, response: ServerResponse): void {
    const queenUrl = url.searchParams.get('queen_url');
    if (queenUrl !== null) {
      const respond = (_: QueenAskedAnswer) => {};
      actor.send({ type: 'queen.asked', url: queenUrl, queenId: url.searchParams.get('queen_id'), respond });
    }
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ hive_id: hiveId, devices: [] }));
  }

  function stream(request: IncomingMessage, response: ServerResponse): void {
    const { socket } = request;
    made += 1;
    const readerId = `reader-${made}`;
    response.writeHead(200, { 'content-type': 'text/event-stream', 'rbee-hive': hiveId, 'rbee-protocol': '1' });
    response.flushHeaders();
    hive.openedAt.push(Date.now());
    readers.set(readerId, socket);
    const queenId = request.headers[HEADER.queen];
    actor.send({
      type: 'reader.opened',
      readerId,
      queenId: typeof queenId === 'string' ? queenId : null,
      instance: null,
    });
    socket.on('error', () => {});
    socket.once('close', () => {
      readers.delete(readerId);
      actor.send({ type: 'reader.closed', readerId, reason: 'it closed the connection' });
    });
    emit();
  }

  function emit(): void {
    if (readers.size === 0) return;
    const frame = `event: heartbeat\ndata: ${hiveEvent(hiveId, 1_000, new Date().toISOString())}\n\n`;
    const chunk = `${Buffer.byteLength(frame).toString(16)}\r\n${frame}\r\n`;
    for (const socket of readers.values()) socket.write(chunk);
  }

  return hive;
}

const offered = {
  start: async ({ count, queenUrl }: { count: number; queenUrl: string }) => {
    for (let i = 0; i < count; i += 1) hives.push(await startHive(`hive-${i}`, queenUrl));
    evenly(count, (n) => hives[n % hives.length]?.emit());
  },
  /** How many have exactly one reader, how many have more, and when the stream of each was first opened after `since`. */
  state: ({ since }: { since: number }) => ({
    streaming: hives.filter(({ readers }) => readers.size === 1).length,
    doubled: hives.filter(({ readers }) => readers.size > 1).length,
    openedAt: hives.map(({ openedAt }) => openedAt.find((at) => at >= since) ?? null).filter((at) => at !== null),
    openings: hives.reduce((sum, { openedAt }) => sum + openedAt.filter((at) => at >= since).length, 0),
  }),
};

export type MachineHives = typeof offered;
offer(offered);
