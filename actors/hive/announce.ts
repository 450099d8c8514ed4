/** POST /v1/hive/ready: a hive announces itself to a queen (docs/protocol.md, section 4.1). */
import { fromPromise } from 'xstate';
import type { AnnounceInput, AnnounceOutput } from '../../machines/connection-events.js';
import { HiveReadyAnswer } from '../../wire/hive.js';
import { knownParser } from '../../wire/schema.js';
import { HEADER, PATH } from '../../wire/status.js';
import { unmapped } from '../../wire/url.js';
import { type Endpoint, urlTowards } from '../net/endpoint.js';
import { ask, type Outgoing } from '../net/http.js';
import { headerOf } from '../net/response.js';

const parseAnswer = knownParser(HiveReadyAnswer);

export function createAnnounce(deps: { outgoing: Outgoing; endpoint: Endpoint; hiveId: string; instance: string }) {
  return fromPromise<AnnounceOutput, AnnounceInput>(async ({ input, signal }) => {
    let hiveUrl = '';
    let address: string | null = null;
    const { body, headers } = await ask(deps.outgoing, input.queenUrl + PATH.hiveReady, {
      method: 'POST',
      headers: { [HEADER.instance]: deps.instance },
      body: (socket) => {
        hiveUrl = urlTowards(deps.endpoint, socket);
        address = unmapped(socket.localAddress ?? '').replace(/%.*$/, '') || null;
        return { hive_id: deps.hiveId, hive_url: hiveUrl };
      },
      // A queen is configured, listed by the registry, or asked with the token.
      trusted: true,
      signal,
    });
    const answer = parseAnswer(body);
    const { queen_id: queenId = null, last_failure: lastFailure = null } = answer.ok ? answer.value : {};
    return { queenId, hiveUrl, address, run: headerOf(headers, HEADER.run), lastFailure };
  });
}
