/** The routes of jobs: posted, listed, told as they happen, cancelled. The same on a hive and on a queen. */
import { randomUUID } from 'node:crypto';
import { Type } from '@sinclair/typebox';
import type { Context } from 'koa';
import type { JobsEvent } from '../machines/jobs.js';
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
import { refuseOtherProtocol } from './http/peer.js';
import { HttpProblem } from './http/problem.js';
import { answerJson, type Route } from './http/route.js';
import { createJobStreams } from './job-stream.js';

/** Visible characters, as many as anybody's keys have. */
const KEY = /^[\x21-\x7e]{1,256}$/;
const RETRY_LATER = { 'Retry-After': '30' };

export interface JobDoorsInput {
  jobs: Jobs;
  send: (event: JobsEvent) => void;
  /** The jobs that share its 64 places. */
  laneOf: (operation: Operation) => string;
  /** What this process can say at once of an operation that it could not do. @throws HttpProblem */
  check: (operation: Operation) => void;
  now: () => Now;
}

export interface JobRoutes {
  routes: Route[];
  metrics: Metric[];
  /** Says bye to all readers. */
  bye: (reason: string) => void;
}

export function jobRoutes({ jobs, send, laneOf, check, now }: JobDoorsInput): JobRoutes {
  const streams = createJobStreams(jobs);

  async function post(ctx: Context): Promise<void> {
    refuseOtherProtocol(ctx);
    const operation = await readBody(ctx, parseOperation);
    const key = ctx.get('idempotency-key');
    if (key !== '' && !KEY.test(key)) {
      throw new HttpProblem(400, 'Idempotency-Key: expected 1 to 256 visible characters');
    }
    const given = ctx.get(HEADER.job);
    if (given !== '' && !JOB_ID.test(given)) throw new HttpProblem(400, 'Rbee-Job: expected job-<uuid>');
    const begun = key === '' ? null : jobs.byKey(key, now());
    const jobId = begun ?? (given === '' ? `job-${randomUUID()}` : given);
    if (!jobs.has(jobId)) {
      check(operation);
      const full = jobs.refusal(operation);
      if (full !== null || !jobs.add(jobId, operation, key === '' ? null : key, now())) {
        throw new HttpProblem(503, full ?? 'too many jobs run already', { headers: RETRY_LATER });
      }
      // Its cancellation may have come before it.
      if (jobs.get(jobId)?.ended_at === null) send({ type: 'job.post', jobId, lane: laneOf(operation) });
    }
    answerJson(ctx, { job_id: jobId, sse_url: `/v1/jobs/${jobId}/stream` } satisfies JobPosted);
  }

  const known = (id = ''): JobEntry => {
    const entry = jobs.get(id);
    if (!entry) throw new HttpProblem(404, `no job ${id.slice(0, 64)}: they are kept for 10 min after their end`);
    return entry;
  };

  function cancel(ctx: Context, id = ''): void {
    // It may have overtaken the request that posts the job, on another connection.
    jobs.cancelEarly(id, now());
    const { state } = known(id);
    let cancelled = false;
    send({
      type: 'job.cancel',
      jobId: id,
      respond: (said) => {
        cancelled = said;
      },
    });
    if (!cancelled) throw new HttpProblem(404, `job ${id} is over: it is ${state}`);
    answerJson(ctx, { job_id: id, status: 'cancelled' });
  }

  const unknown = { description: 'No such job, or none any more.' };
  const routes: Route[] = [
    {
      method: 'POST',
      path: '/v1/jobs',
      summary: 'Begins an operation; its stream tells what happens, from the first line on, however late one comes.',
      headers: {
        'Idempotency-Key': 'The same key within 10 min is the same job.',
        'Rbee-Job':
          'The id under which the job is to run: by it a queen passes jobs on to hives. The same id is the same job.',
      },
      body: Operation,
      work: true,
      answers: {
        200: { description: 'It runs.', schema: JobPosted },
        404: { description: 'No such hive.' },
        422: { description: 'No such operation, or a field is wrong.' },
        503: { description: 'The hive is lost, or too many jobs run.' },
      },
      handle: post,
    },
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
      answers: { 200: { description: 'The job.', schema: JobEntry }, 404: unknown },
      handle: (ctx, { id }) => answerJson(ctx, known(id)),
    },
    {
      method: 'GET',
      path: '/v1/jobs/:id/stream',
      summary: 'What a job tells: `data:` lines for people, `event: data` for programs, and how it ended.',
      answers: {
        200: {
          description: 'The last line is `data: [DONE]`, `data: [ERROR] …` or `data: [CANCELLED]`.',
          schema: Type.Union([JobData, Type.String()]),
          type: 'text/event-stream',
        },
        404: unknown,
      },
      handle: (ctx, { id }) => streams.open(ctx, known(id).job_id),
    },
    {
      method: 'DELETE',
      path: '/v1/jobs/:id',
      summary: 'Cancels a job: its work stops. One that has not come yet is cancelled when it does.',
      answers: { 200: { description: 'Cancelled.', schema: JobCancelled }, 404: unknown },
      handle: (ctx, { id }) => cancel(ctx, id),
    },
  ];
  return {
    routes,
    bye: streams.bye,
    metrics: [
      { name: 'rbee_jobs', help: 'Jobs by state.', type: 'gauge', label: 'state', read: () => jobs.counts() },
      { name: 'rbee_job_readers', help: 'Open readers of job streams.', type: 'gauge', read: () => streams.count() },
    ],
  };
}
