/** How the sender of an event gets an answer from the owner of a state, which decides while it takes the event. */

/**
 * Sends an event with a `respond` function and returns what it was called with; undefined where the owner has ended and
 * does not answer.
 */
export function decisionOf<T>(send: (respond: (answer: T) => void) => void): T | undefined {
  let decision: T | undefined;
  send((answer) => {
    decision = answer;
  });
  return decision;
}
