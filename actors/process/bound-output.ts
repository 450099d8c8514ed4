/**
 * Keeps what a process prints into files within a bound. Done by the process that prints, not by its spawner, so that
 * the bound holds though the spawner is dead; and on the file, not on its own prints, so that it holds for what native
 * code prints too.
 */
import { closeSync, constants, fstatSync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs';

/** A file past `bytesMax` is cut to its last `bytesKept`; between two looks it may grow past that. */
const BYTES_MAX = 1024 * 1024;
const BYTES_KEPT = 256 * 1024;
const LOOK_EVERY_MS = 1_000;

export interface BoundOutputInput {
  /** Opened for appending by whoever prints: a write after the cut lands at the new end. */
  files: string[];
  bytesMax?: number;
  bytesKept?: number;
}

/** Looks each second until the returned function is called. Never throws; does not keep the process alive. */
export function boundOutput({ files, bytesMax = BYTES_MAX, bytesKept = BYTES_KEPT }: BoundOutputInput): () => void {
  const look = () => {
    for (const file of files) cut(file, bytesMax, bytesKept);
  };
  const timer = setInterval(look, LOOK_EVERY_MS).unref();
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
    // It was removed, or the disk is full: nothing that a worker should end for.
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}
