import { closeSync, openSync } from 'node:fs';
import t from 'tap';
import { peerFailure } from '../../../actors/net/failure.js';
import { ask } from '../../../actors/net/http.js';
import { fakeHive } from '../../fakes/hive.js';

const URL = 'http://10.0.0.1:7835/capabilities';
/** Enough for any limit that people set. */
const FILES_MAX = 100_000;
const OUTGOING = { token: null, ca: null, loopbackOnly: false, family: 0 } as const;

t.test('a shortage of this process is not reported as a failure of the peer', async (t) => {
  for (const code of ['EMFILE', 'ENFILE', 'ENOBUFS', 'EADDRNOTAVAIL']) {
    const failure = peerFailure(URL, Object.assign(new Error(code), { code }));
    t.match(failure, {
      kind: 'exhausted',
      message: new RegExp(`^this process cannot open a connection \\(${code}\\)`),
    });
    t.notMatch(failure.message, '10.0.0.1');
  }
  t.match(peerFailure(URL, { code: 'ECONNREFUSED' }), { kind: 'refused', message: `${URL}: connection refused` });
});

t.test('a request fails as `exhausted` when no file descriptor is left', async (t) => {
  const hive = await fakeHive(t);
  const taken: number[] = [];
  try {
    while (taken.length < FILES_MAX) taken.push(openSync('/dev/null', 'r'));
  } catch (error) {
    t.match(error, { code: 'EMFILE' });
  }
  const asked = ask(OUTGOING, `${hive.url}/health`, { trusted: false }).catch((error: unknown) => error);
  const failure = await asked;
  for (const fd of taken) closeSync(fd);
  if (taken.length === FILES_MAX) return t.pass('this machine has no limit that is worth reaching');
  t.match(failure, { kind: 'exhausted' });
});
