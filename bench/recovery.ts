/** A queen with a thousand hives is killed and restarted: how soon does it read all of them again? */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { waitFor } from '../test/helpers/wait.js';
import { type Answer, atMost, type Bench, type BenchInput } from './lib/bench.js';
import { startChild } from './lib/child.js';
import { type Rbee, startRbee } from './lib/rbee.js';
import { largest, percentile } from './lib/stats.js';
import type { MachineHives } from './load/machine-hives.js';
import type { Silent } from './load/silent.js';
import type { BareQueen } from './peers/bare-queen.js';

const QUEEN_ID = 'queen-bench';
const DEAD = 200;
const BACK_MS_MAX = 90_000;

interface Case {
  what: string;
  /** Changes the state of the queen while it is down. */
  whileDown: (queen: Rbee, silentPort: number) => void;
  /** The bare queen takes its place; otherwise rbee's. */
  bare?: true;
}

interface KnownFile {
  hives: { hive_id: string; hive_url: string; instance: string | null; trusted: boolean; last_seen_at: string }[];
}

const knownFile = ({ stateDir }: Rbee) => path.join(stateDir, 'queen', QUEEN_ID, 'hives.json');

const CASES: Case[] = [
  { what: 'unchanged', whileDown: () => {} },
  { what: `${DEAD} dead hives among the known ones`, whileDown: addDead },
  { what: 'without the file of known hives', whileDown: (queen) => rmSync(knownFile(queen)) },
  { what: 'peer: bare node:http, the same three exchanges', whileDown: () => {}, bare: true },
];

/** Half of them refuse connections, half accept them and send nothing; all with the latest `last_seen_at`, so that they are asked first. */
function addDead(queen: Rbee, silentPort: number): void {
  const file = JSON.parse(readFileSync(knownFile(queen), 'utf8')) as KnownFile;
  const dead = Array.from({ length: DEAD }, (_, i) => ({
    hive_id: `dead-${i}`,
    hive_url: `http://127.0.0.1:${i % 2 === 0 ? silentPort : 1}/dead-${i}`,
    instance: null,
    trusted: false,
    last_seen_at: new Date(Date.now() + 1_000).toISOString(),
  }));
  writeFileSync(knownFile(queen), JSON.stringify({ ...file, hives: [...dead, ...file.hives] }));
}

interface Recovery {
  what: string;
  known: number;
  back: number;
  doubled: number;
  extra: number;
  p50: number;
  p99: number;
  max: number;
}

export const bench: Bench = {
  question: 'A queen is killed and restarted: how soon do all of its hives stream to it again?',
  run: async (input): Promise<Answer> => {
    const hives = input.quick ? 200 : 1_000;
    const downMs = input.quick ? 5_000 : 20_000;
    const figures: Recovery[] = [];
    for (const one of CASES) {
      input.progress(`${hives} hives, queen down for ${downMs / 1000} s, ${one.what}`);
      figures.push(await recover(input, one, hives, downMs));
    }
    const [plain, dead, forgotten, bare] = figures;
    return {
      tables: [
        {
          title: `${hives} hives, queen killed for ${downMs / 1000} s: seconds from when it listens again to each hive's open stream`,
          columns: [
            'case',
            'known',
            'back',
            'p50 s',
            'p99 s',
            '× bare',
            'max s',
            'streams doubled',
            'opened more than once',
          ],
          rows: figures.map(({ what, known, back, p50, p99, max, doubled, extra }) => [
            what,
            String(known),
            String(back),
            p50 / 1000,
            p99 / 1000,
            bare ? p99 / bare.p99 : null,
            max / 1000,
            String(doubled),
            String(extra),
          ]),
        },
      ],
      goals: [
        ...(plain ? [atMost('back, p99', plain.p99 / 1000, 1, 's')] : []),
        ...(dead ? [atMost(`back with ${DEAD} dead hives, p99`, dead.p99 / 1000, 1, 's')] : []),
        ...(forgotten ? [atMost('all back by backoff alone', forgotten.max / 1000, 30, 's')] : []),
        atMost('hives left with two streams', largest(figures.map(({ doubled }) => doubled)), 0, 'hives'),
      ],
      notes: [
        'All hives share one process and one core: a real swarm is faster.',
        'Backoff alone: a hive that lost its queen tries again after 0, 2, 4, 8, 16 s and then every 16 to 30 s, so the figure depends on how long the queen was down.',
      ],
    };
  },
};

async function recover(
  { scope: outer }: BenchInput,
  { what, whileDown, bare }: Case,
  count: number,
  downMs: number,
): Promise<Recovery> {
  const scope = outer.inner();
  try {
    const { port: silentPort } = await startChild<Silent>(scope, 'load/silent.js').start();
    const args = ['--queen-id', QUEEN_ID];
    const queen = await startRbee(scope, 'queen', { args });
    const { port } = new URL(queen.url);
    const hives = startChild<MachineHives>(scope, 'load/machine-hives.js');
    await hives.start({ count, queenUrl: queen.url });
    const all = () => hives.state({ since: 0 }).then(({ streaming }) => streaming === count);
    await waitFor('all hives to stream', all, { timeoutMs: 120_000, everyMs: 250 });
    // Long enough for the queen to write its known hives; `last_seen_at` is written after a minute only.
    await sleep(2_000);

    await queen.end('SIGKILL');
    whileDown(queen, silentPort);
    const known = knownHives(queen);
    const diedAt = Date.now();
    await sleep(downMs);
    const listeningAt = bare
      ? await startChild<BareQueen>(scope, 'peers/bare-queen.js').start({ port: Number(port), hiveUrls: known })
      : (await startRbee(scope, 'queen', { args: [...args, '--port', port], stateDir: queen.stateDir })).listeningAt;
    const back = () => hives.state({ since: diedAt }).then(({ openedAt }) => openedAt.length === count);
    await waitFor('the hives to be back', back, { timeoutMs: BACK_MS_MAX, everyMs: 250 }).catch(() => {});
    await sleep(2_000);
    const { openedAt, doubled, openings, streaming } = await hives.state({ since: diedAt });
    const took = openedAt.map((at) => at - listeningAt);
    return {
      what,
      known: known.length,
      back: streaming,
      doubled,
      extra: openings - openedAt.length,
      p50: percentile(took, 0.5),
      p99: percentile(took, 0.99),
      max: took.length < count ? Number.POSITIVE_INFINITY : largest(took),
    };
  } finally {
    await scope.end();
  }
}

function knownHives(queen: Rbee): string[] {
  try {
    return (JSON.parse(readFileSync(knownFile(queen), 'utf8')) as KnownFile).hives.map(({ hive_url }) => hive_url);
  } catch {
    return [];
  }
}
