/**
 * Many simulated hives behind one plain HTTP server, distinguished by the path of their URLs. They speak rbee's protocol and
 * share no code with real hives; each event is serialised once, and only its time is replaced.
 */
import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { offer } from '../lib/child.js';
import { hiveEvent } from '../lib/event.js';
import { evenly } from '../lib/schedule.js';

interface Hive {
  id: string;
  url: string;
  chunk: Buffer;
  timestampAt: number;
  /** Positions of the numbers that change from event to event, and how many digits they have. */
  varied: { at: number; digits: number }[];
  sockets: Set<Socket>;
}

const EPOCH = '1970-01-01T00:00:00.000Z';
const ANNOUNCING_MAX = 64;
/** Like a real hive that a queen accepted and did not connect to. */
const REANNOUNCE_MS = 10_000;
const hives = new Map<string, Hive>();
let ring: Hive[] = [];
let sent = 0;
let opened = 0;
let refused = 0;
let reannounced = 0;
let lateMs = () => 0;

const server = http.createServer(answer);
server.keepAliveTimeout = 5_000;

/** The first digits of these are replaced in each event. */
const VARIED: [field: string, digits: number][] = [
  ['cpu_pct', 2],
  ['util_pct', 2],
  ['temp_c', 2],
  ['ram_used_mb', 5],
  ['vram_used_mb', 4],
];

function makeHive(base: string, id: string, intervalMs: number, vary: boolean): Hive {
  const frame = `event: heartbeat\ndata: ${hiveEvent(id, intervalMs, EPOCH)}\n\n`;
  const chunk = Buffer.from(`${Buffer.byteLength(frame).toString(16)}\r\n${frame}\r\n`);
  const varied = VARIED.map(([field, digits]) => ({ at: chunk.indexOf(`"${field}":`) + field.length + 3, digits }));
  return {
    ...{ id, url: `${base}/${id}`, chunk, timestampAt: chunk.indexOf(EPOCH), sockets: new Set<Socket>() },
    varied: vary ? varied : [],
  };
}

function answer(request: IncomingMessage, response: ServerResponse): void {
  const [, id = '', ...rest] = (request.url ?? '').split('?')[0]?.split('/') ?? [];
  const hive = hives.get(id);
  const path = rest.join('/');
  if (!hive) return void response.writeHead(404).end();
  if (path === 'capabilities') {
    const devices = [{ id: 'CPU-0', name: 'a fake', device_type: 'cpu', vram_gb: 1, compute_capability: null }];
    response.writeHead(200, { 'content-type': 'application/json' });
    return void response.end(JSON.stringify({ hive_id: id, devices }));
  }
  if (path !== 'v1/heartbeats/stream') return void response.writeHead(404).end();
  const { socket } = request;
  socket.setNoDelay(true);
  response.writeHead(200, {
    'content-type': 'text/event-stream',
    'cache-control': 'no-cache',
    'transfer-encoding': 'chunked',
    'rbee-hive': id,
    'rbee-protocol': '1',
  });
  response.flushHeaders();
  hive.sockets.add(socket);
  opened += 1;
  socket.once('close', () => hive.sockets.delete(socket));
  socket.on('error', () => {});
}

function emit(hive: Hive, timestamp: string): void {
  if (hive.sockets.size === 0) return;
  // A copy, because the previous one may still wait in a socket.
  const chunk = Buffer.from(hive.chunk);
  chunk.write(timestamp, hive.timestampAt, 'latin1');
  for (const { at, digits } of hive.varied) {
    const least = 10 ** (digits - 1);
    chunk.write(String(least + ((sent * 7919) % (9 * least))), at, 'latin1');
  }
  for (const socket of hive.sockets) {
    socket.write(chunk);
    sent += 1;
  }
}

async function announce(agent: http.Agent, queenUrl: string, { id, url }: Hive): Promise<void> {
  for (;;) {
    const status = await new Promise<number>((resolve) => {
      const request = http.request(`${queenUrl}/v1/hive/ready`, {
        method: 'POST',
        agent,
        headers: { 'content-type': 'application/json', 'rbee-protocol': '1', 'rbee-instance': `bench-${id}` },
      });
      request.on('error', () => resolve(0));
      request.on('response', (response) => {
        response.resume();
        resolve(response.statusCode ?? 0);
      });
      request.end(JSON.stringify({ hive_id: id, hive_url: url }));
    });
    if (status === 200) return;
    refused += 1;
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}

/** Announces the hive, and again whenever it has no reader, as a real hive does. */
async function keepAnnounced(agent: http.Agent, queenUrl: string, hive: Hive): Promise<void> {
  await announce(agent, queenUrl, hive);
  const timer = setInterval(() => {
    if (hive.sockets.size > 0) return;
    clearInterval(timer);
    reannounced += 1;
    void keepAnnounced(agent, queenUrl, hive);
  }, REANNOUNCE_MS);
}

const offered = {
  /** Hives `<prefix>0` to `<prefix>(count−1)`, each with an event every `intervalMs`, spread evenly. */
  start: async (input: { count: number; intervalMs: number; prefix: string; vary?: boolean }) => {
    const { count, intervalMs, prefix, vary = false } = input;
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', 4096, resolve));
    const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    for (let i = 0; i < count; i += 1) hives.set(`${prefix}${i}`, makeHive(base, `${prefix}${i}`, intervalMs, vary));
    ring = [...hives.values()];
    lateMs = evenly((count * 1000) / intervalMs, (n) => emit(ring[n % ring.length] as Hive, new Date().toISOString()));
    return { urls: ring.map(({ id, url }) => ({ id, url })) };
  },
  /** Resolves when the queen has accepted all; those that it does not connect to announce themselves again. */
  announce: async ({ queenUrl }: { queenUrl: string }) => {
    const agent = new http.Agent({ keepAlive: true, maxSockets: ANNOUNCING_MAX });
    const todo = [...ring];
    const next = async () => {
      for (let hive = todo.shift(); hive; hive = todo.shift()) await keepAnnounced(agent, queenUrl, hive);
    };
    await Promise.all(Array.from({ length: ANNOUNCING_MAX }, next));
  },
  /**
   * How many have a reader; how many streams were opened, events sent, announcements refused and repeated so far; and by how
   * many ms the latest event since the previous call left too late, which is a delay of this process.
   */
  state: () => ({
    streaming: ring.filter(({ sockets }) => sockets.size > 0).length,
    ...{ opened, sent, refused, reannounced },
    lateMs: lateMs(),
  }),
};

export type Hives = typeof offered;
offer(offered);
