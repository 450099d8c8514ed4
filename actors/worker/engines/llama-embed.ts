/** Embeddings: texts as vectors, one text after the other. */
import type { LlamaEmbeddingContext } from 'node-llama-cpp';
import { type InferenceAnswer, type InferenceCall, InferenceRefused } from '../../../wire/infer.js';
import type { EmbeddingAnswer, EmbeddingRequest } from '../../../wire/openai.js';
import type { LoadedModel } from './llama-load.js';
import { promptsOf } from './llama-prompts.js';

/** A text is read in one batch, whose memory grows with the length. */
const CONTEXT_TOKENS_MAX = 8_192;

export class Embedder {
  private context: Promise<LlamaEmbeddingContext> | null = null;

  constructor(private readonly loaded: LoadedModel) {}

  /** @throws InferenceRefused 400 */
  async answer(call: InferenceCall): Promise<InferenceAnswer> {
    const { input, encoding_format, dimensions } = call.body as EmbeddingRequest;
    this.checkDimensions(dimensions);
    const context = await this.openContext();
    const inputs = this.tokensOf(input);
    const lengths = inputs.map((tokens) => context.calculateInputLength([...tokens] as never));
    for (const length of lengths) this.checkLength(length);
    const data: EmbeddingAnswer['data'] = [];
    for (const [index, tokens] of inputs.entries()) {
      call.signal.throwIfAborted();
      const vector = toUnitLength((await context.getEmbeddingFor([...tokens] as never)).vector);
      data.push({ object: 'embedding', index, embedding: encoding_format === 'base64' ? toBase64(vector) : vector });
    }
    const tokens = lengths.reduce((sum, length) => sum + length, 0);
    call.count({ prompt: tokens });
    const usage = { prompt_tokens: tokens, total_tokens: tokens };
    const body = { object: 'list', model: this.loaded.name, data, usage } satisfies EmbeddingAnswer;
    return { kind: 'whole', status: 200, body };
  }

  private get contextSize(): number {
    return Math.min(this.loaded.context.contextSize, CONTEXT_TOKENS_MAX);
  }

  private checkDimensions(dimensions: number | null | undefined): void {
    const size = this.loaded.model.embeddingVectorSize;
    if (dimensions == null || dimensions === size) return;
    throw new InferenceRefused(400, `the vectors of this model have ${size} dimensions, and it makes no others`, {
      param: 'dimensions',
      code: 'unsupported_value',
    });
  }

  /** Created by the first request: most workers never embed. */
  private openContext(): Promise<LlamaEmbeddingContext> {
    const { model, threads } = this.loaded;
    this.context ??= model.createEmbeddingContext({ contextSize: this.contextSize, threads });
    this.context.catch(() => {
      this.context = null;
    });
    return this.context;
  }

  private tokensOf(input: EmbeddingRequest['input']): readonly (readonly number[])[] {
    const { model } = this.loaded;
    const inputs = promptsOf(input, 'input', this.loaded).map((one) =>
      typeof one === 'string' ? model.tokenize(one) : one,
    );
    if (inputs.every((tokens) => tokens.length > 0)) return inputs;
    throw new InferenceRefused(400, 'an empty input has no vector', { param: 'input', code: 'invalid_value' });
  }

  private checkLength(length: number): void {
    const { contextSize } = this;
    if (length < contextSize) return;
    throw new InferenceRefused(400, `an input has ${length} tokens, and the context takes ${contextSize - 1}`, {
      param: 'input',
      code: 'context_length_exceeded',
    });
  }
}

/** Of length 1, as OpenAI's vectors are: their dot product is the cosine. */
function toUnitLength(vector: readonly number[]): number[] {
  const length = Math.hypot(...vector);
  return length === 0 ? [...vector] : vector.map((value) => value / length);
}

/** As OpenAI encodes them: 32-bit floats, little-endian. */
function toBase64(vector: readonly number[]): string {
  const bytes = Buffer.alloc(vector.length * 4);
  for (const [i, value] of vector.entries()) bytes.writeFloatLE(value, i * 4);
  return bytes.toString('base64');
}
