import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { openStateDir } from '../../../actors/process/state-dir.js';
import type { LockAnswer, LockRequest } from '../../helpers/lock-process.js';
import { temporary } from '../../helpers/temporary.js';

const RACERS = 8;
const ROUNDS = 150;
/** Until all have read the message and stand ready. */
const SET_MS = 15;

const root = temporary(t);
const dir = path.join(root, 'hive', 'raced');
const lock = path.join(dir, 'lock');
mkdirSync(dir, { recursive: true });
/** The lock of a process that has ended: this one, started at another time. */
const stale = (round: number) => JSON.stringify({ pid: process.pid, started: `never-${round}`, boot: null });

t.test('of many processes that find a stale lock at once, one takes it over', { timeout: 120_000 }, async (t) => {
  const script = fileURLToPath(new URL('../../helpers/lock-process.js', import.meta.url));
  const racers = Array.from({ length: RACERS }, () => fork(script));
  t.teardown(() => {
    for (const racer of racers) racer.kill('SIGKILL');
  });
  const answers = () => Promise.all(racers.map(async (racer) => ((await once(racer, 'message')) as [LockAnswer])[0]));
  await answers();
  const askAll = (request: LockRequest) => {
    const all = answers();
    for (const racer of racers) racer.send(request);
    return all;
  };
  const wrong: string[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    writeFileSync(lock, stale(round));
    const replies = await askAll({ root, atMs: performance.timeOrigin + performance.now() + SET_MS });
    const taken = replies.filter((answer) => answer === 'taken').length;
    if (taken !== 1) wrong.push(`round ${round}: taken by ${taken}`);
    else {
      const { pid } = JSON.parse(readFileSync(lock, 'utf8'));
      if (pid !== racers[replies.indexOf('taken')]?.pid) wrong.push(`round ${round}: the lock names ${pid}`);
    }
    await askAll('release');
  }
  t.strictSame(wrong, []);
  t.strictSame(readdirSync(dir), [], 'nothing is left over');
});

t.test('an interrupted takeover can itself be taken over', async (t) => {
  const other = path.join(root, 'broken-off');
  const open = () => openStateDir({ root: other, process: 'hive', id: 'raced' }, () => {});
  open().release();
  const place = path.join(other, 'hive', 'raced');
  const { createHash } = await import('node:crypto');
  const after = (held: string) =>
    path.join(place, `lock.after-${createHash('sha256').update(held).digest('hex').slice(0, 32)}`);
  writeFileSync(path.join(place, 'lock'), stale(1));
  // Two that were killed between their link and their lock, one after the other.
  writeFileSync(after(stale(1)), stale(2));
  writeFileSync(after(stale(2)), stale(3));
  const state = open();
  t.strictSame(readdirSync(place), ['lock']);
  t.throws(open, { message: /runs already/ });
  state.release();
  t.strictSame(readdirSync(place), []);
});

t.test('an invalid lock is taken over', async (t) => {
  const other = path.join(root, 'garbage');
  const open = () => openStateDir({ root: other, process: 'hive', id: 'raced' }, () => {});
  open().release();
  for (const text of ['', '{', 'null', '{"pid":"x"}']) {
    writeFileSync(path.join(other, 'hive', 'raced', 'lock'), text);
    const state = open();
    t.throws(open, { message: /runs already/ }, text);
    state.release();
  }
});
