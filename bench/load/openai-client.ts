/** Requests streams and counts tokens without parsing, so that the client is not the bottleneck. */
import http from 'node:http';
import { offer } from '../lib/child.js';

export interface Streams {
  url: string;
  model: string;
  /** Streams at once, and tokens of each. */
  streams: number;
  tokens: number;
  everyMs: number;
}

const agent = new http.Agent({ keepAlive: true });
/** Occurs once in each token. */
const MARK = Buffer.from('" token"');

interface Answer {
  firstMs: number;
  tokens: number;
}

function ask({ url, model, tokens, everyMs }: Streams): Promise<Answer> {
  const body = JSON.stringify({
    model,
    messages: [{ role: 'user', content: 'Describe the swarm in detail.' }],
    stream: true,
    max_tokens: tokens,
    every_ms: everyMs,
  });
  return new Promise((resolve, reject) => {
    const startedAt = performance.now();
    const request = http.request(`${url}/v1/chat/completions`, {
      method: 'POST',
      agent,
      headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) },
    });
    request.once('error', reject);
    request.once('response', (response) => {
      let firstMs = 0;
      let bytes = 0;
      let count = 0;
      let tail = Buffer.alloc(0);
      response.on('data', (chunk: Buffer) => {
        if (bytes === 0) firstMs = performance.now() - startedAt;
        bytes += chunk.length;
        const data = tail.length > 0 ? Buffer.concat([tail, chunk]) : chunk;
        let at = data.indexOf(MARK);
        let end = 0;
        for (; at >= 0; at = data.indexOf(MARK, end)) {
          count += 1;
          end = at + MARK.length;
        }
        tail = Buffer.from(data.subarray(Math.max(end, data.length - MARK.length + 1)));
      });
      response.once('error', reject);
      response.once('end', () => {
        if (count === tokens) resolve({ firstMs, tokens: count });
        else reject(new Error(`${url} sent ${count} tokens of ${tokens}, status ${response.statusCode}`));
      });
    });
    request.end(body);
  });
}

const client = {
  /** Ms to the first token of single requests, one after the other, at each URL in turn. */
  firsts: async ({ urls, model, rounds }: { urls: string[]; model: string; rounds: number }): Promise<number[][]> => {
    const firstMs: number[][] = urls.map(() => []);
    for (let round = 0; round < rounds; round += 1) {
      for (const [i, url] of urls.entries()) {
        firstMs[i]?.push((await ask({ url, model, streams: 1, tokens: 2, everyMs: 0 })).firstMs);
      }
    }
    return firstMs;
  },
  /** Tokens a second of all streams together. */
  throughput: async (input: Streams): Promise<number> => {
    const startedAt = performance.now();
    const all = await Promise.all(Array.from({ length: input.streams }, () => ask(input)));
    const tokens = all.reduce((sum, { tokens }) => sum + tokens, 0);
    return (tokens * 1000) / (performance.now() - startedAt);
  },
};
export type OpenAiClient = typeof client;
offer(client);
