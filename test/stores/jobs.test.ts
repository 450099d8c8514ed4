import t from 'tap';
import { INPUT_BYTES_MAX, JOBS_RESERVED } from '../../stores/job-admission.js';
import { LINES_BYTES_MAX, LINES_COST_MAX } from '../../stores/job-logs.js';
import { JOBS_MAX } from '../../stores/job-table.js';
import { createJobs, type Jobs } from '../../stores/jobs.js';
import type { JobEntry, JobState, Operation } from '../../wire/jobs.js';

const at = (ms: number) => ({ ms, iso: new Date(ms).toISOString() });
const status = { operation: 'status' } as const;
/** Adds a job as its owner does; false when there is no room. */
function add(jobs: Jobs, jobId: string, operation: Operation, ms: number, key: string | null = null): boolean {
  if (jobs.whyFull(operation) !== null) return false;
  jobs.store.trigger.added({ jobId, operation, key, now: at(ms) });
  return true;
}
const change = (jobs: Jobs, jobId: string, state: JobState, reason: string | null, ms: number) =>
  jobs.store.trigger.changed({ jobId, state, reason, now: at(ms) });
/** Takes what a hive reports, as the jobs' owner does. */
function report(jobs: Jobs, hiveId: string, listed: readonly JobEntry[]) {
  const { resume, cancel } = jobs.planHiveJobs(hiveId, listed);
  for (const job of resume) jobs.store.trigger.reported({ hiveId, job });
  return { resume: resume.map(({ job_id }) => job_id), cancel };
}
const textOf = (lines: Uint8Array[]) => lines.map((line) => Buffer.from(line).toString()).join('');

t.test('lines are kept for late readers, and the last one shows how the job ended', async (t) => {
  const jobs = createJobs();
  add(jobs, 'one', status, 0);
  jobs.logs.line('one', 'first');
  jobs.logs.result('one', 'status', { a: 'b' });
  const early = jobs.logs.read('one', 0);
  t.equal(textOf(early.lines), 'data: first\n\nevent: data\ndata: {"action":"status","payload":{"a":"b"}}\n\n');
  t.equal(early.over, false);
  change(jobs, 'one', 'failed', 'it\nbroke', 5);
  t.strictSame(textOf(jobs.logs.read('one', early.cursor).lines), 'data: [ERROR] it broke\n\n');
  t.ok(textOf(jobs.logs.read('one', 0).lines).startsWith('data: first\n\n'));
  t.equal(jobs.logs.read('one', 0).over, true);
  jobs.logs.line('one', 'too late');
  change(jobs, 'one', 'done', null, 6);
  t.match(jobs.get('one'), { state: 'failed', reason: 'it\nbroke', ended_at: at(5).iso });
  t.notMatch(textOf(jobs.logs.read('one', 0).lines), 'too late');
});

t.test('a reader that throws is reported, and the other readers get every line', async (t) => {
  const thrown: unknown[] = [];
  const jobs = createJobs((error) => thrown.push(error));
  add(jobs, 'one', status, 0);
  let calls = 0;
  jobs.logs.follow('one', () => {
    throw new Error('a broken reader');
  });
  jobs.logs.follow('one', () => {
    calls += 1;
  });
  jobs.logs.line('one', 'first');
  change(jobs, 'one', 'done', null, 1);
  t.ok(calls >= 2);
  t.match(thrown[0], { message: 'a broken reader' });
  t.match(jobs.get('one'), { state: 'done' });
});

t.test('each end has its own last line', async (t) => {
  for (const [state, line] of [
    ['done', '[DONE]'],
    ['cancelled', '[CANCELLED]'],
  ] as const) {
    const jobs = createJobs();
    add(jobs, 'one', status, 0);
    change(jobs, 'one', state, null, 1);
    t.equal(textOf(jobs.logs.read('one', 0).lines), `data: ${line}\n\n`);
  }
});

t.test('a line that looks like an ending is not one, and text of several lines stays one event', async (t) => {
  const jobs = createJobs();
  add(jobs, 'one', status, 0);
  jobs.logs.line('one', '[DONE]');
  jobs.logs.line('one', 'a\r\nb\n');
  t.equal(textOf(jobs.logs.read('one', 0).lines), 'data:  [DONE]\n\ndata: a\ndata: b\ndata: \n\n');
});

t.test('past 4 MiB the oldest lines are dropped, and the first line gives their number', async (t) => {
  const jobs = createJobs();
  add(jobs, 'one', status, 0);
  const line = 'x'.repeat(1024 * 1024 - 10);
  for (let i = 0; i < 6; i += 1) jobs.logs.line('one', `${i}${line}`);
  const { lines } = jobs.logs.read('one', 0);
  t.ok(textOf(lines).startsWith('data: 2 earlier lines were dropped\n\ndata: 2x'));
  t.ok(lines.slice(1).reduce((sum, { length }) => sum + length, 0) <= LINES_BYTES_MAX);
  t.ok(textOf(jobs.logs.read('one', 1).lines).startsWith('data: 1 earlier line was dropped\n\n'));
  t.equal(jobs.logs.read('one', 5).lines.length, 1);
});

t.test('a reader that takes a piece at a time gets each line once, also while the oldest are dropped', async (t) => {
  const jobs = createJobs();
  add(jobs, 'one', status, 0);
  const written = Array.from({ length: 20_000 }, (_, i) => `token ${i}`);
  let cursor = 0;
  let text = '';
  const read = () => {
    const piece = jobs.logs.read('one', cursor, 5_000);
    cursor = piece.cursor;
    text += textOf(piece.lines);
    return piece;
  };
  for (const [i, token] of written.entries()) {
    jobs.logs.line('one', token);
    if (i % 700 === 0) read();
  }
  while (read().lines.length > 0);
  t.equal(text, written.map((token) => `data: ${token}\n\n`).join(''));
  change(jobs, 'one', 'done', null, 1);
  t.equal(read().over, true);
  const late = jobs.logs.read('one', 19_999);
  t.equal(textOf(late.lines), 'data: token 19999\n\ndata: [DONE]\n\n');
});

t.test('a job with millions of short lines takes about as much memory as text', async (t) => {
  const jobs = createJobs();
  add(jobs, 'one', status, 0);
  for (let i = 0; i < 1_200_000; i += 1) jobs.logs.line('one', 'x');
  const [first, ...pieces] = jobs.logs.read('one', 0).lines;
  t.match(Buffer.from(first ?? []).toString(), /^data: \d+ earlier lines were dropped\n\n$/);
  const bytes = pieces.reduce((sum, { length }) => sum + length, 0);
  t.ok(bytes <= LINES_BYTES_MAX && bytes > LINES_BYTES_MAX - 64 * 1024, String(bytes));
  t.ok(pieces.length < 1_000, 'the lines are packed');
});

t.test('the lines of all jobs are bounded, and the largest job loses its oldest', async (t) => {
  const jobs = createJobs();
  const line = 'x'.repeat(256 * 1024);
  for (let i = 0; i < 40; i += 1) {
    add(jobs, `job-${i}`, status, i);
    for (let n = 0; n < 15; n += 1) jobs.logs.line(`job-${i}`, line);
    jobs.logs.line(`job-${i}`, 'the latest');
    if (i % 2 === 0) change(jobs, `job-${i}`, 'done', null, i);
  }
  let bytes = 0;
  for (let i = 0; i < 40; i += 1) {
    const text = textOf(jobs.logs.read(`job-${i}`, 0).lines);
    bytes += text.length;
    t.ok(text.includes('the latest'));
    if (i % 2 === 0) t.ok(text.endsWith('data: [DONE]\n\n'));
  }
  t.ok(bytes <= LINES_COST_MAX, String(bytes));
  t.ok(bytes > LINES_COST_MAX / 2);
});

t.test('the prompts of unfinished jobs are bounded, and are dropped when their jobs end', async (t) => {
  const jobs = createJobs();
  const infer = { operation: 'infer', model: 'a', prompt: 'x'.repeat(INPUT_BYTES_MAX / 8) } as const;
  for (let i = 0; i < 4; i += 1) t.equal(add(jobs, `job-${i}`, infer, 0), true);
  t.equal(add(jobs, 'one-more', infer, 0), false);
  t.match(jobs.whyFull(infer), /prompts/);
  t.equal(add(jobs, 'status', status, 0), true, 'a job without a prompt is taken');
  t.equal(jobs.operation('job-0'), infer);
  change(jobs, 'job-0', 'cancelled', null, 1);
  t.equal(jobs.operation('job-0'), null);
  t.equal(add(jobs, 'one-more', infer, 0), true);
});

t.test('long operations leave places for quick ones', async (t) => {
  const jobs = createJobs();
  const infer = { operation: 'infer', model: 'a', prompt: 'b' } as const;
  for (let i = 0; i < JOBS_MAX - JOBS_RESERVED; i += 1) add(jobs, `job-${i}`, infer, 0);
  t.equal(add(jobs, 'one-more', infer, 0), false);
  t.equal(add(jobs, 'stop', { operation: 'worker_process_delete', pid: 7 }, 0), true);
});

const uuid = (n: number) => `job-00000000-0000-4000-8000-${String(n).padStart(12, '0')}`;
const theirs = (n: number, state: JobEntry['state']): JobEntry => ({
  ...{ job_id: uuid(n), operation: 'worker_spawn', hive_id: 'gpu-0', state, reason: null },
  ...{ created_at: at(0).iso, ended_at: null, sse_url: '' },
});
const spawn = { operation: 'worker_spawn', hive_id: 'gpu-0', model: 'a', worker: 'cpu' } as const;

t.test('a hive that streams reports its jobs: those unknown here, and those given up when it was lost', async (t) => {
  const jobs = createJobs();
  for (const n of [1, 2, 3, 4]) add(jobs, uuid(n), spawn, n);
  add(jobs, uuid(5), { ...spawn, hive_id: 'gpu-1' }, 5);
  jobs.store.trigger.uncertain({ jobId: uuid(1) });
  jobs.store.trigger.uncertain({ jobId: uuid(5) });
  jobs.logs.line(uuid(1), 'before');
  for (const n of [1, 2, 5]) change(jobs, uuid(n), 'failed', 'hive gpu-0 lost', 10);
  change(jobs, uuid(3), 'cancelled', null, 10);
  const list = [1, 2, 3, 4, 5, 6].map((n) => theirs(n, 'running'));
  t.strictSame(report(jobs, 'gpu-0', [...list, { ...theirs(7, 'done'), job_id: '../x' }]), {
    resume: [uuid(1), uuid(6)],
    cancel: [uuid(3)],
  });
  t.match(jobs.get(uuid(1)), { state: 'queued', reason: null, ended_at: null, created_at: at(1).iso });
  t.equal(jobs.isResumed(uuid(1)), true);
  t.equal(jobs.logs.version(uuid(1)), 1, 'its lines begin again');
  t.strictSame(jobs.logs.read(uuid(1), 0), { lines: [], cursor: 0, over: false });
  t.match(jobs.get(uuid(6)), { state: 'queued', hive_id: 'gpu-0', operation: 'worker_spawn' });
  t.equal(jobs.get(uuid(2))?.state, 'failed', 'a job that failed for another reason stays as it ended');
  t.strictSame(report(jobs, 'gpu-0', list).resume, [], 'the same list again changes nothing');
});

t.test('a job that ended before this queen had it keeps the end time of its hive', async (t) => {
  const jobs = createJobs();
  report(jobs, 'gpu-0', [{ ...theirs(1, 'failed'), ended_at: at(7_000).iso }, theirs(2, 'running')]);
  for (const n of [1, 2]) change(jobs, uuid(n), 'failed', 'gone', 60_000);
  t.match(jobs.get(uuid(1)), { created_at: at(0).iso, ended_at: at(7_000).iso });
  t.match(jobs.get(uuid(2)), { created_at: at(0).iso, ended_at: at(60_000).iso });
  jobs.store.trigger.expired({ now: at(600_000) });
  t.equal(jobs.has(uuid(1)), true, 'its ten minutes begin when it was known here');
});

t.test('no hive fills the places of a queen with its jobs', async (t) => {
  const jobs = createJobs();
  const many = (from: number) => Array.from({ length: 1_000 }, (_, i) => theirs(from + i, 'running'));
  t.equal(report(jobs, 'gpu-0', many(0)).resume.length, 100);
  t.equal(report(jobs, 'gpu-0', many(2_000)).resume.length, 0);
  for (let n = 1; n < 10; n += 1) report(jobs, `gpu-${n}`, many(10_000 * n));
  t.equal(jobs.list().length, 500);
});

t.test('a cancellation that arrives before its job is remembered for ten minutes, a thousand of them', async (t) => {
  const jobs = createJobs();
  for (let n = 0; n < 1_001; n += 1) jobs.store.trigger.cancelledEarly({ jobId: uuid(n), now: at(n) });
  t.strictSame(
    [0, 1, 1_000].map((n) => jobs.isCancelledEarly(uuid(n))),
    [false, true, true],
  );
  add(jobs, uuid(1), status, 2_000);
  t.equal(jobs.isCancelledEarly(uuid(1)), false, 'its job uses it up');
  jobs.store.trigger.expired({ now: at(600_500) });
  t.strictSame([jobs.isCancelledEarly(uuid(2)), jobs.isCancelledEarly(uuid(900))], [false, true]);
});

t.test('a job is kept for ten minutes after its end', async (t) => {
  const jobs = createJobs();
  add(jobs, 'over', status, 0);
  add(jobs, 'running', status, 0);
  change(jobs, 'over', 'done', null, 1_000);
  jobs.store.trigger.expired({ now: at(600_999) });
  t.equal(jobs.has('over'), true);
  jobs.store.trigger.expired({ now: at(601_000) });
  t.equal(jobs.has('over'), false);
  t.equal(jobs.has('running'), true);
});

t.test('a key names its job for ten minutes', async (t) => {
  const jobs = createJobs();
  add(jobs, 'one', status, 0, 'key');
  t.equal(jobs.find('new', 'key', at(599_999)), 'one');
  t.equal(jobs.find('new', 'key', at(600_000)), null);
  t.equal(jobs.find('new', 'other', at(0)), null);
});

t.test('when there are too many jobs, those that are over make room, and those that run stay', async (t) => {
  const jobs = createJobs();
  for (let i = 0; i < JOBS_MAX; i += 1) t.equal(add(jobs, `job-${i}`, status, i), true);
  t.equal(add(jobs, 'one-more', status, 0), false);
  change(jobs, 'job-7', 'done', null, 20);
  change(jobs, 'job-3', 'done', null, 30);
  t.equal(add(jobs, 'one-more', status, 0), true);
  t.equal(jobs.has('job-7'), false);
  t.equal(jobs.has('job-3'), true);
});
