/** A worker as a gateway may meet it: answering, failing, hanging, dying in the middle. Real HTTP, no module of ours. */
import type { IncomingHttpHeaders, ServerResponse } from 'node:http';
import type { Test } from 'tap';
import type { WorkerKeyPair } from '../../actors/worker/worker-proof.js';
import { type Answer, parsed, postJson } from '../helpers/http.js';
import { answer, type Served, serve, textOf } from './serve.js';

/**
 * What it does with a request. `answer`: as it should. `hang`: nothing. `reset`: cuts the connection unanswered. `headers`: sends
 * headers and cuts the connection. `hold`: the first token, and the rest when `finish` is called. `torn`: the first token and
 * half of the second, and cuts. `endless`: tokens for as long as they are taken. `think`: two thoughts first, and the
 * answer with its usage when `finish` is called. `slow`: a token each 200 ms until `finish`. `no-model`: says that it has
 * no such model. `switch`: answers 101. `garbage`: no HTTP at all. `length`: a stream with a Content-Length that it does
 * not keep. `drip`: a byte at a time. A number: that status, with OpenAI's error.
 */
export type WorkerMode =
  | ('answer' | 'hang' | 'reset' | 'headers' | 'hold' | 'torn' | 'endless' | 'think' | 'slow' | 'no-model')
  | ('switch' | 'garbage' | 'length' | 'drip')
  | number;

export interface FakeWorkerOptions {
  workerId: string;
  model: string | null;
  hiveId?: string | null;
  mode?: WorkerMode;
  /** What its /capabilities lists. */
  models?: string[];
  /** The key that it tells of; `proves: false` is somebody else who took its port. */
  identity?: WorkerKeyPair;
  proves?: boolean;
}

export interface FakeWorker extends Served {
  workerId: string;
  /** Settable at any time, as the next two are. */
  mode: WorkerMode;
  status: string;
  healthStatus: number | 'hang';
  healthRequests: number;
  /** Bodies and headers of what was asked, oldest first. */
  // biome-ignore lint/suspicious/noExplicitAny: whatever was sent
  asked: { path: string; body: any; text: string; headers: IncomingHttpHeaders }[];
  /** What it answers, a token each. */
  tokens: readonly string[];
  /** Requests that are not answered to their end, and how many were given up by who asked. */
  open: number;
  aborted: number;
  /** Bytes that `endless` wrote. */
  written: number;
  /** Sends the rest of every answer that is held. */
  finish(): void;
  heartbeat(queenUrl: string, headers?: Record<string, string>): Promise<Answer>;
  /** As a hive lists it. */
  stats(): object;
}

export const TOKENS = ['Hello', ', ', 'swarm', '!'];

const chunkOf = (text: string, as = 'content') =>
  `data: ${JSON.stringify({ object: 'chat.completion.chunk', choices: [{ index: 0, delta: { [as]: text } }] })}\n\n`;
const THOUGHTS = ['Who', '?'];
const USAGE = `data: ${JSON.stringify({ choices: [], usage: { completion_tokens: THOUGHTS.length + TOKENS.length } })}\n\n`;

export async function fakeWorker(t: Pick<Test, 'teardown'>, options: FakeWorkerOptions): Promise<FakeWorker> {
  const { workerId, model, hiveId = null, mode = 'answer', identity, proves = true } = options;
  let held: (() => void)[] = [];
  const served = await serve(t, { host: undefined, port: undefined }, async (request, response, url) => {
    if (url.pathname === '/health') {
      worker.healthRequests++;
      const challenge = request.headers['rbee-challenge'];
      if (typeof challenge === 'string' && identity && proves) {
        response.setHeader('rbee-proof', identity.prove(workerId, challenge));
      }
      if (worker.healthStatus === 'hang') return;
      response.writeHead(worker.healthStatus, { 'content-type': 'text/plain' }).end('ok');
      return;
    }
    if (url.pathname === '/capabilities') {
      return answer(response, 200, { worker_id: workerId, devices: [], models: options.models ?? [] });
    }
    const text = await textOf(request);
    const body = parsed(text) as { stream?: boolean };
    worker.asked.push({ path: url.pathname, body, text, headers: request.headers });
    worker.open++;
    response.once('close', () => {
      worker.open--;
      if (!response.writableFinished) worker.aborted++;
    });
    reply(response, body.stream === true);
  });

  function reply(response: ServerResponse, stream: boolean): void {
    const { mode } = worker;
    if (mode === 'hang') return;
    if (mode === 'reset') return void response.socket?.resetAndDestroy();
    if (mode === 'switch') {
      return void response.socket?.write(
        'HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n',
      );
    }
    if (mode === 'garbage') return void response.socket?.end('this is not HTTP\r\n\r\n');
    if (mode === 'no-model') {
      const error = { message: 'there is no such model here', type: 'not_found_error', code: 'model_not_found' };
      return void answer(response, 404, { error });
    }
    if (typeof mode === 'number') {
      const error = { message: `the fake says ${mode}`, type: 'invalid_request_error', param: null, code: null };
      return void answer(response, mode, { error });
    }
    if (!stream && mode === 'answer') {
      return void answer(response, 200, {
        object: 'chat.completion',
        choices: [{ index: 0, message: { role: 'assistant', content: TOKENS.join('') } }],
      });
    }
    const length = mode === 'length' ? { 'content-length': 10_000 } : {};
    response.writeHead(200, { 'content-type': stream ? 'text/event-stream' : 'application/json', ...length });
    response.flushHeaders();
    if (mode === 'slow') {
      const timer = setInterval(() => response.write(chunkOf('x')), 200);
      response.once('close', () => clearInterval(timer));
      held.push(() => {
        clearInterval(timer);
        response.end('data: [DONE]\n\n');
      });
      return;
    }
    if (mode === 'drip') {
      const bytes = [...Buffer.from(`${TOKENS.map((token) => chunkOf(token)).join('')}data: [DONE]\n\n`)];
      response.socket?.setNoDelay(true);
      const more = () => {
        const byte = bytes.shift();
        if (byte === undefined) return void response.end();
        response.write(Buffer.of(byte));
        setImmediate(more);
      };
      return void more();
    }
    if (mode === 'headers') return void setTimeout(() => response.socket?.resetAndDestroy(), 20);
    if (mode === 'endless') return void endless(response);
    if (mode === 'think') {
      for (const thought of THOUGHTS) response.write(chunkOf(thought, 'reasoning_content'));
      held.push(() => response.end(`${TOKENS.map((token) => chunkOf(token)).join('')}${USAGE}data: [DONE]\n\n`));
      return;
    }
    response.write(stream ? chunkOf(worker.tokens[0] as string) : '{"choices":[');
    const rest = () => {
      for (const token of worker.tokens.slice(1)) response.write(chunkOf(token));
      response.end('data: [DONE]\n\n');
    };
    if (mode === 'hold') held.push(rest);
    else if (mode === 'length') setTimeout(() => response.socket?.end(), 20);
    else if (mode === 'torn') {
      response.write(chunkOf(TOKENS[1] as string).slice(0, 20));
      setTimeout(() => response.socket?.resetAndDestroy(), 20);
    } else rest();
  }

  function endless(response: ServerResponse): void {
    const token = chunkOf('x'.repeat(16 * 1024));
    const more = () => {
      while (!response.destroyed) {
        worker.written += token.length;
        if (!response.write(token)) return void response.once('drain', more);
      }
    };
    more();
  }

  const worker: FakeWorker = Object.assign(served, {
    workerId,
    mode,
    status: 'ready',
    healthStatus: 200 as number | 'hang',
    healthRequests: 0,
    asked: [],
    tokens: TOKENS,
    open: 0,
    aborted: 0,
    written: 0,
    finish() {
      for (const rest of held) rest();
      held = [];
    },
    heartbeat: (queenUrl: string, headers: Record<string, string> = {}) =>
      postJson(
        `${queenUrl}/v1/worker-heartbeat`,
        {
          worker: {
            id: workerId,
            model_id: model,
            device: 'CPU-0',
            port: served.port,
            url: served.url,
            hive_id: hiveId,
            status: worker.status,
            ...(identity ? { key: identity.key } : {}),
          },
        },
        headers,
      ),
    stats: () => ({ worker_id: workerId, port: served.port, url: served.url, model, status: worker.status }),
  });
  return worker;
}
