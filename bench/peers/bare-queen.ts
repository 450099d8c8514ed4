/**
 * The minimum of a queen: node:http, and the three exchanges of the handshake with each hive. No state, no checks, no
 * timeouts, no recovery. Any queen on Node costs at least as much.
 */
import http from 'node:http';
import { offer } from '../lib/child.js';

const QUEEN_ID = 'queen-bench';
const IN_FLIGHT_MAX = 256;

const offered = {
  /** Serves on `port`, asks each hive to announce itself, and reads the stream of each that does. */
  start: async ({ port, hiveUrls }: { port: number; hiveUrls: string[] }) => {
    const agent = new http.Agent({ keepAlive: true });
    const follow = (hiveUrl: string) => {
      const request = http.get(`${hiveUrl}/v1/heartbeats/stream`, { agent, headers: { 'Rbee-Queen': QUEEN_ID } });
      request.on('response', (stream) => {
        stream.setEncoding('utf8').on('error', () => {});
        stream.on('data', (text: string) => JSON.parse(text.slice(text.indexOf('data: ') + 6)));
      });
      request.on('error', () => {});
    };
    const server = http.createServer((request, response) => {
      let body = '';
      request.on('data', (chunk) => (body += chunk));
      request.on('end', () => {
        response.setHeader('Content-Type', 'application/json');
        response.end(JSON.stringify({ status: 'ok', queen_id: QUEEN_ID }));
        if (request.method === 'POST') follow((JSON.parse(body) as { hive_url: string }).hive_url);
      });
    });
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
    const query = new URLSearchParams({ queen_url: `http://127.0.0.1:${port}`, queen_id: QUEEN_ID });
    const waiting = [...hiveUrls];
    const askNext = () => {
      const hiveUrl = waiting.shift();
      if (hiveUrl === undefined) return;
      http
        .get(`${hiveUrl}/capabilities?${query}`, { agent }, (answer) => answer.resume().on('end', askNext))
        .on('error', askNext);
    };
    for (let i = 0; i < IN_FLIGHT_MAX; i += 1) askNext();
    return Date.now();
  },
};

export type BareQueen = typeof offered;
offer(offered);
