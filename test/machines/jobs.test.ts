import t from 'tap';
import { createActor, fromPromise } from 'xstate';
import { type JobInput, jobMachine } from '../../machines/job.js';
import { jobsMachine, RUNNING_MAX } from '../../machines/jobs.js';
import { matchTranscript } from '../helpers/match-transcript.js';
import { settle } from './transcript.js';

/** Jobs whose work ends when the test says so. */
function start() {
  const lines: string[] = [];
  const works = new Map<string, { resolve: () => void; reject: (error: unknown) => void }>();
  const job = jobMachine.provide({
    actors: {
      run: fromPromise<void, JobInput>(({ input: { jobId }, signal }) => {
        lines.push(`${jobId} works`);
        signal.addEventListener('abort', () => lines.push(`${jobId} stops working`));
        return new Promise((resolve, reject) => works.set(jobId, { resolve, reject }));
      }),
    },
    actions: {
      publish: ({ context: { jobId, reason } }, { state }) =>
        lines.push(`${jobId} = ${state}${reason === null ? '' : ` (${reason})`}`),
    },
  });
  const machine = jobsMachine.provide({
    actors: { job },
    actions: {
      notifyWaiting: (_, { jobId, lane, ahead }) => lines.push(`${jobId} waits for ${lane}, behind ${ahead}`),
    },
  });
  const actor = createActor(machine);
  actor.start();
  return {
    lines,
    works,
    actor,
    post: (jobId: string, lane = 'operations') => actor.send({ type: 'job.post', jobId, lane }),
    cancel: (jobId: string) => {
      let said: boolean | undefined;
      actor.send({ type: 'job.cancel', jobId, respond: (cancelled) => (said = cancelled) });
      return said;
    },
    children: () => Object.keys(actor.getSnapshot().children),
  };
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
  t.equal(cancel('a'), true);
  t.equal(cancel('a'), false);
  t.equal(cancel('unknown'), false);
  works.get('a')?.resolve();
  await settle();
  matchTranscript(t, lines);
  t.strictSame(children(), []);
});

t.test('a lane that is full keeps no other lane waiting', async (t) => {
  const { lines, works, post, actor } = start();
  for (let i = 0; i <= RUNNING_MAX; i += 1) post(`prompt-${i}`, 'inferences');
  lines.length = 0;
  // An id may be any word: what every object inherits is no lane.
  for (const lane of ['operations', 'constructor', '__proto__']) post(`in-${lane}`, lane);
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

t.test('so many run at once, and the others wait their turn', async (t) => {
  const { lines, works, post, cancel, children } = start();
  for (let i = 0; i < RUNNING_MAX; i += 1) post(`early-${i}`);
  lines.length = 0;
  for (const id of ['late-1', 'late-2', 'late-3']) post(id);
  t.equal(cancel('late-1'), true, 'one that waits can be cancelled');
  works.get('early-5')?.resolve();
  await settle();
  works.get('early-7')?.reject(new Error('broken'));
  await settle();
  matchTranscript(t, lines);
  t.equal(children().length, RUNNING_MAX);
});

t.test('when the process ends, every job ends and says why', async (t) => {
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
