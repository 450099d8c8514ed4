/** Loads a GGUF model into this process by node-llama-cpp, which is there only where somebody installed it. */
import { availableParallelism, freemem } from 'node:os';
import type { ChatWrapper, Llama, LlamaContext, LlamaModel } from 'node-llama-cpp';
import type { Device } from '../../../wire/device.js';
import { modelName } from '../../../wire/infer.js';
import type { KvType } from '../../../wire/jobs.js';
import { cpuDevice } from '../../hive/list-devices.js';
import { EngineFailed, type EngineInput, type Progress } from './engine.js';
import { checkFile, isUri, type Library, modelFile } from './llama-file.js';
import { withGenerationPrompt } from './llama-template.js';

/** How keys and values of a context are kept; the bits are those of one number. */
const KV_BITS = { f16: 16, q8_0: 8.5, q4_0: 4.5 } as const satisfies Record<KvType, number>;
/** Numbers that are kept in fewer bits share a factor, in blocks of so many. */
const KV_BLOCK = 32;

export interface LlamaInput extends EngineInput {
  gpu: 'auto' | 'cuda' | 'metal' | false;
  /** Which of several GPUs, as `GPU-<n>` counts them; null leaves it to the library. */
  gpuIndex: number | null;
  /** Null: one less than the cores, so that this process still answers while they compute. */
  threads: number | null;
  /** Tokens of one request, prompt and answer; null: what fits into memory, up to 8192 and what the model knows. */
  contextSize: number | null;
  /** Requests at once, each with a context of its own. */
  slots: number;
  /** Layers that the GPU holds; null: as many as fit. */
  gpuLayers: number | null;
  kvType: KvType;
}

export interface Loaded {
  library: Library;
  llama: Llama;
  model: LlamaModel;
  context: LlamaContext;
  chatWrapper: ChatWrapper;
  name: string;
  threads: number;
  /** How many tokens there are; 0 where the file does not say. */
  vocabulary: number;
  devices: Device[];
}

const CONTEXT_TOKENS_AUTO_MAX = 8_192;
const GIB = 1024 ** 3;

const fatal = (message: string, cause?: unknown) => new EngineFailed(message, { permanent: true, cause });

/** @throws EngineFailed */
export async function loadModel(
  input: LlamaInput,
  signal: AbortSignal,
  progress: (progress: Progress) => void,
): Promise<Loaded> {
  progress({ doing: 'loading the engine', pct: null });
  if (!isUri(input.model)) await checkFile(input.model);
  chooseGpu(input);
  const library = await importLibrary();
  const cores = availableParallelism();
  const threads = Math.min(cores, input.threads ?? Math.max(1, cores - 1));
  const llama = await startLlama(library, input, threads);
  let model: LlamaModel | undefined;
  try {
    const file = await modelFile(library, input, signal, progress);
    progress({ doing: 'loading the model', pct: 0 });
    model = await llama.loadModel({
      modelPath: file,
      ...(input.gpuLayers === null ? {} : { gpuLayers: input.gpuLayers }),
      loadSignal: signal,
      onLoadProgress: (part) => progress({ doing: 'loading the model', pct: Math.floor(part * 100) }),
    });
    progress({ doing: 'preparing its context', pct: null });
    const contextSize = await contextSizeOf(model, input);
    const context = await model.createContext({
      sequences: input.slots,
      contextSize,
      ...cacheOf(model, input),
      threads,
      createSignal: signal,
    });
    const template = model.fileInfo.metadata.tokenizer?.chat_template;
    const chatWrapper = withGenerationPrompt(library, template, library.resolveChatWrapper(model));
    const devices = await devicesOf(llama, input);
    const vocabulary = model.fileInfo.metadata.tokenizer?.ggml?.tokens?.length ?? 0;
    const name = modelName(input.model);
    return { library, llama, model, context, chatWrapper, name, threads, vocabulary, devices };
  } catch (error) {
    await llama.dispose().catch(() => {});
    if (signal.aborted || error instanceof EngineFailed) throw error;
    throw whyNot(library, input, error);
  }
}

/** What was asked for, if the model knows as much and memory can hold it. @throws EngineFailed */
async function contextSizeOf(model: LlamaModel, input: LlamaInput): Promise<number | { max: number }> {
  const known = model.trainContextSize;
  if (input.contextSize === null) return { max: Math.min(known, CONTEXT_TOKENS_AUTO_MAX) };
  if (input.contextSize > known) input.log.warn(`the model knows a context of ${known} tokens: it gets no more`);
  const contextSize = Math.min(input.contextSize, known);
  const wanted = contextSize * input.slots * cacheBytesPerToken(model, input.kvType);
  const { free } = await model.llama.getVramState();
  // The library asks llama.cpp by trying, and where much is missing the system ends the process before it answers.
  if (wanted > freemem() + free) {
    throw notEnough(input, `${input.slots} contexts of ${contextSize} tokens want ${(wanted / GIB).toFixed(1)} GiB`);
  }
  return contextSize;
}

/** llama.cpp keeps values in fewer bits only with flash attention, and in blocks. @throws EngineFailed */
function cacheOf(model: LlamaModel, { kvType }: LlamaInput) {
  if (kvType === 'f16') return {};
  const width = headOf(model)?.width ?? 0;
  if (width % KV_BLOCK !== 0) {
    throw fatal(
      `the attention heads of this model are ${width} wide: --kv-type ${kvType} wants a multiple of ${KV_BLOCK}`,
    );
  }
  const type = kvType.toUpperCase() as 'Q8_0' | 'Q4_0';
  return { experimentalKvCacheKeyType: type, experimentalKvCacheValueType: type, flashAttention: true };
}

/** Keys and values of every layer: the least that a context needs. 0 where the file does not say. */
function cacheBytesPerToken(model: LlamaModel, kvType: KvType): number {
  const { block_count: layers } = model.fileInfo.architectureMetadata;
  const head = headOf(model);
  return layers && head ? layers * head.count * head.width * 2 * (KV_BITS[kvType] / 8) : 0;
}

/** The heads that a context keeps; null where the file does not say. */
function headOf({ fileInfo, embeddingVectorSize }: LlamaModel): { count: number; width: number } | null {
  const { attention } = fileInfo.architectureMetadata;
  const heads = first(attention?.head_count);
  if (!heads) return null;
  const width = first(attention?.key_length) ?? embeddingVectorSize / heads;
  return { count: first(attention?.head_count_kv) ?? heads, width };
}

const first = (value: number | number[] | undefined): number | undefined => (Array.isArray(value) ? value[0] : value);

/** The drivers count the GPUs that they may see; set before they are loaded, and never over the user's own choice. */
function chooseGpu({ gpuIndex }: LlamaInput): void {
  if (gpuIndex === null) return;
  process.env.CUDA_DEVICE_ORDER ??= 'PCI_BUS_ID';
  process.env.CUDA_VISIBLE_DEVICES ??= String(gpuIndex);
  process.env.GGML_VK_VISIBLE_DEVICES ??= String(gpuIndex);
}

async function importLibrary(): Promise<Library> {
  try {
    return await import('node-llama-cpp');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') {
      throw fatal(`node-llama-cpp cannot be loaded: ${(error as Error).message}`, error);
    }
    throw fatal(
      'node-llama-cpp, which runs GGUF models, is not installed: npm install node-llama-cpp beside rbee (with -g where rbee is), or use an engine that runs already: --engine openai --engine-url http://127.0.0.1:11434',
      error,
    );
  }
}

async function startLlama(library: Library, input: LlamaInput, threads: number): Promise<Llama> {
  const { gpu, gpuIndex, log } = input;
  let llama: Llama;
  try {
    llama = await library.getLlama({
      gpu,
      build: 'never',
      skipDownload: true,
      progressLogs: false,
      maxThreads: threads,
      logLevel: library.LlamaLogLevel.warn,
      logger: (level, message) => {
        const text = message.trim();
        if (text !== '') (level === 'error' || level === 'fatal' ? log.warn : log.debug)(`llama.cpp: ${text}`);
      },
    });
  } catch (error) {
    if (!(error instanceof library.NoBinaryFoundError))
      throw fatal(`llama.cpp does not start: ${(error as Error).message}`, error);
    throw noBuild(gpu, error);
  }
  // Where it cannot have what was asked for it takes the CPU: slowly, and without a word.
  if ((gpu !== 'auto' && llama.gpu !== gpu) || (gpuIndex !== null && llama.gpu === false)) {
    await llama.dispose();
    throw noBuild(gpu);
  }
  return llama;
}

function noBuild(gpu: LlamaInput['gpu'], cause?: unknown): EngineFailed {
  const what = gpu === 'auto' ? 'a GPU of this machine' : gpu === false ? 'the CPU' : gpu;
  return fatal(
    `node-llama-cpp brings no build of llama.cpp for ${what}: a checkout of rbee has those for CUDA and Vulkan only once it is installed (its README, "Use it"); or choose the worker type cpu, or build one (npx node-llama-cpp source download)`,
    cause,
  );
}

function notEnough({ model, contextSize, slots }: LlamaInput, message: string, cause?: unknown): EngineFailed {
  const smaller = contextSize === null ? '--context 2048' : `a --context below ${contextSize}`;
  return fatal(
    `not enough memory for ${model}: ${message}. Try ${smaller}, --slots ${Math.max(1, slots >> 1)}, --kv-type q8_0, or a smaller quantisation of the model`,
    cause,
  );
}

function whyNot(library: Library, input: LlamaInput, error: unknown): EngineFailed {
  const { message } = error as Error;
  if (error instanceof library.InsufficientMemoryError || /memory|too large|VRAM/i.test(message)) {
    return notEnough(input, message, error);
  }
  return fatal(
    `${input.model} cannot be loaded: ${message}. Is it a whole GGUF file, of a model that llama.cpp knows?`,
    error,
  );
}

async function devicesOf(llama: Llama, { gpuIndex }: LlamaInput): Promise<Device[]> {
  if (llama.gpu === false) return [cpuDevice()];
  const gpu = llama.gpu;
  const [names, { total }] = [await llama.getGpuDeviceNames(), await llama.getVramState()];
  return names.map((name, i) => ({
    id: `GPU-${gpuIndex ?? i}`,
    name: name.slice(0, 256),
    device_type: gpu,
    // What several have together cannot be told apart.
    vram_gb: names.length === 1 ? Math.round((total / GIB) * 10) / 10 : null,
    compute_capability: null,
  }));
}
