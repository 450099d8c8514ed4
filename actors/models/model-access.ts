/**
 * Which files a hive or keeper may be asked to run. Whoever asks may be somewhere else, so a path is a file in a directory
 * of models, or, where no token is set and only this machine can ask, any file that is called a model and is one. What
 * is in a file that is refused is never told.
 */
import { realpath } from 'node:fs/promises';
import { homedir } from 'node:os';
import path from 'node:path';
import { isModelFile, type SearchDirectory, usualDirectories } from './find-models.js';

/** The model of a spawn is none that may be run here; the message says which may. */
export class ModelRefused extends Error {
  override name = 'ModelRefused';
}

export interface ModelAccessInput {
  /** Beside the usual ones. */
  dirs: readonly string[];
  /** No token is set, and only this machine can ask. */
  anyModelFile: boolean;
  usual?: readonly string[];
}

export type CheckModel = (request: { model: string; worker: string }) => Promise<void>;

/** `hf:user/repo/path/file.gguf`, `hf:user/repo:Q4_K_M`, each with `#branch`. */
const HUGGING_FACE = /^hf:[\w.-]+\/[\w.-]+([/:#][\w./:#-]+)?$/;
/** A Windows path begins with one letter. */
const URI = /^[a-z][a-z0-9+.-]+:/i;

/** Where the usual programs keep models, Ollama's store too; not the current directory, which of a service is `/`. */
export function usualModelDirs(env: NodeJS.ProcessEnv = process.env, home = homedir()): string[] {
  const places: SearchDirectory[] = usualDirectories(env, home, home).filter(({ dir }) => dir !== home);
  const ollama = env.OLLAMA_MODELS ?? path.join(home, '.ollama', 'models');
  return [...new Set([...places.map(({ dir }) => dir), ollama, '/usr/share/ollama/.ollama/models'])];
}

/** Rejects with `ModelRefused`. A file that is not there, where one could be, is left to the worker to say. */
export function createCheckModel({ dirs, anyModelFile, usual = usualModelDirs() }: ModelAccessInput): CheckModel {
  const allowed = [...dirs, ...usual].map((dir) => path.resolve(dir));
  return async ({ model, worker }) => {
    if (worker === 'openai') return;
    if (model.startsWith('hf:')) {
      if (HUGGING_FACE.test(model) && !model.includes('..')) return;
      throw new ModelRefused(`${model} is no model of Hugging Face: expected hf:user/repo/file.gguf`);
    }
    if (URI.test(model)) {
      throw new ModelRefused(
        `${model}: models are not loaded from URLs; expected a GGUF file, or hf:user/repo/file.gguf`,
      );
    }
    const file = path.resolve(model);
    const anywhere = anyModelFile && /\.gguf$/i.test(file);
    const real = await realpath(file).catch(() => null);
    const roots = await Promise.all(allowed.map((dir) => realpath(dir).catch(() => dir)));
    const isAllowed = anywhere || [...roots, ...(real === null ? allowed : [])].some((dir) => isIn(dir, real ?? file));
    if (!isAllowed) {
      throw new ModelRefused(
        `${model} is in no directory of models: allow its directory with --models-dir. Allowed are ${allowed.join(', ')}`,
      );
    }
    if (real !== null && !(await isModelFile(real))) throw new ModelRefused(`${model} is no GGUF file`);
  };
}

function isIn(dir: string, file: string): boolean {
  const below = path.relative(dir, file);
  return below !== '' && !below.startsWith('..') && !path.isAbsolute(below);
}
