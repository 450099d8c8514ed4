/** A GGUF model in this process, by node-llama-cpp: several requests at once, each on a sequence of its own. */
import type { LlamaContextSequence, Token } from 'node-llama-cpp';
import { type EngineFacts, type InferenceAnswer, type InferenceCall, InferenceRefused } from '../../../wire/infer.js';
import type { ChatRequest, CompletionRequest } from '../../../wire/openai.js';
import type { Engine, Progress } from './engine.js';
import { type AnswerShape, chatShape, completionShape, usageOf } from './llama-answers.js';
import { Embedder } from './llama-embed.js';
import { type Prepared, prepareChat, prepareCompletion } from './llama-generate.js';
import type { LlamaInput } from './llama-input.js';
import { type LoadedModel, loadModel } from './llama-load.js';
import { promptsOf } from './llama-prompts.js';
import { createSequences, type Sequences } from './llama-sequences.js';
import { type Generate, linesOf } from './llama-stream.js';
import { refuseUnsupported } from './llama-unsupported.js';

/** What is there once the model is loaded. */
interface Opened {
  loaded: LoadedModel;
  sequences: Sequences;
  embedder: Embedder;
}

export class LlamaEngine implements Engine {
  readonly implementation = 'llama.cpp';
  readonly probe = null;
  private doing: Progress = { doing: 'starting', pct: null };
  private opened: Opened | null = null;

  constructor(private readonly input: LlamaInput) {}

  progress(): Progress {
    return this.doing;
  }

  async open(signal: AbortSignal): Promise<EngineFacts> {
    const loaded = await loadModel(this.input, signal, (progress) => {
      this.doing = progress;
    });
    const { context, devices, name, model } = loaded;
    const sequences = Array.from({ length: context.totalSequences }, () => context.getSequence());
    this.opened = { loaded, sequences: createSequences(sequences), embedder: new Embedder(loaded) };
    this.input.log.debug(
      `${model.typeDescription}, context ${context.contextSize}, ${context.totalSequences} requests at once`,
    );
    const created = Math.floor(Date.now() / 1000);
    return {
      models: [{ id: name, object: 'model', created, owned_by: 'rbee' }],
      devices,
      context_tokens: context.contextSize,
    };
  }

  async answer(call: InferenceCall): Promise<InferenceAnswer> {
    if (!this.opened) throw new InferenceRefused(503, 'the model is not loaded', { retryAfterS: 1 });
    const { loaded, sequences, embedder } = this.opened;
    refuseUnsupported(call.body);
    if (call.route === 'embeddings') return embedder.answer(call);
    if (call.route === 'chat/completions') {
      const prepared = await prepareChat(loaded, call.body as ChatRequest, call);
      return answerPrompts(sequences, call, [prepared], chatShape(loaded.name));
    }
    const body = call.body as CompletionRequest;
    const prompts = promptsOf(body.prompt, 'prompt', loaded);
    const prepared = prompts.map((prompt) => prepareCompletion(loaded, prompt, body, call));
    return answerPrompts(sequences, call, prepared, completionShape(loaded.name));
  }

  async close(): Promise<void> {
    await this.opened?.loaded.llama.dispose();
    this.opened = null;
  }
}

/** Answers the prompts of one request, one after the other, on one sequence. */
async function answerPrompts(
  sequences: Sequences,
  call: InferenceCall,
  prompts: Prepared[],
  shape: AnswerShape,
): Promise<InferenceAnswer> {
  const { stream, stream_options } = call.body as ChatRequest;
  const promptTokens = prompts.reduce((sum, one) => sum + one.promptTokens.length, 0);
  call.count({ prompt: promptTokens });
  const generate: Generate = ({ onPiece, onFinish }) =>
    onSequence(sequences, prompts[0]?.promptTokens ?? [], async (sequence) => {
      let completionTokens = 0;
      for (const [index, { run }] of prompts.entries()) {
        const end = await run(sequences, sequence, (piece) => piece.text !== '' && onPiece(index, piece));
        completionTokens += end.completionTokens;
        onFinish(index, end.finishReason);
      }
      return usageOf(promptTokens, completionTokens);
    });
  if (stream) return { kind: 'stream', lines: linesOf(shape, generate, stream_options?.include_usage === true) };
  return { kind: 'whole', status: 200, body: await wholeAnswer(shape, generate, prompts.length) };
}

async function wholeAnswer(shape: AnswerShape, generate: Generate, count: number) {
  const answers: Parameters<AnswerShape['whole']>[0] = Array.from({ length: count }, () => ({
    pieces: [],
    finishReason: 'stop',
  }));
  const usage = await generate({
    onPiece: (index, piece) => answers[index]?.pieces.push(piece),
    onFinish: (index, finishReason) => Object.assign(answers[index] ?? {}, { finishReason }),
  });
  return shape.whole(answers, usage);
}

/** The sequence is released when the model has really stopped, not when the client leaves. */
async function onSequence<T>(
  sequences: Sequences,
  prompt: Token[],
  work: (sequence: LlamaContextSequence) => Promise<T>,
): Promise<T> {
  const sequence = sequences.take(prompt);
  if (!sequence) throw new InferenceRefused(503, 'every slot of the model is taken', { retryAfterS: 1 });
  try {
    return await work(sequence);
  } finally {
    sequences.release(sequence);
  }
}
