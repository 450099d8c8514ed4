/** The flags of a hive and of a keeper that concern their workers. */
import { type Command, Option } from 'commander';
import { createCheckModel } from '../actors/models/model-access.js';
import { LOAD_TIMEOUT_MS } from '../machines/worker-setup.js';
import { list, parseDuration } from './options.js';
import type { ProcessContext } from './process.js';

export interface SpawnerOptions {
  keepWorkers: boolean;
  restore: boolean;
  loadTimeout: number;
  modelsDir: string[];
}

/** The flags as input of a spawner. */
export function spawnerInputOf({ restore, loadTimeout, modelsDir }: SpawnerOptions, { security }: ProcessContext) {
  const checkModel = createCheckModel({ dirs: modelsDir, anyModelFile: security.tokens.length === 0 });
  return { restore, loadTimeoutMs: loadTimeout, checkModel };
}

export function addSpawnerOptions(command: Command, kind: 'hive' | 'keeper'): Command {
  return command
    .addOption(
      new Option('--keep-workers', `leave the workers running when this ${kind} ends; the next run adopts them`)
        .env('RBEE_KEEP_WORKERS')
        .default(false),
    )
    .addOption(
      new Option(
        '--no-restore',
        `do not restart workers that ended with the ${kind} or the machine without being stopped`,
      ).env('RBEE_NO_RESTORE'),
    )
    .addOption(
      new Option('--load-timeout <duration>', 'end a worker whose model loads without progress for this long')
        .env('RBEE_LOAD_TIMEOUT')
        .argParser(parseDuration)
        .default(LOAD_TIMEOUT_MS, '15m'),
    )
    .addOption(
      new Option(
        '--models-dir <dir>',
        'directory of models that may be run, in addition to the usual ones (repeatable); without a token any .gguf file may be',
      )
        .env('RBEE_MODELS_DIR')
        .argParser(list((dir) => dir))
        .default([], 'none'),
    );
}
