/** Reads the registry's list of components, which may be longer than other answers. */
import { readJson } from '../../wire/json.js';
import { type Outgoing, openStream } from './http.js';
import { readAll } from './response.js';

/** More than a registry holds: 64 MiB of the components' own fields, and what it adds to each. */
const LIST_BYTES_MAX = 80 * 1024 * 1024;

/** The value, or undefined if it is not JSON. @throws PeerFailure, also for a list of more than 80 MiB */
export async function readList(outgoing: Outgoing, url: string, signal: AbortSignal): Promise<unknown> {
  return readJson(await readAll(await openStream(outgoing, url, { trusted: true, signal }), LIST_BYTES_MAX));
}
