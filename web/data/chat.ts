/**
 * A conversation with a model of the swarm, through the gateway. What was typed and what was answered lies in the
 * browser's storage, so that neither a reload nor a queen that goes away takes it.
 */
import { effect, signal } from '@preact/signals';
import { readEvents } from '../../client/stream.js';
import { lock } from './link.js';
import { isArray, isString, keep, kept, onKept } from './storage.js';
import { request } from './transport.js';

export interface Message {
  role: 'user' | 'assistant';
  content: string;
  /** Of an answer: who gave it, how fast, and why it is not whole. */
  worker?: string;
  model?: string;
  tokens?: number;
  tokensPerS?: number;
  broken?: string;
}

/** Kept while it comes, so that it is known to be torn after a reload. */
type Coming = Message & { coming?: boolean };

/** Of a conversation that grows for ever the end is kept. */
const MESSAGES_MAX = 200;
const KEEP_MS = 500;
const MODELS_MS = 5_000;

export const messages = signal<readonly Message[]>(restored());
export const draft = signal(kept('browser', 'chat.draft', isString, ''));
export const model = signal(kept('browser', 'chat.model', isString, ''));
export const models = signal<readonly string[]>([]);
/** Why the models are not known; null when they are. */
export const modelsProblem = signal<string | null>(null);
/** An answer is coming. */
export const answering = signal(false);

let stopper: AbortController | null = null;

effect(() => keep('browser', 'chat.draft', draft.value));
effect(() => keep('browser', 'chat.model', model.value));

/** What the browser holds, as far as it is known here: other tabs talk as well. */
let held = messages.peek();
onKept('chat', () => {
  const theirs = stored();
  // What is said here goes before what was said there meanwhile; an answer that comes there is shown when it is whole.
  if (answering.peek() || theirs.at(-1)?.coming) return;
  held = theirs;
  messages.value = theirs;
});

let keeping: ReturnType<typeof setTimeout> | undefined;
effect(() => {
  messages.value;
  keeping ??= setTimeout(keepMessages, KEEP_MS);
});
addEventListener('pagehide', keepMessages);

function keepMessages(): void {
  clearTimeout(keeping);
  keeping = undefined;
  if (messages.peek() === held) return;
  held = messages.peek();
  keep('browser', 'chat', held.slice(-MESSAGES_MAX));
}

function stored(): Coming[] {
  return kept('browser', 'chat', isArray, []);
}

/** An answer that was coming when the page went away ended there. */
function restored(): Message[] {
  return stored().map(({ coming, ...message }) => (coming ? { ...message, broken: 'the page was closed' } : message));
}

/** Keeps the list of models until the answer is called. */
export function followModels(): () => void {
  const ask = async () => {
    try {
      const { data } = await request<{ data: { id: string }[] }>('/v1/models');
      models.value = data.map(({ id }) => id);
      modelsProblem.value = null;
      // What was chosen stays chosen while no worker offers it.
      if (model.peek() === '') model.value = models.peek()[0] ?? '';
    } catch (error) {
      modelsProblem.value = (error as Error).message;
    }
  };
  void ask();
  const timer = setInterval(() => void ask(), MODELS_MS);
  return () => clearInterval(timer);
}

export function clearChat(): void {
  stopper?.abort();
  stopper = null;
  answering.value = false;
  messages.value = [];
}

export function stop(): void {
  stopper?.abort();
}

/** Sends what was typed. */
export async function send(): Promise<void> {
  const content = draft.peek().trim();
  if (content === '' || answering.peek() || model.peek() === '') return;
  draft.value = '';
  messages.value = [...messages.peek(), { role: 'user', content }];
  await answer();
}

/** Asks again for the last answer. */
export async function again(): Promise<void> {
  const last = messages.peek().at(-1);
  if (answering.peek()) return;
  if (last?.role === 'assistant') messages.value = messages.peek().slice(0, -1);
  await answer();
}

async function answer(): Promise<void> {
  const asked = messages.peek();
  const mine = new AbortController();
  stopper = mine;
  answering.value = true;
  let message: Coming = { role: 'assistant', content: '', model: model.peek(), coming: true };
  const show = (change: Partial<Coming>) => {
    // Of an answer that was cleared away nothing is shown any more.
    if (stopper !== mine) return;
    message = { ...message, ...change };
    messages.value = [...asked, message];
  };
  show({});
  let firstAt = 0;
  try {
    const response = await open(asked, mine.signal);
    show({ worker: response.headers.get('rbee-worker') ?? '' });
    for await (const { data } of readEvents(response.body, () => {})) {
      if (data === '[DONE]') break;
      const part = JSON.parse(data) as Part;
      if (part.error) throw new Error(part.error.message);
      const { content: text, reasoning_content, reasoning } = part.choices?.[0]?.delta ?? {};
      // Thoughts are tokens like all others, and the first of all is often one.
      if (text || reasoning_content || reasoning) {
        firstAt ||= performance.now();
        const tokens = (message.tokens ?? 0) + 1;
        show({ content: message.content + (text ?? ''), tokens, ...speed(tokens, firstAt) });
      }
      const counted = part.usage?.completion_tokens;
      if (counted) show({ tokens: counted, ...speed(counted, firstAt) });
    }
  } catch (error) {
    // A page that goes away tears it, too: then nobody comes back from here, and it is kept as one that was coming.
    await new Promise((resolve) => setTimeout(resolve));
    show({ broken: mine.signal.aborted ? 'stopped' : (error as Error).message });
  }
  if (stopper !== mine) return;
  const { coming: _, ...whole } = message;
  messages.value = [...asked, whole];
  stopper = null;
  answering.value = false;
}

interface Part {
  /** `reasoning`: what some engines call `reasoning_content`. */
  choices?: { delta?: Partial<Record<'content' | 'reasoning_content' | 'reasoning', string | null>> }[];
  usage?: { completion_tokens?: number } | null;
  error?: { message: string };
}

/** Over the time between the first token and the last: waiting for the first is the prompt's. */
function speed(tokens: number, firstAt: number): Pick<Message, 'tokensPerS'> {
  const s = (performance.now() - firstAt) / 1000;
  return tokens > 1 && s > 0 ? { tokensPerS: (tokens - 1) / s } : {};
}

async function open(asked: readonly Message[], signal: AbortSignal): Promise<Response> {
  const response = await fetch('v1/chat/completions', {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'text/event-stream' },
    body: JSON.stringify({
      model: model.peek(),
      messages: asked.filter(({ content }) => content !== '').map(({ role, content }) => ({ role, content })),
      stream: true,
      stream_options: { include_usage: true },
    }),
    credentials: 'same-origin',
    redirect: 'error',
    signal,
  });
  if (response.ok) return response;
  if (response.status === 401) lock();
  // OpenAI's own shape from the gateway, a problem from everything before it.
  const said = (await response.json().catch(() => null)) as { error?: { message?: string }; detail?: string } | null;
  const detail = said?.error?.message ?? said?.detail ?? `status ${response.status}`;
  throw new Error(detail);
}
