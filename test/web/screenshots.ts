/**
 * `make screenshots`: the pictures of the docs, of a swarm that is started for them: a real queen, the real hive of
 * this machine, and fake ones with the GPUs that this machine may not have.
 */
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { noChromium, startChromium } from '../helpers/browser.js';
import { eventOf, type Shown, shownHive, worker } from '../helpers/picture.js';
import { startProcess } from '../helpers/process.js';

const OUT = fileURLToPath(new URL('../../../docs/pictures', import.meta.url));
/** Until the lines have something to show. */
const SECONDS = 70;

const endings: (() => unknown)[] = [];
const scope = { teardown: (ending: () => unknown) => void endings.push(ending) } as Parameters<typeof startProcess>[0];

const gpu = (name: string, totalMb: number, phase: number) => (second: number) => {
  const wave = Math.sin(second / 9 + phase);
  return {
    ...{ name, vram_total_mb: totalMb, vram_used_mb: Math.round(totalMb * (0.55 + 0.02 * wave)) },
    util_pct: Math.round(62 + 30 * wave + 6 * Math.sin(second * 1.7 + phase)),
    temp_c: Math.round(61 + 5 * Math.sin(second / 30 + phase)),
  };
};

interface Actor extends Shown {
  gpus: ((second: number) => object)[];
  ramMb: number;
}

const rig = (hiveId: string, kind: string, totalMb: number, count: number, over: Partial<Actor> = {}): Actor => ({
  hiveId,
  gpus: Array.from({ length: count }, (_, i) => gpu(kind, totalMb, i * 1.3 + hiveId.length)),
  ramMb: 65_536,
  devices: Array.from({ length: count }, (_, i) => ({
    ...{ id: `GPU-${i}`, name: kind, device_type: 'cuda', vram_gb: totalMb / 1024, compute_capability: '8.9' },
  })),
  ...over,
});

const ACTORS: Actor[] = [
  rig('gaming-pc', 'NVIDIA GeForce RTX 4090', 24_564, 1, {
    labels: { room: 'study' },
    workers: [worker('gaming-pc', { model: 'qwen2.5-14b-instruct-q4_k_m', status: 'busy' })],
  }),
  rig('mac-studio', 'Apple M3 Max', 65_536, 1, {
    labels: { room: 'study' },
    workers: [worker('mac-studio', { model: 'llama-3.3-70b-instruct-q4_k_m' })],
  }),
  rig('rack-1', 'NVIDIA RTX A6000', 49_140, 4, {
    labels: { rack: 'a' },
    workers: [0, 1].map((i) =>
      worker('rack-1', {
        worker_id: `worker-llm-${8080 + i}@rack-1`,
        model: 'llama-3.2-1b',
        status: i ? 'ready' : 'busy',
      }),
    ),
  }),
  rig('rack-2', 'NVIDIA RTX A6000', 49_140, 4, {
    labels: { rack: 'b' },
    workers: [
      worker('rack-2', { model: 'llama-3.2-1b' }),
      worker('rack-2', { worker_id: 'worker-llm-8081@rack-2', status: 'crashed' }),
    ],
  }),
  rig('old-laptop', '', 0, 0, { labels: { room: 'kitchen' }, ramMb: 16_384 }),
];

const eventAt = (actor: Actor, second: number): object => ({
  ...eventOf({
    ...actor,
    node: {
      cpu_pct: Math.round(10 * (28 + 14 * Math.sin(second / 7 + actor.ramMb) + 5 * Math.sin(second * 1.3))) / 10,
      ram_used_mb: Math.round(actor.ramMb * (0.4 + 0.01 * Math.sin(second / 11))),
      ram_total_mb: actor.ramMb,
      gpus: actor.gpus.map((of, i) => ({ id: `GPU-${i}`, ...of(second) })),
    },
  }),
  interval_ms: 1_000,
});

async function takePictures(): Promise<void> {
  const missing = noChromium();
  if (missing) throw new Error(missing);
  mkdirSync(OUT, { recursive: true });
  const queen = await startProcess(scope, { name: 'queen', args: ['--queen-id', 'queen-desk'] });
  await startProcess(scope, { name: 'hive', args: ['--hive-id', 'desk', '--queen-url', queen.url] });
  const gone = await shownHive(scope, queen.url, { hiveId: 'attic', labels: { room: 'attic' } });
  const hives = await Promise.all(
    ACTORS.map(async (actor) => ({ actor, hive: await shownHive(scope, queen.url, actor) })),
  );
  await gone.close();
  let second = 0;
  const timer = setInterval(() => {
    second += 1;
    for (const { actor, hive } of hives) hive.emit(eventAt(actor, second));
  }, 1_000);
  endings.push(() => clearInterval(timer));
  process.stderr.write(`a minute of measurements first …\n`);
  await new Promise((resolve) => setTimeout(resolve, SECONDS * 1_000));

  const chromium = await startChromium(scope);
  for (const [name, at, there, options] of [
    ['swarm', '#/', '.card[data-hive="rack-2"] .chip', { width: 1440, height: 760 }],
    ['swarm-dark', '#/', '.card[data-hive="rack-2"] .chip', { width: 1440, height: 760, theme: 'dark' as const }],
    ['hive', '#/hives/rack-1', '.node.active', { width: 1440, height: 1_010 }],
    ['phone', '#/', '.card[data-hive="desk"]', { width: 390, height: 844, theme: 'dark' as const }],
  ] as const) {
    const { page } = await chromium.open(`${queen.url}/${at}`, options);
    await page.locator(there).first().waitFor();
    await page.waitForTimeout(2_000);
    await page.screenshot({ path: path.join(OUT, `${name}.png`) });
    process.stderr.write(`docs/pictures/${name}.png\n`);
    await page.context().close();
  }
}

try {
  await takePictures();
} finally {
  for (const ending of endings.reverse()) await ending();
}
