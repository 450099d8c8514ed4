/**
 * Hostile input for a process: requests that are almost right, bytes that are no requests, and hives that stream
 * anything but telemetry. No process crashes, none answers 5xx other than 503, and every refusal is a problem that
 * names the fault.
 */

import http from 'node:http';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import type { Test } from 'tap';
import { type FakeHive, fakeHive } from '../fakes/hive.js';
import { serve } from '../fakes/serve.js';
import { getJson, rawRequest } from './http.js';
import type { RbeeProcess } from './process.js';

export interface FuzzOptions {
  seed: number;
  runs: number;
}

interface Attempt {
  method: string;
  path: string;
  query: string;
  headers: Record<string, string>;
  body: Buffer | null;
}

/** Routes that would end the test, or never end by themselves. */
const LEFT_ALONE = new Set(['POST /v1/shutdown']);

const word = fc.oneof(
  fc.string({ maxLength: 80 }),
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc.constantFrom(
    '',
    '.',
    '..',
    '%',
    '%00',
    '%ff',
    '__proto__',
    'constructor',
    'null',
    'a'.repeat(65),
    'gpu-0',
    '../../etc/passwd',
  ),
);
const url = fc.oneof(
  fc.webUrl(),
  fc.constantFrom(
    'http://127.0.0.1:1',
    'http://[::1]:9',
    'ftp://a',
    'http://u:p@a',
    'javascript:1',
    'http://127.0.0.1:0',
    'http://',
    '//a',
    'http://127.0.0.1:1/'.padEnd(3000, 'x'),
  ),
);
const json = fc.oneof(
  fc.json({ maxDepth: 6 }),
  fc
    .record(
      {
        hive_id: fc.oneof(word, fc.anything()),
        hive_url: fc.oneof(url, fc.anything()),
        kind: fc.oneof(fc.constantFrom('queen', 'hive', 'worker', 'keeper'), word, fc.anything()),
        id: fc.oneof(word, fc.anything()),
        url: fc.oneof(url, fc.anything()),
        worker: fc.anything(),
        token: fc.anything(),
        timestamp: fc.anything(),
      },
      { requiredKeys: [] },
    )
    .map((value) => JSON.stringify(value) ?? 'null'),
  fc.record({ hive_id: fc.constantFrom('a', 'b'), hive_url: url }).map((value) => JSON.stringify(value)),
  fc
    .record({ kind: fc.constantFrom('queen', 'hive'), id: fc.constantFrom('a', 'b'), url, own: fc.jsonValue() })
    .map((value) => JSON.stringify(value)),
  fc
    .record(
      {
        // All but the one that starts processes, of which there would be thousands.
        operation: fc.constantFrom(
          'status',
          'infer',
          'worker_process_list',
          'worker_process_get',
          'worker_process_delete',
        ),
        hive_id: fc.oneof(word, fc.constantFrom(null, 'gpu-0')),
        pid: fc.oneof(fc.integer(), fc.constantFrom(0, 1, -1, null, 2 ** 31), fc.anything()),
        worker_id: fc.oneof(word, fc.anything()),
        prompt: fc.oneof(fc.string({ unit: 'binary' }), fc.anything()),
        max_tokens: fc.oneof(fc.integer(), fc.double()),
      },
      { requiredKeys: ['operation'] },
    )
    .map((value) => JSON.stringify(value)),
  fc
    .record(
      {
        model: fc.oneof(fc.constantFrom('tiny', '../tiny', ''), word),
        messages: fc.array(
          fc.record(
            {
              role: fc.oneof(fc.constantFrom('user', 'system', 'assistant', 'tool'), word),
              content: fc.oneof(fc.string({ unit: 'binary' }), fc.anything()),
            },
            { requiredKeys: [] },
          ),
          { maxLength: 5 },
        ),
        prompt: fc.oneof(fc.string({ unit: 'binary' }), fc.anything()),
        input: fc.oneof(fc.string({ unit: 'binary' }), fc.anything()),
        max_tokens: fc.oneof(fc.integer({ min: -2, max: 8 }), fc.anything()),
        temperature: fc.oneof(fc.double(), fc.anything()),
        stop: fc.anything(),
        stream: fc.oneof(fc.boolean(), fc.anything()),
        stream_options: fc.anything(),
        response_format: fc.oneof(fc.constant({ type: 'json_object' }), fc.anything()),
        tools: fc.anything(),
      },
      { requiredKeys: ['model'] },
    )
    .map((value) => JSON.stringify(value) ?? 'null'),
  fc.integer({ min: 1, max: 20_000 }).map((depth) => '['.repeat(depth)),
);
const body = fc.option(
  fc.oneof(
    json.map((text) => Buffer.from(text)),
    fc.uint8Array({ maxLength: 2_000 }).map((bytes) => Buffer.from(bytes)),
    fc.constant(Buffer.alloc(1024 * 1024 + 1, 0x20)),
  ),
);
const headerText = fc.string({ maxLength: 60 }).map((text) => text.replace(/[^\x20-\x7e]/g, ''));
const headers = fc.dictionary(
  fc.constantFrom(
    'content-type',
    'accept',
    'rbee-protocol',
    'rbee-instance',
    'rbee-queen',
    'origin',
    'sec-fetch-site',
    'authorization',
    'cookie',
    'host',
    'content-encoding',
    'expect',
    'range',
    'if-none-match',
    'transfer-encoding',
    'x-forwarded-host',
  ),
  fc.oneof(
    headerText,
    fc.constantFrom(
      'application/json',
      'text/plain',
      '1',
      '2',
      'gzip',
      'cross-site',
      'null',
      'bytes=0-1',
      'rbee_session=1.x',
      'Bearer x',
    ),
  ),
  { maxKeys: 5 },
);

/** Requests that differ from the documented ones in every way that a request can. */
export async function fuzzRoutes(target: RbeeProcess, { seed, runs }: FuzzOptions): Promise<void> {
  const { paths } = (await getJson(`${target.url}/openapi.json`)).body as { paths: Record<string, object> };
  const routes = Object.entries(paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => ({ method: method.toUpperCase(), path })),
  );
  const attempt = fc
    .record({
      route: fc.constantFrom(...routes),
      method: fc.option(fc.constantFrom('GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD', 'OPTIONS', 'TRACE')),
      word,
      query: fc.option(
        fc.record({ queen_url: fc.oneof(url, word), queen_id: word, other: word }, { requiredKeys: [] }),
      ),
      headers,
      isJson: fc.boolean(),
      body,
    })
    .map(
      ({ route, method, word, query, headers, isJson, body }): Attempt => ({
        method: method ?? route.method,
        path: route.path.replace(/\{\w+\}/g, encodeURIComponent(Buffer.from(word).toString())),
        query: query ? `?${new URLSearchParams(query as Record<string, string>)}` : '',
        headers: { ...headers, ...(isJson ? { 'content-type': 'application/json' } : {}) },
        body,
      }),
    )
    .filter(({ method, path }) => !LEFT_ALONE.has(`${method} ${path}`));
  await fc.assert(
    fc.asyncProperty(attempt, async (attempt) => {
      judge(await send(target.url, attempt), attempt);
    }),
    { seed, numRuns: runs, endOnFailure: true },
  );
  await expectAlive(target);
}

interface Outcome {
  status: number;
  type: string;
  text: string;
}

/** Errors here have OpenAI's shape. */
const OPENAI = /^\/v1\/(models(\/.*)?|chat\/completions|completions|embeddings)$/;

function judge({ status, type, text }: Outcome, { method, path }: Attempt): void {
  if (status >= 500 && status !== 503) throw new Error(`answered ${status}: ${text}`);
  if (status < 400 || method === 'HEAD') return;
  if (OPENAI.test(path) && type.startsWith('application/json')) {
    const { error } = JSON.parse(text) as { error: { message: string; type: string } };
    if (typeof error.message !== 'string' || typeof error.type !== 'string') throw new Error(text);
    return;
  }
  if (!type.startsWith('application/problem+json')) throw new Error(`${status} is no problem but ${type}: ${text}`);
  const problem = JSON.parse(text) as { status: number; title: string; detail: string };
  if (problem.status !== status || !problem.title || typeof problem.detail !== 'string') throw new Error(text);
}

/** Streams are left as soon as they open. */
function send(base: string, { method, path, query, headers, body }: Attempt): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const request = http.request(
      new URL(base),
      { method, path: path + query, headers, agent: false, timeout: 10_000 },
      (response) => {
        const { statusCode: status = 0 } = response;
        const type = response.headers['content-type'] ?? '';
        let text = '';
        const done = () => resolve({ status, type, text });
        if (type.startsWith('text/event-stream')) {
          done();
          request.destroy();
          return;
        }
        response.setEncoding('utf8').on('data', (chunk: string) => {
          text += chunk;
        });
        response.on('end', done).on('error', done);
      },
    );
    request.on('timeout', () => reject(new Error(`no answer to ${method} ${path} within 10 s`)));
    // A refusal while we still send may end in a reset; whether the process is alive is checked afterwards.
    request.on('error', () => resolve({ status: 0, type: '', text: '' }));
    if (body && method !== 'TRACE') request.write(body);
    request.end();
  });
}

/** Bytes that are no request. */
export async function fuzzBytes(target: RbeeProcess, { seed, runs }: FuzzOptions): Promise<void> {
  const port = Number(new URL(target.url).port);
  const line = fc.oneof(
    fc.uint8Array({ minLength: 1, maxLength: 400 }).map((bytes) => Buffer.from(bytes)),
    fc
      .tuple(
        fc.constantFrom('GET', 'POST', 'CONNECT', 'FOO', ''),
        word,
        fc.constantFrom('HTTP/1.1', 'HTTP/1.0', 'HTTP/9', ''),
      )
      .map((parts) => Buffer.from(`${parts.join(' ')}\r\nHost: localhost\r\nConnection: close\r\n\r\n`)),
    fc
      .constantFrom(
        'GET http://[bad/ HTTP/1.1',
        'OPTIONS * HTTP/1.1',
        'GET * HTTP/1.1',
        'GET // HTTP/1.1',
        'GET /%c0%ae HTTP/1.1',
      )
      .map((start) => Buffer.from(`${start}\r\nHost: localhost\r\nConnection: close\r\n\r\n`)),
  );
  await fc.assert(
    fc.asyncProperty(line, async (buffer) => {
      const answer = await rawRequest({ port, buffer, timeoutMs: 300 }).catch(() => '');
      const status = Number(/^HTTP\/1\.1 (\d+)/.exec(answer)?.[1] ?? 0);
      if (status >= 500 && status !== 503) throw new Error(answer);
      if (status >= 400 && !answer.includes('application/problem+json')) throw new Error(answer);
    }),
    { seed, numRuns: runs, endOnFailure: true },
  );
  await expectAlive(target);
}

/** What a hive may stream instead of telemetry. Each returns when all is sent or the queen closed the stream. */
const hostile: Record<string, (hive: FakeHive) => void | Promise<void>> = {
  'an endless line': (hive) => pour(hive, () => Buffer.alloc(64 * 1024, 0x61), 400),
  '50 MB without a newline in a field': (hive) => {
    hive.emitRaw('data: ');
    return pour(hive, () => Buffer.alloc(256 * 1024, 0x20), 200);
  },
  'an endless event of short lines': (hive) => pour(hive, () => Buffer.from('data: x\n'.repeat(8_000)), 400),
  'invalid UTF-8': (hive) =>
    hive.emitRaw(Buffer.from([0x64, 0x61, 0x74, 0x61, 0x3a, 0xff, 0xfe, 0xc3, 0x28, 0x0a, 0x0a])),
  'ten thousand workers': (hive) =>
    hive.emit({
      type: 'telemetry',
      hive_id: hive.hiveId,
      workers: Array.from({ length: 10_000 }, (_, pid) => ({ pid })),
    }),
  'the name of another hive': (hive) => hive.emit({ type: 'telemetry', hive_id: 'good', workers: [] }),
  'a million empty comments': (hive) => pour(hive, () => Buffer.from(':\n'.repeat(16_000)), 64),
  'a flood of small events': (hive) => {
    const event = `event: heartbeat\ndata: ${JSON.stringify({ type: 'telemetry', hive_id: hive.hiveId, workers: [] })}\n\n`;
    return pour(hive, () => Buffer.from(event.repeat(500)), 100);
  },
  'numbers beyond all numbers': (hive) =>
    hive.emitRaw(
      `event: heartbeat\ndata: {"type":"telemetry","hive_id":"${hive.hiveId}","interval_ms":1e308,"workers":[{"cpu_pct":1e999}]}\n\n`,
    ),
  'one byte at a time': async (hive) => {
    for (const byte of Buffer.from('event: heartbeat\ndata: {')) {
      hive.emitRaw(Buffer.from([byte]));
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  },
};
export const HOSTILE = Object.keys(hostile);

async function pour(hive: FakeHive, chunk: () => Buffer, times: number): Promise<void> {
  for (let i = 0; i < times && hive.subscribers.length > 0; i += 1) {
    hive.emitRaw(chunk());
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** A hive announces itself, is subscribed to, and streams input of this kind. */
export async function playHostile(t: Pick<Test, 'teardown'>, queen: RbeeProcess, kind: string): Promise<void> {
  const hive = await fakeHive(t, { hiveId: `bad-${HOSTILE.indexOf(kind)}`, announcesWhenAsked: false });
  await hive.announce(queen.url);
  for (let i = 0; i < 200 && hive.subscribers.length === 0; i += 1)
    await new Promise((resolve) => setTimeout(resolve, 10));
  await hostile[kind]?.(hive);
  await new Promise((resolve) => setTimeout(resolve, 100));
  await hive.close();
}

/** A stream with a gzip header whose content would be a gigabyte. */
export async function playGzipBomb(t: Pick<Test, 'teardown'>, queen: RbeeProcess): Promise<void> {
  const bomb = gzipSync(Buffer.alloc(64 * 1024 * 1024, 0x20));
  const { url } = await serve(t, {}, (_, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream', 'content-encoding': 'gzip' });
    response.end(bomb);
  });
  await fetch(`${queen.url}/v1/hive/ready`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ hive_id: 'bomb', hive_url: url }),
  });
  await new Promise((resolve) => setTimeout(resolve, 300));
}

/** Thousands of names, all at an address where nothing listens. */
export async function playNames(queen: RbeeProcess, count: number): Promise<void> {
  const call = (i: number) =>
    fetch(`${queen.url}/v1/hive/ready`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ hive_id: `invented-${i}`, hive_url: `http://127.0.0.1:1/${i}` }),
    }).then(({ status }) => status);
  for (let i = 0; i < count; i += 50) {
    const answers = await Promise.all(Array.from({ length: 50 }, (_, j) => call(i + j)));
    if (answers.some((status) => status !== 200 && status !== 503)) throw new Error(`answered ${answers}`);
  }
}

export async function expectAlive(target: RbeeProcess): Promise<void> {
  const { status, body } = await getJson(`${target.url}/health`);
  if (status !== 200 || body !== 'ok') throw new Error(`health: ${status} ${body}`);
  if (/internal error|cannot go on|a request failed in this process/.test(target.stderr()))
    throw new Error(target.stderr().slice(-2_000));
}
