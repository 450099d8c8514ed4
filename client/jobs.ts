/** The events of a job, typed: lines for people, results for programs, and how it ended. */
import type { EventSourceMessage } from 'eventsource-parser';
import { createReplay } from '../wire/job-replay.js';
import { ENDING, JobData } from '../wire/jobs.js';
import { readJson } from '../wire/json.js';
import { parser } from '../wire/schema.js';
import { HEADER } from '../wire/status.js';
import { check } from './check.js';
import { RbeeProblem, RbeeProtocolMismatch, RbeeUnreachable } from './errors.js';

export type JobEvent =
  | { type: 'narration'; text: string }
  | { type: 'result'; action: string; payload: unknown }
  /** The last one. `reason`: why it failed. */
  | { type: 'end'; state: keyof typeof ENDING; reason: string | null };

const parseData = parser(JobData);

export interface JobEventsOptions {
  /** Aborting it ends the reading quietly and leaves the job running. */
  signal?: AbortSignal | undefined;
  /** How long to wait for a process that goes away in the middle of a job, in milliseconds. Default 0. */
  patienceMs?: number | undefined;
  /** Called with the reason each time the stream is opened again. */
  onAway?: ((error: Error) => void) | undefined;
}

type Open = (onOpen: (headers: { get(name: string): string | null }) => void) => AsyncIterable<EventSourceMessage>;

/** Codes of Node's own fetch for a body or a head that is silent for long, as that of a job may be. */
const SILENCE = new Set(['UND_ERR_BODY_TIMEOUT', 'UND_ERR_HEADERS_TIMEOUT']);
const AGAIN_MS = 500;

/** Reads a job to its end; a stream that breaks off is opened again and continued where it broke. */
export async function* readJob(
  url: string,
  open: Open,
  { signal, patienceMs = 0, onAway }: JobEventsOptions,
): AsyncGenerator<JobEvent, void, undefined> {
  const replay = createReplay();
  let isKnown = false;
  let awaySince: number | null = null;
  while (!signal?.aborted) {
    const opened = (headers: { get(name: string): string | null }) => {
      replay.open(headers.get(HEADER.jobStream));
      isKnown = true;
    };
    try {
      for await (const { event, data } of open(opened)) {
        awaySince = null;
        if (event === 'bye') throw new RbeeUnreachable(url, 'CLOSED', `${url} shut down before the job was over`);
        if (!replay.isNew(event, data)) continue;
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
    } catch (error) {
      const isSilence = error instanceof RbeeUnreachable && SILENCE.has(error.code ?? '');
      // A restarted queen has the job only once it has read its hives' lists.
      const isAway = error instanceof RbeeUnreachable || (error instanceof RbeeProblem && error.status === 404);
      awaySince ??= performance.now();
      const isPatient = isKnown && isAway && performance.now() - awaySince < patienceMs;
      if (!isSilence && !isPatient) throw error;
      if (!isSilence) onAway?.(error as Error);
      await new Promise((resolve) => setTimeout(resolve, isSilence ? 0 : AGAIN_MS));
    }
  }
}

function endOf(line: string): JobEvent | null {
  if (line === ENDING.done) return { type: 'end', state: 'done', reason: null };
  if (line === ENDING.cancelled) return { type: 'end', state: 'cancelled', reason: null };
  if (!line.startsWith(ENDING.failed)) return null;
  return { type: 'end', state: 'failed', reason: line.slice(ENDING.failed.length).trim() || 'no reason was given' };
}
