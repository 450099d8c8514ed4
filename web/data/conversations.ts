/**
 * The conversations that this browser keeps, each under its own key. Every tab has one open; two tabs may have the same. If
 * another tab has saved in the meantime, a save goes to a new conversation, so that neither is lost.
 */
import { signal } from '@preact/signals';
import { keep, kept, keptKeys, onKept, remove } from './storage.js';
import { randomKey } from './transport.js';

export interface Message {
  role: 'user' | 'assistant';
  content: string;
  /** Of an answer: its worker, its speed, and why it is not complete. */
  worker?: string;
  model?: string;
  tokens?: number;
  tokensPerS?: number;
  broken?: string;
  /** The answer is still coming: in this tab, or in another that shows the conversation. */
  coming?: boolean;
}

/** A conversation as it was when this tab last read or saved it; `revision` is null before its first save. */
export interface Conversation {
  id: string;
  revision: string | null;
  messages: readonly Message[];
}

interface Stored {
  revision: string;
  /** Epoch ms of the last save. */
  at: number;
  messages: Message[];
}

/** The oldest go first. */
const CONVERSATIONS_MAX = 20;
/** Of a longer conversation the last ones are kept. */
const MESSAGES_MAX = 200;
const TITLE_CHARS_MAX = 60;
const PREFIX = 'chat.talk.';

export interface Listed {
  id: string;
  /** How it begins. */
  title: string;
  at: number;
}

const isStored = (value: unknown): value is Stored => Array.isArray((value as Stored | null)?.messages);
const read = (id: string): Stored | null => kept('browser', PREFIX + id, isStored, null as never);

/** All that the browser keeps, newest first. */
export const conversations = signal<readonly Listed[]>(list());

function list(): Listed[] {
  return keptKeys('browser', PREFIX)
    .flatMap((key) => {
      const id = key.slice(PREFIX.length);
      const stored = read(id);
      return stored ? [{ id, title: titleOf(stored.messages), at: stored.at }] : [];
    })
    .sort((a, b) => b.at - a.at);
}

function titleOf(messages: readonly Message[]): string {
  const first =
    messages
      .find(({ role }) => role === 'user')
      ?.content.trim()
      .replace(/\s+/g, ' ') ?? '';
  return first.length > TITLE_CHARS_MAX ? `${first.slice(0, TITLE_CHARS_MAX)} …` : first || 'Chat';
}

export const newConversation = (): Conversation => ({ id: randomKey(), revision: null, messages: [] });

/** As the browser keeps it; null when it does not. */
export function openConversation(id: string): Conversation | null {
  const stored = read(id);
  return stored && { id, revision: stored.revision, messages: stored.messages };
}

/** Returns the saved conversation: under a new id if another tab has saved it in the meantime. */
export function save({ id, revision, messages }: Conversation): Conversation {
  const stored = read(id);
  const next = { id: stored && stored.revision !== revision ? randomKey() : id, revision: randomKey(), messages };
  const entry: Stored = { revision: next.revision, at: Date.now(), messages: messages.slice(-MESSAGES_MAX) };
  const others = conversations.peek().filter((one) => one.id !== next.id);
  for (const old of others.splice(CONVERSATIONS_MAX - 1)) remove('browser', PREFIX + old.id);
  // If the storage is full, the oldest ones are dropped.
  while (!keep('browser', PREFIX + next.id, entry)) {
    const old = others.pop();
    if (!old) break;
    remove('browser', PREFIX + old.id);
  }
  conversations.value = [{ id: next.id, title: titleOf(messages), at: entry.at }, ...others];
  return next;
}

export function discard(id: string): void {
  remove('browser', PREFIX + id);
  conversations.value = list();
}

/** Calls `changed` with the id of a conversation that another tab saved or discarded. */
export function onConversation(changed: (id: string) => void): void {
  onKept(PREFIX, (key) => {
    conversations.value = list();
    changed(key.slice(PREFIX.length));
  });
}
