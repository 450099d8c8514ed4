/** Many prompts as jobs: they do not delay other operations, their memory is bounded, and they are never shown. */
import t from 'tap';
import { RUNNING_MAX } from '../../machines/job-lanes.js';
import { fakeHive } from '../fakes/hive.js';
import { getJson, openStream, postJson } from '../helpers/http.js';
import { jobOutcome, openJob, post, run } from '../helpers/jobs.js';
import { startProcess } from '../helpers/process.js';
import { waitFor } from '../helpers/wait.js';

const script = new URL('../helpers/jobs-process.js', import.meta.url);
const hive = await startProcess(t, { name: 'hive', script, args: ['--inspect'] });
const queen = await startProcess(t, { name: 'queen', args: ['--inspect'] });
const seen = await fakeHive(t, { hiveId: 'gpu-0', jobsUrl: hive.url, tickMs: 500 });
await seen.announce(queen.url);
await waitFor('the hive', async () => (await getJson(`${queen.url}/v1/hives/gpu-0`)).body.state === 'streaming');
const [spawned] = (await run(t, hive.url, { operation: 'worker_spawn', model: 'tiny', worker: 'cpu' })).results;
const { pid } = spawned?.payload ?? {};
const infer = { operation: 'infer', hive_id: 'gpu-0', model: 'tiny' };

t.test('a prompt and its answer appear in no state machine and reach no inspector', async (t) => {
  const MARK = 'the-secret-of-the-prompt';
  const streams = await Promise.all(
    [hive, queen].flatMap(({ url }) =>
      ['/v1/machines/stream', '/v1/inspect/stream'].map((path) => openStream(t, `${url}${path}`)),
    ),
  );
  const prompts = [MARK, `quote ${MARK}`, `quote ${MARK}`];
  for (const { url } of [hive, queen]) {
    for (const prompt of prompts) {
      const { ending } = await run(t, url, { ...infer, prompt, max_tokens: 2 });
      t.equal(ending.includes(MARK), prompt !== MARK, 'the caller gets all of it');
    }
    const jobId = await post(url, { ...infer, prompt: `${MARK} ${'x'.repeat(100_000)}`, max_tokens: 100_000 });
    await (await openJob(t, url, jobId)).waitForEvent(({ raw }) => raw === ' t3');
    const { body } = await getJson(`${url}/v1/machines`);
    t.ok(JSON.stringify(body).includes(jobId), 'the job is shown');
    t.notOk(JSON.stringify(body).includes(MARK), 'its prompt is not');
    t.equal((await fetch(`${url}/v1/jobs/${jobId}`, { method: 'DELETE' })).status, 200);
    t.notOk(JSON.stringify((await getJson(`${url}/v1/machines`)).body).includes(MARK));
  }
  for (const stream of streams) {
    const cancelled = ({ raw }: { raw: string }) => raw.includes('job.cancel');
    await stream.waitForEvent(cancelled);
    for (const { raw } of stream.events) {
      t.notOk(raw.includes(MARK) || raw.includes('xxxxxxxx'), raw.slice(0, 300));
      t.notOk(/ t[0-3]["\\]/.test(raw), raw.slice(0, 300));
    }
  }
});

t.test('prompts at an engine that hangs delay no other operation, on the hive or through its queen', async (t) => {
  const jobs = [];
  for (let i = 0; i <= RUNNING_MAX; i += 1) jobs.push(await post(queen.url, { ...infer, prompt: 'hang' }));
  const last = await openJob(t, queen.url, jobs.at(-1) ?? '');
  const waits = `waiting: ${RUNNING_MAX} inferences on gpu-0 run already`;
  await last.waitForEvent(({ raw }) => raw === waits);
  // These fill the hive as well.
  const direct = [
    await post(hive.url, { ...infer, prompt: 'hang' }),
    await post(hive.url, { ...infer, prompt: 'hang' }),
  ];
  const behind = await openJob(t, hive.url, direct.at(-1) ?? '');
  await behind.waitForEvent(({ raw }) => raw.startsWith(`waiting: ${RUNNING_MAX} inferences run already`));
  for (const { url } of [hive, queen]) {
    t.equal((await run(t, url, { operation: 'status', hive_id: 'gpu-0' })).ending, '[DONE]');
    const one = await run(t, url, { operation: 'worker_spawn', hive_id: 'gpu-0', model: 'another', worker: 'cpu' });
    t.equal(one.ending, '[DONE]');
    const stop = { operation: 'worker_process_delete', hive_id: 'gpu-0', pid: one.results[0]?.payload.pid };
    t.equal((await run(t, url, stop)).ending, '[DONE]');
  }
  const other = await fakeHive(t, { hiveId: 'gpu-1', jobsUrl: hive.url, tickMs: 500 });
  await other.announce(queen.url);
  await waitFor('it', async () => (await getJson(`${queen.url}/v1/hives/gpu-1`)).body.state === 'streaming');
  const elsewhere = await post(queen.url, { ...infer, hive_id: 'gpu-1', prompt: 'a' });
  t.match((await jobOutcome(t, queen.url, elsewhere)).ending, 'this is hive gpu-0', 'another hive answers at once');
  await run(t, hive.url, { operation: 'worker_process_delete', pid });
  t.match((await jobOutcome(t, queen.url, jobs[0] ?? '')).ending, /^\[ERROR\] /);
});

t.test('prompts past the memory that is set aside for them are refused and take no memory', async (t) => {
  const prompt = 'x'.repeat(1024 * 1024 - 1024);
  const worker = await run(t, hive.url, { operation: 'worker_spawn', model: 'tiny', worker: 'cpu' });
  const jobs: string[] = [];
  let refused: Awaited<ReturnType<typeof postJson>> | undefined;
  for (let i = 0; i < 200 && !refused; i += 1) {
    const answer = await postJson(`${hive.url}/v1/jobs`, { ...infer, prompt, max_tokens: 1_000_000 });
    if (answer.status === 200) jobs.push(answer.body.job_id);
    else refused = answer;
  }
  t.match(refused, { status: 503, body: { detail: /prompts/ } });
  t.ok(refused?.headers.get('retry-after'));
  t.ok(jobs.length >= 60, `${jobs.length} were taken`);
  const { body } = await getJson(`${hive.url}/v1/machines`);
  t.notOk(JSON.stringify(body).includes('xxxxxxxx'));
  for (const jobId of jobs) await fetch(`${hive.url}/v1/jobs/${jobId}`, { method: 'DELETE' });
  const again = await run(t, hive.url, { ...infer, prompt, max_tokens: 1 });
  t.equal(again.ending, '[DONE]', 'once they are over, their memory is free');
  await run(t, hive.url, { operation: 'worker_process_delete', pid: worker.results[0]?.payload.pid });
});
