/** `rbee watch`: the live table on a terminal, one line per event anywhere else. */
import { type Client, type RbeeError, RbeeUnreachable } from '../client/index.js';
import { watchLines } from './watch-lines.js';
import type { WatchIo, WatchOutput } from './watch-output.js';
import { WatchScreen } from './watch-screen.js';

/** Conflicts are not in the stream; they are rare, and requested this often. */
const CONFLICTS_MS = 15_000;
const ENDS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Resolves when the user leaves (q, Ctrl-C, SIGTERM, a closed pipe). Rejects when the first request is refused. */
export async function watch(client: Client, io: WatchIo): Promise<void> {
  const leaving = new AbortController();
  const leave = () => leaving.abort();
  for (const signal of ENDS) process.once(signal, leave);
  // The reader of our lines (`| head`) has gone.
  io.stdout.on('error', leave);
  process.stderr.on('error', leave);
  const out = io.stdout.isTTY && !io.json ? new WatchScreen({ ...io, url: client.url, leave }) : watchLines(io);
  const conflicts = createConflictPoll(client, out, leaving.signal);
  let hasOpened = false;
  let refused: RbeeError | null = null;
  try {
    await client.followHeartbeats({
      signal: leaving.signal,
      onEvent: (event) => out.on(event),
      onState: (state, detail) => {
        conflicts.stop();
        if (detail.error && !hasOpened && !(detail.error instanceof RbeeUnreachable)) {
          // The first request fails for a wrong address or token; a later one perhaps because the queen is replaced.
          refused = detail.error;
          leave();
          return;
        }
        out.link(state, detail);
        if (state !== 'open') return;
        hasOpened = true;
        if (out.wantsConflicts) conflicts.start();
      },
    });
  } finally {
    conflicts.stop();
    for (const signal of ENDS) process.off(signal, leave);
    out.close();
  }
  if (refused) throw refused;
}

/** Requests conflicts and unreachable hives at once and then regularly; failures are those of the stream, too. */
function createConflictPoll(client: Client, out: WatchOutput, signal: AbortSignal) {
  let timer: NodeJS.Timeout | undefined;
  const poll = async () => {
    const answer = await client.hives().catch(() => null);
    if (!answer || signal.aborted) return;
    out.on({ event: 'conflicts', data: answer.conflicts });
    out.on({ event: 'unreachable', data: answer.unreachable ?? [] });
  };
  return {
    start: () => {
      void poll();
      timer = setInterval(() => void poll(), CONFLICTS_MS);
    },
    stop: () => clearInterval(timer),
  };
}
