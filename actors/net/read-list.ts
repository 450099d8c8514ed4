/** Reads a list that may be longer than other answers are. */
import { readJson } from '../../wire/json.js';
import { type Outgoing, openStream, readAll } from './http.js';

/** More than a registry holds: 64 MiB of components' own fields, and what it adds to each. */
const LIST_BYTES_MAX = 80 * 1024 * 1024;

/** Its JSON, undefined where it is none. @throws PeerFailure, also for a list of more than 80 MiB */
export async function readList(outgoing: Outgoing, url: string, signal: AbortSignal): Promise<unknown> {
  return readJson(await readAll(await openStream(outgoing, url, { trusted: true, signal }), LIST_BYTES_MAX));
}
