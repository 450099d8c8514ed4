/** An engine with OpenAI's API, which answers and fails as a test requires. */
import type http from 'node:http';
import type { Test } from 'tap';
import { answer, bodyOf, type Served, serve } from './serve.js';

export interface FakeEngine extends Served {
  models: string[];
  /** Answers all requests except the list of models. */
  respond: (request: http.IncomingMessage, response: http.ServerResponse, body: unknown) => void;
  /** The body of the last request. */
  // biome-ignore lint/suspicious/noExplicitAny: the shape depends on the test
  body: any;
  /** Requests whose client left before the answer was complete. */
  left: number;
}

export async function fakeEngine(t: Pick<Test, 'teardown'>, { key = '' } = {}): Promise<FakeEngine> {
  const state: Omit<FakeEngine, keyof Served> = {
    models: ['llama3.2:latest', 'other'],
    respond: (_, response) => answer(response, 500, { error: 'the test set no response' }),
    body: null,
    left: 0,
  };
  const served = await serve(t, {}, async (request, response, url) => {
    if (key !== '' && request.headers.authorization !== `Bearer ${key}`) {
      answer(response, 401, { error: { message: 'no key' } });
    } else if (url.pathname === '/v1/models') {
      answer(response, 200, {
        object: 'list',
        data: engine.models.map((id) => ({ id, object: 'model', owned_by: 'them' })),
      });
    } else {
      engine.body = await bodyOf(request);
      response.once('close', () => {
        if (!response.writableFinished) engine.left += 1;
      });
      engine.respond(request, response, engine.body);
    }
  });
  const engine: FakeEngine = Object.assign(served, state);
  return engine;
}

/** One chunk of a streamed chat, as a `data:` line. */
export function chunkLine(content: string, more: object = {}): string {
  const choices = [{ index: 0, delta: { content }, finish_reason: null }];
  return `data: ${JSON.stringify({ id: 'c1', object: 'chat.completion.chunk', created: 1, model: 'm', choices, ...more })}\n\n`;
}
