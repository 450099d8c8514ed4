/** A process with only the spawner and the jobs of a hive; its workers are stand-ins without a model. */
import { fileURLToPath } from 'node:url';
import { Command, Option } from 'commander';
import { buildHiveJobs } from '../../wiring/jobs.js';
import { addProcessOptions, type ProcessOptions } from '../../wiring/options.js';
import { runProcess } from '../../wiring/process.js';
import { runCommand } from '../../wiring/run-command.js';
import { createSpawner } from '../../wiring/spawner.js';

const STAND_IN = fileURLToPath(new URL('../fakes/worker-process.js', import.meta.url));
const BOUNDED = new URL('../../bin/bounded-output.js', import.meta.url).href;
const GRACE_MS = 1_000;

const command = addProcessOptions(new Command('jobs'), 0)
  .addOption(new Option('--hive-id <id>').default('gpu-0'))
  .action(async (options: ProcessOptions & { hiveId: string }) => {
    await runProcess({
      name: 'hive',
      id: options.hiveId,
      options,
      build: (processContext) => {
        const spawner = createSpawner({
          ...{ processContext, options, kind: 'hive', hiveId: processContext.id, queenUrls: [], queensNow: () => [] },
          command: [process.execPath, '--import', BOUNDED, STAND_IN, 'worker'],
          cgroups: false,
        });
        const jobs = buildHiveJobs(processContext, spawner);
        return {
          ...{ routes: jobs.routes, metrics: jobs.metrics, streams: [] },
          start: () => {
            spawner.start();
            jobs.start();
          },
          stop: async () => {
            jobs.stop();
            await spawner.end({ keep: false, graceMs: GRACE_MS });
          },
        };
      },
    });
  });
await runCommand(command, process.argv);
