import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import t from 'tap';

const actors = (name: string) => JSON.stringify(fileURLToPath(new URL(`../../../actors/${name}.js`, import.meta.url)));

/** Starts a process that does not end, sends it `signal` as soon as it runs, and prints how it ended. */
const script = (stateDir: string, signal: string) => `
const { createActor, createMachine, spawnChild, sendTo } = await import('xstate');
const { createRunWorker } = await import(${actors('worker/run-worker')});
const { SpawnRecords } = await import(${actors('worker/spawn-records')});
const { openStateDir } = await import(${actors('process/state-dir')});
const state = openStateDir({ root: ${JSON.stringify(stateDir)}, process: 'hive', id: 'gpu-0' }, () => {});
const run = createRunWorker({
  records: new SpawnRecords(state), spawner: 'hive/gpu-0/i', cgroups: false, log: () => {},
  commandOf: () => ['/bin/sleep', '600'], environment: () => ({}),
});
const request = { model: 'tiny', worker: 'cpu', device: 0, engineUrl: null };
const machine = createMachine({
  entry: spawnChild(run, { id: 'run', input: { id: 'spawn-1', request, adopt: null, workerId: null } }),
  on: {
    'process.spawned': { actions: sendTo('run', { type: 'signal', signal: '${signal}' }) },
    'process.exited': { actions: ({ event }) => { console.log(event.exit.message); process.exit(0); } },
  },
});
createActor(machine).start();
`;

const withoutProc = ['-m', '--', 'sh', '-c', 'mount -t tmpfs none /proc && exec "$@"', 'sh', process.execPath];
const canHideProc = spawnSync('unshare', [...withoutProc, '-e', '0']).status === 0;

for (const signal of ['SIGTERM', 'SIGKILL']) {
  t.test(`a worker gets ${signal} from its spawner, also without /proc`, async (t) => {
    const args = ['--input-type=module', '-e', script(t.testdir(), signal)];
    const options = { encoding: 'utf8', timeout: 60_000 } as const;
    t.match(spawnSync(process.execPath, args, options).stdout, new RegExp(`it was ended by ${signal}`));
    if (!canHideProc) return t.comment('/proc cannot be hidden here');
    t.match(spawnSync('unshare', [...withoutProc, ...args], options).stdout, new RegExp(`it was ended by ${signal}`));
  });
}
