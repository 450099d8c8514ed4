/** How long does a hive take from its start to its telemetry on the queen's stream, and where does the time go? */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type Answer, atMost, type Bench, type Cell, type Table } from './lib/bench.js';
import { follow } from './lib/follow.js';
import { startRbee } from './lib/rbee.js';
import { largest, median } from './lib/stats.js';
import type { Imported } from './load/imports.js';

const DIST = new URL('..', import.meta.url);

export const bench: Bench = {
  question: "How long from starting a hive to its telemetry on the queen's stream?",
  run: async ({ quick, scope, progress }): Promise<Answer> => {
    const rounds = quick ? 5 : 20;
    const queen = await startRbee(scope, 'queen');
    const stream = await follow(scope, queen.url);
    const node: number[] = [];
    const listening: number[] = [];
    const streaming: number[] = [];
    const telemetry: number[] = [];
    for (let round = 1; round <= rounds; round += 1) {
      progress(`start ${round} of ${rounds}`);
      node.push(await bareNode());
      const inner = scope.inner();
      const hiveId = `hive-${round}`;
      const hive = await startRbee(inner, 'hive', { args: ['--hive-id', hiveId, '--queen-url', queen.url] });
      const of = (type: string) => (data: { type: string; hive_id?: string }) =>
        data.type === type && data.hive_id === hiveId;
      listening.push(hive.listeningAt - hive.spawnedAt);
      streaming.push((await stream.until('its state', hive.spawnedAt, of('hive_state'))).at - hive.spawnedAt);
      telemetry.push((await stream.until('telemetry', hive.spawnedAt, of('hive_telemetry'))).at - hive.spawnedAt);
      await inner.end();
    }
    const row = (what: string, ms: number[]) => [what, median(ms), largest(ms)];
    return {
      tables: [
        {
          title: `From spawn, ${rounds} times`,
          columns: ['until', 'median ms', 'max ms'],
          rows: [
            row('an empty program of Node has run', node),
            row('the hive listens', listening),
            row('the queen reports that it streams', streaming),
            row("its telemetry is on the queen's stream", telemetry),
          ],
        },
        await importTable(quick ? 3 : 10),
      ],
      goals: [atMost("spawn → telemetry on the queen's stream", median(telemetry), 500, 'ms')],
      notes: ['Packages are imported one after another: what two share is counted with the first.'],
    };
  },
};

function bareNode(): Promise<number> {
  const startedAt = performance.now();
  const child = spawn(process.execPath, ['--input-type=module', '-e', ''], { stdio: 'ignore' });
  return new Promise((resolve) => child.once('exit', () => resolve(performance.now() - startedAt)));
}

/** The time to import the bundle of the hive, and the packages in it one by one. */
async function importTable(times: number): Promise<Table> {
  const bundle = new URL('bin/hive.js', DIST);
  const packages = packagesIn(bundle);
  const whole: number[] = [];
  const runs: Imported[][] = [];
  for (let i = 0; i < times; i += 1) {
    whole.push(...(await once([bundle.href])).map(({ ms }) => ms));
    runs.push(await once(packages));
  }
  const rows = packages.map((name, i): Cell[] => [name, median(runs.map((run) => run[i]?.ms ?? 0))]);
  return {
    title: 'Import time, warm disk cache',
    columns: ['what', 'median ms'],
    rows: [
      ['the bundle of a hive', median(whole)],
      ['its packages without a bundle', median(runs.map((run) => run.reduce((sum, { ms }) => sum + ms, 0)))],
      ...rows.sort((a, b) => Number(b[1]) - Number(a[1])),
    ],
  };
}

/** Which of the packages that we install a bundle contains, from the source maps of its files. */
function packagesIn(bundle: URL): string[] {
  const { devDependencies } = JSON.parse(readFileSync(new URL('../package.json', DIST), 'utf8')) as {
    devDependencies: Record<string, string>;
  };
  const files = new Set([bundle.href]);
  const found = new Set<string>();
  for (const href of files) {
    for (const [, chunk] of readFileSync(new URL(href), 'utf8').matchAll(
      /^(?:import|} from) "(\.\/chunk-\w+\.js)"/gm,
    )) {
      files.add(new URL(chunk as string, bundle).href);
    }
    const { sources } = JSON.parse(readFileSync(new URL(`${href}.map`), 'utf8')) as { sources: string[] };
    for (const source of sources) {
      const [, name] = /.*node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(source) ?? [];
      if (name && name in devDependencies) found.add(name);
    }
  }
  return [...found].sort();
}

/** Runs the importer in a new process and reads its output. */
function once(modules: string[]): Promise<Imported[]> {
  const importer = fileURLToPath(new URL('./load/imports.js', import.meta.url));
  const child = spawn(process.execPath, [importer, ...modules], { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
  });
  return new Promise((resolve, reject) => {
    child.once('close', (code) => {
      if (code === 0) resolve(JSON.parse(text) as Imported[]);
      else reject(new Error(`importing ${modules.join(' ')} ended with ${code}`));
    });
  });
}
