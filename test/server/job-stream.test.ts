import t from 'tap';
import { createApp } from '../../server/http/app.js';
import { listen } from '../../server/http/listen.js';
import { createJobStreams } from '../../server/job-stream.js';
import { createJobs } from '../../stores/jobs.js';
import { openStream } from '../helpers/http.js';
import { waitFor } from '../helpers/wait.js';

const at = (ms: number) => ({ ms, iso: new Date(ms).toISOString() });

t.test('a job that is silent sends comments between its lines, and none after its end', async (t) => {
  const jobs = createJobs();
  const streams = createJobStreams(jobs, 20);
  const app = createApp({
    access: { tokens: [], allowHosts: [], allowOrigins: [] },
    routes: [
      {
        ...{ method: 'GET', path: '/v1/jobs/:id/stream', summary: 'The stream.', answers: {} },
        handle: (ctx, { id = '' }) => streams.open(ctx, id),
      },
    ],
    log: { error: (fields, message) => t.fail(message, fields), debug: () => {} },
  });
  const listener = await listen({ bind: '127.0.0.1', ports: [0], tls: null });
  listener.serve(app);
  t.teardown(() => listener.close(100));
  jobs.store.trigger.added({ jobId: 'one', operation: { operation: 'status' }, key: null, now: at(0) });
  jobs.logs.line('one', 'first');
  const stream = await openStream(t, `http://127.0.0.1:${listener.port}/v1/jobs/one/stream`);
  t.type(stream.headers['rbee-telling'], 'string');
  await waitFor('comments', () => stream.comments.filter((comment) => comment.trim() === 'queued').length >= 3);
  jobs.store.trigger.changed({ jobId: 'one', state: 'running', reason: null, now: at(1) });
  await waitFor('comments of its new state', () => stream.comments.some((comment) => comment.trim() === 'running'));
  jobs.logs.line('one', 'second');
  jobs.store.trigger.changed({ jobId: 'one', state: 'done', reason: null, now: at(2) });
  await stream.closed;
  t.strictSame(
    stream.events.map(({ raw }) => raw),
    ['first', 'second', '[DONE]'],
  );
});
