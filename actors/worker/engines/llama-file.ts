/** The file of a model: one on this machine, or one that is downloaded once into the directory of the library. */
import { statSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';
import { isModelFile } from '../../models/find-models.js';
import { type EngineInput, type EngineLog, type Progress, permanentFailure } from './engine.js';
import type { Library } from './llama-library.js';

const GIB = 1024 ** 3;
/** A download without a byte for this long has failed. The bytes so far are kept, and the next start resumes from them. */
const STALL_MS = 30_000;
/** Shared with the library's own command. */
const MODELS_DIR = path.join(homedir(), '.node-llama-cpp', 'models');

export const isUri = (model: string): boolean => model.startsWith('hf:');

/** @throws EngineFailed */
export async function checkFile(model: string): Promise<void> {
  if (/^https?:/.test(model)) {
    throw permanentFailure(
      `${model}: models are not loaded from URLs; --model requires a GGUF file, or hf:user/repo/file.gguf`,
    );
  }
  const stat = statSync(model, { throwIfNoEntry: false });
  if (!stat) {
    throw permanentFailure(
      `there is no file ${model}: --model requires the path of a GGUF file, or hf:user/repo/file.gguf`,
    );
  }
  if (!stat.isFile()) throw permanentFailure(`${model} is not a file: --model requires the path of a GGUF file`);
  // Checked here because the library's message would quote the content of the file.
  if (!(await isModelFile(model))) {
    throw permanentFailure(`${model} cannot be loaded: it has no GGUF header. Is it a whole GGUF file?`);
  }
}

/** The path of a local file; an `hf:` model is downloaded first. @throws EngineFailed */
export async function modelFile(
  library: Library,
  { model, log }: EngineInput,
  signal: AbortSignal,
  onProgress: (progress: Progress) => void,
): Promise<string> {
  if (!isUri(model)) return path.resolve(model);
  onProgress({ doing: 'looking for the model on the network', pct: null });
  // The library retries without end, and without a message.
  const stalled = new AbortController();
  const timer = setTimeout(() => stalled.abort(new Error(`nothing came for ${STALL_MS / 1000} s`)), STALL_MS);
  const logPct = percentageLog(log);
  let bytes = 0;
  try {
    const download = library.resolveModelFile(model, {
      directory: MODELS_DIR,
      // Its progress bar needs a terminal; a log gets lines instead.
      cli: process.stderr.isTTY === true,
      signal: AbortSignal.any([signal, stalled.signal]),
      onProgress: ({ totalSize, downloadedSize }) => {
        if (downloadedSize > bytes) timer.refresh();
        bytes = downloadedSize;
        const pct = totalSize > 0 ? Math.floor((downloadedSize / totalSize) * 100) : 0;
        onProgress({ doing: 'downloading the model', pct });
        if (!process.stderr.isTTY) logPct(pct, totalSize);
      },
    });
    // The library ignores its signal until the first byte.
    return await Promise.race([download, rejected(stalled.signal), rejected(signal)]);
  } catch (error) {
    if (signal.aborted) throw error;
    throw permanentFailure(
      `${model} cannot be fetched: ${messageOf(stalled.signal.aborted ? stalled.signal.reason : error)}. Is the network there, and the name right? For a file on this machine give its path`,
      error,
    );
  } finally {
    clearTimeout(timer);
  }
}

/** Logs every tenth of a download once. */
function percentageLog(log: EngineLog): (pct: number, totalBytes: number) => void {
  let logged = 0;
  return (pct, totalBytes) => {
    if (pct < logged + 10) return;
    logged = pct - (pct % 10);
    log.info(`downloading the model: ${logged} % of ${(totalBytes / GIB).toFixed(1)} GiB`);
  };
}

function rejected(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true }));
}

/** The message of fetch is "fetch failed"; the reason is in its cause. */
function messageOf(error: unknown): string {
  const { message, cause } = error as Error;
  const { code, message: inner } = (cause ?? {}) as { code?: string; message?: string };
  return [message, inner, code].filter((part, i, all) => part && all.indexOf(part) === i).join(', ');
}
