/** A worker's description of itself: in `/info`, in heartbeats to queens, and in the registry. */
import type { Socket } from 'node:net';
import { urlTowards } from '../actors/net/endpoint.js';
import type { Engine } from '../actors/worker/engines/engine.js';
import type { Serving } from '../server/serving.js';
import type { InferenceStats } from '../stores/inference.js';
import { modelName } from '../wire/infer.js';
import type { WorkerInfo } from '../wire/worker.js';
import type { ProcessContext } from './process.js';
import { version } from './version.js';
import type { WorkerModel } from './worker-model.js';
import { slotsOf, type WorkerOptions } from './worker-options.js';

export interface WorkerDescriptionInput {
  processContext: ProcessContext;
  options: WorkerOptions;
  engine: Engine;
  model: WorkerModel;
  serving: Serving;
  stats: InferenceStats;
  /** The public key of this run. */
  key: string;
}

/** The fields that are the same for every reader. */
type CommonFields = Omit<WorkerInfo, 'id' | 'url' | 'status' | 'tokens_per_s' | 'reason'>;

export class WorkerDescription {
  constructor(private readonly input: WorkerDescriptionInput) {}

  status(): 'starting' | 'ready' | 'busy' | 'stopping' {
    const { model, serving } = this.input;
    if (serving.stopping) return 'stopping';
    if (!model.ready) return 'starting';
    return serving.admission.running > 0 ? 'busy' : 'ready';
  }

  /** Why it cannot answer; null when it can. @param detailed see `WorkerModel.whyNotReady` */
  whyNotReady(detailed: boolean): string | null {
    const { model, serving } = this.input;
    return serving.stopping ? 'the worker is shutting down' : model.whyNotReady(detailed);
  }

  fields(): CommonFields {
    const { processContext, options, engine, model, key } = this.input;
    return {
      model_id: model.facts?.models[0]?.id ?? modelName(options.model),
      device: options.device ?? model.facts?.devices[0]?.id ?? null,
      port: processContext.endpoint.port,
      hive_id: options.hiveId ?? null,
      implementation: engine.implementation,
      version,
      context: model.facts?.context_tokens ?? null,
      slots: slotsOf(options),
      key,
      ...(options.label.length > 0 ? { labels: Object.fromEntries(options.label) } : {}),
    };
  }

  /** @param socket of the reader, which shows by which address it reaches this worker */
  info(socket: Socket): WorkerInfo {
    const { processContext, serving, stats } = this.input;
    const reason = serving.silentReason();
    return {
      id: processContext.id,
      url: urlTowards(processContext.endpoint, socket),
      status: this.status(),
      tokens_per_s: stats.tokensPerS(performance.now()),
      ...(reason === null ? {} : { reason }),
      ...this.fields(),
    };
  }
}
