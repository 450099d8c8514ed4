#!/usr/bin/env node
/** rbee: all processes and commands under one name. A command's module is loaded only when that command runs. */
import { Command } from 'commander';
import { runCommand } from '../wiring/run-command.js';
import { version } from '../wiring/version.js';

const PROCESSES: Record<string, () => Promise<Command>> = {
  up: async () => (await import('../cli/up.js')).upCommand(),
  registry: async () => (await import('./registry.js')).registryCommand(),
  queen: async () => (await import('./queen.js')).queenCommand(),
  hive: async () => (await import('./hive.js')).hiveCommand(),
  keeper: async () => (await import('./keeper.js')).keeperCommand(),
  worker: async () => (await import('./worker.js')).workerCommand(),
  demo: async () => (await import('../cli/demo.js')).demoCommand(),
};

const program = new Command('rbee')
  .description('One live swarm out of the computers you already own.')
  .version(version)
  .showSuggestionAfterError()
  .showHelpAfterError('(rbee --help lists the commands)')
  .addHelpText(
    'after',
    `
Start here:
  rbee up          a swarm on this machine, in this terminal
  rbee watch       the swarm, live
  rbee spawn FILE  a worker for a model; then: rbee chat
  rbee keeper      a page to see the swarm, spawn workers and chat, with or without a queen
  rbee demo        the whole chain with a tiny model, in one go

Then, on each machine:  rbee hive --queen-url http://<queen's host>:7833 --bind 0.0.0.0   (with RBEE_TOKEN set)
Exit codes: 0 done, 1 failed or refused, 2 wrong usage, 3 the name or port is taken, or nothing answers.`,
  );

const name = process.argv[2] ?? '';
const only = PROCESSES[name];
if (only) {
  program.addCommand(await only());
} else {
  const { addQueryCommands } = await import('../cli/queries.js');
  const queries = new Command();
  addQueryCommands(queries);
  // Help, and suggestions for a misspelled command, need all of them.
  if (!queries.commands.some((command) => command.name() === name)) {
    for (const load of Object.values(PROCESSES)) program.addCommand(await load());
  }
  for (const command of queries.commands) program.addCommand(command);
}
await runCommand(program, process.argv);
