/** The commands that query a running queen: status, hives, workers, models, forget, watch, and those that use the swarm. */
import type { Command } from 'commander';
import type { Client } from '../client/index.js';
import type { Info } from '../wire/status.js';
import { parseId, UsageError } from '../wiring/options.js';
import { jsonLine } from '../wiring/terminal-text.js';
import { act, print, type Query, type QueryOptions, query } from './ask.js';
import { addChatCommand } from './chat.js';
import { addJobCommands } from './follow-job.js';
import { type HiveView, hiveScreen, queensOf } from './hive-screen.js';
import { hivesScreen } from './hives-screen.js';
import type { Screen } from './screen.js';
import { addSpawnCommands } from './spawn.js';
import { statusScreen } from './status-screen.js';
import { watch } from './watch.js';
import { modelsScreen, workersScreen } from './work-screens.js';
import { workerEntryOf } from './worker-entry.js';

export function addQueryCommands(program: Command): void {
  addStatusCommand(program);
  addHivesCommand(program);
  addWorkersCommand(program);
  addModelsCommand(program);
  addForgetCommand(program);
  addWatchCommand(program);
  addJobCommands(program);
  addSpawnCommands(program);
  addChatCommand(program);
}

function addStatusCommand(program: Command): void {
  query(program, 'status', 'Shows the swarm on one screen, what needs attention first; or one hive, by its URL.', [
    'rbee status',
    'RBEE_TOKEN=… rbee status --url https://queen.lan:7833 --tls-ca ca.pem',
    'rbee status --json | jq \'.hives[] | select(.state == "lost") | .hive_id\'',
    'rbee status --url http://127.0.0.1:7835       a hive: its queens, its machine, its workers',
  ]).action(act(showStatus));
}

async function showStatus(asking: Query): Promise<void> {
  const { client, json } = asking;
  const info = await client.info();
  if (info.name === 'hive') {
    const view = await hiveView(client, info);
    return print(json ? [jsonLine(view)] : hiveScreen(view, screenOf(asking)));
  }
  if (info.name !== 'queen' && info.name !== 'keeper') {
    throw new UsageError(`${client.url} is a ${info.name}: give the URL of a queen, a hive or a keeper with --url`);
  }
  const [hives, { workers }] = await Promise.all([client.hives(), client.workers()]);
  // A keeper's own workers are not in its list of workers.
  const own = info.name === 'keeper' ? (await client.keeper()).workers.map((one) => workerEntryOf(one, null)) : [];
  const swarm = { info, ...hives, workers: [...own, ...workers] };
  print(json ? [jsonLine(swarm)] : statusScreen(swarm, screenOf(asking)));
}

/** A hive's telemetry begins with its latest event. */
async function hiveView(client: Client, info: Info): Promise<HiveView> {
  const { machines } = await client.machines();
  for await (const event of client.heartbeats()) {
    if (event.event !== 'heartbeat' || event.data.type !== 'telemetry') continue;
    const { type: _, hive_id: __, ...telemetry } = event.data;
    return { info, queens: queensOf(machines), telemetry };
  }
  throw new Error(`${client.url} is shutting down: try again`);
}

const screenOf = ({ color, width, queenNowMs }: Query): Screen => ({ color, width, queenNowMs: queenNowMs() });

function addHivesCommand(program: Command): void {
  query(program, 'hives', 'Lists all hives: load, memory, GPUs, workers, and why one is lost.', [
    'rbee hives',
    "rbee hives --json | jq -r '.hives[] | [.hive_id, .state, .reason] | @tsv'",
  ]).action(
    act(async (asking) => {
      const list = await asking.client.hives();
      print(asking.json ? [jsonLine(list)] : hivesScreen(list, screenOf(asking)));
    }),
  );
}

function addWorkersCommand(program: Command): void {
  query(program, 'workers', 'Lists all workers: models, use of the machine, and why one is not available.', [
    'rbee workers',
    "rbee workers --json | jq -r '.workers[] | select(.available) | .url'",
  ]).action(
    act(async (asking) => {
      const list = await asking.client.workers();
      print(asking.json ? [jsonLine(list)] : workersScreen(list, screenOf(asking)));
    }),
  );
}

function addModelsCommand(program: Command): void {
  query(program, 'models', 'Lists the models that are available now, and their workers.', [
    'rbee models',
    "rbee models --json | jq -r '.data[].id'",
  ]).action(
    act(async (asking) => {
      const { client, json } = asking;
      const models = await client.models();
      if (json) return print([jsonLine(models)]);
      const { workers } = await client.workers();
      print(modelsScreen(models, workers, screenOf(asking)));
    }),
  );
}

function addForgetCommand(program: Command): void {
  query(program, 'forget', 'Makes the queen forget a lost hive: it is not listed or retried any more.', [
    'rbee forget gpu-0',
    '',
    'A hive that streams cannot be forgotten: stop it first. A forgotten hive that announces itself is listed again.',
  ])
    .argument('<hive>', 'its id, as rbee hives shows it', parseId)
    .action((hive: string, options: QueryOptions) =>
      act(async ({ client, json }) => {
        await client.forgetHive(hive);
        print([json ? jsonLine({ hive_id: hive, forgotten: true }) : `forgot ${hive}`]);
      })(options),
    );
}

function addWatchCommand(program: Command): void {
  query(program, 'watch', 'Shows the swarm live: a table on a terminal, one line per event in a pipe.', [
    'rbee watch                     q or Ctrl-C leaves; it reconnects by itself',
    'rbee watch --json | jq -c .data',
  ]).action(
    act(({ client, json, color }) =>
      watch(client, { stdin: process.stdin, stdout: process.stdout, stderr: process.stderr, json, color }),
    ),
  );
}
