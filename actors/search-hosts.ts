/** Asks every host of the SSH config whether a hive runs there. A host that does not answer is no error. */
import { fromPromise } from 'xstate';
import type { SearchOutput } from '../machines/discovery.js';
import { hostForUrl, isLoopback, isPrivate } from '../wire/url.js';
import type { HiveAsker } from './ask-hive.js';
import { readSshConfig } from './read-ssh-config.js';

export interface SearchDeps {
  asker: HiveAsker;
  /** Null searches nothing. */
  sshConfig: string | null;
  hivePort: number;
  scheme: 'http' | 'https';
  /** Why this URL need not or must not be asked, or null. */
  whyNot: (hiveUrl: string, hiveId: string | null) => string | null;
  /** Whether a host of unknown name must say its name before it is invited: somebody was forgotten. */
  namesFirst: () => boolean;
  /** This process reaches loopback only; said once when the config names other hosts. */
  loopbackOnly: boolean;
  log: { debug: (message: string) => void; info: (message: string) => void };
}

export function createSearchHosts(deps: SearchDeps) {
  const { asker, sshConfig, hivePort, scheme, whyNot, log } = deps;
  /** Who answered at a URL last: a host whose hive streams already is left in peace, whatever it is called here. */
  const answeredAs = new Map<string, string>();
  let told = false;

  return fromPromise<SearchOutput>(async ({ signal }) => {
    if (sshConfig === null) return { listed: 0, asked: 0, answered: 0 };
    const hosts = await readSshConfig({ path: sshConfig, log: log.debug });
    if (deps.loopbackOnly && !told && hosts.some(({ hostname }) => !isLoopback(hostname))) {
      told = true;
      log.info(
        `hosts of ${sshConfig} that are not this machine are not asked: --bind and --token let this queen go further`,
      );
    }
    let asked = 0;
    let answered = 0;
    await Promise.all(
      hosts.map(async ({ alias, hostname }) => {
        const url = `${scheme}://${hostForUrl(hostname)}:${hivePort}`;
        const reason = whyNot(url, answeredAs.get(url) ?? null);
        if (reason !== null) return log.debug(`SSH host ${alias} is not asked: ${reason}`);
        asked += 1;
        try {
          // A token goes to hosts that no router passes on to the internet, and to no others.
          const trusted = (address: string) => isLoopback(address) || isPrivate(address);
          if (deps.namesFirst() && !answeredAs.has(url)) {
            const { hive_id } = await asker.capabilities(url, { trusted, signal, invite: false });
            answeredAs.set(url, hive_id);
            const objection = whyNot(url, hive_id);
            if (objection !== null) return log.debug(`SSH host ${alias} is not invited: ${objection}`);
          }
          const { hive_id } = await asker.capabilities(url, { trusted, signal, invite: true });
          answered += 1;
          answeredAs.set(url, hive_id);
          log.info(`SSH host ${alias} runs hive ${hive_id} at ${url}`);
        } catch (error) {
          log.debug(`SSH host ${alias}: ${(error as Error).message}`);
        }
      }),
    );
    return { listed: hosts.length, asked, answered };
  });
}
