/** Plain arithmetic over a handful of measurements. */

/** @param p 0 to 1 */
export function percentile(values: readonly number[], p: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil(p * sorted.length) - 1)] ?? Number.NaN;
}

export const median = (values: readonly number[]): number => percentile(values, 0.5);
export const largest = (values: readonly number[]): number => values.reduce((a, b) => Math.max(a, b), -Infinity);
