/** Bounds how many requests run at once: one per slot, then a bounded queue; the rest are refused. */
import { InferenceRefused } from '../wire/infer.js';

const RETRY_S = 2;

/** The bound where the engine schedules its requests itself. */
const IN_FLIGHT_MAX = 1_024;

export interface AdmissionInput {
  /** Null: the engine batches and schedules by itself. */
  slots: number | null;
  queueMax: number;
  /** Called when the first request begins, and when none is left. */
  onBusyChange: () => void;
}

export class Admission {
  running = 0;
  private readonly queue: (() => void)[] = [];

  constructor(private readonly input: AdmissionInput) {}

  get waiting(): number {
    return this.queue.length;
  }

  /** Resolves when a slot is free, in order of arrival, with the function that releases it. @throws InferenceRefused 503 */
  async enter(signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted();
    if (this.running < (this.input.slots ?? IN_FLIGHT_MAX)) {
      this.running += 1;
      if (this.running === 1) this.input.onBusyChange();
      return this.releaser();
    }
    if (this.queue.length >= this.input.queueMax) {
      throw new InferenceRefused(
        503,
        `this worker answers ${this.running} requests, and ${this.queue.length} wait: try again later, or start another worker`,
        { code: 'overloaded', retryAfterS: RETRY_S },
      );
    }
    await this.enqueue(signal);
    return this.releaser();
  }

  private enqueue(signal: AbortSignal): Promise<void> {
    return new Promise<void>((resolve, reject) => {
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
  }

  /** The slot is handed to the first in the queue without becoming free in between, so that no later request overtakes. */
  private releaser(): () => void {
    let released = false;
    return () => {
      if (released) return;
      released = true;
      const next = this.queue.shift();
      if (next) return next();
      this.running -= 1;
      if (this.running === 0) this.input.onBusyChange();
    };
  }
}
