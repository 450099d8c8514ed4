/** `rbee chat`: chats with a model of the swarm, through the queen's gateway. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { ChatTurn, Client } from '../client/index.js';
import { parseCount, UsageError } from '../wiring/options.js';
import { clean, jsonLine } from '../wiring/terminal-text.js';
import { act, explain, print, QUERY_EXIT, type Query, type QueryOptions, query } from './ask.js';
import { converse } from './converse.js';
import { type SamplingOptions, streamAnswer } from './stream-answer.js';

interface ChatOptions extends QueryOptions, SamplingOptions {
  model?: string;
  system?: string;
}

/** Standard input becomes one request, and the size of requests is bounded. */
const STDIN_BYTES_MAX = 1024 * 1024;

export function addChatCommand(program: Command): void {
  query(program, 'chat', 'Chats with a model of the swarm: answers are printed while they are generated.', [
    'rbee chat                                 a conversation, if the swarm has one model only',
    'rbee chat llama-3.2-1b                    a conversation with this model',
    'rbee chat llama-3.2-1b Why is the sky blue?',
    'rbee chat Why is the sky blue?            the model may be left out if there is one only',
    'git diff | rbee chat llama-3.2-1b --system "Review this patch."',
    '',
    'Ctrl-C stops an answer. At the prompt Ctrl-D, or Ctrl-C twice, leaves.',
  ])
    .argument('[model]', 'as rbee models shows it; may be left out if there is one only')
    .argument('[message...]', 'the message; without it, standard input, or a conversation on a terminal')
    .option('--model <model>', 'the model; then all arguments are the message')
    .option('--system <text>', 'instructions for the model, sent first')
    .addOption(new Option('--max-tokens <count>', 'tokens of an answer at most').argParser(parseCount))
    .addOption(
      new Option(
        '--temperature <number>',
        '0 to 2: 0 always takes the likeliest token, higher is more random',
      ).argParser(parseTemperature),
    )
    .action((first: string | undefined, rest: string[], options: ChatOptions) =>
      act((asking) =>
        chat(
          asking,
          [first, ...rest].filter((word) => word !== undefined),
          options,
        ),
      )(options),
    );
}

function parseTemperature(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !(value >= 0 && value <= 2))
    throw new InvalidArgumentError('expected a number from 0 to 2.');
  return value;
}

async function chat(asking: Query, words: readonly string[], options: ChatOptions): Promise<void> {
  const { client, json } = asking;
  const { model, message } = await addressed(client, words, options.model);
  const given = message.trim() || (process.stdin.isTTY ? '' : await readStdin());
  const begin: ChatTurn[] = options.system === undefined ? [] : [{ role: 'system', content: options.system }];
  const answer = (turns: readonly ChatTurn[], signal: AbortSignal) =>
    streamAnswer(client, { ...options, model, messages: turns }, { signal, quiet: json });
  if (given !== '') {
    const leaving = new AbortController();
    process.once('SIGINT', () => leaving.abort());
    const answered = await answer([...begin, { role: 'user', content: given }], leaving.signal);
    if (leaving.signal.aborted) process.exitCode = QUERY_EXIT.interrupted;
    if (json) {
      const { text, workerId, tokens, tokensPerS, finishReason } = answered;
      const rest = { tokens, tokens_per_s: tokensPerS, finish_reason: finishReason };
      print([jsonLine({ model, worker_id: workerId, text, ...rest })]);
    }
    return;
  }
  if (!process.stdin.isTTY) throw new UsageError('standard input is empty: pipe a message, or give one as arguments');
  if (json || !process.stdout.isTTY) throw new UsageError('a conversation needs a terminal: give a message');
  process.stderr.write(`${clean(model)} at ${client.url}\n`);
  await converse({
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    color: asking.color,
    begin,
    answer: async (turns, signal) => (await answer(turns, signal)).text,
    explain: (error) => clean(explain(error, client.url).message),
  });
}

/** A first word like `llama-3.2-1b` or `qwen3:8b` is taken as a model, whether or not it is available now. */
const LIKE_A_MODEL = /^(?=.*\d)[\w.@/-]*[-_:./][\w.:@/-]*$|\.gguf$/i;

/** Which words name the model, and which are the message. */
async function addressed(
  client: Client,
  words: readonly string[],
  model: string | undefined,
): Promise<{ model: string; message: string }> {
  if (model === '') throw new UsageError('--model needs the name of a model: rbee models lists them');
  if (model !== undefined) return { model, message: words.join(' ') };
  const [first, ...rest] = words;
  const ids = (await client.models()).data.map(({ id }) => id);
  // One word alone names a model; a sentence does not.
  const isModel = first !== undefined && (rest.length === 0 ? !/\s/.test(first) : LIKE_A_MODEL.test(first));
  if (first !== undefined && (ids.includes(first) || isModel)) return { model: first, message: rest.join(' ') };
  const [only, another] = ids;
  if (only === undefined) throw new Error('no model is available now: rbee spawn <model> starts a worker for one');
  if (another !== undefined) {
    throw new UsageError(`there are several models: ${ids.slice(0, 50).join(', ')}; name one first, or with --model`);
  }
  return { model: only, message: words.join(' ') };
}

async function readStdin(): Promise<string> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of process.stdin as AsyncIterable<Buffer>) {
    bytes += part.length;
    if (bytes > STDIN_BYTES_MAX) throw new UsageError(`standard input is larger than ${STDIN_BYTES_MAX / 1024} KiB`);
    parts.push(part);
  }
  return Buffer.concat(parts).toString('utf8').trim();
}
