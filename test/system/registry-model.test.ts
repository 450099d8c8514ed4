/**
 * A real queen with a lease and a directory, and a registry that does everything that a registry can do in every state of
 * the two. After each step each is in the state of its model; after each path both recover, and the process ends in order.
 */
import t, { type Test } from 'tap';
import { type FakeRegistry, fakeRegistry, type RegistryMode } from '../fakes/registry.js';
import { getJson } from '../helpers/http.js';
import { edgePaths } from '../helpers/paths.js';
import { type RbeeProcess, startProcess } from '../helpers/process.js';
import { directoryModel, leaseModel, REASONS } from '../helpers/registry-models.js';
import { waitFor } from '../helpers/wait.js';

interface Pair {
  registry: FakeRegistry;
  queen: RbeeProcess;
}

const machine = async ({ queen }: Pair, name: 'lease' | 'directory') => {
  const { machines } = (await getJson(`${queen.url}/v1/machines`)).body;
  const found = machines.filter((one: { machine: string }) => one.machine === name);
  if (found.length !== 1) throw new Error(`${found.length} machines ${name}`);
  return found[0] as {
    state: string;
    value: unknown;
    context: { reason: string | null };
    transitions: { reason: string | null }[];
  };
};

/** A lost machine is in its first state during a request, with the reason of the request before. */
const isIn = ({ state, value }: { state: string; value: unknown }, expected: string): boolean => {
  if (expected === 'following') return JSON.stringify(value) === '{"reading":"following"}';
  if (expected === 'lost') return ['lost', 'registering', 'reading'].includes(state);
  return state === expected;
};

const serves = ({ registry }: Pair) => {
  registry.mode = 'serve';
  registry.modes = {};
  return registry.listen().catch(() => {});
};
const fails = (mode: RegistryMode) => async (pair: Pair) => {
  await serves(pair);
  pair.registry.mode = mode;
};
const events: Record<string, (pair: Pair) => Promise<unknown> | unknown> = {
  'it works': serves,
  'it answers 401': fails(401),
  'it answers 503': fails(503),
  'it redirects': fails('redirect'),
  'it sends an invalid body': fails('nonsense'),
  'it hangs': fails('hang'),
  'it goes away': ({ registry }) => registry.close(),
  'it closes the stream': ({ registry }) => registry.dropStreams(),
  'it has no stream': async (pair) => {
    await serves(pair);
    pair.registry.modes = { stream: 404 };
  },
  'it forgets the lease': async (pair) => {
    await serves(pair);
    const before = pair.registry.registrations.length;
    pair.registry.clear();
    await waitFor('a registration', () => pair.registry.registrations.length > before);
  },
  'it comes back empty': async (pair) => {
    await pair.registry.close();
    pair.registry.clear();
    await serves(pair);
    await waitFor('a registration', () => pair.registry.isListed('queen', 'queen-desk'), { timeoutMs: 30_000 });
  },
};

async function start(t: Test): Promise<Pair> {
  const registry = await fakeRegistry(t, { intervalS: 0.2 });
  const args = ['--queen-id', 'queen-desk', '--registry-url', registry.url];
  const queen = await startProcess(t, { name: 'queen', args });
  const pair = { registry, queen };
  await waitFor('lease and directory', async () => {
    return isIn(await machine(pair, 'lease'), 'registered') && isIn(await machine(pair, 'directory'), 'following');
  });
  return pair;
}

async function expectHealed(pair: Pair): Promise<void> {
  const { registry, queen } = pair;
  await serves(pair);
  await waitFor(
    'lease and directory',
    async () => {
      const whole =
        isIn(await machine(pair, 'lease'), 'registered') && isIn(await machine(pair, 'directory'), 'following');
      return whole && registry.isListed('queen', 'queen-desk') && registry.streams.length === 1;
    },
    { timeoutMs: 30_000 },
  );
  registry.put({ kind: 'worker', id: 'a-worker', url: registry.url });
  await waitFor('the worker', async () => (await getJson(`${queen.url}/v1/workers`)).body.workers.length === 1);
  const { code } = await queen.kill();
  if (code !== 0) throw new Error(`exit code ${code}`);
  if (registry.isListed('queen', 'queen-desk')) throw new Error('it is still listed');
}

t.jobs = 8;
// The longest test: it runs in parallel to the others.
t.test('a registry that is silent is given up after 40 s, and read again', { buffered: true }, async (t) => {
  const pair = await start(t);
  const isShown = async () =>
    (await machine(pair, 'directory')).transitions.some(({ reason }) => /was silent for 40 s/.test(reason ?? ''));
  await waitFor('the failure to be shown', isShown, { timeoutMs: 120_000, everyMs: 500 });
  await expectHealed(pair);
});

for (const [name, model] of [
  ['lease', leaseModel],
  ['directory', directoryModel],
] as const) {
  for (const { steps, name: path } of edgePaths(model)) {
    t.test(`the ${name}: ${path}`, { buffered: true }, async (t) => {
      const pair = await start(t);
      for (const { event, state } of steps) {
        if (event === 'the process leaves') {
          t.equal((await pair.queen.kill()).code, 0);
          return;
        }
        const play = events[event];
        if (!play) throw new Error(`no way to play the event of the model: ${event}`);
        await play(pair);
        const expected = JSON.parse(state) as string;
        await waitFor(
          `${expected} after ${event}`,
          async () => {
            const found = await machine(pair, name);
            const reason = found.context.reason ?? '';
            return isIn(found, expected) && (expected === 'lost' ? REASONS[event]?.test(reason) : reason === '');
          },
          { timeoutMs: 40_000 },
        );
      }
      await expectHealed(pair);
      t.equal(pair.registry.redirectsFollowed, 0);
    });
  }
}
