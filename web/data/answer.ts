/** One answer of a model through the gateway, as it is generated. While the queen is offline the request waits. */
import { signal } from '@preact/signals';
import { readEventMessages } from '../../client/stream.js';
import type { Message } from './conversations.js';
import { host } from './keeper.js';
import { link, lock } from './link.js';
import { models } from './models.js';

/** Changes of the message that is being answered. */
export type Answered = Partial<Omit<Message, 'role' | 'coming'>>;

/** The gateway is offline, and a request waits for it. */
export const waiting = signal(false);

/** A gateway that is back may not know its workers yet. */
const WORKERS_MS_MAX = 30_000;
/** Before a retry while the page is connected. */
const PAUSE_MS = 1_000;

/** The request was not answered at all. */
class NoAnswer extends Error {}

/** Resolves at the end of the answer; `broken` then says why it is not whole. */
export async function askModel(
  model: string,
  asked: readonly Message[],
  stopped: AbortSignal,
  show: (change: Answered) => void,
): Promise<Answered> {
  // A request without an answer may have been executed, so it is repeated only once.
  for (let attempt = 1; ; attempt += 1) {
    try {
      if (attempt > 1 || link.peek().state !== 'open') await gatewayIsBack(model, stopped);
      await read(await open(model, asked, stopped), show);
      return {};
    } catch (error) {
      // A page that is being closed ends here, too, and the answer is kept as still coming.
      await pause(0);
      if (stopped.aborted) return { broken: 'stopped' };
      if (error instanceof NoAnswer && attempt === 1) continue;
      return { broken: error instanceof NoAnswer ? `no answer from the ${host.peek()}` : (error as Error).message };
    }
  }
}

async function read(response: Response, show: (change: Answered) => void): Promise<void> {
  let content = '';
  let tokens = 0;
  let firstAt = 0;
  show({ worker: response.headers.get('rbee-worker') ?? '' });
  for await (const data of dataOf(response)) {
    if (data === '[DONE]') return;
    const part = JSON.parse(data) as Part;
    if (part.error) throw new Error(part.error.message);
    const { content: text, reasoning_content, reasoning } = part.choices?.[0]?.delta ?? {};
    // Reasoning tokens count, too: the first token often is one.
    if (text || reasoning_content || reasoning) {
      firstAt ||= performance.now();
      tokens += 1;
      content += text ?? '';
      show({ content, tokens, ...speed(tokens, firstAt) });
    }
    const counted = part.usage?.completion_tokens;
    if (counted) show({ tokens: counted, ...speed(counted, firstAt) });
  }
}

interface Part {
  /** `reasoning`: what some engines call `reasoning_content`. */
  choices?: { delta?: Partial<Record<'content' | 'reasoning_content' | 'reasoning', string | null>> }[];
  usage?: { completion_tokens?: number } | null;
  error?: { message: string };
}

async function* dataOf(response: Response): AsyncGenerator<string> {
  try {
    for await (const { data } of readEventMessages(response.body, () => {})) yield data;
  } catch (error) {
    throw new Error(`the connection to the ${host.peek()} broke off`, { cause: error });
  }
}

/** Between the first token and the last: the time to the first is spent on the prompt. */
function speed(tokens: number, firstAt: number): Pick<Message, 'tokensPerS'> {
  const s = (performance.now() - firstAt) / 1000;
  return tokens > 1 && s > 0 ? { tokensPerS: (tokens - 1) / s } : {};
}

async function open(model: string, asked: readonly Message[], signal: AbortSignal): Promise<Response> {
  const response = await fetch('v1/chat/completions', {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'text/event-stream' },
    body: JSON.stringify({
      model,
      messages: asked.filter(({ content }) => content !== '').map(({ role, content }) => ({ role, content })),
      stream: true,
      stream_options: { include_usage: true },
    }),
    credentials: 'same-origin',
    redirect: 'error',
    signal,
  }).catch((error: unknown) => {
    throw new NoAnswer('no answer', { cause: error });
  });
  if (response.ok) return response;
  if (response.status === 401) lock();
  // OpenAI's shape from the gateway, a problem from the checks before it.
  const body = (await response.json().catch(() => null)) as { error?: { message?: string }; detail?: string } | null;
  const detail = body?.error?.message ?? body?.detail ?? `status ${response.status}`;
  throw new Error(detail);
}

/** Resolves when the page is connected again and the model is offered, or is not for a while. @throws when stopped */
async function gatewayIsBack(model: string, stopped: AbortSignal): Promise<void> {
  waiting.value = true;
  try {
    await pause(PAUSE_MS);
    while (link.peek().state !== 'open' && !stopped.aborted) await pause(PAUSE_MS / 4);
    const backAt = performance.now();
    while (!models.peek().includes(model) && performance.now() - backAt < WORKERS_MS_MAX && !stopped.aborted)
      await pause(PAUSE_MS / 4);
  } finally {
    waiting.value = false;
  }
  stopped.throwIfAborted();
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
