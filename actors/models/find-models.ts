/** Finds models that this machine already has: GGUF files where the usual programs keep them. */
import { open, readdir, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import path from 'node:path';

export interface FoundModel {
  file: string;
  bytes: number;
  modifiedMs: number;
}

export interface SearchDirectory {
  dir: string;
  /** How many levels of directories below it are read. */
  depth: number;
}

export interface FindModelsInput {
  directories: readonly SearchDirectory[];
  /** Aborted, it ends the search with what was found so far. */
  signal: AbortSignal;
}

/** Directory entries that are read in all, so that a large unrelated tree does not take minutes. */
const ENTRIES_MAX = 20_000;
const FOUND_MAX = 200;
/** A smaller file is a vocabulary or a test. */
const BYTES_MIN = 1024 * 1024;
/** The first bytes of a GGUF file. */
const MAGIC = 'GGUF';
/** Files that are no model: projectors of vision models, vocabularies, and parts of a split model except the first. */
const NO_MODEL = /^(mmproj|ggml-vocab)|-(?!0*1-of-)\d{5}-of-\d{5}\.gguf$/i;

/** Where llama.cpp, LM Studio, Hugging Face, node-llama-cpp and users keep them. */
export function usualDirectories(
  env: NodeJS.ProcessEnv = process.env,
  home = homedir(),
  cwd = process.cwd(),
): SearchDirectory[] {
  const below = (...parts: string[]) => path.join(home, ...parts);
  const places: (SearchDirectory | null)[] = [
    env.LLAMA_CACHE ? { dir: env.LLAMA_CACHE, depth: 1 } : null,
    { dir: below('.cache', 'llama.cpp'), depth: 1 },
    { dir: below('Library', 'Caches', 'llama.cpp'), depth: 1 },
    { dir: below('.lmstudio', 'models'), depth: 3 },
    { dir: below('.cache', 'lm-studio', 'models'), depth: 3 },
    { dir: below('.node-llama-cpp', 'models'), depth: 1 },
    { dir: path.join(env.HF_HOME || below('.cache', 'huggingface'), 'hub'), depth: 4 },
    { dir: below('models'), depth: 3 },
    { dir: cwd, depth: 2 },
  ];
  return places.filter((place) => place !== null);
}

/** The latest first, each once. Never throws: unreadable directories are skipped. */
export async function findModels({ directories: places, signal }: FindModelsInput): Promise<FoundModel[]> {
  const found = new Map<string, FoundModel>();
  let entries = 0;
  const isDone = () => signal.aborted || entries >= ENTRIES_MAX || found.size >= FOUND_MAX;

  async function search(dir: string, depth: number): Promise<void> {
    if (isDone()) return;
    const all = await readdir(dir, { withFileTypes: true }).catch(() => []);
    entries += all.length;
    for (const entry of all.filter((one) => one.name.endsWith('.gguf') && !NO_MODEL.test(one.name))) {
      if (isDone()) return;
      const file = path.join(dir, entry.name);
      const model = await foundModel(file).catch(() => null);
      if (model) found.set(file, model);
    }
    if (depth === 0) return;
    for (const entry of all) {
      if (isDone()) return;
      if (entry.isDirectory() && !entry.name.startsWith('.') && entry.name !== 'node_modules') {
        await search(path.join(dir, entry.name), depth - 1);
      }
    }
  }

  for (const { dir, depth } of places) await search(dir, depth);
  return [...found.values()].sort((a, b) => b.modifiedMs - a.modifiedMs);
}

/** Null where only the name is that of a model. */
async function foundModel(file: string): Promise<FoundModel | null> {
  const { size, mtimeMs } = await stat(file);
  if (size < BYTES_MIN) return null;
  return (await isModelFile(file)) ? { file, bytes: size, modifiedMs: mtimeMs } : null;
}

/** Whether it is a regular file with the first bytes of a GGUF file. Never rejects. */
export async function isModelFile(file: string): Promise<boolean> {
  try {
    if (!(await stat(file)).isFile()) return false;
    const handle = await open(file, 'r');
    try {
      const { buffer, bytesRead } = await handle.read(Buffer.alloc(MAGIC.length), 0, MAGIC.length, 0);
      return bytesRead === MAGIC.length && buffer.toString('latin1') === MAGIC;
    } finally {
      await handle.close();
    }
  } catch {
    return false;
  }
}
