/** What a running job writes to its stream. */
export interface JobOutput {
  /** For people. */
  line: (text: string) => void;
  /** For programs. */
  result: (action: string, payload: unknown) => void;
}
