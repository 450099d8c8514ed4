/** Reads a list that may be longer than other answers are. */
import type { IncomingMessage } from 'node:http';
import { readJson } from '../wire/json.js';
import { PeerFailure } from './failure.js';
import { type Outgoing, openStream } from './http.js';

/** More than a registry holds: 64 MiB of components' own fields, and what it adds to each. */
const LIST_BYTES_MAX = 80 * 1024 * 1024;

/** Its JSON, undefined where it is none. @throws PeerFailure, also for a list of more than 80 MiB */
export async function readList(outgoing: Outgoing, url: string, signal: AbortSignal): Promise<unknown> {
  return readJson(await readAll(await openStream(outgoing, url, { trusted: true, signal }), url));
}

async function readAll(response: IncomingMessage, url: string): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response) {
    chunks.push(chunk as Buffer);
    bytes += (chunk as Buffer).length;
    if (bytes > LIST_BYTES_MAX) throw new PeerFailure('broken', `${url} lists more than ${LIST_BYTES_MAX} bytes`);
  }
  return Buffer.concat(chunks).toString('utf8');
}
