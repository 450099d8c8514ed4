/** Checks of requests from other processes: protocol, ids, and the URL by which the peer is reached. */
import type { Context } from 'koa';
import { HEADER, isId, PROTOCOL_VERSION } from '../../wire/status.js';
import { hostOf, isLoopback, normaliseUrl } from '../../wire/url.js';
import { HttpProblem } from './problem.js';

/** @throws HttpProblem 400 when the request comes from a process with another protocol version. */
export function refuseOtherProtocol(ctx: Context): void {
  const mismatch = otherProtocol(ctx);
  if (mismatch !== null) throw new HttpProblem(400, mismatch);
}

/** Which other protocol the caller speaks, in a sentence; null when it speaks ours. */
export function otherProtocol(ctx: Context): string | null {
  const theirs = ctx.get(HEADER.protocol);
  if (theirs === '' || theirs === PROTOCOL_VERSION) return null;
  return `you speak protocol ${theirs.slice(0, 32)}, this process speaks ${PROTOCOL_VERSION}`;
}

/** The id in a header; null without one. @throws HttpProblem 400 */
export function idHeader(ctx: Context, name: string): string | null {
  const value = ctx.get(name);
  if (value !== '' && !isId(value)) throw new HttpProblem(400, `${name} is not an id`);
  return value || null;
}

/** One wrong field, by its JSON pointer. */
export function wrongField(pointer: string, detail: string): HttpProblem {
  const errors = [{ pointer, detail }];
  return new HttpProblem(422, `${pointer.slice(1) || 'the body'} is invalid: ${detail}`, { errors });
}

/**
 * The URL of a peer, normalised.
 * @param unreachable null, or why this process, being bound to loopback, cannot use a peer on another machine
 * @throws HttpProblem 422
 */
export function peerUrl(text: string, pointer: string, unreachable: string | null): string {
  const normal = normaliseUrl(text);
  if (!normal.ok) throw wrongField(pointer, normal.detail);
  if (unreachable !== null && !isLoopback(hostOf(normal.url))) throw wrongField(pointer, unreachable);
  return normal.url;
}
