/** Answers of peers: which are successes, and their bodies, read within a bound. */
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { type Bytes, createBytes } from '../../wire/bytes.js';
import { readJson } from '../../wire/json.js';
import { PROBLEM_TYPE } from '../../wire/problem.js';
import { HEADER, PROTOCOL_VERSION } from '../../wire/status.js';
import { PeerFailure } from './failure.js';

const BODY_BYTES_MAX = 1024 * 1024;
const DETAIL_CHARS_MAX = 500;

/**
 * @param sentToken whether the request carried the token, or none is set
 * @throws PeerFailure for a status that is no success and for another protocol; its message says what to do
 */
export async function checkResponse(url: string, response: IncomingMessage, sentToken: boolean): Promise<void> {
  const { statusCode: status = 0, headers } = response;
  const protocol = headerOf(headers, HEADER.protocol);
  if (status === 401) {
    const why = sentToken
      ? 'it wants another token than ours: set the same --token on both'
      : 'it was not sent our token';
    throw new PeerFailure('unauthorized', `${url} answered 401: ${why}`);
  }
  if (protocol !== null && protocol !== PROTOCOL_VERSION) {
    throw new PeerFailure('protocol', `${url} speaks protocol ${protocol.slice(0, 32)}, we speak ${PROTOCOL_VERSION}`);
  }
  if (status >= 300 && status < 400) {
    throw new PeerFailure('status', `${url} answered ${status}: redirects are not followed`);
  }
  if (status >= 200 && status < 300) return;
  const isProblem = (headers['content-type'] ?? '').includes(PROBLEM_TYPE);
  const detail = isProblem ? detailOf(jsonOrText(await readAll(response).catch(() => ''))) : '';
  throw new PeerFailure(status === 409 ? 'conflict' : 'status', `${url} answered ${status}${detail && `: ${detail}`}`, {
    answer: { status, detail },
  });
}

function detailOf(problem: unknown): string {
  const { detail } = (problem ?? {}) as { detail?: unknown };
  return typeof detail === 'string' ? detail.slice(0, DETAIL_CHARS_MAX) : '';
}

/** The whole body. By listeners: an async iterator costs several times as much. @throws PeerFailure when it is too long */
export function readAll(response: IncomingMessage, bytesMax = BODY_BYTES_MAX): Promise<string> {
  return new Promise((resolve, reject) => {
    const bytes = createBytes();
    response.on('data', (chunk: Buffer) => {
      if (bytes.length + chunk.length <= bytesMax) bytes.push(chunk);
      else response.destroy(new PeerFailure('broken', `answer of more than ${bytesMax} bytes`));
    });
    response.once('end', () => resolve(textOf(bytes)));
    response.once('error', reject);
  });
}

const textOf = (bytes: Bytes): string => Buffer.from(bytes.view().buffer, 0, bytes.length).toString('utf8');

/** The value of JSON, else the text itself. */
export function jsonOrText(body: string): unknown {
  const value = readJson(body);
  return value === undefined ? body : value;
}

/** A header that occurs once, or null. */
export function headerOf(headers: IncomingHttpHeaders, name: string): string | null {
  const value = headers[name];
  return typeof value === 'string' ? value : null;
}
