/** A GGUF model in this process, by node-llama-cpp: several requests at once, each on a sequence of its own. */
import type { LlamaContextSequence, LlamaEmbeddingContext, Token } from 'node-llama-cpp';
import { type InferenceAnswer, type InferenceCall, InferenceRefused } from '../../../wire/infer.js';
import type { ChatRequest, CompletionRequest, EmbeddingAnswer, EmbeddingRequest } from '../../../wire/openai.js';
import { type Engine, EngineFailed, type Progress } from './engine.js';
import { chatShape, completionShape, DONE, type Shape, usageOf } from './llama-answers.js';
import { refuseUnsupported } from './llama-draw.js';
import { type Piece, type Prepared, prepareChat, prepareCompletion } from './llama-generate.js';
import { type LlamaInput, type Loaded, loadModel } from './llama-load.js';
import { createSequences, type Sequences } from './llama-sequences.js';

/** Prompts in one request, answered one after the other. */
const PROMPTS_MAX = 64;
/** A text is read at once: memory grows with its length. */
const EMBEDDING_TOKENS_MAX = 8_192;

export function createLlamaEngine(input: LlamaInput): Engine {
  let doing: Progress = { doing: 'starting', pct: null };
  let loaded: Loaded | null = null;
  let sequences: Sequences = createSequences([]);
  let embedding: Promise<LlamaEmbeddingContext> | null = null;

  /** The sequence is given back when the model has really stopped, not when somebody stops listening. */
  async function onSequence<T>(prompt: Token[], work: (sequence: LlamaContextSequence) => Promise<T>): Promise<T> {
    const sequence = sequences.take(prompt);
    if (!sequence) throw new InferenceRefused(503, 'every place of the model is taken', { retryAfterS: 1 });
    try {
      return await work(sequence);
    } finally {
      sequences.giveBack(sequence);
    }
  }

  async function answer(call: InferenceCall, prepared: Prepared[], shape: Shape): Promise<InferenceAnswer> {
    const { stream, stream_options } = call.body as ChatRequest;
    const promptTokens = prepared.reduce((sum, one) => sum + one.promptTokens.length, 0);
    call.count({ prompt: promptTokens });
    const generate = (onPiece: (index: number, piece: Piece) => void, onFinish: OnFinish) =>
      onSequence(prepared[0]?.promptTokens ?? [], async (sequence) => {
        let completionTokens = 0;
        for (const [index, { run }] of prepared.entries()) {
          const end = await run(sequences, sequence, (piece) => piece.text !== '' && onPiece(index, piece));
          completionTokens += end.completionTokens;
          onFinish(index, end.finishReason);
        }
        return usageOf(promptTokens, completionTokens);
      });
    if (stream) {
      const lines = linesOf(shape, generate, stream_options?.include_usage === true);
      return { kind: 'stream', lines };
    }
    const answers: Parameters<Shape['whole']>[0] = prepared.map(() => ({ pieces: [], finishReason: 'stop' }));
    const usage = await generate(
      (index, piece) => answers[index]?.pieces.push(piece),
      (index, finishReason) => Object.assign(answers[index] ?? {}, { finishReason }),
    );
    return { kind: 'whole', status: 200, body: shape.whole(answers, usage) };
  }

  async function embed(ready: Loaded, call: InferenceCall): Promise<InferenceAnswer> {
    const { input: given, encoding_format, dimensions } = call.body as EmbeddingRequest;
    const { model, threads, context, name } = ready;
    const { embeddingVectorSize: size } = model;
    if (dimensions != null && dimensions !== size) {
      throw new InferenceRefused(400, `the vectors of this model have ${size} dimensions, and it makes no others`, {
        param: 'dimensions',
        code: 'unsupported_value',
      });
    }
    const contextSize = Math.min(context.contextSize, EMBEDDING_TOKENS_MAX);
    embedding ??= model.createEmbeddingContext({ contextSize, threads });
    embedding.catch(() => {
      embedding = null;
    });
    const embedder = await embedding;
    const inputs = promptsOf(given, 'input', ready).map((one) => (typeof one === 'string' ? model.tokenize(one) : one));
    if (inputs.some((tokens) => tokens.length === 0)) {
      throw new InferenceRefused(400, 'an empty input has no vector', { param: 'input', code: 'invalid_value' });
    }
    const lengths = inputs.map((tokens) => embedder.calculateInputLength([...tokens] as never));
    for (const length of lengths) {
      if (length < contextSize) continue;
      throw new InferenceRefused(400, `an input has ${length} tokens, and the context takes ${contextSize - 1}`, {
        param: 'input',
        code: 'context_length_exceeded',
      });
    }
    const data: EmbeddingAnswer['data'] = [];
    for (const [index, tokens] of inputs.entries()) {
      call.signal.throwIfAborted();
      const vector = unitOf((await embedder.getEmbeddingFor([...tokens] as never)).vector);
      const packed = encoding_format === 'base64';
      data.push({ object: 'embedding', index, embedding: packed ? base64Of(vector) : vector });
    }
    const tokens = lengths.reduce((sum, length) => sum + length, 0);
    call.count({ prompt: tokens });
    const usage = { prompt_tokens: tokens, total_tokens: tokens };
    return { kind: 'whole', status: 200, body: { object: 'list', model: name, data, usage } satisfies EmbeddingAnswer };
  }

  return {
    implementation: 'llama.cpp',
    probe: null,
    progress: () => doing,
    open: async (signal) => {
      loaded = await loadModel(input, signal, (progress) => {
        doing = progress;
      });
      const { context, devices, name, model } = loaded;
      sequences = createSequences(Array.from({ length: context.totalSequences }, () => context.getSequence()));
      input.log.debug(`${model.typeDescription}, context ${context.contextSize}, ${context.totalSequences} at once`);
      const created = Math.floor(Date.now() / 1000);
      return {
        models: [{ id: name, object: 'model', created, owned_by: 'rbee' }],
        devices,
        context_tokens: context.contextSize,
      };
    },
    answer: async (call) => {
      if (!loaded) throw new InferenceRefused(503, 'the model is not loaded', { retryAfterS: 1 });
      refuseUnsupported(call.body);
      if (call.route === 'embeddings') return embed(loaded, call);
      if (call.route === 'chat/completions') {
        const prepared = await prepareChat(loaded, call.body as ChatRequest, call);
        return answer(call, [prepared], chatShape(loaded.name));
      }
      const ready = loaded;
      const body = call.body as CompletionRequest;
      const prepared = promptsOf(body.prompt, 'prompt', ready).map((prompt) =>
        prepareCompletion(ready, prompt, body, call),
      );
      return answer(call, prepared, completionShape(loaded.name));
    },
    close: async () => {
      await loaded?.llama.dispose();
      loaded = null;
    },
  };
}

type OnFinish = (index: number, reason: 'stop' | 'length') => void;
type Generate = (
  onPiece: (index: number, piece: Piece) => void,
  onFinish: OnFinish,
) => Promise<ReturnType<typeof usageOf>>;

/** What is generated, line by line. It waits for no slow reader: what one answer can hold is bounded by the context. */
async function* linesOf(shape: Shape, generate: Generate, withUsage: boolean): AsyncGenerator<string> {
  let waiting: string[] = [];
  let wake = () => {};
  const say = (text: string) => {
    waiting.push(text);
    wake();
  };
  let over = false;
  let failure: unknown;
  const begin = shape.begin();
  if (begin !== null) waiting.push(begin);
  const work = generate(
    (index, piece) => say(shape.piece(index, piece)),
    (index, reason) => say(shape.finish(index, reason)),
  )
    .then((usage) => {
      if (withUsage) say(shape.usage(usage));
      say(DONE);
    })
    .catch((error: unknown) => {
      failure = error ?? new EngineFailed('the model stopped');
    })
    .finally(() => {
      over = true;
      wake();
    });
  try {
    while (!over || waiting.length > 0) {
      if (waiting.length === 0) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
        continue;
      }
      const now = waiting.join('');
      waiting = [];
      yield now;
    }
    if (failure !== undefined) throw failure;
  } finally {
    // The place in the model is free again only after this.
    await work;
  }
}

/** One prompt, several, or the tokens of either. @throws InferenceRefused 400 */
function promptsOf(given: CompletionRequest['prompt'], param: string, { vocabulary }: Loaded): (string | number[])[] {
  if (typeof given === 'string') return [given];
  const isTokens = (value: unknown[]): value is number[] => value.every((one) => typeof one === 'number');
  const prompts = isTokens(given) ? [given] : given.filter((one) => typeof one !== 'number');
  if (prompts.length > PROMPTS_MAX) {
    throw new InferenceRefused(400, `at most ${PROMPTS_MAX} at once`, { param });
  }
  for (const token of prompts.flatMap((one) => (typeof one === 'string' ? [] : one))) {
    // llama.cpp believes what it is told, and reads beyond its tables.
    if (token < 0 || token >= vocabulary) throw new InferenceRefused(400, `the model has no token ${token}`, { param });
  }
  return prompts;
}

/** Of length 1, as OpenAI's are: their product is the cosine. */
function unitOf(vector: readonly number[]): number[] {
  const length = Math.hypot(...vector);
  return length === 0 ? [...vector] : vector.map((value) => value / length);
}

/** OpenAI: 32-bit floats, little-endian. */
function base64Of(vector: readonly number[]): string {
  const bytes = Buffer.alloc(vector.length * 4);
  for (const [i, value] of vector.entries()) bytes.writeFloatLE(value, i * 4);
  return bytes.toString('base64');
}
