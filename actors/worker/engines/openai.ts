/**
 * An engine that runs elsewhere and speaks OpenAI's interface (Ollama, llama-server, vLLM, LM Studio). Requests and
 * answers pass through as they are; only errors, and the name of the model, are put into our own words.
 */
import http from 'node:http';
import https from 'node:https';
import type { Readable } from 'node:stream';
import tls from 'node:tls';
import fetch, { type Response } from 'node-fetch';
import { createBytes } from '../../../wire/bytes.js';
import { type EngineFacts, type InferenceAnswer, type InferenceCall, InferenceRefused } from '../../../wire/infer.js';
import { readJson } from '../../../wire/json.js';
import { type Model, parseModelList } from '../../../wire/openai.js';
import { peerFailure } from '../../net/failure.js';
import { type Engine, EngineFailed, type EngineInput } from './engine.js';
import { countUsage, wholeLines } from './openai-lines.js';

export interface OpenAiEngineInput extends EngineInput {
  /** Normalised; with or without the `/v1` that some write behind it. */
  url: string;
  /** Sent to the engine and nobody else. */
  apiKey: string | null;
  /** PEM of an authority of one's own, beside the usual ones. */
  ca: string | null;
}

/** Embeddings of a long list are the largest. */
const ANSWER_BYTES_MAX = 64 * 1024 * 1024;
const ERROR_BYTES_MAX = 64 * 1024;
const PROBE_MS = 4_000;
const RETRY_S = 1;

export function createOpenAiEngine({ model, url, apiKey, ca, log }: OpenAiEngineInput): Engine {
  const base = `${url.replace(/\/v1$/, '')}/v1`;
  const agent = url.startsWith('https:')
    ? new https.Agent(ca === null ? {} : { ca: [...tls.rootCertificates, ca] })
    : new http.Agent();
  refuseUpgrades(agent);
  let name = model;

  async function request(path: string, signal: AbortSignal, body?: object): Promise<Response> {
    return fetch(`${base}/${path}`, {
      method: body === undefined ? 'GET' : 'POST',
      headers: {
        Accept: 'application/json, text/event-stream',
        ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
        ...(apiKey === null ? {} : { Authorization: `Bearer ${apiKey}` }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: signal as never,
      agent,
      redirect: 'manual',
      compress: false,
    });
  }

  /** The engine's own entry of the model. @throws EngineFailed */
  async function findModel(signal: AbortSignal): Promise<Model> {
    const limit = AbortSignal.any([signal, AbortSignal.timeout(PROBE_MS)]);
    let status: number;
    let text: string;
    try {
      const response = await request('models', limit);
      status = response.status;
      text = await readText(response, ANSWER_BYTES_MAX);
    } catch (error) {
      if (limit.aborted && !signal.aborted) {
        throw new EngineFailed(`the engine at ${url} did not answer within ${PROBE_MS / 1000} s`);
      }
      throw new EngineFailed(`the engine cannot be reached: ${peerFailure(url, error).message}`, { cause: error });
    }
    if (status === 401 || status === 403) throw new EngineFailed(keyRefused(url, apiKey));
    if (status !== 200) throw new EngineFailed(`the engine at ${url} answered ${status} to GET /v1/models`);
    const list = parseModelList(readJson(text));
    if (!list.ok) throw new EngineFailed(`what answers at ${url} is no engine: its /v1/models is not a list of models`);
    // Ollama leaves out ":latest" where people do, and lists it.
    const found =
      list.value.data.find(({ id }) => id === model) ?? list.value.data.find(({ id }) => id === `${model}:latest`);
    if (found) return found;
    const there = list.value.data.slice(0, 10).map(({ id }) => id);
    throw new EngineFailed(
      `the engine at ${url} has no model ${model}${there.length > 0 ? `; it has ${there.join(', ')}` : ', and no other'}`,
    );
  }

  return {
    implementation: 'openai',
    progress: () => ({ doing: 'waiting for the engine', pct: null }),
    open: async (signal) => {
      const found = await findModel(signal);
      name = found.id;
      log.debug(`the engine at ${url} has ${name}`);
      const facts: EngineFacts = { models: [found], devices: [], context_tokens: null };
      return facts;
    },
    probe: async (signal) => {
      await findModel(signal);
    },
    answer: async (call) => {
      try {
        const response = await request(call.route, call.signal, { ...call.body, model: name });
        return await answerOf(response, call);
      } catch (error) {
        if (call.signal.aborted) throw call.signal.reason;
        throw error instanceof InferenceRefused ? error : unreachable(url, error);
      }
    },
    close: async () => agent.destroy(),
  };

  async function answerOf(response: Response, call: InferenceCall): Promise<InferenceAnswer> {
    const { status } = response;
    if (status >= 300 || status < 200) throw await refusalOf(response);
    const isStream = (response.headers.get('content-type') ?? '').startsWith('text/event-stream');
    const body = response.body as Readable | null;
    if (isStream && body)
      return {
        kind: 'stream',
        lines: wholeLines(body, { signal: call.signal, count: call.count, refuse: (error) => unreachable(url, error) }),
      };
    const text = await readText(response, ANSWER_BYTES_MAX);
    const whole = readJson(text);
    if (typeof whole !== 'object' || whole === null) {
      throw new InferenceRefused(502, 'the engine answered something that is not JSON', { code: 'engine_broken' });
    }
    // Some say 200 and mean an error.
    if (!Array.isArray((whole as Record<string, unknown>)[call.route === 'embeddings' ? 'data' : 'choices'])) {
      const { message } = errorOf(whole);
      const detail = `the engine sent no answer of a model${message === null ? '' : `: ${message}`}`;
      throw new InferenceRefused(502, detail, { code: 'engine_broken' });
    }
    countUsage(whole, call.count);
    return { kind: 'whole', status, body: whole };
  }

  async function refusalOf(response: Response): Promise<InferenceRefused> {
    const { status } = response;
    if (status === 401 || status === 403) {
      return new InferenceRefused(502, keyRefused(url, apiKey), { code: 'engine_refused_us' });
    }
    if (status < 400) return new InferenceRefused(502, `the engine answered ${status}: redirects are not followed`);
    const { message, param, code } = errorOf(readJson(await readText(response, ERROR_BYTES_MAX)));
    const retryAfterS =
      Number(response.headers.get('retry-after')) || (status === 503 || status === 429 ? RETRY_S : null);
    return new InferenceRefused(status, message ?? `the engine answered ${status}`, { param, code, retryAfterS });
  }
}

/** An answer 101 reaches nobody who does not listen for it: node-fetch would wait for ever. */
function refuseUpgrades(agent: http.Agent): void {
  const adding = agent as unknown as { addRequest: (request: http.ClientRequest, ...more: unknown[]) => void };
  const add = adding.addRequest.bind(agent);
  adding.addRequest = (request, ...more) => {
    request.once('upgrade', (_, socket) => {
      socket.destroy();
      request.emit('error', new Error('it answered 101, which nobody asked for'));
    });
    add(request, ...more);
  };
}

function unreachable(url: string, error: unknown): InferenceRefused {
  const { kind, message } = peerFailure(url, error);
  const isGone = kind === 'refused';
  return new InferenceRefused(isGone ? 503 : 502, `the engine cannot be had: ${message}`, {
    code: isGone ? 'engine_unreachable' : 'engine_broken',
    retryAfterS: isGone ? RETRY_S : null,
    cause: error,
  });
}

function keyRefused(url: string, apiKey: string | null): string {
  const what =
    apiKey === null ? 'wants a key: set RBEE_ENGINE_API_KEY' : 'does not take our key: see RBEE_ENGINE_API_KEY';
  return `the engine at ${url} ${what}`;
}

/** OpenAI's shape, Ollama's `{"error": "words"}`, or anything else with a message in it. */
function errorOf(body: unknown): { message: string | null; param: string | null; code: string | null } {
  const { error, message, detail } = (body ?? {}) as Record<string, unknown>;
  const inner = (typeof error === 'object' && error !== null ? error : {}) as Record<string, unknown>;
  const words = [inner.message, error, message, detail].find((one) => typeof one === 'string');
  const text = (value: unknown) => (typeof value === 'string' ? value.slice(0, 256) : null);
  return {
    message: typeof words === 'string' ? words.slice(0, 4096) : null,
    param: text(inner.param),
    code: text(inner.code),
  };
}

async function readText(response: Response, bytesMax: number): Promise<string> {
  const bytes = createBytes();
  for await (const chunk of response.body ?? []) {
    bytes.push(chunk as Buffer);
    if (bytes.length > bytesMax) throw new InferenceRefused(502, `the engine answered more than ${bytesMax} bytes`);
  }
  return Buffer.from(bytes.view()).toString('utf8');
}
