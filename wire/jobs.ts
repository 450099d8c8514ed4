/** Jobs: operations that take a while, with a stream of what happens (docs/protocol.md, section 9). */
import { type Static, type TSchema, Type } from '@sinclair/typebox';
import { isOtherOperation } from './other-operations.js';
import { knownParser, type Parsed } from './schema.js';
import { HttpUrl, Id, nullable, Timestamp, WorkerId } from './status.js';
import { Context, Slots } from './worker.js';

const hive_id = Type.Optional(Id);
/** It becomes an argument of a process, and part of lines of the job's stream. */
const Model = Type.String({
  maxLength: 1024,
  pattern: '^[^\\u0000-\\u001f\\u007f-\\u009f\\u2028\\u2029]+$',
  errorMessage: 'expected the name or path of a model, of at most 1,024 characters and in one line',
});
const Pid = Type.Integer({ minimum: 1, maximum: 2 ** 31 - 1, errorMessage: 'expected a process id' });
const optional = <S extends Parameters<typeof nullable>[0]>(schema: S) => Type.Optional(nullable(schema));

export const WORKER_KINDS = ['cpu', 'cuda', 'metal', 'openai'] as const;

/** The precision of a model's KV cache: less precise takes less memory. */
export const KV_TYPES = ['f16', 'q8_0', 'q4_0'] as const;
export type KvType = (typeof KV_TYPES)[number];

/** Larger numbers are taken for typing errors. */
export const SPAWN_MAX = { context: 10_000_000, slots: 1024, threads: 1024, gpuLayers: 10_000 } as const;

const from = (minimum: number, maximum: number, description: string) =>
  optional(
    Type.Integer({
      minimum,
      maximum,
      description,
      errorMessage: `expected a whole number from ${minimum} to ${maximum}`,
    }),
  );

const WorkerSpawn = Type.Object({
  operation: Type.Literal('worker_spawn'),
  hive_id,
  model: Model,
  worker: Type.Union(
    WORKER_KINDS.map((kind) => Type.Literal(kind)),
    { errorMessage: `expected ${WORKER_KINDS.join(', ')}` },
  ),
  device: Type.Optional(Type.Integer({ minimum: 0, maximum: 1023, description: 'index among devices of its kind; 0' })),
  engine_url: Type.Optional(HttpUrl),
  context: from(1, SPAWN_MAX.context, 'tokens of one request, prompt and answer together'),
  slots: from(1, SPAWN_MAX.slots, 'requests answered at once; an engine elsewhere decides itself unless this is given'),
  threads: from(1, SPAWN_MAX.threads, 'threads that compute'),
  gpu_layers: from(0, SPAWN_MAX.gpuLayers, 'layers of the model on the GPU; as many as fit'),
  kv_type: optional(
    Type.Union(
      KV_TYPES.map((kind) => Type.Literal(kind)),
      { description: 'of the KV cache; f16', errorMessage: `expected ${KV_TYPES.join(', ')}` },
    ),
  ),
});
const WorkerProcessList = Type.Object({ operation: Type.Literal('worker_process_list'), hive_id });
const WorkerProcessGet = Type.Object({ operation: Type.Literal('worker_process_get'), hive_id, pid: Pid });
/** By its pid, its id, or both, which then must match; `pid` null means: only if it has no process, as after a crash. */
const WorkerProcessDelete = Type.Object({
  operation: Type.Literal('worker_process_delete'),
  hive_id,
  pid: optional(Pid),
  worker_id: Type.Optional(WorkerId),
});
/** A listed orphaned worker becomes one of this hive's. */
const WorkerProcessAdopt = Type.Object({ operation: Type.Literal('worker_process_adopt'), hive_id, pid: Pid });
const Infer = Type.Object({
  operation: Type.Literal('infer'),
  hive_id,
  model: Model,
  prompt: Type.String({ minLength: 1 }),
  max_tokens: optional(Type.Integer({ minimum: 1 })),
  temperature: optional(Type.Number({ minimum: 0, maximum: 2 })),
  top_p: optional(Type.Number({ minimum: 0, maximum: 1 })),
  top_k: optional(Type.Integer({ minimum: 0 })),
  worker_id: optional(WorkerId),
  stream: optional(Type.Boolean({ description: 'false: the text is one line at the end; true' })),
});
const Status = Type.Object({ operation: Type.Literal('status'), hive_id });

const OPERATIONS = {
  worker_spawn: WorkerSpawn,
  worker_process_list: WorkerProcessList,
  worker_process_get: WorkerProcessGet,
  worker_process_delete: WorkerProcessDelete,
  worker_process_adopt: WorkerProcessAdopt,
  infer: Infer,
  status: Status,
} as const;

export type WorkerSpawn = Static<typeof WorkerSpawn>;
export type WorkerProcessDelete = Static<typeof WorkerProcessDelete>;
type WorkerProcessAdopt = Static<typeof WorkerProcessAdopt>;
export type Infer = Static<typeof Infer>;
export type Operation =
  | WorkerSpawn
  | Static<typeof WorkerProcessList>
  | Static<typeof WorkerProcessGet>
  | WorkerProcessDelete
  | WorkerProcessAdopt
  | Infer
  | Static<typeof Status>
  | OtherOperation;

/** An operation of the original design: its job only fails, with a sentence on what to do instead. */
interface OtherOperation {
  operation: 'other';
  /** Its name in the request. */
  name: string;
  hive_id?: undefined;
}

/** Any of them, for documentation. */
export const Operation = Type.Union(Object.values(OPERATIONS));

const parsers = new Map(
  Object.entries(OPERATIONS).map(([name, schema]) => [
    name,
    knownParser(schema as TSchema) as (value: unknown) => Parsed<Operation>,
  ]),
);

const wrong = (pointer: string, detail: string): Parsed<Operation> => ({ ok: false, errors: [{ pointer, detail }] });

/** An operation, or what is wrong with it: first its name, then its fields. `hive_id` may be null for no hive. */
export function parseOperation(value: unknown): Parsed<Operation> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return wrong('', 'expected an object');
  const { operation } = value as { operation?: unknown };
  const parse = typeof operation === 'string' ? parsers.get(operation) : undefined;
  if (typeof operation === 'string' && isOtherOperation(operation)) {
    return { ok: true, value: { operation: 'other', name: operation } };
  }
  if (!parse) return wrong('/operation', `expected one of ${[...parsers.keys()].join(', ')}`);
  const { hive_id, ...rest } = value as { hive_id?: unknown };
  const parsed = parse(hive_id === null ? rest : value);
  if (!parsed.ok) return parsed;
  if (parsed.value.operation === 'worker_process_delete') return checkDelete(parsed, parsed.value);
  if (parsed.value.operation !== 'worker_spawn') return parsed;
  return checkSpawn(parsed, parsed.value);
}

/** Settings that an engine which runs elsewhere decides itself. */
const OWN_ENGINE_ONLY = ['context', 'threads', 'gpu_layers', 'kv_type'] as const;

function checkSpawn(parsed: Parsed<Operation>, spawn: WorkerSpawn): Parsed<Operation> {
  const { worker, engine_url, gpu_layers } = spawn;
  if (worker === 'openai' && engine_url === undefined) {
    return wrong('/engine_url', 'expected the URL of the engine, such as http://127.0.0.1:11434');
  }
  if (worker !== 'openai' && engine_url !== undefined) {
    return wrong('/engine_url', `expected with "worker":"openai" only, not with "${worker}"`);
  }
  if (worker === 'openai') {
    const given = OWN_ENGINE_ONLY.filter((name) => (spawn[name] ?? null) !== null);
    const detail = 'not with "worker":"openai": the engine decides that itself';
    if (given.length > 0) return { ok: false, errors: given.map((name) => ({ pointer: `/${name}`, detail })) };
  }
  if (worker === 'cpu' && (gpu_layers ?? 0) > 0) {
    return wrong('/gpu_layers', 'expected with "worker":"cuda" or "metal" only, not with "cpu"');
  }
  return parsed;
}

function checkDelete(parsed: Parsed<Operation>, { pid, worker_id }: WorkerProcessDelete): Parsed<Operation> {
  if (worker_id !== undefined || typeof pid === 'number') return parsed;
  return wrong('/pid', 'expected a process id, or the worker_id of a worker');
}

export const JOB_ID = /^job-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

export const JobPosted = Type.Object({ job_id: Type.String(), sse_url: Type.String() });
export type JobPosted = Static<typeof JobPosted>;

const JOB_STATES = ['queued', 'running', 'done', 'failed', 'cancelled'] as const;
export type JobState = (typeof JOB_STATES)[number];

export const JobEntry = Type.Object({
  job_id: Type.String(),
  operation: Type.String(),
  hive_id: nullable(Id),
  state: Type.Union(JOB_STATES.map((state) => Type.Literal(state))),
  reason: nullable(Type.String({ description: 'why it failed' })),
  created_at: Timestamp,
  ended_at: nullable(Timestamp),
  sse_url: Type.String(),
});
export type JobEntry = Static<typeof JobEntry>;
export const JobList = Type.Object({ jobs: Type.Array(JobEntry) });
export type JobList = Static<typeof JobList>;
export const JobCancelled = Type.Object({ job_id: Type.String(), status: Type.Literal('cancelled') });

/** `event: data` of a job's stream. */
export const JobData = Type.Object({ action: Type.String({ maxLength: 64 }), payload: Type.Unknown() });
export type JobData = Static<typeof JobData>;

/** The last line of a job's stream. */
export const ENDING = { done: '[DONE]', failed: '[ERROR]', cancelled: '[CANCELLED]' } as const;

/** A process of a worker, in the results of `worker_spawn` and `worker_process_*`. */
export const WorkerProcess = Type.Object({
  worker_id: nullable(WorkerId),
  pid: nullable(Type.Integer()),
  state: Type.String(),
  url: nullable(HttpUrl),
  port: nullable(Type.Integer()),
  model: Type.String(),
  device: nullable(Type.String()),
  restarts: Type.Integer(),
  reason: nullable(Type.String()),
  context: Type.Optional(Context),
  slots: Type.Optional(Slots),
});
export type WorkerProcess = Static<typeof WorkerProcess>;

/** `kind` of an error: the work was cancelled, but not by this process. */
export const CANCELLED_ELSEWHERE = 'cancelled';
