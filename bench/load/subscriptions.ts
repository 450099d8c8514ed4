/** The queen's machine with thousands of subscriptions whose hands are stubs: what the machines alone cost. */
import { createActor, fromCallback, fromPromise } from 'xstate';
import { createAwakeClock } from '../../actors/process/awake-clock.js';
import { isolate } from '../../actors/process/isolate.js';
import { discoveryMachine, type SearchOutput } from '../../machines/discovery.js';
import {
  hiveSubscriptionMachine,
  type SubscribeInput,
  type SubscriptionEvent,
} from '../../machines/hive-subscription.js';
import { type QueenRef, queenMachine, subscriptionName, supervisorMachine } from '../../machines/queen.js';
import { type AskInput, seekMachine } from '../../machines/seek.js';
import { offer } from '../lib/child.js';

const never = <T>() => new Promise<T>(() => {});
/** How each hive's subscriber speaks to its machine. */
const hands = new Map<string, (event: SubscriptionEvent) => void>();

/** What the queen's readers would be shown. */
const shown = new Map<string, string>();

const ask = fromPromise<void, AskInput>(never<void>);
const subscription = hiveSubscriptionMachine.provide({
  actions: {
    publish: ({ context }, { state }) => {
      if (state === 'forgotten') shown.delete(context.hiveId);
      else shown.set(context.hiveId, state);
    },
  },
  actors: {
    subscriber: fromCallback<SubscriptionEvent, SubscribeInput>(({ input, sendBack }) => {
      hands.set(input.hiveId, sendBack);
      sendBack({ type: 'opened' });
      return () => hands.delete(input.hiveId);
    }),
    askWorkers: fromCallback(() => {}),
    ask,
    seek: seekMachine.provide({ actors: { ask } }),
  },
});
const clock = createAwakeClock();
const isolated = isolate({
  machine: subscription,
  clock,
  inspect: () => {},
  nameOf: ({ hiveId }) => subscriptionName(hiveId),
  onError: (error) => {
    throw error;
  },
});
const queen = queenMachine.provide({
  actors: {
    discovery: discoveryMachine.provide({
      actors: { searchHosts: fromPromise<SearchOutput>(never<SearchOutput>) },
    }),
    supervisor: supervisorMachine.provide({ actors: { subscription: isolated } }),
  },
});

/** Twice: what the first pass only marks, the second one frees. */
function heapMb(): number {
  globalThis.gc?.();
  globalThis.gc?.();
  return process.memoryUsage().heapUsed / 1024 ** 2;
}

const pause = () => new Promise((resolve) => setTimeout(resolve, 50));
const nameOf = (i: number) => `hive-${i}`;

function ready(actor: QueenRef, count: number): number {
  let yes = 0;
  for (let i = 0; i < count; i += 1) {
    actor.send({
      type: 'hive.ready',
      hiveId: nameOf(i),
      hiveUrl: `http://127.0.0.1:7835/${i}`,
      instance: null,
      trusted: false,
      at: 0,
      respond: ({ outcome }) => {
        if (outcome === 'subscribed') yes += 1;
      },
    });
  }
  return yes;
}

/** What stands in the tree below the queen, besides her search and the supervisors themselves. */
function left(actor: QueenRef): number {
  const supervisors = Object.values(actor.getSnapshot().children).filter((child) => child?.id.startsWith('supervisor'));
  return supervisors.reduce((sum, one) => sum + Object.keys(one?.getSnapshot().children ?? {}).length, 0);
}

const timed = async (work: () => void): Promise<number> => {
  const startedAt = performance.now();
  work();
  return performance.now() - startedAt;
};

const offered = {
  run: async ({ count }: { count: number }) => {
    const before = heapMb();
    const actor = createActor(queen, { clock, input: { known: [], hivesMax: count } }).start() as QueenRef;
    let yes = 0;
    const spawnMs = await timed(() => {
      yes = ready(actor, count);
    });
    await pause();
    const streaming = [...shown.values()].filter((state) => state === 'streaming').length;
    const live = heapMb();
    const againMs = await timed(() => void ready(actor, count));
    const stopMs = await timed(() => {
      for (let i = 0; i < count; i += 1) hands.get(nameOf(i))?.({ type: 'closed', reason: 'the bench ends' });
      for (let i = 0; i < count; i += 1) actor.send({ type: 'hive.forget', hiveId: nameOf(i), respond: () => {} });
    });
    await pause();
    const leftOver = left(actor) + hands.size + shown.size;
    const after = heapMb();
    actor.stop();
    return { yes, streaming, spawnMs, againMs, stopMs, beforeMb: before, liveMb: live, afterMb: after, leftOver };
  },
  /** The same machines with nobody above them: the least that they can cost. */
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

export type Subscriptions = typeof offered;
offer(offered);
