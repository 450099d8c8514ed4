/** How many requests work at once: so many, then so many that wait, and no more. */
import { InferenceRefused } from '../wire/infer.js';

const RETRY_S = 2;

/** Where the engine decides who waits, so many requests are in flight. */
const IN_FLIGHT_MAX = 1_024;

export interface AdmissionInput {
  /** Null: the engine batches by itself, and decides who waits. */
  slots: number | null;
  queueMax: number;
  /** Told when nobody worked before, or nobody works any more. */
  onBusy: () => void;
}

export class Admission {
  running = 0;
  private readonly queue: (() => void)[] = [];

  constructor(private readonly input: AdmissionInput) {}

  get waiting(): number {
    return this.queue.length;
  }

  /** Resolves when there is room, in order of arrival; the function it gives makes room again. @throws InferenceRefused 503 */
  async enter(signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted();
    if (this.running < (this.input.slots ?? IN_FLIGHT_MAX)) return this.begin();
    if (this.queue.length >= this.input.queueMax) {
      throw new InferenceRefused(
        503,
        `this worker answers ${this.running} requests, and ${this.queue.length} wait: try again later, or start another worker`,
        { code: 'overloaded', retryAfterS: RETRY_S },
      );
    }
    await new Promise<void>((resolve, reject) => {
      const leave = () => {
        this.queue.splice(this.queue.indexOf(next), 1);
        reject(signal.reason);
      };
      const next = () => {
        signal.removeEventListener('abort', leave);
        resolve();
      };
      signal.addEventListener('abort', leave, { once: true });
      this.queue.push(next);
    });
    return this.leaver();
  }

  private begin(): () => void {
    this.running += 1;
    if (this.running === 1) this.input.onBusy();
    return this.leaver();
  }

  /** The place goes to whoever waits longest: it is never free in between, so nobody overtakes. */
  private leaver(): () => void {
    let left = false;
    return () => {
      if (left) return;
      left = true;
      const next = this.queue.shift();
      if (next) return next();
      this.running -= 1;
      if (this.running === 0) this.input.onBusy();
    };
  }
}
