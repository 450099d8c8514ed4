/** Asks hives that are not read yet to announce themselves: those somebody wrote down, listed, or told of. */
import pLimit from 'p-limit';
import type { Ask } from '../net/http.js';
import type { HiveAsker } from './ask-hive.js';

/** Hints of strangers wait in a queue of their own: thousands of wrong ones delay no search. */
const HINTS_IN_FLIGHT_MAX = 64;
const HINTS_MAX = 1_000;
/** After so many rounds in which a host was not asked because of who answered there, it is asked again. */
const SPARED_MAX = 10;

export interface Invitation {
  hiveUrl: string;
  /** Null where only the host is known. */
  hiveId: string | null;
  trusted: Ask['trusted'];
  /** For the log: "SSH host desk". */
  who: string;
  signal?: AbortSignal;
}

export interface InviteDeps {
  asker: HiveAsker;
  /** Why the hive at this URL is not to be asked, or null. */
  whyNotAsk: (hiveUrl: string, hiveId: string | null) => string | null;
  /** Whether a host of unknown name must say its name before it is invited: somebody was forgotten. */
  namesFirst: () => boolean;
  log: { debug: (message: string) => void; info: (message: string) => void };
}

/** What became of it; null when it was not asked. */
export type InviteOutcome = 'answered' | 'failed' | null;

export interface Inviter {
  invite: (invitation: Invitation) => Promise<InviteOutcome>;
  /** The same, some time, for somebody who does not wait. False when too many wait already. */
  hint: (invitation: Invitation) => boolean;
}

export function createInviter({ asker, whyNotAsk, namesFirst, log }: InviteDeps): Inviter {
  /** Who answered at a URL last: a host whose hive streams already is left in peace, whatever it is called here. */
  const answeredAs = new Map<string, { id: string | null; spared: number }>();
  const inFlight = new Set<string>();
  const limit = pLimit(HINTS_IN_FLIGHT_MAX);
  const hinted = new Set<string>();

  async function invite({ hiveUrl, hiveId, trusted, who, signal }: Invitation): Promise<InviteOutcome> {
    const options = { trusted, ...(signal ? { signal } : {}) };
    const remember = (id: string | null) => {
      // Only of hosts without a name: strangers could fill it otherwise.
      if (hiveId === null) answeredAs.set(hiveUrl, { id, spared: 0 });
    };
    const note = answeredAs.get(hiveUrl);
    const isOld = note !== undefined && note.spared >= SPARED_MAX;
    const expected = hiveId ?? (isOld ? null : note?.id) ?? null;
    const reason =
      whyNotAsk(hiveUrl, expected) ?? (note?.id === null && !isOld ? 'it was asked, and does not say its name' : null);
    if (reason !== null || inFlight.has(hiveUrl)) {
      if (note) note.spared += 1;
      log.debug(`${who} is not asked: ${reason ?? 'it is being asked'}`);
      return null;
    }
    inFlight.add(hiveUrl);
    try {
      if (isOld || (namesFirst() && !note)) {
        const { hive_id } = await asker.capabilities(hiveUrl, { ...options, invite: false });
        remember(hive_id);
        const objection = whyNotAsk(hiveUrl, hive_id);
        if (objection !== null) {
          log.debug(`${who} is not invited: ${objection}`);
          return 'failed';
        }
      }
      const { hive_id } = await asker.capabilities(hiveUrl, { ...options, invite: true });
      remember(hive_id);
      log.info(
        `${who} runs ${hive_id === null ? 'a hive that does not say its name' : `hive ${hive_id}`} at ${hiveUrl}`,
      );
      return 'answered';
    } catch (error) {
      log.debug(`${who}: ${(error as Error).message}`);
      return 'failed';
    } finally {
      inFlight.delete(hiveUrl);
    }
  }

  return {
    invite,
    hint: (invitation) => {
      const key = `${invitation.hiveId} ${invitation.hiveUrl}`;
      if (hinted.has(key)) return true;
      if (hinted.size >= HINTS_MAX) return false;
      hinted.add(key);
      void limit(() => invite(invitation)).finally(() => hinted.delete(key));
      return true;
    },
  };
}
