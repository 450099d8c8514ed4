/** A worker that streams tokens in OpenAI's format, at a fixed rate or as fast as they are read. Shares no code with rbee's. */
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { offer } from '../lib/child.js';

interface Request {
  /** Tokens to send, and ms between two of them; 0 sends as fast as they are read. */
  max_tokens: number;
  every_ms: number;
}

const TOKEN = Buffer.from(
  `data: ${JSON.stringify({
    id: 'chatcmpl-bench',
    object: 'chat.completion.chunk',
    created: 1_763_690_400,
    model: 'bench',
    choices: [{ index: 0, delta: { content: ' token' }, finish_reason: null }],
  })}\n\n`,
);
const DONE = 'data: [DONE]\n\n';

async function reply(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  if (request.method !== 'POST') return void response.end('ok');
  const { max_tokens: tokens, every_ms: everyMs } = JSON.parse(Buffer.concat(chunks).toString()) as Request;
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' });
  response.write(TOKEN);
  let sent = 1;
  if (everyMs > 0) {
    const timer = setInterval(() => {
      if (sent < tokens && !response.destroyed) {
        sent += 1;
        response.write(TOKEN);
        return;
      }
      clearInterval(timer);
      response.end(DONE);
    }, everyMs);
    return;
  }
  const more = () => {
    while (sent < tokens && !response.destroyed) {
      sent += 1;
      if (!response.write(TOKEN)) return void response.once('drain', more);
    }
    response.end(DONE);
  };
  more();
}

const worker = {
  start: async (): Promise<number> => {
    const server = http.createServer(
      { keepAliveTimeout: 60_000 },
      (request, response) => void reply(request, response),
    );
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return (server.address() as AddressInfo).port;
  },
};
export type OpenAiWorker = typeof worker;
offer(worker);
