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
  label: string;
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

export class Inviter {
  readonly #deps: InviteDeps;
  readonly #hosts = new AnsweredHosts();
  readonly #inFlight = new Set<string>();
  readonly #limit = pLimit(HINTS_IN_FLIGHT_MAX);
  readonly #hinted = new Set<string>();

  constructor(deps: InviteDeps) {
    this.#deps = deps;
  }

  /** Asks the hive now, unless there is a reason not to. Never rejects. */
  async invite(invitation: Invitation): Promise<InviteOutcome> {
    const { hiveUrl, hiveId, label } = invitation;
    const { whyNotAsk, log } = this.#deps;
    const reason =
      whyNotAsk(hiveUrl, hiveId ?? this.#hosts.expected(hiveUrl)) ??
      this.#hosts.whyNotAsk(hiveUrl) ??
      (this.#inFlight.has(hiveUrl) ? 'a request is in flight' : null);
    if (reason !== null) {
      this.#hosts.skip(hiveUrl);
      log.debug(`${label} is not asked: ${reason}`);
      return null;
    }
    this.#inFlight.add(hiveUrl);
    try {
      return await this.#ask(invitation);
    } catch (error) {
      log.debug(`${label}: ${(error as Error).message}`);
      return 'failed';
    } finally {
      this.#inFlight.delete(hiveUrl);
    }
  }

  /** Queues the invitation. False when the queue is full. */
  hint(invitation: Invitation): boolean {
    const key = `${invitation.hiveId} ${invitation.hiveUrl}`;
    if (this.#hinted.has(key)) return true;
    if (this.#hinted.size >= HINTS_MAX) return false;
    this.#hinted.add(key);
    void this.#limit(() => this.invite(invitation)).finally(() => this.#hinted.delete(key));
    return true;
  }

  async #ask(invitation: Invitation): Promise<InviteOutcome> {
    const { hiveUrl, label } = invitation;
    const { whyNotAsk, namesFirst, log } = this.#deps;
    if (this.#hosts.isOld(hiveUrl) || (namesFirst() && !this.#hosts.has(hiveUrl))) {
      const objection = whyNotAsk(hiveUrl, await this.#capabilities(invitation, { invite: false }));
      if (objection !== null) {
        log.debug(`${label} is not invited: ${objection}`);
        return 'failed';
      }
    }
    const name = await this.#capabilities(invitation, { invite: true });
    log.info(`${label} runs ${name === null ? 'a hive that does not state its name' : `hive ${name}`} at ${hiveUrl}`);
    return 'answered';
  }

  /** The name of the hive that answered. */
  async #capabilities({ hiveUrl, hiveId, trusted, signal }: Invitation, { invite }: { invite: boolean }) {
    const options = { trusted, invite, ...(signal ? { signal } : {}) };
    const { hive_id: name } = await this.#deps.asker.capabilities(hiveUrl, options);
    // Only for hosts of the SSH config: anybody can register a hive.
    if (hiveId === null) this.#hosts.remember(hiveUrl, name);
    return name;
  }
}

/** The hive that answered at a host last: a host whose hive streams already is not asked, whatever the host's name is. */
class AnsweredHosts {
  readonly #answers = new Map<string, { name: string | null; skipped: number }>();

  has(hiveUrl: string): boolean {
    return this.#answers.has(hiveUrl);
  }

  remember(hiveUrl: string, name: string | null): void {
    this.#answers.set(hiveUrl, { name, skipped: 0 });
  }

  skip(hiveUrl: string): void {
    const answer = this.#answers.get(hiveUrl);
    if (answer) answer.skipped += 1;
  }

  /** Another hive may run there by now. */
  isOld(hiveUrl: string): boolean {
    return (this.#answers.get(hiveUrl)?.skipped ?? 0) >= SKIPPED_MAX;
  }

  expected(hiveUrl: string): string | null {
    return this.isOld(hiveUrl) ? null : (this.#answers.get(hiveUrl)?.name ?? null);
  }

  whyNotAsk(hiveUrl: string): string | null {
    const isNameless = this.#answers.get(hiveUrl)?.name === null;
    return isNameless && !this.isOld(hiveUrl) ? 'it was asked, and does not state its name' : null;
  }
}
