/** Spawning and stopping workers in a real browser: a real queen, real jobs, and fake workers. */
import t, { type Test } from 'tap';
import { fakeHive } from '../fakes/hive.js';
import { fakeWorker } from '../fakes/openai-worker.js';
import { axeViolations, noChromium, showPage, startChromium } from '../helpers/browser.js';
import { getJson } from '../helpers/http.js';
import { run } from '../helpers/jobs.js';
import { eventOf, shownHive, worker } from '../helpers/picture.js';
import { restart, startProcess } from '../helpers/process.js';
import { waitFor } from '../helpers/wait.js';

const skip = noChromium();

t.test('the queen serves what these screens request', async (t) => {
  const queen = await startProcess(t, { name: 'queen' });
  for (const path of ['/v1/models', '/v1/jobs']) t.equal((await getJson(queen.url + path)).status, 200, path);
});

t.test('spawning', { skip }, async (t) => {
  const spawning = await startSpawning(t);
  spawnAndStop(t, spawning);
  manyJobs(t, spawning);
});

type Spawning = Awaited<ReturnType<typeof startSpawning>>;

/** A queen, a hive that runs jobs, and the screen of workers in a browser. */
async function startSpawning(t: Test) {
  const chromium = await startChromium(t);
  const script = new URL('../helpers/jobs-process.js', import.meta.url);
  const jobs = await startProcess(t, { name: 'hive', script });
  const queen = await startProcess(t, { name: 'queen' });
  const hive = await fakeHive(t, { hiveId: 'gpu-0', jobsUrl: jobs.url });
  hive.devices = [
    { id: 'GPU-0', name: 'RTX 4090', device_type: 'cuda', vram_gb: 24, compute_capability: '8.9' },
    { id: 'GPU-1', name: 'RTX 4090', device_type: 'cuda', vram_gb: 24, compute_capability: '8.9' },
    { id: 'CPU-0', name: 'a CPU', device_type: 'cpu', vram_gb: 64, compute_capability: null },
  ];
  hive.emit(eventOf({ hiveId: 'gpu-0' }));
  await hive.announce(queen.url);
  await waitFor('its devices', async () => (await getJson(`${queen.url}/v1/hives/gpu-0`)).body.devices?.length === 3);
  const { page, problems } = await chromium.open(`${queen.url}/#/workers`, {
    expected: /404|422|503|ERR_CONNECTION_REFUSED|ERR_INCOMPLETE/,
  });
  const form = page.locator('form.spawn');
  await form.waitFor();
  return { jobs, hive, page, problems, form, queen };
}

/** The form, a spawn, and a stop. */
function spawnAndStop(t: Test, spawning: Spawning): void {
  const { hive, page, form } = spawning;
  t.test('the form lists the devices of the machine', async (t) => {
    await form.getByLabel('Device').waitFor();
    t.same(await form.getByLabel('Runs on').locator('option').allInnerTexts(), [
      'CUDA',
      'CPU',
      'an engine that runs already (Ollama, vLLM, llama-server …)',
    ]);
    t.match(await form.getByLabel('Device').locator('option').allInnerTexts(), [
      /^GPU-0 · RTX 4090 · 16\.0\sGiB free$/,
      /^GPU-1 · RTX 4090$/,
    ]);
    t.same(await axeViolations(page), []);
  });

  t.test('a worker is spawned, and the output of the job is shown live', async (t) => {
    await form.getByLabel('Model').fill('/models/tiny.gguf');
    await form.getByRole('button', { name: 'Spawn' }).click();
    const job = page.locator('[data-job="done"]').first();
    await job.waitFor();
    t.match(await job.innerText(), /Spawn \/models\/tiny\.gguf on gpu-0[\s\S]*process \d+ runs[\s\S]*is ready/);
    await page.reload();
    await job.waitFor();
    t.match(await job.innerText(), /is ready/, 'and it can still be read after a reload');
  });

  t.test('advanced settings are sent when they are filled in', async (t) => {
    await form.getByLabel('Model').fill('/models/tiny.gguf');
    await form.getByText('Advanced').click();
    t.same(await axeViolations(page), []);
    await form.getByLabel('Context').fill('4096');
    await form.getByLabel('GPU layers').fill('0');
    await form.getByLabel('KV cache').selectOption('q8_0');
    const busy = { type: 'about:blank', title: 'Busy', status: 503, detail: 'not now' };
    await page.route('**/v1/jobs', (route) => route.fulfill({ status: 503, json: busy }));
    const spawn = async () => {
      const [request] = await Promise.all([
        page.waitForRequest((one) => one.method() === 'POST'),
        form.getByRole('button', { name: 'Spawn' }).click(),
      ]);
      await form.locator('button:enabled', { hasText: 'Spawn' }).waitFor();
      return request.postDataJSON();
    };
    t.match(await spawn(), { worker: 'cuda', context: 4096, gpu_layers: 0, kv_type: 'q8_0', slots: undefined });
    await form.getByLabel('Runs on').selectOption('cpu');
    t.equal(await form.getByLabel('GPU layers').count(), 0);
    t.notHas(await spawn(), { gpu_layers: 0 });
    await form.getByLabel('Context').fill('');
    await form.getByLabel('KV cache').selectOption('');
    t.notMatch(Object.keys(await spawn()).join(' '), /context|kv_type|slots|threads/);
    await form.getByLabel('Runs on').selectOption('cuda');
    await form.getByLabel('GPU layers').fill('');
    await page.unroute('**/v1/jobs');
  });

  t.test('a worker is stopped after a confirmation', async (t) => {
    const { body } = await getJson(`${spawning.queen.url}/v1/jobs`);
    const stream = await (await fetch(spawning.queen.url + body.jobs[0].sse_url)).text();
    const pid = Number(/"pid":(\d+)/.exec(stream)?.[1]);
    hive.emit(eventOf({ hiveId: 'gpu-0', workers: [worker('gpu-0', { pid, context: 4096, slots: 4 })] }));
    await page.getByText('context 4096, 4 slots').waitFor();
    const stop = page.getByRole('button', { name: 'Stop worker-llm-8080' });
    await stop.waitFor();
    await page.setViewportSize({ width: 390, height: 900 });
    t.notOk(
      await page.evaluate('document.documentElement.scrollWidth > innerWidth'),
      'the table scrolls, not the page',
    );
    const { x = 0, width = 390 } = (await stop.boundingBox()) ?? {};
    t.ok(x > 0 && x + width < 390, 'and what can be done stays in view');
    t.same(await axeViolations(page), []);
    await page.setViewportSize({ width: 1440, height: 900 });
    await stop.click();
    await page.getByRole('button', { name: 'Keep it' }).click();
    t.equal(await page.locator('[data-job]').count(), 1, 'the job is kept after Keep it');
    await stop.click();
    t.same(await axeViolations(page), []);
    await page.getByRole('button', { name: 'Stop it' }).click();
    await page.getByText('is gone').waitFor();
    t.throws(() => process.kill(pid, 0), 'and its process is');
  });
}

/** Crashes, cancellation, and many jobs. */
function manyJobs(t: Test, spawning: Spawning): void {
  const { jobs, hive, page, problems, form } = spawning;
  t.test('a failed spawn shows the reason, and a slow one can be cancelled', async (t) => {
    await form.getByLabel('Model').fill('bad?exit=2');
    await form.getByRole('button', { name: 'Spawn' }).click();
    const failed = page.locator('[data-job="failed"]');
    await failed.waitFor();
    t.match(await failed.innerText(), /ended with code 2/);
    await form.getByLabel('Model').fill('slow?loadMs=600000');
    await form.getByRole('button', { name: 'Spawn' }).click();
    await page.getByRole('button', { name: 'Cancel Spawn slow?loadMs=600000' }).click();
    await page.locator('[data-job="cancelled"]').waitFor();
  });

  t.test('of many jobs two are followed live, in a hidden tab none, and each is shown to its end', async (t) => {
    const readers = async () => {
      const { body } = await getJson(`${spawning.queen.url}/metrics`);
      return Number(/^rbee_job_readers (\d+)/m.exec(body)?.[1]);
    };
    t.teardown(() => cancelAll(jobs.url));
    const running = page.locator('[data-job="running"]');
    for (const i of [1, 2, 3, 4]) {
      await form.getByLabel('Model').fill(`slow-${i}?loadMs=600000`);
      await form.getByRole('button', { name: 'Spawn' }).click();
      await running.nth(i - 1).waitFor();
    }
    await running.nth(3).getByText('Its output is shown when it ends.').waitFor();
    await waitFor('two readers', async () => (await readers()) === 2);
    t.same(await axeViolations(page), []);
    await showPage(page, 'hidden');
    await waitFor('no reader', async () => (await readers()) === 0);
    await showPage(page, 'visible');
    await waitFor('the readers again', async () => (await readers()) === 2);
    await page.getByRole('button', { name: 'Cancel Spawn slow-1?loadMs=600000' }).click();
    const cancelled = page.locator('[data-job="cancelled"]', { hasText: 'slow-1' });
    await cancelled.waitFor();
    t.match(await cancelled.innerText(), /process \d+ runs/, 'with all its lines');
    await cancelAll(jobs.url);
    await running.first().waitFor({ state: 'detached' });
    t.equal(await page.locator('[data-job="cancelled"]', { hasText: /slow-\d/ }).count(), 4);
  });

  t.test('jobs survive a reload of another screen and a restart of the queen', async (t) => {
    t.teardown(() => cancelAll(jobs.url));
    await form.getByLabel('Model').fill('slow?loadMs=600000');
    await form.getByRole('button', { name: 'Spawn' }).click();
    await page.locator('[data-job="running"]').waitFor();
    await page.goto(`${spawning.queen.url}/#/`);
    await page.reload();
    const crashed = { worker_id: 'worker-llm-8081@gpu-0', pid: null, status: 'crashed' };
    hive.emit(eventOf({ hiveId: 'gpu-0', workers: [worker('gpu-0', crashed)] }));
    await page.locator('[data-crashed]').getByRole('button', { name: 'Dismiss' }).click();
    await page.getByRole('link', { name: 'Workers' }).click();
    await page.locator('[data-job]', { hasText: 'Dismiss worker-llm' }).waitFor();
    await page.locator('[data-job="running"]', { hasText: 'slow' }).waitFor();
    spawning.queen = await restart(spawning.queen);
    await page.locator('.link.open').waitFor();
    await page.getByRole('button', { name: 'Cancel Spawn slow?loadMs=600000' }).click();
    const cancelled = page.locator('[data-job="cancelled"]', { hasText: 'slow?' });
    await waitFor('its end', async () => (await cancelled.count()) === 2);
    const shown = async () => {
      await page.locator('[data-job="done"]', { hasText: 'tiny.gguf' }).first().waitFor();
      return page.locator('[data-job]').allInnerTexts();
    };
    const before = await shown();
    await page.reload();
    t.same(await shown(), before);
    t.match(before.join('\n'), /cancelled[\s\S]*ended with code 2[\s\S]*is ready/);
    t.same(await problems(), []);
  });
}

/** Cancels all jobs, so that their workers do not outlive the test. */
async function cancelAll(url: string): Promise<void> {
  const { jobs } = (await getJson(`${url}/v1/jobs`)).body as { jobs: { job_id: string; ended_at: string | null }[] };
  const running = jobs.filter(({ ended_at }) => ended_at === null);
  await Promise.all(running.map(({ job_id }) => fetch(`${url}/v1/jobs/${job_id}`, { method: 'DELETE' })));
}

t.test('the form spawns on the machine that it shows', { skip }, async (t) => {
  const chromium = await startChromium(t);
  const queen = await startProcess(t, { name: 'queen' });
  const gpu = await shownHive(t, queen.url, { hiveId: 'gpu-5' });
  const { page, problems } = await chromium.open(`${queen.url}/#/workers`);
  const machine = page.locator('form.spawn').getByLabel('Hive');
  await page.getByLabel('Model').fill('tiny.gguf');

  t.test(
    'a hive with an earlier name that comes online while the form is filled in does not replace the machine',
    async (t) => {
      await shownHive(t, queen.url, { hiveId: 'attic' });
      await machine.locator('option', { hasText: 'attic' }).waitFor({ state: 'attached' });
      t.equal(await machine.inputValue(), 'gpu-5');
    },
  );

  t.test('a lost machine stays chosen, and nothing can be spawned until it is back', async (t) => {
    await gpu.close();
    await machine.locator('option', { hasText: 'gpu-5 (offline)' }).waitFor({ state: 'attached' });
    t.equal(await machine.inputValue(), 'gpu-5');
    t.ok(await page.getByRole('button', { name: 'Spawn' }).isDisabled());
    await page.getByLabel('Model').press('Enter');
    t.same(await axeViolations(page), []);
    await gpu.listen();
    await gpu.announce(queen.url);
    await page.locator('form.spawn button:enabled', { hasText: 'Spawn' }).waitFor();
    t.equal(await machine.inputValue(), 'gpu-5');
    t.same((await getJson(`${queen.url}/v1/jobs`)).body.jobs, []);
    t.same(await problems(), []);
  });
});

t.test('workers of no hive, and of one that is lost', { skip }, async (t) => {
  const chromium = await startChromium(t);
  const queen = await startProcess(t, { name: 'queen' });
  const free = await fakeWorker(t, { workerId: 'worker-llm-8085@keeper-desk', model: 'tiny' });
  await free.heartbeat(queen.url);
  const { page, problems } = await chromium.open(`${queen.url}/#/workers`);
  const row = (id: string) => page.getByRole('row', { name: id });

  t.test('are in the table, and cannot be stopped here', async (t) => {
    await row('worker-llm-8085').waitFor();
    t.match(await row('worker-llm-8085').innerText(), /keeper-desk\s+ready\s+tiny/);
    const held = await fakeWorker(t, { workerId: 'worker-llm-8080@gpu-0', model: 'llama', hiveId: 'gpu-0' });
    const hive = await shownHive(t, queen.url, { hiveId: 'gpu-0', workers: [worker('gpu-0', { url: held.url })] });
    await page.getByRole('button', { name: 'Stop worker-llm-8080' }).waitFor();
    t.equal(await page.getByRole('button', { name: /^Stop / }).count(), 1);
    await hive.close();
    await page.getByText('No hive is online').waitFor();
    t.equal(await page.getByText('Spawn the first one below').count(), 0);
    await held.heartbeat(queen.url);
    await row('worker-llm-8080').waitFor();
    t.match(await row('worker-llm-8080').innerText(), /gpu-0/);
    t.equal(await page.getByRole('button', { name: /^Stop / }).count(), 0);
    t.same(await axeViolations(page), []);
    t.same(await problems(), []);
  });
});

t.test(
  'a worker that its hive no longer has leaves the table at once, however old the list of workers is',
  { skip },
  async (t) => {
    const chromium = await startChromium(t);
    const queen = await startProcess(t, { name: 'queen' });
    const hive = await shownHive(t, queen.url, { hiveId: 'gpu-0', workers: [worker('gpu-0')] });
    const free = await fakeWorker(t, { workerId: 'worker-llm-8085@keeper-desk', model: 'tiny' });
    await free.heartbeat(queen.url);
    await waitFor('both workers', async () => (await getJson(`${queen.url}/v1/workers`)).body.workers.length === 2);
    const { body: before } = await getJson(`${queen.url}/v1/workers`);
    const { page, problems } = await chromium.open('about:blank');
    await page.route(`${queen.url}/v1/workers`, (route) => route.fulfill({ json: before }));
    await page.goto(`${queen.url}/#/workers`);
    const row = (id: string) => page.getByRole('row', { name: id });
    await row('worker-llm-8080').waitFor();
    await row('worker-llm-8085').waitFor();
    hive.emit(eventOf({ hiveId: 'gpu-0', workers: [worker('gpu-0', { worker_id: 'worker-llm-8081@gpu-0' })] }));
    await row('worker-llm-8081').waitFor();
    t.equal(await row('worker-llm-8080').count(), 0);
    t.equal(await row('worker-llm-8085').count(), 1, 'one of no hive is known by the list alone');
    t.same(
      (await problems()).filter((problem) => !problem.startsWith('request to another host')),
      [],
    );
  },
);

t.test('a job that the queen has no record of ends with an unknown state', { skip }, async (t) => {
  const chromium = await startChromium(t);
  const queen = await startProcess(t, { name: 'queen' });
  const { page } = await chromium.open(`${queen.url}/#/workers`, { expected: /404/ });
  const job = JSON.stringify([{ id: 'job-00000000-0000-4000-8000-000000000000', title: 'Spawn tiny' }]);
  await page.evaluate(`sessionStorage.setItem('rbee.jobs', ${JSON.stringify(job)})`);
  await page.reload();
  await page.locator('[data-job="unknown"]').getByText('the queen has no record of this job').waitFor();
  t.same(await axeViolations(page), []);
});

t.test('the output of a job can be focused and scrolled with the keyboard', { skip }, async (t) => {
  const chromium = await startChromium(t);
  const queen = await startProcess(t, { name: 'queen' });
  const { page, problems } = await chromium.open(`${queen.url}/#/workers`);
  const lines = Array.from({ length: 50 }, (_, i) => `line ${i}`);
  const job = JSON.stringify([{ id: 'job-1', title: 'Spawn tiny', state: 'failed', lines }]);
  await page.evaluate(`sessionStorage.setItem('rbee.jobs', ${JSON.stringify(job)})`);
  await page.reload();
  await page.getByText('line 49').waitFor();
  t.same(await axeViolations(page), []);
  t.same(await problems(), []);
});

t.test(
  'an orphaned worker can be taken over or stopped, and one that was restarted shows how often and why',
  { skip },
  async (t) => {
    const chromium = await startChromium(t);
    const queen = await startProcess(t, { name: 'queen' });
    const orphan = { status: 'orphaned', reason: 'the hive that spawned it has ended' };
    const again = { worker_id: 'worker-llm-8081@gpu-0', pid: 1, restarts: 3, last_reason: 'it was ended by SIGSEGV' };
    await shownHive(t, queen.url, { hiveId: 'gpu-0', workers: [worker('gpu-0', again), worker('gpu-0', orphan)] });
    const { page, problems } = await chromium.open(queen.url, { expected: /503/ });
    const trouble = page.locator('[data-trouble="gpu-0"]');
    await trouble.waitFor();
    t.match(
      await trouble.innerText(),
      /1 orphaned[\s\S]*worker-llm-8080@gpu-0[\s\S]*the hive that spawned it has ended/,
    );
    await page.route('**/v1/jobs', (route) => route.fulfill({ status: 503, json: { title: 'Busy', status: 503 } }));
    const [taken] = await Promise.all([
      page.waitForRequest((request) => request.method() === 'POST'),
      trouble.getByRole('button', { name: 'Take over worker-llm-8080@gpu-0' }).click(),
    ]);
    t.same(taken.postDataJSON(), { operation: 'worker_process_adopt', pid: 23_145, hive_id: 'gpu-0' });
    await page.getByRole('link', { name: 'Workers' }).click();
    const rows = page.getByRole('row');
    await rows.nth(2).waitFor();
    t.match(
      await rows.nth(1).innerText(),
      /worker-llm-8080[\s\S]*orphaned[\s\S]*Stop[\s\S]*Take over/,
      'it is listed first',
    );
    t.match(await rows.nth(2).innerText(), /Started again 3 times, the last time because it was ended by SIGSEGV/);
    t.same(await axeViolations(page), []);
    t.same(await problems(), []);
  },
);

t.test('a worker that crashed', { skip }, async (t) => {
  const chromium = await startChromium(t);
  const queen = await startProcess(t, { name: 'queen' });
  await startProcess(t, { name: 'hive', args: ['--hive-id', 'gpu-0', '--queen-url', queen.url] });
  await waitFor('the hive', async () => (await getJson(`${queen.url}/v1/hives/gpu-0`)).body.state === 'streaming');
  await Promise.all(
    ['/nowhere/one.gguf', '/nowhere/two.gguf'].map((model) =>
      run(t, queen.url, { operation: 'worker_spawn', hive_id: 'gpu-0', model, worker: 'cpu' }),
    ),
  );
  const { page, problems } = await chromium.open(queen.url);
  const crashed = page.locator('[data-trouble="gpu-0"] [data-crashed]');

  t.test('needs attention, and shows the reason and its last log lines', async (t) => {
    await crashed.nth(1).waitFor();
    t.match(
      await crashed.first().innerText(),
      /worker-llm-\w+@gpu-0 \(one\) crashed: it ended with code 2: there is no file \/nowhere\/one\.gguf/,
    );
    t.match(await page.locator('.totals').innerText(), /Workers\s+0/, 'and is counted nowhere');
    await crashed.first().getByText('Last log lines').click();
    await crashed.first().locator('pre', { hasText: '/nowhere/one.gguf' }).waitFor();
    t.same(await axeViolations(page), []);
    for (const at of ['#/workers', '#/hives/gpu-0']) {
      await page.goto(`${queen.url}/${at}`);
      const row = page.locator('tr', { hasText: 'one' });
      await row.getByText('Last log lines').click();
      await row.locator('pre', { hasText: '/nowhere/one.gguf' }).waitFor();
      t.same(await axeViolations(page), [], at);
    }
  });

  t.test('is dismissed by one click', async (t) => {
    await page.goto(`${queen.url}/#/workers`);
    const rows = page.locator('tr', { hasText: 'crashed' });
    await rows.nth(1).waitFor();
    await rows.first().getByRole('button', { name: 'Dismiss' }).focus();
    await page.keyboard.press('Enter');
    await waitFor('the one that is left', async () => (await rows.count()) === 1);
    const isIn = (place: string) => page.evaluate<boolean>(`document.activeElement.closest('${place}') !== null`);
    t.ok(await isIn('table'), 'the keyboard focus stays in the table');
    await page.goto(`${queen.url}/#/`);
    await crashed.getByRole('button', { name: 'Dismiss' }).focus();
    await page.keyboard.press('Enter');
    await page.locator('[data-trouble="gpu-0"]').waitFor({ state: 'detached' });
    t.ok(await isIn('main'), 'or on the page');
    t.same((await getJson(`${queen.url}/v1/workers`)).body.workers, []);
    t.same(await problems(), []);
  });
});
