/** Hives of the first implementation recover like those of rbee: the queen does what they do not do. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { originalHive } from '../fakes/original-hive.js';
import { getJson, postJson } from '../helpers/http.js';
import { restart, startProcess } from '../helpers/process.js';
import { temporary } from '../helpers/temporary.js';
import { waitFor } from '../helpers/wait.js';

const entryOf = async (queenUrl: string, hiveId: string) => (await getJson(`${queenUrl}/v1/hives/${hiveId}`)).body;
const inState = (queenUrl: string, hiveId: string, state: string) =>
  waitFor(`${hiveId} to be ${state}`, async () => (await entryOf(queenUrl, hiveId)).state === state, {
    timeoutMs: 30_000,
  });

t.jobs = 4;

t.test('an original hive is back after the queen was killed and started again', async (t) => {
  const hive = await originalHive(t, { hiveId: 'original' });
  const queen = await startProcess(t, { name: 'queen' });
  await hive.announce(queen.url);
  await inState(queen.url, 'original', 'streaming');
  const file = path.join(queen.stateDir, 'queen', queen.id, 'hives.json');
  await waitFor('the file', () => existsSync(file) && readFileSync(file, 'utf8').includes('original'));
  await queen.kill('SIGKILL');
  const again = await restart(queen);
  await inState(again.url, 'original', 'streaming');
  t.same(hive.askedToAnnounce, [again.url]);
  t.equal(hive.readers.size, 1);
  const { devices } = await waitFor('devices', async () => {
    const one = await entryOf(again.url, 'original');
    return one.devices !== null && one;
  });
  t.match(devices, [{ id: 'CPU-0' }]);
});

t.test('an original hive is back after it was silent for ten seconds', async (t) => {
  const hive = await originalHive(t, { hiveId: 'original' });
  const queen = await startProcess(t, { name: 'queen' });
  await hive.announce(queen.url);
  await inState(queen.url, 'original', 'streaming');
  hive.silent = true;
  await inState(queen.url, 'original', 'lost');
  hive.silent = false;
  await inState(queen.url, 'original', 'streaming');
  t.equal(hive.readers.size, 1);
});

t.test('an original hive that gave up is found by register-hive', async (t) => {
  const hive = await originalHive(t, { hiveId: 'original' });
  const queen = await startProcess(t, { name: 'queen' });
  const { status } = await postJson(`${queen.url}/v1/queen/register-hive`, { hive_id: 'original', hive_url: hive.url });
  t.equal(status, 200);
  await inState(queen.url, 'original', 'streaming');
});

t.test(
  'an original hive on a host of the SSH config is found, and not asked for an announcement in each round',
  async (t) => {
    const hive = await originalHive(t, { hiveId: 'original', host: '127.0.0.3' });
    const sshConfig = path.join(temporary(t), 'config');
    writeFileSync(sshConfig, 'Host old\n  HostName 127.0.0.3\n');
    const queen = await startProcess(t, {
      name: 'queen',
      args: ['--ssh-config', sshConfig, '--hive-port', String(hive.port), '--log-level', 'debug'],
    });
    await inState(queen.url, 'original', 'streaming');
    // The second round is 5 s after the first.
    await waitFor('the second round', () => /SSH host old is not asked/.test(queen.stderr()));
    t.equal(hive.askedToAnnounce.length, 1);
    t.match(queen.stderr(), /SSH host old runs a hive that does not state its name/);
  },
);
