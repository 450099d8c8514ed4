/** OpenAI's requests: accepted and refused fields, and the names of models. */
import t from 'tap';
import { modelName } from '../../wire/infer.js';
import { openAiError, parseChatRequest, parseCompletionRequest, parseEmbeddingRequest } from '../../wire/openai.js';
import type { Parsed } from '../../wire/schema.js';

const pointers = (parsed: Parsed<unknown>): string[] => (parsed.ok ? [] : parsed.errors.map(({ pointer }) => pointer));
const messages = [{ role: 'user', content: 'Hi' }];

t.test('what OpenAI’s clients send is taken, with fields that we do not know', async (t) => {
  for (const body of [
    { messages },
    { messages, model: 'm', stream: true, stream_options: { include_usage: true }, temperature: 0, seed: 1 },
    { messages, max_completion_tokens: 5, stop: null, top_p: null, response_format: { type: 'json_object' } },
    { messages, stop: ['a', 'b'], tools: [{ type: 'function' }], tool_choice: 'auto', user: 'me' },
    { messages: [{ role: 'user', content: [{ type: 'text', text: 'Hi' }] }] },
    { messages: [{ role: 'assistant', content: null, tool_calls: [] }] },
  ]) {
    t.strictSame(parseChatRequest(body), { ok: true, value: body });
  }
  for (const prompt of ['Hi', ['a', 'b'], [1, 2], [[1], [2, 3]]]) t.ok(parseCompletionRequest({ prompt }).ok);
  for (const input of ['Hi', ['a'], [1, 2]]) t.ok(parseEmbeddingRequest({ input, encoding_format: 'base64' }).ok);
});

t.test('what is wrong is named by where it stands', async (t) => {
  const cases: [body: unknown, pointers: string[]][] = [
    [{}, ['/messages']],
    [{ messages: [] }, ['/messages']],
    [{ messages, temperature: 3 }, ['/temperature']],
    [{ messages, max_tokens: 0 }, ['/max_tokens']],
    [{ messages, stop: '' }, ['/stop']],
    [{ messages, stop: Array(17).fill('a') }, ['/stop']],
    [{ messages: [{ content: 'Hi' }], stream: 'yes' }, ['/stream', '/messages/0/role']],
    [{ messages: [{ role: 'user', content: 5 }] }, ['/messages/0/content']],
  ];
  for (const [body, expected] of cases) {
    const found = pointers(parseChatRequest(body));
    for (const pointer of expected) t.ok(found.includes(pointer), `${JSON.stringify(body).slice(0, 60)}: ${pointer}`);
  }
  t.ok(pointers(parseCompletionRequest({ prompt: [] })).includes('/prompt'));
  t.ok(pointers(parseEmbeddingRequest({ input: 5 })).includes('/input'));
});

t.test('an error has all four fields, and a type after its status', async (t) => {
  t.strictSame(openAiError(400, 'no'), {
    error: { message: 'no', type: 'invalid_request_error', param: null, code: null },
  });
  for (const [status, type] of [
    [401, 'authentication_error'],
    [403, 'permission_error'],
    [404, 'not_found_error'],
    [429, 'rate_limit_error'],
    [503, 'server_error'],
  ] as const) {
    t.equal(openAiError(status, '').error.type, type);
  }
});

t.test('a model is requested by its file name, whatever its directory', async (t) => {
  for (const [model, name] of [
    ['/models/llama-3.2-1b-Q4_K_M.gguf', 'llama-3.2-1b-Q4_K_M'],
    ['C:\\models\\Tiny.GGUF', 'Tiny'],
    ['big-00001-of-00003.gguf', 'big'],
    ['hf:user/repo/dir/file.Q8_0.gguf', 'file.Q8_0'],
    ['hf:user/repo:Q4_K_M', 'repo:Q4_K_M'],
    ['https://example.org/a/b.gguf?download=true', 'b'],
    ['llama3.2:latest', 'llama3.2:latest'],
    ['meta-llama/Llama-3.2-1B', 'meta-llama/Llama-3.2-1B'],
  ] as const) {
    t.equal(modelName(model), name, model);
  }
});
