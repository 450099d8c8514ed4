#!/usr/bin/env node
/** rbee hive: one per machine. Measures it, streams that, and announces itself to its queens. */
import { hostname } from 'node:os';
import { Command, Option } from 'commander';
import { HIVE_QUEENS_MAX } from '../machines/hive-queens.js';
import { INTERVAL_MS } from '../wire/heartbeat.js';
import { LABELS_MAX, PORT, toId } from '../wire/status.js';
import { buildHive, type HiveOptions } from '../wiring/hive.js';
import {
  addProcessOptions,
  list,
  parseDuration,
  parseId,
  parseLabel,
  parseUrl,
  registryOption,
  UsageError,
} from '../wiring/options.js';
import { runProcess } from '../wiring/process.js';
import { isMain, runCommand } from '../wiring/run-command.js';
import { addSpawnerOptions } from '../wiring/spawner-options.js';

const EXAMPLES = `
Examples:
  rbee hive                                             waits on loopback to be found by a queen
  rbee hive --queen-url http://desk:7833 --bind 0.0.0.0 --token "$TOKEN"
                                                        joins the swarm of the queen on "desk"
  rbee hive --registry-url http://desk:7830 --bind 0.0.0.0 --token "$TOKEN"
                                                        joins every queen that is listed there, now and later
  curl -N http://127.0.0.1:7835/v1/heartbeats/stream    what it streams

Without either it streams too, and joins any queen that finds it: by the queen's SSH config, or because the queen knew it
before. Every flag has an environment variable; --token by RBEE_TOKEN keeps it out of the process list.`;

export function hiveCommand(): Command {
  const command = new Command('hive')
    .description('Runs on each machine: measures it, streams that, and announces itself to its queens.')
    .addOption(
      new Option('--queen-url <url>', `queen to announce to (repeatable, up to ${HIVE_QUEENS_MAX})`)
        .env('RBEE_QUEEN_URL')
        .argParser(list(parseUrl))
        .default([], 'none: a queen has to find it'),
    )
    .addOption(registryOption())
    .addOption(
      new Option('--hive-id <id>', 'name of this hive, unlike any other in the swarm')
        .env('RBEE_HIVE_ID')
        .argParser(parseId)
        .default(toId(hostname()), 'the name of the host'),
    )
    .addOption(
      new Option('--interval <duration>', 'time between two events')
        .env('RBEE_INTERVAL')
        .argParser(parseDuration)
        .default(INTERVAL_MS.default, '1s'),
    )
    .addOption(
      new Option('--label <name=value>', 'a label of this machine, such as rack=b (repeatable)')
        .env('RBEE_LABEL')
        .argParser(list(parseLabel))
        .default([], 'none'),
    )
    .addOption(
      new Option('--sysfs-root <dir>', 'where AMD GPUs are read from')
        .env('RBEE_SYSFS_ROOT')
        .default(undefined, '/sys'),
    );
  return addProcessOptions(addSpawnerOptions(command, 'hive'), PORT.hive)
    .addHelpText('after', EXAMPLES)
    .action(async (options: HiveOptions) => {
      const queenUrl = [...new Set(options.queenUrl)];
      if (queenUrl.length > HIVE_QUEENS_MAX)
        throw new UsageError(`--queen-url: a hive takes at most ${HIVE_QUEENS_MAX} queens`);
      if (options.label.length > LABELS_MAX) throw new UsageError(`--label: a hive carries at most ${LABELS_MAX}`);
      if (options.interval < INTERVAL_MS.min || options.interval > INTERVAL_MS.max) {
        throw new UsageError(`--interval: expected ${INTERVAL_MS.min}ms to ${INTERVAL_MS.max / 1000}s`);
      }
      await runProcess({
        name: 'hive',
        id: options.hiveId,
        options,
        build: (processContext) => buildHive(processContext, { ...options, queenUrl }),
      });
    });
}

if (isMain(import.meta.url)) await runCommand(hiveCommand().name('rbee-hive'), process.argv);
