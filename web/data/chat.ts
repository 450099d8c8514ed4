/**
 * The conversation of this tab with a model of the swarm, through the gateway. Drafts and answers are kept in the browser's
 * storage, so that they survive a reload and a queen that goes offline.
 */
import { effect, signal } from '@preact/signals';
import { type Answered, askModel } from './answer.js';
import {
  type Conversation,
  conversations,
  discard,
  type Message,
  newConversation,
  onConversation,
  openConversation,
  save,
} from './conversations.js';
import { models } from './models.js';
import { isString, keep, kept } from './storage.js';

const KEEP_MS = 500;

/** The conversation as this tab last read or saved it. */
let held: Conversation = restored();

export const messages = signal<readonly Message[]>(held.messages);
/** The id of the open conversation; a new one is not saved yet. */
export const openId = signal(held.id);
export const draft = signal(kept('tab', 'chat.draft', isString, ''));
export const model = signal(kept('browser', 'chat.model', isString, ''));
/** An answer is coming. */
export const answering = signal(false);

let stopper: AbortController | null = null;

effect(() => void keep('tab', 'chat.draft', draft.value));
effect(() => void keep('browser', 'chat.model', model.value));
effect(() => void keep('tab', 'chat.open', openId.value));
// A chosen model stays chosen while no worker offers it.
effect(() => {
  if (model.value === '') model.value = models.value[0] ?? '';
});

onConversation((id) => {
  // While an answer is coming, this tab keeps its own messages: they are saved as a conversation of their own.
  if (id !== held.id || answering.peek()) return;
  const theirs = openConversation(id);
  if (!theirs || theirs.revision === held.revision) return;
  held = theirs;
  messages.value = theirs.messages;
});

let keeping: ReturnType<typeof setTimeout> | undefined;
effect(() => {
  messages.value;
  keeping ??= setTimeout(keepMessages, KEEP_MS);
});
// Closing the page ends an answer that is coming.
addEventListener('pagehide', () => {
  if (answering.peek()) held = save({ ...held, messages: withLast({ broken: 'the page was closed' }) });
  else keepMessages();
});

function keepMessages(): void {
  clearTimeout(keeping);
  keeping = undefined;
  if (messages.peek() === held.messages) return;
  held = save({ ...held, messages: messages.peek() });
  openId.value = held.id;
}

/** The conversation that this tab had open, else the latest one. */
function restored(): Conversation {
  const own = kept('tab', 'chat.open', isString, conversations.peek()[0]?.id ?? '');
  return openConversation(own) ?? newConversation();
}

/** Shows another conversation, or a new one. An answer that is coming is stopped, and kept as far as it came. */
export function switchTo(next: Conversation | null): void {
  stop();
  keepMessages();
  held = next ?? newConversation();
  messages.value = held.messages;
  openId.value = held.id;
}

export function newChat(): void {
  switchTo(null);
}

export function deleteChat(): void {
  const { id } = held;
  switchTo(null);
  discard(id);
}

/** Stops the answer that is coming, and keeps it as far as it came. */
export function stop(): void {
  if (!stopper) return;
  stopper.abort();
  finish({ broken: 'stopped' });
}

/** Sends the draft. */
export async function sendMessage(): Promise<void> {
  const content = draft.peek().trim();
  if (content === '' || answering.peek() || model.peek() === '') return;
  draft.value = '';
  await answerTo([...ownMessages(), { role: 'user', content }]);
}

/** Requests the last answer again. */
export async function again(): Promise<void> {
  if (answering.peek()) return;
  const known = ownMessages();
  await answerTo(known.at(-1)?.role === 'assistant' ? known.slice(0, -1) : known);
}

/** While another tab waits for an answer in this conversation, this tab continues in a copy of its own. */
function ownMessages(): readonly Message[] {
  const known = messages.peek();
  if (!known.at(-1)?.coming) return known;
  held = newConversation();
  return known.slice(0, -1);
}

async function answerTo(asked: readonly Message[]): Promise<void> {
  const mine = new AbortController();
  stopper = mine;
  answering.value = true;
  messages.value = [...asked, { role: 'assistant', content: '', model: model.peek(), coming: true }];
  keepMessages();
  const end = await askModel(model.peek(), asked, mine.signal, (change) => {
    const known = messages.peek();
    if (stopper === mine) messages.value = [...known.slice(0, -1), { ...(known.at(-1) as Message), ...change }];
  });
  if (stopper === mine) finish(end);
}

function finish(end: Answered): void {
  stopper = null;
  answering.value = false;
  messages.value = withLast(end);
  keepMessages();
}

/** The conversation with its answer ended. */
function withLast(end: Answered): Message[] {
  const known = messages.peek();
  const { coming: _, ...last } = known.at(-1) as Message;
  return [...known.slice(0, -1), { ...last, ...end }];
}
