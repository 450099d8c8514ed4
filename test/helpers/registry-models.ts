/** What a registry can do in each state of those that are tied to it, for replay against machines and real processes. */
import { createMachine } from 'xstate';

/** Every way in which it can fail a request, the same in each state. */
const failures = {
  'it answers 401': 'lost',
  'it answers 503': 'lost',
  'it redirects': 'lost',
  'it talks nonsense': 'lost',
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
        'it forgets us': 'registered',
        'it comes back empty': 'registered',
        'we leave': 'gone',
      },
    },
    lost: { on: { ...failures, 'it works': 'registered', 'it comes back empty': 'registered', 'we leave': 'gone' } },
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

/** What the reason must say after a failure. */
export const REASONS: Record<string, RegExp> = {
  'it answers 401': /answered 401/,
  'it answers 503': /answered 503/,
  'it redirects': /redirects are not followed/,
  'it talks nonsense': /not as a registry does/,
  'it hangs': /no answer within 5 s|did not answer within 10 s/,
  'it goes away': /connection refused/,
  'it has no stream': /answered 404/,
};
