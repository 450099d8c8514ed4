/** One answer of the model: pieces of text as they are generated, and exact token counts at the end. */
import type { LlamaContextSequence, Token } from 'node-llama-cpp';
import { type InferenceCall, InferenceRefused } from '../../../wire/infer.js';
import type { ChatRequest, CompletionRequest, FinishReason } from '../../../wire/openai.js';
import { grammarOf, historyOf } from './llama-chat.js';
import type { LoadedModel } from './llama-load.js';
import { samplingOf } from './llama-sampling.js';
import type { Sequences } from './llama-sequences.js';

/** A piece of the answer, or of the reasoning before it. */
export interface Piece {
  text: string;
  thought: boolean;
}

interface Generated {
  finishReason: FinishReason;
  completionTokens: number;
}

/** A prompt that fits into the context; `run` generates its answer. */
export interface Prepared {
  promptTokens: Token[];
  /** Rejects with the signal's reason when that aborts. */
  run: (sequences: Sequences, sequence: LlamaContextSequence, onPiece: (piece: Piece) => void) => Promise<Generated>;
}

/** How often the tokens of an answer in progress are counted. */
const REPORT_MS = 500;

type Stops = 'eogToken' | 'stopGenerationTrigger' | 'functionCalls' | 'maxTokens' | 'abort' | 'customStopTrigger';
const finishOf = (stop: Stops): FinishReason => (stop === 'maxTokens' ? 'length' : 'stop');

/** @throws InferenceRefused 400 */
export async function prepareChat(loaded: LoadedModel, body: ChatRequest, call: InferenceCall): Promise<Prepared> {
  const { library, model, chatWrapper } = loaded;
  const history = historyOf(body.messages);
  const grammar = await grammarOf(body, loaded);
  const withAnswer: typeof history = [...history, { type: 'model', response: [] }];
  const { contextText } = chatWrapper.generateContextState({ chatHistory: withAnswer });
  const promptTokens = contextText.tokenize(model.tokenizer);
  const sampling = samplingOf(body, roomAfter(loaded, promptTokens.length, 'messages'));
  return {
    promptTokens,
    run: async (sequences, sequence, onPiece) => {
      await sequences.read(sequence, promptTokens, call);
      const chat = new library.LlamaChat({ contextSequence: sequence, chatWrapper });
      try {
        return await countTokens(sequence, call, async () => {
          const { metadata } = await chat.generateResponse(history, {
            ...sampling,
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
  loaded: LoadedModel,
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
  const sampling = samplingOf(body, roomAfter(loaded, promptTokens.length, 'prompt'));
  return {
    promptTokens,
    run: async (sequences, sequence, onPiece) => {
      await sequences.read(sequence, promptTokens, call);
      const completion = new library.LlamaCompletion({ contextSequence: sequence });
      try {
        return await countTokens(sequence, call, async () => {
          const { metadata } = await completion.generateCompletionWithMeta(tokens, {
            ...sampling,
            signal: call.signal,
            // The default keeps a tenth of the context free, and cuts the prompt for that.
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

/** Checked here because the library silently cuts a prompt that is too long. @throws InferenceRefused 400 */
function roomAfter({ context }: LoadedModel, promptTokens: number, param: string): number {
  const room = context.contextSize - 1 - promptTokens;
  if (room >= 1) return room;
  throw new InferenceRefused(
    400,
    `the prompt has ${promptTokens} tokens, and the context of this model here has ${context.contextSize}, with one left for the answer: shorten it, or start the worker with a larger --context`,
    { param, code: 'context_length_exceeded' },
  );
}

async function countTokens(
  { tokenMeter }: LlamaContextSequence,
  { count }: InferenceCall,
  generate: () => Promise<Stops>,
): Promise<Generated> {
  const before = tokenMeter.getState();
  let reported = 0;
  const report = () => {
    const generated = tokenMeter.diff(before).usedOutputTokens;
    if (generated > reported) count({ completion: generated - reported });
    reported = generated;
  };
  // While it is generated, so that the rate of a long answer is visible at once.
  const timer = setInterval(report, REPORT_MS);
  try {
    const stop = await generate();
    return { finishReason: finishOf(stop), completionTokens: tokenMeter.diff(before).usedOutputTokens };
  } finally {
    clearInterval(timer);
    report();
  }
}
