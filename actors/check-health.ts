/** GET /health of a queen that reads our stream. */
import { fromPromise } from 'xstate';
import type { QueenHealthInput } from '../machines/queen-health.js';
import { PATH } from '../wire/status.js';
import { ask, type Outgoing } from './http.js';

export function createCheckHealth(outgoing: Outgoing) {
  return fromPromise<void, QueenHealthInput>(async ({ input, signal }) => {
    await ask(outgoing, input.queenUrl + PATH.health, { trusted: false, signal });
  });
}
