import t from 'tap';
import {
  createJobs,
  INPUT_BYTES_MAX,
  JOBS_MAX,
  JOBS_RESERVED,
  LINES_BYTES_MAX,
  LINES_COST_MAX,
} from '../../stores/jobs.js';
import type { JobEntry } from '../../wire/jobs.js';

const at = (ms: number) => ({ ms, iso: new Date(ms).toISOString() });
const status = { operation: 'status' } as const;
const textOf = (lines: Uint8Array[]) => lines.map((line) => Buffer.from(line).toString()).join('');

t.test('lines are kept for whoever comes late, and the last one says how it ended', async (t) => {
  const jobs = createJobs();
  jobs.add('one', status, null, at(0));
  jobs.narrate('one', 'first');
  jobs.result('one', 'status', { a: 'b' });
  const early = jobs.read('one', 0);
  t.equal(textOf(early.lines), 'data: first\n\nevent: data\ndata: {"action":"status","payload":{"a":"b"}}\n\n');
  t.equal(early.over, false);
  jobs.state('one', 'failed', 'it\nbroke', at(5));
  t.strictSame(textOf(jobs.read('one', early.cursor).lines), 'data: [ERROR] it broke\n\n');
  t.ok(textOf(jobs.read('one', 0).lines).startsWith('data: first\n\n'));
  t.equal(jobs.read('one', 0).over, true);
  jobs.narrate('one', 'too late');
  jobs.state('one', 'done', null, at(6));
  t.match(jobs.get('one'), { state: 'failed', reason: 'it\nbroke', ended_at: at(5).iso });
  t.notMatch(textOf(jobs.read('one', 0).lines), 'too late');
});

t.test('a reader that throws is reported, and keeps no line from anybody', async (t) => {
  const thrown: unknown[] = [];
  const jobs = createJobs((error) => thrown.push(error));
  jobs.add('one', status, null, at(0));
  let heard = 0;
  jobs.follow('one', () => {
    throw new Error('a broken reader');
  });
  jobs.follow('one', () => {
    heard += 1;
  });
  jobs.narrate('one', 'first');
  jobs.state('one', 'done', null, at(1));
  t.ok(heard >= 2);
  t.match(thrown[0], { message: 'a broken reader' });
  t.match(jobs.get('one'), { state: 'done' });
});

t.test('each end has its own last line', async (t) => {
  for (const [state, line] of [
    ['done', '[DONE]'],
    ['cancelled', '[CANCELLED]'],
  ] as const) {
    const jobs = createJobs();
    jobs.add('one', status, null, at(0));
    jobs.state('one', state, null, at(1));
    t.equal(textOf(jobs.read('one', 0).lines), `data: ${line}\n\n`);
  }
});

t.test('a line that looks like an end is none, and one of several lines stays one event', async (t) => {
  const jobs = createJobs();
  jobs.add('one', status, null, at(0));
  jobs.narrate('one', '[DONE]');
  jobs.narrate('one', 'a\r\nb\n');
  t.equal(textOf(jobs.read('one', 0).lines), 'data:  [DONE]\n\ndata: a\ndata: b\ndata: \n\n');
});

t.test('past 4 MiB the oldest lines go, and the first line says how many', async (t) => {
  const jobs = createJobs();
  jobs.add('one', status, null, at(0));
  const line = 'x'.repeat(1024 * 1024 - 10);
  for (let i = 0; i < 6; i += 1) jobs.narrate('one', `${i}${line}`);
  const { lines } = jobs.read('one', 0);
  t.ok(textOf(lines).startsWith('data: 2 earlier lines were dropped\n\ndata: 2x'));
  t.ok(lines.slice(1).reduce((sum, { length }) => sum + length, 0) <= LINES_BYTES_MAX);
  t.ok(textOf(jobs.read('one', 1).lines).startsWith('data: 1 earlier line was dropped\n\n'));
  t.equal(jobs.read('one', 5).lines.length, 1);
});

t.test('whoever reads a piece at a time gets each line once, also while the oldest go', async (t) => {
  const jobs = createJobs();
  jobs.add('one', status, null, at(0));
  const told = Array.from({ length: 20_000 }, (_, i) => `token ${i}`);
  let cursor = 0;
  let text = '';
  const read = () => {
    const piece = jobs.read('one', cursor, 5_000);
    cursor = piece.cursor;
    text += textOf(piece.lines);
    return piece;
  };
  for (const [i, token] of told.entries()) {
    jobs.narrate('one', token);
    if (i % 700 === 0) read();
  }
  while (read().lines.length > 0);
  t.equal(text, told.map((token) => `data: ${token}\n\n`).join(''));
  jobs.state('one', 'done', null, at(1));
  t.equal(read().over, true);
  const late = jobs.read('one', 19_999);
  t.equal(textOf(late.lines), 'data: token 19999\n\ndata: [DONE]\n\n');
});

t.test('a job that tells millions of short lines keeps about as much memory as text', async (t) => {
  const jobs = createJobs();
  jobs.add('one', status, null, at(0));
  for (let i = 0; i < 1_200_000; i += 1) jobs.narrate('one', 'x');
  const [first, ...pieces] = jobs.read('one', 0).lines;
  t.match(Buffer.from(first ?? []).toString(), /^data: \d+ earlier lines were dropped\n\n$/);
  const bytes = pieces.reduce((sum, { length }) => sum + length, 0);
  t.ok(bytes <= LINES_BYTES_MAX && bytes > LINES_BYTES_MAX - 64 * 1024, String(bytes));
  t.ok(pieces.length < 1_000, 'the lines are packed');
});

t.test('the lines of all jobs are bounded, and whoever has most loses the oldest of them', async (t) => {
  const jobs = createJobs();
  const line = 'x'.repeat(256 * 1024);
  for (let i = 0; i < 40; i += 1) {
    jobs.add(`job-${i}`, status, null, at(i));
    for (let n = 0; n < 15; n += 1) jobs.narrate(`job-${i}`, line);
    jobs.narrate(`job-${i}`, 'the latest');
    if (i % 2 === 0) jobs.state(`job-${i}`, 'done', null, at(i));
  }
  let bytes = 0;
  for (let i = 0; i < 40; i += 1) {
    const text = textOf(jobs.read(`job-${i}`, 0).lines);
    bytes += text.length;
    t.ok(text.includes('the latest'));
    if (i % 2 === 0) t.ok(text.endsWith('data: [DONE]\n\n'));
  }
  t.ok(bytes <= LINES_COST_MAX, String(bytes));
  t.ok(bytes > LINES_COST_MAX / 2);
});

t.test('the prompts of jobs that are not over are bounded, and are let go with their end', async (t) => {
  const jobs = createJobs();
  const infer = { operation: 'infer', model: 'a', prompt: 'x'.repeat(INPUT_BYTES_MAX / 8) } as const;
  for (let i = 0; i < 4; i += 1) t.equal(jobs.add(`job-${i}`, infer, null, at(0)), true);
  t.equal(jobs.add('one-more', infer, null, at(0)), false);
  t.match(jobs.refusal(infer), /prompts/);
  t.equal(jobs.add('status', status, null, at(0)), true, 'what holds no prompt is taken');
  t.equal(jobs.operation('job-0'), infer);
  jobs.state('job-0', 'cancelled', null, at(1));
  t.equal(jobs.operation('job-0'), null);
  t.equal(jobs.add('one-more', infer, null, at(0)), true);
});

t.test('what may last long leaves places for what is quick', async (t) => {
  const jobs = createJobs();
  const infer = { operation: 'infer', model: 'a', prompt: 'b' } as const;
  for (let i = 0; i < JOBS_MAX - JOBS_RESERVED; i += 1) jobs.add(`job-${i}`, infer, null, at(0));
  t.equal(jobs.add('one-more', infer, null, at(0)), false);
  t.equal(jobs.add('stop', { operation: 'worker_process_delete', pid: 7 }, null, at(0)), true);
});

const uuid = (n: number) => `job-00000000-0000-4000-8000-${String(n).padStart(12, '0')}`;
const theirs = (n: number, state: JobEntry['state']): JobEntry => ({
  ...{ job_id: uuid(n), operation: 'worker_spawn', hive_id: 'gpu-0', state, reason: null },
  ...{ created_at: at(0).iso, ended_at: null, sse_url: '' },
});
const spawn = { operation: 'worker_spawn', hive_id: 'gpu-0', model: 'a', worker: 'cpu' } as const;

t.test('a hive that streams says which of its jobs nobody here knows, or knows better how they ended', async (t) => {
  const jobs = createJobs();
  for (const n of [1, 2, 3, 4]) jobs.add(uuid(n), spawn, null, at(n));
  jobs.add(uuid(5), { ...spawn, hive_id: 'gpu-1' }, null, at(5));
  jobs.unsure(uuid(1));
  jobs.unsure(uuid(5));
  jobs.narrate(uuid(1), 'before');
  for (const n of [1, 2, 5]) jobs.state(uuid(n), 'failed', 'hive gpu-0 lost', at(10));
  jobs.state(uuid(3), 'cancelled', null, at(10));
  const list = [1, 2, 3, 4, 5, 6].map((n) => theirs(n, 'running'));
  t.strictSame(jobs.compare('gpu-0', [...list, { ...theirs(7, 'done'), job_id: '../x' }]), {
    resume: [uuid(1), uuid(6)],
    cancel: [uuid(3)],
  });
  t.match(jobs.get(uuid(1)), { state: 'queued', reason: null, ended_at: null, created_at: at(1).iso });
  t.equal(jobs.isTakenUp(uuid(1)), true);
  t.equal(jobs.telling(uuid(1)), 1, 'its lines begin anew');
  t.strictSame(jobs.read(uuid(1), 0), { lines: [], cursor: 0, over: false });
  t.match(jobs.get(uuid(6)), { state: 'queued', hive_id: 'gpu-0', operation: 'worker_spawn' });
  t.equal(jobs.get(uuid(2))?.state, 'failed', 'what failed for a reason of its own stays as it ended');
  t.strictSame(jobs.compare('gpu-0', list).resume, [], 'asked again, nothing is new');
});

t.test('a job that was over before it was known here ended when its hive says', async (t) => {
  const jobs = createJobs();
  jobs.compare('gpu-0', [{ ...theirs(1, 'failed'), ended_at: at(7_000).iso }, theirs(2, 'running')]);
  for (const n of [1, 2]) jobs.state(uuid(n), 'failed', 'gone', at(60_000));
  t.match(jobs.get(uuid(1)), { created_at: at(0).iso, ended_at: at(7_000).iso });
  t.match(jobs.get(uuid(2)), { created_at: at(0).iso, ended_at: at(60_000).iso });
  jobs.expire(at(600_000));
  t.equal(jobs.has(uuid(1)), true, 'it is kept from when it was known here');
});

t.test('no hive fills the places of a queen with its own jobs', async (t) => {
  const jobs = createJobs();
  const many = (from: number) => Array.from({ length: 1_000 }, (_, i) => theirs(from + i, 'running'));
  t.equal(jobs.compare('gpu-0', many(0)).resume.length, 100);
  t.equal(jobs.compare('gpu-0', many(2_000)).resume.length, 0);
  for (let n = 1; n < 10; n += 1) jobs.compare(`gpu-${n}`, many(10_000 * n));
  t.equal(jobs.list().length, 500);
});

t.test('a cancellation that comes before its job is remembered for ten minutes, a thousand of them', async (t) => {
  const jobs = createJobs();
  for (let n = 0; n < 1_001; n += 1) jobs.cancelEarly(uuid(n), at(n));
  for (const n of [0, 1, 1_000]) jobs.add(uuid(n), status, null, at(2_000));
  t.strictSame(
    [0, 1, 1_000].map((n) => jobs.get(uuid(n))?.state),
    ['queued', 'cancelled', 'cancelled'],
  );
  t.equal(textOf(jobs.read(uuid(1), 0).lines), 'data: [CANCELLED]\n\n');
  jobs.expire(at(600_500));
  jobs.add(uuid(2), status, null, at(600_500));
  jobs.add(uuid(900), status, null, at(600_500));
  t.strictSame([jobs.get(uuid(2))?.state, jobs.get(uuid(900))?.state], ['queued', 'cancelled']);
});

t.test('a job is kept for ten minutes after its end', async (t) => {
  const jobs = createJobs();
  jobs.add('over', status, null, at(0));
  jobs.add('running', status, null, at(0));
  jobs.state('over', 'done', null, at(1_000));
  jobs.expire(at(600_999));
  t.equal(jobs.has('over'), true);
  jobs.expire(at(601_000));
  t.equal(jobs.has('over'), false);
  t.equal(jobs.has('running'), true);
});

t.test('a key names the job that it began, for ten minutes', async (t) => {
  const jobs = createJobs();
  jobs.add('one', status, 'key', at(0));
  t.equal(jobs.byKey('key', at(599_999)), 'one');
  t.equal(jobs.byKey('key', at(600_000)), null);
  t.equal(jobs.byKey('other', at(0)), null);
});

t.test('when there are too many, those that are over make room, and those that run are kept', async (t) => {
  const jobs = createJobs();
  for (let i = 0; i < JOBS_MAX; i += 1) t.equal(jobs.add(`job-${i}`, status, null, at(i)), true);
  t.equal(jobs.add('one-more', status, null, at(0)), false);
  jobs.state('job-7', 'done', null, at(20));
  jobs.state('job-3', 'done', null, at(30));
  t.equal(jobs.add('one-more', status, null, at(0)), true);
  t.equal(jobs.has('job-7'), false);
  t.equal(jobs.has('job-3'), true);
});
