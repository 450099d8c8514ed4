/** Posts an operation and narrates it on the terminal until it ends. */
import { RbeeUnreachable } from '../client/index.js';
import type { Operation } from '../wire/jobs.js';
import { jsonLine } from '../wiring/terminal-text.js';
import { hasColor, print, QUERY_EXIT, type Query } from './ask.js';
import { createNarrator, type Narrator } from './narrator.js';
import { followJob, type JobOutcome, postJob, QUEEN_PATIENCE_MS } from './run-job.js';

/** Without `wait` only the job's id is printed. Returns null then, and when the job was cancelled. @throws Error when it failed */
export async function carryOut(
  { client, json }: Query,
  operation: Operation,
  wait: boolean,
): Promise<Map<string, unknown> | null> {
  if (!wait) {
    const jobId = await postJob(client, operation);
    print([json ? jsonLine({ job_id: jobId }) : jobId]);
    return null;
  }
  const narrator = createNarrator({ stderr: process.stderr, color: hasColor(process.stderr) });
  const cancel = (id: string) =>
    void client.cancelJob(id).catch((error) => narrator.line(`it cannot be cancelled: ${error.message}`));
  const interrupt = new Interrupt(narrator, cancel);
  let jobId: string | null = null;
  try {
    jobId = await postJob(client, operation);
    interrupt.hasJob(jobId);
    const outcome = await followJob(client, jobId, { narrate: narrator.line, patienceMs: QUEEN_PATIENCE_MS });
    return resultsOf(outcome, jobId, interrupt.wasInterrupted, narrator);
  } catch (error) {
    if (jobId !== null && error instanceof RbeeUnreachable) {
      narrator.line(`the job continues where it runs: rbee jobs ${jobId} shows how it ends`);
    }
    throw error;
  } finally {
    interrupt.end();
    narrator.end();
  }
}

/** SIGINT and SIGTERM cancel the job, also before it has an id; the second one ends this process and leaves the job. */
class Interrupt {
  wasInterrupted = false;
  readonly #narrator: Narrator;
  readonly #cancel: (jobId: string) => void;
  #jobId: string | null = null;

  constructor(narrator: Narrator, cancel: (jobId: string) => void) {
    this.#narrator = narrator;
    this.#cancel = cancel;
    for (const signal of SIGNALS) process.on(signal, this.#onSignal);
  }

  hasJob(jobId: string): void {
    this.#jobId = jobId;
    if (this.wasInterrupted) this.#cancel(jobId);
  }

  end(): void {
    for (const signal of SIGNALS) process.off(signal, this.#onSignal);
  }

  readonly #onSignal = (): void => {
    if (this.wasInterrupted) process.exit(QUERY_EXIT.interrupted);
    this.wasInterrupted = true;
    this.#narrator.line('cancelling it (press Ctrl-C again to exit and let it run)');
    if (this.#jobId !== null) this.#cancel(this.#jobId);
  };
}

const SIGNALS = ['SIGINT', 'SIGTERM'] as const;

function resultsOf(
  outcome: JobOutcome | null,
  jobId: string,
  wasInterrupted: boolean,
  narrator: Narrator,
): Map<string, unknown> | null {
  if (outcome?.state === 'cancelled') {
    narrator.line(wasInterrupted ? 'cancelled' : 'cancelled by another client');
    process.exitCode = wasInterrupted ? QUERY_EXIT.interrupted : QUERY_EXIT.failed;
    return null;
  }
  if (outcome?.state === 'done') return outcome.results;
  const reason = outcome?.reason ?? 'reading the job was aborted';
  // A lost hive may still be running the job, and its queen asks for it once it is back.
  const later = reason.endsWith(' lost') ? `; once it is back, rbee jobs ${jobId} shows how the job ended` : '';
  throw new Error(`${reason}${later}`);
}
