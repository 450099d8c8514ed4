/** The start of a worker: its port, its name, its model, and its errors when it cannot start. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { SENTENCE, tinyGguf } from '../../cli/tiny-gguf.js';
import { serve } from '../fakes/serve.js';
import { getJson, postJson } from '../helpers/http.js';
import { StartFailed, startProcess } from '../helpers/process.js';
import { waitFor } from '../helpers/wait.js';
import { isReady, startReadyWorker, startWorker, tinyModel } from '../helpers/worker.js';

/** Runs a worker that cannot start, and returns its exit and its stderr. */
async function failedStart(t: Test, model: string, args: string[] = [], env: Record<string, string> = {}) {
  try {
    const worker = await startWorker(t, { model, args, env });
    const ended = () => worker.child.exitCode !== null || worker.child.signalCode !== null;
    await waitFor(`it to end: ${worker.stderr()}`, ended, { timeoutMs: 60_000 });
    return { ...(await worker.exited), stderr: worker.stderr() };
  } catch (error) {
    if (!(error instanceof StartFailed)) throw error;
    return { ...error.exit, stderr: error.stderr };
  }
}

t.test('without --port each takes the first free port, and is named after it', async (t) => {
  const model = tinyModel(t);
  const stateDir = t.testdir();
  const start = () =>
    startProcess(t, {
      name: 'worker',
      stateDir,
      args: ['--model', model, '--threads', '1', '--spawned-by', 'gpu-0'],
      noPort: true,
    });
  const first = await start();
  const [second, third] = await Promise.all([start(), start()]);
  const ports = [first, second, third].map(({ url }) => Number(new URL(url).port));
  t.equal(new Set(ports).size, 3, 'each has a port of its own');
  for (const port of ports) t.ok(port >= 8080 && port <= 8200, `${port} is in the range`);
  t.equal(first.id, `worker-llm-${ports[0]}@gpu-0`);
});

t.test('two workers of one name do not run at once', async (t) => {
  const model = tinyModel(t);
  const stateDir = t.testdir();
  const args = ['--model', model, '--threads', '1', '--worker-id', 'worker-llm-1@a'];
  await startProcess(t, { name: 'worker', stateDir, args });
  const error = await startProcess(t, { name: 'worker', stateDir, args }).catch((error: unknown) => error);
  t.match(error, { exit: { code: 3 } });
  t.match((error as StartFailed).stderr, /worker worker-llm-1@a runs already/);
});

t.test('wrong usage ends it with one sentence and exit code 2', async (t) => {
  const cases: [args: string[], message: RegExp][] = [
    [[], /--model/],
    [['--model', 'a.gguf', '--engine', 'vllm'], /llama, openai/],
    [['--model', 'a.gguf', '--device', 'TPU-0'], /such as GPU-0/],
    [['--model', 'a.gguf', '--device', 'GPU-0', '--worker-type', 'cpu'], /does not compute on GPU-0/],
    [['--model', 'a.gguf', '--engine', 'llama', '--engine-url', 'http://127.0.0.1:1'], /goes with --engine openai/],
    [['--model', 'a.gguf', '--worker-id', '..'], /letters, digits/],
    [['--model', 'a.gguf', '--slots', '0'], /from 1 to 1024/],
    [['--model', 'a.gguf', '--gpu-layers', '-1'], /from 0 to/],
    [['--model', 'a.gguf', '--kv-type', 'q2_k'], /f16, q8_0, q4_0/],
    [['--model', 'a', '--engine-url', 'http://127.0.0.1:1', '--context', '512'], /--context goes with --engine llama/],
    [['--model', 'a.gguf', '--engine-url', 'http://me:pw@127.0.0.1'], /without credentials/],
  ];
  for (const [args, message] of cases) {
    const error = await startProcess(t, { name: 'worker', args }).catch((error: unknown) => error);
    t.match(error, { exit: { code: 2 } }, args.join(' '));
    t.match((error as StartFailed).stderr, message);
  }
});

t.test('a model that cannot be loaded ends it with exit code 2 and a remedy', async (t) => {
  const dir = t.testdir({ 'no.gguf': 'this is no model' });
  const cut = path.join(dir, 'cut.gguf');
  writeFileSync(cut, tinyGguf().subarray(0, 200_000));
  const cases: [model: string, message: RegExp][] = [
    [path.join(dir, 'none.gguf'), /there is no file .*none\.gguf: --model requires/],
    [dir, /is not a file: --model requires/],
    [path.join(dir, 'no.gguf'), /cannot be loaded: .* Is it a whole GGUF file/],
    [cut, /cannot be loaded: .* Is it a whole GGUF file/],
  ];
  for (const [model, message] of cases) {
    const { code, stderr } = await failedStart(t, model);
    t.equal(code, 2, model);
    t.match(stderr, message);
    t.notMatch(stderr, /\n\s+at /, 'no stack trace');
  }
});

t.test('a context that memory cannot hold is refused with a smaller one as remedy', async (t) => {
  const model = tinyModel(t, { contextTokens: 2_000_000_000, width: 1024 });
  const { code, stderr } = await failedStart(t, model, ['--context', '9000000', '--slots', '256']);
  t.equal(code, 2);
  t.match(stderr, /not enough memory for .*Try a --context below 9000000, --slots 128, --kv-type q8_0/);
});

t.test('a quantised context that the model does not support is refused', async (t) => {
  const { code, stderr } = await failedStart(t, tinyModel(t), ['--kv-type', 'q8_0']);
  t.equal(code, 2);
  t.match(stderr, /heads of this model are 16 wide: --kv-type q8_0 requires a multiple of 32/);
});

t.test('a kind of GPU that this machine does not have is refused with a remedy', async (t) => {
  const other = process.platform === 'darwin' ? 'cuda' : 'metal';
  const { code, stderr } = await failedStart(t, tinyModel(t), ['--worker-type', other]);
  t.equal(code, 2);
  t.match(stderr, /no build of llama\.cpp for (cuda|metal): .*choose the worker type cpu/);
});

t.test('without node-llama-cpp the error names how to install it, and the alternative', async (t) => {
  const hook = `export const resolve = (name, context, next) => {
    if (name !== 'node-llama-cpp') return next(name, context);
    throw Object.assign(new Error("Cannot find package 'node-llama-cpp'"), { code: 'ERR_MODULE_NOT_FOUND' });
  };`;
  const register = `import { register } from 'node:module'; register(${JSON.stringify(`data:text/javascript,${encodeURIComponent(hook)}`)});`;
  const { code, stderr } = await failedStart(t, tinyModel(t), [], {
    NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(register)}`,
  });
  t.equal(code, 2);
  t.match(stderr, /not installed: run npm install node-llama-cpp .*--engine openai --engine-url/);
});

t.test('an hf: model is downloaded once, with progress in /health, and then answers', async (t) => {
  const file = tinyGguf();
  const requests: string[] = [];
  let release = () => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  const hub = await serve(t, {}, async (request, response, url) => {
    requests.push(`${request.method} ${url.pathname}`);
    if (!url.pathname.endsWith('/tiny.gguf')) return void response.writeHead(404).end();
    const [, from = '0', to = ''] = /bytes=(\d+)-(\d*)/.exec(request.headers.range ?? '') ?? [];
    const part = file.subarray(Number(from), to === '' ? file.length : Number(to) + 1);
    const isPart = request.headers.range !== undefined;
    response.writeHead(isPart ? 206 : 200, {
      'content-length': part.length,
      'accept-ranges': 'bytes',
      etag: '"1"',
      ...(isPart ? { 'content-range': `bytes ${from}-${Number(from) + part.length - 1}/${file.length}` } : {}),
    });
    if (request.method === 'HEAD') return void response.end();
    if (part.length < file.length / 2) return void response.end(part);
    response.write(part.subarray(0, part.length / 2));
    await held;
    response.end(part.subarray(part.length / 2));
  });
  const home = t.testdir();
  const env = { HF_ENDPOINT: hub.url, HOME: home };
  const model = 'hf:someone/tiny/tiny.gguf';
  const worker = await startWorker(t, { model, env });
  await waitFor('the download to be shown', async () =>
    /downloading the model, \d+ %/.test((await getJson(`${worker.url}/health`)).body.detail),
  );
  release();
  await isReady(worker.url);
  const { body } = await postJson(`${worker.url}/v1/infer`, { prompt: 'Hi', temperature: 0 });
  t.equal(body.text, SENTENCE);
  t.equal((await getJson(`${worker.url}/info`)).body.model_id, 'tiny');
  t.match(requests, [/\/someone\/tiny\/resolve\/main\/tiny\.gguf$/]);

  await hub.close();
  const again = await startWorker(t, { model, env });
  await isReady(again.url);
  t.pass('the second start uses the downloaded file');
  const models = path.join(home, '.node-llama-cpp', 'models');
  const [kept = ''] = readdirSync(models).filter((name) => name.endsWith('.gguf'));
  t.ok(readFileSync(path.join(models, kept)).equals(file));
});

t.test('a model that cannot be downloaded ends it with the reason', async (t) => {
  const hub = await serve(t, {}, (_, response) => void response.writeHead(404).end());
  const { code, stderr } = await failedStart(t, 'hf:someone/tiny:Q4_K_M', [], {
    HF_ENDPOINT: hub.url,
    HOME: t.testdir(),
  });
  t.equal(code, 2);
  t.match(stderr, /hf:someone\/tiny:Q4_K_M cannot be fetched: .*Is the network there/);
});

t.test('it can be stopped while its model loads', async (t) => {
  const worker = await startWorker(t, { model: tinyModel(t) });
  t.equal((await getJson(`${worker.url}/health`)).status, 503);
  t.strictSame(await worker.kill('SIGTERM'), { code: 0, signal: null });
});

t.test('every flag has an environment variable', async (t) => {
  const worker = await startReadyWorker(t, {
    model: tinyModel(t, { width: 128 }),
    env: {
      RBEE_WORKER_ID: 'worker-llm-7@b',
      RBEE_HIVE_ID: 'b',
      RBEE_DEVICE: 'cpu-0',
      RBEE_WORKER_TYPE: 'cpu',
      RBEE_CONTEXT: '256',
      RBEE_SLOTS: '1',
      RBEE_THREADS: '1',
      RBEE_GPU_LAYERS: '0',
      RBEE_KV_TYPE: 'q8_0',
      RBEE_LABEL: 'a=1,b=2',
    },
  });
  t.match((await getJson(`${worker.url}/info`)).body, {
    id: 'worker-llm-7@b',
    hive_id: 'b',
    device: 'CPU-0',
    labels: { a: '1', b: '2' },
    context: 256,
    slots: 1,
  });
});

t.test('/info shows the tokens of a request, and the requests at once', async (t) => {
  const model = tinyModel(t, { contextTokens: 20_000, width: 128 });
  const info = async (args: string[]) =>
    (await getJson(`${(await startReadyWorker(t, { model, args })).url}/info`)).body;
  t.match(await info([]), { context: 8192, slots: 4 }, 'by default');
  const args = ['--context', '16384', '--slots', '2', '--kv-type', 'q4_0', '--gpu-layers', '0'];
  t.match(await info(args), { context: 16384, slots: 2 }, 'the default context is no limit');
});
