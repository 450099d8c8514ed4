/** Whether other users could change the state of a process, which decides whose tokens it accepts and which processes it ends. */
import { statSync } from 'node:fs';
import path from 'node:path';

const [OTHERS_WRITE, GROUP_WRITES, STICKY] = [0o002, 0o020, 0o1000];

/**
 * One sentence on what is wrong with a directory below the state directory `root`, or null. We must own it, and we or root
 * the directories above it, up to `root`. A world-writable one, such as /tmp, must be sticky.
 */
export function whyUnsafe(root: string, directory: string): string | null {
  const own = process.getuid?.();
  if (own === undefined) return null;
  let at = directory;
  for (;;) {
    const { uid, mode } = statSync(at);
    const isLast = at === directory;
    if (uid !== own && (isLast || uid !== 0))
      return `${at} belongs to another user (${uid}): chown it, or choose another`;
    const writers = isLast ? OTHERS_WRITE | GROUP_WRITES : OTHERS_WRITE;
    if ((mode & writers) !== 0 && (isLast || (mode & STICKY) === 0)) {
      return `other users can write to ${at} (mode ${(mode & 0o7777).toString(8)}): chmod ${isLast ? 700 : 'o-w'} it, or choose another`;
    }
    if (at === path.resolve(root) || path.dirname(at) === at) return null;
    at = path.dirname(at);
  }
}
