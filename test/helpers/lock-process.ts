/** Takes the state directory that it is sent, at the moment that it is sent, in a race with other processes. */
import { openStateDir, type StateDir } from '../../actors/process/state-dir.js';
import { StateInUse } from '../../actors/process/state-lock.js';

export type LockRequest = { root: string; atMs: number } | 'release';
export type LockAnswer = 'taken' | 'in use' | 'released' | 'ready';

let held: StateDir | null = null;
const send = (answer: LockAnswer) => process.send?.(answer);

process.on('message', (request: LockRequest) => {
  if (request === 'release') {
    held?.release();
    held = null;
    return send('released');
  }
  // All processes try at the same moment: the test is about that race.
  while (performance.timeOrigin + performance.now() < request.atMs);
  try {
    held = openStateDir({ root: request.root, process: 'hive', id: 'raced' }, () => {});
    send('taken');
  } catch (error) {
    if (!(error instanceof StateInUse)) throw error;
    send('in use');
  }
});
process.on('disconnect', () => process.exit(0));
send('ready');
