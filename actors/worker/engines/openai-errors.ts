/** Errors of an engine that runs elsewhere, as errors of this worker. */
import { InferenceRefused } from '../../../wire/infer.js';
import { readJson } from '../../../wire/json.js';
import { peerFailure } from '../../net/failure.js';
import { type Response, readAnswerText } from './openai-http.js';

const ERROR_BYTES_MAX = 64 * 1024;
const RETRY_S = 1;

/** A request that failed without an answer. */
export function noAnswer(url: string, error: unknown): InferenceRefused {
  const { kind, message } = peerFailure(url, error);
  const isDown = kind === 'refused';
  return new InferenceRefused(isDown ? 503 : 502, `no answer from the engine: ${message}`, {
    code: isDown ? 'engine_unreachable' : 'engine_broken',
    retryAfterS: isDown ? RETRY_S : null,
    cause: error,
  });
}

/** An answer that is not one of a model. */
export const engineBroken = (message: string) => new InferenceRefused(502, message, { code: 'engine_broken' });

/** An answer with a status other than 2xx. */
export async function refusalOf(response: Response, url: string, apiKey: string | null): Promise<InferenceRefused> {
  const { status } = response;
  if (status === 401 || status === 403) {
    return new InferenceRefused(502, keyRefused(url, apiKey), { code: 'engine_refused_us' });
  }
  if (status < 400) return new InferenceRefused(502, `the engine answered ${status}: redirects are not followed`);
  const { message, param, code } = engineErrorOf(readJson(await readAnswerText(response, ERROR_BYTES_MAX)));
  const retryAfterS =
    Number(response.headers.get('retry-after')) || (status === 503 || status === 429 ? RETRY_S : null);
  return new InferenceRefused(status, message ?? `the engine answered ${status}`, { param, code, retryAfterS });
}

export function keyRefused(url: string, apiKey: string | null): string {
  const problem =
    apiKey === null ? 'requires a key: set RBEE_ENGINE_API_KEY' : 'rejects the key: check RBEE_ENGINE_API_KEY';
  return `the engine at ${url} ${problem}`;
}

interface EngineError {
  message: string | null;
  param: string | null;
  code: string | null;
}

/** OpenAI's shape, Ollama's `{"error": "message"}`, or any other body with a message. */
export function engineErrorOf(body: unknown): EngineError {
  const { error, message, detail } = (body ?? {}) as Record<string, unknown>;
  const inner = (typeof error === 'object' && error !== null ? error : {}) as Record<string, unknown>;
  const found = [inner.message, error, message, detail].find((one) => typeof one === 'string');
  const text = (value: unknown) => (typeof value === 'string' ? value.slice(0, 256) : null);
  return {
    message: typeof found === 'string' ? found.slice(0, 4096) : null,
    param: text(inner.param),
    code: text(inner.code),
  };
}
