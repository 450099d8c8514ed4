/** Takes the state directory that it is told of, at the moment that it is told, as one of many that do the same. */
import { openStateDir, type StateDir } from '../../actors/process/state-dir.js';
import { StateInUse } from '../../actors/process/state-lock.js';

export type LockRequest = { root: string; atMs: number } | 'release';
export type LockAnswer = 'taken' | 'in use' | 'released' | 'ready';

let held: StateDir | null = null;
const say = (answer: LockAnswer) => process.send?.(answer);

process.on('message', (request: LockRequest) => {
  if (request === 'release') {
    held?.release();
    held = null;
    return say('released');
  }
  // All of them in the same moment: that is what is tried.
  while (performance.timeOrigin + performance.now() < request.atMs);
  try {
    held = openStateDir({ root: request.root, process: 'hive', id: 'raced' }, () => {});
    say('taken');
  } catch (error) {
    if (!(error instanceof StateInUse)) throw error;
    say('in use');
  }
});
process.on('disconnect', () => process.exit(0));
say('ready');
