/** A talk with a model of the swarm. */
import '../style/chat.css';
import { useSignalEffect } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import {
  again,
  answering,
  clearChat,
  draft,
  followModels,
  type Message,
  messages,
  model,
  models,
  modelsProblem,
  send,
  stop,
} from '../data/chat.js';

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
        <button type="button" class="plain" disabled={messages.value.length === 0} onClick={clearChat}>
          New chat
        </button>
      </div>
      {messages.value.length === 0 ? <Hint /> : <Talk />}
      <Composer />
    </div>
  );
}

function Hint() {
  if (modelsProblem.value !== null) return <p class="none">The models are not known: {modelsProblem}.</p>;
  return !models.value.includes(model.value) ? (
    <p class="none">
      No worker {model.value === '' ? '' : `with ${model.value} `}is available. <a href="#/workers">Spawn one</a>, and
      its model can be chosen here.
    </p>
  ) : (
    <p class="none">Ask {model} something. What is said stays in this browser.</p>
  );
}

function Talk() {
  const end = useRef<HTMLDivElement>(null);
  // Follows the answer, unless somebody reads further up.
  useSignalEffect(() => {
    messages.value;
    const near = document.documentElement.scrollHeight - innerHeight - scrollY < 160;
    if (near) requestAnimationFrame(() => end.current?.scrollIntoView({ block: 'end' }));
  });
  return (
    <>
      <ol class="talk" aria-label="Conversation">
        {messages.value.map((message, i) => (
          <Said key={i} message={message} last={i === messages.value.length - 1} />
        ))}
      </ol>
      <p class="sr" role="status">
        {answering.value ? 'The answer is coming.' : ''}
      </p>
      <div ref={end} />
    </>
  );
}

function Said({ message, last }: { message: Message; last: boolean }) {
  const { role, content, worker, tokens, tokensPerS, broken } = message;
  const coming = last && answering.value && role === 'assistant';
  return (
    <li class={role}>
      <span class="sr">{role === 'user' ? 'You: ' : 'Answer: '}</span>
      <div class="text">{content === '' && coming ? <Begun tokens={tokens} /> : <Text content={content} />}</div>
      {role === 'assistant' && (
        <p class="by">
          {worker && <span>{worker}</span>}
          {tokensPerS !== undefined && <span>{tokensPerS.toFixed(tokensPerS < 10 ? 1 : 0)} tokens/s</span>}
          {tokens !== undefined && <span>{tokens} tokens</span>}
          {broken !== undefined && <span class="broken">{broken}</span>}
          {last && !coming && (
            <button type="button" class="plain" onClick={() => void again()}>
              Ask again
            </button>
          )}
        </p>
      )}
    </li>
  );
}

/** Tokens without a text are thoughts. */
const Begun = ({ tokens }: { tokens: number | undefined }) => <span class="none">{tokens ? 'It thinks …' : '…'}</span>;

/** Fenced code as such, everything else as it is. */
function Text({ content }: { content: string }) {
  return (
    <>
      {content.split(/\n*```[\w+-]*\n*/).map((part, i) =>
        i % 2 === 1 ? (
          <pre key={i}>
            <code>{part}</code>
          </pre>
        ) : (
          <span key={i}>{part}</span>
        ),
      )}
    </>
  );
}

function Composer() {
  const submit = (event: Event) => {
    event.preventDefault();
    void send();
  };
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
        <button type="button" onClick={stop}>
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
