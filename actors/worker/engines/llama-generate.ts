/** One answer of the model: pieces of text as they come, and true counts at the end. */
import type { LlamaContextSequence, Token } from 'node-llama-cpp';
import { type InferenceCall, InferenceRefused } from '../../../wire/infer.js';
import type { ChatRequest, CompletionRequest, FinishReason } from '../../../wire/openai.js';
import { drawingOf, grammarOf, historyOf } from './llama-draw.js';
import type { Loaded } from './llama-load.js';
import type { Sequences } from './llama-sequences.js';

/** A piece of the answer, or of what a reasoning model thinks before it. */
export interface Piece {
  text: string;
  thought: boolean;
}

export interface Generated {
  finishReason: FinishReason;
  completionTokens: number;
}

/** A prompt that fits, not begun yet. */
export interface Prepared {
  promptTokens: Token[];
  /** Rejects with the signal's reason when that ends it. */
  run: (sequences: Sequences, sequence: LlamaContextSequence, onPiece: (piece: Piece) => void) => Promise<Generated>;
}

type Stops = 'eogToken' | 'stopGenerationTrigger' | 'functionCalls' | 'maxTokens' | 'abort' | 'customStopTrigger';
const finishOf = (stop: Stops): FinishReason => (stop === 'maxTokens' ? 'length' : 'stop');

/** @throws InferenceRefused 400 */
export async function prepareChat(loaded: Loaded, body: ChatRequest, call: InferenceCall): Promise<Prepared> {
  const { library, model, chatWrapper } = loaded;
  const history = historyOf(body.messages);
  const grammar = await grammarOf(body, loaded);
  const asked: typeof history = [...history, { type: 'model', response: [] }];
  const { contextText } = chatWrapper.generateContextState({ chatHistory: asked });
  const promptTokens = contextText.tokenize(model.tokenizer);
  const drawing = drawingOf(body, roomBehind(loaded, promptTokens.length, 'messages'));
  return {
    promptTokens,
    run: async (sequences, sequence, onPiece) => {
      await sequences.read(sequence, promptTokens, call);
      const chat = new library.LlamaChat({ contextSequence: sequence, chatWrapper });
      try {
        return await counted(sequence, call, async () => {
          const { metadata } = await chat.generateResponse(history, {
            ...drawing,
            ...(grammar === null ? {} : { grammar }),
            signal: call.signal,
            onResponseChunk: ({ type, text }) => onPiece({ text, thought: type === 'segment' }),
          });
          return metadata.stopReason;
        });
      } finally {
        chat.dispose({ disposeSequence: false });
      }
    },
  };
}

/** @throws InferenceRefused 400 */
export function prepareCompletion(
  loaded: Loaded,
  prompt: string | number[],
  body: CompletionRequest,
  call: InferenceCall,
): Prepared {
  const { library, model } = loaded;
  const tokens = typeof prompt === 'string' ? model.tokenize(prompt, true) : (prompt as Token[]);
  const bos = model.tokens.shouldPrependBosToken ? model.tokens.bos : null;
  const promptTokens = bos !== null && tokens[0] !== bos ? [bos, ...tokens] : tokens;
  if (promptTokens.length === 0)
    throw new InferenceRefused(400, 'an empty prompt cannot be continued', { param: 'prompt' });
  const drawing = drawingOf(body, roomBehind(loaded, promptTokens.length, 'prompt'));
  return {
    promptTokens,
    run: async (sequences, sequence, onPiece) => {
      await sequences.read(sequence, promptTokens, call);
      const completion = new library.LlamaCompletion({ contextSequence: sequence });
      try {
        return await counted(sequence, call, async () => {
          const { metadata } = await completion.generateCompletionWithMeta(tokens, {
            ...drawing,
            signal: call.signal,
            // It would keep a tenth of the context free, and cut the prompt for that.
            contextShiftSize: 1,
            onTextChunk: (text) => onPiece({ text, thought: false }),
          });
          return metadata.stopReason;
        });
      } finally {
        completion.dispose({ disposeSequence: false });
      }
    },
  };
}

/** The library would cut a prompt that is too long, and say nothing. @throws InferenceRefused 400 */
function roomBehind({ context }: Loaded, promptTokens: number, param: string): number {
  const room = context.contextSize - 1 - promptTokens;
  if (room >= 1) return room;
  throw new InferenceRefused(
    400,
    `the prompt has ${promptTokens} tokens, and the context of this model here has ${context.contextSize}, with one left for the answer: shorten it, or start the worker with a larger --context`,
    { param, code: 'context_length_exceeded' },
  );
}

async function counted(
  { tokenMeter }: LlamaContextSequence,
  { count }: InferenceCall,
  generate: () => Promise<Stops>,
): Promise<Generated> {
  const before = tokenMeter.getState();
  let told = 0;
  // Those who look at the rate of a long answer see it while it comes.
  const tell = () => {
    const now = tokenMeter.diff(before).usedOutputTokens;
    if (now > told) count({ completion: now - told });
    told = now;
  };
  const timer = setInterval(tell, 500);
  try {
    const stop = await generate();
    return { finishReason: finishOf(stop), completionTokens: tokenMeter.diff(before).usedOutputTokens };
  } finally {
    clearInterval(timer);
    tell();
  }
}
