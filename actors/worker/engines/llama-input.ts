/** What a model is loaded with. */
import type { KvType } from '../../../wire/jobs.js';
import type { EngineInput } from './engine.js';

export interface LlamaInput extends EngineInput {
  gpu: 'auto' | 'cuda' | 'metal' | false;
  /** Which of several GPUs, as `GPU-<n>` counts them; null leaves it to the library. */
  gpuIndex: number | null;
  /** Null: one less than the cores, so that this process still answers while they compute. */
  threads: number | null;
  /** Tokens of one request, prompt and answer; null: what fits into memory, up to 8192 and what the model was trained for. */
  contextSize: number | null;
  /** Requests at once, each with a context of its own. */
  slots: number;
  /** Layers that the GPU holds; null: as many as fit. */
  gpuLayers: number | null;
  kvType: KvType;
}
