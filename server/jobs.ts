/** The routes of jobs: post, list, stream, cancel. The same on a hive, a queen and a keeper (docs/protocol.md, section 9). */
import { randomUUID } from 'node:crypto';
import { Type } from '@sinclair/typebox';
import type { Context } from 'koa';
import type { JobRefusal } from '../machines/job-refusal.js';
import type { CancelAnswer, JobsEvent, PostAnswer } from '../machines/jobs.js';
import type { Jobs } from '../stores/jobs.js';
import type { Now } from '../stores/now.js';
import {
  JOB_ID,
  JobCancelled,
  JobData,
  JobEntry,
  JobList,
  JobPosted,
  Operation,
  parseOperation,
} from '../wire/jobs.js';
import { HEADER } from '../wire/status.js';
import { readBody } from './http/body.js';
import type { Metric } from './http/metrics.js';
import { refuseOtherProtocol, wrongField } from './http/peer.js';
import { HttpProblem } from './http/problem.js';
import { answerJson, type Route } from './http/route.js';
import { createJobStreams, type JobStreams } from './job-stream.js';

/** Visible characters. */
const KEY = /^[\x21-\x7e]{1,256}$/;
const UNKNOWN = { description: 'The job is unknown, or ended more than 10 min ago.' };

export interface JobRoutesInput {
  jobs: Jobs;
  send: (event: JobsEvent) => void;
  now: () => Now;
}

export interface JobRoutes {
  routes: Route[];
  metrics: Metric[];
  /** Sends `bye` to all readers of streams. */
  bye: (reason: string) => void;
}

export function jobRoutes(input: JobRoutesInput): JobRoutes {
  const { jobs } = input;
  const streams = createJobStreams(jobs);
  return {
    routes: [postRoute(input), ...readRoutes(jobs, streams), cancelRoute(input)],
    bye: streams.bye,
    metrics: [
      { name: 'rbee_jobs', help: 'Jobs by state.', type: 'gauge', label: 'state', read: () => jobs.counts() },
      { name: 'rbee_job_readers', help: 'Open readers of job streams.', type: 'gauge', read: () => streams.count() },
    ],
  };
}

const postRoute = ({ send, now }: JobRoutesInput): Route => ({
  method: 'POST',
  path: '/v1/jobs',
  summary: 'Begins an operation. Its stream shows what happens, from the first line on, however late it is opened.',
  headers: {
    'Idempotency-Key': 'The same key within 10 min is the same job.',
    'Rbee-Job':
      'The id under which the job is to run: a queen forwards jobs to hives by it. The same id is the same job.',
  },
  body: Operation,
  work: true,
  answers: {
    200: { description: 'The job runs, or waits for its turn.', schema: JobPosted },
    404: { description: 'The hive is unknown.' },
    422: { description: 'The operation is unknown, or a field is wrong.' },
    503: { description: 'The hive is lost, or there are too many jobs.' },
  },
  handle: async (ctx) => {
    refuseOtherProtocol(ctx);
    const operation = await readBody(ctx, parseOperation);
    const key = keyOf(ctx);
    const jobId = idOf(ctx);
    let posted: PostAnswer | undefined;
    const respond = (answer: PostAnswer) => {
      posted = answer;
    };
    send({ type: 'job.post', job: () => ({ jobId, operation, key, now: now() }), respond });
    if (!posted) throw new HttpProblem(503, 'jobs are not taken: this process is shutting down');
    if ('kind' in posted) throw problemOf(posted);
    answerJson(ctx, { job_id: posted.jobId, sse_url: `/v1/jobs/${posted.jobId}/stream` } satisfies JobPosted);
  },
});

function keyOf(ctx: Context): string | null {
  const key = ctx.get('idempotency-key');
  if (key === '') return null;
  if (!KEY.test(key)) throw new HttpProblem(400, 'Idempotency-Key: expected 1 to 256 visible characters');
  return key;
}

function idOf(ctx: Context): string {
  const id = ctx.get(HEADER.job);
  if (id === '') return `job-${randomUUID()}`;
  if (!JOB_ID.test(id)) throw new HttpProblem(400, 'Rbee-Job: expected job-<uuid>');
  return id;
}

function problemOf({ kind, detail }: JobRefusal): HttpProblem {
  switch (kind) {
    case 'unknown_hive':
      return new HttpProblem(404, detail);
    case 'wrong_hive_id':
      return wrongField('/hive_id', detail);
    case 'hive_away':
      return new HttpProblem(503, detail, { headers: { 'Retry-After': '5' } });
    case 'full':
      return new HttpProblem(503, detail, { headers: { 'Retry-After': '30' } });
  }
}

const readRoutes = (jobs: Jobs, streams: JobStreams): Route[] => [
  {
    method: 'GET',
    path: '/v1/jobs',
    summary: 'Jobs that wait, run, or ended within the last 10 min.',
    answers: { 200: { description: 'Jobs, oldest first.', schema: JobList } },
    handle: (ctx) => answerJson(ctx, { jobs: jobs.list() }),
  },
  {
    method: 'GET',
    path: '/v1/jobs/:id',
    summary: 'One job.',
    answers: { 200: { description: 'The job.', schema: JobEntry }, 404: UNKNOWN },
    handle: (ctx, { id }) => answerJson(ctx, knownJob(jobs, id)),
  },
  {
    method: 'GET',
    path: '/v1/jobs/:id/stream',
    summary: 'The lines of a job: `data:` for people, `event: data` for programs, and how it ended.',
    answers: {
      200: {
        description: 'The last line is `data: [DONE]`, `data: [ERROR] …` or `data: [CANCELLED]`.',
        schema: Type.Union([JobData, Type.String()]),
        type: 'text/event-stream',
      },
      404: UNKNOWN,
    },
    handle: (ctx, { id }) => streams.open(ctx, knownJob(jobs, id).job_id),
  },
];

/** @throws HttpProblem 404 */
function knownJob(jobs: Jobs, id = ''): JobEntry {
  const entry = jobs.get(id);
  if (!entry) throw unknownJob(id);
  return entry;
}

const unknownJob = (id: string): HttpProblem =>
  new HttpProblem(404, `no job ${id.slice(0, 64)}: they are kept for 10 min after their end`);

const cancelRoute = ({ jobs, send, now }: JobRoutesInput): Route => ({
  method: 'DELETE',
  path: '/v1/jobs/:id',
  summary: 'Cancels a job: its work stops. A job that has not arrived yet is cancelled when it does.',
  answers: { 200: { description: 'Cancelled.', schema: JobCancelled }, 404: UNKNOWN },
  handle: (ctx, { id = '' }) => {
    let outcome: CancelAnswer = 'unknown';
    const respond = (answer: CancelAnswer) => {
      outcome = answer;
    };
    // It may have overtaken the request that posts the job, on another connection.
    send({ type: 'job.cancel', jobId: id, now: now(), respond });
    switch (outcome as CancelAnswer) {
      case 'cancelled':
        return answerJson(ctx, { job_id: id, status: 'cancelled' });
      case 'over':
        throw new HttpProblem(404, `job ${id} is over: it is ${jobs.get(id)?.state}`);
      case 'unknown':
        throw unknownJob(id);
    }
  },
});
