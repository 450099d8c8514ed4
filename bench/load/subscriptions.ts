/** Thousands of subscriptions whose actors are stubs: the cost of the machines alone. */
import { createActor, fromCallback, fromPromise } from 'xstate';
import { createAwakeClock } from '../../actors/process/awake-clock.js';
import { hiveSubscriptionMachine } from '../../machines/hive-subscription.js';
import { type AskInput, seekMachine } from '../../machines/seek.js';
import type { SubscribeInput, SubscriptionEvent } from '../../machines/subscription-events.js';
import { Subscriptions } from '../../wiring/subscriptions.js';
import { offer } from '../lib/child.js';

const never = <T>() => new Promise<T>(() => {});
/** Sends events to the machine of each hive, like its subscriber. */
const subscribers = new Map<string, (event: SubscriptionEvent) => void>();

/** The state of each hive that the queen would publish. */
const published = new Map<string, string>();

const ask = fromPromise<void, AskInput>(never<void>);
const subscription = hiveSubscriptionMachine.provide({
  actions: {
    publish: ({ context }, { state }) => {
      if (state === 'forgotten') published.delete(context.hiveId);
      else published.set(context.hiveId, state);
    },
  },
  actors: {
    subscriber: fromCallback<SubscriptionEvent, SubscribeInput>(({ input, sendBack }) => {
      subscribers.set(input.hiveId, sendBack);
      sendBack({ type: 'opened' });
      return () => subscribers.delete(input.hiveId);
    }),
    pollWorkers: fromCallback(() => {}),
    ask,
    seek: seekMachine.provide({ actors: { ask } }),
  },
});
const clock = createAwakeClock();

const createSubscriptions = (hivesMax: number) =>
  new Subscriptions({
    ...{ machine: subscription, clock, hivesMax },
    onError: (_hiveId, error) => {
      throw error;
    },
  });

/** Two collections, because the second one frees what the first one only marks. */
function heapMb(): number {
  globalThis.gc?.();
  globalThis.gc?.();
  return process.memoryUsage().heapUsed / 1024 ** 2;
}

const pause = () => new Promise((resolve) => setTimeout(resolve, 50));
const nameOf = (i: number) => `hive-${i}`;

function ready(subscriptions: Subscriptions, count: number): number {
  let subscribed = 0;
  for (let i = 0; i < count; i += 1) {
    const hive = { hiveId: nameOf(i), hiveUrl: `http://127.0.0.1:7835/${i}`, instance: null, trusted: false, at: 0 };
    if (subscriptions.call('hive.ready', hive).outcome === 'subscribed') subscribed += 1;
  }
  return subscribed;
}

const timed = async (work: () => void): Promise<number> => {
  const startedAt = performance.now();
  work();
  return performance.now() - startedAt;
};

const offered = {
  run: async ({ count }: { count: number }) => {
    const before = heapMb();
    const subscriptions = createSubscriptions(count);
    let subscribed = 0;
    const spawnMs = await timed(() => {
      subscribed = ready(subscriptions, count);
    });
    await pause();
    const streaming = [...published.values()].filter((state) => state === 'streaming').length;
    const live = heapMb();
    const againMs = await timed(() => void ready(subscriptions, count));
    const stopMs = await timed(() => {
      for (let i = 0; i < count; i += 1) subscribers.get(nameOf(i))?.({ type: 'closed', reason: 'the bench ends' });
      for (let i = 0; i < count; i += 1) subscriptions.forget(nameOf(i));
    });
    await pause();
    const leftOver = subscriptions.size + subscribers.size + published.size;
    const after = heapMb();
    subscriptions.stop();
    return {
      subscribed,
      streaming,
      spawnMs,
      againMs,
      stopMs,
      beforeMb: before,
      liveMb: live,
      afterMb: after,
      leftOver,
    };
  },
  /** The same machines without a queen: their minimum cost. */
  alone: async ({ count }: { count: number }) => {
    const before = heapMb();
    const actors: { stop: () => void }[] = [];
    const spawnMs = await timed(() => {
      for (let i = 0; i < count; i += 1) {
        const input = { hiveId: nameOf(i), hiveUrl: 'http://127.0.0.1', instance: null, trusted: false };
        actors.push(createActor(subscription, { input: { ...input, origin: 'callback' } }).start());
      }
    });
    const live = heapMb();
    const stopMs = await timed(() => {
      for (const actor of actors) actor.stop();
    });
    return { spawnMs, stopMs, beforeMb: before, liveMb: live };
  },
};

export type SubscriptionLoad = typeof offered;
offer(offered);
