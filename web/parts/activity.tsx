/** The jobs that were started on this page, with their output. */
import { isRbeeError } from '../../client/errors.js';
import { cancel, dismiss, jobs, type TrackedJob } from '../data/jobs.js';
import { notify } from './notice.js';
import { Chip } from './small.js';

const TONES = { running: 'warn', done: 'good', failed: 'bad', cancelled: 'calm', unknown: 'calm' } as const;

export function Activity() {
  if (jobs.value.length === 0) return null;
  return (
    <section class="panel">
      <h2>Activity</h2>
      <ol class="jobs">
        {jobs.value.map((job) => (
          <JobItem key={job.id} job={job} />
        ))}
      </ol>
    </section>
  );
}

async function cancelJob(job: TrackedJob): Promise<void> {
  try {
    await cancel(job);
  } catch (error) {
    if (!isRbeeError(error)) throw error;
    notify(`It could not be cancelled: ${error.message}`, 'bad');
  }
}

function JobItem({ job }: { job: TrackedJob }) {
  const state = job.state.value;
  return (
    <li data-job={state}>
      <header>
        <strong>{job.title}</strong>
        <Chip tone={TONES[state]}>{state}</Chip>
        {state === 'running' ? (
          <button type="button" onClick={() => void cancelJob(job)}>
            Cancel<span class="sr"> {job.title}</span>
          </button>
        ) : (
          <button type="button" class="plain" onClick={() => dismiss(job)}>
            Dismiss<span class="sr"> {job.title}</span>
          </button>
        )}
      </header>
      {state === 'running' && !job.followed.value && <p class="none">Its output is shown when it ends.</p>}
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: only what has the focus is scrolled by the arrow keys */}
      <pre role="log" class={TONES[state]} tabIndex={0} aria-label={`Output of ${job.title}`}>
        {job.lines.value.join('\n')}
      </pre>
    </li>
  );
}
