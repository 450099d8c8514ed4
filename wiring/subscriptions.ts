/**
 * The subscriptions of a queen or a keeper: one `hive-subscription` for each hive, each the root of an actor system of its
 * own (docs/decisions/0008). Decides how many there are; a subscription decides who may take over its name.
 */
import { createActor, type InspectionEvent } from 'xstate';
import type { AwakeClock } from '../actors/process/awake-clock.js';
import type { HiveCall, KnownHive, ReadyAnswer, ReadyEvent } from '../machines/hive-name.js';
import type { hiveSubscriptionMachine, SubscriptionRef } from '../machines/hive-subscription.js';
import type { ForgetAnswer, SubscriptionInput } from '../machines/subscription-events.js';
import { decisionOf } from '../stores/decision.js';

export interface SubscriptionsDeps {
  /** With the real actors provided. */
  machine: typeof hiveSubscriptionMachine;
  clock: Pick<AwakeClock, 'setTimeout' | 'clearTimeout'>;
  /** More names than this are refused: anybody can invent names. */
  hivesMax: number;
  inspect?: (event: InspectionEvent) => void;
  /** A subscription that fails is dropped; the others go on. */
  onError: (hiveId: string, error: unknown) => void;
}

/** The id of a hive's subscription at `/v1/machines`. */
const subscriptionId = (hiveId: string): string => `hive-subscription/${hiveId}`;

export class Subscriptions {
  readonly #deps: SubscriptionsDeps;
  readonly #actors = new Map<string, SubscriptionRef>();

  constructor(deps: SubscriptionsDeps) {
    this.#deps = deps;
  }

  get size(): number {
    return this.#actors.size;
  }

  /** @param hives from before a restart, in the order in which they are to be asked */
  start(hives: KnownHive[]): void {
    for (const hive of hives) this.#open({ ...hive, origin: 'known' });
  }

  /** A hive announced itself, or a keeper found it: its subscription is opened or replaced, or the hive is refused. */
  call(type: ReadyEvent['type'], hive: HiveCall): ReadyAnswer {
    const holder = this.#actors.get(hive.hiveId);
    if (holder) {
      return decisionOf<ReadyAnswer>((respond) => holder.send({ ...hive, type, respond })) ?? { outcome: 'full' };
    }
    if (this.#actors.size >= this.#deps.hivesMax) return { outcome: 'full' };
    const { hiveId, hiveUrl, instance, trusted } = hive;
    this.#open({ hiveId, hiveUrl, instance, trusted, origin: 'callback' });
    return { outcome: 'subscribed' };
  }

  /** Ends the subscription to a hive that does not stream. */
  forget(hiveId: string): ForgetAnswer {
    const holder = this.#actors.get(hiveId);
    return decisionOf<ForgetAnswer>((respond) => holder?.send({ type: 'hive.forget', respond })) ?? 'unknown';
  }

  stop(): void {
    for (const actor of this.#actors.values()) actor.stop();
    this.#actors.clear();
  }

  #open(input: SubscriptionInput): void {
    const { machine, clock, inspect, onError } = this.#deps;
    const { hiveId } = input;
    const actor = createActor(machine, { id: subscriptionId(hiveId), input, clock, ...(inspect ? { inspect } : {}) });
    const close = () => {
      if (this.#actors.get(hiveId) === actor) this.#actors.delete(hiveId);
    };
    actor.subscribe({
      complete: close,
      error: (error) => {
        close();
        onError(hiveId, error);
      },
    });
    this.#actors.set(hiveId, actor);
    actor.start();
  }
}
