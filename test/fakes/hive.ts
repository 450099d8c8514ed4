/** A hive as a queen may meet one: streaming, silent, refusing, gone. Real HTTP, no module of ours. */
import { randomUUID } from 'node:crypto';
import http, { type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Test } from 'tap';
import { type Answer, postJson } from '../helpers/http.js';
import { answer, problem, type Served, serve } from './serve.js';

/**
 * What it does with a reader. `stream`: as it should. `hang`: no answer. `redirect`: to /elsewhere, which streams.
 * `html`: 200 with a page, as a proxy would. A number: that status, with a problem.
 */
export type HiveMode = 'stream' | 'hang' | 'redirect' | 'html' | number;

export interface FakeHiveOptions {
  hiveId?: string;
  /** Its `Rbee-Instance`; a new UUID by default, null for a hive that sends none. */
  instance?: string | null;
  host?: string;
  port?: number;
  mode?: HiveMode;
  /** Emits an event every so many ms; by default only `emit` does. */
  tickMs?: number;
  /** Whether a `queen_url` at /capabilities makes it announce itself there; true. */
  announcesWhenAsked?: boolean;
  /** `workers` of the events that it makes itself. */
  workers?: unknown[];
  /** Where its jobs are: another process, to which /v1/jobs is carried. */
  jobsUrl?: string;
}

export interface Subscriber {
  /** In ms of performance.now(). */
  at: number;
  headers: IncomingHttpHeaders;
  response: ServerResponse;
}

export interface FakeHive extends Served {
  hiveId: string;
  instance: string | null;
  /** Settable at any time, as the next four are. */
  mode: HiveMode;
  announcesWhenAsked: boolean;
  healthStatus: number | 'hang';
  devices: unknown[];
  workers: unknown[];
  /** The readers of now. */
  subscribers: Subscriber[];
  /** All that ever came, with their headers. */
  subscribersTotal: number;
  subscriberHeaders: IncomingHttpHeaders[];
  /** Readers that followed a redirect, which nobody should. */
  redirectsFollowed: number;
  /** What was asked of /capabilities. */
  queries: { at: number; queenUrl: string | null; queenId: string | null; headers: IncomingHttpHeaders }[];
  /** Sends an event to every reader: the smallest that a queen must take, or this one. */
  emit(event?: object): void;
  /** Sends bytes to every reader as they are. */
  emitRaw(bytes: string | Buffer): void;
  /** Cuts every stream, with a TCP reset rather than an end of the body. */
  dropStreams(): void;
  /** Cuts every stream of a job that it carries. */
  dropJobs(): void;
  /** What becomes of the jobs that are posted: `mute`, they arrive and no answer comes back; `hold`, they wait here. */
  posts: 'carry' | 'mute' | 'hold';
  /** Lets go those that wait, and carries all others. */
  releasePosts(): void;
  /** Stops its ticks; connections stay open. */
  freeze(): void;
  thaw(): void;
  /** The callback: POST /v1/hive/ready. */
  announce(
    queenUrl: string,
    as?: { url?: string; instance?: string | null; headers?: Record<string, string> },
  ): Promise<Pick<Answer, 'status' | 'body'>>;
}

interface Carried {
  to: string;
  request: IncomingMessage;
  response: ServerResponse;
  /** No answer comes back. */
  mute: boolean;
  body: Buffer;
}

function carry({ to, request, response, mute, body }: Carried): void {
  const { method, headers } = request;
  const there = http.request(new URL(request.url ?? '/', to), { method, headers, agent: new http.Agent() });
  there.once('response', (answered) => {
    if (mute) return void answered.resume();
    response.writeHead(answered.statusCode ?? 502, answered.headers);
    answered.pipe(response).once('close', () => there.destroy());
    answered.once('error', () => response.destroy());
  });
  there.once('error', () => response.destroy());
  there.end(body);
}

async function bytesOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

export async function fakeHive(t: Pick<Test, 'teardown'>, options: FakeHiveOptions = {}): Promise<FakeHive> {
  const { hiveId = 'hive-fake', instance = randomUUID(), mode = 'stream', tickMs } = options;
  let latest: Buffer | undefined;
  let frozen = false;
  const carried = new Set<ServerResponse>();
  const held: (() => void)[] = [];

  const served = await serve(t, options, (request, response, url) => {
    if (url.pathname === '/health') {
      if (hive.healthStatus === 'hang') return;
      response.writeHead(hive.healthStatus, { 'content-type': 'text/plain' }).end('ok');
    } else if (url.pathname === '/capabilities' || url.pathname === '/v1/capabilities') {
      const queenUrl = url.searchParams.get('queen_url');
      const queenId = url.searchParams.get('queen_id');
      hive.queries.push({ at: performance.now(), queenUrl, queenId, headers: request.headers });
      const own: Record<string, string> = hive.instance === null ? {} : { 'rbee-instance': hive.instance };
      answer(response, 200, { hive_id: hiveId, devices: hive.devices }, own);
      // A refused announcement shows on the queen's side.
      if (queenUrl && hive.announcesWhenAsked) hive.announce(queenUrl).catch(() => {});
    } else if (url.pathname === '/v1/heartbeats/stream') onReader(request.headers, response);
    else if (url.pathname === '/elsewhere') {
      hive.redirectsFollowed++;
      stream(request.headers, response);
    } else if (options.jobsUrl !== undefined && url.pathname.startsWith('/v1/jobs')) {
      const { jobsUrl: to } = options;
      const isPost = request.method === 'POST';
      void bytesOf(request).then((body) => {
        const go = () => carry({ to, request, response, mute: isPost && hive.posts === 'mute', body });
        if (isPost && hive.posts === 'hold') held.push(go);
        else go();
      });
      carried.add(response);
      response.once('close', () => carried.delete(response));
    } else problem(response, 404);
  });

  function onReader(headers: IncomingHttpHeaders, response: ServerResponse): void {
    const { mode } = hive;
    if (mode === 'stream') stream(headers, response);
    else if (mode === 'redirect') answer(response, 307, {}, { location: `${hive.url}/elsewhere` });
    else if (mode === 'html') response.writeHead(200, { 'content-type': 'text/html' }).end('<h1>It works!</h1>');
    else if (typeof mode === 'number') problem(response, mode);
  }

  function stream(headers: IncomingHttpHeaders, response: ServerResponse): void {
    const subscriber: Subscriber = { at: performance.now(), headers, response };
    hive.subscribers.push(subscriber);
    hive.subscribersTotal++;
    hive.subscriberHeaders.push(headers);
    response.once('close', () => {
      hive.subscribers = hive.subscribers.filter((other) => other !== subscriber);
    });
    response.writeHead(200, {
      'content-type': 'text/event-stream',
      'cache-control': 'no-cache',
      'rbee-hive': hiveId,
      'rbee-protocol': '1',
    });
    response.flushHeaders();
    if (latest && !frozen) response.write(latest);
  }

  const hive: FakeHive = Object.assign(served, {
    hiveId,
    instance,
    mode,
    announcesWhenAsked: options.announcesWhenAsked ?? true,
    healthStatus: 200,
    devices: [{ id: 'CPU-0', name: 'a fake', device_type: 'cpu', vram_gb: 1, compute_capability: null }],
    workers: options.workers ?? [],
    subscribers: [] as Subscriber[],
    subscribersTotal: 0,
    subscriberHeaders: [],
    redirectsFollowed: 0,
    queries: [],
    emit(event: object = { type: 'telemetry', hive_id: hiveId, workers: hive.workers }): void {
      latest = Buffer.from(`event: heartbeat\ndata: ${JSON.stringify(event)}\n\n`);
      hive.emitRaw(latest);
    },
    emitRaw(bytes: string | Buffer): void {
      for (const { response } of hive.subscribers) response.write(bytes);
    },
    dropStreams(): void {
      for (const { response } of hive.subscribers) response.socket?.resetAndDestroy();
    },
    dropJobs(): void {
      for (const response of carried) response.socket?.resetAndDestroy();
    },
    posts: 'carry' as const,
    releasePosts(): void {
      hive.posts = 'carry';
      for (const go of held.splice(0)) go();
    },
    freeze(): void {
      frozen = true;
    },
    thaw(): void {
      frozen = false;
    },
    async announce(queenUrl: string, as: Parameters<FakeHive['announce']>[1] = {}) {
      const instance = as.instance === undefined ? hive.instance : as.instance;
      const { status, body } = await postJson(
        `${queenUrl}/v1/hive/ready`,
        { hive_id: hiveId, hive_url: as.url ?? hive.url },
        { 'rbee-protocol': '1', ...(instance === null ? {} : { 'rbee-instance': instance }), ...as.headers },
      );
      return { status, body };
    },
  });

  if (tickMs !== undefined) {
    hive.emit();
    const timer = setInterval(() => {
      if (!frozen) hive.emit();
    }, tickMs);
    t.teardown(() => clearInterval(timer));
  }
  return hive;
}
