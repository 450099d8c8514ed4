/** The context of a model: its size, the memory that it needs, and the format of its cache. */
import { freemem } from 'node:os';
import type { LlamaModel } from 'node-llama-cpp';
import type { KvType } from '../../../wire/jobs.js';
import { type EngineFailed, permanentFailure } from './engine.js';
import type { LlamaInput } from './llama-input.js';

/** Bits of one number in the cache of keys and values. */
const KV_BITS = { f16: 16, q8_0: 8.5, q4_0: 4.5 } as const satisfies Record<KvType, number>;
/** Quantised numbers are stored in blocks of this many, which share a factor. */
const KV_BLOCK = 32;

/** Without `--context`. */
const CONTEXT_TOKENS_AUTO_MAX = 8_192;
const GIB = 1024 ** 3;

/** The requested size, limited to what the model was trained for. @throws EngineFailed when memory cannot hold it */
export async function contextSizeOf(model: LlamaModel, input: LlamaInput): Promise<number | { max: number }> {
  const trained = model.trainContextSize;
  if (input.contextSize === null) return { max: Math.min(trained, CONTEXT_TOKENS_AUTO_MAX) };
  if (input.contextSize > trained)
    input.log.warn(`--context ${input.contextSize} exceeds what the model was trained for: it gets ${trained} tokens`);
  const contextSize = Math.min(input.contextSize, trained);
  const neededBytes = contextSize * input.slots * cacheBytesPerToken(model, input.kvType);
  const { free } = await model.llama.getVramState();
  // The library finds out by allocating; where far too much is requested the system kills the process before it reports.
  if (neededBytes > freemem() + free) {
    const needed = `${(neededBytes / GIB).toFixed(1)} GiB`;
    throw notEnoughMemory(input, `${input.slots} contexts of ${contextSize} tokens need ${needed}`);
  }
  return contextSize;
}

/** llama.cpp quantises values with flash attention only, and in blocks. @throws EngineFailed */
export function cacheOf(model: LlamaModel, { kvType }: LlamaInput) {
  if (kvType === 'f16') return {};
  const width = headOf(model)?.width ?? 0;
  if (width % KV_BLOCK !== 0) {
    throw permanentFailure(
      `the attention heads of this model are ${width} wide: --kv-type ${kvType} requires a multiple of ${KV_BLOCK}`,
    );
  }
  const type = kvType.toUpperCase() as 'Q8_0' | 'Q4_0';
  return { experimentalKvCacheKeyType: type, experimentalKvCacheValueType: type, flashAttention: true };
}

export function notEnoughMemory(
  { model, contextSize, slots }: LlamaInput,
  message: string,
  cause?: unknown,
): EngineFailed {
  const smaller = contextSize === null ? '--context 2048' : `a --context below ${contextSize}`;
  return permanentFailure(
    `not enough memory for ${model}: ${message}. Try ${smaller}, --slots ${Math.max(1, slots >> 1)}, --kv-type q8_0, or a smaller quantisation of the model`,
    cause,
  );
}

/** Keys and values of all layers, which is the least that a context needs; 0 where the file does not contain the dimensions. */
function cacheBytesPerToken(model: LlamaModel, kvType: KvType): number {
  const { block_count: layers } = model.fileInfo.architectureMetadata;
  const head = headOf(model);
  return layers && head ? layers * head.count * head.width * 2 * (KV_BITS[kvType] / 8) : 0;
}

/** The attention heads that are cached; null where the file does not contain them. */
function headOf({ fileInfo, embeddingVectorSize }: LlamaModel): { count: number; width: number } | null {
  const { attention } = fileInfo.architectureMetadata;
  const heads = first(attention?.head_count);
  if (!heads) return null;
  const width = first(attention?.key_length) ?? embeddingVectorSize / heads;
  return { count: first(attention?.head_count_kv) ?? heads, width };
}

const first = (value: number | number[] | undefined): number | undefined => (Array.isArray(value) ? value[0] : value);
