/** Why a peer could not be had, in the form in which machines keep it. */

export type FailureKind =
  | 'refused'
  | 'timeout'
  | 'status'
  | 'conflict'
  | 'unauthorized'
  | 'protocol'
  | 'not-allowed'
  | 'identity'
  | 'closed'
  | 'broken';

export interface Failure {
  kind: FailureKind;
  /** One sentence for people. */
  message: string;
}

/** What an actor rejected with, as a failure; anything unforeseen is `broken`. */
export function asFailure(error: unknown): Failure {
  const { kind, message } = (error ?? {}) as Partial<Failure>;
  return { kind: kind ?? 'broken', message: message ?? String(error) };
}

/** The actor that a machine invokes when whoever runs it forgot to provide the real one. */
export function notProvided(name: string): never {
  throw new Error(`actor '${name}' was not provided`);
}
