/** The commands that ask a running queen: status, hives, workers, models, forget, watch. */
import type { Command } from 'commander';
import type { Client } from '../client/index.js';
import type { Info } from '../wire/status.js';
import { parseId, UsageError } from '../wiring/options.js';
import { jsonLine } from '../wiring/terminal-text.js';
import { act, print, type QueryOptions, query } from './ask.js';
import { addChatCommand } from './chat.js';
import { addJobCommands } from './follow-job.js';
import { type HiveView, hiveScreen, queensOf } from './hive-screen.js';
import { hivesScreen, statusScreen } from './query-screens.js';
import { addSpawnCommands } from './spawn.js';
import { watch } from './watch.js';
import { modelsScreen, workersScreen } from './work-screens.js';
import { entryOf } from './worker-rows.js';

/** Adds all of them, and those that put the swarm to work. */
export function addQueryCommands(program: Command): void {
  query(program, 'status', 'Shows the swarm on one screen, and what needs attention first; or what one hive knows.', [
    'rbee status',
    'RBEE_TOKEN=… rbee status --url https://queen.lan:7833 --tls-ca ca.pem',
    'rbee status --json | jq \'.hives[] | select(.state == "lost") | .hive_id\'',
    'rbee status --url http://127.0.0.1:7835       a hive: its queens, its machine, its workers',
  ]).action(
    act(async ({ client, json, ...rest }) => {
      const info = await client.info();
      const screen = { ...rest, queenNowMs: rest.queenNowMs() };
      if (info.name === 'hive') {
        const view = await hiveView(client, info);
        return print(json ? [jsonLine(view)] : hiveScreen(view, screen));
      }
      if (info.name !== 'queen' && info.name !== 'keeper') {
        throw new UsageError(`${client.url} is a ${info.name}: ask a queen, a hive or a keeper`);
      }
      const [hives, { workers }] = await Promise.all([client.hives(), client.workers()]);
      // Its own workers are on no hive's list.
      const own = info.name === 'keeper' ? (await client.keeper()).workers.map((one) => entryOf(one, null)) : [];
      const all = { info, ...hives, workers: [...own, ...workers] };
      print(json ? [jsonLine(all)] : statusScreen(all, screen));
    }),
  );
  query(program, 'hives', 'Lists every hive that the queen knows: load, memory, GPUs, workers, and why one is lost.', [
    'rbee hives',
    "rbee hives --json | jq -r '.hives[] | [.hive_id, .state, .reason] | @tsv'",
  ]).action(
    act(async ({ client, json, ...screen }) => {
      const list = await client.hives();
      print(json ? [jsonLine(list)] : hivesScreen(list, { ...screen, queenNowMs: screen.queenNowMs() }));
    }),
  );
  query(program, 'workers', 'Lists every worker: its model, what it uses, and why one is offered no work.', [
    'rbee workers',
    "rbee workers --json | jq -r '.workers[] | select(.available) | .url'",
  ]).action(
    act(async ({ client, json, ...screen }) => {
      const list = await client.workers();
      print(json ? [jsonLine(list)] : workersScreen(list, { ...screen, queenNowMs: screen.queenNowMs() }));
    }),
  );
  query(program, 'models', 'Lists the models that can be chatted with now, and who has them.', [
    'rbee models',
    "rbee models --json | jq -r '.data[].id'",
  ]).action(
    act(async ({ client, json, ...screen }) => {
      const models = await client.models();
      if (json) return print([jsonLine(models)]);
      const { workers } = await client.workers();
      print(modelsScreen(models, workers, { ...screen, queenNowMs: screen.queenNowMs() }));
    }),
  );
  query(program, 'forget', 'Makes the queen forget a lost hive and stop asking for it.', [
    'rbee forget gpu-0',
    '',
    'A hive that streams is not forgotten: stop it first. One that announces itself again is back.',
  ])
    .argument('<hive>', 'its id, as rbee hives shows it', parseId)
    .action((hive: string, options: QueryOptions) =>
      act(async ({ client, json }) => {
        await client.forgetHive(hive);
        print([json ? jsonLine({ hive_id: hive, forgotten: true }) : `forgot ${hive}`]);
      })(options),
    );
  query(program, 'watch', 'Shows the swarm as it changes: a live table on a terminal, one line an event in a pipe.', [
    'rbee watch                     q or Ctrl-C leaves; it reconnects by itself',
    'rbee watch --json | jq -c .data',
  ]).action(
    act(({ client, json, color }) =>
      watch(client, { stdin: process.stdin, stdout: process.stdout, stderr: process.stderr, json, color }),
    ),
  );
  addJobCommands(program);
  addSpawnCommands(program);
  addChatCommand(program);
}

/** Its telemetry begins with the latest event. */
async function hiveView(client: Client, info: Info): Promise<HiveView> {
  const { machines } = await client.machines();
  for await (const event of client.heartbeats()) {
    if (event.event !== 'heartbeat' || event.data.type !== 'telemetry') continue;
    const { type: _, hive_id: __, ...telemetry } = event.data;
    return { info, queens: queensOf(machines), telemetry };
  }
  throw new Error(`${client.url} ends: ask again`);
}
