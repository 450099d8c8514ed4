/** Jobs posted to a hive or a queen, and what their streams carry. */
import type { Test } from 'tap';
import { openStream, postJson, type Stream } from './http.js';

export interface JobOutcome {
  jobId: string;
  lines: string[];
  // biome-ignore lint/suspicious/noExplicitAny: the shape depends on the test
  results: { action: string; payload: any }[];
  ending: string;
}

export async function post(url: string, operation: object, headers: Record<string, string> = {}): Promise<string> {
  const { status, body } = await postJson(`${url}/v1/jobs`, operation, headers);
  if (status !== 200) throw new Error(`${status}: ${JSON.stringify(body)}`);
  return body.job_id;
}

export const openJob = (t: Pick<Test, 'teardown'>, url: string, jobId: string, headers: Record<string, string> = {}) =>
  openStream(t, `${url}/v1/jobs/${jobId}/stream`, headers);

export async function jobOutcome(
  t: Pick<Test, 'teardown'>,
  url: string,
  jobId: string,
  headers: Record<string, string> = {},
): Promise<JobOutcome> {
  const stream = await openJob(t, url, jobId, headers);
  await stream.closed;
  return outcomeIn(stream, jobId);
}

export function outcomeIn({ events }: Stream, jobId: string): JobOutcome {
  const lines = events.filter(({ event }) => event === 'message').map(({ raw }) => raw);
  const results = events.filter(({ event }) => event === 'data').map(({ data }) => data);
  return { jobId, lines: lines.slice(0, -1), results, ending: lines.at(-1) ?? '' };
}

/** Posts an operation and waits for its end. */
export async function run(
  t: Pick<Test, 'teardown'>,
  url: string,
  operation: object,
  headers: Record<string, string> = {},
): Promise<JobOutcome> {
  return jobOutcome(t, url, await post(url, operation, headers), headers);
}
