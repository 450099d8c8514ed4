#!/usr/bin/env node
/** rbee registry: which components exist. Keeps a lease for each one that registers, in memory only. */
import { hostname } from 'node:os';
import { Command, Option } from 'commander';
import { LEASE } from '../wire/registry.js';
import { PORT, toId } from '../wire/status.js';
import { addProcessOptions, parseCount, parseDuration, parseId, UsageError } from '../wiring/options.js';
import { runProcess } from '../wiring/process.js';
import { buildRegistry, type RegistryOptions } from '../wiring/registry.js';
import { isMain, runCommand } from '../wiring/run-command.js';

const EXAMPLES = `
Examples:
  rbee registry                                         on loopback, for a swarm on this machine
  rbee registry --bind 0.0.0.0 --token "$TOKEN"         for components on other machines with the same token
  curl http://127.0.0.1:7830/v1/registry/components     what is registered
  curl -N http://127.0.0.1:7830/v1/registry/stream      the same, live

Components find it by their --registry-url, register, and send heartbeats; one that stops is removed after three
intervals. It keeps nothing on disk: after a restart all components register again within one interval.`;

export function registryCommand(): Command {
  const command = new Command('registry')
    .description('A directory: queens, hives, workers and keepers register with it and find each other there.')
    .addOption(
      new Option('--registry-id <id>', 'name of this registry')
        .env('RBEE_REGISTRY_ID')
        .argParser(parseId)
        .default(toId(`registry-${hostname()}`), 'registry-<host>'),
    )
    .addOption(
      new Option(
        '--heartbeat-interval <duration>',
        'time between two heartbeats of a component; without three of them it is removed',
      )
        .env('RBEE_HEARTBEAT_INTERVAL')
        .argParser(parseDuration)
        .default(LEASE.intervalMs, '15s'),
    )
    .addOption(
      new Option('--max-components <count>', 'further components are refused')
        .env('RBEE_MAX_COMPONENTS')
        .argParser(parseCount)
        .default(50_000),
    );
  return addProcessOptions(command, PORT.registry)
    .addHelpText('after', EXAMPLES)
    .action(async (options: RegistryOptions) => {
      const { heartbeatInterval } = options;
      if (heartbeatInterval < LEASE.intervalMsMin || heartbeatInterval > LEASE.intervalMsMax) {
        throw new UsageError(
          `--heartbeat-interval: expected ${LEASE.intervalMsMin}ms to ${LEASE.intervalMsMax / 60_000}m`,
        );
      }
      await runProcess({
        name: 'registry',
        id: options.registryId,
        options,
        build: (processContext) => buildRegistry(processContext, options),
      });
    });
}

if (isMain(import.meta.url)) await runCommand(registryCommand().name('rbee-registry'), process.argv);
