/**
 * Bounds the files that a process prints into. The printing process does this, so that the bound holds while its spawner
 * is down; and it looks at the files, not at its own prints, so that the bound holds for the output of native code too.
 */
import { closeSync, constants, fstatSync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs';

/** A file larger than `bytesMax` is cut to its last `bytesKept`; between two checks it may grow past the bound. */
const BYTES_MAX = 1024 * 1024;
const BYTES_KEPT = 256 * 1024;
const CHECK_EVERY_MS = 1_000;

export interface BoundOutputInput {
  /** The printer opens them for appending, so that a write after the cut lands at the new end. */
  files: string[];
  bytesMax?: number;
  bytesKept?: number;
}

/** Checks each second until the returned function is called. Never throws; does not keep the process alive. */
export function boundOutput({ files, bytesMax = BYTES_MAX, bytesKept = BYTES_KEPT }: BoundOutputInput): () => void {
  const check = () => {
    for (const file of files) cut(file, bytesMax, bytesKept);
  };
  const timer = setInterval(check, CHECK_EVERY_MS).unref();
  return () => clearInterval(timer);
}

function cut(file: string, bytesMax: number, bytesKept: number): void {
  let descriptor: number | undefined;
  try {
    // Appending, so that output printed between the cut and our write is not overwritten; never creating, so that a
    // directory that is being removed stays empty.
    descriptor = openSync(file, constants.O_RDWR | constants.O_APPEND);
    const { size } = fstatSync(descriptor);
    if (size <= bytesMax) return;
    const buffer = Buffer.alloc(bytesKept);
    const read = readSync(descriptor, buffer, 0, bytesKept, size - bytesKept);
    const line = buffer.indexOf('\n') + 1;
    ftruncateSync(descriptor, 0);
    writeSync(descriptor, buffer, line, read - line);
  } catch {
    // It was removed, or the disk is full: no reason to end the worker.
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}
