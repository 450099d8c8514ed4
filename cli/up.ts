/** rbee up: a swarm in one terminal, and commands for the models that are found here. */
import { Command, Option } from 'commander';
import colors from 'picocolors';
import { PORT } from '../wire/status.js';
import { EXIT } from '../wiring/exit-codes.js';
import { graceOption, parsePort } from '../wiring/options.js';
import { commandFor } from './command-line.js';
import { startLocalSwarm } from './local-swarm.js';
import { offerWorkers, spawnAtOnce } from './offer-workers.js';

interface UpOptions {
  registryPort: number;
  queenPort: number;
  hivePort: number;
  stateDir?: string;
  logLevel: string;
  inspect: boolean;
  grace: number;
  spawn?: string;
}

const EXAMPLES = `
While it runs, in another terminal:
  rbee watch                                            the swarm as a live table
  rbee spawn ~/models/some-model.gguf                   a worker; then: rbee chat
  curl -N http://127.0.0.1:7833/v1/heartbeats/stream    the swarm as a stream

Kill any of its processes and watch it recover. Ctrl-C ends all of them.`;

export function upCommand(): Command {
  return new Command('up')
    .description(
      'Runs a swarm on loopback in this terminal: a registry, a queen, and a hive that measures this machine.',
    )
    .addOption(
      new Option('--registry-port <port>', 'port of the registry; 0 picks a free one')
        .env('RBEE_REGISTRY_PORT')
        .argParser(parsePort)
        .default(PORT.registry),
    )
    .addOption(
      new Option('--queen-port <port>', 'port of the queen; 0 picks a free one')
        .env('RBEE_QUEEN_PORT')
        .argParser(parsePort)
        .default(PORT.queen),
    )
    .addOption(
      new Option('--hive-port <port>', 'port of the hive; 0 picks a free one')
        .env('RBEE_HIVE_PORT')
        .argParser(parsePort)
        .default(PORT.hive),
    )
    .addOption(new Option('--state-dir <dir>', 'directory for state that must survive a restart').env('RBEE_STATE_DIR'))
    .addOption(new Option('--log-level <level>', 'debug, info, warn or error').env('RBEE_LOG_LEVEL').default('info'))
    .addOption(graceOption())
    .addOption(
      new Option('--inspect', 'show the live state machines in the browser').env('RBEE_INSPECT').default(false),
    )
    .addOption(
      new Option('--spawn <model>', 'start a worker for it at once: a GGUF file, or hf:user/repo/file.gguf').env(
        'RBEE_SPAWN',
      ),
    )
    .addHelpText('after', EXAMPLES)
    .action(async (options: UpOptions) => {
      process.exitCode = await runSwarm(options);
    });
}

/** @returns the exit code */
function runSwarm(options: UpOptions): Promise<number> {
  const swarm = startLocalSwarm({
    ports: { registry: options.registryPort, queen: options.queenPort, hive: options.hivePort },
    args: [
      ...['--log-level', options.logLevel, '--grace', `${options.grace}ms`],
      ...(options.stateDir === undefined ? [] : ['--state-dir', options.stateDir]),
      ...(options.inspect ? ['--inspect'] : []),
    ],
    env: process.env,
    graceMs: options.grace,
    onUp: ({ queen }) => {
      welcome(queen, options.inspect);
      if (options.inspect) void openInBrowser(`${queen}/inspect`);
      if (options.spawn === undefined) void offerWorkers(queen);
      else void spawnAtOnce(queen, options.spawn);
    },
  });
  // SIGHUP: the terminal was closed; the children do not get the signal.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => swarm.end(EXIT.ok));
  return swarm.ended;
}

function welcome(queenUrl: string, inspect: boolean): void {
  const line = (text: string) => process.stdout.write(`${text}\n`);
  line('');
  line(`  ${colors.bold('The swarm is up.')} Its queen listens at ${queenUrl}`);
  line(`  In a browser:  ${queenUrl}`);
  line(`  See it live:   curl -N ${queenUrl}/v1/heartbeats/stream`);
  line(`  As a table:    ${commandFor(queenUrl, ['watch'])}`);
  if (inspect) line(`  Its machines:  ${queenUrl}/inspect   (and /inspect of the hive)`);
  line('  Stop it:       Ctrl-C');
  line('');
}

/** Opens a URL on a machine with a screen; elsewhere users open the printed URL themselves. */
async function openInBrowser(url: string): Promise<void> {
  const { DISPLAY, WAYLAND_DISPLAY } = process.env;
  const hasScreen = process.platform === 'darwin' || process.platform === 'win32' || DISPLAY || WAYLAND_DISPLAY;
  if (!process.stdout.isTTY || !hasScreen) return;
  const { default: open } = await import('open');
  await open(url).catch(() => {});
}
