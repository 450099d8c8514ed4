/** Everything that can go wrong between a client and an rbee process, named once. */
import type { FieldError } from '../wire/schema.js';

/** Nothing answered: refused, unresolved, timed out, an untrusted certificate, or a stream that broke off or fell silent. */
export class RbeeUnreachable extends Error {
  override readonly name = 'RbeeUnreachable';
  /** `code`: the system's (`ECONNREFUSED`, …), or ours: `TIMEOUT`, `SILENT`, `CLOSED`; null when unknown. */
  constructor(
    readonly url: string,
    readonly code: string | null,
    detail: string,
    options?: { cause?: unknown },
  ) {
    super(detail, options);
  }
}

/** The process refused: an RFC 9457 problem, a redirect (none is followed), or an error status without a reason. */
export class RbeeProblem extends Error {
  override readonly name = 'RbeeProblem';
  constructor(
    readonly url: string,
    readonly status: number,
    readonly title: string,
    readonly detail: string,
    /** One entry per wrong field, with a JSON pointer to it. Empty when the problem is not about the body. */
    readonly errors: readonly FieldError[] = [],
  ) {
    super(`${title}: ${detail}`);
  }
}

/** The peer speaks another version of the protocol, or is not an rbee process. Retrying does not help. */
export class RbeeProtocolMismatch extends Error {
  override readonly name = 'RbeeProtocolMismatch';
  constructor(
    readonly url: string,
    readonly detail: string,
  ) {
    super(detail);
  }
}

export type RbeeError = RbeeUnreachable | RbeeProblem | RbeeProtocolMismatch;

export function isRbeeError(error: unknown): error is RbeeError {
  return error instanceof RbeeUnreachable || error instanceof RbeeProblem || error instanceof RbeeProtocolMismatch;
}

/** The first code found: fetch wraps the system's error in causes, and for a host with two addresses in an AggregateError. */
export function codeOf(error: unknown): string | null {
  let at: unknown = error;
  for (let depth = 0; depth < 5 && typeof at === 'object' && at !== null; depth += 1) {
    const { code, cause, errors } = at as { code?: unknown; cause?: unknown; errors?: unknown };
    if (typeof code === 'string') return code;
    at = cause ?? (Array.isArray(errors) ? errors[0] : undefined);
  }
  return null;
}

/** The innermost message: fetch's own is only "fetch failed". */
export function reasonOf(error: unknown): string {
  let at = error;
  for (let depth = 0; depth < 5 && at instanceof Error && at.cause instanceof Error; depth += 1) at = at.cause;
  return at instanceof Error ? at.message : String(at);
}
