/** The flags that a queen and a keeper share: where to look for hives, and how many to take. */
import { homedir } from 'node:os';
import path from 'node:path';
import { type Command, Option } from 'commander';
import { PORT } from '../wire/status.js';
import { parseCount, parsePort } from './options.js';

export interface SwarmOptions {
  sshConfig: string;
  hivePort: number;
  maxHives: number;
  registryUrl?: string;
}

export function addSwarmOptions(command: Command): Command {
  return command
    .addOption(
      new Option('--ssh-config <file>', 'whose hosts to search for hives; /dev/null searches none')
        .env('RBEE_SSH_CONFIG')
        .default(path.join(homedir(), '.ssh', 'config'), '~/.ssh/config'),
    )
    .addOption(
      new Option('--hive-port <port>', 'where to ask hosts of the SSH config')
        .env('RBEE_HIVE_PORT')
        .argParser(parsePort)
        .default(PORT.hive),
    )
    .addOption(
      new Option('--max-hives <count>', 'more names than this are refused')
        .env('RBEE_MAX_HIVES')
        .argParser(parseCount)
        .default(20_000),
    );
}
