/** Errors as `application/problem+json` (RFC 9457), and the one place where an error becomes an answer. */
import { STATUS_CODES } from 'node:http';
import type { Context, Middleware } from 'koa';
import { InferenceRefused } from '../../wire/infer.js';
import { PROBLEM_TYPE, type Problem } from '../../wire/problem.js';
import type { FieldError } from '../../wire/schema.js';
import { drainBody } from './drain-body.js';

/** An error to be answered. `detail` is shown to the peer. */
export class HttpProblem extends Error {
  readonly status: number;
  readonly errors: FieldError[] | undefined;
  readonly headers: Record<string, string>;

  constructor(
    status: number,
    detail: string,
    { errors, headers = {} }: { errors?: FieldError[]; headers?: Record<string, string> } = {},
  ) {
    super(detail);
    this.status = status;
    this.errors = errors;
    this.headers = headers;
  }
}

/** Answers an error, in the shape that the route's clients expect. */
export type AnswerError = (ctx: Context, problem: HttpProblem, cause: unknown) => void;

export function problemOf(status: number, detail: string, errors?: FieldError[]): Problem {
  const title = STATUS_CODES[status] ?? 'Error';
  return { type: 'about:blank', title, status, detail, ...(errors ? { errors } : {}) };
}

export function answerProblem(ctx: Context, { status, message, errors, headers }: HttpProblem): void {
  ctx.status = status;
  ctx.set(headers);
  ctx.body = JSON.stringify(problemOf(status, message, errors));
  ctx.type = PROBLEM_TYPE;
}

/** The outermost middleware: whatever is thrown inside becomes an answer. An unexpected error is logged, and the peer gets a 500 without details. */
export function problems(
  onUnexpected: (error: unknown, ctx: Context) => void,
  shapeOf: (ctx: Context) => AnswerError = () => answerProblem,
): Middleware {
  return async (ctx, next) => {
    try {
      await next();
    } catch (error) {
      shapeOf(ctx)(ctx, asProblem(error) ?? unexpected(error, ctx), error);
      await drainBody(ctx);
    }
  };

  function unexpected(error: unknown, ctx: Context): HttpProblem {
    onUnexpected(error, ctx);
    return new HttpProblem(500, 'internal error: see the log of this process');
  }
}

function asProblem(error: unknown): HttpProblem | null {
  if (error instanceof HttpProblem) return error;
  if (error instanceof InferenceRefused) return refused(error);
  const { status, expose, message } = error as { status?: number; expose?: boolean; message?: string };
  if (status !== undefined && status < 500 && expose) return new HttpProblem(status, message ?? '');
  return error instanceof URIError ? new HttpProblem(400, 'the path is not valid percent-encoded UTF-8') : null;
}

function refused({ status, message, retryAfterS }: InferenceRefused): HttpProblem {
  return new HttpProblem(status, message, {
    headers: retryAfterS === null ? {} : { 'Retry-After': String(retryAfterS) },
  });
}
