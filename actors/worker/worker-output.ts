/** What a worker's process printed, from the files that its stdout and stderr are. */
import { closeSync, openSync, readSync, renameSync, rmSync, statSync } from 'node:fs';
import path from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import type { WorkerEndpoint } from '../../machines/worker-types.js';
import { readJson } from '../../wire/json.js';
import { WorkerId } from '../../wire/status.js';
import { normaliseUrl } from '../../wire/url.js';
import { WorkerKey } from '../../wire/worker.js';

/** The files of a run, and the stderr of the run before it. */
const OUTPUT = { stdout: 'stdout.log', stderr: 'stderr.log', stderrBefore: 'stderr.before.log' } as const;

/** The last lines of a worker that crashed: how many, and how long each. */
const LINES_MAX = 12;
const LINE_CHARS_MAX = 400;
const TAIL_BYTES = 16 * 1024;
/** The line that names the endpoint is within this much of stdout. */
const HEAD_BYTES = 64 * 1024;

/** Opens a new run's stdout and stderr for appending; the stderr of the run before is kept for people to read. */
export function openOutput(directory: string): { stdout: number; stderr: number } {
  const file = (name: string) => path.join(directory, name);
  rmSync(file(OUTPUT.stdout), { force: true });
  try {
    renameSync(file(OUTPUT.stderr), file(OUTPUT.stderrBefore));
  } catch {
    // This is the first run.
  }
  const stdout = openSync(file(OUTPUT.stdout), 'a', 0o600);
  try {
    return { stdout, stderr: openSync(file(OUTPUT.stderr), 'a', 0o600) };
  } catch (error) {
    closeSync(stdout);
    throw error;
  }
}

/** The endpoint that a worker printed on stdout when it began to listen; null until then. */
export function endpointInDirectory(directory: string): WorkerEndpoint | null {
  return endpointInFile(path.join(directory, OUTPUT.stdout));
}

export function endpointInFile(stdout: string): WorkerEndpoint | null {
  for (const line of readPart(stdout, 'head', HEAD_BYTES).split('\n')) {
    const endpoint = endpointInLine(line);
    if (endpoint) return endpoint;
  }
  return null;
}

/** The last lines of stderr, without colours. */
export function lastLinesIn(directory: string): string[] {
  const text = stripVTControlCharacters(readPart(path.join(directory, OUTPUT.stderr), 'tail', TAIL_BYTES));
  const lines = text.split('\n').filter((line) => line.trim() !== '');
  return lines.slice(-LINES_MAX).map((line) => line.trimEnd().slice(0, LINE_CHARS_MAX));
}

/** `{"event":"listening","process":"worker","id":…,"url":…}` */
function endpointInLine(line: string): WorkerEndpoint | null {
  if (!line.startsWith('{')) return null;
  const { event, id, url, key } = (readJson(line) ?? {}) as Record<string, unknown>;
  return event === 'listening' ? endpointOf(id, url, key) : null;
}

const WORKER_ID = new RegExp(WorkerId.pattern as string);
const KEY = new RegExp(WorkerKey.pattern as string);

/** Null where these are no endpoint. */
export function endpointOf(workerId: unknown, reported: unknown, key: unknown): WorkerEndpoint | null {
  if (typeof workerId !== 'string' || !WORKER_ID.test(workerId) || typeof reported !== 'string') return null;
  if (key !== undefined && (typeof key !== 'string' || !KEY.test(key))) return null;
  const url = normaliseUrl(reported);
  if (!url.ok) return null;
  const { protocol, port } = new URL(url.url);
  const endpoint = { workerId, url: url.url, port: Number(port) || (protocol === 'https:' ? 443 : 80) };
  return key === undefined ? endpoint : { ...endpoint, key };
}

/** The beginning or the end of a file; empty where it cannot be read. */
function readPart(file: string, part: 'head' | 'tail', bytesMax: number): string {
  let descriptor: number | undefined;
  try {
    const from = part === 'head' ? 0 : Math.max(0, statSync(file).size - bytesMax);
    descriptor = openSync(file, 'r');
    const buffer = Buffer.alloc(bytesMax);
    return buffer.toString('utf8', 0, readSync(descriptor, buffer, 0, bytesMax, from));
  } catch {
    return '';
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}
