import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import t from 'tap';
import { readResources, shortagesOf } from '../../../actors/process/read-resources.js';
import { temporary } from '../../helpers/temporary.js';

const FINE = { certificateDays: 90, diskFreeMb: 10_000, descriptors: { open: 40, max: 1_024 } };
const DAY_MS = 24 * 3600 * 1000;
const hasOpenssl = spawnSync('openssl', ['version']).status === 0;

t.test('each shortage is one sentence', async (t) => {
  t.same(shortagesOf(FINE), []);
  t.same(shortagesOf({ certificateDays: null, diskFreeMb: null, descriptors: null }), []);
  t.match(shortagesOf({ ...FINE, certificateDays: 13 }), [/ends in 13 days/]);
  t.match(shortagesOf({ ...FINE, certificateDays: -1 }), [/has expired/]);
  t.match(shortagesOf({ ...FINE, diskFreeMb: 12.5 }), [/12 MiB left/]);
  t.match(shortagesOf({ ...FINE, descriptors: { open: 1_000, max: 1_024 } }), [/1000 of 1024 file descriptors/]);
});

t.test('disk and descriptors are read where the system reports them', async (t) => {
  const { certificateDays, diskFreeMb, descriptors } = readResources(tmpdir(), null, Date.now());
  t.equal(certificateDays, null);
  t.ok(diskFreeMb !== null && diskFreeMb >= 0);
  if (process.platform === 'linux') t.ok(descriptors && descriptors.open > 2 && descriptors.max > descriptors.open);
  t.equal(readResources('/nowhere/at/all', 'no certificate', Date.now()).diskFreeMb, null);
  t.equal(readResources(tmpdir(), 'no certificate', Date.now()).certificateDays, null);
});

t.test('the days of a certificate are counted', { skip: hasOpenssl ? false : 'no openssl' }, async (t) => {
  const dir = temporary(t);
  const [key, pem] = [path.join(dir, 'key'), path.join(dir, 'pem')];
  const files = ['-keyout', key, '-out', pem];
  const line = ['req', '-x509', '-newkey', 'ed25519', '-nodes', '-days', '10', '-subj', '/CN=x', ...files];
  t.equal(spawnSync('openssl', line).status, 0);
  const certificate = readFileSync(pem, 'utf8');
  const days = (now: number) => readResources(dir, certificate, now).certificateDays ?? Number.NaN;
  t.ok([9, 10].includes(days(Date.now())));
  t.ok(days(Date.now() + 11 * DAY_MS) < 0);
});
