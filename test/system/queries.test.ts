/** What a queen and a hive list: hives, workers, their own name and version, and metrics. */
import { readFileSync } from 'node:fs';
import t from 'tap';
import { getJson } from '../helpers/http.js';
import { startProcess } from '../helpers/process.js';
import { readerOf, TIMESTAMP } from '../helpers/queen-reader.js';
import { waitFor } from '../helpers/wait.js';

const queen = await startProcess(t, { name: 'queen', args: ['--queen-id', 'queen-desk'] });
const hive = await startProcess(t, {
  name: 'hive',
  args: ['--hive-id', 'gpu-0', '--queen-url', queen.url, '--interval', '200ms', '--label', 'rack=b'],
});
const { countsAgree, guestHive, hiveOf, listsAround, workerIs, workerOf } = readerOf(queen);

t.test('a queen lists its hives with every documented field', async (t) => {
  const shown = await waitFor('telemetry and devices', async () => {
    const hive = await hiveOf('gpu-0');
    return hive.node?.cpu_pct != null && hive.devices !== null && hive;
  });
  t.match(shown, {
    ...{ hive_id: 'gpu-0', hive_url: hive.url, state: 'streaming', stale: false, since: TIMESTAMP, reason: null },
    ...{ next_attempt_at: null, last_telemetry_at: TIMESTAMP, labels: { rack: 'b' }, workers: [] },
    node: { cpu_pct: Number, ram_used_mb: Number, ram_total_mb: Number, gpus: Array },
    devices: [{ id: String, name: String, device_type: String, vram_gb: Number }],
  });
  const { status, body } = await getJson(`${queen.url}/v1/hives`);
  t.equal(status, 200);
  t.strictSame(Object.keys(body).sort(), ['conflicts', 'hives']);
  t.strictSame(body.conflicts, []);
  t.equal(body.hives.length, 1);
  t.strictSame(
    Object.keys(body.hives[0]).sort(),
    Object.keys(shown).sort(),
    'an entry of the list is the same as that of the hive alone',
  );
  t.match(body.hives[0], { hive_id: 'gpu-0', since: shown.since });
  const unknown = await getJson(`${queen.url}/v1/hives/unknown`);
  t.equal(unknown.status, 404);
  t.match(unknown.headers.get('content-type'), /^application\/problem\+json/);
  await waitFor('the next event', async () => (await hiveOf('gpu-0')).last_telemetry_at > shown.last_telemetry_at);
});

t.test('a queen lists the workers of a streaming hive with the measurements of the hive', async (t) => {
  const measured = {
    ...{ worker_id: 'worker-llm-8080@metal', pid: 23145, group: 'llm', instance: '8080', port: 8080 },
    ...{ url: 'http://127.0.0.1:8080', model: 'llama-3.2-1b', device: 'GPU-0', status: 'ready', cpu_pct: 122.5 },
    ...{ rss_mb: 9821, io_r_mb_s: 12.3, io_w_mb_s: null, uptime_s: 432, gpu_util_pct: 64, vram_mb: 7900 },
    total_vram_mb: 24564,
  };
  const nameless = { pid: 7, group: 'llm', instance: '8081', url: 'http://127.0.0.1:8081' };
  const metal = await guestHive(t, { hiveId: 'metal', workers: [measured, nameless], tickMs: 200 });
  t.match(await metal.announce(queen.url), { status: 200 });
  t.match(await workerIs('worker-llm-8080@metal', { online: true }), {
    ...measured,
    ...{ hive_id: 'metal', available: true, reason: null },
  });
  const { status, body } = await getJson(`${queen.url}/v1/workers`);
  t.equal(status, 200);
  t.strictSame(Object.keys(body), ['workers']);
  t.equal(body.workers.length, 2, 'a worker without an id, as older hives send it, is listed too');
  t.equal(new Set(body.workers.map((one: { worker_id: string }) => one.worker_id)).size, 2);
  for (const one of body.workers) t.match(one, { hive_id: 'metal', online: true, available: true });
  const named = body.workers.find((one: { worker_id: string }) => one.worker_id === 'worker-llm-8080@metal');
  t.strictSame(Object.keys(named).sort(), Object.keys(await workerOf('worker-llm-8080@metal')).sort());
  t.equal((await getJson(`${queen.url}/v1/workers/worker-llm-9@metal`)).status, 404);
  await countsAgree(t);

  metal.workers = [];
  await waitFor('the worker to be offline', async () => {
    const { body } = await getJson(`${queen.url}/v1/workers`);
    return body.workers.every(({ online }: { online: boolean }) => !online);
  });
  await countsAgree(t);
});

t.test('every process reports its name and its uptime', async (t) => {
  const { version } = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8'));
  for (const [name, { url, id }] of Object.entries({ queen, hive })) {
    const { status, body } = await getJson(`${url}/v1/info`);
    t.equal(status, 200);
    t.match(body, { name, id, version, url, started_at: TIMESTAMP, uptime_s: Number });
    t.ok(body.uptime_s >= 0 && Math.abs(Date.now() - Date.parse(body.started_at) - body.uptime_s * 1000) < 5_000);
  }
});

t.test('metrics are in the text format of Prometheus', async (t) => {
  for (const { url } of [queen, hive]) {
    const { status, headers, body } = await getJson(`${url}/metrics`);
    t.equal(status, 200);
    t.match(headers.get('content-type'), /^text\/plain; version=0\.0\.4/);
    const types = new Map<string, string>();
    const samples = new Set<string>();
    for (const line of (body as string).split('\n').filter((line) => line !== '')) {
      const [, name = '', type = ''] =
        /^# TYPE ([a-zA-Z_:][\w:]*) (counter|gauge|histogram|summary|untyped)$/.exec(line) ?? [];
      if (name) types.set(name, type);
      else if (!line.startsWith('# HELP ')) {
        const [, sample] =
          /^([a-zA-Z_:][\w:]*)(\{\w+="(?:[^"\\\n]|\\.)*"(?:,\w+="(?:[^"\\\n]|\\.)*")*\})? (-?[\d.e+-]+|nan|[+-]inf)$/i.exec(
            line,
          ) ?? [];
        t.ok(sample, `a sample: ${line}`);
        const family = [sample, sample?.replace(/_(bucket|sum|count)$/, '')].find((one) => types.has(one ?? ''));
        t.ok(family, `its type comes before it: ${line}`);
        samples.add(family ?? '');
      }
    }
    t.match([...samples].filter((name) => name.startsWith('rbee_')).length, /^[1-9]/, 'some of our own');
    t.ok(samples.has('rbee_state_disk_free_bytes'));
    if (process.platform === 'linux') t.ok(samples.has('process_open_fds') && samples.has('process_max_fds'));
    for (const name of samples) {
      if (!name.startsWith('rbee_')) continue;
      t.equal(types.get(name) === 'counter', name.endsWith('_total'), `${name} is a ${types.get(name)}`);
    }
  }
  const value = async (name: string) => {
    const { body } = await getJson(`${queen.url}/metrics`);
    return Number(
      (body as string)
        .split('\n')
        .find((line) => line.startsWith(`${name} `))
        ?.split(' ')[1],
    );
  };
  const { hives, result } = await listsAround(() => value('rbee_hives{state="streaming"}'));
  t.equal(result, hives.filter(({ state }: { state: string }) => state === 'streaming').length);
  const events = await value('rbee_hive_events_total');
  t.ok(events > 0);
  await waitFor('the counter to count', async () => (await value('rbee_hive_events_total')) > events);
});
