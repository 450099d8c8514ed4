/** How hives are found that did not announce themselves: what asks them, which of them, and when. */
import { createActor } from 'xstate';
import type { KeepAlivePool } from '../actors/net/keep-alive-pool.js';
import type { AwakeClock } from '../actors/process/awake-clock.js';
import { createHiveAsker, type HiveAsker } from '../actors/queen/ask-hive.js';
import { type InviteDeps, Inviter } from '../actors/queen/invite-hives.js';
import type { KnownHives } from '../actors/queen/known-hives.js';
import { createSearchHosts } from '../actors/queen/search-hosts.js';
import { discoveryMachine } from '../machines/discovery.js';
import { readingAsker } from './found-hives.js';
import type { HiveAdmission } from './hive-admission.js';
import type { ProcessContext } from './process.js';
import type { QueenDirectory } from './queen-directory.js';
import type { SwarmOptions } from './swarm-options.js';

type Kind = 'queen' | 'keeper';

/** Asks hives; a keeper reads those that answer. */
export function hiveAsker(
  { id, outgoing, endpoint }: ProcessContext,
  kind: Kind,
  keep: KeepAlivePool,
  found: HiveAdmission['found'],
): HiveAsker {
  const asker = createHiveAsker({ outgoing, endpoint, queenId: kind === 'queen' ? id : null, keep });
  return kind === 'keeper' ? readingAsker(asker, found) : asker;
}

export function hiveInviter(
  { log }: ProcessContext,
  parts: Pick<InviteDeps, 'asker' | 'whyNotAsk'> & { kind: Kind; known: KnownHives },
): Inviter {
  const { kind, asker, whyNotAsk, known } = parts;
  return new Inviter({
    ...{ asker, whyNotAsk },
    namesFirst: () => kind === 'queen' && known.anyForgotten(),
    log: {
      debug: (message) => log.debug(message),
      // A keeper asks every hive each minute; that one streams is logged anyway.
      info: (message) => (kind === 'queen' ? log.info(message) : log.debug(message)),
    },
  });
}

/** The search for hives that did not announce themselves: a `discovery` machine, which is not started yet. */
export function hiveSearch(
  { inspect, log, outgoing, security }: ProcessContext,
  parts: { kind: Kind; options: SwarmOptions; inviter: Inviter; directory: QueenDirectory; clock: AwakeClock },
) {
  const { kind, options, inviter, directory, clock } = parts;
  const searchHosts = createSearchHosts({
    ...{ inviter, kind, sshConfig: options.sshConfig, hivePort: options.hivePort },
    listed: directory.hivesToInvite,
    // If one process of a swarm serves TLS, all do.
    scheme: security.tls || security.ca ? 'https' : 'http',
    loopbackOnly: outgoing.loopbackOnly,
    log: { debug: (message) => log.debug(message), info: (message) => log.info(message) },
  });
  const machine = discoveryMachine.provide({ actors: { searchHosts } });
  const search = createActor(machine, { id: 'discovery', clock, inspect });
  search.subscribe({ error: (error) => log.error({ err: error }, 'the search for hives failed') });
  return search;
}
