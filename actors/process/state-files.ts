/** The files of a state directory. */
import { randomUUID } from 'node:crypto';
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { readJson } from '../../wire/json.js';

/** The content of a file if `check` accepts it, else null; a broken file is set aside. */
export function readStateFile<T>(
  file: string,
  check: (value: unknown) => T | null,
  warn: (message: string) => void,
): T | null {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') warn(`cannot read ${file}: ${(error as Error).message}`);
    return null;
  }
  const value = readJson(text);
  const checked = value === undefined ? null : check(value);
  if (checked === null) setAside(file, warn);
  return checked;
}

function setAside(file: string, warn: (message: string) => void): void {
  const aside = `${file}.broken-${new Date().toISOString().replace(/[:.]/g, '-')}`;
  try {
    renameSync(file, aside);
    warn(`${file} is broken: set aside as ${path.basename(aside)}, starting without it`);
  } catch (error) {
    warn(`${file} is broken and cannot be set aside: ${(error as Error).message}`);
  }
}

/** Atomically. Throws what the file system throws. */
export function replaceFile(file: string, text: string): void {
  const draft = `${file}.${randomUUID()}.tmp`;
  try {
    const descriptor = openSync(draft, 'wx', 0o600);
    try {
      // Writes all of it or throws; a single write may be cut short by a full disk.
      writeFileSync(descriptor, text);
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
    renameSync(draft, file);
  } catch (error) {
    rmSync(draft, { force: true });
    throw error;
  }
}

/** Creates it and its parents. Throws what the file system throws; `recursive` would report a read-only disk as ENOENT. */
export function makeDirectory(dir: string): void {
  if (existsSync(dir)) return;
  const parent = path.dirname(dir);
  if (parent !== dir) makeDirectory(parent);
  try {
    mkdirSync(dir, { mode: 0o700 });
  } catch (error) {
    // Another process was faster.
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}
