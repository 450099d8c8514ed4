/**
 * A hive of the first implementation. It announces itself once per call of `announce`, and when it is asked at
 * `/v1/capabilities?queen_url=`, which it answers with devices and without a `hive_id`. Every unknown path is a page.
 */
import type { ServerResponse } from 'node:http';
import type { Test } from 'tap';
import { postJson } from '../helpers/http.js';
import { answer, type Served, serve } from './serve.js';

const PAGE = '<!doctype html><title>rbee</title><div id="app"></div>';
const DEVICE = { id: 'CPU-0', name: 'CPU', device_type: 'cpu', vram_gb: 64, compute_capability: null };

export interface OriginalHive extends Served {
  readers: Set<ServerResponse>;
  readersTotal: number;
  /** Each `queen_url` to which it was asked to announce itself. */
  askedToAnnounce: string[];
  /** It sends no events, and its connections stay open. */
  silent: boolean;
  announce(queenUrl: string): Promise<void>;
}

export async function originalHive(
  t: Pick<Test, 'teardown'>,
  { hiveId, host, port, tickMs = 200 }: { hiveId: string; host?: string; port?: number; tickMs?: number },
): Promise<OriginalHive> {
  const served = await serve(t, { host, port }, (request, response, url) => {
    if (request.method === 'GET' && url.pathname === '/v1/heartbeats/stream') return stream(response);
    if (url.pathname === '/health') return void response.writeHead(200).end('ok');
    if (request.method === 'GET' && url.pathname === '/v1/capabilities') {
      answer(response, 200, { devices: [DEVICE] });
      const queenUrl = url.searchParams.get('queen_url');
      if (queenUrl === null) return;
      hive.askedToAnnounce.push(queenUrl);
      hive.announce(queenUrl).catch(() => {});
      return;
    }
    response.writeHead(200, { 'content-type': 'text/html' }).end(PAGE);
  });

  function stream(response: ServerResponse): void {
    hive.readers.add(response);
    hive.readersTotal += 1;
    response.once('close', () => hive.readers.delete(response));
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' });
    response.flushHeaders();
  }

  const hive: OriginalHive = Object.assign(served, {
    readers: new Set<ServerResponse>(),
    readersTotal: 0,
    askedToAnnounce: [],
    silent: false,
    announce: async (queenUrl: string) => {
      await postJson(`${queenUrl}/v1/hive/ready`, { hive_id: hiveId, hive_url: hive.url });
    },
  });
  const timer = setInterval(() => {
    if (hive.silent) return;
    const { port } = hive;
    const event = {
      ...{ type: 'telemetry', hive_id: hiveId, timestamp: new Date().toISOString() },
      hive_info: {
        ...{ id: hiveId, hostname: '127.0.0.1', port, version: '0.1.0' },
        ...{ operational_status: 'ready', health_status: { status: 'healthy' } },
      },
      workers: [{ pid: 7, group: 'llm', instance: '8080', cpu_pct: 0, rss_mb: 1, gpu_util_pct: 0, vram_mb: 0 }],
    };
    for (const reader of hive.readers) reader.write(`event: heartbeat\ndata: ${JSON.stringify(event)}\n\n`);
  }, tickMs);
  t.teardown(() => clearInterval(timer));
  return hive;
}
