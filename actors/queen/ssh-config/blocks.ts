/** Reads an SSH config and all that it includes into a flat list of blocks, in the order in which ssh meets them. */
import { constants } from 'node:fs';
import { open, realpath } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import sshConfig from 'ssh-config';
import { expandPath, hasWildcard, matchesWildcard } from './wildcard.js';

/** What holds for the hosts that fit `conditions`: the patterns of its Host line and of those around its Include. */
export interface Block {
  conditions: string[][];
  /** The names on its own Host line. */
  names: string[];
  /** The first HostName in it, as written. */
  hostName: string | undefined;
}

/** As OpenSSH (READCONF_MAX_DEPTH). */
const DEPTH_MAX = 16;
const FILES_MAX = 256;
const FILE_BYTES_MAX = 1024 ** 2;
/** Only these lines are parsed; all others are ignored, even malformed ones. */
const KEYWORD = /^\s*(host|hostname|include|match)(?=[\s=]|$)/i;

/** Whether a host called `alias` on the command line gets what a block says. A negated pattern that fits excludes. */
export function appliesTo(block: Block, alias: string): boolean {
  return block.conditions.every((patterns) => {
    const fits = (pattern: string) => matchesWildcard(pattern, alias);
    if (patterns.some((pattern) => pattern.startsWith('!') && fits(pattern.slice(1)))) return false;
    return patterns.some((pattern) => !pattern.startsWith('!') && fits(pattern));
  });
}

export const isPattern = (name: string) => hasWildcard(name) || name.startsWith('!');

/** The blocks of the file at `top`. Never throws: what cannot be read is logged and left out. */
export async function readBlocks(top: string, log: (message: string) => void): Promise<Block[]> {
  const home = os.homedir();
  const folder = path.dirname(path.resolve(top));
  const blocks: Block[] = [];
  let files = 0;

  const readFile = async (file: string, around: string[][], above: string[]): Promise<void> => {
    if (above.length > DEPTH_MAX) return log(`${file} is included too deeply, it is left out.`);
    if (files === FILES_MAX) return log(`${file} is left out: ${FILES_MAX} files have been read.`);
    files += 1;
    const real = await realpath(file);
    if (above.includes(real)) return log(`${file} includes itself, which is left out.`);
    const text = await readBounded(real);
    let block: Block | null = { conditions: around, names: [], hostName: undefined };
    blocks.push(block);
    let number = 0;
    for (const line of text.split(/\r\n|\r|\n/)) {
      number += 1;
      const keyword = KEYWORD.exec(line)?.[1]?.toLowerCase();
      if (keyword === undefined) continue;
      // Whether a Match applies can depend on a command that it names, so the lines under it are ignored.
      if (keyword === 'match') block = null;
      const values = keyword === 'match' ? [] : parseLine(line);
      if (!values) {
        log(`Line ${number} of ${file} cannot be parsed.`);
        // The lines below a broken Host line apply to no host.
        if (keyword === 'host') block = null;
      } else if (keyword === 'host') {
        block = { conditions: [...around, values], names: values, hostName: undefined };
        blocks.push(block);
      } else if (block && keyword === 'hostname') {
        block.hostName ??= values[0];
      } else if (block && keyword === 'include') {
        const outer: Block = block;
        for (const value of values) await include(value, outer.conditions, [...above, real]);
        // The block around the Include goes on after it: as a new block, so that blocks stay in the order of the lines.
        block = { conditions: outer.conditions, names: [], hostName: undefined };
        blocks.push(block);
      }
    }
  };

  const include = async (value: string, around: string[][], above: string[]) => {
    const expanded = value.replace(/^~(?=\/|$)/, home);
    for (const file of await expandPath(path.resolve(folder, expanded), FILES_MAX)) {
      await readFile(file, around, above).catch((error) => log(unreadable(file, error)));
    }
  };

  await readFile(top, [], []).catch((error) => {
    // Without an SSH config there are no SSH hosts.
    if (error.code !== 'ENOENT') log(unreadable(top, error));
  });
  return blocks;
}

/** The values on one line, or undefined when it is malformed. */
function parseLine(line: string): string[] | undefined {
  try {
    // Line by line, since the library takes the next line for the value of a keyword without one, and throws a
    // whole file away for one open quote. Only ever its parse(): compute() executes what `Match exec` names.
    const directive = sshConfig.parse(line)[0];
    if (!directive || !('value' in directive)) return undefined;
    const { value } = directive;
    const values = typeof value === 'string' ? [value] : value.map(({ val }) => val);
    return values.every((each) => each !== '') ? values : undefined;
  } catch {
    return undefined;
  }
}

async function readBounded(file: string): Promise<string> {
  // Without O_NONBLOCK opening a named pipe would block until a process writes to it.
  const handle = await open(file, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
  try {
    const info = await handle.stat();
    if (!info.isFile() && file !== os.devNull) throw new Error('it is not a regular file');
    if (info.size > FILE_BYTES_MAX) throw new Error('it is larger than 1 MiB');
    // Editors on Windows begin a file with a byte order mark.
    return (await handle.readFile('utf8')).replace(/^\uFEFF/, '');
  } finally {
    await handle.close();
  }
}

const unreadable = (file: string, error: Error) => `${file} cannot be read, it is left out: ${error.message}`;
