/** Why a peer could not be reached or used, in the form in which machines keep it. */

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
  /** This process is out of descriptors, ports or buffers: not a fault of the peer. */
  | 'exhausted'
  | 'broken';

export interface Failure {
  kind: FailureKind;
  /** One sentence for people. */
  message: string;
}

const REACH =
  'let this queen through the firewall to that port, or start the hive with --advertise-url and a URL at which the queen reaches it';
const ANSWERS = 'something that is not this hive answers there: check --advertise-url, and the proxy if there is one';

/** What a person can do about a hive that announced itself and cannot be read. */
const REMEDIES: Record<FailureKind, string> = {
  refused: REACH,
  timeout: REACH,
  closed: REACH,
  status: ANSWERS,
  conflict: ANSWERS,
  broken: ANSWERS,
  identity: ANSWERS,
  unauthorized: 'set the same --token on the queen and on the hive',
  protocol: 'install the same version of rbee on both',
  'not-allowed': 'the reason says what to set',
  exhausted: 'the queen has run out of something, not the hive: the reason says what to raise',
};

export const remedyForHive = (kind: FailureKind | null): string => REMEDIES[kind ?? 'closed'];

/** The rejection of an actor as a failure; anything unforeseen is `broken`. */
export function asFailure(error: unknown): Failure {
  const { kind, message } = (error ?? {}) as Partial<Failure>;
  return { kind: kind ?? 'broken', message: message ?? String(error) };
}

/** The default of an actor that has to be provided. */
export function notProvided(name: string): never {
  throw new Error(`actor '${name}' was not provided`);
}
