import t from 'tap';
import { historyOf } from '../../../../actors/worker/engines/llama-chat.js';
import { samplingOf } from '../../../../actors/worker/engines/llama-sampling.js';
import { refuseUnsupported } from '../../../../actors/worker/engines/llama-unsupported.js';

function refusalOf(work: () => void): unknown {
  try {
    work();
  } catch (error) {
    return error;
  }
  return null;
}

t.test('each request gets a seed of its own, unless it sets one', async (t) => {
  const body = { messages: [] };
  const seeds = Array.from({ length: 50 }, () => samplingOf(body, 10).seed);
  t.ok(new Set(seeds).size > 45);
  t.equal(samplingOf({ ...body, seed: 7 }, 10).seed, 7);
  t.equal(samplingOf({ ...body, seed: 0 }, 10).seed, 0);
});

t.test('parameters without effect are accepted, and unsupported ones are refused by name', async (t) => {
  const tools = [{ type: 'function', function: { name: 'now' } }];
  const accepted = [
    {},
    { n: 1, logprobs: false, tools: [], stop_token_ids: [] },
    { tools, tool_choice: 'none' },
    { tool_choice: 'auto', modalities: ['text'], repeat_penalty: 1 },
    { user: 'me', metadata: { a: 'b' }, store: false, parallel_tool_calls: true },
  ];
  for (const body of accepted) t.doesNotThrow(() => refuseUnsupported(body), JSON.stringify(body));
  const refused: [param: string, body: object][] = [
    ['n', { n: 2 }],
    ['tools', { tools }],
    ['tools', { tools, tool_choice: 'auto' }],
    ['tool_choice', { tool_choice: 'required' }],
    ['modalities', { modalities: ['text', 'audio'] }],
    ['grammar', { grammar: 'root ::= "a"' }],
    ['repeat_penalty', { repeat_penalty: 1.3 }],
    ['logit_bias', { logit_bias: { 5: 1 } }],
  ];
  for (const [param, body] of refused) {
    t.match(
      refusalOf(() => refuseUnsupported(body)),
      { status: 400, param, code: 'unsupported_parameter' },
      param,
    );
  }
});

t.test('the result of a tool is part of the conversation', async (t) => {
  const call = { id: 'c1', type: 'function', function: { name: 'now', arguments: '{}' } };
  t.strictSame(
    historyOf([
      { role: 'user', content: 'What time is it?' },
      { role: 'assistant', content: null, tool_calls: [call] },
      { role: 'tool', content: 'noon' },
    ]),
    [
      { type: 'user', text: 'What time is it?' },
      { type: 'model', response: ['{"name":"now","arguments":"{}"}'] },
      { type: 'user', text: 'noon' },
      { type: 'model', response: [] },
    ],
  );
  t.match(
    refusalOf(() => historyOf([{ role: 'narrator', content: 'x' }])),
    { status: 400, param: 'messages[0].role' },
  );
});
