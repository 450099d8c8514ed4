/** The file of a model: one that is here, or one that is fetched, once, into the directory of the library. */
import { statSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';
import { isModelFile } from '../../models/find-models.js';
import { EngineFailed, type EngineInput, type Progress } from './engine.js';

export type Library = typeof import('node-llama-cpp');

const GIB = 1024 ** 3;
/** A download that brings no byte for so long has failed; what came is kept, and the next start goes on from there. */
const SILENCE_MS = 30_000;
/** Where the library's own command looks too. */
const MODELS_DIR = path.join(homedir(), '.node-llama-cpp', 'models');

const fatal = (message: string, cause?: unknown) => new EngineFailed(message, { permanent: true, cause });

export const isUri = (model: string): boolean => model.startsWith('hf:');

/** @throws EngineFailed */
export async function checkFile(model: string): Promise<void> {
  if (/^https?:/.test(model))
    throw fatal(`${model}: models are not loaded from URLs; --model wants a GGUF file, or hf:user/repo/file.gguf`);
  const stat = statSync(model, { throwIfNoEntry: false });
  if (!stat) throw fatal(`there is no file ${model}: --model wants the path of a GGUF file, or hf:user/repo/file.gguf`);
  if (!stat.isFile()) throw fatal(`${model} is no file: --model wants the path of a GGUF file`);
  // What the library would say of it quotes what is in it.
  if (!(await isModelFile(model))) {
    throw fatal(`${model} cannot be loaded: it does not begin as one does. Is it a whole GGUF file?`);
  }
}

/** A path as it is; anything else is fetched, once, into the directory of the library. */
export async function modelFile(
  { resolveModelFile }: Library,
  { model, log }: EngineInput,
  signal: AbortSignal,
  progress: (progress: Progress) => void,
): Promise<string> {
  if (!isUri(model)) return path.resolve(model);
  progress({ doing: 'looking for the model on the network', pct: null });
  // The library tries again and again, and says nothing of it.
  const silence = new AbortController();
  const timer = setTimeout(() => silence.abort(new Error(`nothing came for ${SILENCE_MS / 1000} s`)), SILENCE_MS);
  let bytes = 0;
  let told = 0;
  try {
    const fetched = resolveModelFile(model, {
      directory: MODELS_DIR,
      // Its own bar needs a terminal; elsewhere a line every tenth is what a log can use.
      cli: process.stderr.isTTY === true,
      signal: AbortSignal.any([signal, silence.signal]),
      onProgress: ({ totalSize, downloadedSize }) => {
        if (downloadedSize > bytes) timer.refresh();
        bytes = downloadedSize;
        const pct = totalSize > 0 ? Math.floor((downloadedSize / totalSize) * 100) : 0;
        progress({ doing: 'downloading the model', pct });
        if (pct < told + 10 || process.stderr.isTTY) return;
        told = pct - (pct % 10);
        log.info(`downloading the model: ${told} % of ${(totalSize / GIB).toFixed(1)} GiB`);
      },
    });
    // Before its first byte it does not look at the signal.
    return await Promise.race([fetched, rejected(silence.signal), rejected(signal)]);
  } catch (error) {
    if (signal.aborted) throw error;
    throw fatal(
      `${model} cannot be fetched: ${wordsOf(silence.signal.aborted ? silence.signal.reason : error)}. Is the network there, and the name right? A file that is here already is given by its path`,
      error,
    );
  } finally {
    clearTimeout(timer);
  }
}

function rejected(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true }));
}

/** fetch says "fetch failed"; why stands in its cause. */
function wordsOf(error: unknown): string {
  const { message, cause } = error as Error;
  const { code, message: inner } = (cause ?? {}) as { code?: string; message?: string };
  return [message, inner, code].filter((word, i, all) => word && all.indexOf(word) === i).join(', ');
}
