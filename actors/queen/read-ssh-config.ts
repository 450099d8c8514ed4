/** The hosts of a user's SSH config: machines on which a hive may run. */
import { isIP } from 'node:net';
import { appliesTo, type Block, isPattern, readBlocks } from './ssh-config/blocks.js';

export interface SshHost {
  /** The name on the Host line. */
  alias: string;
  /** Where it is: a host name or an IP address, IPv6 without brackets. */
  hostname: string;
}

export interface ReadSshConfigInput {
  path: string;
  /** Gets one sentence for each host or file that is left out. */
  log?: (message: string) => void;
}

const HOSTS_MAX = 4096;
const LOG_LINES_MAX = 64;

/**
 * Reads ssh_config(5) as ssh would, as far as HostName goes: `Include` is followed, the first value wins, and wildcard
 * blocks apply to the hosts that fit them. `Match` blocks are left out; nothing is ever executed. Relative includes
 * are relative to the folder of `path`. Each hostname is given once, with its first alias. Never throws: a
 * missing file has no hosts, and a broken one those that could be read.
 */
export async function readSshConfig({ path, log = () => {} }: ReadSshConfigInput): Promise<SshHost[]> {
  let logged = 0;
  const logLimited = (message: string) => {
    if (logged++ < LOG_LINES_MAX) log(message);
  };
  const blocks = await readBlocks(path, logLimited);
  const aliases = new Set(blocks.flatMap(aliasesOf));
  const hostNameOf = hostNameFinder(blocks);
  const hosts = new Map<string, SshHost>();
  for (const alias of aliases) {
    if (hosts.size === HOSTS_MAX) {
      logLimited(`${path} has more than ${HOSTS_MAX} hosts, the others are left out.`);
      break;
    }
    const written = hostNameOf(alias);
    const hostname = written === undefined ? alias : expandTokens(written, alias);
    if (hostname === undefined || !isHostname(hostname)) {
      logLimited(`SSH host ${quote(alias)} is left out: ${quote(written ?? alias)} is no host name or IP address.`);
    } else if (!hosts.has(hostname.toLowerCase())) {
      hosts.set(hostname.toLowerCase(), { alias, hostname });
    }
  }
  return [...hosts.values()];
}

/** The concrete hosts that a Host line names: those that can be reached under it, given the Includes around it. */
const aliasesOf = (block: Block) => block.names.filter((name) => !isPattern(name) && appliesTo(block, name));

/**
 * A function that gives the HostName of the first block that applies to an alias. Blocks that only name hosts are
 * found by name: in a generated config of 50,000 hosts each host would be compared with all others.
 */
function hostNameFinder(blocks: Block[]): (alias: string) => string | undefined {
  const byName = new Map<string, Block[]>();
  const general: Block[] = [];
  const places = new Map<Block, number>();
  for (const [place, block] of blocks.entries()) {
    if (block.hostName === undefined) continue;
    places.set(block, place);
    const patterns = block.conditions.at(-1);
    if (!patterns || patterns.some(isPattern)) general.push(block);
    else for (const name of patterns) byName.set(name, [...(byName.get(name) ?? []), block]);
  }
  const place = (block: Block | undefined) => (block && places.get(block)) ?? Number.POSITIVE_INFINITY;
  return (alias) => {
    const named = byName.get(alias)?.find((block) => appliesTo(block, alias));
    const fitting = general.find((block) => appliesTo(block, alias));
    return (place(named) < place(fitting) ? named : fitting)?.hostName;
  };
}

/** `%h` is the alias and `%%` a percent sign (ssh_config(5), "TOKENS"); undefined when there is any other. */
function expandTokens(hostName: string, alias: string): string | undefined {
  let known = true;
  const expanded = hostName.replace(/%(.?)/g, (_, token) => {
    if (token !== 'h' && token !== '%') known = false;
    return token === 'h' ? alias : '%';
  });
  return known ? expanded : undefined;
}

/** RFC 1123, underscores allowed, since people use them. */
function isHostname(text: string): boolean {
  if (isIP(text) !== 0) return true;
  const name = text.replace(/\.$/, '');
  if (name.length === 0 || name.length > 253) return false;
  const labels = name.split('.');
  // URLs take a name with a last label like these for an IPv4 address, and not for the one that is written.
  if (/^(\d+|0x[0-9a-f]*)$/i.test(labels.at(-1) ?? '')) return false;
  return labels.every((label) => /^(?!-)[A-Za-z0-9_-]{1,63}(?<!-)$/.test(label));
}

/** One line of bounded length, whatever the file holds. */
const quote = (text: string) => JSON.stringify(text.slice(0, 128));
