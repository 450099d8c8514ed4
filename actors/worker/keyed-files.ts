/** A JSON file for each id, in a directory of a process's state: `<directory>/<id><suffix>`. */
import { readdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { isId } from '../../wire/status.js';
import type { StateDir } from '../process/state-dir.js';
import { makeDirectory } from '../process/state-files.js';

export interface KeyedFilesInput<T> {
  state: StateDir;
  directory: string;
  /** `.json`, or `/name.json` where each id has a directory of its own. */
  suffix: string;
  /** Whether what was read is a `T`; its id has been checked. */
  isValid: (value: Partial<T>) => boolean;
}

export class KeyedFiles<T extends { id: string }> {
  readonly #input: KeyedFilesInput<T>;

  constructor(input: KeyedFilesInput<T>) {
    this.#input = input;
  }

  /** Also of entries whose file is missing or broken. */
  ids(): string[] {
    const { state, directory, suffix } = this.#input;
    const ending = suffix.startsWith('/') ? '' : suffix;
    try {
      return readdirSync(path.join(state.path, directory))
        .filter((name) => name.endsWith(ending))
        .map((name) => name.slice(0, name.length - ending.length))
        .filter(isId);
    } catch {
      return [];
    }
  }

  /** Null where there is none; a broken file is set aside and named in the log. */
  read(id: string): T | null {
    const { state, isValid } = this.#input;
    return state.read(this.#file(id), (value) => {
      const candidate = (value ?? {}) as Partial<T>;
      return candidate.id === id && isValid(candidate) ? (value as T) : null;
    });
  }

  readAll(): T[] {
    return this.ids().flatMap((id) => this.read(id) ?? []);
  }

  /** Throws what the file system throws. */
  write(value: T): void {
    const { state } = this.#input;
    const file = this.#file(value.id);
    makeDirectory(path.dirname(path.join(state.path, file)));
    state.write(file, value);
  }

  /** Throws what the file system throws. */
  remove(id: string): void {
    rmSync(path.join(this.#input.state.path, this.#file(id)), { force: true });
  }

  #file(id: string): string {
    return path.join(this.#input.directory, `${id}${this.#input.suffix}`);
  }
}
