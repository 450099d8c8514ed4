import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { type GpuReading, sampleGpus } from '../../../actors/hive/sample-gpus.js';
import { waitFor } from '../../helpers/wait.js';

/** A folder for the PATH with fake tools in it: shell scripts that print what the documentation of the real ones shows. */
function tools(t: Test, scripts: Record<string, string>): string {
  const folder = t.testdir();
  for (const [name, body] of Object.entries(scripts)) {
    writeFileSync(path.join(folder, name), `#!/bin/sh\ncd '${folder}'\n${body}\n`);
    chmodSync(path.join(folder, name), 0o755);
  }
  return folder;
}

/** An `nvidia-smi` that answers the query for compute capabilities with `caps` and runs `body` for the long one. */
const nvidia = (body: string, caps = 'echo "0, 8.9"') =>
  `echo "$@" >> calls\ncase "$*" in *compute_cap*) ${caps}; exit;; esac\necho $$ >> pids\n${body}`;

const ROW = '0, GPU-5c1a, NVIDIA GeForce RTX 4090, 64, 8123, 24564, 66, 312.47';
const row = (text: string) => `echo "${text}"`;
const forever = (print: string) => `while :; do ${print}; sleep 0.2; done`;

function sample(t: Test, folder: string, options: { sysfsRoot?: string; intervalMs?: number } = {}) {
  const readings: GpuReading[] = [];
  const logged: string[] = [];
  const stop = sampleGpus({
    intervalMs: 1000,
    // On a machine with a GPU its real tools must not be found.
    sysfsRoot: path.join(folder, 'no-sysfs'),
    ...options,
    path: folder,
    onReading: (reading) => readings.push(reading),
    log: (message) => logged.push(message),
  });
  t.teardown(stop);
  const next = (what: string, fits: (reading: GpuReading) => boolean) => waitFor(what, () => readings.find(fits));
  return { readings, logged, stop, next, first: () => waitFor('a first reading', () => readings[0]) };
}

const lines = (file: string) => (existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n') : []);

function alive(pid: string) {
  try {
    process.kill(Number(pid), 0);
    return true;
  } catch {
    return false;
  }
}

t.test('a machine without any vendor reports no GPUs and no errors, at once and only once', async (t) => {
  const { first, readings } = sample(t, t.testdir(), { intervalMs: 100 });
  t.strictSame(await first(), { gpus: [], devices: [], errors: [] });
  const other = sample(t, tools(t, { 'nvidia-smi': nvidia(forever(row(ROW))) }));
  await waitFor('news of another machine', () => other.readings.length >= 3);
  t.equal(readings.length, 1);
});

t.test('a tool that cannot be executed, or is a folder, is ignored', async (t) => {
  const folder = t.testdir({ 'nvidia-smi': 'text', system_profiler: {} });
  t.strictSame(await sample(t, folder).first(), { gpus: [], devices: [], errors: [] });
});

t.test('rows of nvidia-smi are GPUs and devices with the same ids', async (t) => {
  const folder = tools(t, {
    'nvidia-smi': nvidia(
      forever(`${row(ROW)}; ${row('1, GPU-77, NVIDIA H100, PCIe, 0, 1, 81559, 30, 52.04')}`),
      'printf "0, 8.9\\n1, 9.0\\n"',
    ),
  });
  const before = Date.now();
  const { next } = sample(t, folder);
  const { gpus, devices, errors } = await next('two GPUs', ({ gpus }) => gpus.length === 2);
  t.strictSame(errors, []);
  t.match(gpus, [
    {
      id: 'GPU-0',
      name: 'NVIDIA GeForce RTX 4090',
      util_pct: 64,
      vram_used_mb: 8123,
      vram_total_mb: 24564,
      temp_c: 66,
      power_w: 312.5,
    },
    {
      id: 'GPU-1',
      name: 'NVIDIA H100, PCIe',
      util_pct: 0,
      vram_used_mb: 1,
      vram_total_mb: 81559,
      temp_c: 30,
      power_w: 52,
    },
  ]);
  t.strictSame(devices, [
    { id: 'GPU-0', name: 'NVIDIA GeForce RTX 4090', device_type: 'cuda', vram_gb: 24, compute_capability: '8.9' },
    { id: 'GPU-1', name: 'NVIDIA H100, PCIe', device_type: 'cuda', vram_gb: 79.6, compute_capability: '9.0' },
  ]);
  const measuredAt = gpus[0]?.measured_at ?? '';
  t.match(measuredAt, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  t.ok(Date.parse(measuredAt) >= before && Date.parse(measuredAt) <= Date.now());
});

t.test('one nvidia-smi keeps running with the documented query, tick after tick', async (t) => {
  const folder = tools(t, { 'nvidia-smi': nvidia(forever(row(ROW))) });
  const { readings } = sample(t, folder, { intervalMs: 2400 });
  await waitFor('five readings', () => readings.length >= 5);
  t.equal(lines(path.join(folder, 'pids')).length, 1);
  t.strictSame(lines(path.join(folder, 'calls')).sort(), [
    '--query-gpu=index,compute_cap --format=csv,noheader,nounits',
    '--query-gpu=index,uuid,name,utilization.gpu,memory.used,memory.total,temperature.gpu,power.draw --format=csv,noheader,nounits -l 2',
  ]);
});

t.test('what the driver cannot measure is null, without an error', async (t) => {
  const absent = '0, [N/A], Tesla, [N/A], [Not Supported], 16384, [Unknown Error], ';
  const folder = tools(t, { 'nvidia-smi': nvidia(forever(row(absent)), 'echo "Field is not valid" >&2; exit 2') });
  const { gpus, devices, errors } = await sample(t, folder).first();
  t.match(gpus, [{ util_pct: null, vram_used_mb: null, vram_total_mb: 16384, temp_c: null, power_w: null }]);
  t.match(devices, [{ vram_gb: 16, compute_capability: null }]);
  t.strictSame(errors, []);
});

t.test('warnings among the rows are skipped', async (t) => {
  const warning = 'echo "WARNING: infoROM is corrupted at gpu 0000:01:00.0"; echo';
  const folder = tools(t, { 'nvidia-smi': nvidia(forever(`${warning}; ${row(ROW)}`)) });
  const { readings } = sample(t, folder);
  await waitFor('three readings', () => readings.length >= 3);
  t.ok(readings.every(({ gpus, errors }) => gpus[0]?.util_pct === 64 && errors.length === 0));
});

t.test('a tool that prints no row is an error, not an empty list, and is retried at growing intervals', async (t) => {
  const folder = tools(t, {
    'nvidia-smi': nvidia('echo some words >&2; echo "driver not loaded" >&2; exit 9', 'exit 9'),
  });
  const { first, logged } = sample(t, folder);
  t.strictSame(await first(), { gpus: [], devices: [], errors: ['nvidia-smi ended with code 9: driver not loaded.'] });
  await waitFor('a third start', () => lines(path.join(folder, 'pids')).length === 3);
  const waits = logged.flatMap((line) => /again in (\d+) s/.exec(line)?.[1] ?? []);
  t.strictSame(waits.slice(0, 2), ['1', '2']);
});

t.test('when the tool ends its GPUs stay listed without measurements, until it is back', async (t) => {
  const body = `${row(ROW)}; if [ -e back ]; then ${forever(row(ROW))}; else sleep 0.2; echo lost it >&2; exit 1; fi`;
  const folder = tools(t, { 'nvidia-smi': nvidia(body) });
  const { next, readings } = sample(t, folder);
  const lost = await next('the loss', ({ errors }) => errors.length > 0);
  t.strictSame(lost.errors, ['nvidia-smi ended with code 1: lost it.']);
  t.match(lost.gpus, [
    {
      id: 'GPU-0',
      name: 'NVIDIA GeForce RTX 4090',
      util_pct: null,
      vram_used_mb: null,
      vram_total_mb: null,
      temp_c: null,
      power_w: null,
    },
  ]);
  t.equal(lost.gpus[0]?.measured_at, readings[0]?.gpus[0]?.measured_at, 'the time of the last values');
  t.match(lost.devices, [{ id: 'GPU-0', vram_gb: 24, compute_capability: '8.9' }]);
  writeFileSync(path.join(folder, 'back'), '');
  const seen = readings.length;
  const back = await waitFor('its return', () => readings.slice(seen).find(({ errors }) => errors.length === 0));
  t.match(back.gpus, [{ id: 'GPU-0', util_pct: 64 }]);
});

t.test('a tool that prints something else is killed, and its line is in the error', async (t) => {
  const complaint = "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.";
  const folder = tools(t, { 'nvidia-smi': nvidia(`echo "${complaint}"; exec sleep 1000`) });
  const { errors } = await sample(t, folder).first();
  t.equal(errors.length, 1);
  t.match(errors[0], /^nvidia-smi printed an unexpected line: NVIDIA-SMI has failed because/);
  const [pid = ''] = lines(path.join(folder, 'pids'));
  await waitFor('its end', () => !alive(pid));
});

t.test('a line without an end and an endless stderr are cut off', async (t) => {
  const flood = 'yes complaint | head -c 300000 >&2; yes | tr -d "\\n"';
  const folder = tools(t, { 'nvidia-smi': nvidia(flood) });
  const { errors } = await sample(t, folder).first();
  t.equal(errors.length, 1);
  t.match(errors[0], /^nvidia-smi printed a line without an end: [a-z]+\.$/);
});

t.test('a tool that stops printing is killed after five seconds and replaced', async (t) => {
  const body = `if [ -e again ]; then ${forever(row(ROW))}; else touch again; ${row(ROW)}; exec sleep 1000; fi`;
  const folder = tools(t, { 'nvidia-smi': nvidia(body) });
  const { next, readings } = sample(t, folder);
  const silent = await next('the silence', ({ errors }) => errors.length > 0);
  t.strictSame(silent.errors, ['nvidia-smi was silent for 5 s.']);
  t.match(silent.gpus, [{ id: 'GPU-0', util_pct: null }]);
  const [pid = ''] = lines(path.join(folder, 'pids'));
  await waitFor('its end', () => !alive(pid));
  const seen = readings.length;
  await waitFor('its successor', () => readings.slice(seen).find(({ gpus }) => gpus[0]?.util_pct === 64));
});

t.test('stopping kills the tool, and nothing is reported or started after that', async (t) => {
  const folder = tools(t, { 'nvidia-smi': nvidia(`trap "" TERM; ${forever(row(ROW))}`) });
  const { first, stop, readings } = sample(t, folder);
  await first();
  stop();
  const seen = readings.length;
  const [pid = ''] = lines(path.join(folder, 'pids'));
  await waitFor('its end', () => !alive(pid));
  t.equal(readings.length, seen);
  t.equal(lines(path.join(folder, 'pids')).length, 1);
});

/** The files of amdgpu for a card. `null` leaves a file out. */
function amdCard(root: string, name: string, files: Record<string, string | null> = {}) {
  const device = path.join(root, 'class', 'drm', name, 'device');
  const all: Record<string, string | null> = {
    vendor: '0x1002',
    device: '0x744c',
    gpu_busy_percent: '37',
    mem_info_vram_used: String(1500 * 1024 ** 2),
    mem_info_vram_total: String(24560 * 1024 ** 2),
    'hwmon/hwmon3/temp1_input': '51250',
    'hwmon/hwmon3/power1_average': '98760000',
    ...files,
  };
  for (const [file, text] of Object.entries(all)) {
    if (text === null) continue;
    mkdirSync(path.dirname(path.join(device, file)), { recursive: true });
    writeFileSync(path.join(device, file), `${text}\n`);
  }
  return device;
}

t.test('AMD cards are read from sysfs, other vendors and connectors are not', async (t) => {
  const root = t.testdir();
  amdCard(root, 'card10', { product_name: 'Radeon PRO W7900' });
  amdCard(root, 'card2');
  amdCard(root, 'card0', { vendor: '0x8086' });
  amdCard(root, 'card2-DP-1');
  const { gpus, devices, errors } = await sample(t, root, { sysfsRoot: root }).first();
  t.strictSame(errors, []);
  t.match(gpus, [
    {
      id: 'GPU-0',
      name: 'AMD GPU (0x744c)',
      util_pct: 37,
      vram_used_mb: 1500,
      vram_total_mb: 24560,
      temp_c: 51.3,
      power_w: 98.8,
    },
    { id: 'GPU-1', name: 'Radeon PRO W7900' },
  ]);
  t.strictSame(devices[0], {
    id: 'GPU-0',
    name: 'AMD GPU (0x744c)',
    device_type: 'rocm',
    vram_gb: 24,
    compute_capability: null,
  });
});

t.test('what an AMD card does not offer is null without an error, and a broken value with one', async (t) => {
  const root = t.testdir();
  const device = amdCard(root, 'card0', {
    gpu_busy_percent: null,
    'hwmon/hwmon3/power1_average': null,
    'hwmon/hwmon3/power1_input': '12000000',
  });
  const { first, next } = sample(t, root, { sysfsRoot: root, intervalMs: 100 });
  const reading = await first();
  t.strictSame(reading.errors, []);
  t.match(reading.gpus, [{ util_pct: null, power_w: 12, temp_c: 51.3 }]);
  writeFileSync(path.join(device, 'gpu_busy_percent'), 'nonsense');
  const broken = await next('an error', ({ errors }) => errors.length > 0);
  t.match(broken.errors, [/gpu_busy_percent of AMD GPU \(0x744c\) cannot be read: "nonsense" is no number/]);
  t.match(broken.gpus, [{ util_pct: null, power_w: 12 }]);
});

t.test('an AMD card is read again at each tick, and not woken while it is suspended', async (t) => {
  const root = t.testdir();
  const device = amdCard(root, 'card0', { 'power/runtime_status': 'active' });
  const { next } = sample(t, root, { sysfsRoot: root, intervalMs: 100 });
  await next('the first value', ({ gpus }) => gpus[0]?.util_pct === 37);
  writeFileSync(path.join(device, 'gpu_busy_percent'), '99\n');
  await next('the second value', ({ gpus }) => gpus[0]?.util_pct === 99);
  writeFileSync(path.join(device, 'power/runtime_status'), 'suspended\n');
  const asleep = await next('its sleep', ({ gpus }) => gpus[0]?.util_pct === null);
  t.match(asleep, { errors: [], gpus: [{ vram_total_mb: 24560, temp_c: null, power_w: null }] });
});

t.test('ids count across vendors, NVIDIA first, even if its tool is the slower one', async (t) => {
  const folder = tools(t, { 'nvidia-smi': nvidia(`sleep 0.5; ${forever(row(ROW))}`) });
  amdCard(folder, 'card0');
  const { first } = sample(t, folder, { sysfsRoot: folder, intervalMs: 100 });
  const { devices } = await first();
  t.strictSame(
    devices.map(({ id, device_type }) => `${id} ${device_type}`),
    ['GPU-0 cuda', 'GPU-1 rocm'],
  );
});

t.test('the failure of one vendor leaves the others measured', async (t) => {
  const folder = tools(t, { 'nvidia-smi': nvidia('exit 3') });
  amdCard(folder, 'card0');
  const { errors, gpus } = await sample(t, folder, { sysfsRoot: folder }).first();
  t.strictSame(errors, ['nvidia-smi ended with code 3.']);
  t.match(gpus, [{ id: 'GPU-0', util_pct: 37 }]);
});

t.test('the GPUs of a Mac are those of system_profiler, without utilisation', async (t) => {
  const displays = [
    { _name: 'kHW', sppci_model: 'Apple M2 Max', sppci_cores: '38' },
    { _name: 'AMD Radeon Pro 5500M', spdisplays_vram: '8 GB' },
    { _name: 'Intel UHD Graphics 630', spdisplays_vram_shared: '1536 MB' },
  ];
  const folder = tools(t, { system_profiler: `cat <<'END'\n${JSON.stringify({ SPDisplaysDataType: displays })}\nEND` });
  const { gpus, devices, errors } = await sample(t, folder).first();
  t.strictSame(errors, []);
  t.strictSame(devices, [
    { id: 'GPU-0', name: 'Apple M2 Max (38 cores)', device_type: 'metal', vram_gb: null, compute_capability: null },
    { id: 'GPU-1', name: 'AMD Radeon Pro 5500M', device_type: 'metal', vram_gb: 8, compute_capability: null },
    { id: 'GPU-2', name: 'Intel UHD Graphics 630', device_type: 'metal', vram_gb: 1.5, compute_capability: null },
  ]);
  t.match(gpus[1], { util_pct: null, vram_used_mb: null, vram_total_mb: 8192, temp_c: null, power_w: null });
});

t.test('a system_profiler that fails, or prints something else, is an error', async (t) => {
  const failing = await sample(t, tools(t, { system_profiler: 'echo no such type >&2; exit 4' })).first();
  t.strictSame(failing, { gpus: [], devices: [], errors: ['system_profiler failed with 4: no such type.'] });
  const odd = await sample(t, tools(t, { system_profiler: 'echo "{}"' })).first();
  t.strictSame(odd, { gpus: [], devices: [], errors: ['system_profiler printed no list of displays.'] });
});

t.test('a tool behind a link is found, an empty PATH finds nothing', async (t) => {
  const folder = tools(t, { real: nvidia(forever(row(ROW))) });
  symlinkSync(path.join(folder, 'real'), path.join(folder, 'nvidia-smi'));
  t.equal((await sample(t, folder).first()).gpus.length, 1);
  const readings: GpuReading[] = [];
  const empty = { path: '', sysfsRoot: path.join(folder, 'none') };
  t.teardown(sampleGpus({ intervalMs: 1000, ...empty, onReading: (reading) => readings.push(reading) }));
  t.strictSame(await waitFor('a reading', () => readings[0]), { gpus: [], devices: [], errors: [] });
});

t.test('the tool does not outlive a process that ends without stopping the sampler', async (t) => {
  const folder = tools(t, { 'nvidia-smi': nvidia('exec sleep 1000') });
  const sampler = new URL('../../../actors/hive/sample-gpus.js', import.meta.url).href;
  const program = `
    import { existsSync } from 'node:fs';
    import { sampleGpus } from '${sampler}';
    sampleGpus({ intervalMs: 1000, path: ${JSON.stringify(folder)}, onReading: () => {} });
    setInterval(() => existsSync(${JSON.stringify(path.join(folder, 'pids'))}) && process.exit(), 20);`;
  spawnSync(process.execPath, ['--input-type=module', '-e', program], { timeout: 15_000 });
  const [pid = ''] = lines(path.join(folder, 'pids'));
  t.match(pid, /^\d+$/);
  await waitFor('its end', () => !alive(pid));
});

t.test('a GPU that drops out of the rows of the others loses its measurements and is named', async (t) => {
  const second = '1, GPU-77, NVIDIA H100, 5, 1, 81559, 30, 52';
  const folder = tools(t, { 'nvidia-smi': nvidia(`${row(second)}; ${forever(row(ROW))}`) });
  const { next, readings } = sample(t, folder);
  const without = await next('the loss', ({ errors }) => errors.length > 0);
  t.strictSame(without.errors, ['nvidia-smi no longer shows GPU 1 (NVIDIA H100).']);
  const ids = readings[0]?.gpus.map(({ id, name }) => `${id} ${name}`);
  t.strictSame(
    without.gpus.map(({ id, name }) => `${id} ${name}`),
    ids,
  );
  t.strictSame(new Set(without.gpus.map(({ util_pct }) => util_pct)), new Set([64, null]));
});
