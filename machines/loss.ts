/** Why a hive is lost: the sentences that readers are shown. */
import type { Failure, FailureKind } from './failure.js';

export interface Loss {
  reason: string;
  /** What kind of failure `reason` is, where it is one. */
  failure?: FailureKind | null;
}

/** Only a person can put these right, so they are shown instead of the reason of the loss. */
const NEEDS_A_PERSON = new Set<FailureKind>(['unauthorized', 'protocol', 'identity', 'not-allowed', 'exhausted']);

export const lossByFailure = ({ kind, message }: Failure): Loss => ({ reason: message, failure: kind });

export const lossBySilence = (ms: number): Loss => ({ reason: `silent for ${Math.round(ms / 100) / 10} s` });

export const notOpened = (hiveUrl: string): Loss => ({
  reason: `${hiveUrl} did not open its stream within 5 s`,
  failure: 'timeout',
});

export const notAnnounced = (hiveUrl: string): Loss => ({
  reason: `${hiveUrl} did not announce itself when asked`,
});

/** @param invalid what was wrong with the events that arrived; null when none did */
export const noEvent = (invalid: string | null): Loss => ({
  reason:
    invalid === null
      ? 'its stream opens, but no event arrives: large packets may not pass (check the MTU of the path)'
      : `its events are not understood: ${invalid}`,
});

/** Why a hive is still away: how it was lost and what the search for it met, or what a person must put right first. */
export function reasonOfAbsence(lostBy: string | null, { kind, message }: Failure): string {
  return NEEDS_A_PERSON.has(kind) || lostBy === null || lostBy === message ? message : `${lostBy}; ${message}`;
}
