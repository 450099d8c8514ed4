/** Counts of the requests that a gateway forwarded. Pure. */

/** Bounds of the histogram of times to the first byte, in seconds. */
export const FIRST_BYTE_BUCKETS_S = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];

/**
 * `answered`: completely, also with a 4xx of the worker. `unavailable`: no worker could answer. `lost`: an answer broke
 * off. `cancelled`: the client left.
 */
export type CallResult = 'answered' | 'unavailable' | 'lost' | 'cancelled';

export class GatewayStats {
  readonly #results: Record<CallResult, number> = { answered: 0, unavailable: 0, lost: 0, cancelled: 0 };
  readonly #firstByteCounts = FIRST_BYTE_BUCKETS_S.map(() => 0);
  #firstByteSumS = 0;
  #firstByteCount = 0;
  #retries = 0;

  finished(result: CallResult): void {
    this.#results[result] += 1;
  }

  /** Another worker was chosen after one had failed. */
  retried(): void {
    this.#retries += 1;
  }

  firstByte(afterMs: number): void {
    const bucket = FIRST_BYTE_BUCKETS_S.findIndex((bound) => afterMs / 1000 <= bound);
    if (bucket >= 0) this.#firstByteCounts[bucket] = (this.#firstByteCounts[bucket] ?? 0) + 1;
    this.#firstByteSumS += afterMs / 1000;
    this.#firstByteCount += 1;
  }

  get results(): Record<CallResult, number> {
    return { ...this.#results };
  }

  get retries(): number {
    return this.#retries;
  }

  /** `counts` by bucket. */
  get firstBytes(): { counts: number[]; sum: number; count: number } {
    return { counts: [...this.#firstByteCounts], sum: this.#firstByteSumS, count: this.#firstByteCount };
  }
}
