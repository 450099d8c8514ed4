#!/usr/bin/env node
/** rbee keeper: the user's own page. Shows the swarm, spawns workers on this machine, and chats, with or without a queen. */
import { hostname } from 'node:os';
import { Command, Option } from 'commander';
import { WORKER_QUEENS_MAX } from '../machines/worker-queens.js';
import { PORT, toId } from '../wire/status.js';
import { buildKeeper, type KeeperOptions } from '../wiring/keeper.js';
import { addProcessOptions, list, parseId, parseUrl, registryOption, UsageError } from '../wiring/options.js';
import { runProcess } from '../wiring/process.js';
import { isMain, runCommand } from '../wiring/run-command.js';
import { addSpawnerOptions } from '../wiring/spawner-options.js';
import { addSwarmOptions } from '../wiring/swarm-options.js';

const EXAMPLES = `
Examples:
  rbee keeper                                           then open http://127.0.0.1:7811 in a browser
  rbee keeper --registry-url http://desk:7830 --bind 0.0.0.0 --token "$TOKEN"
                                                        shows every hive and worker that is listed there
  rbee keeper --queen-url http://desk:7833 --bind 0.0.0.0 --token "$TOKEN"
                                                        shows the hives of the queen on "desk", and registers its workers there

None of them is required: workers that it spawns run on this machine, and it chats with them directly. It finds hives in
the registry, at queens, and on the hosts of the SSH config, and reads the stream of each. It is no queen: no hive
announces itself to it. A queen that is started later appears on the page; nothing else changes.`;

export function keeperCommand(): Command {
  const command = new Command('keeper')
    .description("The user's own page: shows the swarm, spawns workers here, and chats, with or without a queen.")
    .addOption(
      new Option('--keeper-id <id>', 'name of this keeper')
        .env('RBEE_KEEPER_ID')
        .argParser(parseId)
        .default(toId(`keeper-${hostname()}`), 'keeper-<host>'),
    )
    .addOption(
      new Option(
        '--queen-url <url>',
        `queen whose hives to show, and at which to register workers (repeatable, up to ${WORKER_QUEENS_MAX})`,
      )
        .env('RBEE_QUEEN_URL')
        .argParser(list(parseUrl))
        .default([], 'none: not required'),
    )
    .addOption(registryOption());
  return addProcessOptions(addSpawnerOptions(addSwarmOptions(command), 'keeper'), PORT.keeper)
    .addHelpText('after', EXAMPLES)
    .action(async (options: KeeperOptions) => {
      const queenUrl = [...new Set(options.queenUrl)];
      if (queenUrl.length > WORKER_QUEENS_MAX)
        throw new UsageError(`--queen-url: a keeper takes at most ${WORKER_QUEENS_MAX} queens`);
      await runProcess({
        name: 'keeper',
        id: options.keeperId,
        options,
        build: (processContext) => buildKeeper(processContext, { ...options, queenUrl }),
      });
    });
}

if (isMain(import.meta.url)) await runCommand(keeperCommand().name('rbee-keeper'), process.argv);
