/** Loads a GGUF model into this process. */
import { availableParallelism } from 'node:os';
import type { ChatWrapper, Llama, LlamaContext, LlamaModel } from 'node-llama-cpp';
import type { Device } from '../../../wire/device.js';
import { modelName } from '../../../wire/infer.js';
import { EngineFailed, type Progress, permanentFailure } from './engine.js';
import { cacheOf, contextSizeOf, notEnoughMemory } from './llama-context.js';
import { checkFile, isUri, modelFile } from './llama-file.js';
import type { LlamaInput } from './llama-input.js';
import { chooseGpu, devicesOf, importLibrary, type Library, startLlama } from './llama-library.js';
import { withGenerationPrompt } from './llama-template.js';

export interface LoadedModel {
  library: Library;
  llama: Llama;
  model: LlamaModel;
  context: LlamaContext;
  chatWrapper: ChatWrapper;
  name: string;
  threads: number;
  /** How many tokens there are; 0 where the file does not contain them. */
  vocabulary: number;
  devices: Device[];
}

type OnProgress = (progress: Progress) => void;

/** @throws EngineFailed */
export async function loadModel(input: LlamaInput, signal: AbortSignal, onProgress: OnProgress): Promise<LoadedModel> {
  onProgress({ doing: 'loading the engine', pct: null });
  if (!isUri(input.model)) await checkFile(input.model);
  chooseGpu(input);
  const library = await importLibrary();
  const cores = availableParallelism();
  const threads = Math.min(cores, input.threads ?? Math.max(1, cores - 1));
  const llama = await startLlama(library, input, threads);
  try {
    const modelPath = await modelFile(library, input, signal, onProgress);
    const model = await readModel(llama, modelPath, input, signal, onProgress);
    onProgress({ doing: 'preparing its context', pct: null });
    const context = await createContext(model, input, threads, signal);
    const { tokenizer } = model.fileInfo.metadata;
    return {
      ...{ library, llama, model, context, threads },
      chatWrapper: withGenerationPrompt(library, tokenizer?.chat_template, library.resolveChatWrapper(model)),
      name: modelName(input.model),
      vocabulary: tokenizer?.ggml?.tokens?.length ?? 0,
      devices: await devicesOf(llama, input),
    };
  } catch (error) {
    await llama.dispose().catch(() => {});
    if (signal.aborted || error instanceof EngineFailed) throw error;
    throw loadFailure(library, input, error);
  }
}

function readModel(
  llama: Llama,
  modelPath: string,
  { gpuLayers }: LlamaInput,
  signal: AbortSignal,
  onProgress: OnProgress,
): Promise<LlamaModel> {
  onProgress({ doing: 'loading the model', pct: 0 });
  return llama.loadModel({
    modelPath,
    ...(gpuLayers === null ? {} : { gpuLayers }),
    loadSignal: signal,
    onLoadProgress: (part) => onProgress({ doing: 'loading the model', pct: Math.floor(part * 100) }),
  });
}

async function createContext(model: LlamaModel, input: LlamaInput, threads: number, signal: AbortSignal) {
  const contextSize = await contextSizeOf(model, input);
  const cache = cacheOf(model, input);
  return model.createContext({ sequences: input.slots, contextSize, ...cache, threads, createSignal: signal });
}

function loadFailure(library: Library, input: LlamaInput, error: unknown): EngineFailed {
  const { message } = error as Error;
  if (error instanceof library.InsufficientMemoryError || /memory|too large|VRAM/i.test(message)) {
    return notEnoughMemory(input, message, error);
  }
  return permanentFailure(
    `${input.model} cannot be loaded: ${message}. Is it a whole GGUF file, of a model that llama.cpp supports?`,
    error,
  );
}
