/** Requests and their slots, at an engine whose answers each test decides. */
import t, { type Test } from 'tap';
import type { EngineSilenceLimits } from '../../server/engine-silence.js';
import { createApp } from '../../server/http/app.js';
import { listen } from '../../server/http/listen.js';
import { Serving } from '../../server/serving.js';
import { workerRoutes } from '../../server/worker.js';
import { createInferenceStats } from '../../stores/inference.js';
import type { InferenceAnswer, InferenceCall } from '../../wire/infer.js';
import { postJson } from '../helpers/http.js';
import { waitFor } from '../helpers/wait.js';

type Infer = (call: InferenceCall) => Promise<InferenceAnswer>;

const facts = { models: [{ id: 'm' }], devices: [], context_tokens: null };
const ASK = { messages: [{ role: 'user', content: 'Hi' }] };

interface Limits {
  silenceLimits?: EngineSilenceLimits;
  slots?: number | null;
}

/** A worker's routes at a real port, in front of `infer`. */
async function serve(t: Test, infer: Infer, limits: Limits = {}) {
  const warnings: string[] = [];
  const stats = createInferenceStats();
  const serving = new Serving({
    facts: () => facts,
    aliases: [],
    whyNotReady: () => null,
    infer,
    onEngineUnreachable: () => {},
    onBusyChange: () => {},
    stats,
    slots: 2,
    queueMax: 64,
    log: { warn: (_, message) => warnings.push(message) },
    ...limits,
  });
  const routes = workerRoutes({
    workerId: 'w',
    info: () => {
      throw new Error('not used in these tests');
    },
    facts: () => facts,
    serving,
  });
  const log = { error: () => {}, debug: () => {} };
  const rules = { tokens: [], allowHosts: [], allowOrigins: [] };
  const listener = await listen({ bind: '127.0.0.1', ports: [0], tls: null });
  listener.serve(createApp({ access: rules, routes, log }));
  t.teardown(async () => {
    serving.stop();
    await listener.close(0);
  });
  return { serving, admission: serving.admission, stats, warnings, url: `http://127.0.0.1:${listener.port}` };
}

/** Settles when the request is aborted, and not before. */
const untilAborted = (signal: AbortSignal) =>
  new Promise<never>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true }));

const SHORT: EngineSilenceLimits = { checkMs: 20, warnChecks: 3, endChecks: 50 };

t.test('an engine that sends nothing to a request is logged, then the request is ended', async (t) => {
  const { url, serving, admission, warnings, stats } = await serve(t, ({ signal }) => untilAborted(signal), {
    silenceLimits: SHORT,
  });
  t.equal(serving.silentReason(), null);
  const asked = postJson(`${url}/v1/chat/completions`, ASK);
  await waitFor('a reason', () => serving.silentReason() !== null, { everyMs: 5 });
  t.match(
    serving.silentReason(),
    /^the engine has sent nothing for \d+ s to 1 of 1 requests; each is ended after 1 s$/,
  );
  t.match(await asked, { status: 504, body: { error: { code: 'engine_silent', type: 'server_error' } } });
  t.equal(admission.running, 0, 'its slot is free');
  t.equal(serving.silentReason(), null);
  t.equal(warnings.length, 1, 'it is logged once');
  t.match(stats.requests(), { refused: 1 });
});

t.test('an answer that stops half-way ends with an error in its stream', async (t) => {
  const { url, admission } = await serve(
    t,
    async ({ signal }) => ({
      kind: 'stream',
      lines: (async function* () {
        yield 'data: {"x":1}\n\n';
        await untilAborted(signal);
      })(),
    }),
    { silenceLimits: SHORT },
  );
  const { status, body } = await postJson(`${url}/v1/chat/completions`, { ...ASK, stream: true });
  t.equal(status, 200);
  t.match(body, /^data: \{"x":1\}\n\ndata: \{"error":\{.*"code":"engine_silent"\}\}\n\n$/);
  t.equal(admission.running, 0);
});

t.test('an engine that counts tokens is not silent, although no line has come yet', async (t) => {
  const { url } = await serve(
    t,
    async ({ count }) => {
      for (let i = 0; i < 60; i += 1) {
        await new Promise((resolve) => setTimeout(resolve, 10));
        count({ completion: 1 });
      }
      return { kind: 'whole', status: 200, body: { choices: [] } };
    },
    { silenceLimits: { ...SHORT, endChecks: 20 } },
  );
  t.equal((await postJson(`${url}/v1/chat/completions`, ASK)).status, 200);
});

t.test('an engine that fails before its first line is answered with a status, not a stream', async (t) => {
  const { url, admission } = await serve(t, async () => ({
    kind: 'stream',
    // biome-ignore lint/correctness/useYield: it fails before
    lines: (async function* () {
      throw new Error('it broke');
    })(),
  }));
  const { status, body, headers } = await postJson(`${url}/v1/chat/completions`, { ...ASK, stream: true });
  t.equal(status, 502);
  t.match(body, { error: { code: 'engine_broken' } });
  t.match(headers.get('content-type'), /application\/json/);
  t.equal(admission.running, 0);
});

t.test('without a number of slots all requests go to the engine, up to a bound', async (t) => {
  const { url, serving, admission } = await serve(t, ({ signal }) => untilAborted(signal), { slots: null });
  const asked = Array.from({ length: 200 }, () => postJson(`${url}/v1/chat/completions`, ASK));
  await waitFor('all to be at the engine', () => admission.running === 200);
  t.equal(admission.waiting, 0);
  serving.stop();
  for (const { status } of await Promise.all(asked)) t.equal(status, 503);
});
