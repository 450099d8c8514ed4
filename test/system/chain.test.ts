/** The whole chain with real processes: a queen passes a job on, a hive spawns a worker, and OpenAI's client uses it. */
import t from 'tap';
import { SENTENCE, SENTENCE_TOKENS } from '../../cli/tiny-gguf.js';
import { getJson } from '../helpers/http.js';
import { run as runJob } from '../helpers/jobs.js';
import { startProcess } from '../helpers/process.js';
import { waitFor } from '../helpers/wait.js';
import { clientOf, tinyModel } from '../helpers/worker.js';

const model = tinyModel(t);
const queen = await startProcess(t, { name: 'queen' });
const hive = await startProcess(t, { name: 'hive', args: ['--hive-id', 'gpu-0', '--queen-url', queen.url] });
const client = clientOf(queen);
const ASK = { model: 'tiny', messages: [{ role: 'user' as const, content: 'Who are you?' }] };

async function run(operation: object) {
  const { ending, lines, results } = await runJob(t, queen.url, { hive_id: 'gpu-0', ...operation });
  return { ending, lines, payload: results[0]?.payload };
}

let pid = 0;
let workerId = '';
// A hive that is killed leaves its workers running, so it is ended in order.
t.teardown(() => hive.kill());
t.test('a job through the queen spawns a worker on the hive', async (t) => {
  await waitFor('the hive', async () => (await getJson(`${queen.url}/v1/hives/gpu-0`)).body.state === 'streaming');
  const { ending, payload } = await run({ operation: 'worker_spawn', model, worker: 'cpu' });
  t.equal(ending, '[DONE]');
  t.match(payload, { state: 'healthy', model: 'tiny', pid: Number });
  ({ pid, worker_id: workerId } = payload);
  await waitFor('the model', async () => {
    const { body } = await getJson(`${queen.url}/v1/models`);
    return body.data.some(({ id }: { id: string }) => id === 'tiny');
  });
});

t.test("OpenAI's own client chats through the queen, whole and streamed", async (t) => {
  const whole = await client.chat.completions.create(ASK).withResponse();
  t.equal(whole.data.choices[0]?.message.content, SENTENCE);
  t.equal(whole.response.headers.get('rbee-worker'), workerId);
  let text = '';
  for await (const chunk of await client.chat.completions.create({ ...ASK, stream: true })) {
    text += chunk.choices[0]?.delta.content ?? '';
  }
  t.equal(text, SENTENCE);
  const models = await client.models.list();
  t.ok(models.data.some(({ id }) => id === 'tiny'));
  await t.rejects(client.chat.completions.create({ ...ASK, model: 'nothing' }), {
    status: 404,
    code: 'model_not_found',
    message: /tiny/,
  });
});

t.test('an inference as a job streams its tokens', async (t) => {
  const { ending, lines, payload } = await run({ operation: 'infer', model: 'tiny', prompt: 'Who are you?' });
  t.equal(ending, '[DONE]');
  t.equal(lines.join(''), SENTENCE);
  t.match(payload, { worker_id: workerId, text: SENTENCE, tokens_generated: SENTENCE_TOKENS });
});

t.test('the tokens per second of a worker are shown by the queen', async (t) => {
  const { body } = await waitFor('its speed', async () => {
    const answer = await getJson(`${queen.url}/v1/workers/${workerId}`);
    return answer.body.tokens_per_s > 0 && answer;
  });
  t.match(body, { worker_id: workerId, status: /^(ready|busy)$/ });
});

t.test('a worker that is killed gets no requests, and is restarted', async (t) => {
  process.kill(pid, 'SIGKILL');
  const answers = async () => {
    const answer = await client.chat.completions.create(ASK).catch(() => null);
    return answer?.choices[0]?.message.content === SENTENCE;
  };
  await waitFor('the next one', answers, { timeoutMs: 60_000 });
  const { payload } = await run({ operation: 'worker_process_list' });
  t.equal(payload.workers.length, 1);
  t.not(payload.workers[0].pid, pid);
  pid = payload.workers[0].pid;
});

t.test('with a deleted worker its model is gone', async (t) => {
  t.equal((await run({ operation: 'worker_process_delete', pid })).ending, '[DONE]');
  t.throws(() => process.kill(pid, 0));
  await waitFor('the model to be gone', async () => (await getJson(`${queen.url}/v1/models`)).body.data.length === 0);
  t.same(await hive.kill(), { code: 0, signal: null });
});
