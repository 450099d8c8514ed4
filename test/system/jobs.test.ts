/** Jobs on a hive and through a queen, with real processes under them. */
import t from 'tap';
import { fakeHive } from '../fakes/hive.js';
import { getJson, postJson } from '../helpers/http.js';
import { type JobOutcome, jobOutcome, openJob, outcomeIn, post, run } from '../helpers/jobs.js';
import { type RbeeProcess, startProcess } from '../helpers/process.js';
import { waitFor } from '../helpers/wait.js';

const script = new URL('../helpers/jobs-process.js', import.meta.url);
const hive = await startProcess(t, { name: 'hive', script });
const queen = await startProcess(t, { name: 'queen', args: ['--queen-id', 'queen-desk'] });
/** The hive that the queen reads: telemetry of a fake, jobs of a real process. */
const seen = await fakeHive(t, { hiveId: 'gpu-0', jobsUrl: hive.url, tickMs: 500 });
await seen.announce(queen.url);
await waitFor('the hive', async () => (await getJson(`${queen.url}/v1/hives/gpu-0`)).body.state === 'streaming');

const isAlive = (pid: number) => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};

const ways: [string, RbeeProcess][] = [
  ['on a hive', hive],
  ['through a queen', queen],
];
for (const [where, { url }] of ways) {
  t.test(`${where}, workers are spawned, listed, read and deleted`, async (t) => {
    const { status, body } = await postJson(`${url}/v1/jobs`, {
      operation: 'worker_spawn',
      hive_id: 'gpu-0',
      model: '/models/Tiny.gguf',
      worker: 'cpu',
    });
    t.equal(status, 200);
    t.match(body.job_id, /^job-[0-9a-f-]{36}$/);
    t.equal(body.sse_url, `/v1/jobs/${body.job_id}/stream`);
    const spawned = await jobOutcome(t, url, body.job_id);
    t.equal(spawned.ending, '[DONE]');
    t.equal(spawned.lines[0], 'spawning a cpu worker for /models/Tiny.gguf');
    t.match(spawned.lines.at(-1), /is ready$/);
    const [{ action, payload: worker }] = spawned.results as [JobOutcome['results'][number]];
    t.equal(action, 'worker_spawn');
    t.match(worker, { worker_id: /^worker-llm-\d+@gpu-0$/, pid: Number, state: 'healthy', model: '/models/Tiny.gguf' });
    t.equal(isAlive(worker.pid), true);

    const listed = await run(t, url, { operation: 'worker_process_list', hive_id: 'gpu-0' });
    t.equal(listed.ending, '[DONE]');
    const inList = listed.results[0]?.payload.workers.find(({ pid }: { pid: number }) => pid === worker.pid);
    t.match(inList, { worker_id: worker.worker_id, state: 'healthy' });

    const got = await run(t, url, { operation: 'worker_process_get', hive_id: 'gpu-0', pid: worker.pid });
    t.match(got.results[0]?.payload, { pid: worker.pid });

    const inferred = await run(t, url, {
      operation: 'infer',
      hive_id: 'gpu-0',
      model: 'tiny',
      prompt: 'hello',
      max_tokens: 5,
    });
    t.equal(inferred.ending, '[DONE]');
    t.strictSame(inferred.lines, [' t0', ' t1', ' t2', ' t3', ' t4']);
    t.match(inferred.results, [
      { action: 'infer', payload: { worker_id: worker.worker_id, text: ' t0 t1 t2 t3 t4', tokens_generated: 5 } },
    ]);
    const whole = await run(t, url, {
      operation: 'infer',
      hive_id: 'gpu-0',
      model: 'x',
      worker_id: worker.worker_id,
      prompt: 'hello',
      max_tokens: 2,
      stream: false,
    });
    t.strictSame(whole.lines, [' t0 t1']);

    const deleted = await run(t, url, { operation: 'worker_process_delete', hive_id: 'gpu-0', pid: worker.pid });
    t.equal(deleted.ending, '[DONE]');
    t.match(deleted.results, [{ payload: { pid: worker.pid, status: 'stopped' } }]);
    t.equal(isAlive(worker.pid), false);
  });

  t.test(`${where}, what cannot be done fails with a sentence`, async (t) => {
    const notOurs = await run(t, url, { operation: 'worker_process_delete', hive_id: 'gpu-0', pid: process.pid });
    t.equal(notOurs.ending, `[ERROR] no worker of hive gpu-0 has pid ${process.pid}`);
    t.equal(isAlive(process.pid), true);
    const crashed = await run(t, url, {
      operation: 'worker_spawn',
      hive_id: 'gpu-0',
      model: 'bad?exit=2',
      worker: 'cpu',
    });
    t.match(crashed.ending, /^\[ERROR\] the worker crashed: /);
    const unknown = await run(t, url, { operation: 'infer', hive_id: 'gpu-0', model: 'nothing', prompt: 'a' });
    t.match(unknown.ending, /^\[ERROR\] no worker of hive gpu-0 has model nothing/);
  });

  t.test(`${where}, a cancelled job stops its work`, async (t) => {
    const jobId = await post(url, {
      operation: 'worker_spawn',
      hive_id: 'gpu-0',
      model: 'slow?loadMs=600000',
      worker: 'cpu',
    });
    const stream = await openJob(t, url, jobId);
    const { raw } = await stream.waitForEvent(({ raw }) => /^process \d+ runs$/.test(raw));
    const pid = Number(raw.split(' ')[1]);
    t.equal(isAlive(pid), true);
    const cancelled = await fetch(`${url}/v1/jobs/${jobId}`, { method: 'DELETE' });
    t.equal(cancelled.status, 200);
    t.strictSame(await cancelled.json(), { job_id: jobId, status: 'cancelled' });
    await stream.closed;
    t.equal(outcomeIn(stream, jobId).ending, '[CANCELLED]');
    await waitFor('the process to be gone', () => !isAlive(pid));
    const again = await fetch(`${url}/v1/jobs/${jobId}`, { method: 'DELETE' });
    t.equal(again.status, 404);
    t.match((await getJson(`${url}/v1/jobs/${jobId}`)).body, { state: 'cancelled', operation: 'worker_spawn' });
    await waitFor(
      'the hive to say so',
      async () => (await getJson(`${hive.url}/v1/jobs/${jobId}`)).body.state === 'cancelled',
    );
  });

  t.test(`${where}, any number of readers get a job from its first line on, however late`, async (t) => {
    const jobId = await post(url, { operation: 'worker_process_list', hive_id: 'gpu-0' });
    await waitFor('its end', async () => (await getJson(`${url}/v1/jobs/${jobId}`)).body.state === 'done');
    const all = await Promise.all([1, 2, 3].map(() => jobOutcome(t, url, jobId)));
    for (const { lines, ending } of all) {
      t.equal(ending, '[DONE]');
      t.ok(lines.length > 0);
      t.strictSame(lines, all[0]?.lines);
    }
  });
}

t.test('a stream has only data lines: other lines would be printed by clients that read line by line', async (t) => {
  const jobId = await post(hive.url, { operation: 'status' });
  const response = await fetch(`${hive.url}/v1/jobs/${jobId}/stream`);
  t.equal(response.headers.get('content-type'), 'text/event-stream');
  t.equal(response.headers.get('cache-control'), 'no-cache');
  const lines = (await response.text()).split('\n').filter((line) => line !== '');
  for (const line of lines) t.match(line, /^(data: |event: data$)/);
  t.equal(lines.at(-1), 'data: [DONE]');
});

t.test('a cancelled inference leaves its worker', async (t) => {
  const { results } = await run(t, hive.url, { operation: 'worker_spawn', model: 'chatty', worker: 'cpu' });
  const { pid, url } = results[0]?.payload ?? {};
  const jobId = await post(queen.url, {
    operation: 'infer',
    hive_id: 'gpu-0',
    model: 'chatty',
    prompt: 'a',
    max_tokens: 100_000,
  });
  const stream = await openJob(t, queen.url, jobId);
  await stream.waitForEvent(({ raw }) => raw === ' t3');
  await fetch(`${queen.url}/v1/jobs/${jobId}`, { method: 'DELETE' });
  await stream.closed;
  t.equal(outcomeIn(stream, jobId).ending, '[CANCELLED]');
  await waitFor('the worker to be left', async () => (await getJson(`${url}/left`)).body.left === 1);
  const broken = await run(t, hive.url, { operation: 'infer', model: 'chatty', prompt: 'break' });
  t.match(broken.ending, /^\[ERROR\] /);
  await run(t, hive.url, { operation: 'worker_process_delete', pid });
});

t.test('a job cancelled on its hive is cancelled on the queen', async (t) => {
  const jobId = await post(queen.url, {
    operation: 'worker_spawn',
    hive_id: 'gpu-0',
    model: 'slow?loadMs=600000',
    worker: 'cpu',
  });
  const stream = await openJob(t, queen.url, jobId);
  await stream.waitForEvent(({ raw }) => /runs$/.test(raw));
  t.equal((await fetch(`${hive.url}/v1/jobs/${jobId}`, { method: 'DELETE' })).status, 200);
  await stream.closed;
  t.equal(outcomeIn(stream, jobId).ending, '[CANCELLED]');
});

t.test('the same Idempotency-Key is the same job', async (t) => {
  const operation = { operation: 'worker_process_list', hive_id: 'gpu-0' };
  for (const { url } of [hive, queen]) {
    const first = await post(url, operation, { 'idempotency-key': 'a-key' });
    t.equal(await post(url, operation, { 'idempotency-key': 'a-key' }), first);
    t.not(await post(url, operation, { 'idempotency-key': 'another' }), first);
    t.not(await post(url, operation), first);
    t.equal((await postJson(`${url}/v1/jobs`, operation, { 'idempotency-key': 'x'.repeat(300) })).status, 400);
  }
});

t.test('a forwarded job keeps its id', async (t) => {
  const id = 'job-00000000-0000-4000-8000-000000000001';
  t.equal(await post(hive.url, { operation: 'status' }, { 'rbee-job': id }), id);
  t.equal(await post(hive.url, { operation: 'status' }, { 'rbee-job': id }), id, 'posted twice it is one job');
  t.equal((await postJson(`${hive.url}/v1/jobs`, { operation: 'status' }, { 'rbee-job': '../x' })).status, 400);
});

t.test('the job of an operation that only the original has fails with a sentence on what to do instead', async (t) => {
  const operations = [
    { operation: 'model_download', hive_id: 'gpu-0', model: 'x' },
    { operation: 'hive_list' },
    { operation: 'hive_status', alias: 'localhost' },
    { operation: 'active_worker_list', hive_id: 'unknown' },
    { operation: 'package_sync', config_path: null, dry_run: true },
  ];
  for (const { url } of [hive, queen]) {
    for (const operation of operations) {
      const { ending, jobId } = await run(t, url, operation);
      t.match(ending, new RegExp(`^\\[ERROR\\] rbee has no operation ${operation.operation}: .{20,}`));
      t.match((await getJson(`${url}/v1/jobs/${jobId}`)).body, { operation: operation.operation, state: 'failed' });
    }
    for (const operation of ['', 'other', 'dance', 'model', '__proto__', null, 7, ['hive_list']]) {
      t.equal((await postJson(`${url}/v1/jobs`, { operation })).status, 422, String(operation));
    }
  }
});

t.test('a wrong operation is refused when it is posted', async (t) => {
  for (const { url } of [hive, queen]) {
    const unknown = await postJson(`${url}/v1/jobs`, { operation: 'dance', hive_id: 'gpu-0' });
    t.equal(unknown.status, 422);
    t.equal(unknown.headers.get('content-type'), 'application/problem+json');
    t.match(unknown.body.errors, [{ pointer: '/operation', detail: /worker_spawn.*infer.*status/ }]);
    const wrong = await postJson(`${url}/v1/jobs`, { operation: 'infer', hive_id: 'gpu-0', model: 'a' });
    t.match(wrong.body.errors, [{ pointer: '/prompt' }]);
    t.equal((await postJson(`${url}/v1/jobs`, '{')).status, 400);
    t.equal((await getJson(`${url}/v1/jobs/job-x`)).status, 404);
    t.equal((await getJson(`${url}/v1/jobs/job-x/stream`)).status, 404);
    t.equal((await fetch(`${url}/v1/jobs/job-x`, { method: 'DELETE' })).status, 404);
  }
  const elsewhere = await postJson(`${hive.url}/v1/jobs`, { operation: 'status', hive_id: 'gpu-1' });
  t.equal(elsewhere.status, 422);
  t.match(elsewhere.body.errors, [{ pointer: '/hive_id', detail: /this is hive gpu-0/ }]);
  const withoutHive = await postJson(`${queen.url}/v1/jobs`, { operation: 'worker_process_list' });
  t.equal(withoutHive.status, 422);
  t.match(withoutHive.body.errors, [{ pointer: '/hive_id' }]);
});

t.test('a queen refuses a job for an unknown or lost hive', async (t) => {
  const unknown = await postJson(`${queen.url}/v1/jobs`, { operation: 'worker_process_list', hive_id: 'gpu-9' });
  t.equal(unknown.status, 404);
  t.match(unknown.body.detail, /hive gpu-9 is unknown.*gpu-0/);
  const gone = await fakeHive(t, { hiveId: 'gone' });
  await gone.announce(queen.url);
  await waitFor('it', async () => (await getJson(`${queen.url}/v1/hives/gone`)).body.state === 'streaming');
  await gone.close();
  await waitFor('its loss', async () => (await getJson(`${queen.url}/v1/hives/gone`)).body.state === 'lost');
  const lost = await postJson(`${queen.url}/v1/jobs`, { operation: 'worker_process_list', hive_id: 'gone' });
  t.equal(lost.status, 503);
  t.ok(lost.headers.get('retry-after'));
  t.match(lost.body.detail, /hive gone is lost since/);
});

t.test('the jobs of a hive that is lost end with the reason', async (t) => {
  const own = await startProcess(t, { name: 'hive', script, args: ['--hive-id', 'doomed'] });
  const doomed = await fakeHive(t, { hiveId: 'doomed', jobsUrl: own.url });
  await doomed.announce(queen.url);
  await waitFor('it', async () => (await getJson(`${queen.url}/v1/hives/doomed`)).body.state === 'streaming');
  const jobId = await post(queen.url, {
    operation: 'worker_spawn',
    hive_id: 'doomed',
    model: 'slow?loadMs=600000',
    worker: 'cpu',
  });
  const stream = await openJob(t, queen.url, jobId);
  await stream.waitForEvent(({ raw }) => /runs$/.test(raw));
  await doomed.close();
  await stream.closed;
  t.equal(outcomeIn(stream, jobId).ending, '[ERROR] hive doomed lost');
  await own.kill();
});

t.test('a stream between queen and hive that breaks is continued where it broke', async (t) => {
  const { results } = await run(t, hive.url, { operation: 'worker_spawn', model: 'talker', worker: 'cpu' });
  const { pid } = results[0]?.payload ?? {};
  const jobId = await post(queen.url, {
    operation: 'infer',
    hive_id: 'gpu-0',
    model: 'talker',
    prompt: 'a',
    max_tokens: 60,
  });
  const stream = await openJob(t, queen.url, jobId);
  await stream.waitForEvent(({ raw }) => raw === ' t5');
  seen.dropJobs();
  await stream.closed;
  const { lines, ending } = outcomeIn(stream, jobId);
  t.equal(ending, '[DONE]');
  t.strictSame(
    lines,
    Array.from({ length: 60 }, (_, i) => ` t${i}`),
  );
  await run(t, hive.url, { operation: 'worker_process_delete', pid });
});

t.test('status reports the swarm on a queen, and the workers on a hive', async (t) => {
  const swarm = await run(t, queen.url, { operation: 'status' });
  t.equal(swarm.ending, '[DONE]');
  t.match(swarm.results[0]?.payload, { hives: Array, workers: Array });
  const one = await run(t, hive.url, { operation: 'status' });
  t.match(one.results[0]?.payload, { hive_id: 'gpu-0', workers: Array });
  const passed = await run(t, queen.url, { operation: 'status', hive_id: 'gpu-0' });
  t.match(passed.results[0]?.payload, { hive_id: 'gpu-0' });
});

t.test('jobs are listed', async (t) => {
  const { body } = await getJson(`${queen.url}/v1/jobs`);
  const states = new Set(body.jobs.map(({ state }: { state: string }) => state));
  for (const state of ['done', 'failed', 'cancelled']) t.ok(states.has(state), state);
  t.match(body.jobs[0], { job_id: /^job-/, operation: String, created_at: String, sse_url: /^\/v1\/jobs\// });
});

t.test('a process that shuts down sends bye, and ends its jobs with the reason', async (t) => {
  const own = await startProcess(t, { name: 'hive', script, args: ['--hive-id', 'brief'] });
  const jobId = await post(own.url, { operation: 'worker_spawn', model: 'slow?loadMs=600000', worker: 'cpu' });
  const stream = await openJob(t, own.url, jobId);
  await stream.waitForEvent(({ raw }) => /runs$/.test(raw));
  t.strictSame(await own.kill(), { code: 0, signal: null });
  await stream.closed;
  t.ok(stream.events.some(({ event, data }) => event === 'bye' && data.reason === 'shutdown'));
  t.equal(outcomeIn(stream, jobId).ending, '[ERROR] hive brief is shutting down');
});
