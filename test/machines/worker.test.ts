import t from 'tap';
import { type AnyActorRef, createMachine, fromCallback, fromPromise } from 'xstate';
import { restartDelayMs } from '../../machines/backoff.js';
import type { Failure } from '../../machines/failure.js';
import { workerMachine } from '../../machines/worker.js';
import { type WorkerHealth, type WorkerHealthInput, workerHealthMachine } from '../../machines/worker-health.js';
import {
  type RunEvent,
  type RunInput,
  telemetryStatus,
  type WorkerEmitted,
  type WorkerEvent,
  type WorkerInput,
} from '../../machines/worker-types.js';
import { matchTranscript } from '../helpers/match-transcript.js';
import { edgePaths } from '../helpers/paths.js';
import { act, createScript, type Script, settle } from './transcript.js';

type Answer = WorkerHealth | Failure | 'hangs';

const ok: WorkerHealth = { status: 'ok', model: 'tiny', device: 'CPU-0' };
const loading = (progress: string): WorkerHealth => ({ status: 'loading', progress });
const refused: Failure = { kind: 'refused', message: 'connection refused' };
const endpoint = { workerId: 'worker-llm-8080@gpu-0', url: 'http://127.0.0.1:8080', port: 8080 };

/** A worker with a fake process; its health is `answers` in turn, then the last one again and again. */
function spawn(
  script: Script,
  {
    answers = [ok],
    adopt = null,
    engineUrl = null,
    loadTimeoutMs,
    ...more
  }: {
    answers?: Answer[];
    adopt?: { pid: number } | null;
    engineUrl?: string | null;
    loadTimeoutMs?: number;
  } & Pick<WorkerInput, 'earlier' | 'restore'> = {},
) {
  const fake = {
    running: 0,
    mostRunning: 0,
    answers: [...answers],
    input: undefined as RunInput | undefined,
    send: (_: WorkerEvent) => {},
  };
  const machine = workerMachine.provide({
    ...(loadTimeoutMs === undefined ? {} : { delays: { loadTimeout: loadTimeoutMs } }),
    actors: {
      run: fromCallback<RunEvent, RunInput>(({ input, sendBack, receive }) => {
        script.write(input.adopt ? `adopts process ${input.adopt.pid}` : 'starts a process');
        fake.running += 1;
        fake.mostRunning = Math.max(fake.mostRunning, fake.running);
        fake.send = sendBack;
        fake.input = input;
        receive(({ signal }) => script.write(`sends ${signal}`));
        return () => {
          fake.running -= 1;
        };
      }),
      health: workerHealthMachine.provide({
        actors: {
          checkHealth: fromPromise<WorkerHealth, Pick<WorkerHealthInput, 'url' | 'worker'>>(async ({ signal }) => {
            const answer = (fake.answers.length > 1 ? fake.answers.shift() : fake.answers[0]) as Answer;
            if (answer === 'hangs')
              return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
            if ('kind' in answer) throw answer;
            return answer;
          }),
        },
      }),
    },
    actions: {
      notifyQueens: (_, { endpoint, model }) =>
        script.write(`registers ${endpoint.workerId} with the queens, model ${model}`),
    },
  });
  const actor = act(script, 'worker', machine, {
    id: 'w1',
    request: { model: '/models/tiny.gguf', worker: 'cpu', device: 0, engineUrl },
    adopt,
    ...more,
  });
  const child = actor.root.getSnapshot().children.worker as unknown as AnyActorRef;
  child.on('narration', (event) => script.write(`narrates: ${(event as unknown as WorkerEmitted).line}`));
  const exit = (message: string, code: number | null = null, lastLines: string[] = []) =>
    fake.send({ type: 'process.exited', exit: { code, signal: null, message, lastLines } });
  return { ...actor, fake, exit };
}

async function healthy(script: Script, worker: ReturnType<typeof spawn>, pid = 7): Promise<void> {
  await script.pass(50);
  worker.fake.send({ type: 'process.spawned', pid });
  worker.fake.send({ type: 'process.listening', endpoint });
  await script.pass(100);
  t.equal(worker.getSnapshot().value, 'healthy');
}

t.test('a worker is restarted after 1, 2, 4, 8 and 16 s', async (t) => {
  t.same([0, 1, 2, 3, 4, 5, 9].map(restartDelayMs), [0, 1_000, 2_000, 4_000, 8_000, 16_000, 16_000]);
});

t.test('a worker loads, reports its progress, and is registered with the queens once', async (t) => {
  const script = createScript();
  const worker = spawn(script, { answers: [refused, loading('30 %'), loading('30 %'), loading('80 %'), ok] });
  await script.pass(50);
  worker.fake.send({ type: 'process.spawned', pid: 7 });
  await script.pass(300);
  worker.fake.send({ type: 'process.listening', endpoint });
  await script.pass(40_000);
  t.equal(worker.getSnapshot().context.model, 'tiny');
  worker.stop();
  matchTranscript(t, script.lines);
});

t.test('a worker that was healthy is restarted five times in a row, then no more', async (t) => {
  const script = createScript();
  const worker = spawn(script);
  await healthy(script, worker);
  worker.exit('it was ended by SIGSEGV', null, ['ggml: out of luck', 'core dumped']);
  for (let n = 1; n <= 5; n += 1) {
    await script.pass(restartDelayMs(n) + 50);
    worker.fake.send({ type: 'process.spawned', pid: 7 + n });
    worker.exit('it ended with code 1', 1);
  }
  await script.pass(120_000);
  t.equal(worker.getSnapshot().value, 'crashed');
  t.equal(worker.fake.running, 0);
  worker.stop();
  matchTranscript(t, script.lines);
});

t.test('a worker that was never healthy is restarted twice', async (t) => {
  const script = createScript();
  const worker = spawn(script);
  for (let n = 0; n <= 2; n += 1) {
    await script.pass(restartDelayMs(n) + 50);
    worker.fake.send({ type: 'process.spawned', pid: 7 + n });
    worker.exit('it ended with code 1', 1, ['cannot map /models/tiny.gguf']);
  }
  await script.pass(60_000);
  worker.stop();
  matchTranscript(t, script.lines);
});

t.test('a worker that ends with wrong usage is not restarted', async (t) => {
  const script = createScript();
  const worker = spawn(script);
  await script.pass(50);
  worker.fake.send({ type: 'process.spawned', pid: 7 });
  worker.exit('it ended with code 2', 2, ['rbee: --model: no such file']);
  await script.pass(60_000);
  t.equal(worker.getSnapshot().value, 'crashed');
  t.same(worker.getSnapshot().context.lastLines, ['rbee: --model: no such file']);
  worker.send({ type: 'stop' });
  await settle();
  t.equal(worker.getSnapshot().value, 'gone', 'it can be dismissed');
  worker.stop();
});

t.test('after a minute of health restarts are counted from zero', async (t) => {
  const script = createScript();
  const worker = spawn(script);
  await healthy(script, worker);
  worker.exit('it ended with code 1', 1);
  await script.pass(1_050);
  await healthy(script, worker, 8);
  t.equal(worker.getSnapshot().context.restarts, 1);
  await script.pass(60_000);
  t.equal(worker.getSnapshot().context.restarts, 0);
  worker.stop();
});

t.test('a stop is SIGTERM, and SIGKILL after 5 s', async (t) => {
  const script = createScript();
  const worker = spawn(script);
  await healthy(script, worker);
  worker.send({ type: 'stop' });
  await script.pass(7_000);
  t.equal(worker.fake.running, 1, 'it is not gone before its process has ended');
  worker.exit('it was ended by SIGKILL');
  await settle();
  t.equal(worker.getSnapshot().value, 'gone');
  worker.stop();
  matchTranscript(t, script.lines);
});

t.test('a stop with less grace kills sooner, and a second stop changes nothing', async (t) => {
  const script = createScript();
  const worker = spawn(script);
  await healthy(script, worker);
  worker.send({ type: 'stop', graceMs: 2_000 });
  await script.pass(1_000);
  worker.send({ type: 'stop' });
  await script.pass(1_050);
  t.same(worker.getSnapshot().value, { stopping: 'killing' });
  await script.pass(5_050);
  t.match(worker.getSnapshot().context.reason, /survives SIGKILL/);
  worker.exit('it was ended by SIGKILL');
  t.equal(worker.getSnapshot().value, 'gone');
  worker.stop();
});

t.test('a later stop with less grace shortens the grace', async (t) => {
  const script = createScript();
  const worker = spawn(script);
  await healthy(script, worker);
  worker.send({ type: 'stop' });
  await script.pass(1_000);
  worker.send({ type: 'stop', graceMs: 2_000 });
  await script.pass(2_050);
  t.same(worker.getSnapshot().value, { stopping: 'killing' });
  worker.exit('it was ended by SIGKILL');
  t.equal(worker.getSnapshot().value, 'gone');
  worker.stop();
});

t.test('a healthy worker that stops answering is polled for a minute, ended, and restarted', async (t) => {
  const script = createScript();
  const worker = spawn(script, { answers: [ok, ok, refused] });
  await healthy(script, worker);
  await script.pass(31_000);
  t.match(worker.getSnapshot().value, { starting: 'loading' }, 'it gets no requests');
  await script.pass(60_500);
  t.same(worker.getSnapshot().value, { stopping: 'ending' });
  await script.pass(5_050);
  worker.exit('it was ended by SIGKILL');
  await script.pass(1_050);
  worker.stop();
  matchTranscript(t, script.lines);
});

t.test('one failed check does not take a worker out of service', async (t) => {
  const script = createScript();
  const worker = spawn(script, { answers: [ok, refused, ok] });
  await healthy(script, worker);
  await script.pass(10_100);
  t.equal(worker.getSnapshot().context.failures, 1);
  await script.pass(10_100);
  t.equal(worker.getSnapshot().value, 'healthy');
  t.equal(worker.getSnapshot().context.failures, 0);
  worker.stop();
});

t.test('a load that reports progress may take an hour; one without any answer is ended', async (t) => {
  const script = createScript();
  const worker = spawn(script, { answers: [loading('1 %')] });
  await script.pass(50);
  worker.fake.send({ type: 'process.spawned', pid: 7 });
  worker.fake.send({ type: 'process.listening', endpoint });
  await script.pass(600_000);
  t.match(worker.getSnapshot().value, { starting: 'loading' });
  worker.fake.answers = ['hangs'];
  await script.pass(61_000);
  t.match(worker.getSnapshot().value, { stopping: String });
  worker.stop();
});

/** Short, because simulated time is not free. */
const LOAD_TIMEOUT_MS = 40_000;

t.test('a load without progress is ended and not restarted, with what it waited for', async (t) => {
  const script = createScript();
  const step = (reason: string) => loading(`the model cannot answer yet: waiting for the engine (${reason})`);
  const worker = spawn(script, { answers: [step('connection refused')], loadTimeoutMs: LOAD_TIMEOUT_MS });
  await script.pass(50);
  worker.fake.send({ type: 'process.spawned', pid: 7 });
  worker.fake.send({ type: 'process.listening', endpoint });
  await script.pass(LOAD_TIMEOUT_MS / 2);
  worker.fake.answers = [step('no answer within 4 s')];
  await script.pass(LOAD_TIMEOUT_MS / 2 - 1_000);
  t.match(worker.getSnapshot().value, { starting: 'loading' });
  await script.pass(2_000);
  t.same(worker.getSnapshot().value, { stopping: 'ending' }, 'a change of the reason is no progress');
  worker.exit('it was ended by SIGTERM');
  await settle();
  t.equal(worker.getSnapshot().value, 'crashed');
  t.match(worker.getSnapshot().context.reason, /no progress .*waiting for the engine \(no answer within 4 s\)/);
  worker.stop();
});

t.test('progress of a load restarts its timeout', async (t) => {
  const script = createScript();
  const worker = spawn(script, { answers: [loading('1 %')], loadTimeoutMs: LOAD_TIMEOUT_MS });
  await script.pass(50);
  worker.fake.send({ type: 'process.spawned', pid: 7 });
  worker.fake.send({ type: 'process.listening', endpoint });
  for (const progress of ['2 %', '3 %', '4 %']) {
    await script.pass(LOAD_TIMEOUT_MS - 10_000);
    worker.fake.answers = [loading(progress)];
    await script.pass(1_000);
  }
  await script.pass(LOAD_TIMEOUT_MS - 10_000);
  t.match(worker.getSnapshot().value, { starting: 'loading' });
  worker.stop();
});

t.test('a worker that has worked with an engine elsewhere waits until that is back', async (t) => {
  const script = createScript();
  const worker = spawn(script, { engineUrl: 'http://127.0.0.1:11434', loadTimeoutMs: LOAD_TIMEOUT_MS });
  await healthy(script, worker);
  worker.fake.answers = [loading('waiting for the engine')];
  await script.pass(2 * LOAD_TIMEOUT_MS);
  t.match(worker.getSnapshot().value, { starting: 'loading' });
  worker.fake.answers = [ok];
  await script.pass(1_000);
  t.equal(worker.getSnapshot().value, 'healthy');
  worker.stop();
});

t.test('the count of restarts and the last reason outlast recovery', async (t) => {
  const script = createScript();
  const worker = spawn(script);
  for (let n = 0; n < 3; n += 1) {
    await healthy(script, worker, 7 + n);
    await script.pass(60_000);
    worker.exit(`it ended with code ${n}`, n);
    await script.pass(1_050);
  }
  await healthy(script, worker, 17);
  await script.pass(60_000);
  t.match(worker.getSnapshot().context, {
    restarts: 0,
    restartsEver: 3,
    lastReason: 'it ended with code 2',
    reason: null,
  });
  worker.stop();
});

t.test('a restored worker waits for its turn, keeps its id, and reports when the next may start', async (t) => {
  const script = createScript();
  const earlier = { workerId: endpoint.workerId, established: true };
  const worker = spawn(script, { earlier, restore: { refused: null } });
  await script.pass(60_000);
  t.equal(worker.getSnapshot().value, 'waiting');
  t.equal(worker.fake.running, 0);
  worker.send({ type: 'turn' });
  await script.pass(50);
  t.equal(worker.fake.input?.workerId, endpoint.workerId);
  worker.fake.send({ type: 'process.spawned', pid: 7 });
  // Such as a disk that is mounted late: it was healthy before, so it is restarted.
  worker.exit('it ended with code 2', 2);
  t.equal(worker.getSnapshot().value, 'absent');
  await script.pass(1_050);
  await healthy(script, worker, 8);
  worker.stop();
  matchTranscript(t, script.lines);
});

t.test('a worker that is not to be restored is shown with the reason, and can be dismissed', async (t) => {
  const script = createScript();
  const worker = spawn(script, { restore: { refused: 'it was being started the last 2 times' } });
  await script.pass(1_000);
  t.match(worker.getSnapshot(), { value: 'crashed', context: { reason: /2 times/ } });
  t.equal(worker.fake.mostRunning, 0);
  worker.send({ type: 'stop' });
  await settle();
  t.equal(worker.getSnapshot().value, 'gone');
  worker.stop();
});

t.test('a process that never listens is ended after a minute', async (t) => {
  const script = createScript();
  const worker = spawn(script);
  await script.pass(50);
  worker.fake.send({ type: 'process.spawned', pid: 7 });
  await script.pass(60_050);
  worker.exit('it was ended by SIGTERM');
  await script.pass(1_100);
  t.equal(worker.fake.mostRunning, 1);
  worker.stop();
  matchTranscript(t, script.lines);
});

t.test('an adopted worker is not started, but restarted when it ends', async (t) => {
  const script = createScript();
  const worker = spawn(script, { adopt: { pid: 7 } });
  await healthy(script, worker);
  worker.exit('it ended');
  await script.pass(1_100);
  worker.stop();
  matchTranscript(t, script.lines);
});

t.test('telemetry reports ready only of a healthy worker, and starting while the next start is due', async (t) => {
  const states = ['absent', 'starting', 'healthy', 'stopping', 'crashed', 'gone'] as const;
  t.same(states.map(telemetryStatus), ['starting', 'starting', 'ready', 'stopping', 'crashed', 'stopping']);
});

/** Everything that can happen to a worker, as its caller sees it. */
const model = createMachine({
  initial: 'starting',
  states: {
    absent: { on: { 'its restart is due': 'starting', 'it is stopped': 'gone' } },
    starting: {
      on: {
        'it listens and loads': 'starting',
        'it is ready': 'healthy',
        'it crashes': 'absent',
        'it ends with wrong usage': 'crashed',
        'it does not answer for a minute': 'stopping',
        'it is stopped': 'stopping',
      },
    },
    healthy: {
      on: { 'it crashes': 'absent', 'its model is lost': 'starting', 'it is stopped': 'stopping' },
    },
    stopping: { on: { 'it ignores SIGTERM': 'stopping', 'it is stopped': 'stopping', 'it ends': 'ended' } },
    /** `gone` after a stop, `absent` after a hang. */
    ended: {},
    crashed: { on: { 'it is stopped': 'gone' } },
    gone: {},
  },
});

const plays: Record<string, (script: Script, worker: ReturnType<typeof spawn>) => Promise<void>> = {
  'its restart is due': (script, worker) => script.pass(restartDelayMs(worker.getSnapshot().context.restarts) + 50),
  'it listens and loads': async (script, { fake }) => {
    fake.answers = [loading('5 %')];
    fake.send({ type: 'process.spawned', pid: 7 });
    fake.send({ type: 'process.listening', endpoint });
    await script.pass(600);
  },
  'it is ready': async (script, { fake }) => {
    fake.answers = [ok];
    fake.send({ type: 'process.spawned', pid: 7 });
    fake.send({ type: 'process.listening', endpoint });
    await script.pass(600);
  },
  'it crashes': async (_, { exit }) => exit('it ended with code 1', 1),
  'it ends with wrong usage': async (_, { exit }) => exit('it ended with code 2', 2),
  'it does not answer for a minute': async (script, { fake }) => {
    fake.answers = ['hangs'];
    await script.pass(61_000);
  },
  'its model is lost': async (script, { fake }) => {
    fake.answers = [loading('0 %')];
    await script.pass(10_100);
  },
  'it is stopped': async (_, { send }) => send({ type: 'stop' }),
  'it ignores SIGTERM': (script) => script.pass(5_100),
  'it ends': async (_, { exit }) => exit('it was ended by SIGTERM'),
};

for (const { steps, name } of edgePaths(model)) {
  t.test(name, async (t) => {
    const script = createScript();
    const worker = spawn(script);
    await script.pass(50);
    for (const { event, state } of steps) {
      await plays[event]?.(script, worker);
      await settle();
      const { value, context } = worker.getSnapshot();
      const expected = JSON.parse(state) === 'ended' ? (context.asked ? 'gone' : 'absent') : JSON.parse(state);
      t.equal(typeof value === 'string' ? value : Object.keys(value)[0], expected, event);
      t.equal(worker.fake.running, ['absent', 'crashed', 'gone'].includes(expected) ? 0 : 1, 'one process, or none');
      t.equal(worker.fake.mostRunning, 1, 'never two');
    }
    // It can be stopped in every state.
    worker.send({ type: 'stop' });
    await settle();
    if (worker.fake.running > 0) worker.exit('it was ended by SIGTERM');
    await settle();
    t.equal(worker.getSnapshot().value, 'gone');
    t.equal(worker.fake.running, 0);
    worker.stop();
  });
}
