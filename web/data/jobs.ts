/** Jobs that were posted from this page: what they tell, as they tell it, through reloads and absences of the queen. */
import { type Signal, signal } from '@preact/signals';
import { isRbeeError, RbeeProblem } from '../../client/errors.js';
import { host } from './keeper.js';
import { refreshList } from './link.js';
import { isArray, keep, kept } from './storage.js';
import { events, request } from './transport.js';

export type JobState = 'running' | 'done' | 'failed' | 'cancelled';

export interface Job {
  id: string;
  /** What it was asked for, in words. */
  title: string;
  state: Signal<JobState>;
  lines: Signal<readonly string[]>;
}

const JOBS_MAX = 20;
const LINES_MAX = 500;
const AGAIN_MS = 2_000;

export const jobs = signal<readonly Job[]>([]);

/** @throws RbeeProblem, RbeeUnreachable */
export async function post(title: string, operation: object): Promise<void> {
  // Sent twice, by whatever, it is one job.
  const headers = { 'idempotency-key': randomKey() };
  const { job_id } = await request<{ job_id: string }>('/v1/jobs', { method: 'POST', body: operation, headers });
  add(job_id, title);
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

/** Follows what was begun before a reload. */
export function resumeJobs(): void {
  const begun: { id: string; title: string }[] = kept('tab', 'jobs', isArray, []);
  for (const { id, title } of begun.reverse()) if (jobs.peek().every((job) => job.id !== id)) add(id, title);
}

function keepJobs(): void {
  keep(
    'tab',
    'jobs',
    jobs.peek().map(({ id, title }) => ({ id, title })),
  );
}

function add(id: string, title: string): void {
  const job: Job = { id, title, state: signal<JobState>('running'), lines: signal<readonly string[]>([]) };
  jobs.value = [job, ...jobs.peek()].slice(0, JOBS_MAX);
  void follow(job);
}

/** Its stream tells everything from the beginning each time, so that nothing is lost when it breaks off. */
async function follow(job: Job): Promise<void> {
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
        job.state.value = 'failed';
      }
    }
    if (job.state.peek() === 'running') await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
  }
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
