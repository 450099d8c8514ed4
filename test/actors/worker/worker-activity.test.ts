import t from 'tap';
import type { Outgoing } from '../../../actors/net/http.js';
import { watchActivity } from '../../../actors/worker/worker-activity.js';
import { answer, serve } from '../../fakes/serve.js';
import { waitFor } from '../../helpers/wait.js';

const outgoing: Outgoing = { token: 'sesame', ca: null, loopbackOnly: true, family: 0 };
const info = { id: 'worker-llm-1@gpu-0', model_id: 'tiny', device: 'CPU-0', port: 8080, hive_id: 'gpu-0' };

t.test('the activity of healthy workers is known, until they stop answering or are no longer asked', async (t) => {
  let activity: object = { status: 'busy', tokens_per_s: 41.5, reason: 'its engine is silent' };
  const seen: unknown[] = [];
  const worker = await serve(t, {}, (request, response) => {
    seen.push(request.headers.authorization);
    answer(response, 200, { ...info, url: worker.url, ...activity });
  });
  const failing = await serve(t, {}, (_, response) => answer(response, 500, {}));
  let urls = [worker.url, failing.url];
  const watch = watchActivity({
    outgoing,
    endpoints: () => urls.map((url) => ({ url, workerId: 'worker-llm-8080@gpu-0', port: 8080 })),
  });
  t.teardown(watch.stop);
  t.equal(watch.of(worker.url), undefined);
  watch.start();
  t.strictSame(await waitFor('its answer', () => watch.of(worker.url)), {
    busy: true,
    tokensPerS: 41.5,
    reason: 'its engine is silent',
  });
  t.equal(seen[0], 'Bearer sesame');
  t.equal(watch.of(failing.url), undefined);
  t.equal(watch.of(null), undefined);

  activity = { status: 'ready' };
  const ready = await waitFor('its next answer', () => {
    const latest = watch.of(worker.url);
    return latest?.busy === false && latest;
  });
  t.equal(ready.tokensPerS, null, 'an older worker does not report tokens');

  activity = { status: 7 };
  await waitFor('the invalid answer to be ignored', () => watch.of(worker.url) === undefined);
  activity = { status: 'ready', tokens_per_s: 0 };
  await waitFor('it to be known again', () => watch.of(worker.url)?.tokensPerS === 0);
  urls = [];
  await waitFor('it to be forgotten', () => watch.of(worker.url) === undefined);
});
