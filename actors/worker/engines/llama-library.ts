/** node-llama-cpp, which is installed only where GGUF models run, and llama.cpp started by it. */
import type { Llama } from 'node-llama-cpp';
import type { Device } from '../../../wire/device.js';
import { cpuDevice } from '../../hive/list-devices.js';
import { type EngineFailed, permanentFailure } from './engine.js';
import type { LlamaInput } from './llama-input.js';

export type Library = typeof import('node-llama-cpp');

const GIB = 1024 ** 3;

/** @throws EngineFailed */
export async function importLibrary(): Promise<Library> {
  try {
    return await import('node-llama-cpp');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') {
      throw permanentFailure(`node-llama-cpp cannot be loaded: ${(error as Error).message}`, error);
    }
    throw permanentFailure(
      'node-llama-cpp, which runs GGUF models, is not installed: run npm install node-llama-cpp where rbee is installed (with -g if rbee was), or use an engine that runs already: --engine openai --engine-url http://127.0.0.1:11434',
      error,
    );
  }
}

/** Makes the drivers use the chosen GPU only. Set before they are loaded, and never over the user's own setting. */
export function chooseGpu({ gpuIndex }: LlamaInput): void {
  if (gpuIndex === null) return;
  process.env.CUDA_DEVICE_ORDER ??= 'PCI_BUS_ID';
  process.env.CUDA_VISIBLE_DEVICES ??= String(gpuIndex);
  process.env.GGML_VK_VISIBLE_DEVICES ??= String(gpuIndex);
}

/** @throws EngineFailed */
export async function startLlama(library: Library, input: LlamaInput, threads: number): Promise<Llama> {
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
    if (error instanceof library.NoBinaryFoundError) throw noBuild(gpu, error);
    throw permanentFailure(`llama.cpp does not start: ${(error as Error).message}`, error);
  }
  // Without the requested GPU the library silently falls back to the CPU, which is much slower.
  if ((gpu !== 'auto' && llama.gpu !== gpu) || (gpuIndex !== null && llama.gpu === false)) {
    await llama.dispose();
    throw noBuild(gpu);
  }
  return llama;
}

function noBuild(gpu: LlamaInput['gpu'], cause?: unknown): EngineFailed {
  const what = gpu === 'auto' ? 'a GPU of this machine' : gpu === false ? 'the CPU' : gpu;
  return permanentFailure(
    `node-llama-cpp brings no build of llama.cpp for ${what}: a checkout of rbee has those for CUDA and Vulkan only once it is installed (its README, "Use it"); or choose the worker type cpu, or build one (npx node-llama-cpp source download)`,
    cause,
  );
}

export async function devicesOf(llama: Llama, { gpuIndex }: LlamaInput): Promise<Device[]> {
  if (llama.gpu === false) return [cpuDevice()];
  const gpu = llama.gpu;
  const [names, { total }] = [await llama.getGpuDeviceNames(), await llama.getVramState()];
  return names.map((name, i) => ({
    id: `GPU-${gpuIndex ?? i}`,
    name: name.slice(0, 256),
    device_type: gpu,
    // The library reports the total of all GPUs only.
    vram_gb: names.length === 1 ? Math.round((total / GIB) * 10) / 10 : null,
    compute_capability: null,
  }));
}
