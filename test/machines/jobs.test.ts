import t from 'tap';
import { createActor, fromPromise } from 'xstate';
import { type JobInput, jobMachine } from '../../machines/job.js';
import { kindOf, RUNNING_MAX } from '../../machines/job-lanes.js';
import type { JobRefusal } from '../../machines/job-refusal.js';
import { type CancelAnswer, createJobsMachine, type PostAnswer } from '../../machines/jobs.js';
import { createJobs } from '../../stores/jobs.js';
import type { JobEntry, Operation } from '../../wire/jobs.js';
import { matchTranscript } from '../helpers/match-transcript.js';
import { settle } from './transcript.js';

const now = { ms: 0, iso: '2026-01-01T00:00:00.000Z' };
const status: Operation = { operation: 'status' };

interface Options {
  laneOf?: (operation: Operation) => string;
  refusalOf?: (operation: Operation) => JobRefusal | null;
}

/** Jobs whose work ends when the test resolves it. */
function start({ laneOf = kindOf, refusalOf = () => null }: Options = {}) {
  const lines: string[] = [];
  const works = new Map<string, { resolve: () => void; reject: (error: unknown) => void }>();
  const jobs = createJobs();
  const job = jobMachine.provide({
    actors: {
      run: fromPromise<void, JobInput>(({ input: { jobId }, signal }) => {
        lines.push(`${jobId} works`);
        signal.addEventListener('abort', () => lines.push(`${jobId} stops working`));
        return new Promise((resolve, reject) => works.set(jobId, { resolve, reject }));
      }),
    },
    actions: {
      publish: ({ context: { jobId, reason } }, { state }) => {
        lines.push(`${jobId} = ${state}${reason === null ? '' : ` (${reason})`}`);
        jobs.store.trigger.changed({ jobId, state, reason, now });
      },
    },
  });
  const machine = createJobsMachine({ jobs, laneOf, refusalOf }).provide({
    actors: { job },
    actions: {
      notifyWaiting: (_, { jobId, lane, ahead }) => lines.push(`${jobId} waits for ${lane}, behind ${ahead}`),
    },
  });
  const actor = createActor(machine);
  actor.start();
  const post = (jobId: string, operation = status, key: string | null = null) => {
    let answer: PostAnswer | undefined;
    const respond = (given: PostAnswer) => (answer = given);
    actor.send({ type: 'job.post', job: () => ({ jobId, operation, key, now }), respond });
    return answer;
  };
  const cancel = (jobId: string) => {
    let answer: CancelAnswer | undefined;
    actor.send({ type: 'job.cancel', jobId, now, respond: (given) => (answer = given) });
    return answer;
  };
  const children = () => Object.keys(actor.getSnapshot().children);
  return { lines, works, actor, jobs, post, cancel, children };
}

t.test('a job runs when it is posted, and ends as its work does', async (t) => {
  const { lines, works, post, children } = start();
  for (const id of ['a', 'b', 'c']) post(id);
  works.get('a')?.resolve();
  works.get('b')?.reject(new Error('no such model'));
  works.get('c')?.reject(Object.assign(new Error('elsewhere'), { kind: 'cancelled' }));
  await settle();
  matchTranscript(t, lines);
  t.strictSame(children(), [], 'nothing is left of them');
});

t.test('a cancelled job stops its work, and cannot be cancelled twice', async (t) => {
  const { lines, works, post, cancel, children } = start();
  post('a');
  t.equal(cancel('a'), 'cancelled');
  t.equal(cancel('a'), 'over');
  t.equal(cancel('unknown'), 'unknown');
  works.get('a')?.resolve();
  await settle();
  matchTranscript(t, lines);
  t.strictSame(children(), []);
});

t.test('a job that is posted twice, by its id or its key, is one job', async (t) => {
  const { lines, post } = start();
  t.strictSame(post('a', status, 'key'), { jobId: 'a' });
  t.strictSame(post('b', status, 'key'), { jobId: 'a' });
  t.strictSame(post('a'), { jobId: 'a' });
  await settle();
  t.equal(lines.filter((line) => line.endsWith(' works')).length, 1);
});

t.test('a job is refused with a reason, unless it is known already', async (t) => {
  const refusal: JobRefusal = { kind: 'hive_away', detail: 'hive gpu-0 is lost' };
  let isAway = false;
  const { post, jobs } = start({ refusalOf: () => (isAway ? refusal : null) });
  post('a');
  isAway = true;
  t.strictSame(post('b'), refusal);
  t.strictSame(post('a'), { jobId: 'a' });
  t.equal(jobs.has('b'), false);
});

t.test('a job whose cancellation arrived first never runs', async (t) => {
  const { lines, post, cancel, children } = start();
  const jobId = 'job-00000000-0000-4000-8000-000000000001';
  t.equal(cancel(jobId), 'unknown');
  t.strictSame(post(jobId), { jobId });
  await settle();
  t.strictSame(lines, [`${jobId} = queued`, `${jobId} = cancelled`]);
  t.equal(cancel(jobId), 'over');
  t.strictSame(children(), []);
});

t.test('jobs that a hive reports are resumed, and those cancelled here are to be cancelled there', async (t) => {
  const { lines, works, actor, jobs, post, cancel } = start();
  const uuid = (n: number) => `job-00000000-0000-4000-8000-00000000000${n}`;
  post(uuid(1), { ...status, hive_id: 'gpu-0' });
  cancel(uuid(1));
  lines.length = 0;
  const entry = (n: number): JobEntry => ({
    ...{ job_id: uuid(n), operation: 'infer', hive_id: 'gpu-0', state: 'running', reason: null },
    ...{ created_at: now.iso, ended_at: null, sse_url: '' },
  });
  let answer: unknown;
  const respond = (given: unknown) => (answer = given);
  actor.send({ type: 'hive.jobs', hiveId: 'gpu-0', jobs: [entry(1), entry(2), entry(3)], respond });
  await settle();
  t.strictSame(answer, { resumed: 2, cancel: [uuid(1)] });
  t.strictSame(Object.keys(actor.getSnapshot().context.lanes), ['jobs of gpu-0']);
  t.strictSame([jobs.isResumed(uuid(2)), jobs.get(uuid(3))?.state], [true, 'running']);
  works.get(uuid(2))?.resolve();
  await settle();
  t.equal(jobs.get(uuid(2))?.state, 'done');
});

t.test('a job that was cancelled before its hive reported it is to be cancelled there', async (t) => {
  const { actor, cancel } = start();
  const jobId = 'job-00000000-0000-4000-8000-000000000001';
  t.equal(cancel(jobId), 'unknown');
  const job: JobEntry = {
    ...{ job_id: jobId, operation: 'infer', hive_id: 'gpu-0', state: 'running', reason: null },
    ...{ created_at: now.iso, ended_at: null, sse_url: '' },
  };
  const answers: unknown[] = [];
  for (let i = 0; i < 2; i += 1) {
    const respond = (given: unknown) => void answers.push(given);
    actor.send({ type: 'hive.jobs', hiveId: 'gpu-0', jobs: [job], respond });
  }
  t.strictSame(answers, [
    { resumed: 1, cancel: [jobId] },
    { resumed: 0, cancel: [] },
  ]);
});

t.test('a job of an earlier run is restored once', async (t) => {
  const { lines, actor, jobs } = start();
  for (let i = 0; i < 2; i += 1) {
    actor.send({ type: 'job.restore', job: () => ({ jobId: 'a', operation: status, createdAt: now.iso }) });
  }
  await settle();
  t.strictSame(lines, ['a = queued', 'a = running', 'a works']);
  t.equal(jobs.isResumed('a'), true);
});

t.test('a full lane does not make other lanes wait', async (t) => {
  const { lines, works, post, actor } = start({ laneOf: ({ hive_id }) => hive_id ?? 'operations' });
  const on = (hive_id: string): Operation => ({ ...status, hive_id });
  for (let i = 0; i <= RUNNING_MAX; i += 1) post(`prompt-${i}`, on('inferences'));
  lines.length = 0;
  // An id may be any word: what every object inherits is no lane.
  for (const lane of ['operations', 'constructor', '__proto__']) post(`in-${lane}`, on(lane));
  await settle();
  t.strictSame(
    lines.filter((line) => line.endsWith(' works')),
    ['in-operations works', 'in-constructor works', 'in-__proto__ works'],
  );
  for (const work of works.values()) work.resolve();
  await settle();
  t.ok(lines.includes(`prompt-${RUNNING_MAX} works`));
  works.get(`prompt-${RUNNING_MAX}`)?.resolve();
  await settle();
  t.strictSame(actor.getSnapshot().context, { lanes: {} }, 'nothing is left of them');
});

t.test('so many jobs run at once, and the others wait their turn', async (t) => {
  const { lines, works, post, cancel, children } = start();
  for (let i = 0; i < RUNNING_MAX; i += 1) post(`early-${i}`);
  lines.length = 0;
  for (const id of ['late-1', 'late-2', 'late-3']) post(id);
  t.equal(cancel('late-1'), 'cancelled', 'a job that waits can be cancelled');
  works.get('early-5')?.resolve();
  await settle();
  works.get('early-7')?.reject(new Error('broken'));
  await settle();
  matchTranscript(t, lines);
  t.equal(children().length, RUNNING_MAX);
});

t.test('when the process ends, every job ends with the reason', async (t) => {
  const { lines, post, actor, children } = start();
  for (let i = 0; i < RUNNING_MAX; i += 1) post(`early-${i}`);
  post('late');
  lines.length = 0;
  actor.send({ type: 'end', reason: 'hive gpu-0 is shutting down' });
  await settle();
  t.equal(lines.filter((line) => line.endsWith('= failed (hive gpu-0 is shutting down)')).length, RUNNING_MAX + 1);
  t.equal(lines.filter((line) => line.endsWith('stops working')).length, RUNNING_MAX);
  t.strictSame(children(), []);
});
