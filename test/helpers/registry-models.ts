/** What a registry can do in each state of its clients, for replay against machines and real processes. */
import { createMachine } from 'xstate';

/** Every way in which it can fail a request. */
const failures = {
  'it answers 401': 'lost',
  'it answers 503': 'lost',
  'it redirects': 'lost',
  'it sends an invalid body': 'lost',
  'it hangs': 'lost',
  'it goes away': 'lost',
};

export const leaseModel = createMachine({
  initial: 'registered',
  states: {
    registered: {
      on: {
        ...failures,
        'it works': 'registered',
        'it forgets the lease': 'registered',
        'it comes back empty': 'registered',
        'the process leaves': 'gone',
      },
    },
    lost: {
      on: { ...failures, 'it works': 'registered', 'it comes back empty': 'registered', 'the process leaves': 'gone' },
    },
    gone: {},
  },
});

export const directoryModel = createMachine({
  initial: 'following',
  states: {
    following: {
      on: { 'it goes away': 'lost', 'it closes the stream': 'following', 'it comes back empty': 'following' },
    },
    lost: {
      on: { ...failures, 'it has no stream': 'lost', 'it works': 'following', 'it comes back empty': 'following' },
    },
  },
});

/** The reason to be shown after a failure. */
export const REASONS: Record<string, RegExp> = {
  'it answers 401': /answered 401/,
  'it answers 503': /answered 503/,
  'it redirects': /redirects are not followed/,
  'it sends an invalid body': /not like a registry/,
  'it hangs': /no answer within 5 s|did not answer within 10 s/,
  'it goes away': /connection refused/,
  'it has no stream': /answered 404/,
};
