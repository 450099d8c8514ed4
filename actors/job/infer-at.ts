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
/** Of the text, so much is kept for the result; all of it is told as it comes. */
const TEXT_CHARS_MAX = 1024 * 1024;

/** A token, the end, or an error, as a worker streams them. */
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
  /** Who must answer there, before anything is sent; null where that is not known. */
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

/** Rejects with a PeerFailure. An aborted signal ends the worker's work: its connection closes. */
export async function inferAt(
  outgoing: Outgoing,
  { url, worker, request, onToken, signal }: InferInput,
): Promise<Inferred> {
  const base = normaliseUrl(url);
  if (!base.ok) throw new PeerFailure('broken', `${url} is not a URL: ${base.detail}`);
  const at = `${base.url}/v1/infer`;
  const inferred: Inferred = { text: '', tokens_generated: null, duration_ms: null };
  let ended = false;
  try {
    const body = await openStream(outgoing, at, {
      method: 'POST',
      body: () => ({ ...request, stream: true }),
      // A worker of our own: it inherited our token.
      trusted: true,
      worker,
      connectMs: CONNECT_MS,
      signal,
    });
    await readEventStream(body, at, ({ data }) => {
      if (data === '[DONE]') {
        ended = true;
        return;
      }
      const event = parseEvent(readJson(data));
      if (!event.ok) throw new PeerFailure('broken', `${at} sent an event that is none of an inference`);
      const { token, done, tokens_generated, duration_ms, error } = event.value;
      if (error) throw new PeerFailure('status', `${at}: ${error.message}`);
      if (token !== undefined) {
        onToken(token);
        if (inferred.text.length < TEXT_CHARS_MAX) inferred.text += token;
      }
      if (done) {
        inferred.tokens_generated = tokens_generated ?? null;
        inferred.duration_ms = duration_ms ?? null;
      }
    });
  } catch (error) {
    throw peerFailure(at, error);
  }
  if (!ended) throw new PeerFailure('closed', `${at} ended before its answer was whole`);
  return inferred;
}
