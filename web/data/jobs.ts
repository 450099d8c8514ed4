/** Jobs that were posted from this page, with their output, across reloads and lost connections. */
import { type Signal, signal } from '@preact/signals';
import { isRbeeError, RbeeProblem } from '../../client/errors.js';
import type { JobList } from '../../wire/jobs.js';
import { host } from './keeper.js';
import { link, refreshList } from './link.js';
import { isArray, keep, kept } from './storage.js';
import { events, randomKey, request } from './transport.js';

/** unknown: the server no longer has it, so that its result is not known. */
type TrackedJobState = 'running' | 'done' | 'failed' | 'cancelled' | 'unknown';

export interface TrackedJob {
  id: string;
  /** What it does, for people. */
  title: string;
  state: Signal<TrackedJobState>;
  lines: Signal<readonly string[]>;
  /** Its output comes live; otherwise all at once when it has ended. */
  followed: Signal<boolean>;
}

const JOBS_MAX = 20;
const LINES_MAX = 500;
/** Of a job that has ended, for the time after a reload. */
const LINES_KEPT = 50;
const AGAIN_MS = 2_000;
/** A queen that has restarted has no record of a job until the hive of the job has connected again. */
const UNKNOWN_MS = 6_000;
/** A browser has six connections to a host, for all its tabs. */
const FOLLOWED_MAX = 2;
/** The output of a job that has ended comes at once. */
const OUTPUT_MS = 10_000;

export const jobs = signal<readonly TrackedJob[]>([]);

/** @throws RbeeProblem, RbeeUnreachable */
export async function post(title: string, operation: object): Promise<void> {
  // If the request is sent twice, it is still one job.
  const headers = { 'idempotency-key': randomKey() };
  const { job_id } = await request<{ job_id: string }>('/v1/jobs', { method: 'POST', body: operation, headers });
  add({ id: job_id, title });
  keepJobs();
  followOrPoll();
}

export async function cancel(job: TrackedJob): Promise<void> {
  try {
    await request(`/v1/jobs/${job.id}`, { method: 'DELETE' });
  } catch (error) {
    // 404: it has ended, and its stream says how; or the queen has restarted, and cancels it when its hive reports it.
    if (!(error instanceof RbeeProblem && error.status === 404)) throw error;
  }
}

export function dismiss(job: TrackedJob): void {
  jobs.value = jobs.peek().filter((one) => one !== job);
  keepJobs();
}

interface KeptJob {
  id: string;
  title: string;
  state?: TrackedJobState;
  lines?: readonly string[];
}

/** Jobs that run are followed again after a reload; jobs that had ended are shown as they were. */
function resumeJobs(): void {
  for (const known of kept<KeptJob[]>('tab', 'jobs', isArray, []).reverse()) add(known);
}

function keepJobs(): void {
  const all = jobs.peek().map(({ id, title, state, lines }): KeptJob => {
    const over = state.peek() !== 'running';
    return { id, title, state: state.peek(), lines: over ? lines.peek().slice(-LINES_KEPT) : [] };
  });
  keep('tab', 'jobs', all);
}

function add({ id, title, state = 'running', lines = [] }: KeptJob): void {
  const job: TrackedJob = { id, title, state: signal(state), lines: signal(lines), followed: signal(false) };
  jobs.value = [job, ...jobs.peek()].slice(0, JOBS_MAX);
}

/** When a job was answered with 404 for the first time. */
const unknownSince = new WeakMap<TrackedJob, number>();

const isRunning = ({ state }: TrackedJob): boolean => state.peek() === 'running';
const readers = new Map<TrackedJob, AbortController>();
let soon: ReturnType<typeof setTimeout> | undefined;
let polling = false;

/** The newest running jobs are followed live while the page is visible; the others are polled. */
function followOrPoll(): void {
  clearTimeout(soon);
  const open = link.peek().state === 'open';
  const running = jobs.peek().filter(isRunning);
  const wanted = open ? running.slice(0, FOLLOWED_MAX) : [];
  for (const [job, reader] of readers) {
    if (wanted.includes(job)) continue;
    reader.abort();
    readers.delete(job);
  }
  if (open) for (const job of running) job.followed.value = wanted.includes(job);
  for (const job of wanted) if (!readers.has(job)) void follow(job);
  if (open && running.length > wanted.length) void poll();
}

/** Polls jobs that are not followed. The output of one that has ended is read at once. */
async function poll(): Promise<void> {
  if (polling) return;
  polling = true;
  try {
    const { jobs: known } = await request<JobList>('/v1/jobs');
    for (const job of jobs.peek().filter((one) => isRunning(one) && !readers.has(one))) {
      const entry = known.find(({ job_id }) => job_id === job.id);
      if (!entry || entry.ended_at !== null) await read(job, AbortSignal.timeout(OUTPUT_MS));
    }
  } catch (error) {
    // `link` shows that the connection is lost.
    if (!isRbeeError(error)) throw error;
  }
  polling = false;
  followOrPollSoon();
}

function followOrPollSoon(): void {
  clearTimeout(soon);
  soon = setTimeout(followOrPoll, AGAIN_MS);
}

async function follow(job: TrackedJob): Promise<void> {
  const mine = new AbortController();
  readers.set(job, mine);
  await read(job, mine.signal);
  if (readers.get(job) === mine) readers.delete(job);
  if (isRunning(job)) followOrPollSoon();
  else followOrPoll();
}

/** The stream begins with the first line each time, so that nothing is lost when it breaks off. */
async function read(job: TrackedJob, signal: AbortSignal): Promise<void> {
  const lines: string[] = [];
  try {
    // A job may have no output for minutes, while a model is loaded.
    for await (const { event, data } of events(
      `/v1/jobs/${job.id}/stream`,
      signal,
      () => {},
      Number.POSITIVE_INFINITY,
    )) {
      unknownSince.delete(job);
      if (event === 'data') continue;
      if (event === 'bye') break;
      const state = endOf(data);
      if (state !== 'done') lines.push(state === 'cancelled' ? 'cancelled' : data.replace(/^\[ERROR\] /, ''));
      job.lines.value = lines.slice(-LINES_MAX);
      if (state) return end(job, state);
    }
  } catch (error) {
    if (!isRbeeError(error)) throw error;
    if (!(error instanceof RbeeProblem && error.status === 404)) return;
    const since = unknownSince.get(job) ?? performance.now();
    unknownSince.set(job, since);
    if (performance.now() - since < UNKNOWN_MS) return;
    job.lines.value = [...job.lines.peek(), `the ${host.peek()} has no record of this job`];
    end(job, 'unknown');
  }
}

function end(job: TrackedJob, state: TrackedJobState): void {
  job.state.value = state;
  keepJobs();
  void refreshList();
}

function endOf(line: string): TrackedJobState | null {
  if (line === '[DONE]') return 'done';
  if (line === '[CANCELLED]') return 'cancelled';
  return line.startsWith('[ERROR]') ? 'failed' : null;
}

resumeJobs();
link.subscribe(followOrPoll);
