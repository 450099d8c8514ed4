/** A fake queen for hives: it accepts, refuses, hangs or is offline. Real HTTP, no module of ours. */
import type { IncomingHttpHeaders, ServerResponse } from 'node:http';
import type { Test } from 'tap';
import { type Answer, getJson, openStream, type Stream } from '../helpers/http.js';
import { answer, bodyOf, problem, type Served, serve } from './serve.js';

/**
 * The answer to a callback. `accept`: 200, then it opens the stream. `accept-nameless`: the same without its id, as a queen
 * of the first protocol documents. `accept-silent`: 200, and no stream. `subscribe-first`: the stream, then 200. `hang`: no
 * answer. `redirect`: to /elsewhere, which answers 200. A number: that status, with a problem.
 */
export type QueenMode =
  | 'accept'
  | 'accept-nameless'
  | 'accept-silent'
  | 'subscribe-first'
  | 'hang'
  | 'redirect'
  | number;

export interface FakeQueenOptions {
  queenId?: string;
  host?: string;
  port?: number;
  mode?: QueenMode;
  /** How long `subscribe-first` waits between the open stream and its answer; 200 ms. */
  answerDelayMs?: number;
}

export interface Callback {
  /** In ms of performance.now(). */
  at: number;
  // biome-ignore lint/suspicious/noExplicitAny: whatever the hive sent
  body: any;
  headers: IncomingHttpHeaders;
}

export interface QueenStream extends Stream {
  hiveUrl: string;
}

export interface FakeQueen extends Served {
  queenId: string;
  /** Can be set at any time, as can `healthStatus`. */
  mode: QueenMode;
  healthStatus: number | 'hang';
  healthRequests: number;
  /** Requests that followed a redirect, which is an error. */
  redirectsFollowed: number;
  callbacks: Callback[];
  /** Registrations of workers by spawners. */
  registrations: unknown[];
  /** The streams that are open now. */
  streams: QueenStream[];
  /** How many it opened in all, and the errors of those that failed. */
  streamsTotal: number;
  subscribeErrors: string[];
  /** Opens a stream as after a callback. */
  subscribe(hiveUrl: string): Promise<QueenStream | undefined>;
  dropStreams(): void;
  /** Stops reading from the sockets of the open streams. */
  stall(): void;
  resume(): void;
  /** Asks a hive's /capabilities with its own URL and id. */
  probe(hiveUrl: string, as?: { queenUrl?: string; queenId?: string }): Promise<Answer>;
  /** Ends the server and all streams; `listen` starts it again. */
  close(): Promise<void>;
}

export async function fakeQueen(t: Pick<Test, 'teardown'>, options: FakeQueenOptions = {}): Promise<FakeQueen> {
  const { queenId = 'queen-fake', mode = 'accept', answerDelayMs = 200 } = options;
  const served = await serve(t, options, async (request, response, url) => {
    if (url.pathname === '/health') {
      queen.healthRequests++;
      if (queen.healthStatus === 'hang') return;
      response.writeHead(queen.healthStatus, { 'content-type': 'text/plain' }).end('ok');
    } else if (url.pathname === '/elsewhere') {
      queen.redirectsFollowed++;
      answer(response, 200, { status: 'ok', queen_id: queenId });
    } else if (request.method === 'POST' && url.pathname === '/v1/hive/ready') {
      const at = performance.now();
      const body = await bodyOf(request);
      queen.callbacks.push({ at, body, headers: request.headers });
      await onReady((body ?? {}) as { hive_id?: string; hive_url?: string }, response);
    } else if (request.method === 'POST' && url.pathname === '/v1/queen/register-worker') {
      queen.registrations.push(await bodyOf(request));
      answer(response, 200, { status: 'ok' });
    } else problem(response, 404);
  });

  async function onReady(hive: { hive_id?: string; hive_url?: string }, response: ServerResponse): Promise<void> {
    const { mode } = queen;
    if (mode === 'hang') return;
    if (mode === 'redirect') return answer(response, 307, {}, { location: `${queen.url}/elsewhere` });
    if (typeof mode === 'number') return problem(response, mode);
    const hiveUrl = hive.hive_url ?? '';
    const yes = { status: 'ok', message: `Subscribed to hive ${hive.hive_id} SSE stream` };
    if (mode === 'subscribe-first') {
      await queen.subscribe(hiveUrl);
      setTimeout(() => answer(response, 200, { ...yes, queen_id: queenId }), answerDelayMs);
      return;
    }
    response.once('finish', () => {
      if (mode !== 'accept-silent') void queen.subscribe(hiveUrl);
    });
    answer(response, 200, mode === 'accept-nameless' ? yes : { ...yes, queen_id: queenId });
  }

  const closeServer = served.close;
  const queen: FakeQueen = Object.assign(served, {
    queenId,
    mode,
    healthStatus: 200,
    healthRequests: 0,
    redirectsFollowed: 0,
    callbacks: [],
    registrations: [] as unknown[],
    streams: [] as QueenStream[],
    streamsTotal: 0,
    subscribeErrors: [],
    async subscribe(hiveUrl: string): Promise<QueenStream | undefined> {
      // A second callback replaces the stream, as on a real queen.
      for (const old of queen.streams.filter((stream) => stream.hiveUrl === hiveUrl)) old.close();
      const headers: Record<string, string> = queen.mode === 'accept-nameless' ? {} : { 'rbee-queen': queenId };
      try {
        const opened = await openStream(t, `${hiveUrl}/v1/heartbeats/stream`, headers);
        const stream: QueenStream = Object.assign(opened, { hiveUrl });
        if (stream.status !== 200) {
          stream.close();
          throw new Error(`${hiveUrl} answered ${stream.status}`);
        }
        queen.streams.push(stream);
        queen.streamsTotal++;
        void stream.closed.then(() => {
          queen.streams = queen.streams.filter((other) => other !== stream);
        });
        return stream;
      } catch (error) {
        queen.subscribeErrors.push((error as Error).message);
        return undefined;
      }
    },
    dropStreams: () => {
      for (const stream of queen.streams) stream.close();
    },
    stall: () => {
      for (const stream of queen.streams) stream.pause();
    },
    resume: () => {
      for (const stream of queen.streams) stream.resume();
    },
    probe: (hiveUrl: string, as: { queenUrl?: string; queenId?: string } = {}) => {
      const query = new URLSearchParams({ queen_url: as.queenUrl ?? queen.url, queen_id: as.queenId ?? queenId });
      return getJson(`${hiveUrl}/capabilities?${query}`, { 'rbee-protocol': '1' });
    },
    close: () => {
      queen.dropStreams();
      return closeServer();
    },
  });
  return queen;
}
