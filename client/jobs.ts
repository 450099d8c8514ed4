/** What a job tells, typed: lines for people, results for programs, and how it ended. */
import type { EventSourceMessage } from 'eventsource-parser';
import { ENDING, JobData } from '../wire/jobs.js';
import { readJson } from '../wire/json.js';
import { parser } from '../wire/schema.js';
import { check } from './check.js';
import { RbeeProtocolMismatch, RbeeUnreachable } from './errors.js';

export type JobEvent =
  | { type: 'narration'; text: string }
  | { type: 'result'; action: string; payload: unknown }
  /** The last one. `reason`: why it failed. */
  | { type: 'end'; state: keyof typeof ENDING; reason: string | null };

const parseData = parser(JobData);

export async function* readJob(
  url: string,
  messages: AsyncIterable<EventSourceMessage>,
): AsyncGenerator<JobEvent, void, undefined> {
  for await (const { event, data } of messages) {
    if (event === 'bye') throw new RbeeUnreachable(url, 'CLOSED', `${url} shut down before the job was over`);
    if (event === 'data') {
      const parsed = check(parseData, readJson(data));
      if (!parsed.ok) throw new RbeeProtocolMismatch(url, `${url}: a result of the job is not as expected`);
      yield { type: 'result', ...parsed.value };
    } else if (event === undefined) {
      const end = endOf(data);
      yield end ?? { type: 'narration', text: data };
      if (end) return;
    }
  }
}

function endOf(line: string): JobEvent | null {
  if (line === ENDING.done) return { type: 'end', state: 'done', reason: null };
  if (line === ENDING.cancelled) return { type: 'end', state: 'cancelled', reason: null };
  if (!line.startsWith(ENDING.failed)) return null;
  return { type: 'end', state: 'failed', reason: line.slice(ENDING.failed.length).trim() || 'no reason was given' };
}
