/** The replies of a fake worker, by mode: correct ones, and every way to fail half-way. */
import type { ServerResponse } from 'node:http';
import { answer } from './serve.js';

/**
 * `answer`: correctly. `hang`: not at all. `reset`: cuts the connection. `headers`: sends headers, then cuts. `hold`: the first
 * token, and the rest when `finish` is called. `torn`: the first token and half of the second, then cuts. `endless`: tokens for
 * as long as they are read. `think`: two pieces of reasoning, and the answer with its usage when `finish` is called. `slow`: a
 * token each 200 ms until `finish`. `no-model`: 404, as for an unknown model. `switch`: 101. `garbage`: no HTTP. `length`: a
 * stream that ends before its Content-Length. `drip`: a byte at a time. A number: that status, with OpenAI's error.
 */
export type WorkerMode =
  | ('answer' | 'hang' | 'reset' | 'headers' | 'hold' | 'torn' | 'endless' | 'think' | 'slow' | 'no-model')
  | ('switch' | 'garbage' | 'length' | 'drip')
  | number;

export interface ReplyInput {
  response: ServerResponse;
  /** Whether a stream was requested. */
  stream: boolean;
  tokens: readonly string[];
  /** Keeps the rest of an answer until `finish`. */
  hold: (rest: () => void) => void;
  /** Counts the bytes of `endless`. */
  onWritten: (bytes: number) => void;
}

export const TOKENS = ['Hello', ', ', 'swarm', '!'];
const THOUGHTS = ['Who', '?'];
const DONE = 'data: [DONE]\n\n';
/** Until a connection is cut, so that what was written before arrives. */
const CUT_MS = 20;
const SLOW_MS = 200;

const chunkOf = (text: string, as = 'content') =>
  `data: ${JSON.stringify({ object: 'chat.completion.chunk', choices: [{ index: 0, delta: { [as]: text } }] })}\n\n`;
const chunksOf = (tokens: readonly string[]) => tokens.map((token) => chunkOf(token)).join('');
const USAGE = `data: ${JSON.stringify({ choices: [], usage: { completion_tokens: THOUGHTS.length + TOKENS.length } })}\n\n`;

export function reply(mode: WorkerMode, input: ReplyInput): void {
  if (typeof mode === 'number') replyError(mode, input);
  else REPLIES[mode](input);
}

function replyError(status: number, { response }: ReplyInput): void {
  const error = { message: `the fake answers ${status}`, type: 'invalid_request_error', param: null, code: null };
  answer(response, status, { error });
}

const REPLIES: Record<Exclude<WorkerMode, number>, (input: ReplyInput) => void> = {
  hang: () => {},
  reset: ({ response }) => void response.socket?.resetAndDestroy(),
  switch: ({ response }) =>
    void response.socket?.write('HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n'),
  garbage: ({ response }) => void response.socket?.end('this is not HTTP\r\n\r\n'),
  'no-model': ({ response }) => {
    const error = { message: 'there is no such model here', type: 'not_found_error', code: 'model_not_found' };
    answer(response, 404, { error });
  },
  answer: (input) => {
    if (input.stream) return writeFirst(input)();
    const message = { role: 'assistant', content: TOKENS.join('') };
    answer(input.response, 200, { object: 'chat.completion', choices: [{ index: 0, message }] });
  },
  hold: (input) => input.hold(writeFirst(input)),
  length: (input) => {
    writeFirst(input, { 'content-length': 10_000 });
    setTimeout(() => input.response.socket?.end(), CUT_MS);
  },
  torn: (input) => {
    writeFirst(input);
    input.response.write(chunkOf(TOKENS[1] as string).slice(0, 20));
    cutSoon(input);
  },
  headers: (input) => {
    writeHead(input);
    cutSoon(input);
  },
  slow,
  drip,
  endless,
  think: (input) => {
    const { response, hold } = input;
    writeHead(input);
    for (const thought of THOUGHTS) response.write(chunkOf(thought, 'reasoning_content'));
    hold(() => response.end(`${chunksOf(TOKENS)}${USAGE}${DONE}`));
  },
};

function writeHead({ response, stream }: ReplyInput, headers: Record<string, number> = {}): void {
  response.writeHead(200, { 'content-type': stream ? 'text/event-stream' : 'application/json', ...headers });
  response.flushHeaders();
}

/** Writes the head and the first token. @returns a function that writes the rest */
function writeFirst(input: ReplyInput, headers?: Record<string, number>): () => void {
  const { response, stream, tokens } = input;
  const [first = '', ...rest] = tokens;
  writeHead(input, headers);
  response.write(stream ? chunkOf(first) : '{"choices":[');
  return () => {
    for (const token of rest) response.write(chunkOf(token));
    response.end(DONE);
  };
}

function cutSoon({ response }: ReplyInput): void {
  setTimeout(() => response.socket?.resetAndDestroy(), CUT_MS);
}

function slow(input: ReplyInput): void {
  const { response, hold } = input;
  writeHead(input);
  const timer = setInterval(() => response.write(chunkOf('x')), SLOW_MS);
  response.once('close', () => clearInterval(timer));
  hold(() => {
    clearInterval(timer);
    response.end(DONE);
  });
}

function drip(input: ReplyInput): void {
  const { response } = input;
  const bytes = [...Buffer.from(`${chunksOf(TOKENS)}${DONE}`)];
  writeHead(input);
  response.socket?.setNoDelay(true);
  const more = () => {
    const byte = bytes.shift();
    if (byte === undefined) return void response.end();
    response.write(Buffer.of(byte));
    setImmediate(more);
  };
  more();
}

function endless(input: ReplyInput): void {
  const { response, onWritten } = input;
  const token = chunkOf('x'.repeat(16 * 1024));
  writeHead(input);
  const more = () => {
    while (!response.destroyed) {
      onWritten(token.length);
      if (!response.write(token)) return void response.once('drain', more);
    }
  };
  more();
}
