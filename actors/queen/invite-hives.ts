/** Asks hives that are not read yet to announce themselves: those of the SSH config, of the registry, and registered ones. */
import pLimit from 'p-limit';
import type { Ask } from '../net/http.js';
import type { HiveAsker } from './ask-hive.js';

/** Hints wait in their own queue: thousands of wrong ones delay no search. */
const HINTS_IN_FLIGHT_MAX = 64;
const HINTS_MAX = 1_000;
/** After so many rounds a host that was skipped because of the hive that answered there last is asked again. */
const SKIPPED_MAX = 10;

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
  /** Whether a host is asked for its name before it is invited: it may run a hive that was forgotten. */
  namesFirst: () => boolean;
  log: { debug: (message: string) => void; info: (message: string) => void };
}

/** Null when the hive was not asked. */
export type InviteOutcome = 'answered' | 'failed' | null;

export interface Inviter {
  invite: (invitation: Invitation) => Promise<InviteOutcome>;
  /** Queues the invitation. False when the queue is full. */
  hint: (invitation: Invitation) => boolean;
}

export function createInviter({ asker, whyNotAsk, namesFirst, log }: InviteDeps): Inviter {
  /** The hive that answered at a URL last: a host whose hive streams already is not asked, whatever the host's name is. */
  const answeredAs = new Map<string, { id: string | null; skipped: number }>();
  const inFlight = new Set<string>();
  const limit = pLimit(HINTS_IN_FLIGHT_MAX);
  const hinted = new Set<string>();

  async function invite({ hiveUrl, hiveId, trusted, who, signal }: Invitation): Promise<InviteOutcome> {
    const options = { trusted, ...(signal ? { signal } : {}) };
    const remember = (id: string | null) => {
      // Only for hosts of the SSH config: anybody can register a hive.
      if (hiveId === null) answeredAs.set(hiveUrl, { id, skipped: 0 });
    };
    const note = answeredAs.get(hiveUrl);
    const isOld = note !== undefined && note.skipped >= SKIPPED_MAX;
    const expected = hiveId ?? (isOld ? null : note?.id) ?? null;
    const reason =
      whyNotAsk(hiveUrl, expected) ??
      (note?.id === null && !isOld ? 'it was asked, and does not state its name' : null);
    if (reason !== null || inFlight.has(hiveUrl)) {
      if (note) note.skipped += 1;
      log.debug(`${who} is not asked: ${reason ?? 'a request is in flight'}`);
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
        `${who} runs ${hive_id === null ? 'a hive that does not state its name' : `hive ${hive_id}`} at ${hiveUrl}`,
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
