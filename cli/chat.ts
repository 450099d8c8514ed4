/** `rbee chat`: talks to a model of the swarm, through the queen's gateway. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { ChatTurn, Client } from '../client/index.js';
import { parseCount, UsageError } from '../wiring/options.js';
import { clean, jsonLine } from '../wiring/terminal-text.js';
import {
  act,
  endWithReader,
  explain,
  hasColor,
  print,
  QUERY_EXIT,
  type Query,
  type QueryOptions,
  query,
} from './ask.js';
import { converse } from './converse.js';
import { colors } from './table.js';

interface Drawing {
  maxTokens?: number;
  temperature?: number;
}

interface ChatOptions extends QueryOptions, Drawing {
  model?: string;
  system?: string;
}

interface Question extends Drawing {
  model: string;
  messages: readonly ChatTurn[];
}

interface Said {
  text: string;
  workerId: string | null;
  tokens: number;
  /** Between the first token and the last; null for an answer too short to tell. */
  tokensPerS: number | null;
  finishReason: string | null;
}

/** What is piped in is one request, and requests have a bound. */
const STDIN_BYTES_MAX = 1024 * 1024;

export function addChatCommand(program: Command): void {
  query(program, 'chat', 'Talks to a model of the swarm: answers come as they are made.', [
    'rbee chat                                 a conversation; with one model in the swarm, it is that one',
    'rbee chat llama-3.2-1b                    a conversation with this one',
    'rbee chat llama-3.2-1b Why is the sky blue?',
    'rbee chat Why is the sky blue?            with one model in the swarm, it may be left out',
    'git diff | rbee chat llama-3.2-1b --system "Review this patch."',
    '',
    'Ctrl-C stops an answer; at the prompt, twice, or Ctrl-D, it leaves.',
  ])
    .argument('[model]', 'as rbee models shows it; may be left out where there is just one')
    .argument('[message...]', 'what to say; without it, standard input, or a conversation on a terminal')
    .option('--model <model>', 'the model, so that all words are what to say')
    .option('--system <text>', 'instructions that the model gets first')
    .addOption(new Option('--max-tokens <count>', 'tokens of an answer, at most').argParser(parseCount))
    .addOption(
      new Option('--temperature <number>', '0 always takes the likeliest word, 2 is wild').argParser(parseTemperature),
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
    const said = await answer([...begin, { role: 'user', content: given }], leaving.signal);
    if (leaving.signal.aborted) process.exitCode = QUERY_EXIT.interrupted;
    if (json) {
      const { text, workerId, tokens, tokensPerS, finishReason } = said;
      const rest = { tokens, tokens_per_s: tokensPerS, finish_reason: finishReason };
      print([jsonLine({ model, worker_id: workerId, text, ...rest })]);
    }
    return;
  }
  if (!process.stdin.isTTY) throw new UsageError('standard input is empty: say something, or give a message');
  if (json || !process.stdout.isTTY) throw new UsageError('a conversation wants a terminal: give a message');
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

/** A first word like `llama-3.2-1b` or `qwen3:8b` is meant as a model, whether or not somebody has it now. */
const LIKE_A_MODEL = /^(?=.*\d)[\w.@/-]*[-_:./][\w.:@/-]*$|\.gguf$/i;

/** Which words name the model, and which are the message. */
async function addressed(
  client: Client,
  words: readonly string[],
  model: string | undefined,
): Promise<{ model: string; message: string }> {
  if (model === '') throw new UsageError('--model wants the name of a model');
  if (model !== undefined) return { model, message: words.join(' ') };
  const [first, ...rest] = words;
  const ids = (await client.models()).data.map(({ id }) => id);
  // One word alone names a model; a sentence does not.
  const isModel = first !== undefined && (rest.length === 0 ? !/\s/.test(first) : LIKE_A_MODEL.test(first));
  if (first !== undefined && (ids.includes(first) || isModel)) return { model: first, message: rest.join(' ') };
  const [only, another] = ids;
  if (only === undefined) throw new Error('no model is available now: rbee spawn <model> starts a worker for one');
  if (another !== undefined) {
    throw new UsageError(
      `say to which model: there are ${ids.slice(0, 50).join(', ')}; name one first, or with --model`,
    );
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

/** All that drives a terminal but line breaks and tabs. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
const UNSAFE = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g;

interface StreamIo {
  signal?: AbortSignal;
  /** Nothing is shown. */
  quiet?: boolean;
}

/** Shows an answer on stdout as it comes; on a terminal also who gave it, and how fast, on stderr. */
export async function streamAnswer(
  client: Client,
  { model, messages, maxTokens, temperature }: Question,
  { signal, quiet = false }: StreamIo = {},
): Promise<Said> {
  const { stdout, stderr } = process;
  const dim = colors(hasColor(stdout)).dim;
  const show = (text: string, paint = (plain: string) => plain) => {
    if (!quiet) stdout.write(stdout.isTTY ? paint(text.replace(UNSAFE, '')) : text);
  };
  if (!quiet) endWithReader();
  const said: Said = { text: '', workerId: null, tokens: 0, tokensPerS: null, finishReason: null };
  let firstAt = 0;
  let lastAt = 0;
  let thinking = false;
  const heard = () => {
    lastAt = performance.now();
    firstAt ||= lastAt;
    said.tokens += 1;
  };
  const request = {
    model,
    messages,
    ...(maxTokens === undefined ? {} : { max_tokens: maxTokens }),
    ...(temperature === undefined ? {} : { temperature }),
  };
  try {
    for await (const event of client.chat(request, signal)) {
      if (event.type === 'open') said.workerId = event.workerId;
      else if (event.type === 'end') {
        said.finishReason = event.finishReason;
        said.tokens = event.tokens ?? said.tokens;
      } else if (event.type === 'thought') {
        heard();
        thinking = true;
        // For people only: who pipes the answer wants the answer.
        if (stdout.isTTY) show(event.text, dim);
      } else {
        heard();
        if (thinking && stdout.isTTY) show('\n\n');
        thinking = false;
        said.text += event.text;
        show(event.text);
      }
    }
  } finally {
    if (firstAt > 0) show('\n');
  }
  const s = (lastAt - firstAt) / 1000;
  if (said.tokens > 1 && s > 0) said.tokensPerS = Math.round(((said.tokens - 1) / s) * 10) / 10;
  if (stderr.isTTY && !quiet && firstAt > 0) stderr.write(`${colors(hasColor(stderr)).dim(footer(said))}\n`);
  return said;
}

function footer({ workerId, tokens, tokensPerS, finishReason }: Said): string {
  const parts = [
    workerId && clean(workerId),
    `${tokens} ${tokens === 1 ? 'token' : 'tokens'}`,
    tokensPerS !== null && `${tokensPerS} tokens/s`,
    finishReason === 'length' && 'cut off at the limit of tokens',
  ];
  return parts.filter(Boolean).join(' · ');
}
