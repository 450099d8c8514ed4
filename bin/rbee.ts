#!/usr/bin/env node
/** rbee: every process and every question, by one name. A command's module is loaded only when it is the one asked for. */
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
  .addHelpText(
    'after',
    `
Start here:
  rbee up          a swarm on this machine, in this terminal
  rbee watch       what it does, live
  rbee spawn FILE  a worker for a model; then: rbee chat
  rbee keeper      a page to see the swarm, spawn workers and chat, with or without a queen
  rbee demo        all of it with a model of a few words, in one go

Then, on each machine:  rbee hive --queen-url http://<queen's host>:7833 --bind 0.0.0.0   (with RBEE_TOKEN set)
Exit codes: 0 done, 1 failed, 2 wrong usage, 3 the name or port is taken, or nobody answers.`,
  );

const asked = process.argv[2] ?? '';
const only = PROCESSES[asked];
if (only) {
  program.addCommand(await only());
} else {
  const { addQueryCommands } = await import('../cli/queries.js');
  const questions = new Command();
  addQueryCommands(questions);
  // Help, and the words that are close to a wrong one, want all of them.
  if (!questions.commands.some((command) => command.name() === asked)) {
    for (const load of Object.values(PROCESSES)) program.addCommand(await load());
  }
  for (const command of questions.commands) program.addCommand(command);
}
await runCommand(program, process.argv);
