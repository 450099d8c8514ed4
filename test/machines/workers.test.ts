import t from 'tap';
import { createActor, fromCallback, fromPromise } from 'xstate';
import { workerMachine } from '../../machines/worker.js';
import { type WorkerHealth, type WorkerHealthInput, workerHealthMachine } from '../../machines/worker-health.js';
import type { RunEvent, RunInput, WorkerEvent } from '../../machines/worker-types.js';
import { workersMachine } from '../../machines/workers.js';
import { createScript, type Script } from './transcript.js';

/** Workers with fake processes, by id; each is healthy as soon as it listens. */
function spawner(script: Script) {
  const runs = new Map<string, { input: RunInput; send: (event: WorkerEvent) => void }>();
  const health = workerHealthMachine.provide({
    actors: {
      checkHealth: fromPromise<WorkerHealth, Pick<WorkerHealthInput, 'url' | 'worker'>>(async () => ({
        status: 'ok',
        model: 'tiny',
        device: null,
      })),
    },
  });
  const run = fromCallback<RunEvent, RunInput>(({ input, sendBack }) => {
    runs.set(input.id, { input, send: sendBack });
    return () => runs.delete(input.id);
  });
  const worker = workerMachine.provide({ actors: { run, health } });
  const actor = createActor(workersMachine.provide({ actors: { worker } }), { clock: script.clock }).start();
  const states = () =>
    Object.fromEntries(
      Object.entries(actor.getSnapshot().children).map(([id, child]) => {
        const value: unknown = child?.getSnapshot().value;
        return [id, typeof value === 'string' ? value : Object.keys(value as object)[0]];
      }),
    );
  return { actor, runs, states };
}

const request = { model: '/models/tiny.gguf', worker: 'cpu', device: 0, engineUrl: null } as const;
const earlier = { workerId: null, established: true };
const restore = (id: string, more: object = {}) =>
  ({ type: 'worker.restore', id, request, earlier, refused: null, ...more }) as const;
const endpoint = (port: number) => ({ workerId: `worker-llm-${port}@gpu-0`, url: `http://127.0.0.1:${port}`, port });

t.test('restored workers are started one at a time, in order, and refused ones are skipped', async (t) => {
  const script = createScript();
  const { actor, runs, states } = spawner(script);
  for (const id of ['a', 'b', 'c']) actor.send(restore(id));
  actor.send(restore('never', { refused: 'it was being started the last 2 times' }));
  await script.pass(600);
  t.strictSame(states(), { a: 'starting', b: 'waiting', c: 'waiting', never: 'crashed' });
  runs.get('a')?.send({ type: 'process.listening', endpoint: endpoint(8080) });
  await script.pass(100);
  t.strictSame(states(), { a: 'healthy', b: 'starting', c: 'waiting', never: 'crashed' });
  // A worker that cannot run delays the others only while it is restarted.
  for (let n = 0; n <= 5; n += 1) {
    runs.get('b')?.send({
      type: 'process.exited',
      exit: { code: 1, signal: null, message: 'it ended with code 1', lastLines: [] },
    });
    await script.pass(17_000);
  }
  t.strictSame(states(), { a: 'healthy', b: 'crashed', c: 'starting', never: 'crashed' });
  actor.stop();
});

t.test('a worker that is stopped while it waits is skipped, and so is one that is stopped as it starts', async (t) => {
  const script = createScript();
  const { actor, runs, states } = spawner(script);
  for (const id of ['a', 'b', 'c', 'd']) actor.send(restore(id));
  await script.pass(100);
  actor.send({ type: 'worker.stop', id: 'b' });
  actor.send({ type: 'worker.stop', id: 'a' });
  await script.pass(100);
  t.strictSame(states(), { a: 'stopping', c: 'waiting', d: 'waiting' }, 'its memory is taken until it has ended');
  runs.get('a')?.send({ type: 'process.exited', exit: { code: 0, signal: null, message: '', lastLines: [] } });
  await script.pass(100);
  t.strictSame(states(), { c: 'starting', d: 'waiting' });
  actor.stop();
});

t.test('a worker whose engine runs elsewhere does not delay the others while that is away', async (t) => {
  const script = createScript();
  const { actor, runs, states } = spawner(script);
  actor.send(restore('engine', { request: { ...request, worker: 'openai', engineUrl: 'http://127.0.0.1:11434' } }));
  actor.send(restore('b'));
  await script.pass(100);
  t.strictSame(states(), { engine: 'starting', b: 'waiting' });
  runs.get('engine')?.send({ type: 'process.listening', endpoint: endpoint(8080) });
  await script.pass(100);
  t.match(states(), { b: 'starting' });
  actor.stop();
});

t.test('once all are ended, no worker is started', async (t) => {
  const script = createScript();
  const { actor, runs, states } = spawner(script);
  for (const id of ['a', 'b']) actor.send(restore(id));
  await script.pass(100);
  actor.send({ type: 'end', graceMs: 1_000 });
  runs.get('a')?.send({ type: 'process.exited', exit: { code: 0, signal: null, message: '', lastLines: [] } });
  await script.pass(1_000);
  t.strictSame(states(), {});
  t.equal(runs.size, 0);
  actor.stop();
});
