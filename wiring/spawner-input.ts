/** What a hive and a keeper give their spawner. */
import type { CheckModel } from '../actors/models/model-access.js';
import type { ProcessOptions } from './options.js';
import type { ProcessContext } from './process.js';

export interface SpawnerInput {
  processContext: ProcessContext;
  options: ProcessOptions;
  /** `hive` or `keeper`. */
  kind: string;
  /** For its workers' `--hive-id`; null in a keeper. */
  hiveId: string | null;
  registryUrl?: string | undefined;
  /** The queens that its workers send heartbeats to. */
  queenUrls: string[];
  /** The queens with which a healthy worker is registered; called each time. */
  queensNow: () => string[];
  /** A worker became healthy, or is being stopped; `list` shows it already. */
  onChange?: () => void;
  /** Default: this rbee. */
  command?: string[];
  /** Default: true where cgroup v2 can be used. */
  cgroups?: boolean;
  /** False: workers that ended with the last run are forgotten. */
  restore?: boolean;
  /** Rejects where the model of a request may not be run here. */
  checkModel?: CheckModel;
  /** How long a load may take without progress. */
  loadTimeoutMs?: number;
}
