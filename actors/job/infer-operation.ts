/** The operation `infer`: a prompt to a worker of this process's own spawner. */
import type { Infer } from '../../wire/jobs.js';
import { expectedWorker } from '../../wire/worker.js';
import { inferOnWorker } from './infer-on-worker.js';
import { isReady, type Local, type OperationRun, type ReadyWorker } from './operation.js';

/** Inferences in flight by worker id. */
export type InFlight = Map<string, number>;

export async function infer(
  local: Local,
  inFlight: InFlight,
  operation: Infer,
  { output, signal }: OperationRun,
): Promise<void> {
  const worker = chooseWorker(local, inFlight, operation);
  const { prompt, max_tokens, temperature, top_p, top_k, stream } = operation;
  inFlight.set(worker.workerId, (inFlight.get(worker.workerId) ?? 0) + 1);
  try {
    const inferred = await inferOnWorker(local.outgoing, {
      url: worker.url,
      worker: expectedWorker(worker.workerId, worker.key),
      request: { prompt, max_tokens, temperature, top_p, top_k },
      onToken: stream === false ? () => {} : output.line,
      signal,
    });
    if (stream === false) output.line(inferred.text);
    output.result('infer', { worker_id: worker.workerId, model: worker.model, ...inferred });
  } finally {
    const left = (inFlight.get(worker.workerId) ?? 1) - 1;
    if (left > 0) inFlight.set(worker.workerId, left);
    else inFlight.delete(worker.workerId);
  }
}

/** The worker named, or the one of this model with the fewest inferences in flight. */
function chooseWorker({ spawner, processName }: Local, inFlight: InFlight, { model, worker_id }: Infer): ReadyWorker {
  const ready = spawner.list().filter(isReady);
  const candidates = worker_id
    ? ready.filter(({ workerId }) => workerId === worker_id)
    : ready.filter((worker) => isSameModel(worker.model, model));
  const [best] = candidates.sort((a, b) => (inFlight.get(a.workerId) ?? 0) - (inFlight.get(b.workerId) ?? 0));
  if (best) return best;
  const there = ready.map((worker) => `${worker.workerId} (${worker.model})`).join(', ') || 'none';
  throw new Error(
    `no worker of ${processName} ${worker_id ? `is ${worker_id}` : `has model ${model}`}; ready: ${there}`,
  );
}

/** By name, or by the file's name without directory and `.gguf`. */
const isSameModel = (own: string, requested: string): boolean =>
  own === requested || shortName(own) === shortName(requested);
const shortName = (name: string): string => (name.split(/[/\\]/).at(-1) ?? name).toLowerCase().replace(/\.gguf$/, '');
