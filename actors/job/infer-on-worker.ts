/** `POST /v1/infer` of a worker, token by token. */
import { Type } from '@sinclair/typebox';
import { readJson } from '../../wire/json.js';
import { parser } from '../../wire/schema.js';
import { normaliseUrl } from '../../wire/url.js';
import type { ExpectedWorker } from '../../wire/worker.js';
import { readEventStream } from '../net/event-parser.js';
import { PeerFailure, peerFailure } from '../net/failure.js';
import { type Outgoing, openStream } from '../net/http.js';

const CONNECT_MS = 1_000;
/** How much of the text is kept for the result; every token is passed to `onToken`. */
const TEXT_CHARS_MAX = 1024 * 1024;

/** A token, the end, or an error. */
const InferEvent = Type.Object({
  token: Type.Optional(Type.String()),
  done: Type.Optional(Type.Boolean()),
  tokens_generated: Type.Optional(Type.Union([Type.Integer(), Type.Null()])),
  duration_ms: Type.Optional(Type.Number()),
  error: Type.Optional(Type.Object({ message: Type.String() })),
});
const parseEvent = parser(InferEvent);

export interface InferInput {
  url: string;
  /** The worker that must prove itself there before anything is sent; null when its key is not known. */
  worker: ExpectedWorker | null;
  request: object;
  onToken: (token: string) => void;
  signal: AbortSignal;
}

export interface Inferred {
  text: string;
  tokens_generated: number | null;
  duration_ms: number | null;
}

/** Rejects with a PeerFailure. Aborting the signal closes the connection, and the worker stops generating. */
export async function inferOnWorker(outgoing: Outgoing, input: InferInput): Promise<Inferred> {
  const base = normaliseUrl(input.url);
  if (!base.ok) throw new PeerFailure('broken', `${input.url} is not a URL: ${base.detail}`);
  const url = `${base.url}/v1/infer`;
  const inferred: Inferred = { text: '', tokens_generated: null, duration_ms: null };
  let isComplete = false;
  try {
    const body = await openStream(outgoing, url, {
      method: 'POST',
      body: () => ({ ...input.request, stream: true }),
      // A worker of our own: it inherited our token.
      trusted: true,
      worker: input.worker,
      connectMs: CONNECT_MS,
      signal: input.signal,
    });
    await readEventStream(body, url, ({ data }) => {
      if (data === '[DONE]') isComplete = true;
      else take(url, data, inferred, input.onToken);
    });
  } catch (error) {
    throw peerFailure(url, error);
  }
  if (!isComplete) throw new PeerFailure('closed', `${url} ended before its answer was complete`);
  return inferred;
}

/** Adds one event to what was inferred so far. @throws PeerFailure */
function take(url: string, data: string, inferred: Inferred, onToken: (token: string) => void): void {
  const event = parseEvent(readJson(data));
  if (!event.ok) throw new PeerFailure('broken', `${url} sent an event that does not belong to an inference`);
  const { token, done, tokens_generated, duration_ms, error } = event.value;
  if (error) throw new PeerFailure('status', `${url}: ${error.message}`);
  if (token !== undefined) {
    onToken(token);
    if (inferred.text.length < TEXT_CHARS_MAX) inferred.text += token;
  }
  if (done) {
    inferred.tokens_generated = tokens_generated ?? null;
    inferred.duration_ms = duration_ms ?? null;
  }
}
