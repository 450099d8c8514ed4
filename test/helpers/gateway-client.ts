/** What tests of the gateway do with a queen: workers of a model of their own, and chats with it. */
import http from 'node:http';
import type { Test } from 'tap';
import { type FakeWorker, type FakeWorkerOptions, fakeWorker } from '../fakes/openai-worker.js';
import { getJson, postJson } from './http.js';

export const messages = [{ role: 'user', content: 'hello' }];

export function gatewayOf({ url }: { url: string }) {
  let groups = 0;
  return {
    chat: (model: string, more: object = {}) => postJson(`${url}/v1/chat/completions`, { model, messages, ...more }),
    /** A chat whose answer is read as it arrives. */
    openChat: (t: Test, model: string, options: { url?: string; stream?: boolean } = {}) =>
      openChat(t, options.url ?? url, model, options),
    /** Workers of a model that no others have, known to the queen. */
    workersOf: (t: Test, options: Partial<FakeWorkerOptions>[]) => {
      groups += 1;
      return workersOf(t, url, groups, options);
    },
    availableOf: async (id: string) =>
      (await getJson(`${url}/v1/workers/${encodeURIComponent(id)}`)).body.available as boolean,
  };
}

async function workersOf(
  t: Test,
  queenUrl: string,
  group: number,
  options: Partial<FakeWorkerOptions>[],
): Promise<{ model: string; workers: FakeWorker[] }> {
  const model = `model-${group}`;
  const workers: FakeWorker[] = [];
  for (const [i, one] of options.entries()) {
    const worker = await fakeWorker(t, { workerId: `worker-${group}-${i}@none`, model, ...one });
    t.equal((await worker.heartbeat(queenUrl)).status, 200);
    workers.push(worker);
  }
  return { model, workers };
}

function openChat(t: Test, url: string, model: string, { stream = true } = {}) {
  const body = JSON.stringify({ model, messages, stream });
  const request = http.request(`${url}/v1/chat/completions`, {
    method: 'POST',
    agent: new http.Agent(),
    headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) },
  });
  t.teardown(() => request.destroy());
  let bytes = '';
  const response = new Promise<http.IncomingMessage>((resolve, reject) => {
    request.once('response', resolve).once('error', reject);
  });
  const ended = response.then(
    (incoming) =>
      new Promise<'end' | 'cut'>((resolve) => {
        incoming.setEncoding('utf8').on('data', (chunk: string) => {
          bytes += chunk;
        });
        incoming.once('end', () => resolve('end')).once('error', () => resolve('cut'));
      }),
  );
  ended.catch(() => {});
  request.end(body);
  return { request, response, ended, text: () => bytes };
}

export const tokensIn = (stream: string) =>
  [...stream.matchAll(/"content":("[^"]*")/g)].map(([, token]) => JSON.parse(token as string) as string);
