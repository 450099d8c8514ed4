/** Two clocks: `ms` is monotonic and decides, `iso` is the wall clock and is shown. */
export interface Now {
  ms: number;
  iso: string;
}
