#!/usr/bin/env node
/** rbee queen: finds hives, subscribes to each one's stream, and serves the whole swarm. */
import { hostname } from 'node:os';
import { Command, Option } from 'commander';
import { queenRoutes } from '../server/queen.js';
import { PORT, toId } from '../wire/status.js';
import { buildQueenJobs } from '../wiring/jobs.js';
import { keepLease } from '../wiring/lease.js';
import { addProcessOptions, type ProcessOptions, parseId, registryOption } from '../wiring/options.js';
import { isMain, type ProcessContext, runCommand, runProcess, type Service } from '../wiring/process.js';
import { addSwarmOptions, buildSwarm, type SwarmOptions } from '../wiring/swarm.js';
import { version } from '../wiring/version.js';

interface QueenOptions extends ProcessOptions, SwarmOptions {
  queenId: string;
}

const EXAMPLES = `
Examples:
  rbee queen                                            on loopback, for hives on this machine
  rbee queen --bind 0.0.0.0 --token "$TOKEN"            for hives on other machines with the same token
  curl -N http://127.0.0.1:7833/v1/heartbeats/stream    everything, live
  rbee queen --registry-url http://127.0.0.1:7830       finds hives and workers in that registry, and they her
  rbee watch                                            the same as a table

Hives find her by their --queen-url, or by the registry that both are listed in. She finds them among those she knew
before, in the registry, and on the hosts of the SSH config: on each she asks port 7835 (--hive-port) whether a hive
runs there. Nothing in that file is executed.`;

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

function buildQueen(processContext: ProcessContext, options: QueenOptions): Service {
  const { id, security, outgoing } = processContext;
  const swarm = buildSwarm(processContext, { kind: 'queen', options });
  const { fleet, now, known, inviter, directory, send } = swarm;
  const lease = keepLease(processContext, {
    registryUrl: options.registryUrl,
    kind: 'queen',
    about: () => ({ version }),
  });
  const api = queenRoutes({
    queenId: id,
    loopbackOnly: outgoing.loopbackOnly,
    secured: security.tokens.length > 0,
    send,
    fleet,
    reads: (hiveId, instance) => fleet.hive(hiveId)?.state === 'streaming' && known.isInstance(hiveId, instance),
    now,
    hint: (hive) => inviter.hint(hive),
    onWorkerRegistered: directory.askCapabilities,
  });
  const jobs = buildQueenJobs(processContext, { fleet, now, trustsHive: known.isTrusted });

  return {
    routes: [...api.routes, ...swarm.routes, ...jobs.routes],
    onHealth: api.onHealth,
    streams: swarm.streams,
    metrics: [...swarm.metrics, ...lease.metrics, ...jobs.metrics],
    start: () => {
      swarm.start();
      lease.start();
      jobs.start();
    },
    unfinished: jobs.answering,
    stop: async () => {
      const left = lease.leave();
      jobs.stop();
      swarm.stop();
      await left;
    },
  };
}

if (isMain(import.meta.url)) await runCommand(queenCommand().name('queen-rbee'), process.argv);
