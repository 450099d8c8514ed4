/** GET /health of a queen that reads our stream, and whether she says so too. */
import { fromPromise } from 'xstate';
import type { HealthOutput, QueenHealthInput } from '../../machines/queen-health.js';
import { HEADER, PATH } from '../../wire/status.js';
import { ask, headerOf, type Outgoing } from '../net/http.js';

export function createCheckHealth(deps: { outgoing: Outgoing; hiveId: string; instance: string }) {
  return fromPromise<HealthOutput, QueenHealthInput>(async ({ input, signal }) => {
    const { headers } = await ask(deps.outgoing, input.queenUrl + PATH.health, {
      headers: { [HEADER.hive]: deps.hiveId, [HEADER.instance]: deps.instance },
      // Only to one who knows the token does she say whom she reads.
      trusted: true,
      signal,
    });
    const reads = headerOf(headers, HEADER.reads);
    return { run: headerOf(headers, HEADER.run), reads: reads === null ? null : reads === 'yes' };
  });
}
