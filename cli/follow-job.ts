/** `rbee jobs`: lists jobs, follows one from its first line on, or cancels it. */
import type { Command } from 'commander';
import type { Client } from '../client/index.js';
import { JOB_ID } from '../wire/jobs.js';
import { UsageError } from '../wiring/options.js';
import { clean, jsonLine } from '../wiring/terminal-text.js';
import { act, hasColor, print, QUERY_EXIT, type Query, type QueryOptions, query } from './ask.js';
import { createNarrator } from './narrator.js';
import { followJob, QUEEN_PATIENCE_MS } from './run-job.js';
import { jobsScreen } from './work-screens.js';

export function addJobCommands(program: Command): void {
  query(program, 'jobs', 'Lists the jobs of the last ten minutes, or follows one from its first line on.', [
    'rbee jobs',
    'rbee jobs job-3f2a                the beginning of an id is enough; Ctrl-C leaves, the job goes on',
    'rbee jobs job-3f2a --cancel',
  ])
    .argument('[job]', 'its id, or the beginning of it')
    .option('--cancel', 'cancel it', false)
    .action((job: string | undefined, options: QueryOptions & { cancel: boolean }) =>
      act(async (asking) => {
        const { client, json, queenNowMs, ...screen } = asking;
        if (job !== undefined) {
          const id = await idOf(client, job);
          return options.cancel ? cancel(asking, id) : follow(asking, id);
        }
        if (options.cancel) throw new UsageError('--cancel needs the id of a job: rbee jobs lists them');
        const list = await client.jobs();
        print(json ? [jsonLine(list)] : jobsScreen(list, { ...screen, queenNowMs: queenNowMs() }));
      })(options),
    );
}

async function idOf(client: Client, begins: string): Promise<string> {
  if (JOB_ID.test(begins)) return begins;
  // Every id begins with an empty string, such as a variable that is not set.
  if ('job-'.startsWith(begins)) throw new UsageError(`"${begins}" is not the id of a job: rbee jobs lists them`);
  const ids = (await client.jobs()).jobs.map(({ job_id }) => job_id);
  const [id, another] = ids.filter((one) => one.startsWith(begins) || one.startsWith(`job-${begins}`));
  if (another)
    throw new UsageError(`several jobs begin with ${begins}, such as ${id} and ${another}: give more of the id`);
  if (!id) throw new Error(`no job ${begins}: rbee jobs lists those of the last ten minutes`);
  return id;
}

async function cancel({ client, json }: Query, id: string): Promise<void> {
  await client.cancelJob(id);
  print([json ? jsonLine({ job_id: id, status: 'cancelled' }) : `cancelled ${id}`]);
}

/** Its lines go to stderr, its end to stdout; with `--json` everything goes to stdout, one event per line. */
async function follow({ client, json }: Query, id: string): Promise<void> {
  const leaving = new AbortController();
  process.once('SIGINT', () => leaving.abort());
  if (json) {
    for await (const event of client.jobEvents(id, { signal: leaving.signal, patienceMs: QUEEN_PATIENCE_MS })) {
      print([jsonLine(event)]);
      if (event.type === 'end' && event.state !== 'done') process.exitCode = QUERY_EXIT.failed;
    }
    return;
  }
  const narrator = createNarrator({ stderr: process.stderr, color: hasColor(process.stderr) });
  try {
    const outcome = await followJob(client, id, {
      ...{ narrate: narrator.line, signal: leaving.signal, patienceMs: QUEEN_PATIENCE_MS },
    });
    if (outcome === null) return narrator.line('the job goes on');
    if (outcome.state === 'failed') throw new Error(outcome.reason ?? 'it failed');
    print([outcome.state === 'done' ? clean(`${id} is done`) : `${id} was cancelled`]);
    if (outcome.state === 'cancelled') process.exitCode = QUERY_EXIT.failed;
  } finally {
    narrator.end();
  }
}
