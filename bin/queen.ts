#!/usr/bin/env node
/** rbee queen: finds hives, subscribes to each one's stream, and serves the whole swarm. */
import { hostname } from 'node:os';
import { Command, Option } from 'commander';
import { PORT, toId } from '../wire/status.js';
import { addProcessOptions, parseId, registryOption } from '../wiring/options.js';
import { runProcess } from '../wiring/process.js';
import { buildQueen, type QueenOptions } from '../wiring/queen.js';
import { isMain, runCommand } from '../wiring/run-command.js';
import { addSwarmOptions } from '../wiring/swarm-options.js';

const EXAMPLES = `
Examples:
  rbee queen                                            on loopback, for hives on this machine
  rbee queen --bind 0.0.0.0 --token "$TOKEN"            for hives on other machines with the same token
  curl -N http://127.0.0.1:7833/v1/heartbeats/stream    everything, live
  rbee queen --registry-url http://127.0.0.1:7830       finds the hives and workers of that registry, and is found there
  rbee watch                                            the same as a table

Hives find it by their --queen-url, or by a registry in which both are listed. It finds hives among those that it knew
before, in the registry, and on the hosts of the SSH config: it asks port 7835 (--hive-port) of each whether a hive runs
there. Nothing in that file is executed.`;

export function queenCommand(): Command {
  const command = new Command('queen')
    .description('Finds hives, subscribes to their streams, and serves the whole swarm.')
    .addOption(
      new Option('--queen-id <id>', 'name of this queen')
        .env('RBEE_QUEEN_ID')
        .argParser(parseId)
        .default(toId(`queen-${hostname()}`), 'queen-<host>'),
    )
    .addOption(registryOption());
  return addProcessOptions(addSwarmOptions(command), PORT.queen)
    .addHelpText('after', EXAMPLES)
    .action(async (options: QueenOptions) => {
      await runProcess({
        name: 'queen',
        id: options.queenId,
        options,
        build: (processContext) => buildQueen(processContext, options),
      });
    });
}

if (isMain(import.meta.url)) await runCommand(queenCommand().name('queen-rbee'), process.argv);
