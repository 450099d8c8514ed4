import t from 'tap';
import { drawingOf, historyOf, refuseUnsupported } from '../../../../actors/worker/engines/llama-draw.js';

function refusalOf(work: () => void): unknown {
  try {
    work();
  } catch (error) {
    return error;
  }
  return null;
}

t.test('each request draws from a seed of its own, unless it gives one', async (t) => {
  const body = { messages: [] };
  const seeds = Array.from({ length: 50 }, () => drawingOf(body, 10).seed);
  t.ok(new Set(seeds).size > 45);
  t.equal(drawingOf({ ...body, seed: 7 }, 10).seed, 7);
  t.equal(drawingOf({ ...body, seed: 0 }, 10).seed, 0);
});

t.test('what asks for nothing is taken, and what it cannot do is refused by its name', async (t) => {
  const tools = [{ type: 'function', function: { name: 'now' } }];
  const fine = [
    {},
    { n: 1, logprobs: false, tools: [], stop_token_ids: [] },
    { tools, tool_choice: 'none' },
    { tool_choice: 'auto', modalities: ['text'], repeat_penalty: 1 },
    { user: 'me', metadata: { a: 'b' }, store: false, parallel_tool_calls: true },
  ];
  for (const body of fine) t.doesNotThrow(() => refuseUnsupported(body), JSON.stringify(body));
  const not: [param: string, body: object][] = [
    ['n', { n: 2 }],
    ['tools', { tools }],
    ['tools', { tools, tool_choice: 'auto' }],
    ['tool_choice', { tool_choice: 'required' }],
    ['modalities', { modalities: ['text', 'audio'] }],
    ['grammar', { grammar: 'root ::= "a"' }],
    ['repeat_penalty', { repeat_penalty: 1.3 }],
    ['logit_bias', { logit_bias: { 5: 1 } }],
  ];
  for (const [param, body] of not) {
    t.match(
      refusalOf(() => refuseUnsupported(body)),
      { status: 400, param, code: 'unsupported_parameter' },
      param,
    );
  }
});

t.test('what a tool said is part of the conversation', async (t) => {
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
