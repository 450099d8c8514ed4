/** Reads a stream to its end, within a rate limit. */
import type { Readable } from 'node:stream';
import type { AwakeClock } from '../process/awake-clock.js';

/**
 * How fast a hive is read: a burst (what piled up while this process was frozen must be read quickly, or it would show old
 * values for a minute), and then a constant rate. A hive that sends more does not slow down the others.
 */
const RATE = {
  bytes: { burst: 4 * 1024 * 1024, perS: 256 * 1024 },
  events: { burst: 4_000, perS: 200 },
} as const;

export interface RateLimitedReader {
  /** Takes a chunk and returns how many events were in it. An error that it throws ends the reading. */
  take: (chunk: Buffer) => number;
  onHold: () => void;
  onRelease: () => void;
}

/** Resolves when the stream has ended, rejects with its error, or with what `take` threw. */
export function readRateLimited(
  body: Readable,
  clock: AwakeClock,
  { take, onHold, onRelease }: RateLimitedReader,
): Promise<void> {
  const bytes = createBucket(clock, RATE.bytes);
  const events = createBucket(clock, RATE.events);
  return new Promise((resolve, reject) => {
    let held: NodeJS.Timeout | undefined;
    body.on('data', (chunk: Buffer) => {
      try {
        const count = take(chunk);
        const waitMs = Math.max(bytes.take(chunk.length), events.take(count));
        if (waitMs === 0) return;
        // While we do not read, the sender's buffers fill up, and its own bound on slow readers applies.
        body.pause();
        onHold();
        held = setTimeout(() => {
          onRelease();
          body.resume();
        }, waitMs);
      } catch (error) {
        body.destroy(error as Error);
      }
    });
    body.once('error', reject);
    body.once('end', resolve);
    body.once('close', () => {
      clearTimeout(held);
      resolve();
    });
  });
}

/** A token bucket: `take` returns how many ms to wait after taking `amount`; 0 while there is enough. */
function createBucket(clock: AwakeClock, { burst, perS }: { burst: number; perS: number }) {
  let level: number = burst;
  let at = clock.now();
  return {
    take: (amount: number): number => {
      const now = clock.now();
      level = Math.min(burst, level + ((now - at) * perS) / 1000) - amount;
      at = now;
      return level >= 0 ? 0 : (-level / perS) * 1000;
    },
  };
}
