/** Jobs that were posted from this page: what they tell, as they tell it, through reloads and absences of the queen. */
import { type Signal, signal } from '@preact/signals';
import { isRbeeError, RbeeProblem } from '../../client/errors.js';
import { host } from './keeper.js';
import { refreshList } from './link.js';
import { isArray, keep, kept } from './storage.js';
import { events, request } from './transport.js';

/** unknown: how it ended nobody can say any more. */
export type JobState = 'running' | 'done' | 'failed' | 'cancelled' | 'unknown';

export interface Job {
  id: string;
  /** What it was asked for, in words. */
  title: string;
  state: Signal<JobState>;
  lines: Signal<readonly string[]>;
}

const JOBS_MAX = 20;
const LINES_MAX = 500;
/** Of one that is over, for the time after a reload. */
const LINES_KEPT = 50;
const AGAIN_MS = 2_000;

export const jobs = signal<readonly Job[]>([]);

/** @throws RbeeProblem, RbeeUnreachable */
export async function post(title: string, operation: object): Promise<void> {
  // Sent twice, by whatever, it is one job.
  const headers = { 'idempotency-key': randomKey() };
  const { job_id } = await request<{ job_id: string }>('/v1/jobs', { method: 'POST', body: operation, headers });
  void follow(add({ id: job_id, title }));
  keepJobs();
}

export async function cancel(job: Job): Promise<void> {
  try {
    await request(`/v1/jobs/${job.id}`, { method: 'DELETE' });
  } catch (error) {
    // 404: it ended meanwhile, and its stream says how.
    if (!(error instanceof RbeeProblem && error.status === 404)) throw error;
  }
}

export function dismiss(job: Job): void {
  jobs.value = jobs.peek().filter((one) => one !== job);
  keepJobs();
}

interface KeptJob {
  id: string;
  title: string;
  state?: JobState;
  lines?: readonly string[];
}

/** What was begun before a reload is followed on; what was over then is as it was, however long ago. */
function resumeJobs(): void {
  for (const known of kept<KeptJob[]>('tab', 'jobs', isArray, []).reverse()) void follow(add(known));
}

function keepJobs(): void {
  const all = jobs.peek().map(({ id, title, state, lines }): KeptJob => {
    const over = state.peek() !== 'running';
    return { id, title, state: state.peek(), lines: over ? lines.peek().slice(-LINES_KEPT) : [] };
  });
  keep('tab', 'jobs', all);
}

function add({ id, title, state = 'running', lines = [] }: KeptJob): Job {
  const job: Job = { id, title, state: signal(state), lines: signal(lines) };
  jobs.value = [job, ...jobs.peek()].slice(0, JOBS_MAX);
  return job;
}

/** Its stream tells everything from the beginning each time, so that nothing is lost when it breaks off. */
async function follow(job: Job): Promise<void> {
  if (job.state.peek() !== 'running') return;
  while (job.state.peek() === 'running' && jobs.peek().includes(job)) {
    try {
      const lines: string[] = [];
      // A job may say nothing for minutes, while a model is fetched.
      for await (const { event, data } of events(
        `/v1/jobs/${job.id}/stream`,
        undefined,
        () => {},
        Number.POSITIVE_INFINITY,
      )) {
        if (event === 'data') continue;
        if (event === 'bye') break;
        const state = endOf(data);
        if (state) job.state.value = state;
        if (state !== 'done') lines.push(state === 'cancelled' ? 'cancelled' : data.replace(/^\[ERROR\] /, ''));
        job.lines.value = lines.slice(-LINES_MAX);
        if (state) break;
      }
    } catch (error) {
      if (!isRbeeError(error)) throw error;
      if (error instanceof RbeeProblem && error.status === 404) {
        job.lines.value = [...job.lines.peek(), `the ${host.peek()} knows nothing of it any more`];
        job.state.value = 'unknown';
      }
    }
    if (job.state.peek() === 'running') await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
  }
  keepJobs();
  void refreshList();
}

function endOf(line: string): JobState | null {
  if (line === '[DONE]') return 'done';
  if (line === '[CANCELLED]') return 'cancelled';
  return line.startsWith('[ERROR]') ? 'failed' : null;
}

/** Pages of plain HTTP have no randomUUID. */
function randomKey(): string {
  return Array.from(crypto.getRandomValues(new Uint32Array(4)), (word) => word.toString(36)).join('-');
}

resumeJobs();
