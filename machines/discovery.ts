/**
 * The search among the hosts of the SSH config and the hives that the registry lists: at the start, again after 5 s, then
 * every 60 s. Subscriptions search for their own hives (`seek`).
 */
import { assign, fromPromise, setup } from 'xstate';
import { asFailure, notProvided } from './failure.js';

export interface SearchOutput {
  /** Hosts and hives: listed, asked (the others are connected, or are not to be asked), and answered. */
  listed: number;
  asked: number;
  answered: number;
}

export interface DiscoveryContext {
  rounds: number;
  last: SearchOutput | null;
  reason: string | null;
}

export const discoveryMachine = setup({
  types: { context: {} as DiscoveryContext },
  actors: {
    /** Reads the SSH config, then asks in parallel each of its hosts, and each hive of the registry, that is not connected. */
    searchHosts: fromPromise<SearchOutput>(() => notProvided('searchHosts')),
  },
  delays: {
    /** wait = 5 s after the first round (a machine that boots at the same time is up by then), 60 s after the others. */
    nextRound: ({ context }) => (context.rounds <= 1 ? 5_000 : 60_000),
  },
}).createMachine({
  id: 'discovery',
  context: { rounds: 0, last: null, reason: null },
  initial: 'searching',
  states: {
    searching: {
      entry: assign({ rounds: ({ context }) => context.rounds + 1 }),
      invoke: {
        src: 'searchHosts',
        onDone: { target: 'resting', actions: assign({ last: ({ event }) => event.output, reason: null }) },
        onError: { target: 'resting', actions: assign({ reason: ({ event }) => asFailure(event.error).message }) },
      },
    },
    resting: { after: { nextRound: 'searching' } },
  },
});
