/** GET /health of a queen that reads our stream. */
import { fromPromise } from 'xstate';
import type { HealthOutput, QueenHealthInput } from '../machines/queen-health.js';
import { HEADER, PATH } from '../wire/status.js';
import { ask, type Outgoing } from './http.js';

export function createCheckHealth(outgoing: Outgoing) {
  return fromPromise<HealthOutput, QueenHealthInput>(async ({ input, signal }) => {
    const { headers } = await ask(outgoing, input.queenUrl + PATH.health, { trusted: false, signal });
    return { run: headers.get(HEADER.run) };
  });
}
