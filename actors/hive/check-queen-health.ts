/** GET /health of a queen that reads this hive's stream. Its answer also tells whether it reads that stream. */
import { fromPromise } from 'xstate';
import type { HealthOutput, QueenHealthInput } from '../../machines/queen-health.js';
import { HEADER, PATH } from '../../wire/status.js';
import { ask, type Outgoing } from '../net/http.js';
import { headerOf } from '../net/response.js';

export function createCheckQueenHealth(deps: { outgoing: Outgoing; hiveId: string; instance: string }) {
  return fromPromise<HealthOutput, QueenHealthInput>(async ({ input, signal }) => {
    const { headers } = await ask(deps.outgoing, input.queenUrl + PATH.health, {
      headers: { [HEADER.hive]: deps.hiveId, [HEADER.instance]: deps.instance },
      // `Rbee-Reads` is in the answer only where the token was sent.
      trusted: true,
      signal,
    });
    const reads = headerOf(headers, HEADER.reads);
    return { run: headerOf(headers, HEADER.run), reads: reads === null ? null : reads === 'yes' };
  });
}
