/**
 * Which hives a queen or keeper reads, and what it answers them. The subscription that holds a name decides about it;
 * refusals are listed as conflicts.
 */
import type { AwakeClock } from '../actors/process/awake-clock.js';
import type { KnownHives } from '../actors/queen/known-hives.js';
import type { KnownHive, ReadyAnswer, ReadyReply } from '../machines/hive-name.js';
import type { ForgetAnswer } from '../machines/subscription-events.js';
import type { Fleet } from '../stores/fleet.js';
import type { Now } from '../stores/now.js';
import type { Subscriptions } from './subscriptions.js';

export interface HiveAdmissionDeps {
  kind: 'queen' | 'keeper';
  subscriptions: Subscriptions;
  fleet: Fleet;
  known: KnownHives;
  clock: AwakeClock;
  now: () => Now;
}

export class HiveAdmission {
  readonly #deps: HiveAdmissionDeps;

  constructor(deps: HiveAdmissionDeps) {
    this.#deps = deps;
  }

  /** @param otherProtocol why the hive's protocol is not ours, or null */
  ready(hive: KnownHive, otherProtocol: string | null): ReadyReply {
    const { subscriptions, fleet, clock } = this.#deps;
    if (otherProtocol !== null) {
      this.#refuse(hive, null, otherProtocol);
      return { outcome: 'protocol', reason: otherProtocol };
    }
    const lastFailure = fleet.whyUnread(hive.hiveId, hive.hiveUrl);
    const answer = subscriptions.call('hive.ready', { ...hive, at: clock.now() });
    const reason = refusalOf(answer, hive);
    if (reason === null) {
      fleet.accepted(hive.hiveId, hive.hiveUrl);
      return { outcome: 'subscribed', lastFailure };
    }
    if ('holderUrl' in answer) this.#refuse(hive, answer.holderUrl, reason);
    return { outcome: answer.outcome === 'full' ? 'full' : 'conflict', reason };
  }

  /** A keeper found this hive: it is read, unless a hive of its name is read already. */
  found(hive: KnownHive): void {
    const { subscriptions, clock, kind } = this.#deps;
    const answer = subscriptions.call('hive.found', { ...hive, at: clock.now() });
    const reason = refusalOf(answer, hive, kind);
    if (reason !== null) this.#refuse(hive, 'holderUrl' in answer ? answer.holderUrl : null, reason);
  }

  forget(hiveId: string): ForgetAnswer {
    return this.#deps.subscriptions.forget(hiveId);
  }

  /** Whether this hive is read: it asks when its stream may be dead. */
  isRead(hiveId: string, instance: string): boolean {
    const { fleet, known } = this.#deps;
    return fleet.hive(hiveId)?.state === 'streaming' && known.isInstance(hiveId, instance);
  }

  /** Why the hive at this URL is not to be asked now, or null. `hiveId` is null where only the host is known. */
  whyNotAsk(hiveUrl: string, hiveId: string | null): string | null {
    const { kind, fleet, known, now } = this.#deps;
    const holder = fleet.streamingAt(hiveUrl);
    if (holder !== undefined) return `${hiveUrl} is hive ${holder} now`;
    // No hive announces itself to a keeper: it must ask forgotten hives, and both hives of one name.
    if (kind === 'keeper') return null;
    if (hiveId !== null && fleet.hive(hiveId)?.state === 'streaming') return `hive ${hiveId} streams already`;
    if (known.isForgotten(hiveUrl, hiveId)) return `${hiveUrl} was forgotten`;
    return fleet.isRefused(hiveUrl, now().ms) ? `${hiveUrl} is in conflict` : null;
  }

  #refuse({ hiveId, hiveUrl }: KnownHive, holderUrl: string | null, reason: string): void {
    const { fleet, now } = this.#deps;
    fleet.refused({ hive_id: hiveId, hive_url: hiveUrl, holder_url: holderUrl, reason }, now());
  }
}

/** One sentence with the remedy; null when the hive is not refused. */
function refusalOf(answer: ReadyAnswer, { hiveId, hiveUrl }: KnownHive, kind = 'queen'): string | null {
  switch (answer.outcome) {
    case 'subscribed':
    case 'unchanged':
      return null;
    case 'full':
      return `this ${kind} has the maximum number of hives: raise --max-hives`;
    case 'conflict':
      return `${answer.holderUrl} holds the name ${hiveId}: choose another for one of them with --hive-id`;
    case 'moving':
      return `${answer.holderUrl} and ${hiveUrl} call in turn as the same hive ${hiveId}: give each machine its own state directory, or another name with --hive-id`;
  }
}
