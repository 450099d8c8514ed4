/**
 * A queen, a hive and a worker of it are killed, frozen and restarted, in every order that an abstract model of the three
 * allows. After each step the queen lists the worker once, online exactly when it answers, its gateway forwards to it
 * exactly when it is available, and what is gone is not listed.
 */
import t, { type Test } from 'tap';
import { createMachine } from 'xstate';
import { SENTENCE } from '../../cli/tiny-gguf.js';
import { isAlive } from '../helpers/alive.js';
import { getJson } from '../helpers/http.js';
import { run } from '../helpers/jobs.js';
import { edgeWalks } from '../helpers/paths.js';
import { type RbeeProcess, restart, startProcess } from '../helpers/process.js';
import { waitFor } from '../helpers/wait.js';
import { clientOf, endGroup, tinyModel } from '../helpers/worker.js';

const model = createMachine({
  initial: 'serving',
  states: {
    serving: {
      on: {
        // Its hive restarts it.
        'the worker is killed': 'serving',
        'the worker hangs': 'hung',
        'the hive is killed': 'alone',
        'the queen is killed': 'unseen',
      },
    },
    hung: {
      on: { 'the worker thaws': 'serving', 'the worker is killed': 'serving', 'the hive is killed': 'alone, hung' },
    },
    alone: {
      on: {
        'the hive returns': 'serving',
        'the worker hangs': 'alone, hung',
        'the worker is killed': 'gone',
        'the queen is killed': 'alone, unseen',
      },
    },
    'alone, hung': { on: { 'the worker thaws': 'alone', 'the hive returns': 'hung', 'the worker is killed': 'gone' } },
    // It was not stopped: its hive restores it.
    gone: { on: { 'the hive returns': 'serving' } },
    unseen: {
      on: { 'the queen returns': 'serving', 'the worker is killed': 'unseen', 'the hive is killed': 'alone, unseen' },
    },
    'alone, unseen': { on: { 'the queen returns': 'alone', 'the hive returns': 'unseen' } },
  },
});

/** The health of a silent worker is checked every 30 s, with 5 s to answer; its heartbeat is as seldom. */
const NOTICED_MS_MAX = 100_000;
/** Of the hive's measurements. */
const INTERVAL_MS = 1_000;
const STEPS_MAX = 4;

interface Worker {
  id: string;
  pid: number;
  url: string;
}

interface Swarm {
  queen: RbeeProcess;
  hive: RbeeProcess;
  worker: Worker;
  model: string;
  /** Every worker that ran: ended with the test, also if its hive was killed. */
  pids: Set<number>;
}

async function spawnWorker(t: Test, swarm: Swarm): Promise<void> {
  const { hive, model } = swarm;
  const { ending } = await run(t, hive.url, { operation: 'worker_spawn', model, worker: 'cpu' });
  if (ending !== '[DONE]') throw new Error(ending);
  await updateWorker(swarm, () => true);
}

/** Waits until the hive has a healthy worker, and takes it over into `swarm`. */
async function updateWorker(swarm: Swarm, fits: (pid: number) => boolean): Promise<void> {
  swarm.worker = await waitFor(
    'a healthy worker on the hive',
    async () => {
      const { machines } = (await getJson(`${swarm.hive.url}/v1/machines`)).body;
      const found = machines.filter(({ machine }: { machine: string }) => machine === 'worker');
      if (found.length !== 1 || found[0].state !== 'healthy') throw new Error(JSON.stringify(found));
      const { pid, endpoint } = found[0].context;
      return fits(pid) && { id: endpoint.workerId, pid, url: endpoint.url };
    },
    { timeoutMs: NOTICED_MS_MAX },
  );
  swarm.pids.add(swarm.worker.pid);
}

async function start(t: Test): Promise<Swarm> {
  const queen = await startProcess(t, { name: 'queen', args: ['--queen-id', 'queen-model'] });
  const hive = await startProcess(t, { name: 'hive', args: ['--hive-id', 'gpu-0', '--queen-url', queen.url] });
  const swarm: Swarm = { queen, hive, model: tinyModel(t), worker: { id: '', pid: 0, url: '' }, pids: new Set() };
  t.teardown(() => {
    for (const pid of swarm.pids) endGroup(pid);
  });
  await spawnWorker(t, swarm);
  return swarm;
}

const events: Record<string, (swarm: Swarm, t: Test, state: string) => Promise<void> | void> = {
  'the worker is killed': async (swarm, _, state) => {
    const { pid } = swarm.worker;
    endGroup(pid);
    if (state !== 'gone') await updateWorker(swarm, (next) => next !== pid);
  },
  'the worker hangs': ({ worker }) => void process.kill(worker.pid, 'SIGSTOP'),
  'the worker thaws': ({ worker }) => void process.kill(worker.pid, 'SIGCONT'),
  'the hive is killed': async ({ hive }) => void (await hive.kill('SIGKILL')),
  'the hive returns': async (swarm, _, state) => {
    const { pid } = swarm.worker;
    const isRunning = isAlive(pid);
    swarm.hive = await restart(swarm.hive);
    if (state !== 'hung') await updateWorker(swarm, (own) => (own === pid) === isRunning);
  },
  'the queen is killed': async ({ queen }) => void (await queen.kill('SIGKILL')),
  'the queen returns': async (swarm) => {
    swarm.queen = await restart(swarm.queen);
  },
};

const ask = async (at: { url: string }) => {
  const messages = [{ role: 'user' as const, content: 'Who are you?' }];
  const { data, response } = await clientOf(at).chat.completions.create({ model: 'tiny', messages }).withResponse();
  return { text: data.choices[0]?.message.content, by: response.headers.get('rbee-worker') };
};

/** What must hold in each state; `serving` and `alone` look the same to a client. */
async function expectState(t: Test, { queen, hive, worker }: Swarm, state: string): Promise<void> {
  if (state === 'unseen' || state === 'alone, unseen') {
    t.equal((await ask(worker)).text, SENTENCE, `${state}: it still serves`);
    return;
  }
  const serves = state === 'serving' || state === 'alone';
  // Older measurements do not count: the hive may not have had its worker then.
  const measuredAfter = Date.now() + INTERVAL_MS;
  const holds = async () => {
    const { workers } = (await getJson(`${queen.url}/v1/workers`)).body as {
      workers: { worker_id: string; online: boolean; available: boolean; reason: string | null; url: string }[];
    };
    const ids = workers.map(({ worker_id }) => worker_id);
    if (new Set(ids).size !== ids.length) throw new Error(`listed twice: ${ids}`);
    const available = workers.filter((one) => one.available).map(({ url }) => url);
    const online = workers.filter((one) => one.online).map(({ url }) => url);
    // A worker that hangs is still online for its hive, which will end it.
    const wanted = { available: serves ? [worker.url] : [], online: serves || state === 'hung' ? [worker.url] : [] };
    if (JSON.stringify({ available, online }) !== JSON.stringify(wanted)) {
      throw new Error(JSON.stringify(workers.map(({ worker_id, online, reason }) => [worker_id, online, reason])));
    }
    const { data } = (await getJson(`${queen.url}/v1/models`)).body;
    if (state === 'serving') {
      const { body: entry } = await getJson(`${queen.url}/v1/hives/gpu-0`);
      if (entry.state !== 'streaming' || Date.parse(entry.last_telemetry_at) < measuredAfter)
        throw new Error(entry.state);
    }
    if ((data.length === 1) !== serves) throw new Error(JSON.stringify(data));
    return true;
  };
  t.ok(await waitFor(`${state} to be reached`, holds, { timeoutMs: NOTICED_MS_MAX }), state);
  if (serves) t.same(await ask(queen), { text: SENTENCE, by: worker.id }, `${state}: the gateway forwards to it`);
  else
    await t.rejects(ask(queen), { status: 503, code: 'model_not_available' }, `${state}: the gateway forwards to none`);
  if (state === 'serving') {
    const { machines } = (await getJson(`${hive.url}/v1/machines`)).body;
    const own = machines.filter(({ machine }: { machine: string }) => machine === 'worker');
    t.same(
      own.map(({ context }: { context: { pid: number } }) => context.pid),
      [worker.pid],
      'its hive lists it once',
    );
  }
}

t.jobs = 6;
for (const walk of edgeWalks(model, STEPS_MAX)) {
  t.test(walk.map(({ event }) => event).join(', then '), { buffered: true }, async (t) => {
    const swarm = await start(t);
    await expectState(t, swarm, 'serving');
    for (const { event, state, fresh } of walk) {
      const play = events[event];
      if (!play) throw new Error(`the model has an event without a play: ${event}`);
      await play(swarm, t, state);
      if (fresh) await expectState(t, swarm, state);
    }
  });
}
