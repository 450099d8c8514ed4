/**
 * The queen: a subscription a hive, held by supervisors of at most SUPERVISED_MAX (spawning costs more with more
 * siblings), and the search for hives that nobody announced. Subscriptions are found by name, through the actor
 * system, so an event costs the same with ten hives and with ten thousand.
 */
import { type ActorRefFrom, assign, fromCallback, sendParent, setup } from 'xstate';
import { discoveryMachine } from './discovery.js';
import { notProvided } from './failure.js';
import type { ForgetAnswer, KnownHive, ReadyEvent, SubscriptionEvent, SubscriptionInput } from './hive-subscription.js';

/** Children of one supervisor. */
const SUPERVISED_MAX = 100;

export interface QueenInput {
  /** Hives from before a restart, most recently seen first. */
  known: KnownHive[];
  /** More names than this are refused: no stranger fills our memory with invented ones. */
  hivesMax: number;
}

export interface QueenContext {
  /** How many subscriptions each supervisor holds. */
  supervisors: { id: string; children: number }[];
  /** Waiting to be adopted, once, at the start. */
  known: KnownHive[];
  hivesMax: number;
}

export type QueenEvent =
  | ReadyEvent
  | { type: 'hive.forget'; hiveId: string; respond: (answer: ForgetAnswer) => void }
  | { type: 'adopt'; inputs: SubscriptionInput[] }
  | { type: 'supervisor.freed'; id: string };

type SupervisorEvent = { type: 'adopt'; input: SubscriptionInput } | { type: 'isolated.done'; id: string };

/** The name under which a hive's subscription is known in the actor system. */
export const subscriptionName = (hiveId: string): string => `hive-subscription/${hiveId}`;

const sup = setup({
  types: { context: {} as { id: string }, input: {} as { id: string }, events: {} as SupervisorEvent },
  actors: {
    /** A `hive-subscription` in an actor system of its own; it takes that machine's events. */
    subscription: fromCallback<SubscriptionEvent, SubscriptionInput>(() => notProvided('subscription')),
  },
});

/** A finished child stays among the children, under its name, until it is stopped. */
const release = sup.enqueueActions(({ event, enqueue }) => {
  if (event.type === 'isolated.done') enqueue.stopChild(event.id);
});
export const supervisorMachine = sup.createMachine({
  id: 'supervisor',
  context: ({ input }) => ({ id: input.id }),
  on: {
    adopt: {
      actions: sup.enqueueActions(({ event, enqueue }) => {
        if (event.type !== 'adopt') return;
        const { hiveId } = event.input;
        enqueue.spawnChild('subscription', { id: hiveId, systemId: subscriptionName(hiveId), input: event.input });
      }),
    },
    'isolated.done': {
      actions: [release, sendParent(({ context }) => ({ type: 'supervisor.freed', id: context.id }))],
    },
  },
});

const s = setup({
  types: { context: {} as QueenContext, input: {} as QueenInput, events: {} as QueenEvent },
  actors: { supervisor: supervisorMachine, discovery: discoveryMachine },
});

/** Places one subscription after another, opening a supervisor when all are full. */
function place(supervisors: QueenContext['supervisors'], inputs: SubscriptionInput[]) {
  const after = supervisors.map((one) => ({ ...one }));
  const placed = inputs.map((input) => {
    let free = after.find((one) => one.children < SUPERVISED_MAX);
    if (!free) {
      free = { id: `supervisor-${after.length + 1}`, children: 0 };
      after.push(free);
    }
    free.children += 1;
    return { supervisorId: free.id, input };
  });
  return { after, opened: after.slice(supervisors.length).map(({ id }) => id), placed };
}

const subscribe = s.enqueueActions(({ context, event, enqueue, system }) => {
  if (event.type !== 'hive.ready') return;
  const subscription = system.get(subscriptionName(event.hiveId));
  if (subscription) {
    enqueue.sendTo(subscription, event);
    return;
  }
  const held = context.supervisors.reduce((sum, { children }) => sum + children, 0);
  if (held >= context.hivesMax) {
    enqueue(() => event.respond({ outcome: 'full' }));
    return;
  }
  const { hiveId, hiveUrl, instance, trusted } = event;
  enqueue.raise({ type: 'adopt', inputs: [{ hiveId, hiveUrl, instance, trusted, origin: 'callback' }] });
  enqueue(() => event.respond({ outcome: 'subscribed' }));
});

const adopt = s.enqueueActions(({ context, event, enqueue }) => {
  if (event.type !== 'adopt') return;
  const { after, opened, placed } = place(context.supervisors, event.inputs);
  for (const id of opened) enqueue.spawnChild('supervisor', { id, input: { id } });
  for (const { supervisorId, input } of placed) enqueue.sendTo(supervisorId, { type: 'adopt', input });
  enqueue.assign({ supervisors: after });
});

const forget = s.enqueueActions(({ event, enqueue, system }) => {
  if (event.type !== 'hive.forget') return;
  const subscription = system.get(subscriptionName(event.hiveId));
  if (subscription) enqueue.sendTo(subscription, event);
  else enqueue(() => event.respond('unknown'));
});

export const queenMachine = s.createMachine({
  id: 'queen',
  context: ({ input }) => ({ supervisors: [], known: input.known, hivesMax: input.hivesMax }),
  entry: [
    s.raise(({ context }) => ({
      type: 'adopt',
      inputs: context.known.map((hive) => ({ ...hive, origin: 'known' as const })),
    })),
    s.assign({ known: [] }),
  ],
  invoke: { id: 'discovery', src: 'discovery', onError: {} },
  on: {
    'hive.ready': { actions: subscribe },
    'hive.forget': { actions: forget },
    adopt: { actions: adopt },
    'supervisor.freed': {
      actions: assign({
        supervisors: ({ context, event }) =>
          context.supervisors.map((one) => (one.id === event.id ? { ...one, children: one.children - 1 } : one)),
      }),
    },
  },
});

export type QueenRef = ActorRefFrom<typeof queenMachine>;
