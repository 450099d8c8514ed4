/**
 * A worker without a model: binds the first free port of its range, prints its endpoint, and answers /health and /info like
 * a worker, and /v1/infer with ` t0`, ` t1` and so on, one each 20 ms, `max_tokens` of them (`prompt` "break": the connection
 * breaks after two; "hang": no answer; "quote …": an error that quotes the prompt; "wide": each token has 64 KiB more).
 * Its behaviour is set after the name of its model, as in `tiny?loadMs=300&ignoreTerm=1`:
 *
 * - `loadMs` /health is 503 with the progress for this long       - `ignoreTerm` survives SIGTERM
 * - `exit` ends with this code before it listens                   - `crashMs` aborts this long after it is ready
 * - `muteMs` stops answering this long after it is ready           - `stderrKb` prints this much each 100 ms
 * - `busyPct` uses this share of a core                            - `childBusyPct` so does a child process
 * - `allocMb` holds this much memory                               - `writeKb` writes this much to disk each 100 ms
 */
import { spawn } from 'node:child_process';
import { closeSync, fsyncSync, openSync, rmSync, writeSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { createWorkerKeyPair } from '../../actors/worker/worker-proof.js';
import { answer, bodyOf } from './serve.js';

const PORTS = { first: 8080, last: 8200 };
const STEP_MS = 100;
const identity = createWorkerKeyPair();

const { values } = parseArgs({
  strict: false,
  args: process.argv.slice(2).filter((arg) => arg !== 'worker'),
  options: {
    model: { type: 'string' },
    bind: { type: 'string' },
    'spawned-by': { type: 'string' },
    'hive-id': { type: 'string' },
    'worker-id': { type: 'string' },
    'skip-port': { type: 'string' },
    device: { type: 'string' },
  },
});
const flag = (name: string) => (typeof values[name] === 'string' ? (values[name] as string) : null);
const [model = '', query = ''] = (flag('model') ?? '').split('?');
const behaviour = new URLSearchParams(query);
const number = (name: string) => Number(behaviour.get(name) ?? 0);

if (behaviour.has('busyOnly')) work(number('busyOnly'));
else serve(nextPort(PORTS.first));

function nextPort(port: number): number {
  return (flag('skip-port') ?? '').split(',').includes(String(port)) ? nextPort(port + 1) : port;
}

function serve(port: number): void {
  process.stderr.write(`fake worker for ${model} starts\n`);
  if (behaviour.has('exit')) {
    process.stderr.write('\u001b[31mthe model cannot be read\u001b[0m\n');
    process.exit(number('exit'));
  }
  const startedMs = performance.now();
  const server = http.createServer((request, response) => {
    const sinceReadyMs = performance.now() - startedMs - number('loadMs');
    if (behaviour.has('muteMs') && sinceReadyMs > number('muteMs')) return;
    const challenge = request.headers['rbee-challenge'];
    if (typeof challenge === 'string') response.setHeader('rbee-proof', identity.prove(info(port).id, challenge));
    if (request.url === '/health' && sinceReadyMs < 0) {
      const progress = Math.floor((100 * (performance.now() - startedMs)) / number('loadMs') / 25) * 25;
      const detail = `loading ${model}: ${progress} %`;
      answer(
        response,
        503,
        { type: 'about:blank', title: 'Service Unavailable', status: 503, detail },
        {
          'content-type': 'application/problem+json',
          'retry-after': '1',
        },
      );
    } else if (request.url === '/health') response.end('ok');
    else if (request.url === '/info') answer(response, 200, info(port));
    // For tests only: its environment and command line.
    else if (request.url === '/given') answer(response, 200, { env: process.env, argv: process.argv });
    // For tests only: how many inferences were aborted by the caller.
    else if (request.url === '/left') answer(response, 200, { left });
    else if (request.url === '/v1/infer') void infer(request, response);
    else answer(response, 404, {});
  });
  server.once('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EADDRINUSE' || port === PORTS.last) throw error;
    serve(nextPort(port + 1));
  });
  server.listen(port, flag('bind') ?? '127.0.0.1', () => {
    const { id, url } = info(port);
    const { key } = identity;
    process.stdout.write(`${JSON.stringify({ event: 'listening', process: 'worker', id, url, key })}\n`);
    startBehaviour();
  });
}

let left = 0;
const WIDE = 'x'.repeat(64 * 1024);

async function infer(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
  const { max_tokens: most = 8, prompt } = (await bodyOf(request)) as { max_tokens?: number; prompt: string };
  const send = (event: object | string) =>
    response.write(`data: ${typeof event === 'string' ? event : JSON.stringify(event)}\n\n`);
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  if (prompt === 'hang') return;
  if (prompt.startsWith('quote')) return void response.end(`data: {"error":{"message":${JSON.stringify(prompt)}}}\n\n`);
  let sent = 0;
  const timer = setInterval(() => {
    if (prompt === 'break' && sent === 2) return void response.destroy();
    if (sent < most) return void send({ token: ` t${sent++}${prompt === 'wide' ? WIDE : ''}` });
    clearInterval(timer);
    send({ done: true, tokens_generated: sent, duration_ms: sent * 20, finish_reason: 'stop' });
    send('[DONE]');
    response.end();
  }, 20);
  response.once('close', () => {
    clearInterval(timer);
    if (!response.writableFinished) left += 1;
  });
}

function info(port: number) {
  const id = flag('worker-id') ?? `worker-llm-${port}@${flag('spawned-by')}`;
  const url = `http://${flag('bind') ?? '127.0.0.1'}:${port}`;
  return { id, model_id: model, device: flag('device'), port, url, hive_id: flag('hive-id'), status: 'ready' };
}

function startBehaviour(): void {
  process.on('SIGTERM', () => {
    if (!behaviour.has('ignoreTerm')) process.exit(0);
  });
  if (behaviour.has('crashMs')) {
    setTimeout(() => {
      process.stderr.write('out of luck\n');
      process.abort();
    }, number('loadMs') + number('crashMs'));
  }
  if (behaviour.has('allocMb')) held.push(Buffer.alloc(number('allocMb') * 1024 ** 2, 1));
  if (behaviour.has('busyPct')) work(number('busyPct'));
  if (behaviour.has('stderrKb')) {
    const line = `${'x'.repeat(1023)}\n`;
    setInterval(() => process.stderr.write(line.repeat(number('stderrKb'))), STEP_MS);
  }
  if (behaviour.has('writeKb')) writeAway(number('writeKb') * 1024);
  if (behaviour.has('childBusyPct')) {
    const child = `--model=x?busyOnly=${behaviour.get('childBusyPct')}`;
    spawn(process.execPath, [process.argv[1] ?? '', child], { stdio: 'ignore' });
  }
}

/** Memory that is never released. */
const held: Buffer[] = [];

/** This share of a core, until the end of the process. */
function work(percent: number): void {
  setInterval(() => {
    const until = performance.now() + (percent / 100) * STEP_MS;
    while (performance.now() < until);
  }, STEP_MS);
}

function writeAway(bytes: number): void {
  const file = path.join(tmpdir(), `rbee-fake-worker-${process.pid}`);
  const descriptor = openSync(file, 'w');
  const buffer = Buffer.alloc(bytes, 1);
  setInterval(() => {
    writeSync(descriptor, buffer, 0, bytes, 0);
    fsyncSync(descriptor);
  }, STEP_MS);
  process.on('exit', () => {
    closeSync(descriptor);
    rmSync(file, { force: true });
  });
}
