/**
 * An engine that runs elsewhere and serves OpenAI's API (Ollama, llama-server, vLLM, LM Studio). Requests and answers pass
 * through unchanged, except for the name of the model and for errors.
 */
import type { Readable } from 'node:stream';
import { type EngineFacts, type InferenceAnswer, type InferenceCall, InferenceRefused } from '../../../wire/infer.js';
import { readJson } from '../../../wire/json.js';
import { type Model, parseModelList } from '../../../wire/openai.js';
import { peerFailure } from '../../net/failure.js';
import { type Engine, EngineFailed, type EngineInput, type Progress } from './engine.js';
import { engineBroken, engineErrorOf, keyRefused, noAnswer, refusalOf } from './openai-errors.js';
import { EngineHttp, type EngineHttpInput, type Response, readAnswerText } from './openai-http.js';
import { countUsage, wholeLines } from './openai-lines.js';

export interface OpenAiEngineInput extends EngineInput, EngineHttpInput {}

/** The largest answers are embeddings of a long list. */
const ANSWER_BYTES_MAX = 64 * 1024 * 1024;
const PROBE_MS = 4_000;
/** How many of the engine's models an error names. */
const MODELS_NAMED_MAX = 10;

export class OpenAiEngine implements Engine {
  readonly implementation = 'openai';
  private readonly http: EngineHttp;
  /** As the engine names the model. */
  private name: string;

  constructor(private readonly input: OpenAiEngineInput) {
    this.http = new EngineHttp(input);
    this.name = input.model;
  }

  progress(): Progress {
    return { doing: 'waiting for the engine', pct: null };
  }

  async open(signal: AbortSignal): Promise<EngineFacts> {
    const found = await this.findModel(signal);
    this.name = found.id;
    this.input.log.debug(`the engine at ${this.input.url} has ${this.name}`);
    return { models: [found], devices: [], context_tokens: null };
  }

  async probe(signal: AbortSignal): Promise<void> {
    await this.findModel(signal);
  }

  async answer(call: InferenceCall): Promise<InferenceAnswer> {
    try {
      const response = await this.http.request(call.route, call.signal, { ...call.body, model: this.name });
      return await this.answerOf(response, call);
    } catch (error) {
      if (call.signal.aborted) throw call.signal.reason;
      throw error instanceof InferenceRefused ? error : noAnswer(this.input.url, error);
    }
  }

  async close(): Promise<void> {
    this.http.close();
  }

  /** The engine's own entry of the model. @throws EngineFailed */
  private async findModel(signal: AbortSignal): Promise<Model> {
    const { model, url } = this.input;
    const list = parseModelList(readJson(await this.listModels(signal)));
    if (!list.ok) throw new EngineFailed(`what answers at ${url} is no engine: its /v1/models is not a list of models`);
    const models = list.value.data;
    // Ollama lists "llama3.2:latest", which users name "llama3.2".
    const found = models.find(({ id }) => id === model) ?? models.find(({ id }) => id === `${model}:latest`);
    if (found) return found;
    const names = models.slice(0, MODELS_NAMED_MAX).map(({ id }) => id);
    throw new EngineFailed(
      `the engine at ${url} has no model ${model}${names.length > 0 ? `; it has ${names.join(', ')}` : ', and no other'}`,
    );
  }

  /** @throws EngineFailed */
  private async listModels(signal: AbortSignal): Promise<string> {
    const { url, apiKey } = this.input;
    const limit = AbortSignal.any([signal, AbortSignal.timeout(PROBE_MS)]);
    let status: number;
    let text: string;
    try {
      const response = await this.http.request('models', limit);
      status = response.status;
      text = await readAnswerText(response, ANSWER_BYTES_MAX);
    } catch (error) {
      if (limit.aborted && !signal.aborted) {
        throw new EngineFailed(`the engine at ${url} did not answer within ${PROBE_MS / 1000} s`);
      }
      throw new EngineFailed(`the engine cannot be reached: ${peerFailure(url, error).message}`, { cause: error });
    }
    if (status === 401 || status === 403) throw new EngineFailed(keyRefused(url, apiKey));
    if (status !== 200) throw new EngineFailed(`the engine at ${url} answered ${status} to GET /v1/models`);
    return text;
  }

  private async answerOf(response: Response, call: InferenceCall): Promise<InferenceAnswer> {
    const { url, apiKey } = this.input;
    const { status, headers } = response;
    if (status >= 300 || status < 200) throw await refusalOf(response, url, apiKey);
    const body = response.body as Readable | null;
    if (body && (headers.get('content-type') ?? '').startsWith('text/event-stream')) {
      const { signal, count } = call;
      const lines = wholeLines(body, { signal, count, toRefusal: (error) => noAnswer(url, error) });
      return { kind: 'stream', lines };
    }
    const whole = wholeAnswer(await readAnswerText(response, ANSWER_BYTES_MAX), call);
    countUsage(whole, call.count);
    return { kind: 'whole', status, body: whole };
  }
}

/** @throws InferenceRefused 502; some engines answer 200 with an error in the body */
function wholeAnswer(text: string, { route }: InferenceCall): object {
  const whole = readJson(text);
  if (typeof whole !== 'object' || whole === null) throw engineBroken('the engine answered something that is not JSON');
  const list = (whole as Record<string, unknown>)[route === 'embeddings' ? 'data' : 'choices'];
  if (Array.isArray(list)) return whole;
  const { message } = engineErrorOf(whole);
  throw engineBroken(`the engine sent no answer of a model${message === null ? '' : `: ${message}`}`);
}
