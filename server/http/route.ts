/** A route with what it accepts and answers: its documentation and its checks come from the same declaration. */
import type { TSchema } from '@sinclair/typebox';
import type { Context } from 'koa';

interface AnswerDoc {
  description: string;
  schema?: TSchema;
  /** Media type; application/json by default. */
  type?: string;
}

interface QueryDoc {
  description: string;
  schema: TSchema;
}

export interface Route {
  method: 'GET' | 'POST' | 'DELETE';
  /** With `:name` for parameters, and `*name` for one that may contain slashes. */
  path: string;
  summary: string;
  /** Needs no token. */
  open?: true;
  body?: TSchema;
  headers?: Record<string, string>;
  query?: Record<string, QueryDoc>;
  answers: Record<number, AnswerDoc>;
  /** Errors have the shape that OpenAI's clients parse, also those of requests that are refused before they get here. */
  errors?: 'openai';
  /** Starts work that outlives the request: refused while the process is ending. */
  work?: true;
  /** Runs a model: a process that is ending refuses new ones, and finishes those that run. */
  model?: true;
  handle: (ctx: Context, params: Record<string, string>) => void | Promise<void>;
}

/** Answers with JSON. */
export function answerJson(ctx: Context, body: object, status = 200): void {
  ctx.status = status;
  ctx.body = body;
}
