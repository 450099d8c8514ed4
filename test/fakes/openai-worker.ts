/** A worker with every behaviour that a gateway must handle: correct, failing, hanging, breaking off. Real HTTP, no code of rbee. */
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import type { Test } from 'tap';
import type { WorkerKeyPair } from '../../actors/worker/worker-proof.js';
import { type Answer, parsed, postJson } from '../helpers/http.js';
import { reply, TOKENS, type WorkerMode } from './openai-replies.js';
import { answer, type Served, serve, textOf } from './serve.js';

export { TOKENS };

export interface FakeWorkerOptions {
  workerId: string;
  model: string | null;
  hiveId?: string | null;
  mode?: WorkerMode;
  /** The models in its `/capabilities`. */
  models?: string[];
  /** Its key; with `proves: false` another process has taken its port. */
  identity?: WorkerKeyPair;
  proves?: boolean;
}

export interface FakeWorker extends Served {
  workerId: string;
  /** Can be set at any time, like the next two. */
  mode: WorkerMode;
  status: string;
  healthStatus: number | 'hang';
  healthRequests: number;
  /** Requests of models, oldest first. */
  // biome-ignore lint/suspicious/noExplicitAny: the shape depends on the test
  asked: { path: string; body: any; text: string; headers: IncomingHttpHeaders }[];
  /** The tokens of its answer. */
  tokens: readonly string[];
  /** Requests in progress, and how many the client has aborted. */
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

export async function fakeWorker(t: Pick<Test, 'teardown'>, options: FakeWorkerOptions): Promise<FakeWorker> {
  const { workerId, model, hiveId = null, mode = 'answer', identity, proves = true } = options;
  let held: (() => void)[] = [];
  const served = await serve(t, { host: undefined, port: undefined }, async (request, response, url) => {
    if (url.pathname === '/health') return answerHealth(request, response);
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
    reply(worker.mode, {
      ...{ response, stream: body.stream === true, tokens: worker.tokens },
      hold: (rest) => held.push(rest),
      onWritten: (bytes) => {
        worker.written += bytes;
      },
    });
  });

  function answerHealth(request: IncomingMessage, response: ServerResponse): void {
    worker.healthRequests++;
    const challenge = request.headers['rbee-challenge'];
    if (typeof challenge === 'string' && identity && proves) {
      response.setHeader('rbee-proof', identity.prove(workerId, challenge));
    }
    if (worker.healthStatus === 'hang') return;
    response.writeHead(worker.healthStatus, { 'content-type': 'text/plain' }).end('ok');
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
