import t from 'tap';
import { createJobs, JOBS_MAX, LINES_BYTES_MAX } from '../../stores/jobs.js';

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
