/** What all messages share: headers, paths, ids, and the status of components. */
import { type Static, Type } from '@sinclair/typebox';

/** The number every rbee process sends with its requests and answers, as `Rbee-Protocol`. */
export const PROTOCOL_VERSION = '1';

/** Header names, in the lower case in which Node delivers them. */
export const HEADER = {
  /** Protocol number, on every request and answer between rbee processes. */
  protocol: 'rbee-protocol',
  /** A UUID that a hive or queen keeps in its state: distinguishes one that moved from another of the same name. */
  instance: 'rbee-instance',
  /** The id of the queen that opens a hive's stream. */
  queen: 'rbee-queen',
  /** The id of a reader of a hive's stream that is no queen, such as a keeper. */
  reader: 'rbee-reader',
  /** A UUID of this run of the process that answers: it changes with a restart. */
  run: 'rbee-run',
  /**
   * The id of a hive: of the one that answers, of the one that is expected to answer, or, with /health, of the one that
   * asks whether it is read.
   */
  hive: 'rbee-hive',
  /** The version of a job stream: it changes when the lines begin again. */
  jobStream: 'rbee-telling',
  /** The id under which a queen forwards a job to a hive. */
  job: 'rbee-job',
  /** On an answer through the gateway: the worker that gave it. On a worker's /health: that worker. */
  worker: 'rbee-worker',
  /** Random characters that the worker is to sign, to prove which run of which worker it is. */
  challenge: 'rbee-challenge',
  /** The answer to that: an Ed25519 signature in base64url. */
  proof: 'rbee-proof',
  /** `yes` or `no`: whether the queen reads the hive that asks. */
  reads: 'rbee-reads',
} as const;

/** Default ports, as in the table of processes. */
export const PORT = { registry: 7830, queen: 7833, hive: 7835, keeper: 7811 } as const;

/** A worker takes the first free port of these, both included. */
export const WORKER_PORTS = { first: 8080, last: 8200 } as const;

/** Where hives and queens serve telemetry, and where a hive announces itself. */
export const PATH = {
  heartbeats: '/v1/heartbeats/stream',
  hiveReady: '/v1/hive/ready',
  capabilities: '/capabilities',
  /** The same; hives of the first implementation answer here only. */
  capabilitiesV1: '/v1/capabilities',
  health: '/health',
  workerInfo: '/info',
} as const;

const ID_RULE = '1 to 64 letters, digits, ".", "_" or "-"';
/** Not "." and "..": ids are parts of paths, where those mean something else. */
const ID_PATTERN = '^(?!\\.{1,2}$)[A-Za-z0-9._-]{1,64}$';

/** Any id but a worker's. */
export const Id = Type.String({
  pattern: ID_PATTERN,
  description: ID_RULE,
  errorMessage: `expected ${ID_RULE}`,
});

const ID = new RegExp(ID_PATTERN);
/** For ids in headers and queries. */
export const isId = (text: string): boolean => ID.test(text);

/** Makes an id of any name: characters that an id may not have become "-". */
export function toId(name: string): string {
  const id = name.replace(/[^A-Za-z0-9._-]+/g, '-').slice(0, 64);
  return isId(id) ? id : 'unnamed';
}

/** `worker-<type>-<port>@<spawner's id>`: room for a spawner's whole id behind the worker's own part. */
export const WorkerId = Type.String({
  pattern: '^(?!\\.{1,2}$)[A-Za-z0-9._@-]{1,128}$',
  description: '1 to 128 letters, digits, ".", "_", "-" or "@"',
  errorMessage: 'expected 1 to 128 letters, digits, ".", "_", "-" or "@"',
});

const WORKER_ID = new RegExp(WorkerId.pattern ?? '');
/** Whether this is the id of a worker, which may be a part of a path. */
export const isWorkerId = (text: string): boolean => WORKER_ID.test(text) && text !== '.' && text !== '..';

/** An http(s) URL; `normaliseUrl` decides what else it must be. */
export const HttpUrl = Type.String({
  minLength: 1,
  maxLength: 2048,
  description: 'an http or https URL without credentials',
  errorMessage: 'expected an http or https URL of at most 2048 characters',
});

/** RFC 3339, UTC, milliseconds: the sender's clock, for people only. */
export const Timestamp = Type.String({ maxLength: 64, description: 'RFC 3339 in UTC with milliseconds' });

/** A component carries at most so many labels. */
export const LABELS_MAX = 32;

/** Any name of 1 to 64 characters; another is refused, since its value would not be checked. */
const LabelName = Type.String({ pattern: '^[\\s\\S]{1,64}$' });

export const Labels = Type.Record(LabelName, Type.String({ maxLength: 256 }), {
  additionalProperties: false,
  maxProperties: LABELS_MAX,
  description: 'free text about a component, passed on unchanged',
});

export const nullable = <S extends Parameters<typeof Type.Union>[0][number]>(schema: S) =>
  Type.Union([schema, Type.Null()]);

/** A measured number; `null` when it could not be measured. */
export const Measure = nullable(Type.Number());

export const OperationalStatus = Type.Union(
  (['starting', 'ready', 'busy', 'stopping', 'stopped'] as const).map((s) => Type.Literal(s)),
  { errorMessage: 'expected starting, ready, busy, stopping or stopped' },
);
export type OperationalStatus = 'starting' | 'ready' | 'busy' | 'stopping' | 'stopped';

export const HealthStatus = Type.Object({
  status: Type.Union(
    (['healthy', 'degraded', 'unhealthy'] as const).map((s) => Type.Literal(s)),
    { errorMessage: 'expected healthy, degraded or unhealthy' },
  ),
  reason: Type.Optional(Type.String({ maxLength: 2048 })),
});
export type HealthStatus = Static<typeof HealthStatus>;

/** The answer without further content. */
export const Ok = Type.Object({ status: Type.Literal('ok'), message: Type.Optional(Type.String()) });

/** `GET /v1/info` of every process. */
export const Info = Type.Object({
  name: Type.String({ description: 'queen, hive, …' }),
  id: Type.Union([Id, WorkerId]),
  version: Type.String(),
  uptime_s: Type.Number(),
  started_at: Timestamp,
  url: HttpUrl,
});
export type Info = Static<typeof Info>;

/** The line of JSON that a process prints on stdout once it listens. */
export const Listening = Type.Object({
  event: Type.Literal('listening'),
  process: Type.String(),
  id: Type.Union([Id, WorkerId]),
  url: HttpUrl,
  key: Type.Optional(Type.String({ description: 'of a worker: the public key of this run' })),
});
export type Listening = Static<typeof Listening>;
