/** A conversation with a model of the swarm. */
import '../style/chat.css';
import { useSignalEffect } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { waiting } from '../data/answer.js';
import {
  again,
  answering,
  deleteChat,
  draft,
  messages,
  model,
  newChat,
  openId,
  sendMessage,
  stop,
  switchTo,
} from '../data/chat.js';
import { conversations, type Message, openConversation } from '../data/conversations.js';
import { host } from '../data/keeper.js';
import { link } from '../data/link.js';
import { followModels, models, modelsKnown } from '../data/models.js';
import { Markdown } from '../parts/markdown.js';

export function ChatScreen() {
  useEffect(followModels, []);
  return (
    <div class="chat">
      <h1 class="sr">Chat</h1>
      <div class="toolbar">
        <label>
          Model{' '}
          <select
            value={model.value}
            onChange={({ currentTarget }) => {
              model.value = currentTarget.value;
            }}
          >
            {model.value === '' && <option value="">none is available</option>}
            {model.value !== '' && !models.value.includes(model.value) && (
              <option value={model.value}>{model.value} (not available now)</option>
            )}
            {models.value.map((id) => (
              <option key={id} value={id}>
                {id}
              </option>
            ))}
          </select>
        </label>
        <Conversations />
      </div>
      {messages.value.length === 0 ? <Hint /> : <Messages />}
      <Composer />
    </div>
  );
}

/** The conversations that this browser keeps. Each tab has one open. */
function Conversations() {
  const isNew = messages.value.length === 0;
  const open = (id: string) => {
    const found = openConversation(id);
    if (found) switchTo(found);
    document.getElementById('message')?.focus();
  };
  return (
    <>
      {conversations.value.length > 0 && (
        <label>
          Chat{' '}
          <select value={openId.value} onChange={({ currentTarget }) => open(currentTarget.value)}>
            {!conversations.value.some(({ id }) => id === openId.value) && (
              <option value={openId.value}>{isNew ? 'new' : 'this one'}</option>
            )}
            {conversations.value.map(({ id, title }) => (
              <option key={id} value={id}>
                {title}
              </option>
            ))}
          </select>
        </label>
      )}
      <button
        type="button"
        class="plain"
        disabled={isNew}
        onClick={() => {
          newChat();
          document.getElementById('message')?.focus();
        }}
      >
        New chat
      </button>
      {!isNew && (
        <button
          type="button"
          class="plain"
          onClick={() => {
            deleteChat();
            document.getElementById('message')?.focus();
          }}
        >
          Delete chat
        </button>
      )}
    </>
  );
}

function Hint() {
  if (link.value.awaySince !== null)
    return <p class="none">The {host} is offline. Its models are listed here as soon as it is back.</p>;
  if (!modelsKnown.value) return <p class="none">Asking the {host} for its models …</p>;
  return !models.value.includes(model.value) ? (
    <p class="none">
      No worker {model.value === '' ? '' : `with ${model.value} `}is available. <a href="#/workers">Spawn one</a>, and
      its model can be chosen here.
    </p>
  ) : (
    <p class="none">Ask {model} something. Chats are kept in this browser only.</p>
  );
}

function Messages() {
  const end = useRef<HTMLDivElement>(null);
  // Scrolls with the answer, unless the user has scrolled up.
  useSignalEffect(() => {
    messages.value;
    const near = document.documentElement.scrollHeight - innerHeight - scrollY < 160;
    if (near) requestAnimationFrame(() => end.current?.scrollIntoView({ block: 'end' }));
  });
  return (
    <>
      <ol class="talk" aria-label="Conversation">
        {messages.value.map((message, i) => (
          <MessageItem key={i} message={message} last={i === messages.value.length - 1} />
        ))}
      </ol>
      <p class="sr" role="status">
        {answering.value ? 'The answer is coming.' : ''}
      </p>
      <div ref={end} />
    </>
  );
}

function MessageItem({ message, last }: { message: Message; last: boolean }) {
  const { role, content, worker, tokens, tokensPerS, broken, coming } = message;
  const here = last && answering.value && role === 'assistant';
  return (
    <li class={role}>
      <span class="sr">{role === 'user' ? 'You: ' : 'Answer: '}</span>
      <div class="text">
        {role === 'user' ? content : content === '' && here ? <Pending tokens={tokens} /> : <Markdown text={content} />}
      </div>
      {role === 'assistant' && (
        <p class="by">
          {worker && <span>{worker}</span>}
          {tokensPerS !== undefined && <span>{tokensPerS.toFixed(tokensPerS < 10 ? 1 : 0)} tokens/s</span>}
          {tokens !== undefined && <span>{tokens} tokens</span>}
          {broken !== undefined && <span class="broken">{broken}</span>}
          {coming && !here && <span>not finished: it was being answered in another tab</span>}
          {last && !here && (
            <button type="button" class="plain" onClick={() => void again()}>
              Ask again
            </button>
          )}
        </p>
      )}
    </li>
  );
}

/** Tokens without text are the reasoning of the model. */
function Pending({ tokens }: { tokens: number | undefined }) {
  if (waiting.value) return <span class="none">The {host} is offline. Your message is sent when it is back.</span>;
  return <span class="none">{tokens ? 'Thinking …' : '…'}</span>;
}

function Composer() {
  const submit = (event: Event) => {
    event.preventDefault();
    void sendMessage();
  };
  // From anywhere on the page.
  useEffect(() => {
    const onKey = ({ key, isComposing }: KeyboardEvent) => {
      if (key === 'Escape' && !isComposing) stop();
    };
    addEventListener('keydown', onKey);
    return () => removeEventListener('keydown', onKey);
  }, []);
  return (
    <form class="composer" onSubmit={submit}>
      <label class="sr" for="message">
        Message
      </label>
      <textarea
        id="message"
        rows={3}
        placeholder="Message: Enter sends, Shift-Enter is a new line"
        value={draft.value}
        onInput={({ currentTarget }) => {
          draft.value = currentTarget.value;
        }}
        onKeyDown={(event) => {
          if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) submit(event);
        }}
      />
      {answering.value ? (
        <button type="button" onClick={stop} title="Esc">
          Stop
        </button>
      ) : (
        <button type="submit" class="main" disabled={draft.value.trim() === '' || model.value === ''}>
          Send
        </button>
      )}
    </form>
  );
}
