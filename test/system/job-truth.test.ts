/** Jobs whose queen, hive or connection goes away: each runs at most once, and in the end queen and hive report the same end. */
import t, { type Test } from 'tap';
import { fakeEngine } from '../fakes/engine.js';
import { fakeHive } from '../fakes/hive.js';
import { startCommand } from '../helpers/command.js';
import { getJson } from '../helpers/http.js';
import { jobOutcome, openJob, outcomeIn, post, run } from '../helpers/jobs.js';
import { type RbeeProcess, restart, startProcess } from '../helpers/process.js';
import { waitFor } from '../helpers/wait.js';

const script = new URL('../helpers/jobs-process.js', import.meta.url);
const queen = await startProcess(t, { name: 'queen' });
const streams = (at: string, hiveId: string) =>
  waitFor(hiveId, async () => (await getJson(`${at}/v1/hives/${hiveId}`)).body.state === 'streaming');
const stateOf = async (at: string, jobId: string) => (await getJson(`${at}/v1/jobs/${jobId}`)).body.state;
const isOver = (at: string, jobId: string, state: string) =>
  waitFor(`${jobId} to be ${state}`, async () => (await stateOf(at, jobId)) === state, { timeoutMs: 40_000 });

/** The jobs of a real process behind the telemetry of a fake. */
async function hiveOfJobs(t: Test, hiveId: string) {
  const hive = await startProcess(t, { name: 'hive', script, args: ['--hive-id', hiveId] });
  const seen = await fakeHive(t, { hiveId, jobsUrl: hive.url, tickMs: 500 });
  await seen.announce(queen.url);
  await streams(queen.url, hiveId);
  return { hive, seen };
}

t.test('a job whose answer is lost runs once, and its stream reaches its end', async (t) => {
  const { hive, seen } = await hiveOfJobs(t, 'mute');
  seen.posts = 'mute';
  const jobId = await post(queen.url, { operation: 'worker_spawn', hive_id: 'mute', model: 'tiny', worker: 'cpu' });
  const { ending, lines } = await jobOutcome(t, queen.url, jobId);
  t.equal(ending, '[DONE]');
  t.ok(lines.includes('no answer from hive mute yet: asking whether it has the job'));
  const { body } = await getJson(`${hive.url}/v1/jobs`);
  t.match(body.jobs, [{ job_id: jobId, state: 'done' }]);
  t.equal(body.jobs.length, 1);
  const listed = await run(t, hive.url, { operation: 'worker_process_list' });
  t.equal(listed.results[0]?.payload.workers.length, 1);
});

t.test('a cancellation that overtakes its job is remembered, and the job never runs', async (t) => {
  const { hive, seen } = await hiveOfJobs(t, 'slow');
  const spawn = { operation: 'worker_spawn', hive_id: 'slow', model: 'tiny?loadMs=600000', worker: 'cpu' };
  const early = 'job-00000000-0000-4000-8000-00000000000e';
  t.equal((await fetch(`${hive.url}/v1/jobs/${early}`, { method: 'DELETE' })).status, 404);
  t.equal(await post(hive.url, spawn, { 'rbee-job': early }), early);
  t.equal((await jobOutcome(t, hive.url, early)).ending, '[CANCELLED]');

  seen.posts = 'hold';
  const jobId = await post(queen.url, spawn);
  await waitFor('the request', () =>
    seen.requests.some(({ method, path }) => method === 'POST' && path === '/v1/jobs'),
  );
  t.equal((await fetch(`${queen.url}/v1/jobs/${jobId}`, { method: 'DELETE' })).status, 200);
  await waitFor('the cancellation', () => seen.requests.some(({ method }) => method === 'DELETE'));
  seen.releasePosts();
  await isOver(hive.url, jobId, 'cancelled');
  const listed = await run(t, hive.url, { operation: 'worker_process_list' });
  t.strictSame(listed.results[0]?.payload.workers, []);
});

t.test('a job with more lines than are kept is continued after a break, and ends as on its hive', async (t) => {
  const { hive, seen } = await hiveOfJobs(t, 'wide');
  await run(t, hive.url, { operation: 'worker_spawn', model: 'tiny', worker: 'cpu' });
  const infer = { operation: 'infer', hive_id: 'wide', model: 'tiny', prompt: 'wide', max_tokens: 200 };
  const jobId = await post(queen.url, infer);
  const stream = await openJob(t, queen.url, jobId);
  await stream.waitForEvent(({ raw }) => raw.startsWith(' t120x'));
  seen.dropJobs();
  await stream.closed;
  const { lines, ending } = outcomeIn(stream, jobId);
  t.equal(ending, '[DONE]');
  const tokens = lines.flatMap((line) => /^ t(\d+)x/.exec(line)?.[1] ?? []).map(Number);
  t.strictSame(
    tokens,
    Array.from({ length: 200 }, (_, i) => i),
  );
  for (const { url } of [hive, queen]) {
    const late = await jobOutcome(t, url, jobId);
    t.equal(late.ending, '[DONE]');
    t.match(late.lines[0], /^\d+ earlier lines were dropped$/);
    t.equal(late.results.length, 1);
  }
});

t.test('a queen that shuts down leaves the jobs of another queen alone', async (t) => {
  const { hive, seen } = await hiveOfJobs(t, 'shared');
  await run(t, hive.url, { operation: 'worker_spawn', model: 'tiny', worker: 'cpu' });
  const infer = { operation: 'infer', hive_id: 'shared', model: 'tiny', prompt: 'a', max_tokens: 1_000_000 };
  const jobId = await post(queen.url, infer);
  const stream = await openJob(t, queen.url, jobId);
  await stream.waitForEvent(({ raw }) => raw === ' t3');
  const other = await startProcess(t, { name: 'queen', args: ['--queen-id', 'queen-other'] });
  await seen.announce(other.url);
  await isOver(other.url, jobId, 'running');
  const theirs = await openJob(t, other.url, jobId);
  await theirs.waitForEvent(({ raw }) => raw === ' t3');
  await other.kill();
  await theirs.closed;
  const soFar = stream.events.length;
  await waitFor('more of the answer', () => stream.events.length > soFar + 50);
  t.equal(await stateOf(hive.url, jobId), 'running');
  t.equal((await fetch(`${queen.url}/v1/jobs/${jobId}`, { method: 'DELETE' })).status, 200);
});

/** A real hive, a queen of its own, and a worker that waits for its engine. */
async function loading(t: Test, { to }: { to: 'queen' | 'hive' }) {
  const engine = await fakeEngine(t);
  await engine.close();
  const own = await startProcess(t, { name: 'queen' });
  const hive = await startProcess(t, { name: 'hive', args: ['--hive-id', 'gpu-0', '--queen-url', own.url] });
  t.teardown(async () => {
    const { body } = await getJson(`${own.url}/v1/workers`).catch(() => ({ body: { workers: [] } }));
    for (const { pid } of body.workers) {
      try {
        if (pid) process.kill(-pid, 'SIGKILL');
      } catch {
        // It is gone.
      }
    }
  });
  await streams(own.url, 'gpu-0');
  const spawn = {
    operation: 'worker_spawn',
    hive_id: 'gpu-0',
    model: 'other',
    worker: 'openai',
    engine_url: engine.url,
  };
  const jobId = await post(to === 'queen' ? own.url : hive.url, spawn);
  const stream = await openJob(t, to === 'queen' ? own.url : hive.url, jobId);
  const { raw } = await stream.waitForEvent(({ raw }) => /^process \d+ runs$/.test(raw));
  return { engine, own, hive, jobId, stream, pid: Number(raw.split(' ')[1]) };
}

const spawnedIn = (results: { payload: { state: string; worker_id: string } }[]) => results[0]?.payload;

t.test(
  'a hive that was killed during a spawn, and its queen, report how the spawn ended once it is back',
  async (t) => {
    const { engine, own, hive, jobId, stream } = await loading(t, { to: 'queen' });
    await hive.kill('SIGKILL');
    await stream.closed;
    t.equal(outcomeIn(stream, jobId).ending, '[ERROR] hive gpu-0 lost');
    t.equal(await stateOf(own.url, jobId), 'failed');
    const again = await restart(hive);
    await isOver(own.url, jobId, 'running');
    t.match((await getJson(`${again.url}/v1/jobs/${jobId}`)).body, { state: 'running', operation: 'worker_spawn' });
    await engine.listen();
    for (const { url } of [again, own]) {
      await isOver(url, jobId, 'done');
      const { ending, lines, results } = await jobOutcome(t, url, jobId);
      t.equal(ending, '[DONE]');
      t.equal(lines[0], 'hive gpu-0 was restarted while this ran');
      t.match(spawnedIn(results), { state: 'healthy', worker_id: /@gpu-0$/ });
    }
    const stop = {
      operation: 'worker_process_delete',
      hive_id: 'gpu-0',
      worker_id: spawnedIn((await jobOutcome(t, own.url, jobId)).results)?.worker_id,
    };
    t.equal((await run(t, own.url, stop)).ending, '[DONE]');
  },
);

for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
  t.test(`a queen that is restarted by ${signal} during a spawn has it, and follows it to its end`, async (t) => {
    const { engine, own, hive, jobId, pid } = await loading(t, { to: 'queen' });
    await own.kill(signal);
    const again: RbeeProcess = await restart(own);
    await isOver(again.url, jobId, 'running');
    t.equal(await stateOf(hive.url, jobId), 'running');
    const stream = await openJob(t, again.url, jobId);
    await stream.waitForEvent(({ raw }) => raw === `process ${pid} runs`);
    await engine.listen();
    await stream.closed;
    t.equal(outcomeIn(stream, jobId).ending, '[DONE]');
    t.match((await getJson(`${again.url}/v1/jobs/${jobId}`)).body, { state: 'done', hive_id: 'gpu-0' });
    await hive.kill();
  });
}

t.test('rbee spawn and rbee jobs wait for a restarting queen, and print that', async (t) => {
  const { engine, own, hive, jobId } = await loading(t, { to: 'queen' });
  const url = ['--url', own.url];
  const another = await fakeEngine(t);
  await another.close();
  const spawning = startCommand(t, ['spawn', 'other', '--engine-url', another.url, ...url]);
  const reading = startCommand(t, ['jobs', jobId, ...url]);
  for (const one of [spawning, reading]) await waitFor('its process', () => /process \d+ runs/.test(one.stderr()));
  await own.kill('SIGKILL');
  for (const one of [spawning, reading]) {
    await waitFor('its message', () => one.stderr().includes('waiting for it, the job goes on'));
  }
  await restart(own);
  await engine.listen();
  await another.listen();
  for (const one of [spawning, reading]) {
    t.strictSame(
      await waitFor('its end', () => one.exited, { timeoutMs: 60_000 }),
      { code: 0, signal: null },
      one.stderr(),
    );
    t.equal(one.stderr().match(/process \d+ runs/g)?.length ?? 0, 2, 'another run of the queen repeats it');
  }
  t.match(spawning.stdout(), /^worker-\S+@gpu-0 is ready at http/);
  await hive.kill();
});

t.test(
  'a spawn posted to the hive itself is known to its queen once the hive streams, and can be cancelled there',
  async (t) => {
    const { own, hive, jobId, pid } = await loading(t, { to: 'hive' });
    await own.kill('SIGKILL');
    const again = await restart(own);
    await isOver(again.url, jobId, 'running');
    t.equal((await fetch(`${again.url}/v1/jobs/${jobId}`, { method: 'DELETE' })).status, 200);
    await isOver(hive.url, jobId, 'cancelled');
    await waitFor('the process to be gone', () => {
      try {
        return !process.kill(pid, 0);
      } catch {
        return true;
      }
    });
  },
);
