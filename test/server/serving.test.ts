/** Requests and their places, at an engine that does as it is told. */
import t, { type Test } from 'tap';
import { createApp } from '../../server/http/app.js';
import { listen } from '../../server/http/listen.js';
import type { Silence } from '../../server/serving.js';
import { workerRoutes } from '../../server/worker.js';
import { createInferenceStats } from '../../stores/inference.js';
import type { InferenceAnswer, InferenceCall } from '../../wire/infer.js';
import { postJson } from '../helpers/http.js';
import { waitFor } from '../helpers/wait.js';

type Infer = (call: InferenceCall) => Promise<InferenceAnswer>;

const facts = { models: [{ id: 'm' }], devices: [], context_tokens: null };
const ASK = { messages: [{ role: 'user', content: 'Hi' }] };

/** A worker's routes at a real port, before `infer`. */
async function doorsTo(t: Test, infer: Infer, more: { silence?: Silence; slots?: number | null } = {}) {
  const warnings: string[] = [];
  const stats = createInferenceStats();
  const api = workerRoutes({
    workerId: 'w',
    info: () => {
      throw new Error('nobody asks');
    },
    facts: () => facts,
    aliases: [],
    unable: () => null,
    infer,
    onUnreachable: () => {},
    onBusy: () => {},
    stats,
    slots: 2,
    queueMax: 64,
    log: { warn: (_, message) => warnings.push(message) },
    ...more,
  });
  const log = { error: () => {}, debug: () => {} };
  const rules = { tokens: [], allowHosts: [], allowOrigins: [] };
  const listener = await listen({ bind: '127.0.0.1', ports: [0], tls: null });
  listener.serve(createApp({ access: rules, routes: api.routes, log }));
  t.teardown(async () => {
    api.stop();
    await listener.close(0);
  });
  return { ...api, stats, warnings, url: `http://127.0.0.1:${listener.port}` };
}

/** Settles when the request is aborted, and not before. */
const untilAborted = (signal: AbortSignal) =>
  new Promise<never>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true }));

const soon: Silence = { checkMs: 20, saidChecks: 3, endChecks: 50 };

t.test('an engine that takes a request and says nothing is said, then the request is ended', async (t) => {
  const { url, admission, silent, warnings, stats } = await doorsTo(t, ({ signal }) => untilAborted(signal), {
    silence: soon,
  });
  t.equal(silent(), null);
  const asked = postJson(`${url}/v1/chat/completions`, ASK);
  await waitFor('it to be said', () => silent() !== null, { everyMs: 5 });
  t.match(silent(), /^the engine has sent nothing for \d+ s to 1 of 1 requests; each is ended after 1 s$/);
  t.match(await asked, { status: 504, body: { error: { code: 'engine_silent', type: 'server_error' } } });
  t.equal(admission.running, 0, 'its place is free');
  t.equal(silent(), null);
  t.equal(warnings.length, 1, 'the log has it once');
  t.match(stats.requests(), { refused: 1 });
});

t.test('an answer that stops in the midst is ended in its stream', async (t) => {
  const { url, admission } = await doorsTo(
    t,
    async ({ signal }) => ({
      kind: 'stream',
      lines: (async function* () {
        yield 'data: {"x":1}\n\n';
        await untilAborted(signal);
      })(),
    }),
    { silence: soon },
  );
  const { status, body } = await postJson(`${url}/v1/chat/completions`, { ...ASK, stream: true });
  t.equal(status, 200);
  t.match(body, /^data: \{"x":1\}\n\ndata: \{"error":\{.*"code":"engine_silent"\}\}\n\n$/);
  t.equal(admission.running, 0);
});

t.test('an engine that counts on is not silent, although no line comes yet', async (t) => {
  const { url } = await doorsTo(
    t,
    async ({ count }) => {
      for (let i = 0; i < 60; i += 1) {
        await new Promise((resolve) => setTimeout(resolve, 10));
        count({ completion: 1 });
      }
      return { kind: 'whole', status: 200, body: { choices: [] } };
    },
    { silence: { ...soon, endChecks: 20 } },
  );
  t.equal((await postJson(`${url}/v1/chat/completions`, ASK)).status, 200);
});

t.test('an engine that fails before its first line answers with a status of its own', async (t) => {
  const { url, admission } = await doorsTo(t, async () => ({
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

t.test('without a number of slots the engine decides who waits, up to a bound', async (t) => {
  const { url, admission, stop } = await doorsTo(t, ({ signal }) => untilAborted(signal), { slots: null });
  const asked = Array.from({ length: 200 }, () => postJson(`${url}/v1/chat/completions`, ASK));
  await waitFor('all to be at the engine', () => admission.running === 200);
  t.equal(admission.waiting, 0);
  stop();
  for (const { status } of await Promise.all(asked)) t.equal(status, 503);
});
