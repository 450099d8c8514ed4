/**
 * Which files a hive or keeper may be asked to run. The caller may be remote, so the file must be in a directory of models;
 * where no token is set, and only this machine can call, any GGUF file may be run. Errors never quote the content of a
 * file.
 */
import { realpath } from 'node:fs/promises';
import { homedir } from 'node:os';
import path from 'node:path';
import { isModelFile, type SearchDirectory, usualDirectories } from './find-models.js';

/** The model may not be run here; the message tells which may. */
class ModelRefused extends Error {
  override name = 'ModelRefused';
}

export interface ModelAccessInput {
  /** In addition to the usual ones. */
  dirs: readonly string[];
  /** No token is set, and only this machine can call. */
  anyModelFile: boolean;
  usual?: readonly string[];
}

export type CheckModel = (request: { model: string; worker: string }) => Promise<void>;

/** `hf:user/repo/path/file.gguf`, `hf:user/repo:Q4_K_M`, each with `#branch`. */
const HUGGING_FACE = /^hf:[\w.-]+\/[\w.-]+([/:#][\w./:#-]+)?$/;
/** A Windows path begins with one letter. */
const URI = /^[a-z][a-z0-9+.-]+:/i;

/** Where the usual programs keep models, Ollama's store included; not the current directory, which is `/` for a service. */
export function usualModelDirs(env: NodeJS.ProcessEnv = process.env, home = homedir()): string[] {
  const places: SearchDirectory[] = usualDirectories(env, home, home).filter(({ dir }) => dir !== home);
  const ollama = env.OLLAMA_MODELS ?? path.join(home, '.ollama', 'models');
  return [...new Set([...places.map(({ dir }) => dir), ollama, '/usr/share/ollama/.ollama/models'])];
}

/** Rejects with `ModelRefused`. A missing file in an allowed directory is reported by the worker instead. */
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
