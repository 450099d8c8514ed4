/** A hive that streams, is silent, refuses, or goes away, as a test requires. Real HTTP, without rbee's own modules. */
import { randomUUID } from 'node:crypto';
import http, { type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Test } from 'tap';
import { type Answer, postJson } from '../helpers/http.js';
import { answer, problem, type Served, serve } from './serve.js';

/**
 * How it answers a reader. `stream`: correctly. `hang`: no answer. `redirect`: to /elsewhere, which streams.
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
  /** Interval of events; by default only `emit` sends them. */
  tickMs?: number;
  /** Whether a `queen_url` at /capabilities makes it announce itself there; true. */
  announcesWhenAsked?: boolean;
  /** `workers` of its default event. */
  workers?: unknown[];
  /** Another process, to which requests for /v1/jobs are passed on. */
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
  /** This and the next four can be set at any time. */
  mode: HiveMode;
  announcesWhenAsked: boolean;
  healthStatus: number | 'hang';
  devices: unknown[];
  workers: unknown[];
  /** The open readers. */
  subscribers: Subscriber[];
  /** All readers so far, and their headers. */
  subscribersTotal: number;
  subscriberHeaders: IncomingHttpHeaders[];
  /** Readers that followed a redirect, which they must not do. */
  redirectsFollowed: number;
  /** Requests to /capabilities. */
  queries: { at: number; queenUrl: string | null; queenId: string | null; headers: IncomingHttpHeaders }[];
  /** Sends this event to every reader, or the smallest valid one. */
  emit(event?: object): void;
  /** Sends raw bytes to every reader. */
  emitRaw(bytes: string | Buffer): void;
  /** Cuts every stream, with a TCP reset rather than an end of the body. */
  dropStreams(): void;
  /** Cuts every stream of a job. */
  dropJobs(): void;
  /** What happens to posted jobs: passed on; passed on without an answer (`mute`); kept until `releasePosts` (`hold`). */
  posts: 'carry' | 'mute' | 'hold';
  /** Passes on the waiting jobs and all later ones. */
  releasePosts(): void;
  /** Stops its ticks; connections stay open. */
  freeze(): void;
  thaw(): void;
  /** POST /v1/hive/ready. */
  announce(queenUrl: string, as?: AnnounceAs): Promise<Pick<Answer, 'status' | 'body'>>;
}

interface AnnounceAs {
  url?: string;
  instance?: string | null;
  headers?: Record<string, string>;
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

/** The internal state of a fake hive. */
interface Internal {
  jobsUrl: string | undefined;
  /** The last event. */
  latest: Buffer | undefined;
  frozen: boolean;
  /** Open answers of jobs. */
  carried: Set<ServerResponse>;
  /** Posts of jobs that wait. */
  held: (() => void)[];
}

export async function fakeHive(t: Pick<Test, 'teardown'>, options: FakeHiveOptions = {}): Promise<FakeHive> {
  const internal: Internal = {
    ...{ jobsUrl: options.jobsUrl, latest: undefined, frozen: false },
    ...{ carried: new Set<ServerResponse>(), held: [] },
  };
  const served = await serve(t, options, (request, response, url) => handle(hive, internal, request, response, url));
  const hive = createHive(served, options, internal);
  const { tickMs } = options;
  if (tickMs !== undefined) {
    hive.emit();
    const timer = setInterval(() => {
      if (!internal.frozen) hive.emit();
    }, tickMs);
    t.teardown(() => clearInterval(timer));
  }
  return hive;
}

function createHive(served: Served, options: FakeHiveOptions, internal: Internal): FakeHive {
  const { hiveId = 'hive-fake', instance = randomUUID(), mode = 'stream' } = options;
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
      internal.latest = Buffer.from(`event: heartbeat\ndata: ${JSON.stringify(event)}\n\n`);
      hive.emitRaw(internal.latest);
    },
    emitRaw(bytes: string | Buffer): void {
      for (const { response } of hive.subscribers) response.write(bytes);
    },
    dropStreams(): void {
      for (const { response } of hive.subscribers) response.socket?.resetAndDestroy();
    },
    dropJobs(): void {
      for (const response of internal.carried) response.socket?.resetAndDestroy();
    },
    posts: 'carry' as const,
    releasePosts(): void {
      hive.posts = 'carry';
      for (const go of internal.held.splice(0)) go();
    },
    freeze(): void {
      internal.frozen = true;
    },
    thaw(): void {
      internal.frozen = false;
    },
    announce: (queenUrl: string, as?: AnnounceAs) => announce(hive, queenUrl, as),
  });
  return hive;
}

function handle(
  hive: FakeHive,
  internal: Internal,
  request: IncomingMessage,
  response: ServerResponse,
  url: URL,
): void {
  if (url.pathname === '/health') {
    if (hive.healthStatus !== 'hang') {
      response.writeHead(hive.healthStatus, { 'content-type': 'text/plain' }).end('ok');
    }
  } else if (url.pathname === '/capabilities' || url.pathname === '/v1/capabilities') {
    answerCapabilities(hive, request, response, url);
  } else if (url.pathname === '/v1/heartbeats/stream') answerReader(hive, internal, request.headers, response);
  else if (url.pathname === '/elsewhere') {
    hive.redirectsFollowed++;
    openStream(hive, internal, request.headers, response);
  } else if (internal.jobsUrl !== undefined && url.pathname.startsWith('/v1/jobs')) {
    carryJob(hive, internal, internal.jobsUrl, request, response);
  } else problem(response, 404);
}

function answerCapabilities(hive: FakeHive, request: IncomingMessage, response: ServerResponse, url: URL): void {
  const queenUrl = url.searchParams.get('queen_url');
  const queenId = url.searchParams.get('queen_id');
  hive.queries.push({ at: performance.now(), queenUrl, queenId, headers: request.headers });
  const headers: Record<string, string> = hive.instance === null ? {} : { 'rbee-instance': hive.instance };
  answer(response, 200, { hive_id: hive.hiveId, devices: hive.devices }, headers);
  // A refused announcement shows on the queen's side.
  if (queenUrl && hive.announcesWhenAsked) hive.announce(queenUrl).catch(() => {});
}

function answerReader(
  hive: FakeHive,
  internal: Internal,
  headers: IncomingHttpHeaders,
  response: ServerResponse,
): void {
  const { mode } = hive;
  if (mode === 'stream') openStream(hive, internal, headers, response);
  else if (mode === 'redirect') answer(response, 307, {}, { location: `${hive.url}/elsewhere` });
  else if (mode === 'html') response.writeHead(200, { 'content-type': 'text/html' }).end('<h1>It works!</h1>');
  else if (typeof mode === 'number') problem(response, mode);
}

function openStream(
  hive: FakeHive,
  { latest, frozen }: Internal,
  headers: IncomingHttpHeaders,
  response: ServerResponse,
): void {
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
    'rbee-hive': hive.hiveId,
    'rbee-protocol': '1',
  });
  response.flushHeaders();
  if (latest && !frozen) response.write(latest);
}

function carryJob(
  hive: FakeHive,
  { carried, held }: Internal,
  to: string,
  request: IncomingMessage,
  response: ServerResponse,
): void {
  const isPost = request.method === 'POST';
  void bytesOf(request).then((body) => {
    const go = () => carry({ to, request, response, mute: isPost && hive.posts === 'mute', body });
    if (isPost && hive.posts === 'hold') held.push(go);
    else go();
  });
  carried.add(response);
  response.once('close', () => carried.delete(response));
}

async function announce(
  hive: FakeHive,
  queenUrl: string,
  as: AnnounceAs = {},
): Promise<Pick<Answer, 'status' | 'body'>> {
  const instance = as.instance === undefined ? hive.instance : as.instance;
  const { status, body } = await postJson(
    `${queenUrl}/v1/hive/ready`,
    { hive_id: hive.hiveId, hive_url: as.url ?? hive.url },
    { 'rbee-protocol': '1', ...(instance === null ? {} : { 'rbee-instance': instance }), ...as.headers },
  );
  return { status, body };
}
