/** Invites every host of the SSH config and every hive that the registry lists. One that does not answer is no error. */
import { fromPromise } from 'xstate';
import type { SearchOutput } from '../../machines/discovery.js';
import type { ListedComponent } from '../../stores/directory.js';
import { hostForUrl, isLoopback, isPrivate } from '../../wire/url.js';
import type { Invitation, Inviter } from './invite-hives.js';
import { readSshConfig } from './read-ssh-config.js';

export interface SearchDeps {
  inviter: Inviter;
  /** Null: no hosts are searched. */
  sshConfig: string | null;
  hivePort: number;
  scheme: 'http' | 'https';
  /** Hives of the registry for which no subscription searches. */
  listed: () => ListedComponent[];
  /** This process calls loopback addresses only; logged once when the config names other hosts. */
  loopbackOnly: boolean;
  /** `queen` or `keeper`. */
  kind: string;
  log: { debug: (message: string) => void; info: (message: string) => void };
}

export function createSearchHosts(deps: SearchDeps) {
  const { inviter, sshConfig, hivePort, scheme, log } = deps;
  let isLogged = false;

  async function sshHosts(): Promise<Invitation[]> {
    if (sshConfig === null) return [];
    const hosts = await readSshConfig({ path: sshConfig, log: log.debug });
    if (deps.loopbackOnly && !isLogged && hosts.some(({ hostname }) => !isLoopback(hostname))) {
      isLogged = true;
      log.info(
        `hosts of ${sshConfig} that are not this machine are not asked: --bind and --token let this ${deps.kind} go further`,
      );
    }
    return hosts.map(({ alias, hostname }) => ({
      hiveUrl: `${scheme}://${hostForUrl(hostname)}:${hivePort}`,
      hiveId: null,
      // The token is sent only to addresses that are not routed on the internet.
      trusted: (address) => isLoopback(address) || isPrivate(address),
      label: `SSH host ${alias}`,
    }));
  }

  return fromPromise<SearchOutput>(async ({ signal }) => {
    const written = await sshHosts();
    const invitations = [...deps.listed().map(invitationOf), ...written];
    const outcomes = await Promise.all(invitations.map((one) => inviter.invite({ ...one, signal })));
    return {
      listed: invitations.length,
      asked: outcomes.filter((outcome) => outcome !== null).length,
      answered: outcomes.filter((outcome) => outcome === 'answered').length,
    };
  });
}

/** The registry is configured and has the token, so those that it lists may be sent it. */
export function invitationOf({ id, url }: ListedComponent): Invitation {
  return { hiveUrl: url, hiveId: id, trusted: true, label: `the registry's hive ${id}` };
}
